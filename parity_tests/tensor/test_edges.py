"""Values at the edge: NaN, infinities, zeros, ties, nothing. Bit for bit torch's, gradients too."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import numpy_impl
from parity_tests.tensor.rows import Row, array_of, differentiable, is_tensor, leaves_of, parts
from torch_ref.compare import Result, Tolerance

NAN, INF = float("nan"), float("inf")
SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 1e300, 3.0]
LOGIT_VARIES = ("nan", "-0.0")  # by the width of the processor's vectors torch's gradient differs
TINY = Tolerance(rtol=1e-12, atol=1e-13)


def compare(code: str, *arrays: Any, zeros: bool = False) -> None:
    """Outputs and gradients as torch's, NaN where it has it; with ``zeros`` their signs, too."""
    values = [np.asarray(a) for a in arrays]
    row = Row(code)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twins = leaves_of(torch, values)
        expected = parts(row.run(torch, twins, "float64"))
    leaves = leaves_of(numpy_impl, values)
    outputs = parts(row.run(numpy_impl, leaves, "float64"))
    for ours, twin in zip(outputs, expected, strict=True):
        if is_tensor(twin):
            Result("output", "forward", array_of(ours), array_of(twin)).check(TINY, code)
            if not zeros:
                continue
            signs = np.signbit(array_of(twin)) & ~np.isnan(array_of(twin))
            assert (np.signbit(array_of(ours)) & ~np.isnan(array_of(ours)) == signs).all(), code
        else:
            assert array_of(ours) == array_of(twin), code
    for ours, twin in zip(differentiable(outputs), differentiable(expected), strict=True):
        upstream = np.arange(1.0, ours.numel() + 1).reshape(ours.shape)
        ours.backward(upstream, retain_graph=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            twin.backward(torch.from_numpy(upstream), retain_graph=True)
    for leaf, theirs in zip(leaves, twins, strict=True):
        if leaf.grad is not None or theirs.grad is not None:
            nothing = np.zeros(leaf.shape)
            grad = nothing if leaf.grad is None else leaf.grad
            other = nothing if theirs.grad is None else array_of(theirs.grad)
            Result("gradient", "input_grad", grad, other).check(TINY, code)


UNARY = [
    "abs", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "logit", "sqrt", "rsqrt",
    "square", "reciprocal", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh",
    "asinh", "acosh", "atanh", "sign", "floor", "ceil", "round", "trunc", "frac", "nan_to_num",
    "sigmoid", "tanh", "relu", "neg", "isnan", "isinf", "isfinite", "logical_not",
]  # fmt: skip
BINARY = [
    "add", "sub", "mul", "div", "remainder", "fmod", "floor_divide", "pow", "atan2", "hypot",
    "logaddexp", "xlogy", "maximum", "minimum", "fmax", "fmin", "lt", "le", "gt", "ge", "eq",
    "ne", "isclose", "heaviside",
]  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_special_values(name: str) -> None:
    # of the zeros in max(0, -0) either may win
    values = [v for v in SPECIAL if str(v) not in LOGIT_VARIES] if name == "logit" else SPECIAL
    compare(f"t.{name}(x)", values, zeros=name != "relu")


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_pairs_of_special_values(name: str) -> None:
    x, y = (np.array(v).ravel() for v in np.meshgrid(SPECIAL, SPECIAL))
    code = f"t.{name}(x, y)"
    if name in ("floor_divide", "heaviside"):
        code = f"t.{name}(x.detach(), y.detach())"
    compare(code, x, y, zeros=name in ("add", "sub", "mul", "div", "atan2", "fmod", "pow"))


@pytest.mark.parametrize(
    "code",
    [
        "t.clamp(x, -1.0, 2.5)",
        "t.clamp(x, min=0)",
        "t.clamp(x, max=1.0)",
        "t.clamp(x, 2.0, 1.0)",
        "t.clamp(x, t.zeros(11, dtype=t.float64), t.ones(11, dtype=t.float64))",
        "t.div(x, 2.0, rounding_mode='trunc'), t.div(x, 0.0, rounding_mode='floor')",
        "x / 0, x % 0, 1 / x",
        "x ** 0",
        "x ** 1, x ** 2, x ** 3",
        "x ** -1",
        "x[:2] ** 0.5, x[5:] ** 0.5, x[3] ** 0.5",
        "0 ** x",
        "2 ** x, (-2) ** x.detach()",
        "t.where(x > 0, t.log(x), x), t.where(x > 0, 1 / x, 0.0)",
        "t.where(t.isnan(x), t.zeros(11, dtype=t.float64), x)",
        "t.masked_fill(x, t.isnan(x), float('inf')), t.masked_fill(x, x == 0, float('-inf'))",
        "t.max(x), t.min(x), t.max(x, 0), t.min(x, 0)",
        "t.argmax(x), t.argmin(x)",
        "t.sort(x), t.sort(x, descending=True)",
        "t.topk(x, 3).values, t.topk(x[1:], 2, largest=False).values",
        "t.median(x), t.median(x[1:])",
        "t.cumsum(x, 0), t.cumprod(x[3:], 0)",
        "t.sum(x), t.mean(x), t.nansum(x), t.nanmean(x), t.prod(x[5:])",
        "t.std(x), t.var(x[3:], unbiased=False)",
        "t.norm(x), t.norm(x[3:]), t.norm(x[3:], float('inf')), t.norm(x[3:5], 1)",
        "t.softmax(x, 0), t.log_softmax(x, 0), t.softmax(x[2:6], 0), t.log_softmax(x[2:6], 0)",
        "t.logsumexp(x, 0), t.logsumexp(x[2:6], 0), t.logsumexp(x[1:6], 0)",
        "t.unique(x[1:].detach()), t.nonzero(x), t.count_nonzero(x)",
        "t.isclose(x, x), t.isclose(x, x, equal_nan=True), t.allclose(x, x), t.equal(x, x)",
        "t.nan_to_num(x, 1.0, 2.0, -2.0)",
        "t.any(x), t.all(x), x.bool()",
        "t.logit(x[1:], 0.1)",
    ],
)  # fmt: skip
def test_special_values(code: str) -> None:
    compare(code, SPECIAL)


def test_logit_of_nan() -> None:
    """Where torch's gradient is 0 or NaN, a NaN is not hidden; and both zeros are one."""
    for eps in (None, 0.1):
        x = numpy_impl.full((11,), NAN, requires_grad=True)
        numpy_impl.logit(x, eps).sum().backward()
        assert np.isnan(np.asarray(x.grad)).all()
    x = numpy_impl.tensor([0.0, -0.0], requires_grad=True)
    numpy_impl.logit(x).sum().backward()
    assert (np.asarray(x.grad) == INF).all()


TIES = [[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0], [-0.0, 0.0, -0.0, 0.0]]


@pytest.mark.parametrize(
    "code",
    [
        "t.max(x), t.min(x), t.amax(x, 1), t.amin(x, (0, 1))",
        "t.max(x, 1), t.min(x, 1), t.argmax(x, 1), t.argmin(x, 1)",
        "t.maximum(x, x.flip(1)), t.minimum(x, x.flip(1)), t.fmax(x, x.flip(1))",
        "t.clamp(x, 2.0, 3.0), t.clamp(x, x.detach(), x.detach())",
        "t.sort(x, dim=1, stable=True)",
        "x.sort(dim=1, descending=True, stable=True), t.argsort(x, dim=1, stable=True)",
        "t.norm(x, float('inf'), 1), t.norm(x, float('-inf'), 1), t.norm(x, 2, 1), t.norm(x, 1, 1)",
        "t.std(x, 1), t.var(x, 1), t.std(x[1])",
        "t.prod(x, 1), t.prod(x, 0), t.cumprod(x, 1)",
        "t.prod(x[2]), t.prod(x[0])",
        "t.relu(x), t.abs(x), t.sqrt(x * 0)",
        "t.cdist(x, x)",
        "t.unique(x.detach(), return_inverse=True, return_counts=True)",
    ],
)
def test_ties_and_zeros(code: str) -> None:
    compare(code, TIES)


@pytest.mark.parametrize(
    "code",
    [
        "t.amax(x, 1), t.amin(x, 0), t.max(x, 1), t.argmax(x, 1)",
        "t.softmax(x, 1), t.log_softmax(x, 1), t.logsumexp(x, 1)",
        "t.softmax(x, 0), t.logsumexp(x, (0, 1))",
        "t.maximum(x, x), t.minimum(x, x * 1)",
    ],
)
def test_rows_of_infinities_and_nan(code: str) -> None:
    compare(code, [[-INF, -INF, -INF], [INF, 1.0, 2.0], [-INF, 0.0, 1.0]])
    compare(code, [[INF, INF, 0.0], [NAN, 1.0, 2.0], [1.0, NAN, NAN]])


@pytest.mark.parametrize(
    "code",
    [
        "t.sum(x), t.mean(x), t.prod(x), t.norm(x), t.any(x), t.all(x)",
        "t.var(x), t.std(x), t.var(x, 0), t.mean(x, 0), t.nanmean(x)",
        "t.sum(x, 0), t.prod(x, 0), t.cumsum(x, 0), t.cumprod(x, 1), t.median(x)",
        "t.softmax(x, 0), t.log_softmax(x, 0), t.logsumexp(x, 0)",
        "t.sort(x, 0), t.unique(x.detach()), t.nonzero(x), x.T @ x, x @ x.T",
        "t.einsum('ij,ik->jk', x, x), t.einsum('ij->', x)",
    ],
)
def test_over_nothing(code: str) -> None:
    compare(code, np.zeros((0, 3)))


def test_moments_of_one_value() -> None:
    compare("t.var(x), t.std(x), t.var(x, 0, unbiased=False), t.std(x, 0)", [[2.0, 3.0]])
    compare("t.var(x), t.std(x), t.std(x, unbiased=False)", [2.0])


def test_no_warnings_of_numpy() -> None:
    """What overflows is inf as in torch, forward and backward: warnings are errors here."""
    x = numpy_impl.tensor([1e38, -1e38, 0.0], requires_grad=True)
    y = (x * x).sum() + (x / 0).sum() + (x * 10).exp().sum() + (x @ x) + x.var()
    y.backward()
    assert x.grad is not None
    assert not np.isfinite(x.grad).any()


def test_from_numpy_keeps_the_array() -> None:
    array = np.arange(3.0)
    assert numpy_impl.from_numpy(array).data is array
    with pytest.raises(TypeError, match="NumPy array"):
        numpy_impl.from_numpy([1, 2])  # type: ignore[arg-type]


# -- indexing --------------------------------------------------------------------------------------

PARTS = [0, -1, None, ..., slice(None), slice(1, None), slice(None, None, 2), slice(-2, -1),
         [0, 1], [1, 1, 0], [-1, 0], np.array([[0, 1], [1, 0]]), True,
         np.array([True, False]), np.array(1)]  # fmt: skip


def of_world(index: Any, world: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(of_world(part, world) for part in index)
    if isinstance(index, np.ndarray):
        return torch.from_numpy(index) if world is torch else numpy_impl.tensor(index)
    return index


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4))
def test_indexing(index: list[Any]) -> None:
    assume(sum(part is ... for part in index) < 2)  # torch takes the second for a slice
    array = np.arange(16.0).reshape(2, 2, 2, 2)
    twin = torch.from_numpy(array.copy()).requires_grad_()
    ours = numpy_impl.tensor(array, requires_grad=True)
    try:
        expected = twin[of_world(tuple(index), torch)]
    except (IndexError, RuntimeError, TypeError, ValueError):
        with pytest.raises((IndexError, RuntimeError, TypeError, ValueError)):
            ours[of_world(tuple(index), numpy_impl)]
        return
    found = ours[of_world(tuple(index), numpy_impl)]
    np.testing.assert_array_equal(found.data, expected.detach().numpy(), str(index))
    upstream = np.arange(1.0, found.numel() + 1).reshape(found.shape)
    found.backward(upstream)
    expected.backward(torch.from_numpy(upstream))
    np.testing.assert_array_equal(ours.grad, twin.grad.numpy(), str(index))
    # and put in
    ours, twin = numpy_impl.tensor(array), torch.from_numpy(array.copy())
    value = numpy_impl.tensor(7.0, dtype="float64", requires_grad=True)
    theirs = torch.tensor(7.0, dtype=torch.float64).requires_grad_()
    ours[of_world(tuple(index), numpy_impl)] = value * 1
    twin[of_world(tuple(index), torch)] = theirs * 1
    np.testing.assert_array_equal(ours.data, twin.detach().numpy(), str(index))
    ours.sum().backward()
    twin.sum().backward()
    np.testing.assert_array_equal(value.grad, theirs.grad.numpy(), str(index))


def test_numbers_come_before_arrays_in_an_index() -> None:
    x = numpy_impl.zeros(2, 3, 4)
    assert x[0, :, [1, 2]].shape == (3, 2)  # NumPy's order of axes: (2, 3)
    assert x[[0, 1], :, [1, 2]].shape == (2, 3)


# -- shapes ----------------------------------------------------------------------------------------

SIZES = st.integers(0, 3)
SHAPES = st.lists(SIZES, max_size=4).map(tuple)


def broadcastable(data: st.DataObject) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = data.draw(SHAPES)
    other = tuple(data.draw(st.sampled_from([n, 1])) for n in shape)
    return shape, other[data.draw(st.integers(0, len(other))) :]


def random_of(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng((len(shape), sum(shape), seed)).standard_normal(shape))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.data())
def test_broadcasting(data: st.DataObject) -> None:
    a, b = broadcastable(data)
    code = data.draw(st.sampled_from(["x + y", "x * y", "t.maximum(x, y)", "t.where(x > 0, x, y)"]))
    compare(code, random_of(a, 1), random_of(b, 2))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.data())
def test_reshaping(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    x = random_of(shape)
    order = data.draw(st.permutations(range(len(shape))))
    compare(f"x.permute({order})", x)
    compare(f"x.reshape({data.draw(st.permutations(shape))})", x)
    if shape:
        dim = data.draw(st.integers(-len(shape), len(shape) - 1))
        sections = data.draw(st.integers(1, 4))
        compare(f"t.split(x, {sections}, {dim}), t.chunk(x, {sections}, {dim})", x)
        compare(f"t.cat([x, x * 2], {dim}), t.stack([x, x * 2], {dim}), t.unbind(x, {dim})", x)
        compare(f"t.flatten(x, {dim}), x.unsqueeze({dim}), x.squeeze({dim})", x)
        compare(f"t.cumsum(x, {dim}), t.sum(x, {dim}), t.flip(x, ({dim},))", x)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.data())
def test_matmul_shapes(data: st.DataObject) -> None:
    n, k, m = (data.draw(SIZES) for _ in range(3))
    batch, other = broadcastable(data)
    left = data.draw(st.sampled_from([(k,), (n, k), (*batch[:2], n, k)]))
    right = data.draw(st.sampled_from([(k,), (k, m), (*other[-2:], k, m)]))
    try:
        torch.matmul(torch.zeros(left), torch.zeros(right))
    except RuntimeError:
        with pytest.raises(RuntimeError, match="multiplied"):
            numpy_impl.matmul(numpy_impl.zeros(left), numpy_impl.zeros(right))
        return
    compare("x @ y", random_of(left, 1), random_of(right, 2))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.data())
def test_einsum_shapes(data: st.DataObject) -> None:
    sizes = {letter: data.draw(st.integers(1, 3)) for letter in "abc"}
    letters = st.lists(st.sampled_from("abc"), max_size=3).map("".join)
    parts = [data.draw(letters) for _ in range(data.draw(st.integers(1, 3)))]
    hidden = [data.draw(st.integers(0, 2)) for _ in parts]
    arrays = [
        random_of((2,) * count + tuple(sizes[c] for c in part), i)
        for i, (part, count) in enumerate(zip(parts, hidden, strict=True))
    ]
    left = ",".join("..." * bool(h) + part for part, h in zip(parts, hidden, strict=True))
    output = "".join(data.draw(st.permutations(sorted(set("".join(parts))))))
    output = "..." * any(hidden) + output[: data.draw(st.integers(0, 3))]
    arrow = data.draw(st.booleans())
    names = ", ".join("xyz"[: len(parts)])
    compare(f"t.einsum('{left}{f'->{output}' * arrow}', {names})", *arrays)


def test_the_class_makes_floats_of_a_list() -> None:
    for data in ([1, 2], [[1.5], [2.0]], (), [True]):
        ours, twin = numpy_impl.Tensor(data), torch.Tensor(data)
        np.testing.assert_array_equal(ours.numpy(), twin.numpy())
        assert ours.dtype == np.float32
    assert numpy_impl.Tensor(np.arange(3)).dtype == np.int64  # an array is taken as it is
    for sizes in ((3,), (2, 3)):  # in torch an array of any values
        with pytest.raises(TypeError, match=r"tensor\(.\) holds a number, zeros\(2, 3\) has sizes"):
            numpy_impl.Tensor(*sizes)  # type: ignore[arg-type]


def test_refused_numbers() -> None:
    x = numpy_impl.zeros(4)
    for wrong, error in (
        (lambda: numpy_impl.diff(x, -1), "n must not be negative, got -1"),
        (lambda: numpy_impl.hsplit(x, 3), "must divide the size 4, got 3"),
        (lambda: numpy_impl.vsplit(x, 2), "must have 2 axes at least"),
        (lambda: numpy_impl.dsplit(x.reshape(2, 2), 2), "must have 3 axes at least"),
    ):
        with pytest.raises(RuntimeError, match=error):
            wrong()
    for bounds, named in (((1, 2, 3), {}), ((1,), {"from": 2}), ((), {"high": 2})):
        with pytest.raises(TypeError, match=r"random_ takes \(to\) or \(from, to\)"):
            x.random_(*bounds, **named)


def test_random_integers_stay_within_the_dtype() -> None:
    for dtype, bounds in (
        ("uint8", (300,)),
        ("uint8", (-1, 5)),
        ("int8", (0, 129)),
        ("bool", (3,)),
    ):
        for world in (numpy_impl, torch):
            with pytest.raises(RuntimeError):
                world.zeros(3, dtype=getattr(world, dtype)).random_(*bounds)
        assert numpy_impl.zeros(3, dtype=getattr(numpy_impl, dtype)).random_(0, 2).dtype == dtype
    assert int(numpy_impl.zeros(99, dtype=numpy_impl.uint8).random_(0, 256).max()) > 127
