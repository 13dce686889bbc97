"""Products of matrices. In each, ``g`` is the gradient of the output."""

import math
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numpy_impl.kernels.products import sum_along
from numpy_impl.tensor import elementwise
from numpy_impl.tensor.elementwise import add, mul, sub
from numpy_impl.tensor.place import own
from numpy_impl.tensor.promotion import of_one_dtype, quiet
from numpy_impl.tensor.reduction import norm
from numpy_impl.tensor.reduction import sum as total
from numpy_impl.tensor.shape import _axis, diagonal, reshape, roll, unsqueeze
from numpy_impl.tensor.tensor import Tensor, TensorLike, record, to_array
from numpy_impl.types import Array


@quiet
def matmul(input: TensorLike, other: TensorLike) -> Tensor:
    """The matrix product of the last two axes, the others broadcast; vectors as in NumPy."""
    a, b = of_one_dtype("matmul", input, other)
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
        return grad if a.ndim > 1 else sum_along(grad, tuple(range(grad.ndim - 1)))

    def to_other(g: Array) -> Array:
        if b.ndim == 2 and rows.ndim > 2:  # one matrix for all: one product
            n = math.prod(rows.shape[:-1])
            return rows.reshape(n, rows.shape[-1]).T @ as_matrix(g).reshape(n, b.shape[-1])
        grad: Array = rows.swapaxes(-1, -2) @ as_matrix(g)
        if b.ndim == 1:
            grad = sum_along(grad[..., 0], tuple(range(grad.ndim - 2)))
        return grad

    return record(output, "matmul", (input, to_input), (other, to_other))


def _of_axes(name: str, input: TensorLike, other: TensorLike, axes: tuple[int, int]) -> Tensor:
    shapes = np.shape(to_array(input)), np.shape(to_array(other))
    if (len(shapes[0]), len(shapes[1])) != axes:
        raise RuntimeError(
            f"{name} needs {axes[0]} and {axes[1]} axes, got {shapes[0]} and {shapes[1]}"
        )
    return matmul(input, other)


def mm(input: TensorLike, mat2: TensorLike) -> Tensor:
    """The product of two matrices."""
    return _of_axes("mm", input, mat2, (2, 2))


spmm = mm


def bmm(input: TensorLike, mat2: TensorLike) -> Tensor:
    """The products of two batches of matrices."""
    product = _of_axes("bmm", input, mat2, (3, 3))
    if to_array(input).shape[0] != to_array(mat2).shape[0]:
        raise RuntimeError(
            f"bmm needs batches of one size, got {to_array(input).shape}, {to_array(mat2).shape}"
        )
    return product


def mv(input: TensorLike, vec: TensorLike) -> Tensor:
    """The product of a matrix and a vector."""
    return _of_axes("mv", input, vec, (2, 1))


def dot(input: TensorLike, tensor: TensorLike) -> Tensor:
    """The inner product of two vectors."""
    return _of_axes("dot", input, tensor, (1, 1))


vdot = dot


def outer(input: TensorLike, vec2: TensorLike) -> Tensor:
    """The outer product of two vectors."""
    shapes = np.shape(to_array(input)), np.shape(to_array(vec2))
    if len(shapes[0]) != 1 or len(shapes[1]) != 1:
        raise RuntimeError(f"outer needs two vectors, got {shapes[0]} and {shapes[1]}")
    return mul(unsqueeze(input, 1), vec2)


ger = outer


def inner(input: TensorLike, other: TensorLike) -> Tensor:
    """The sum of products over the last axis of both."""
    if not to_array(input).ndim or not to_array(other).ndim:
        return mul(input, other)
    return tensordot(input, other, ([-1], [-1]))


def tensordot(
    a: TensorLike, b: TensorLike, dims: int | Sequence[int | Sequence[int]] = 2
) -> Tensor:
    """The sum of products over some axes: the last ``dims`` of a and first of b, or two lists."""
    x, y = of_one_dtype("tensordot", a, b)
    if isinstance(dims, int):
        dims = list(range(x.ndim - dims, x.ndim)), list(range(dims))
    of_a, of_b = ([d] if isinstance(d, int) else list(d) for d in dims)
    of_a, of_b = [_axis(d, x.ndim) for d in of_a], [_axis(d, y.ndim) for d in of_b]
    if [x.shape[d] for d in of_a] != [y.shape[d] for d in of_b]:
        raise RuntimeError(f"dims {dims} of {x.shape} and {y.shape} differ in size")
    letters = string.ascii_letters
    first = letters[: x.ndim]
    second = list(letters[x.ndim : x.ndim + y.ndim])
    for i, j in zip(of_a, of_b, strict=True):
        second[j] = first[i]
    free = [c for c in first if c not in second] + [c for c in second if c not in first]
    return einsum(f"{first},{''.join(second)}->{''.join(free)}", a, b)


def kron(input: TensorLike, other: TensorLike) -> Tensor:
    """The Kronecker product: ``other`` once for each element of ``input``, times that."""
    a, b = to_array(input).shape, to_array(other).shape
    n = max(len(a), len(b))
    a, b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    # (a0, 1, a1, 1, ...) times (1, b0, 1, b1, ...)
    spread = mul(
        reshape(input, tuple(size for k in a for size in (k, 1))),
        reshape(other, tuple(size for k in b for size in (1, k))),
    )
    return reshape(spread, tuple(i * j for i, j in zip(a, b, strict=True)))


def trace(input: TensorLike) -> Tensor:
    """The sum of a matrix's diagonal."""
    if to_array(input).ndim != 2:
        raise RuntimeError(f"trace needs a matrix, got shape {to_array(input).shape}")
    return total(diagonal(input))


def cross(input: TensorLike, other: TensorLike, dim: int | None = None) -> Tensor:
    """The cross product of vectors of 3 along ``dim`` (the first axis of size 3)."""
    shape = np.broadcast_shapes(to_array(input).shape, to_array(other).shape)
    if dim is None:
        dim = next((i for i, n in enumerate(shape) if n == 3), None)
    if dim is None or shape[_axis(dim, len(shape))] != 3:
        raise RuntimeError(f"dim must be an axis of size 3, got {dim} for shape {shape}")
    one, two = (
        mul(roll(input, -1, dim), roll(other, -2, dim)),
        mul(roll(input, -2, dim), roll(other, -1, dim)),
    )
    return sub(one, two)


def cdist(x1: TensorLike, x2: TensorLike, p: float = 2.0) -> Tensor:
    """The p-norm of the difference of each row of ``x1`` and each of ``x2``."""
    if to_array(x1).ndim < 2 or to_array(x2).ndim < 2:
        raise RuntimeError(
            f"cdist needs 2 axes at least, got {to_array(x1).shape} and {to_array(x2).shape}"
        )
    return norm(sub(unsqueeze(x1, -2), unsqueeze(x2, -3)), p, -1)


def vander(x: TensorLike, N: int | None = None, *, increasing: bool = False) -> Tensor:
    """The powers of a vector's elements, from ``N - 1`` (the vector's size minus 1) to 0."""
    if to_array(x).ndim != 1:
        raise RuntimeError(f"vander needs a vector, got shape {to_array(x).shape}")
    n = to_array(x).size if N is None else N
    if n < 0:
        raise RuntimeError(f"N must not be negative, got {N}")
    exponents = np.arange(n) if increasing else np.arange(n)[::-1]
    return elementwise.pow(unsqueeze(x, 1), exponents)


def addmm(
    input: TensorLike, mat1: TensorLike, mat2: TensorLike, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``."""
    product = mm(mat1, mat2)
    product = product if alpha == 1 else mul(product, alpha)
    return add(input if beta == 1 else mul(input, beta), product)


def addmv(
    input: TensorLike, mat: TensorLike, vec: TensorLike, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``."""
    product = mv(mat, vec)
    product = product if alpha == 1 else mul(product, alpha)
    return add(input if beta == 1 else mul(input, beta), product)


def baddbmm(
    input: TensorLike, batch1: TensorLike, batch2: TensorLike, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * input + alpha * bmm(batch1, batch2)``."""
    product = bmm(batch1, batch2)
    product = product if alpha == 1 else mul(product, alpha)
    return add(input if beta == 1 else mul(input, beta), product)


@quiet
def dist(input: TensorLike, other: TensorLike, p: float = 2) -> Tensor:
    """The p-norm of a difference."""
    return norm(sub(input, other), p)


def einsum(equation: Any, *tensors: Any) -> Tensor:
    """A sum of products by index letters: ``einsum("bij,bjk->bik", a, b)``.

    ``...`` stands for the axes that are not named; without ``->`` the letters that occur once are
    the output's, in alphabetical order. Or each Tensor is followed by the list of its indices,
    numbers and ``...``, and the output's may stand last: ``einsum(a, [0, 1], b, [1, 2], [0, 2])``.
    """
    if isinstance(equation, Tensor | np.ndarray):
        equation, tensors = _from_lists((equation, *tensors))
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tuple(tensors[0])
    if not isinstance(equation, str) or not tensors:
        raise ValueError("einsum needs an equation and at least one Tensor")
    arrays = of_one_dtype("einsum", *tensors)
    inputs, output = _letters(equation.replace(" ", ""), [a.ndim for a in arrays])
    # a copy: of one input it may be a view
    values = own(np.einsum(f"{','.join(inputs)}->{output}", *arrays, optimize=True))

    def way(i: int) -> Callable[[Array], Array]:
        def backward(g: Array) -> Array:
            return _einsum_backward(g, i, arrays, inputs, output)

        return backward

    pairs = [(tensor, way(i)) for i, tensor in enumerate(tensors)]
    return record(values, "einsum", *pairs)


_INDICES = string.ascii_uppercase + string.ascii_lowercase  # in the order in which they sort


def _from_lists(operands: tuple[Any, ...]) -> tuple[str, tuple[TensorLike, ...]]:
    """The equation of Tensors that are each followed by a list of indices, and the Tensors."""
    lists = [*operands[1::2], *operands[-1:]] if len(operands) % 2 else operands[1::2]

    def letters(indices: Any) -> str:
        if not isinstance(indices, list | tuple):
            raise TypeError(f"einsum: each Tensor needs a list of indices, got {indices!r}")
        for i in indices:
            if i is not ... and not (isinstance(i, int) and 0 <= i < 52):
                raise ValueError(f"einsum: an index must be ... or within 0..51, got {i!r}")
        return "".join("..." if i is ... else _INDICES[i] for i in indices)

    parts = [letters(indices) for indices in lists]
    tensors = operands[: len(operands) // 2 * 2 : 2]
    arrow = f"->{parts.pop()}" if len(operands) % 2 else ""
    return ",".join(parts) + arrow, tensors


def _letters(equation: str, ndims: list[int]) -> tuple[list[str], str]:
    """The index letters of each input and of the output, with letters in place of ``...``."""
    left, arrow, output = equation.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ndims):
        raise ValueError(f"equation {equation!r} names {len(inputs)} inputs, got {len(ndims)}")
    for part in (*inputs, output):
        named = part.replace("...", "", 1)
        if not named.isascii() or not (named.isalpha() or not named):
            raise ValueError(f"equation {equation!r}: {part!r} must be letters and one '...'")
    # how many axes each ... stands for
    widths = [n - len(part.replace("...", "")) for part, n in zip(inputs, ndims, strict=True)]
    for part, width in zip(inputs, widths, strict=True):
        if width < 0 or (width and "..." not in part):
            raise ValueError(f"equation {equation!r}: {part!r} does not fit its input's axes")
    rest = "".join(_unused(equation)[: max(widths)])
    expanded = [
        part.replace("...", rest[len(rest) - width :])
        for part, width in zip(inputs, widths, strict=True)
    ]
    joined = "".join(expanded)
    if not arrow:
        output = "..." + "".join(
            sorted(c for c in set(joined) if joined.count(c) == 1 and c not in rest)
        )
    output = output.replace("...", rest)
    for letter in output:
        if letter not in joined or output.count(letter) > 1:
            raise ValueError(f"equation {equation!r}: output {letter!r} must occur once, and left")
    return expanded, output


def _unused(letters: str) -> list[str]:
    return [c for c in string.ascii_letters if c not in letters]


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
    fresh = iter(_unused(output + "".join(inputs)))
    for letter, size in zip(inputs[i], arrays[i].shape, strict=True):
        if letter in wanted:
            again = next(fresh)
            terms.append((letter + again, np.eye(size, dtype=g.dtype)))
            letter = again
        elif letter not in known:
            terms.append((letter, np.ones(size, g.dtype)))
        wanted += letter
    subscripts = ",".join(letters for letters, _ in terms) + "->" + wanted
    grad: Array = np.einsum(subscripts, *(a for _, a in terms), optimize=True)
    return grad
