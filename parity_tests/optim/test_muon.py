"""Muon in bfloat16, as it runs; the tables have its formula in the parameters' own dtype."""

import numpy as np
import pytest
import torch
from torch.optim._muon import _zeropower_via_newtonschulz as torch_s

import torch_ref
from numpy_impl import nn, optim
from numpy_impl.optim.muon import as_bfloat16, orthogonalize
from parity_tests.optim.cases import Case, without_bfloat16

ARGUMENTS = ((3.4445, -4.7750, 2.0315), 5, 1e-7)
# of bfloat16, whose numbers have eight bits
EPS = 2.0**-8


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_rounds_as_torch_does() -> None:
    """All exponents, ties to even, overflow to infinity, denormals; no number stays none."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal(10_000) * 10.0 ** rng.integers(-44, 38, 10_000)
    ties = np.array([1 + EPS, 1 + 3 * EPS, -1 - EPS, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan, 0])
    # a signalling NaN, all of whose low bits a carry would turn into a zero
    nan = np.array([0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    for given in (values.astype(np.float32), ties.astype(np.float32), nan):
        expected = torch.from_numpy(given.copy()).bfloat16().float().numpy()
        np.testing.assert_array_equal(as_bfloat16(given), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(4, 5), (5, 3), (1, 7), (40, 30), (64, 64), (256, 128), (3, 500)]
)
def test_is_nearer_to_torch_than_torch_is_to_exact(shape, dtype) -> None:
    """A sum's order decides on some roundings: within two, which bfloat16 exceeds."""
    matrix = np.random.default_rng(3).standard_normal(shape).astype(dtype)
    found = orthogonalize(matrix, *ARGUMENTS)
    twin = torch_s(torch.from_numpy(matrix), *ARGUMENTS).float().numpy()
    with without_bfloat16():
        exact = torch_s(torch.from_numpy(matrix), *ARGUMENTS).numpy()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(as_bfloat16(found), found)
    assert distance(found, twin) < 2 * EPS
    assert distance(found, twin) < 0.7 * distance(twin, exact)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_stay_as_near_as_their_roundings(dtype) -> None:
    """Fifty steps, from one start and with the same gradients; parameters stay in their dtype."""
    rng = np.random.default_rng(0)
    start = rng.standard_normal((64, 48)).astype(dtype)
    our, twin = nn.Parameter(start.copy()), torch.nn.Parameter(torch.from_numpy(start.copy()))
    case = Case("Muon", "lr=0.02")
    optimizer, other = case.build(optim, [our]), case.build(torch_ref.optim, [twin])
    for _ in range(50):
        our.grad = rng.standard_normal(start.shape).astype(dtype)
        twin.grad = torch.from_numpy(our.grad.copy())
        optimizer.step()
        other.step()
    assert our.data.dtype == dtype
    assert distance(our.data, twin.detach().numpy()) < EPS
    assert distance(start, our.data) > 0.1


def test_zeros_and_what_is_no_number() -> None:
    for matrix in (np.zeros((3, 4)), np.full((3, 4), np.nan), np.full((3, 4), 1e-9)):
        twin = torch_s(torch.from_numpy(matrix), *ARGUMENTS).float().numpy()
        np.testing.assert_array_equal(orthogonalize(matrix, *ARGUMENTS), twin)


def test_takes_matrices_alone() -> None:
    """In torch, those of the constructor; here, those of a group that is added, too."""
    cube = nn.Parameter(np.ones((2, 3, 4)))
    with pytest.raises(ValueError, match="only supports 2D parameters"):
        torch_ref.optim.Muon([torch.nn.Parameter(torch.ones(2, 3, 4))])
    with pytest.raises(ValueError, match=r"params must be 2-d for Muon, got shape \(2, 3, 4\)"):
        optim.Muon([cube])
    optimizer = optim.Muon([nn.Parameter(np.ones((2, 3)))])
    with pytest.raises(ValueError, match="params must be 2-d for Muon"):
        optimizer.add_param_group({"params": [cube]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ns_steps": 100}, "ns_steps must be below 100, got 100"),
        ({"ns_coefficients": (1.0, 2.0)}, "ns_coefficients must be three numbers"),
    ],
)
def test_what_torch_finds_in_the_first_step(options, message) -> None:
    twin = torch.nn.Parameter(torch.ones(2, 2))
    twin.grad = torch.ones(2, 2)
    other = torch_ref.optim.Muon([twin], **options)
    with pytest.raises(ValueError, match=r"less than 100|exactly 3"):
        other.step()
    with pytest.raises(ValueError, match=message):
        optim.Muon([nn.Parameter(np.ones((2, 2)))], **options)
