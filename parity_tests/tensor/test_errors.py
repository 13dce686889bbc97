"""What is wrong raises, and the message names it; never a silent result."""

import numpy as np
import pytest
import torch

import numpy_impl
from parity_tests.tensor.rows import ERRORS, Row, leaves_of

X = np.arange(6.0).reshape(2, 3)
N = np.array([0, 1])

# code of x (2, 3), y the integers 0 and 1; what the message must name
ERRONEOUS = [
    ("x + t.zeros(4)", r"\(2,3\) \(4,\)"),
    ("x @ x", r"\(2, 3\) and \(2, 3\)"),
    ("x @ 2", "int"),
    ("x @ t.tensor(2.0, dtype=dtype)", "axis"),
    ("x @ t.zeros(3, dtype=t.float32)", "float32"),
    ("t.mm(x, t.zeros(3, dtype=dtype))", "mm needs 2 and 2 axes"),
    ("t.bmm(x, x)", "bmm"),
    ("t.dot(x, x)", "dot"),
    ("t.outer(x, x)", "outer"),
    ("t.einsum('ij,jk', x)", "names 2 inputs, got 1"),
    ("t.einsum('ijk', x)", "'ijk' does not fit"),
    ("t.einsum('ij->ii', x)", "'i' must occur once"),
    ("t.einsum('ij->k', x)", "'k' must occur"),
    ("t.einsum('i1', x)", "letters"),
    ("t.tensordot(x, x, 1)", "differ in size"),
    ("t.cross(x, t.zeros(2, 2))", None),
    ("x + 'a'", "str"),
    ("x + [1, 2, 3]", "list"),
    ("t.add(y, y, alpha=1.5)", "alpha"),
    ("t.tensor([True]) - t.tensor([True])", "bool"),
    ("-t.tensor([True])", "bool"),
    ("y // 0", "other has a 0"),
    ("y % 0", "other has a 0"),
    ("y ** -1", "negative"),
    ("t.div(x, 2, rounding_mode='up')", "'up'"),
    ("t.clamp(x)", "min or max"),
    ("t.where(y, x, x)", "condition must be boolean, got int64"),
    ("t.masked_fill(x, y, 1)", "mask must be boolean, got int64"),
    ("t.masked_fill(x, x > 0, x)", "value"),
    ("t.masked_fill(y, y > 0, float('inf'))", "inf"),
    ("t.masked_select(x, x)", "mask must be boolean"),
    ("t.sum(x, 2)", "dim must lie within -2..1"),
    ("t.sum(x, (0, 0))", "once"),
    ("t.mean(y)", "floating-point Tensor, got int64"),
    ("t.var(y)", "got int64"),
    ("t.norm(y)", "got int64"),
    ("t.softmax(y, 0)", "got int64"),
    ("t.softmax(x, 5)", "dim"),
    ("t.prod(x, (0, 1))", r"dim must be an int, got \(0, 1\)"),
    ("t.max(x, (0,))", r"dim must be an int, got \(0,\)"),
    ("t.max(t.zeros(0))", None),
    ("t.argmax(t.zeros(0))", None),
    ("t.argmax(x, 2)", "dim"),
    ("t.cumsum(x, 2)", "dim"),
    ("t.topk(x, 4)", "k must lie in 0..3, got 4"),
    ("t.sort(x, 2)", "dim"),
    ("t.bincount(x)", "integers"),
    ("x.reshape(4)", r"\(4,\)"),
    ("x.reshape(-1, -1)", "-1"),
    ("x.reshape(2.5, -1)", "ints"),
    ("x.view(5)", r"\(5,\)"),
    ("x.flatten(1, 0)", "start_dim"),
    ("x.unflatten(1, (2, 2))", r"\(2, 2, 2\)"),
    ("x.squeeze(2)", "dim"),
    ("x.unsqueeze(4)", "dim"),
    ("x.permute(0)", "dims must name"),
    ("x.permute(0, 0)", "dims must name"),
    ("x.transpose(0, 2)", "dim1"),
    ("x.movedim((0, 1), (1, 1))", "destination"),
    ("x.expand(3)", "sizes"),
    ("x.expand(-1, 2, 3)", "-1"),
    ("x.expand(2, 4)", "expanded"),
    ("x.repeat(2)", "repeat"),
    ("x.flip(2)", "dims"),
    ("t.tril(x[0])", "2 axes"),
    ("t.diag(t.zeros(2, 2, 2))", "diag"),
    ("x.t().unsqueeze(0).t()", "axes"),
    ("x[2]", "2"),
    ("x[0, 0, 0]", "indices"),
    ("x[1.5]", None),
    ("x[t.tensor([0.5])]", None),
    ("x[t.tensor([True, False, True])]", None),
    ("x[[0, 5]]", "5"),
    ("t.gather(x, 1, y)", "2 axes"),
    ("t.gather(x, 1, y[None] + 5)", "0..2"),
    ("t.gather(x, 1, y[None] - 1)", "-1"),
    ("t.gather(x, 1, x)", "int64"),
    ("t.gather(x, 1, t.zeros(3, 1, dtype=t.int64))", r"\(3, 1\)"),
    ("t.index_select(x, 0, y - 1)", "-1"),
    ("t.index_select(x, 0, y[None])", "vector"),
    ("t.index_add(x, 0, y, x[:1])", "source"),
    ("t.narrow(x, 1, 2, 2)", "size 3"),
    ("t.scatter(x, 0, y, 1.0)", "2 axes"),
    ("t.scatter(x, 0, t.zeros(2, 3, dtype=t.int64), x[:1])", "larger"),
    ("t.cat([])", "empty"),
    ("t.cat([x, x[0]])", "agree"),
    ("t.cat([x, t.tensor(1.0)])", "stack"),
    ("t.stack([x, x[:1]])", "one shape"),
    ("t.split(x, 0)", "positive"),
    ("t.split(x, [1, 2])", "add up to 2"),
    ("t.chunk(x, 0)", "chunks"),
    ("t.tensor('a')", "str"),
    ("t.tensor(None)", "None"),
    ("t.tensor([[1], [2, 3]])", None),
    ("t.zeros(-1)", None),
    ("t.zeros(2.5)", "ints"),
    ("t.arange(5, 0)", "step"),
    ("t.arange(0, 5, 0)", "step"),
    ("x.to('cuda')", "cuda"),
    ("t.zeros(2, device='cuda')", "cuda"),
    ("t.meshgrid(x, x, indexing='ab')", "'ab'"),
    ("z = y.clone(); z += 1.5", "hold"),
    ("z = x[0].clone(); z += x", "in place"),
    ("z = x.clone(); z[0] = t.zeros(2)", None),
    ("x += 1", "leaf"),
    ("x[0] = 1", "leaf"),
    ("bool(x)", "ambiguous"),
    ("int(x)", "one element"),
    ("len(t.tensor(1))", "0-d"),
    ("[v for v in t.tensor(1)]", "0-d"),
    ("x.fill_(x)", None),
    ("x.clone().fill_(x)", "number"),
]


@pytest.mark.parametrize(("code", "message"), ERRONEOUS, ids=[code for code, _ in ERRONEOUS])
def test_errors(code: str, message: str | None) -> None:
    row = Row(f"{code}\n0")  # a row ends in an expression
    with pytest.raises((*ERRORS, AssertionError, OverflowError)):
        row.run(torch, leaves_of(torch, [X, N]), "float64")
    with pytest.raises(ERRORS, match=message) as raised:
        row.run(numpy_impl, leaves_of(numpy_impl, [X, N]), "float64")
    assert str(raised.value)


def test_an_index_of_uint8_is_neither_a_mask_nor_places() -> None:
    with pytest.raises(IndexError, match="uint8"):  # torch takes it for a mask, and warns
        numpy_impl.tensor(X)[numpy_impl.tensor([0, 1], dtype="uint8")]


def test_numpy_s_view_of_dtypes_is_checked_first() -> None:
    for value in (np.array([1j]), np.array(["a"]), np.array([None])):
        with pytest.raises(TypeError, match=str(value.dtype)):
            numpy_impl.tensor(value)
