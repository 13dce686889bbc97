"""A row: an expression that is run in both worlds, and how."""

import ast
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import CodeType
from typing import Any

import numpy as np
import torch

import numpy_impl

Array = np.ndarray
DTYPES = ("float64", "float32")
ERRORS = (RuntimeError, IndexError, TypeError, ValueError)


@dataclass(frozen=True)
class Input:
    """A shape and what to draw: normal, positive, unit (within -1..1), integers or bools."""

    shape: tuple[int, ...]
    kind: str = "normal"
    high: int = 3

    def draw(self, rng: np.random.Generator, dtype: str) -> Array:
        if self.kind == "integers":
            return np.asarray(rng.integers(0, self.high, self.shape))
        if self.kind == "bools":
            return np.asarray(rng.random(self.shape) < 0.5)
        values = np.asarray(rng.standard_normal(self.shape))
        if self.kind == "positive":
            values = np.abs(values) + 0.5
        if self.kind == "unit":
            values = np.tanh(values) * 0.9
        return np.asarray(values, dtype)

    def resized(self, sizes: dict[int, int] | None) -> "Input":
        """With other sizes; None: without axes."""
        shape = () if sizes is None else tuple(sizes.get(n, n) for n in self.shape)
        return Input(shape, self.kind, self.high)


@dataclass(frozen=True)
class Row:
    """An expression of ``t`` (numpy_impl or torch) and the inputs ``x``, ``y``, ``z``, ``w``.

    Attributes:
        code: statements, the last one an expression. ``array(x)`` is a NumPy array here and a
            constant there; ``dtype`` the one under test.
        inputs: an :class:`Input` each, or a shape: standard normal values.
        note: what makes the row worth having.
        smooth: False where the function has jumps that a derivative's step would cross.
        shares: True where the result is the input's own memory by design.
    """

    code: str
    inputs: tuple[Any, ...] = ()
    note: str = ""
    smooth: bool = True
    shares: bool = False

    def __str__(self) -> str:
        return f"{self.code}{f' [{self.note}]' if self.note else ''}"

    @property
    def sources(self) -> tuple[Input, ...]:
        return tuple(i if isinstance(i, Input) else Input(i) for i in self.inputs)

    def rng(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{purpose} of {self}".encode()))

    def draw(self, dtype: str) -> list[Array]:
        """The inputs, the same values for every dtype."""
        rng = self.rng("inputs")
        return [source.draw(rng, dtype) for source in self.sources]

    def small(self) -> Iterator["Row"]:
        """The row without elements along each axis in turn, and without axes."""
        sizes = sorted({n for source in self.sources for n in source.shape})
        for resized in [*({n: 0} for n in sizes), None]:
            inputs = tuple(source.resized(resized) for source in self.sources)
            yield Row(self.code, inputs, "no axes" if resized is None else f"{resized}")

    def run(self, world: Any, leaves: Sequence[Any], dtype: str) -> Any:
        """What the code makes of the leaves."""
        ours = world is numpy_impl
        scope = {
            "t": world,
            "array": (lambda x: x.data.copy()) if ours else (lambda x: x.detach().clone()),
            "dtype": np.dtype(dtype) if ours else getattr(torch, dtype),
            **dict(zip("xyzw", leaves, strict=False)),
        }
        statements, last = _compiled(self.code)
        exec(statements, scope)
        return eval(last, scope)


@cache
def _compiled(code: str) -> tuple[CodeType, CodeType]:
    """The statements, and the expression at their end."""
    *statements, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    return (
        compile(ast.Module(statements, []), "row", "exec"),
        compile(ast.Expression(last.value), "row", "eval"),
    )


def leaves_of(world: Any, arrays: Sequence[Array]) -> list[Any]:
    """Tensors of either world; the floating-point ones require grad."""
    if world is numpy_impl:
        return [numpy_impl.Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    return [torch.from_numpy(a.copy()).requires_grad_(a.dtype.kind == "f") for a in arrays]


def parts(output: Any) -> list[Any]:
    """The Tensors, numbers and so on in nested tuples and lists."""
    if isinstance(output, tuple | list):
        return [part for value in output for part in parts(value)]
    return [output]


def is_tensor(value: Any) -> bool:
    return isinstance(value, numpy_impl.Tensor | torch.Tensor)


def array_of(value: Any) -> Any:
    """The array of a Tensor of either world, anything else in a form that can be compared."""
    if isinstance(value, numpy_impl.Tensor):
        return value.data
    if isinstance(value, torch.Tensor):
        return value.numpy(force=True).copy()
    if isinstance(value, np.dtype):
        return str(value)
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    return value


def differentiable(outputs: Sequence[Any]) -> list[Any]:
    return [o for o in outputs if is_tensor(o) and o.requires_grad]


def upstream_of(row: Row, outputs: Sequence[Any]) -> list[Array]:
    """Random gradients for NumPy's differentiable outputs."""
    rng = row.rng("upstream")
    return [np.asarray(rng.standard_normal(o.shape), o.dtype) for o in outputs]


def backward(world: Any, outputs: Sequence[Any], upstream: Sequence[Array]) -> None:
    """Go back from all outputs at once."""
    if not outputs:
        return
    if world is numpy_impl:
        products = [o * numpy_impl.Tensor(u) for o, u in zip(outputs, upstream, strict=True)]
        sum(product.sum() for product in products).backward()
        return
    torch.autograd.backward(list(outputs), [torch.from_numpy(u.copy()) for u in upstream])
