"""erf and the normal distribution function, against the math module and torch."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from numpy_impl.kernels.special import erf, log_logistic, logistic, normal_cdf

EDGES = [0.0, -0.0, 0.5, -0.5, math.nextafter(0.5, 1), 1e-45, 1e-310, 1e30, np.inf, -np.inf, np.nan]


def values(dtype: str) -> np.ndarray:
    """Densely where the formulas are, and of every magnitude; enough for several slices."""
    rng = np.random.default_rng(0)
    return np.concatenate(
        [
            np.linspace(-10, 10, 100_001),
            np.linspace(-0.51, 0.51, 100_001),
            rng.choice([-1, 1], 100_000) * 10 ** rng.uniform(-44, 2, 100_000),
            EDGES,
        ]
    ).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erf(dtype) -> None:
    """Within 3 units in the last place; torch's is within 1 of the same."""
    x = values(dtype)
    found, wanted = erf(x), np.array([math.erf(v) for v in x.tolist()])
    assert found.dtype == dtype
    unit = np.spacing(np.abs(wanted).astype(dtype)).astype(float)
    for theirs, allowed in ((wanted, 3), (torch.erf(torch.from_numpy(x)).numpy(), 4)):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(theirs))
        assert np.nanmax(np.abs(found.astype(float) - theirs) / unit) <= allowed
    np.testing.assert_array_equal(np.signbit(found[-11:-9]), [False, True])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_cdf(dtype) -> None:
    """Within one unit in the last place of 1, and exactly 0 and 1 at the ends."""
    x = values(dtype)
    found = normal_cdf(x)
    wanted = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x.tolist()])
    assert found.dtype == dtype
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    assert np.nanmax(np.abs(found - wanted)) <= np.finfo(dtype).eps
    ends = np.array([-1000.0, -np.inf, 1000.0, np.inf], dtype)
    np.testing.assert_array_equal(normal_cdf(ends), [0, 0, 1, 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logistic_and_its_logarithm(dtype) -> None:
    """As torch's; the logarithm keeps its digits where the function is near 0."""
    x = values(dtype)
    for found, theirs in ((logistic, torch.sigmoid), (log_logistic, F.logsigmoid)):
        with np.errstate(over="ignore"):
            y, wanted = found(x), theirs(torch.from_numpy(x)).numpy()
        assert y.dtype == dtype
        np.testing.assert_allclose(y, wanted, 4 * np.finfo(dtype).eps, 1e-40)
        assert found(np.array(0.5, dtype)) == pytest.approx(found(np.array([0.5], dtype))[0])
    out = np.empty(3, dtype)
    assert log_logistic(np.array([-1000, 0, 1000], dtype), out) is out
    np.testing.assert_allclose(out, [-1000, -math.log(2), 0], 1e-6)


def test_numbers_and_nothing() -> None:
    assert erf(np.array(0.25)) == pytest.approx(math.erf(0.25), rel=1e-15)
    assert erf(np.empty((0, 3), "f")).shape == (0, 3)
