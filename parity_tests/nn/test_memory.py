"""Nothing outlives its names: no batch, no context, no cycle."""

import copy
import gc
import pickle
import tracemalloc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import numpy_impl
from numpy_impl import nn
from parity_tests.nn.kinds import (
    AROUND,
    UNITS,
    G,
    Naive,
    Saving,
    X,
    assert_same,
    composite,
    linear,
    pair,
)


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.usefixtures("_no_collector")
def test_nothing_outlives_its_names(around, unit) -> None:
    """Without Python's collector: outputs, and modules that were called and dropped."""
    ours, _ = pair(around, unit)
    x = numpy_impl.tensor(X, requires_grad=True)
    for _ in range(3):
        ours(X)
        ours.backward(G)
        ours(X)  # and never back
        ours(x).backward(G)
        y = ours(x)
    node = weakref.ref(y)
    del y
    assert node() is None
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        ours.backward(np.ones(7))
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        ours(np.ones((3, 5), bool))
    module = weakref.ref(ours)
    ours(X)
    is_a_cycle_itself = unit.startswith("own forward")  # it holds a method that holds it
    del ours
    assert is_a_cycle_itself or module() is None


@pytest.mark.parametrize("tensors", [True, False])
@pytest.mark.usefixtures("_no_collector")
def test_loops_do_not_grow(tensors) -> None:
    model = nn.Sequential(linear(numpy_impl), composite(numpy_impl, Naive()), nn.ReLU())
    x = np.ones((2000, 4))

    def step(goes_back: bool) -> None:
        output = model(numpy_impl.tensor(x) if tensors else x)
        if goes_back and tensors:
            output.sum().backward()
        elif goes_back:
            model.backward(x)
        with pytest.raises(ValueError, match="last axis"):
            model(np.ones((2000, 5)))

    for goes_back in (True, False):
        for _ in range(3):
            step(goes_back)
        tracemalloc.start()
        step(goes_back)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            step(goes_back)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert grown < x.nbytes


@pytest.mark.parametrize("tensors", [True, False])
def test_copies_have_no_batch(tensors) -> None:
    model = nn.Sequential(linear(numpy_impl), composite_at_module_level(), nn.ReLU())
    fresh = len(pickle.dumps(model))
    x = np.ones((500, 4))
    if tensors:
        model(numpy_impl.tensor(x)).sum().backward()
    else:
        model(x)
        model.backward(x)
        model(x)
    assert len(pickle.dumps(model)) < fresh + 200
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(p.grad is None for p in other.parameters())
        with pytest.raises(RuntimeError, match="without a forward"):
            other.backward(x)
        assert_same(other(X), model(X))
        other.backward(G)


def composite_at_module_level() -> nn.Module:
    return nn.Sequential(Saving(), nn.Tanh())
