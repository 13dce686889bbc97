"""Threads that share one model."""

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import numpy_impl
from numpy_impl import nn
from parity_tests.nn.kinds import (
    AROUND,
    UNITS,
    G,
    Naive,
    X,
    assert_same,
    linear,
    parameters,
)


def in_threads(work: Callable[[int], None], count: int = 4) -> None:
    errors: list[BaseException] = []

    def guarded(i: int) -> None:
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture
def _switching() -> Iterator[None]:
    """Threads take turns every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


SHARED = ["linear", "saving", "naive", "super both", "composite", "of calls", "unregistered"]


def shared_model(kind: str) -> Any:
    if kind in UNITS and kind != "composite":
        return UNITS[kind](numpy_impl)
    unit = nn.Sequential(Naive(), linear(numpy_impl))
    return AROUND[kind](numpy_impl, unit)


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.usefixtures("_switching")
def test_threads_that_train_one_model_get_their_own_gradients(kind) -> None:
    model = shared_model(kind)
    wanted = []
    for i in range(4):
        x = numpy_impl.tensor(X * (i + 1), requires_grad=True)
        model(x).backward(G)
        wanted.append((x.grad, [p.grad for p in parameters(model)]))
        for p in parameters(model):
            p.grad = None

    def work(i: int) -> None:
        for _ in range(30):
            x = numpy_impl.tensor(X * (i + 1), requires_grad=True)
            model(x).backward(G)
            assert_same(x.grad, wanted[i][0])

    in_threads(work)
    for j, p in enumerate(parameters(model)):
        np.testing.assert_allclose(p.grad, 30 * sum(w[1][j] for w in wanted), rtol=1e-9)


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.usefixtures("_switching")
def test_threads_that_call_one_model_under_no_grad_or_train_two(kind) -> None:
    model = shared_model(kind)
    models = [copy.deepcopy(model) for _ in range(4)]
    wanted = [model(X * (i + 1)) for i in range(4)]
    grads = [(m(X * (i + 1)), m.backward(G))[1] for i, m in enumerate(models)]

    def work(i: int) -> None:
        for _ in range(30):
            with numpy_impl.no_grad():
                assert_same(model(X * (i + 1)), wanted[i])
            models[i](X * (i + 1))
            assert_same(models[i].backward(G), grads[i])

    in_threads(work)
