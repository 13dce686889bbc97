"""torch.nn.init: with the same seed, torch's own numbers."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import init as twin_init

from numpy_impl import random
from numpy_impl.nn import init
from numpy_impl.nn.parameter import Parameter
from numpy_impl.tensor.tensor import Tensor
from torch_ref.compare import Result, Tolerance

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Case:
    """One call of one function; ``ulp`` allows so many of the largest value, 0 is bit for bit."""

    name: str
    shape: tuple[int, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    ulp: float = 0

    def __str__(self) -> str:
        kwargs = "".join(f", {key}={value}" for key, value in self.kwargs.items())
        return f"{self.name}({self.shape}{kwargs})" + (f" [{self.note}]" if self.note else "")

    def measure(self, dtype: str) -> list[Result]:
        """The values of three seeds; both generators must have drawn equally much."""
        results = []
        for seed in (0, 1, 2):
            random.manual_seed(seed)
            torch.manual_seed(seed)
            ours = getattr(init, self.name)(np.full(self.shape, np.nan, dtype), **self.kwargs)
            tensor = torch.full(self.shape, torch.nan, dtype=DTYPES[dtype])
            twin = getattr(twin_init, self.name)(tensor, **self.kwargs)
            np.testing.assert_array_equal(
                random.rand(3), torch.rand(3).numpy(), "draws are out of step"
            )
            results.append(Result(f"values of seed {seed}", "forward", ours, twin.numpy()))
        return results

    def tolerance(self, dtype: str, result: Result) -> Tolerance:
        largest = float(np.abs(result.twin).max(initial=0))
        return Tolerance(0, self.ulp * float(np.finfo(dtype).eps) * largest)


NORMAL = 4  # as parity_tests/test_random.py finds for normal values

CASES = [
    Case("uniform_", (7, 9)),
    Case("uniform_", (7, 9), {"a": -0.3, "b": 0.1}),
    Case("uniform_", ()),
    Case("normal_", (7, 9), ulp=NORMAL),
    Case("normal_", (7, 2), {"mean": 1.5, "std": 0.3}, "fewer than 16 values", NORMAL),
    Case("trunc_normal_", (40, 9), ulp=NORMAL),
    Case("trunc_normal_", (40, 9), {"std": 0.02}, "nothing is cut off", NORMAL),
    Case("trunc_normal_", (40, 9), {"mean": 0.5, "std": 2.0, "a": -1, "b": 1.0}, ulp=NORMAL),
    Case("trunc_normal_", (40, 9), {"mean": 0.3, "a": -0.1, "b": 0.2}, "narrow: from uniform"),
    Case("trunc_normal_", (40, 9), {"a": 1.5, "b": 4.0}, "the tail: from uniform"),
    Case("trunc_normal_", (40, 9), {"std": 0.5, "a": -3.0, "b": -0.9}, "the other tail"),
    Case("trunc_normal_", (4, 9), {"a": 0.1, "b": 0.1}, "a single point"),
    Case("trunc_normal_", (0, 9)),
    Case("constant_", (3, 4), {"val": 0.1}),
    Case("ones_", (3, 4)),
    Case("zeros_", (3, 4)),
    Case("eye_", (3, 4), note="wide"),
    Case("eye_", (4, 3), note="tall"),
    Case("dirac_", (3, 4, 3)),
    Case("dirac_", (6, 2, 3, 4), {"groups": 2}, "even kernel"),
    Case("dirac_", (6, 4, 3, 3), {"groups": 3}, "fewer outputs in a group than inputs"),
    Case("dirac_", (4, 2, 3, 1, 2)),
    Case("xavier_uniform_", (5, 7)),
    Case("xavier_uniform_", (5, 7, 3, 2), {"gain": 5 / 3}, "kernel"),
    Case("xavier_normal_", (5, 7), ulp=NORMAL),
    Case("xavier_normal_", (5, 7, 3), {"gain": 0.5}, "kernel", NORMAL),
    Case("kaiming_uniform_", (5, 7)),
    Case("kaiming_uniform_", (5, 7), {"a": math.sqrt(5)}, "as Linear and Conv do"),
    Case("kaiming_uniform_", (5, 7, 3, 3), {"mode": "fan_out", "nonlinearity": "relu"}),
    Case("kaiming_uniform_", (5, 7, 3), {"mode": "FAN_OUT", "nonlinearity": "tanh"}),
    Case("kaiming_normal_", (5, 7), ulp=NORMAL),
    Case("kaiming_normal_", (5, 7, 3), {"mode": "fan_out", "nonlinearity": "selu"}, ulp=NORMAL),
    Case("sparse_", (10, 4), {"sparsity": 0.33}, ulp=NORMAL),
    Case("sparse_", (10, 4), {"sparsity": 1.0, "std": 2.0}, "all zero"),
    Case("sparse_", (10, 4), {"sparsity": 0.0}, "no zeros", NORMAL),
    # two LAPACKs: the rounding errors grow with the condition of the normal matrix
    Case("orthogonal_", (20, 20), {"gain": 1.7}, "square: the worst condition", 200),
    Case("orthogonal_", (12, 30), {}, "wide", 20),
    Case("orthogonal_", (30, 12), {}, "tall", 20),
    Case("orthogonal_", (8, 4, 3, 3), {}, "kernel", 20),
    Case("orthogonal_", (3, 3), {}, "fewer than 16 values", 200),
    Case("orthogonal_", (0, 3), note="empty"),
]


def arguments(case: Case) -> set[str]:
    """What the function can be given."""
    return set(inspect.signature(getattr(init, case.name)).parameters)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_the_twin(case: Case, dtype: str) -> None:
    for result in case.measure(dtype):
        result.check(case.tolerance(dtype, result), f"{case} {dtype}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fills_what_it_is_given(case: Case) -> None:
    """In place, whether Parameter, Tensor or array, in any memory layout; and returns it."""
    fill = getattr(init, case.name)
    random.manual_seed(9)
    wanted = fill(np.full(case.shape, np.nan, "float32"), **case.kwargs)
    array = np.full(case.shape, np.nan, "float32", order="F")
    parameter = Parameter(array)
    for given in (array, parameter):
        array[...] = np.nan
        random.manual_seed(9)
        assert fill(given, **case.kwargs) is given
        assert parameter.data is array
        np.testing.assert_array_equal(array, wanted)
    tensor = Tensor(np.full(case.shape, np.nan, "float32"))
    result, before = tensor * 2, tensor.data
    random.manual_seed(9)
    assert fill(tensor, **case.kwargs) is tensor
    np.testing.assert_array_equal(tensor.data, wanted)
    # what was computed from it before stays right
    assert np.isnan(before).all()
    assert np.isnan(result.data).all()


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool", "uint8", "float64"])
@pytest.mark.parametrize("case", [c for c in CASES if "generator" not in arguments(c)], ids=str)
def test_constants_fill_all_dtypes(case: Case, dtype: str) -> None:
    shape = case.shape
    ours = getattr(init, case.name)(np.full(shape, 7).astype(dtype), **case.kwargs)
    twin = torch.from_numpy(np.full(shape, 7).astype(dtype))
    getattr(twin_init, case.name)(twin, **case.kwargs)
    np.testing.assert_array_equal(ours, twin.numpy())
    assert ours.dtype == dtype


RANDOM = [case for case in CASES if "generator" in arguments(case)]


@pytest.mark.parametrize("case", [c for c in RANDOM if 0 not in c.shape], ids=str)
def test_own_generator(case: Case) -> None:
    """The numbers come from it; only sparse_ takes its permutations from the default, as torch."""
    random.manual_seed(9)
    fill = getattr(init, case.name)
    wanted = fill(np.empty(case.shape), **case.kwargs)
    random.manual_seed(8)
    before = random.get_rng_state()
    own = random.Generator().manual_seed(9)
    got = fill(np.empty(case.shape), **case.kwargs, generator=own)
    if case.name == "sparse_":
        torch.manual_seed(8)
        twin = torch.empty(case.shape, dtype=torch.float64)
        twin_init.sparse_(twin, **case.kwargs, generator=torch.Generator().manual_seed(9))
        np.testing.assert_allclose(got, twin.numpy(), rtol=1e-14)
        np.testing.assert_array_equal(random.rand(3), torch.rand(3).numpy())
    else:
        np.testing.assert_array_equal(got, wanted)
        np.testing.assert_array_equal(random.get_rng_state(), before)


def test_same_names_and_signatures() -> None:
    names = {name for name in twin_init.__all__ if name.endswith("_")} | {"calculate_gain"}
    assert set(init.__all__) == names
    for name in names:
        ours = inspect.signature(getattr(init, name)).parameters.values()
        twin = inspect.signature(getattr(twin_init, name)).parameters.values()
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in twin], name
    assert names == {case.name for case in CASES} | {"calculate_gain"}


@pytest.mark.parametrize(
    "args",
    [(name,) for name in [*init._GAINS, "leaky_relu"]]
    + [("leaky_relu", 0.2), ("leaky_relu", 0), ("leaky_relu", math.sqrt(5)), ("relu", 3.0)],
)
def test_calculate_gain(args: tuple) -> None:
    assert init.calculate_gain(*args) == twin_init.calculate_gain(*args)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 2), (4, 2, 3, 5), (1, 2, 3, 4, 5), (0, 2)])
def test_fans(shape: tuple[int, ...]) -> None:
    wanted = twin_init._calculate_fan_in_and_fan_out(torch.empty(shape))
    assert init._calculate_fan_in_and_fan_out(np.empty(shape)) == wanted


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_empty_arrays_warn_and_draw_nothing(name: str) -> None:
    before = random.get_rng_state()
    with pytest.warns(UserWarning, match="zero-element tensors is a no-op") as record:
        getattr(init, name)(np.empty((0, 3)))
    assert record[0].filename == __file__
    np.testing.assert_array_equal(random.get_rng_state(), before)


def test_trunc_normal_warns_far_outside() -> None:
    random.manual_seed(2)
    torch.manual_seed(2)
    for bounds in ({"a": 2.5, "b": 4.0}, {"a": -4.0, "b": -2.5}):
        with pytest.warns(UserWarning, match="mean=0.0 is more than 2 std=1.0 outside") as record:
            ours = init.trunc_normal_(np.empty((5, 6)), **bounds)
        with pytest.warns(UserWarning, match="mean is more than 2 std"):
            twin = twin_init.trunc_normal_(torch.empty(5, 6, dtype=torch.float64), **bounds)
        np.testing.assert_array_equal(ours, twin.numpy())
        assert record[0].filename == __file__


def test_trunc_normal_takes_the_logarithm_of_zero() -> None:
    """u = 0 keeps every value; an all-zero Mersenne Twister draws nothing else."""
    generator = random.Generator()
    state = generator.get_state()
    state.view(random._STATE)["words"] = 0
    generator.set_state(state)
    values = init.trunc_normal_(np.empty(20), a=1.5, b=4.0, generator=generator)
    np.testing.assert_array_equal(values, np.full(20, 1.5))


MATRIX = np.zeros((4, 3), np.float32)

WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: init.ones_([1.0]), TypeError, r"a Tensor or a real array, got \[1.0\]"),
    (lambda: init.ones_(np.zeros(3, complex)), TypeError, "a real array, got array of complex128"),
    (lambda: init.uniform_([1.0]), TypeError, r"a float32 or float64 array, got \[1.0\]"),
    (lambda: init.uniform_(np.zeros(3, np.float16)), TypeError, "got array of float16"),
    (lambda: init.uniform_(np.zeros(3, int)), TypeError, "got array of int64"),
    (lambda: init.uniform_(MATRIX, 2, 1), ValueError, "got a=2.0, b=1.0"),
    (lambda: init.normal_(MATRIX, 0, -1), ValueError, "std must not be negative, got -1"),
    (lambda: init.trunc_normal_(MATRIX, std=0), ValueError, "std must be positive, got 0"),
    (lambda: init.trunc_normal_(MATRIX, a=2, b=1), ValueError, "a must not exceed b, got a=2, b=1"),
    (lambda: init.eye_(MATRIX[0]), ValueError, r"must have 2 dimensions, got shape \(3,\)"),
    (lambda: init.eye_(MATRIX[None]), ValueError, r"must have 2 dimensions, got shape \(1, 4, 3\)"),
    (lambda: init.dirac_(MATRIX), ValueError, r"must have 3 to 5 dimensions, got shape \(4, 3\)"),
    (lambda: init.dirac_(np.zeros((1,) * 6)), ValueError, "must have 3 to 5 dimensions"),
    (lambda: init.dirac_(MATRIX[..., None], 3), ValueError, "groups must divide the 4 .* got 3"),
    (lambda: init.dirac_(MATRIX[..., None], 0), ValueError, "groups must divide the 4 .* got 0"),
    (
        lambda: init.xavier_uniform_(MATRIX[0]),
        ValueError,
        r"2 or more dimensions, got shape \(3,\)",
    ),
    (lambda: init.xavier_normal_(MATRIX[0]), ValueError, "2 or more dimensions"),
    (lambda: init.kaiming_uniform_(MATRIX[0]), ValueError, "2 or more dimensions"),
    (lambda: init.kaiming_normal_(MATRIX, mode="fan"), ValueError, "mode must be .* got 'fan'"),
    (lambda: init.kaiming_normal_(MATRIX, mode=None), ValueError, "mode must be .* got None"),
    (lambda: init.kaiming_normal_(MATRIX, True), ValueError, "negative slope, a number, got True"),
    (lambda: init.orthogonal_(MATRIX[0]), ValueError, "2 or more dimensions"),
    (lambda: init.sparse_(MATRIX[0], 0.1), ValueError, "must have 2 dimensions"),
    (lambda: init.sparse_(MATRIX, 1.5), ValueError, r"sparsity must lie in \[0, 1\], got 1.5"),
    (lambda: init.calculate_gain("gelu"), ValueError, "nonlinearity must be one of .* got 'gelu'"),
    (lambda: init.calculate_gain("leaky_relu", "0"), ValueError, "slope, a number, got '0'"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_use_is_refused_and_changes_nothing(wrong, error, message) -> None:
    before = random.get_rng_state()
    with pytest.raises(error, match=message):
        wrong()
    assert not MATRIX.any()
    np.testing.assert_array_equal(random.get_rng_state(), before)
