"""MaxUnpool1d/2d/3d."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity, Source
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_module


def indices(*shape: int, of: tuple[int, ...]) -> Source:
    """(N, C, O...): no position of a channel's ``of`` twice."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        lead, points = shape[: -len(of)], math.prod(shape[-len(of) :])
        rows = [rng.permutation(math.prod(of))[:points] for _ in range(math.prod(lead))]
        return np.array(rows, np.int64).reshape(shape)

    return draw


CASES = [
    Case("MaxUnpool1d", "2", [(2, 3, 4), indices(2, 3, 4, of=(8,))]),
    Case("MaxUnpool1d", "3, 2, 1", [(3, 4), indices(3, 4, of=(7,))], "unbatched"),
    Case("MaxUnpool2d", "2", [(2, 3, 4, 3), indices(2, 3, 4, 3, of=(8, 6))]),
    Case("MaxUnpool2d", "(2, 3), stride=(3, 2)", [(2, 3, 2, 3), indices(2, 3, 2, 3, of=(5, 7))]),
    Case(
        "MaxUnpool2d", "[3, 2], padding=[1, 0]", [(3, 2, 3), indices(3, 2, 3, of=(4, 6))], "lists"
    ),
    Case("MaxUnpool2d", "2", [(0, 3, 4, 3), indices(0, 3, 4, 3, of=(8, 6))], "empty batch"),
    Case("MaxUnpool3d", "2", [(2, 3, 2, 3, 1), indices(2, 3, 2, 3, 1, of=(4, 6, 2))]),
    Case(
        "MaxUnpool3d", "(1, 2, 3)", [(3, 2, 2, 2), indices(3, 2, 2, 2, of=(2, 4, 6))], "unbatched"
    ),
]


class TestMaxUnpool(ModuleParity):
    cases = CASES


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), n=st.integers(1, 3), whole=st.booleans())
def test_there_and_back(data, n, whole) -> None:
    """What any max pooling gives goes back to its input's size, given as such or as a shape."""

    def ints(low: int, high: int) -> tuple[int, ...]:
        return tuple(data.draw(st.tuples(*[st.integers(low, high)] * n)))

    sizes, kernel, extra = ints(4, 8), ints(1, 3), ints(0, 2)
    stride = tuple(k + e for k, e in zip(kernel, extra, strict=True))  # no element twice
    x = np.random.default_rng(0).standard_normal((2, 3, *sizes))
    y, where = getattr(nn, f"MaxPool{n}d")(kernel, stride, return_indices=True)(x)
    ours, theirs = (getattr(world, f"MaxUnpool{n}d")(kernel, stride) for world in (nn, torch.nn))
    size = x.shape if whole else list(sizes)
    output = ours(y, where, size)
    tensor = torch.from_numpy(np.ascontiguousarray(y)).requires_grad_()
    twin = theirs(tensor, torch.from_numpy(np.ascontiguousarray(where)), size)
    np.testing.assert_array_equal(output, twin.detach().numpy())
    upstream = np.random.default_rng(1).standard_normal(output.shape)
    twin.backward(torch.from_numpy(upstream))
    grad, none = ours.backward(upstream)
    np.testing.assert_array_equal(grad, tensor.grad.numpy())
    assert none is None


def test_in_a_graph() -> None:
    """Tensors, the size by its name: the gradient goes on through the pooling."""
    x = numpy_impl.randn(2, 3, 7, 9, requires_grad=True)
    y, where = nn.MaxPool2d(2, return_indices=True)(x)
    output = nn.MaxUnpool2d(2)(y, where, output_size=x.shape)
    (output * 2).sum().backward()
    np.testing.assert_array_equal(x.grad, np.where(output.data != 0, 2, 0))


def test_the_last_of_several_values_for_one_position_stays() -> None:
    x, where = np.arange(12.0).reshape(1, 2, 6), np.array([[[3, 3, 0, 1, 3, 0]] * 2])
    ours, theirs = nn.MaxUnpool1d(1), torch.nn.MaxUnpool1d(1)
    for result in run_module(ours, theirs, [x, where], np.random.default_rng(0)):
        result.check(tolerance("float64", result.direction))


X, WHERE = np.zeros((2, 3, 2, 2), "f"), np.zeros((2, 3, 2, 2), np.int64)


def unpool(*arguments) -> None:
    nn.MaxUnpool2d(2)(*arguments)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.MaxUnpool2d(0), ValueError, "kernel_size must be at least 1, got 0"),
        (lambda: nn.MaxUnpool2d(2, 0), ValueError, "stride must be at least 1, got 0"),
        (lambda: nn.MaxUnpool2d(2, padding=-1), ValueError, "padding must be at least 0, got -1"),
        (lambda: nn.MaxUnpool2d((2,)), ValueError, "kernel_size must be an int or a tuple of 2"),
        (lambda: nn.MaxUnpool2d(2, 2, 5)(X, WHERE), ValueError, "padding .* must leave an output"),
        (
            lambda: unpool(X, WHERE.astype(np.int32)),
            TypeError,
            "indices must be an array of int64, got",
        ),
        (
            lambda: unpool(X, WHERE.tolist()),
            TypeError,
            "indices must be an array of int64, got list",
        ),
        (lambda: unpool(X, WHERE[:1]), ValueError, "indices must have the input's shape"),
        (lambda: unpool(X, WHERE + 16), ValueError, r"indices must lie in .* \(4, 4\), got 16"),
        (lambda: unpool(X, WHERE - 1), ValueError, r"indices must lie in .* \(4, 4\), got -1"),
        (lambda: unpool(X[0, 0], WHERE[0, 0]), ValueError, "input must be 3-d or 4-d"),
        (lambda: unpool(X[:, :0], WHERE[:, :0]), ValueError, "must be empty in its batch alone"),
        (
            lambda: unpool(X, WHERE, (4,)),
            ValueError,
            "output_size must be a sequence of 2 or 4 ints",
        ),
        (lambda: unpool(X, WHERE, 4), ValueError, "output_size must be a sequence of 2 or 4 ints"),
        (lambda: unpool(X, WHERE, (6, 4)), ValueError, "output_size must be less than a stride"),
        (lambda: unpool(X, WHERE, (2, 4)), ValueError, "output_size must be less than a stride"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
