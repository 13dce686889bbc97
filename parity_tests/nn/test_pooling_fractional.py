"""FractionalMaxPool2d and FractionalMaxPool3d."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity, manual_seed
from parity_tests.nn.test_pooling import minus_infinities, ties, with_nan
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_module

CASES = [
    Case("FractionalMaxPool2d", "2, 4", (2, 3, 8, 7)),
    Case("FractionalMaxPool2d", "2, output_ratio=0.5, return_indices=True", (2, 3, 9, 7)),
    Case("FractionalMaxPool2d", "(3, 2), (2, 4), None, True", (3, 8, 7), "unbatched"),
    Case("FractionalMaxPool2d", "2, output_ratio=(0.4, 0.8)", (2, 3, 8, 9)),
    Case("FractionalMaxPool2d", "3, 6, None, True", (2, 3, 8, 8), "every place"),
    Case("FractionalMaxPool2d", "[2, 3], [1, 4]", (2, 3, 8, 7), "lists, one output"),
    Case("FractionalMaxPool2d", "2, 4", (0, 3, 8, 7), "empty batch"),
    Case("FractionalMaxPool2d", "2, 5, None, True", ties, "ties", kinks=True),
    Case("FractionalMaxPool2d", "3, 5, None, True", with_nan, "NaN", kinks=True),
    Case("FractionalMaxPool3d", "2, 3", (2, 3, 6, 5, 7)),
    Case("FractionalMaxPool3d", "(1, 2, 3), output_ratio=0.5", (3, 6, 7, 8), "unbatched"),
    Case("FractionalMaxPool3d", "2, (4, 2, 3), None, True", (2, 3, 6, 5, 7)),
]


class TestFractionalMaxPool(ModuleParity):
    cases = CASES


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    data=st.data(),
    n=st.integers(2, 3),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_geometry(data, n, dtype, seed) -> None:
    """Few values, infinite and NaN ones among them: the same windows from the same seed."""
    sizes = data.draw(st.tuples(*[st.integers(2, 9)] * n))
    kernel = tuple(data.draw(st.integers(1, min(4, size + 2 - n))) for size in sizes)
    most = (size - k + 3 - n for size, k in zip(sizes, kernel, strict=True))  # torch's bounds
    outputs = tuple(data.draw(st.integers(1, o)) for o in most)
    x = minus_infinities(2, 3, *sizes, others=0.5)(np.random.default_rng(seed)).astype(dtype)
    ours, theirs = (
        getattr(w, f"FractionalMaxPool{n}d")(kernel, outputs, None, True) for w in (nn, torch.nn)
    )
    manual_seed(seed)
    for result in run_module(ours, theirs, [x], np.random.default_rng(1)):
        result.check(tolerance(dtype, result.direction))
    assert numpy_impl.random.rand(1) == torch.rand(1).numpy(), "another number of draws"


@pytest.mark.parametrize("n", [2, 3])
def test_given_samples(n) -> None:
    """They are a buffer as in torch, may be of more samples than the batch, and draw nothing."""
    rng = np.random.default_rng(0)
    x, samples = rng.standard_normal((2, 3, 9, 8, 7)[: n + 2]), rng.random((4, 3, n))
    ours = getattr(nn, f"FractionalMaxPool{n}d")(2, 4, None, True, samples)
    theirs = getattr(torch.nn, f"FractionalMaxPool{n}d")(2, 4, None, True, torch.tensor(samples))
    assert ours.state_dict().keys() == theirs.state_dict().keys() == {"_random_samples"}
    results = run_module(ours, theirs, [x], rng)
    assert len(results) == 4
    for result in results:
        result.check(tolerance("float64", result.direction))


def test_windows_are_drawn_anew_at_every_call() -> None:
    x = np.random.default_rng(0).standard_normal((1, 1, 32, 32))
    pool = nn.FractionalMaxPool2d(2, 20).eval()
    assert (pool(x) != pool(x)).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_windows_start_where_the_dtype_s_rounding_says(dtype) -> None:
    x = np.random.default_rng(0).standard_normal((2, 32, 2000, 1)).astype(dtype)
    ours, theirs = (w.FractionalMaxPool2d(1, (1500, 1), None, True) for w in (nn, torch.nn))
    manual_seed(0)
    _, indices = ours(x)
    np.testing.assert_array_equal(indices, theirs(torch.from_numpy(x))[1].numpy())


X = np.zeros((2, 3, 8, 7), "f")


def pool(kernel_size=2, output_size=4, **options) -> nn.FractionalMaxPool2d:
    return nn.FractionalMaxPool2d(kernel_size, output_size, **options)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.FractionalMaxPool2d(2), ValueError, "one of output_size and output_ratio must"),
        (lambda: pool(output_ratio=0.5), ValueError, "one of output_size and output_ratio must"),
        (lambda: pool(output_size=None, output_ratio=1.0), ValueError, "output_ratio must be 2 nu"),
        (lambda: pool(output_size=None, output_ratio=[0.5]), ValueError, "output_ratio must be 2"),
        (lambda: pool(0), ValueError, "kernel_size must be at least 1, got 0"),
        (lambda: pool((2, 2, 2)), ValueError, "kernel_size must be an int or a tuple of 2 ints"),
        (lambda: pool(2, -1), ValueError, "output_size must be at least 0, got -1"),
        (lambda: pool(2, 4.0), TypeError, "output_size must be an int or a tuple of 2 ints"),
        (lambda: pool(2, 7)(X), ValueError, "plus output sizes .* must be at most the input's"),
        (
            lambda: nn.FractionalMaxPool3d(2, 4)(np.zeros((2, 3, 5, 5, 5), "f")),
            ValueError,
            "plus output sizes .* must be at most the input's",
        ),
        (lambda: pool()(X[0, 0]), ValueError, "input must be 3-d or 4-d"),
        (lambda: pool()(X[:, :0]), ValueError, "must be empty in its batch alone"),
        (
            lambda: pool(_random_samples=np.zeros((2, 3, 2)))(X),
            TypeError,
            "_random_samples must have dtype float32, got float64",
        ),
        *(
            (
                lambda shape=shape: pool(_random_samples=np.zeros(shape, "f"))(X),
                ValueError,
                r"_random_samples must have shape \(2, 3, 2\), got",
            )
            for shape in [(1, 3, 2), (2, 1, 2), (2, 3, 3), (2, 3)]
        ),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
