"""Bounds on gradients: torch's norms, and torch's gradients afterwards."""

import math

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import utils
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result
from torch_ref.convert import to_numpy, to_torch

SHAPES = ((), (3,), (4, 5), (2, 3, 4), (0, 2))
DTYPES = {"float32": ["float32"], "float64": ["float64"], "both": ["float32", "float64"]}
ORDERS = [2.0, 1, 2, 2.5, 0.5, 0, math.inf, "inf", -math.inf, -2]
OF_DTYPES = pytest.mark.parametrize("dtypes", DTYPES)
OF_FOREACH = pytest.mark.parametrize("foreach", [None, True, False])


def parameters(dtypes: str, scale: float = 1.0, empty: bool = True, seed: int = 0):
    """Parameters with gradients, and their twins; one has none."""
    rng = np.random.default_rng(seed)
    pair = [], []
    for i, shape in enumerate(SHAPES if empty else SHAPES[:-1]):
        dtype = DTYPES[dtypes][i % len(DTYPES[dtypes])]
        value, grad = np.asarray(rng.standard_normal((2, *shape)) * scale).astype(dtype)
        pair[0].append(nn.Parameter(np.asarray(value)))
        pair[1].append(torch.nn.Parameter(to_torch(np.asarray(value))))
        pair[0][-1].grad, pair[1][-1].grad = np.array(grad), to_torch(np.asarray(grad))
    pair[0].append(nn.Parameter(np.ones(3)))
    pair[1].append(torch.nn.Parameter(torch.ones(3, dtype=torch.float64)))
    return pair


def check(ours, twins, dtypes: str, norms=None) -> None:
    """The gradients, and if given the norms."""
    name = "float32" if "float32" in DTYPES[dtypes] else "float64"
    pairs = [(our.grad, twin.grad) for our, twin in zip(ours, twins, strict=True)]
    assert pairs[-1] == (None, None)
    pairs = pairs[:-1] + ([(np.asarray(norms[0]), norms[1])] if norms else [])
    for our, twin in pairs:
        Result("gradient", "step", our, to_numpy(twin)).check(tolerance(name, "step"))


@OF_DTYPES
@OF_FOREACH
@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("max_norm", [0.5, 100, 0])
def test_norms_and_gradients_are_torch_s(order, max_norm, dtypes, foreach) -> None:
    # no infinity norm of nothing, in torch neither
    ours, twins = parameters(dtypes, empty=order in (2.0, 1))
    arrays = [parameter.grad for parameter in ours]
    norm = utils.clip_grad_norm_(ours, max_norm, order, foreach=foreach)
    twin = torch.nn.utils.clip_grad_norm_(twins, max_norm, order, foreach=foreach)
    assert isinstance(norm, numpy_impl.Tensor)
    check(ours, twins, dtypes, (norm, twin))
    assert all(p.grad is array for p, array in zip(ours, arrays, strict=True))


@OF_DTYPES
@OF_FOREACH
def test_in_two_steps(dtypes, foreach) -> None:
    """The norm of one set, by which another is clipped; as Tensor and as number."""
    for order in (2.0, math.inf):
        ours, twins = parameters(dtypes, empty=False)
        grads = [p.grad for p in ours if p.grad is not None]
        norm = utils.get_total_norm(grads, order, foreach=foreach)
        twin = torch.nn.utils.get_total_norm([p.grad for p in twins[:-1]], order, foreach=foreach)
        assert isinstance(norm, np.generic)
        tensor = utils.get_total_norm([numpy_impl.tensor(g) for g in grads], order)
        assert isinstance(tensor, numpy_impl.Tensor)
        assert float(tensor) == float(norm)
        for value in (norm, tensor):
            ours, _ = parameters(dtypes, empty=False)
            utils.clip_grads_with_norm_(ours, 0.7, value, foreach)
            _, twins = parameters(dtypes, empty=False)
            torch.nn.utils.clip_grads_with_norm_(twins, 0.7, twin, foreach)
            check(ours, twins, dtypes, (norm, twin))


@OF_DTYPES
@OF_FOREACH
@pytest.mark.parametrize("value", [0.3, 1, 0.0, 100.0, -0.5])
def test_values_are_torch_s(value, dtypes, foreach) -> None:
    ours, twins = parameters(dtypes)
    ours[2].grad[0, 0] = np.nan
    twins[2].grad[0, 0] = torch.nan
    arrays = [parameter.grad for parameter in ours]
    utils.clip_grad_value_(ours, value, foreach)
    torch.nn.utils.clip_grad_value_(twins, value, foreach)
    check(ours, twins, dtypes)
    assert all(p.grad is array for p, array in zip(ours, arrays, strict=True))


@pytest.mark.parametrize("order", [2.0, 1.0, math.inf])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_norms_that_are_not_finite(bad, order) -> None:
    """The gradients are scaled by them, or asked for it an error leaves them as they are."""
    for strict in (True, False):
        ours, twins = parameters("float32", empty=False)
        ours[1].grad[0] = bad
        twins[1].grad[0] = bad
        before = [p.grad.copy() for p in ours[:-1]]
        twin = torch.nn.utils.clip_grad_norm_(twins, 1.0, order)
        if strict and not twin.isfinite():
            with pytest.raises(RuntimeError, match=r"total norm of order .* must be finite, got"):
                utils.clip_grad_norm_(ours, 1.0, order, error_if_nonfinite=True)
            for p, grad in zip(ours, before, strict=False):
                np.testing.assert_array_equal(p.grad, grad)
            with pytest.raises(RuntimeError, match="must be finite"):
                utils.get_total_norm(before, order, True)
        else:
            norm = utils.clip_grad_norm_(ours, 1.0, order, strict)
            check(ours, twins, "float32", (norm, twin))


def test_one_none_and_generators() -> None:
    """A single Parameter; no gradients; a generator; one that is used up."""
    ours, twins = parameters("float64")
    norm = utils.clip_grad_norm_(ours[2], 0.1)
    twin = torch.nn.utils.clip_grad_norm_(twins[2], 0.1)
    utils.clip_grad_value_(ours[3], 0.1)
    torch.nn.utils.clip_grad_value_(twins[3], 0.1)
    check(ours, twins, "float64", (norm, twin))
    one = utils.get_total_norm(ours[2].grad)
    assert one == utils.get_total_norm([ours[2].grad]) == utils.get_total_norm(ours[2].grad, 2.0)
    norm = utils.clip_grad_norm_((p for p in ours), 0.2)
    twin = torch.nn.utils.clip_grad_norm_((p for p in twins), 0.2)
    check(ours, twins, "float64", (norm, twin))
    for nothing in ([], ours[-1:]):
        norm = utils.clip_grad_norm_(nothing, 1.0)
        assert norm.dtype == np.float32
        assert float(norm) == 0 == float(utils.get_total_norm([]))
        utils.clip_grad_value_(nothing, 1.0)
        utils.clip_grads_with_norm_(nothing, 1.0, norm)
    with pytest.warns(UserWarning, match="empty generator") as record:
        utils.clip_grad_norm_((p for p in []), 1.0)
    assert record[0].filename == __file__


def test_wrong_use() -> None:
    for call in (
        lambda wrong: utils.clip_grad_norm_(wrong, 1.0),
        lambda wrong: utils.clip_grad_value_(wrong, 1.0),
        lambda wrong: utils.clip_grads_with_norm_(wrong, 1.0, 1.0),
    ):
        with pytest.raises(TypeError, match="parameters must be Parameters, got 3"):
            call(3)
        with pytest.raises(TypeError, match="parameters must be Parameters, got array"):
            call(np.ones(3))
    with pytest.raises(ValueError, match="could not convert"):
        utils.get_total_norm([np.ones(3)], "largest")
