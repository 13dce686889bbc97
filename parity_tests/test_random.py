"""The random stream against torch's: each call, calls in any order, and the generator's state."""

import copy
import inspect
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_impl import random

DTYPES = {"float32": torch.float32, "float64": torch.float64}
Call = tuple[Any, ...]  # a key of CALLS, and the arguments

# what each call is in both worlds
CALLS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., torch.Tensor]]] = {
    "rand": (
        lambda g, n, dtype: random.rand(n, generator=g, dtype=dtype),
        lambda g, n, dtype: torch.rand(n, generator=g, dtype=DTYPES[dtype]),
    ),
    "uniform_": (
        lambda g, n, dtype, a, b: random.uniform_(np.empty(n, dtype), a, b, g),
        lambda g, n, dtype, a, b: torch.empty(n, dtype=DTYPES[dtype]).uniform_(a, b, generator=g),
    ),
    "randn": (
        lambda g, n, dtype: random.randn(n, generator=g, dtype=dtype),
        lambda g, n, dtype: torch.randn(n, generator=g, dtype=DTYPES[dtype]),
    ),
    "normal_": (
        lambda g, n, dtype, mean, std: random.normal_(np.empty(n, dtype), mean, std, g),
        lambda g, n, dtype, mean, std: torch.empty(n, dtype=DTYPES[dtype]).normal_(
            mean, std, generator=g
        ),
    ),
    "exponential_": (
        lambda g, n, dtype, lambd: random.exponential_(np.empty(n, dtype), lambd, g),
        lambda g, n, dtype, lambd: torch.empty(n, dtype=DTYPES[dtype]).exponential_(
            lambd, generator=g
        ),
    ),
    "bernoulli_mask": (
        lambda g, n, p: random.bernoulli_mask(n, p, g),
        lambda g, n, p: torch.empty(n, dtype=torch.bool).bernoulli_(p, generator=g),
    ),
    "randint": (
        lambda g, n, low, high: random.randint(low, high, (n,), generator=g),
        lambda g, n, low, high: torch.randint(low, high, (n,), generator=g),
    ),
    "randperm": (
        lambda g, n: random.randperm(n, g),
        lambda g, n: torch.randperm(n, generator=g),
    ),
}


def compare(call: Call, ours: random.Generator, twin: torch.Generator) -> None:
    """Run ``call`` on both generators: the same values, and the same state afterwards."""
    name, *args = call
    numpy_side, torch_side = CALLS[name]
    got, wanted = numpy_side(ours, *args), torch_side(twin, *args).numpy()
    assert got.dtype == wanted.dtype
    if name in ("randn", "normal_"):
        # measured over 10**6 values: 4 ulp in float32, 2 in float64; a mean can cancel the value
        largest = max(abs(arg) for arg in args[2:]) if name == "normal_" else 0
        allowed = 4 * np.finfo(wanted.dtype).eps
        np.testing.assert_allclose(got, wanted, rtol=allowed, atol=allowed * largest, strict=True)
    elif name == "exponential_":  # two math libraries
        np.testing.assert_allclose(got, wanted, rtol=2 * np.finfo(wanted.dtype).eps, strict=True)
    else:
        np.testing.assert_array_equal(got, wanted, strict=True)
    compare_states(ours, twin)


def compare_states(ours: random.Generator, twin: torch.Generator) -> None:
    got = ours.get_state().view(random._STATE)[0]
    wanted = twin.get_state().numpy().view(random._STATE)[0]
    for field in ("seed", "left", "seeded", "words", "has_normal"):
        np.testing.assert_array_equal(got[field], wanted[field], field)
    assert got["next"] == wanted["next"] % 624  # at the end of a block, 0 and 624 are the same
    np.testing.assert_allclose(got["normal"], wanted["normal"], rtol=1e-15)


def seeded(seed: int) -> tuple[random.Generator, torch.Generator]:
    return random.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)


EDGES: list[tuple[Call, str]] = [
    *[
        ((name, n, dtype), "around the blocks of 16 and 624")
        for name in ("rand", "randn")
        for dtype in DTYPES
        for n in (0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 311, 312, 623, 624, 625, 5000)
    ],
    *[
        (("uniform_", 5000, dtype, a, b), note)
        for dtype in DTYPES
        for a, b, note in [
            (-1 / 28, 1 / 28, "a layer's bounds: product and sum are rounded once"),
            (-2325.03, 41.3, "uneven bounds"),
            (1.0, 1 + 2**-22, "float32 rounds up to the bound, which is excluded"),
            (1.0, 1 + 2**-51, "as does float64"),
            (0.5, 0.5, "empty interval"),
            (-1e-45, 2.5, "a bound too small to matter, but where it breaks a tie"),
            (-3e-39, 2e-39, "subnormal in float32"),
            (-1e38, 1e38, "large in float32"),
        ]
    ],
    (("uniform_", 1000, "float64", -1e-300, 5e-301), "too small to be split into halves"),
    (("uniform_", 1000, "float64", -8e307, 8e307), "too large for it"),
    *[
        (("normal_", n, dtype, mean, std), "scaled and shifted")
        for dtype in DTYPES
        for n in (5, 16, 40)
        for mean, std in [(0.0, 0.02), (3.0, 1.0), (-0.7, 2.5), (1.5, 0.0), (0.0, 0.0)]
    ],
    *[
        (("exponential_", n, dtype, lambd), "any number of values, any rate")
        for dtype in DTYPES
        for n, lambd in [(0, 1.0), (1, 1.0), (17, 0.3), (5000, 2.5)]
    ],
    *[
        (("bernoulli_mask", 10_000, p), "limits and both halves of the comparison")
        for p in (0, 1e-20, 0.1, 0.5, 2 / 3, 1 - 2**-53, 1)
    ],
    *[
        (("randint", 50, low, high), "one output, or two from 2**28 on")
        for low, high in [
            (0, 1),
            (-3, 4),
            (0, 2**28 - 1),
            (0, 2**28),
            (-(2**40), 2**50),
            (-(2**63), 2**63 - 1),
        ]
    ],
    *[(("randperm", n), "lengths") for n in (0, 1, 2, 3, 10, 60_000)],
]


@pytest.mark.parametrize("call", [call for call, _ in EDGES], ids=str)
def test_call_agrees(call: Call) -> None:
    ours, twin = seeded(3)
    compare(call, ours, twin)
    compare(("randn", 1, "float32"), ours, twin)  # from here on, one normal value waits
    compare(call, ours, twin)


def test_float32_normal_values_are_close() -> None:
    """Every value of a large layer, not just the sample above."""
    ours, twin = seeded(11)
    compare(("randn", 784 * 600, "float32"), ours, twin)


def test_bernoulli_compares_the_low_word_too() -> None:
    """A probability whose comparison is decided by the second output, once in 2**21 values."""
    ours, twin = seeded(5)
    u = torch.rand(1000, generator=twin, dtype=torch.float64)[700].item()
    for p in (u, math.nextafter(u, 1)):  # u < p is False, then True
        mask = random.bernoulli_mask(1000, p, ours.manual_seed(5))
        wanted = torch.empty(1000, dtype=torch.bool).bernoulli_(p, generator=twin.manual_seed(5))
        np.testing.assert_array_equal(mask, wanted.numpy())


_sizes = st.integers(0, 70)
_dtypes = st.sampled_from(sorted(DTYPES))
_bounded = st.floats(-100, 100)
_calls = st.one_of(
    st.tuples(st.just("rand"), _sizes, _dtypes),
    st.tuples(st.just("uniform_"), _sizes, _dtypes, st.floats(-100, 0), st.floats(0.125, 100)),
    st.tuples(st.just("randn"), _sizes, _dtypes),
    st.tuples(st.just("normal_"), _sizes, _dtypes, _bounded, st.floats(0, 100)),
    st.tuples(st.just("exponential_"), _sizes, _dtypes, st.floats(0.125, 100)),
    st.tuples(st.just("bernoulli_mask"), _sizes, st.floats(0, 1)),
    st.tuples(st.just("randint"), _sizes, st.integers(-(2**62), 0), st.integers(1, 2**62)),
    st.tuples(st.just("randperm"), _sizes),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(seed=st.integers(-(2**63), 2**64 - 1), calls=st.lists(_calls, min_size=2, max_size=12))
def test_calls_in_any_order_stay_in_step(seed: int, calls: list[Call]) -> None:
    ours, twin = seeded(seed)
    for call in calls:
        compare(call, ours, twin)


@pytest.mark.parametrize(
    "seed", [0, 1, 42, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1, -1, -5, -(2**63)]
)
def test_seeds(seed: int) -> None:
    ours, twin = seeded(seed)
    assert ours.initial_seed() == twin.initial_seed()
    compare_states(ours, twin)
    compare(("rand", 5, "float32"), ours, twin)
    assert ours.initial_seed() == twin.initial_seed()


def test_a_new_generator_is_seeded_as_torch_s() -> None:
    compare_states(random.Generator(), torch.Generator())


def test_default_generator_follows_manual_seed() -> None:
    assert random.manual_seed(21) is random.default_generator
    torch.manual_seed(21)
    assert random.initial_seed() == torch.initial_seed() == 21
    np.testing.assert_array_equal(random.rand(3, 2), torch.rand(3, 2).numpy(), strict=True)
    np.testing.assert_array_equal(random.randperm(9), torch.randperm(9).numpy())
    np.testing.assert_array_equal(random.randint(7, (2, 3)), torch.randint(7, (2, 3)).numpy())
    wanted = torch.randint(7, size=(9,)).numpy()
    np.testing.assert_array_equal(random.randint(7, size=(9,)), wanted, strict=True)
    np.testing.assert_allclose(random.randn(5), torch.randn(5).numpy(), rtol=1e-6)
    mask = random.bernoulli_mask((4, 5), 0.3)
    np.testing.assert_array_equal(mask, torch.empty(4, 5).bernoulli_(0.3).numpy())
    compare_states(random.default_generator, torch.default_generator)


def test_own_generator_leaves_the_default_alone() -> None:
    random.manual_seed(1)
    before = random.get_rng_state()
    own = random.Generator()
    arguments = {"dtype": "float32", "p": 0.5, "a": 0, "b": 1, "mean": 0, "std": 1}
    arguments |= {"low": 0, "high": 9, "lambd": 2}
    for numpy_side, _ in CALLS.values():
        names = list(inspect.signature(numpy_side).parameters)[2:]
        numpy_side(own, 7, *[arguments[name] for name in names])
    np.testing.assert_array_equal(random.get_rng_state(), before)


def test_seed_is_different_each_time() -> None:
    first, second = random.seed(), random.seed()
    assert first != second == random.initial_seed()
    torch.manual_seed(second)
    np.testing.assert_array_equal(random.rand(3), torch.rand(3).numpy())


@pytest.mark.parametrize("drawn", [0, 3, 5, 624], ids="after {} numbers".format)
def test_state_is_restored_in_full(drawn: int) -> None:
    """Also the normal value that waits after an odd number of them."""
    generator = random.Generator().manual_seed(4)
    random.rand(drawn, generator=generator)
    random.randn(drawn % 16, generator=generator)
    state = generator.get_state()
    assert state.dtype == np.uint8
    wanted = random.randn(20, generator=generator), random.randn(3, generator=generator)
    state_after = generator.get_state()
    for other in (generator, random.Generator()):
        other.set_state(state)
        assert other.initial_seed() == 4
        for values in wanted:
            np.testing.assert_array_equal(random.randn(values.size, generator=other), values)
        np.testing.assert_array_equal(other.get_state(), state_after)


def test_state_is_a_copy() -> None:
    generator = random.Generator()
    state = generator.get_state()
    state[:] = 0
    assert generator.get_state().any()
    kept = generator.get_state()
    generator.set_state(kept)
    random.rand(700, generator=generator)
    np.testing.assert_array_equal(kept, random.Generator().get_state())


@pytest.mark.parametrize("drawn", [0, 1, 5, 624], ids="after {} numbers".format)
def test_state_travels_to_torch_and_back(drawn: int) -> None:
    twin = torch.Generator().manual_seed(8)
    torch.rand(drawn, generator=twin)
    torch.randn(drawn % 16, generator=twin)
    ours = random.Generator()
    ours.set_state(twin.get_state().numpy())
    compare(("randn", 5, "float64"), ours, twin)
    random.rand(100, generator=ours)
    twin.set_state(torch.from_numpy(ours.get_state()))
    compare(("randn", 6, "float64"), ours, twin)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies_continue_alone(duplicate: Callable[[random.Generator], random.Generator]) -> None:
    generator = random.Generator()
    random.randn(3, generator=generator)
    twin = duplicate(generator)
    values = random.randn(30, generator=generator)
    np.testing.assert_array_equal(random.randn(30, generator=twin), values)


def _layouts(shape: tuple[int, ...], dtype: str) -> dict[str, np.ndarray]:
    wide = np.full((*shape[:-1], 2 * shape[-1]), 9, dtype)
    return {
        "Fortran order": np.empty(shape, dtype, order="F"),
        "strided": wide[..., ::2],
        "reversed": np.empty(shape, dtype)[::-1, :, ::-1],
        "channels last": np.moveaxis(np.empty((*shape[:1], *shape[2:], shape[1]), dtype), -1, 1),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3, 2), (5, 3, 4)], ids=["pairwise", "blocks of 16"])
@pytest.mark.parametrize(
    "fill",
    [lambda x: random.uniform_(x, -0.3, 0.1), lambda x: random.normal_(x, 0.5, 2.0)],
    ids=["uniform_", "normal_"],
)
def test_fills_in_logical_order(fill: Callable, shape: tuple[int, ...], dtype: str) -> None:
    random.manual_seed(6)
    wanted = fill(np.empty(shape, dtype))
    for layout, array in _layouts(shape, dtype).items():
        random.manual_seed(6)
        assert fill(array) is array
        np.testing.assert_array_equal(array, wanted, layout)
        if layout == "strided":
            assert (array.base[..., 1::2] == 9).all(), "wrote beside the array"


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((), ()),
        ((4,), (4,)),
        ((2, 3), (2, 3)),
        (((2, 3),), (2, 3)),
        (([2, 3],), (2, 3)),
        ((np.int64(2), 0), (2, 0)),
        (((),), ()),
    ],
)
def test_sizes(size: tuple, shape: tuple[int, ...]) -> None:
    assert random.rand(*size).shape == random.randn(*size).shape == shape
    assert random.bernoulli_mask(shape, 0.5).shape == shape
    assert random.randint(0, 5, shape).shape == random.randint(5, size=shape).shape == shape


def _set_broken_state(field: str, value: int) -> None:
    state = random.get_rng_state()
    state.view(random._STATE)[field] = value
    random.set_rng_state(state)


WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (
        lambda: random.manual_seed(2**64),
        ValueError,
        "seed .* got 18446744073709551616",
    ),
    (lambda: random.manual_seed(-(2**63) - 1), ValueError, "seed .* got -9223372036854775809"),
    (lambda: random.manual_seed(1.5), TypeError, "seed must be an integer, got 1.5"),
    (lambda: random.manual_seed("1"), TypeError, "seed must be an integer, got '1'"),
    (lambda: random.set_rng_state([1]), TypeError, "state must be a uint8 array, got list"),
    (lambda: random.set_rng_state(np.ones(5056)), TypeError, "uint8 array, got float64"),
    (lambda: random.set_rng_state(np.ones(9, np.uint8)), ValueError, r"\(5056,\), got \(9,\)"),
    *[
        (lambda field=field, value=value: _set_broken_state(field, value), ValueError, "no state")
        for field, value in [("seeded", 0), ("left", 0), ("left", 625), ("words", 2**32)]
    ],
    (lambda: random.rand(-1), ValueError, r"size must not be negative, got \(-1,\)"),
    (lambda: random.rand(2.0), TypeError, "size must be an integer, got 2.0"),
    (lambda: random.rand(2, dtype="int32"), TypeError, "float32 or float64, got 'int32'"),
    (lambda: random.randn(2, dtype="f33"), TypeError, "float32 or float64, got 'f33'"),
    (lambda: random.rand(2, generator=torch.Generator()), TypeError, "generator must be a numpy"),
    (lambda: random.bernoulli_mask(3, 1.5), ValueError, r"p must lie in \[0, 1\], got 1.5"),
    (lambda: random.bernoulli_mask(3, float("nan")), ValueError, "got nan"),
    (lambda: random.bernoulli_mask(3, "half"), TypeError, "p must be a real number, got 'half'"),
    (lambda: random.randperm(-1), ValueError, "n must lie between 0 and 214748363, got -1"),
    (lambda: random.randperm(2**28), ValueError, "n must lie between 0 and 214748363, got 268"),
    (lambda: random.randperm(2.5), TypeError, "n must be an integer, got 2.5"),
    (lambda: random.randint(5, 5, (2,)), ValueError, "low=5, high=5"),
    (lambda: random.randint(0, 2**63, (2,)), ValueError, "64-bit integers, got low=0, high=9223"),
    (lambda: random.randint(0, 1.5, (2,)), TypeError, "high must be an integer, got 1.5"),
    (lambda: random.randint(0, 5, 3), TypeError, "size must be a tuple, got 3"),
    (lambda: random.randint(0, 5), TypeError, "size must be a tuple, got 5"),
    (lambda: random.uniform_(np.empty(3), 2, 1), ValueError, "got a=2.0, b=1.0"),
    (lambda: random.uniform_(np.empty(3), -1e308, 1e308), ValueError, "finite in float64"),
    (lambda: random.uniform_(np.empty(3, "f"), 0, 1e39), ValueError, "finite in float32"),
    (lambda: random.uniform_(np.empty(3), float("nan")), ValueError, "got a=nan"),
    (lambda: random.uniform_(np.empty(3), "0"), TypeError, "a must be a real number, got '0'"),
    (lambda: random.uniform_([1.0]), TypeError, "array must be a NumPy array, got list"),
    (lambda: random.uniform_(np.empty(3, int)), TypeError, "float32 or float64, got dtype.'int64'"),
    (lambda: random.uniform_(np.broadcast_to(1.0, 3)), ValueError, "array must be writeable"),
    (lambda: random.normal_(np.empty(3), 0, -1), ValueError, "std must not be negative, got -1"),
    (lambda: random.normal_(np.empty(3), 0, float("nan")), ValueError, "got nan"),
    (lambda: random.exponential_(np.empty(3), 0), ValueError, "lambd must be above 0, got 0"),
    (lambda: random.normal_(np.empty(3), None), TypeError, "mean must be a real number, got None"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), WRONG)
def test_wrong_use_is_refused_and_draws_nothing(wrong, error, message) -> None:
    before = random.get_rng_state()
    with pytest.raises(error, match=message):
        wrong()
    np.testing.assert_array_equal(random.get_rng_state(), before)
