"""BatchNorm1d, BatchNorm2d, BatchNorm3d."""

import numpy as np
import pytest
import torch

from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, run_module
from torch_ref.convert import copy_weights


def far_from_zero(rng: np.random.Generator) -> np.ndarray:
    return 100 + rng.standard_normal((8, 3, 5, 5))


CASES = [
    Case("BatchNorm1d", "5", (6, 5)),
    Case("BatchNorm1d", "5", (6, 5, 7), "with positions"),
    Case("BatchNorm1d", "5", (1, 5, 7), "one sample, several positions"),
    Case("BatchNorm1d", "5, eps=0.1, momentum=0.7", (6, 5)),
    Case("BatchNorm1d", "5", (6, 5), train=False),
    Case("BatchNorm2d", "3", (4, 3, 5, 6)),
    Case("BatchNorm2d", "3", (4, 3, 5, 6), train=False),
    Case("BatchNorm2d", "3", (0, 3, 5, 6), "empty batch", train=False),
    Case("BatchNorm2d", "3, affine=False", (4, 3, 5, 6)),
    Case("BatchNorm2d", "3, affine=False", (4, 3, 5, 6), train=False),
    Case("BatchNorm2d", "3, bias=False", (4, 3, 5, 6)),
    Case("BatchNorm2d", "3, track_running_stats=False", (4, 3, 5, 6)),
    Case("BatchNorm2d", "3, track_running_stats=False", (4, 3, 5, 6), train=False),
    Case("BatchNorm2d", "3, momentum=None", (4, 3, 5, 6), "plain average"),
    Case("BatchNorm2d", "3, affine=False, track_running_stats=False", (4, 3, 5, 6)),
    Case("BatchNorm2d", "16", (32, 16, 14, 14), "long sums"),
    Case("BatchNorm2d", "3", far_from_zero, "mean far above the deviation"),
    Case("BatchNorm3d", "3", (2, 3, 2, 4, 3)),
    Case("BatchNorm3d", "3", (2, 3, 2, 4, 3), train=False),
]


class TestBatchNorm(ModuleParity):
    cases = CASES


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_over_many_batches(momentum) -> None:
    ours = nn.BatchNorm1d(4, momentum=momentum, dtype="float64")
    twin = torch.nn.BatchNorm1d(4, momentum=momentum, dtype=torch.float64)
    copy_weights(ours, twin)
    rng = np.random.default_rng(0)
    for step in range(5):
        for result in run_module(ours, twin, [rng.standard_normal((6, 4)) + step], rng):
            if result.direction != "param_grad":  # those accumulate on both sides
                result.check(tolerance("float64", result.direction), f"step {step}")
    assert ours.num_batches_tracked == 5


def test_running_variance_is_the_unbiased_one() -> None:
    layer = nn.BatchNorm1d(1, momentum=1.0, dtype="float64")
    layer(np.array([[0.0], [2.0]]))
    assert layer.running_var[0] == 2.0  # 2 / (2 - 1); the biased one is 1


def test_reset() -> None:
    layer = nn.BatchNorm1d(2)
    layer(np.random.default_rng(0).standard_normal((4, 2)).astype("f"))
    layer.weight.data[...] = 3
    layer.reset_parameters()
    fresh = nn.BatchNorm1d(2).state_dict()
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, fresh[key])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.BatchNorm2d(-1), ValueError, "num_features must be an int of at least 0"),
        (lambda: nn.BatchNorm1d(3)(np.zeros((1, 3), "f")), ValueError, "more than 1 value per"),
        (lambda: nn.BatchNorm2d(3)(np.zeros((2, 3), "f")), ValueError, "input must be 4-d"),
        (lambda: nn.BatchNorm2d(3)(np.zeros((2, 4, 2, 2), "f")), ValueError, "num_features=3"),
        (lambda: nn.BatchNorm1d(3)(np.zeros((2, 3))), TypeError, "dtype float32, got float64"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def test_agrees_with_itself_whatever_the_block() -> None:
    """The summation's blocks, and their rest, against one long float64 sum."""
    x = np.random.default_rng(0).standard_normal((50, 2, 9, 9)).astype("f")
    layer = nn.BatchNorm2d(2, momentum=1.0)
    layer(x)
    exact = x.astype(np.float64).mean((0, 2, 3))
    Result("running_mean", "buffer", layer.running_mean, exact.astype("f")).check(
        tolerance("float32", "buffer")
    )
