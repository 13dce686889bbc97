"""Parametrizations that can't be: refused with torch's kind of error."""

import numpy as np
import pytest
import torch

from parity_tests.nn.utils.worlds import OURS, TORCH_S, apply

WORLDS = pytest.mark.parametrize("w", [OURS, TORCH_S], ids=["ours", "torch's"])


def said(world, message):
    """What the error must say: torch's has words of its own."""
    return message if world is OURS else None


def odd_ones(world):
    """Parametrizations that don't fit."""

    def make(forward, right_inverse=None):
        body = {"forward": lambda self, x: forward(x)}
        if right_inverse is not None:
            body["right_inverse"] = lambda self, x: right_inverse(x)
        return type("Odd", (world.nn.Module,), body)()

    other = world.dtype("float64")

    def unable(x):
        raise NotImplementedError

    return {
        "shape": make(lambda x: x[:1]),
        "dtype": make(lambda x: x.to(other)),
        "number": make(lambda x: 3.0),
        "inverse number": make(lambda x: x, lambda x: 3.0),
        "inverse dtype": make(lambda x: x, lambda x: x.to(other)),
        "inverse shape": make(lambda x: x, lambda x: x[:1]),
        "inverse numbers": make(lambda x: x, lambda x: (x, 3.0)),
        "unable": make(lambda x: x, unable),
        "no inverse": make(lambda x: x),
        "fine": make(lambda x: x, lambda x: x),
    }


FIRST = [
    ("shape", ValueError, "must keep the shape .* unless unsafe=True"),
    ("dtype", ValueError, "must keep the dtype float32 unless unsafe=True, got float64"),
    ("number", ValueError, "must return a Tensor, got 3.0"),
    ("inverse number", ValueError, "right_inverse must return Tensors, got 3.0"),
    ("inverse dtype", ValueError, "right_inverse must keep the dtype float32 .* got float64"),
    ("inverse numbers", ValueError, "right_inverse must return Tensors, got 3.0 at 1"),
]
FURTHER = [
    *FIRST[:3],
    ("inverse number", ValueError, "right_inverse must return a Tensor, got 3.0"),
    ("inverse dtype", ValueError, "right_inverse must keep the dtype float32 .* got float64"),
    ("inverse shape", ValueError, "right_inverse must keep the shape"),
]


@WORLDS
@pytest.mark.parametrize(("name", "error", "message"), FIRST)
def test_a_first_one_that_does_not_fit(w, name, error, message) -> None:
    module = w.nn.Linear(4, 3)
    weight = module.weight
    with pytest.raises(error, match=said(w, message)):
        w.parametrize.register_parametrization(module, "weight", odd_ones(w)[name])
    assert type(module) is w.nn.Linear
    assert module.weight is weight


@WORLDS
@pytest.mark.parametrize(("name", "error", "message"), FURTHER)
def test_a_further_one_that_does_not_fit(w, name, error, message) -> None:
    module = w.nn.Linear(4, 3)
    register = w.parametrize.register_parametrization
    register(module, "weight", odd_ones(w)["fine"])
    with pytest.raises(error, match=said(w, message)):
        register(module, "weight", odd_ones(w)[name])
    assert len(module.parametrizations.weight) == 1
    register(module, "weight", odd_ones(w)["unable"])
    register(module, "weight", odd_ones(w)[name], unsafe=True)
    assert len(module.parametrizations.weight) == 3
    assert module.parametrizations.weight.unsafe


@WORLDS
def test_unsafe_ones_may_change_shape_and_dtype(w) -> None:
    for name, shape, dtype in (("shape", (1, 4), "float32"), ("dtype", (3, 4), "float64")):
        module = w.nn.Linear(4, 3)
        w.parametrize.register_parametrization(module, "weight", odd_ones(w)[name], unsafe=True)
        assert tuple(module.weight.shape) == shape
        assert module.weight.dtype == w.dtype(dtype)


@WORLDS
def test_wrong_use(w) -> None:
    module = w.nn.Linear(4, 3)
    register, odd = w.parametrize.register_parametrization, odd_ones(w)
    with pytest.raises(
        ValueError,
        match=said(w, "must name a parameter .* Linear, got 'in_features'"),
    ):
        register(module, "in_features", odd["fine"])
    with pytest.raises(ValueError, match=said(w, "must name a parametrized .* got 'weight'")):
        w.parametrize.remove_parametrizations(module, "weight")
    with pytest.raises(ValueError, match="one or more"):
        w.parametrize.ParametrizationList([], module.weight)
    register(module, "weight", odd["no inverse"])
    value = np.ones((3, 4), "float32") if w is OURS else torch.ones(3, 4)
    with pytest.raises(RuntimeError, match=said(w, "Odd must have a right_inverse")):
        module.weight = value
    module = register(w.nn.Linear(4, 3), "weight", odd["unable"])
    with pytest.raises(NotImplementedError):
        module.weight = value
    module = register(w.nn.Linear(4, 3), "weight", odd["fine"])
    with pytest.raises(ValueError, match=said(w, "a Tensor of float32 for original, got")):
        module.weight = value.astype("float64") if w is OURS else value.double()
    module = apply(w, w.nn.Linear(4, 3), None, [("weight", "Outer")])
    module.parametrizations.weight[0].right_inverse = lambda value: (value[0],)
    with pytest.raises(ValueError, match=said(w, "right_inverse must return 2 Tensors")):
        module.weight = value
    with pytest.raises(KeyError):
        module.register_parameter("weight", w.nn.Parameter(value))
    with pytest.raises(AttributeError):
        _ = module.nothing
