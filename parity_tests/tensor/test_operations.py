"""Every operation on Tensors beside torch's: the table's generic properties."""

import ast
import copy
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import Tensor
from numpy_impl.tensor import tensor as tensor_module
from parity_tests.cases import manual_seed
from parity_tests.directional import check_directional
from parity_tests.tensor.rows import (
    DTYPES,
    ERRORS,
    Row,
    array_of,
    backward,
    differentiable,
    is_tensor,
    leaves_of,
    parts,
    upstream_of,
)
from parity_tests.tensor.table import ROWS
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result


def calls(row: Row) -> Iterator[tuple[ast.Call, str]]:
    """The calls ``t.f(x, ...)`` in a row's code."""
    for node in ast.walk(ast.parse(row.code)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "t"
            and node.args
            and ast.unparse(node.args[0]) in ("x", "x.detach()")
        ):
            yield node, node.func.attr


def as_methods(row: Row) -> Iterator[Row]:
    """The row's calls ``t.f(x, ...)`` as methods ``x.f(...)``, and in place: ``x.f_(...)``."""
    for call, name in calls(row):
        before = ", ".join(map(ast.unparse, [*call.args[1:], *call.keywords]))
        first = ast.unparse(call.args[0])
        if name != "where" and hasattr(torch.Tensor, name):
            yield Row(f"{first}.{name}({before})", row.inputs, row.note, row.smooth, row.shares)
        if hasattr(torch.Tensor, f"{name}_") and name not in WITHOUT_IN_PLACE:
            yield Row(f"{first}.clone().{name}_({before})", row.inputs, row.note, row.smooth)


# they would change the shape; torch.Tensor has them, programs hardly
WITHOUT_IN_PLACE = {"squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims"}
# a float Tensor that becomes a comparison: torch has it, programs hardly
WITHOUT_IN_PLACE |= {"eq", "ne", "lt", "le", "gt", "ge", "not_equal"}
WITHOUT_IN_PLACE |= {"less", "less_equal", "greater", "greater_equal"}
METHOD_ROWS = list(dict.fromkeys(r for row in ROWS for r in as_methods(row)))
ALL_ROWS = list(dict.fromkeys([*ROWS, *METHOD_ROWS]))
TAKEN = frozenset(ROWS)  # torch may refuse some method of the others, and then so do we


def run_in_torch(row: Row, dtype: str) -> tuple[list[Any], list[Any]]:
    leaves = leaves_of(torch, row.draw(dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's remarks; the numbers are what is under test
        return parts(row.run(torch, leaves, dtype)), leaves


def check_row(row: Row, dtype: str, must_run: bool = False) -> None:
    """Outputs and gradients agree with torch's; where torch raises, so do we, if it may."""
    manual_seed(0)  # for what draws
    try:
        expected, twins = run_in_torch(row, dtype)
    except ERRORS:
        if must_run:
            raise
        with pytest.raises(ERRORS):
            row.run(numpy_impl, leaves_of(numpy_impl, row.draw(dtype)), dtype)
        return
    leaves = leaves_of(numpy_impl, row.draw(dtype))
    outputs = parts(row.run(numpy_impl, leaves, dtype))
    assert len(outputs) == len(expected)
    for i, (ours, twin) in enumerate(zip(outputs, expected, strict=True)):
        where = f"{row} {dtype}"
        if is_tensor(twin):
            result = Result(f"output {i}", "forward", array_of(ours), array_of(twin))
            result.check(tolerance(_precision(result), "forward"), where)
            if twin.numel():
                assert ours.requires_grad == twin.requires_grad, f"{where}: output {i}"
        elif isinstance(twin, float):
            assert ours == pytest.approx(twin), where
        else:
            assert array_of(ours) == array_of(twin), where
    pairs = zip(outputs, expected, strict=True)
    both = [(o, e) for o, e in pairs if is_tensor(o) and o.requires_grad and e.requires_grad]
    upstream = upstream_of(row, [o for o, _ in both])
    backward(numpy_impl, [o for o, _ in both], upstream)
    try:
        backward(torch, [e for _, e in both], upstream)
    except RuntimeError as error:
        # torch has no derivative here, or refuses one; the directional derivative needs none
        if "not implemented" in str(error) or "inplace operation" in str(error):
            return
        raise
    for name, leaf, twin in zip("xyzw", leaves, twins, strict=False):
        # no gradient is one of 0
        grads = [g for g in (leaf.grad, twin.grad) if g is not None]
        if grads:
            nothing = np.zeros(leaf.shape, leaf.dtype)
            ours = nothing if leaf.grad is None else leaf.grad
            theirs = nothing if twin.grad is None else array_of(twin.grad)
            result = Result(f"grad of {name}", "input_grad", ours, theirs)
            result.check(tolerance(dtype, "input_grad"), f"{row} {dtype}")


def _precision(result: Result) -> str:
    """The dtype whose tolerance counts: some results are float32 by design."""
    return "float32" if result.twin.dtype == np.float32 else "float64"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", ALL_ROWS, ids=str)
def test_agrees_with_torch(row: Row, dtype: str) -> None:
    check_row(row, dtype, must_run=row in TAKEN)


@pytest.mark.parametrize("row", [row for row in ALL_ROWS if row.inputs], ids=str)
def test_without_elements_and_without_axes(row: Row) -> None:
    if "index_add" in row.code:
        return  # torch does not look at the index where there is nothing to add to
    for small in row.small():
        check_row(small, "float64")


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_pure(row: Row) -> None:
    leaves = leaves_of(numpy_impl, row.draw("float64"))
    given = [leaf.data for leaf in leaves]
    before = copy.deepcopy(given)
    outputs = [o for o in parts(row.run(numpy_impl, leaves, "float64")) if is_tensor(o)]
    tracked = differentiable(outputs)
    upstream = upstream_of(row, tracked)
    upstream_before = copy.deepcopy(upstream)
    for output, gradient in zip(tracked, upstream, strict=True):
        output.backward(gradient, retain_graph=True)
    for array, kept in zip([*given, *upstream], [*before, *upstream_before], strict=True):
        np.testing.assert_array_equal(array, kept, "something given was modified")
    grads = [leaf.grad for leaf in leaves if leaf.grad is not None]
    results = [*([] if row.shares else [o.data for o in outputs]), *grads]
    for i, result in enumerate(results):
        for other in [*given, *upstream, *results[:i]]:
            assert not np.shares_memory(result, other), "a result shares memory"


@pytest.mark.parametrize("row", [row for row in ROWS if row.smooth], ids=str)
def test_directional_derivative(row: Row) -> None:
    arrays = row.draw("float64")
    leaves = leaves_of(numpy_impl, arrays)
    outputs = differentiable(parts(row.run(numpy_impl, leaves, "float64")))
    # where a result is float32 by design, a difference would measure its rounding
    if not outputs or any(o.dtype != np.float64 for o in outputs) or "no_grad" in row.code:
        return
    upstream = upstream_of(row, outputs)
    backward(numpy_impl, outputs, upstream)
    moved = [leaf for leaf in leaves if leaf.grad is not None]

    def function() -> float:
        again = leaves_of(numpy_impl, arrays)
        values = differentiable(parts(row.run(numpy_impl, again, "float64")))
        return sum(float(np.sum(v.data * u)) for v, u in zip(values, upstream, strict=True))

    grads = [leaf.grad for leaf in moved]
    # what the code takes as an array is a constant to the graph, not to the difference
    if "array(" not in row.code and "detach()" not in row.code:
        check_directional(function, [leaf.data for leaf in moved], grads, row.rng("direction"))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_no_graph_under_no_grad(row: Row) -> None:
    leaves = leaves_of(numpy_impl, row.draw("float64"))
    with numpy_impl.no_grad():
        outputs = parts(row.run(numpy_impl, leaves, "float64"))
    for output in outputs:
        if is_tensor(output) and not any(output is leaf for leaf in leaves):
            assert output.grad_fn is None
            assert not output.requires_grad


# -- a wrong backward is caught --------------------------------------------------------------------


def test_an_error_in_any_backward_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation's gradient for each of its inputs, changed on purpose, fails some row."""
    attach = tensor_module.attach
    rows: dict[tuple[str, int], list[Row]] = {}

    def noting(row: Row) -> Any:
        def note(outputs: Any, name: str, inputs: Any, *rest: Any) -> None:
            for i in range(len(inputs)):
                rows.setdefault((name, i), []).append(row)
            attach(outputs, name, inputs, *rest)

        return note

    for row in ROWS:
        monkeypatch.setattr(tensor_module, "attach", noting(row))
        row.run(numpy_impl, leaves_of(numpy_impl, row.draw("float64")), "float64")

    def breaking(wrong: str, i: int) -> Any:
        def broken(outputs: Any, name: str, inputs: Any, backward: Any, *rest: Any) -> None:
            def off(*args: Any) -> list[Any]:
                grads = list(backward(*args))
                if name == wrong and i < len(grads):
                    grads[i] = np.asarray(grads[i] + 1e-3)
                return grads

            attach(outputs, name, inputs, off, *rest)

        return broken

    def is_seen(name: str, i: int) -> bool:
        monkeypatch.setattr(tensor_module, "attach", breaking(name, i))
        for row in dict.fromkeys(rows[name, i]):
            try:
                check_row(row, "float64")
            except AssertionError:
                return True
        return False

    assert [key for key in rows if not is_seen(*key)] == []


# -- completeness ----------------------------------------------------------------------------------

SYMBOLS = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.FloorDiv: "floordiv",
    ast.Mod: "mod", ast.Pow: "pow", ast.MatMult: "matmul", ast.BitAnd: "and", ast.BitOr: "or",
    ast.BitXor: "xor", ast.LShift: "lshift", ast.RShift: "rshift", ast.Eq: "eq", ast.NotEq: "ne",
    ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.USub: "neg", ast.UAdd: "pos",
    ast.Invert: "invert",
}  # fmt: skip

# functions and methods that are no operations, and where they are tested
ELSEWHERE = {
    "get_num_threads": "test_threads",
    "set_num_threads": "test_threads",
    "get_rng_state": "test_random",
    "set_rng_state": "test_random",
    "initial_seed": "test_random",
    "load": "io",
    "gradcheck": "test_gradcheck",
    "save": "io",
    "is_grad_enabled": "test_grad_mode",
    "enable_grad": "test_grad_mode",
    "inference_mode": "test_grad_mode",
    "set_grad_enabled": "test_grad_mode",
    "from_numpy": "test_edges: its argument is an array in both worlds",
    "data": "the array itself",
    "grad": "test_agrees_with_torch",
    "requires_grad": "test_agrees_with_torch",
    "grad_fn": "test_no_graph_under_no_grad",
    "backward": "test_agrees_with_torch",
    "is_leaf": "of the graph, not an operation",
    "requires_grad_": "of the graph, not an operation",
    "retain_grad": "of the graph, not an operation",
    "register_hook": "of the graph, not an operation",
    "detach_": "of the graph, not an operation",
    "numpy": "the array itself",
}


def names_in(rows: list[Row]) -> tuple[set[str], set[str]]:
    """Names used as functions of ``t``, and as methods, properties and operators."""
    functions, methods = set(), set()
    for row in rows:
        for node in ast.walk(ast.parse(row.code)):
            if isinstance(node, ast.Attribute):
                of_t = isinstance(node.value, ast.Name) and node.value.id == "t"
                (functions if of_t else methods).add(node.attr)
            elif isinstance(node, ast.BinOp):
                symbol = SYMBOLS[type(node.op)]
                methods.add(f"__{symbol}__")
                if not isinstance(node.left, ast.Name) or node.left.id not in "xyzw":
                    methods.add(f"__r{symbol}__")
            elif isinstance(node, ast.AugAssign):
                methods.add(f"__i{SYMBOLS[type(node.op)]}__")
            elif isinstance(node, ast.UnaryOp):
                methods.add(f"__{SYMBOLS[type(node.op)]}__")
            elif isinstance(node, ast.Compare):
                methods.update(f"__{SYMBOLS[type(op)]}__" for op in node.ops if type(op) in SYMBOLS)
    return functions, methods


FUNCTIONS, USED_METHODS = names_in(ALL_ROWS)


def test_every_function_has_a_row() -> None:
    names = {name for name in numpy_impl.__all__ if callable(getattr(numpy_impl, name))}
    assert names - {"Tensor", "Generator"} - FUNCTIONS - ELSEWHERE.keys() == set()


def test_every_method_has_a_row() -> None:
    names = {name for name in dir(Tensor) if not name.startswith("_")}
    assert names - USED_METHODS - ELSEWHERE.keys() == set()


@pytest.mark.parametrize("symbol", sorted(set(SYMBOLS.values())))
def test_every_operator_has_a_row(symbol: str) -> None:
    for name in (f"__{symbol}__", f"__r{symbol}__", f"__i{symbol}__"):
        # matmul in place and the reflected or in-place form of a comparison: torch has none
        if hasattr(torch.Tensor, name) and name in vars(torch.Tensor):
            assert hasattr(Tensor, name)
            assert name in USED_METHODS


def test_functions_that_torch_has_as_methods_are_methods_here() -> None:
    of_torch = {name for name in FUNCTIONS if callable(getattr(torch.Tensor, name, None))}
    assert {name for name in of_torch if not hasattr(Tensor, name)} == set()
