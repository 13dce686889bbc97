"""InstanceNorm1d, InstanceNorm2d, InstanceNorm3d."""

import numpy as np
import pytest
import torch

from numpy_impl import nn
from parity_tests.cases import DTYPES, Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_module
from torch_ref.convert import copy_weights


def far_from_zero(rng: np.random.Generator) -> np.ndarray:
    return 10 + rng.standard_normal((4, 3, 5, 5))


TRACKING = "3, track_running_stats=True"
CASES = [
    Case("InstanceNorm1d", "3", (4, 3, 7)),
    Case("InstanceNorm1d", "3", (3, 7), "no batch"),
    Case("InstanceNorm1d", "3, affine=True", (3, 7), "no batch"),
    Case("InstanceNorm1d", "3, eps=0.1, momentum=0.7, affine=True", (4, 3, 7)),
    Case("InstanceNorm1d", TRACKING, (4, 3, 7)),
    Case("InstanceNorm1d", TRACKING, (4, 3, 7), train=False),
    Case("InstanceNorm1d", TRACKING, (3, 7), "no batch"),
    Case("InstanceNorm1d", TRACKING, (3, 7), "no batch", train=False),
    Case("InstanceNorm1d", TRACKING, (4, 3, 1), "one position", train=False),
    Case("InstanceNorm1d", TRACKING, (0, 3, 4), "empty batch: NaN statistics"),
    Case("InstanceNorm1d", TRACKING, (0, 3, 4), "empty batch", train=False),
    Case("InstanceNorm1d", TRACKING, (2, 3, 0), "no positions: nothing moves"),
    Case("InstanceNorm1d", f"{TRACKING}, momentum=None", (4, 3, 7), "nothing moves"),
    Case("InstanceNorm2d", "3", (4, 3, 5, 6)),
    Case("InstanceNorm2d", "3", (4, 3, 5, 6), train=False),
    Case("InstanceNorm2d", "3, affine=True", (3, 5, 6), "no batch"),
    Case("InstanceNorm2d", "3, affine=True, bias=False", (4, 3, 5, 6)),
    Case("InstanceNorm2d", f"{TRACKING}, affine=True", (4, 3, 5, 6)),
    Case("InstanceNorm2d", f"{TRACKING}, affine=True", (4, 3, 5, 6), train=False),
    Case("InstanceNorm2d", f"{TRACKING}, affine=True, bias=False", (4, 3, 5, 6), train=False),
    Case("InstanceNorm2d", "8, affine=True", (40, 8, 30, 30), "in slices"),
    Case("InstanceNorm2d", "3", far_from_zero, "mean far above the deviation"),
    Case("InstanceNorm3d", "3, affine=True", (2, 3, 2, 4, 3)),
    Case("InstanceNorm3d", TRACKING, (2, 3, 2, 4, 3)),
    Case("InstanceNorm3d", TRACKING, (3, 2, 4, 3), "no batch", train=False),
]


class TestInstanceNorm(ModuleParity):
    cases = CASES


def test_running_statistics_over_many_batches() -> None:
    """Means over the samples of each one's own; batches are not counted, as in torch."""
    ours = nn.InstanceNorm1d(4, track_running_stats=True, dtype="float64")
    twin = torch.nn.InstanceNorm1d(4, track_running_stats=True, dtype=torch.float64)
    rng = np.random.default_rng(0)
    for step in range(5):
        for result in run_module(ours, twin, [rng.standard_normal((6, 4, 3)) + step], rng):
            result.check(tolerance("float64", result.direction), f"step {step}")
    assert ours.num_batches_tracked == 0


def test_running_variance_is_the_unbiased_one() -> None:
    layer = nn.InstanceNorm1d(1, momentum=1.0, track_running_stats=True, dtype="float64")
    layer(np.array([[[0.0, 2.0]], [[0.0, 4.0]]]))
    np.testing.assert_allclose(layer.running_var, 5.0)  # of 2 and 8; the biased ones are 1 and 4
    np.testing.assert_allclose(layer.running_mean, 1.5)


def test_a_later_call_moves_no_earlier_backward() -> None:
    """The gradient of an evaluation is that of the statistics that it used."""
    layer = nn.InstanceNorm1d(2, affine=True, track_running_stats=True, dtype="float64").eval()
    x, dy = np.random.default_rng(0).standard_normal((2, 3, 2, 4))
    layer(x)
    wanted = layer.backward(dy, retain_graph=True)
    layer.running_mean += 5
    layer.running_var *= 9
    np.testing.assert_array_equal(layer.backward(dy), wanted)
    once = (dy * x).sum((0, 2)) / np.sqrt(1 + layer.eps)
    np.testing.assert_allclose(layer.weight.grad, 2 * once, rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_other_channels_without_parameters_are_a_warning(dtype) -> None:
    ours, twin = nn.InstanceNorm1d(3), torch.nn.InstanceNorm1d(3)
    copy_weights(ours, twin)
    x = np.random.default_rng(0).standard_normal((2, 5, 4)).astype(dtype)
    with pytest.warns(UserWarning, match="num_features") as seen:
        results = run_module(ours, twin, [x], np.random.default_rng(1))
    assert len(seen) == 2  # torch's, and ours
    for result in results:
        result.check(tolerance(dtype, result.direction), "other channels")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.InstanceNorm1d(-1), ValueError, "num_features must not be negative, got -1"),
        (
            lambda: nn.InstanceNorm1d(3)(np.zeros((2, 3, 1), "f")),
            ValueError,
            "than 1 position",
        ),
        (lambda: nn.InstanceNorm2d(3)(np.zeros((2, 3), "f")), ValueError, "input must be 3-d or 4"),
        (
            lambda: nn.InstanceNorm1d(3, affine=True)(np.zeros((2, 4, 5), "f")),
            ValueError,
            "InstanceNorm1d: input must have num_features=3 channels",
        ),
        (
            lambda: nn.InstanceNorm1d(3, track_running_stats=True)(np.zeros((4, 5), "f")),
            ValueError,
            r"num_features=3 channels, got shape \(4, 5\)",
        ),
        (
            lambda: nn.InstanceNorm1d(3, affine=True)(np.zeros((2, 3, 5))),
            TypeError,
            "dtype float32, got float64",
        ),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
