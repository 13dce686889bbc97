"""CosineSimilarity, PairwiseDistance; and the distances of all pairs of rows."""

import math
from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.products import sum_along
from numpy_impl.kernels.segments import sum_by_index
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.module import Module
from numpy_impl.tensor.graph import fitted

Array = np.ndarray


@silently
def _norm_backward(dy: Array, x: Array, norm: Array, p: float) -> Array:
    r"""dy times the derivative of :math:`\|x\|_p` along the last axis, which dy and norm keep.

    :math:`\mathrm{sign}(x)\,(|x| / \|x\|_p)^{p - 1}`, and 0 where that is no number at 0. For
    infinity it belongs to whatever is the largest.
    """
    if p == 2:  # x / norm, without the powers
        return x * np.where(norm == 0, norm.dtype.type(0), dy / norm)
    size, sign = np.abs(x), np.sign(x)
    if p == 0:
        return np.zeros_like(x)
    if math.isinf(p):
        return dy * sign * (size == norm)
    flat = (norm == 0) | (x == 0) & (p < 1)
    return np.where(flat, x.dtype.type(0), dy * sign * (size / norm) ** (p - 1))


@silently
def cosine_similarity(
    x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8
) -> tuple[Array, Array, Array]:
    """x1 · x2 / (‖x1‖ ‖x2‖) along an axis, and both norms, which keep it and are at least eps."""
    n1, n2 = (np.maximum(np.sqrt(sum_along(x * x, dim, True)), eps) for x in (x1, x2))
    return np.asarray(sum_along(x1 / n1 * (x2 / n2), dim)), n1, n2


@silently
def cosine_similarity_backward(
    grad_output: Array, x1: Array, x2: Array, y: Array, n1: Array, n2: Array, dim: int = 1
) -> tuple[Array, Array]:
    r"""Gradients for both: with :math:`u_i = x_i / n_i`, :math:`dx_1 = (u_2 - y\,u_1)\,dy / n_1`.

    As in torch a norm that eps holds up counts as if nothing held it up: its own derivative is
    x over the true norm.
    """
    dy, y = (np.expand_dims(value, dim) for value in (grad_output, y))
    u1, u2 = x1 / n1, x2 / n2
    grads = []
    for x, n, u in ((x1, n1, u2), (x2, n2, u1)):
        norm = np.sqrt(sum_along(x * x, dim, True))
        slope = np.where(norm == 0, x.dtype.type(0), x / norm)
        grads.append(fitted((u - y * slope) * dy / n, x.shape, x.dtype))
    return grads[0], grads[1]


@silently
def pairwise_distance(x1: Array, x2: Array, p: float, eps: float) -> tuple[Array, Array]:
    """‖x1 - x2 + eps‖ along the last axis, which is kept, and the difference."""
    difference = np.asarray(x1 - x2 + x1.dtype.type(eps))
    return np.linalg.norm(difference, p, axis=-1, keepdims=True), difference


@silently
def pairwise_distance_backward(
    grad_output: Array, difference: Array, norm: Array, p: float
) -> Array:
    """The gradient for x1, before broadcasting is undone; x2's is its opposite."""
    if math.isinf(p):  # those that are equal share it
        grad_output = grad_output / (np.abs(difference) == norm).sum(-1, keepdims=True)
        grad_output = grad_output.astype(difference.dtype)
    return _norm_backward(grad_output, difference, norm, p)


@silently
def pdist(input: Array, p: float = 2.0) -> Array:
    """‖x_i - x_j‖ for all i < j; (N, M) -> (N (N - 1) / 2,)."""
    i, j = np.triu_indices(len(input), 1)
    return np.linalg.norm(input[i] - input[j], p, axis=-1)


@silently
def pdist_backward(grad_output: Array, input: Array, distance: Array, p: float) -> Array:
    """The gradient for input; for infinity equal differences have the whole one each."""
    i, j = np.triu_indices(len(input), 1)
    grads = _norm_backward(grad_output[:, None], input[i] - input[j], distance[:, None], p)
    return sum_by_index(grads, i, len(input)) - sum_by_index(grads, j, len(input))


def check_p(p: Any, minimum: float = -math.inf) -> float:
    """The order of a norm."""
    if not isinstance(p, int | float) or not p >= minimum:
        allowed = "a number" if minimum < 0 else "a number that is not negative"
        raise ValueError(f"p must be {allowed}, got {p!r}")
    return float(p)


def _broadcast(x1: Any, x2: Any) -> tuple[Array, Array]:
    """Both inputs, of one dtype and with shapes that go together."""
    x1, x2 = check_array(x1, "x1"), check_array(x2, "x2")
    if x1.dtype != x2.dtype:
        raise TypeError(f"x2 must have x1's dtype {x1.dtype}, got {x2.dtype}")
    try:
        np.broadcast_shapes(x1.shape, x2.shape)
    except ValueError:
        raise ValueError(f"x2 {x2.shape} does not broadcast with x1 {x1.shape}") from None
    return x1, x2


class CosineSimilarity(Module):
    r"""The cosine of the angle between two vectors:
    :math:`\frac{x_1 \cdot x_2}{\max(\|x_1\|, \epsilon)\,\max(\|x_2\|, \epsilon)}`.

    Args:
        dim: the axis that the vectors lie along.
        eps: what holds up the norms of vectors near 0.

    Shape:
        x1 and x2 that broadcast with one another -> their common shape without ``dim``.

    Raises:
        TypeError: if the dtypes differ.
        ValueError: for shapes that do not broadcast, or without such an axis.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.CosineSimilarity.html
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Array, x2: Array) -> Array:
        x1, x2 = _broadcast(x1, x2)
        ndim = max(x1.ndim, x2.ndim)
        if not -ndim <= self.dim < ndim:
            raise ValueError(f"dim must lie within -{ndim}..{ndim - 1}, got {self.dim}")
        shape = np.broadcast_shapes(x1.shape, x2.shape)
        wide = np.broadcast_to(x1, shape), np.broadcast_to(x2, shape)
        output, *norms = cosine_similarity(*wide, self.dim, self.eps)
        kept = (*wide, output.copy(), *norms, self.dim)
        self.save_for_backward(output, x1.shape, x2.shape, *kept)
        return output

    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        grad_output, shape1, shape2, *saved = self.saved_for_backward(grad_output)
        grad1, grad2 = cosine_similarity_backward(grad_output, *saved)
        return fitted(grad1, shape1, grad1.dtype), fitted(grad2, shape2, grad2.dtype)


class PairwiseDistance(Module):
    r"""The distance of vectors, :math:`\|x_1 - x_2 + \epsilon\|_p`, along the last axis.

    Args:
        p: the order of the norm: any number, also infinite or negative.
        eps: added to each difference, so that the norm has a derivative where they are equal.
        keepdim: whether the output keeps the last axis, with size 1.

    Shape:
        x1 and x2 that broadcast with one another to (..., D) -> (...), or (..., 1).

    Raises:
        TypeError: if the dtypes differ.
        ValueError: for shapes that do not broadcast, or without an axis.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.PairwiseDistance.html
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        check_p(p)
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Array, x2: Array) -> Array:
        x1, x2 = _broadcast(x1, x2)
        if max(x1.ndim, x2.ndim) == 0:
            raise ValueError("x1 or x2 must have an axis, got shapes () and ()")
        norm, difference = pairwise_distance(x1, x2, self.norm, self.eps)
        output = norm.copy() if self.keepdim else norm[..., 0].copy()
        self.save_for_backward(output, x1.shape, x2.shape, difference, norm, self.norm)
        return output

    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        grad_output, shape1, shape2, *saved = self.saved_for_backward(grad_output)
        grad = pairwise_distance_backward(grad_output.reshape(saved[1].shape), *saved)
        return fitted(grad, shape1, grad.dtype), fitted(-grad, shape2, grad.dtype)
