"""Products of matrices. In each, ``g`` is the gradient of the output."""

from typing import Any

import numpy as np

from numpy_impl.tensor.elementwise import add, mul, operands
from numpy_impl.tensor.tensor import Tensor, record, to_array

Array = np.ndarray


def matmul(input: Any, other: Any) -> Tensor:
    """The matrix product of the last two axes, the others broadcast; vectors as in NumPy."""
    a, b = operands(input, other)
    if not a.ndim or not b.ndim:
        raise RuntimeError(f"matmul needs at least 1 axis each, got {a.shape} and {b.shape}")
    try:
        output = a @ b
    except ValueError:
        raise RuntimeError(f"shapes {a.shape} and {b.shape} can't be multiplied") from None
    # as matrices, with the axes that matmul gives a vector and takes away again
    rows, columns = a if a.ndim > 1 else a[None], b if b.ndim > 1 else b[:, None]

    def as_matrix(g: Array) -> Array:
        if b.ndim == 1:
            g = g[..., None]
        return g[..., None, :] if a.ndim == 1 else g

    def to_input(g: Array) -> Array:
        grad = as_matrix(g) @ columns.swapaxes(-1, -2)
        return grad if a.ndim > 1 else grad.reshape(-1, a.size).sum(0)

    def to_other(g: Array) -> Array:
        if b.ndim == 2 and rows.ndim > 2:  # one matrix for all: one product
            return rows.reshape(-1, rows.shape[-1]).T @ as_matrix(g).reshape(-1, b.shape[-1])
        grad = rows.swapaxes(-1, -2) @ as_matrix(g)
        return grad if b.ndim > 1 else grad.reshape(-1, b.size).sum(0)

    return record(output, "matmul", (input, to_input), (other, to_other))


def _of_axes(name: str, input: Any, other: Any, axes: tuple[int, int]) -> Tensor:
    shapes = to_array(input).shape, to_array(other).shape
    if (len(shapes[0]), len(shapes[1])) != axes:
        raise RuntimeError(
            f"{name} needs {axes[0]} and {axes[1]} axes, got {shapes[0]} and {shapes[1]}"
        )
    return matmul(input, other)


def mm(input: Any, mat2: Any) -> Tensor:
    """The product of two matrices."""
    return _of_axes("mm", input, mat2, (2, 2))


spmm = mm


def bmm(input: Any, mat2: Any) -> Tensor:
    """The products of two batches of matrices."""
    if to_array(input).shape[:1] != to_array(mat2).shape[:1]:
        raise RuntimeError(
            f"bmm needs batches of one size, got {to_array(input).shape}, {to_array(mat2).shape}"
        )
    return _of_axes("bmm", input, mat2, (3, 3))


def mv(input: Any, vec: Any) -> Tensor:
    """The product of a matrix and a vector."""
    return _of_axes("mv", input, vec, (2, 1))


def dot(input: Any, tensor: Any) -> Tensor:
    """The inner product of two vectors."""
    return _of_axes("dot", input, tensor, (1, 1))


def outer(input: Any, vec2: Any) -> Tensor:
    """The outer product of two vectors."""
    a, b = operands(input, vec2)
    if a.ndim != 1 or b.ndim != 1:
        raise RuntimeError(f"outer needs two vectors, got {a.shape} and {b.shape}")
    return record(np.outer(a, b), "outer", (input, lambda g: g @ b), (vec2, lambda g: a @ g))


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``."""
    product = mm(mat1, mat2)
    product = product if alpha == 1 else mul(product, alpha)
    return add(input if beta == 1 else mul(input, beta), product)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2)``."""
    product = bmm(batch1, batch2)
    product = product if alpha == 1 else mul(product, alpha)
    return add(input if beta == 1 else mul(input, beta), product)


def einsum(equation: str, *tensors: Any) -> Tensor:
    """A sum of products by index letters: ``einsum("bij,bjk->bik", a, b)``.

    ``...`` stands for the axes that are not named; without ``->`` the letters that occur once are
    the output's, in alphabetical order.
    """
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tuple(tensors[0])
    arrays = operands(*tensors)
    inputs, output = _letters(equation.replace(" ", ""), [a.ndim for a in arrays])
    values = np.einsum(f"{','.join(inputs)}->{output}", *arrays, optimize=True)

    def way(i: int) -> Any:
        def backward(g: Array) -> Array:
            return _einsum_backward(g, i, arrays, inputs, output)

        return backward

    pairs = [(tensor, way(i)) for i, tensor in enumerate(tensors)]
    return record(values, "einsum", *pairs)


def _letters(equation: str, ndims: list[int]) -> tuple[list[str], str]:
    """The index letters of each input and of the output, with letters in place of ``...``."""
    left, arrow, output = equation.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ndims):
        raise ValueError(f"equation {equation!r} names {len(inputs)} inputs, got {len(ndims)}")
    unused = [chr(c) for c in range(192, 600) if chr(c).isalpha()]
    hidden = max(
        (n - len(letters.replace("...", "")) for letters, n in zip(inputs, ndims, strict=True)
         if "..." in letters),
        default=0,
    )  # fmt: skip
    rest = "".join(unused[:hidden])
    expanded = []
    for letters, n in zip(inputs, ndims, strict=True):
        named = letters.replace("...", "")
        if "..." not in letters and len(named) != n:
            raise ValueError(f"equation {equation!r}: {letters!r} does not fit {n} axes")
        start = hidden - (n - len(named))
        expanded.append(letters.replace("...", rest[start:]))
    if not arrow:
        joined = "".join(expanded)
        output = rest + "".join(
            sorted(c for c in set(joined) if joined.count(c) == 1 and c not in rest)
        )
    return expanded, output.replace("...", rest)


def _einsum_backward(
    g: Array, i: int, arrays: list[Array], inputs: list[str], output: str
) -> Array:
    """The gradient's letters and those of the other inputs make those of input ``i``.

    A letter that only this input has was summed: its gradient is repeated (times ones). One that it
    has twice was its diagonal (times the unit matrix). Sizes of 1 were broadcast.
    """
    others = [(letters, a) for j, (letters, a) in enumerate(zip(inputs, arrays, strict=True))
              if j != i]  # fmt: skip
    terms: list[tuple[str, Array]] = [(output, g), *others]
    known = output + "".join(letters for letters, _ in others)
    wanted = ""
    fresh = iter(chr(c) for c in range(600, 1000) if chr(c).isalpha())
    for letter, size in zip(inputs[i], arrays[i].shape, strict=True):
        if letter in wanted:
            again = next(fresh)
            terms.append((letter + again, np.eye(size, dtype=g.dtype)))
            letter = again
        elif letter not in known:
            terms.append((letter, np.ones(size, g.dtype)))
        wanted += letter
    subscripts = ",".join(letters for letters, _ in terms) + "->" + wanted
    return np.einsum(subscripts, *(a for _, a in terms), optimize=True)
