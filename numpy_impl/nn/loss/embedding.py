"""Losses of embeddings that shall be near or far: CosineEmbeddingLoss, TripletMarginLoss,
TripletMarginWithDistanceLoss.

Where a hinge is just closed its derivative is torch's: that of the slope.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.distance import (
    PairwiseDistance,
    pairwise_distance,
    pairwise_distance_backward,
)
from numpy_impl.nn.loss.base import EPSILON, Loss, check_target, reduced, unreduced
from numpy_impl.tensor.elementwise import clamp_min, minimum
from numpy_impl.tensor.graph import fitted
from numpy_impl.tensor.tensor import Tensor
from numpy_impl.types import Array

Distance = tuple[Array, Array]  # the norm, and the difference it is of


def _check_together(arrays: dict[str, Array]) -> tuple[int, ...]:
    """The shape that arrays of as many axes broadcast to."""
    shapes = " and ".join(f"{name} {a.shape}" for name, a in arrays.items())
    if len({a.ndim for a in arrays.values()}) > 1:
        raise ValueError(f"all must have as many axes, got {shapes}")
    try:
        return np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError:
        raise ValueError(f"these do not broadcast: {shapes}") from None


def cosine_embedding_loss(
    x1: Array, x2: Array, y: Array, margin: float = 0.0
) -> tuple[Array, tuple[Array, Array, Array]]:
    """1 - cos for y = 1, max(0, cos - margin) for y = -1, else 0: (N, D) -> (N,).

    And cos with the squared norms, which backward needs.
    """
    square1, square2 = ((x * x).sum(-1) + x.dtype.type(EPSILON) for x in (x1, x2))
    cos = (x1 * x2).sum(-1) / np.sqrt(square1 * square2)
    zero = x1.dtype.type(0)
    values = np.where(y == 1, 1 - cos, zero) + np.where(y == -1, np.maximum(cos - margin, 0), zero)
    return values, (cos, square1, square2)


def cosine_embedding_loss_backward(
    dy: Array,
    x1: Array,
    x2: Array,
    y: Array,
    kept: tuple[Array, Array, Array],
    margin: float = 0.0,
) -> tuple[Array, Array]:
    r"""Gradients for both, with d the derivative for the cosine, -dy or dy:
    :math:`d\,(x_2 / \sqrt{s_1 s_2} - \cos\,x_1 / s_1)`.
    """
    cos, square1, square2 = (np.asarray(value)[..., None] for value in kept)
    dy, y = np.asarray(dy)[..., None], np.asarray(y)[..., None]
    zero = x1.dtype.type(0)
    d = np.where((y == -1) & (cos - margin >= 0), dy, zero) - np.where(y == 1, dy, zero)
    d = fitted(d, cos.shape, x1.dtype)
    near, turn = d / np.sqrt(square1 * square2), d * cos
    return near * x2 - turn / square1 * x1, near * x1 - turn / square2 * x2


class CosineEmbeddingLoss(Loss):
    r""":math:`1 - \cos(x_1, x_2)` for targets 1, :math:`\max(0, \cos(x_1, x_2) - m)` for -1.

    1e-12 is added to the squared norms, so that a vector of zeros has a cosine.

    Args:
        margin: m, from -1 to 1.
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input1 and input2 (N, D), target (N,) (of integers, too); or (D,) and (). The loss is 0-d,
        or (N,) for ``"none"``. backward gives gradients for both inputs.

    Raises:
        ValueError: for another reduction, or shapes that do not fit.
        TypeError: if the dtypes differ.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.CosineEmbeddingLoss.html
    """

    _differentiable = (0, 1)

    def __init__(
        self,
        margin: float = 0.0,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    @silently
    def forward(self, input1: Array, input2: Array, target: Array) -> Array:
        x1 = check_array(input1, "input1")
        x2 = check_target(input2, "input2", x1.dtype)
        y = check_target(target, "target", x1.dtype, integers=True)
        shape = _check_together({"input1": x1, "input2": x2})
        if y.ndim not in (0, 1) or len(shape) != y.ndim + 1:
            raise ValueError(
                f"the inputs must be 2-d and target 1-d, or 1-d and 0-d, got {y.shape}"
            )
        try:
            np.broadcast_shapes(shape[:-1], y.shape)
        except ValueError:
            raise ValueError(f"target {y.shape} does not broadcast to {shape[:-1]}") from None
        wide = np.broadcast_to(x1, shape), np.broadcast_to(x2, shape)
        values, kept = cosine_embedding_loss(*wide, y, self.margin)
        output = reduced(values, self.reduction, values.size)
        count = values.size
        self.save_for_backward(output, *wide, y, kept, self.margin, count, (x1.shape, x2.shape))
        return output

    @silently
    def backward(self, grad_output: Any = 1.0) -> Any:
        grad, *saved, count, shapes = self._upstream(grad_output)
        grads = cosine_embedding_loss_backward(unreduced(grad, self.reduction, count), *saved)
        fit = [fitted(g, shape, g.dtype) for g, shape in zip(grads, shapes, strict=True)]
        return self._grads(lambda i: fit[i] if i < 2 else None)


def triplet_margin_loss(
    margin: float, pos: Array, neg: Array, swapped: Array | None = None
) -> Array:
    """max(0, margin + d(a, p) - d(a, n)), or for swap the smaller of d(a, n) and d(p, n)."""
    return np.maximum(margin + pos - (neg if swapped is None else np.minimum(neg, swapped)), 0)


def triplet_margin_loss_backward(
    dy: Array, margin: float, pos: Array, neg: Array, swapped: Array | None = None
) -> tuple[Array, Array, Array | None]:
    """Gradients for the distances: dy, and the opposite for the smaller one; equals share it."""
    nearest = neg if swapped is None else np.minimum(neg, swapped)
    dy = np.where(margin + pos - nearest >= 0, dy, pos.dtype.type(0))
    if swapped is None:
        return dy, -dy, None
    share = np.where(neg == swapped, -dy / 2, -dy)
    zero = share.dtype.type(0)
    return dy, np.where(neg > swapped, zero, share), np.where(swapped > neg, zero, share)


class TripletMarginLoss(Loss):
    r"""An anchor shall be nearer to its positive than to its negative by a margin:
    :math:`\max(0, m + \|a - p\| - \|a - n\|)`.

    Args:
        margin: m, above 0.
        p: the order of the norm.
        eps: added to each difference, as in PairwiseDistance.
        swap: whether the negative may be compared with the positive where that is nearer to it:
            :math:`\min(\|a - n\|, \|p - n\|)`; where both are equal they share the gradient.
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        anchor, positive and negative (..., D) that broadcast; the loss is 0-d, or (...) for
        ``"none"``. backward gives gradients for all three.

    Raises:
        ValueError: if the margin is not positive, or for shapes that do not fit.
        TypeError: if the dtypes differ.

    Source: Balntas et al. 2016, https://doi.org/10.5244/C.30.119;
    https://pytorch.org/docs/stable/generated/torch.nn.TripletMarginLoss.html
    """

    _differentiable = (0, 1, 2)

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin, self.p, self.eps, self.swap = _positive(margin), p, eps, swap

    @silently
    def forward(self, anchor: Array, positive: Array, negative: Array) -> Array:
        a = check_array(anchor, "anchor")
        pos = check_target(positive, "positive", a.dtype)
        neg = check_target(negative, "negative", a.dtype)
        _check_together({"anchor": a, "positive": pos, "negative": neg})
        x = [np.atleast_1d(value) for value in (a, pos, neg)]  # a number is a vector of one
        pairs = [(x[0], x[1]), (x[0], x[2]), (x[1], x[2])][: 3 if self.swap else 2]
        found = [pairwise_distance(*pair, self.p, self.eps) for pair in pairs]
        norms = [norm for norm, _ in found]
        values = triplet_margin_loss(self.margin, *norms)
        output = reduced(values[..., 0], self.reduction, values.size)
        shapes = a.shape, pos.shape, neg.shape
        self.save_for_backward(output, found, norms, values.size, shapes, self.margin, self.p)
        return output

    @silently
    def backward(self, grad_output: Any = 1.0) -> Any:
        grad, found, norms, count, shapes, margin, p = self._upstream(grad_output)
        dy = unreduced(grad, self.reduction, count)[..., None]
        slopes = triplet_margin_loss_backward(dy, margin, *norms)
        to_pos, to_neg, *swapped = (
            pairwise_distance_backward(fitted(d, norm.shape, norm.dtype), difference, norm, p)
            for (norm, difference), d in zip(found, slopes, strict=False)
        )
        grads = [to_pos + to_neg, -to_pos, -to_neg]
        for between in swapped:
            grads[1], grads[2] = grads[1] + between, grads[2] - between
        fit = [
            fitted(grad, shape or (1,), dy.dtype).reshape(shape)
            for grad, shape in zip(grads, shapes, strict=True)
        ]
        return self._grads(lambda i: fit[i])


def _positive(margin: float) -> float:
    if not margin > 0:
        raise ValueError(f"margin must be positive, got {margin}")
    return margin


class TripletMarginWithDistanceLoss(Loss):
    r"""TripletMarginLoss with a distance of one's own: :math:`\max(0, m + d(a, p) - d(a, n))`.

    The loss is made of calls, of the distance among them: parameters in it are trained, too.

    Args:
        distance_function: of two Tensors, a Tensor: a function or a module (default:
            PairwiseDistance).
        margin: m, above 0.
        swap: whether the negative may be compared with the positive where that is nearer to it.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        anchor, positive and negative of as many axes; the loss is 0-d, or of the distances' shape
        for ``"none"``. backward gives gradients for all three.

    Raises:
        ValueError: if the margin is not positive, or for inputs of different numbers of axes.

    Source: Balntas et al. 2016, https://doi.org/10.5244/C.30.119;
    https://pytorch.org/docs/stable/generated/torch.nn.TripletMarginWithDistanceLoss.html
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.distance_function = (
            PairwiseDistance() if distance_function is None else distance_function
        )
        self.margin, self.swap = _positive(margin), swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        if not anchor.ndim == positive.ndim == negative.ndim:
            raise ValueError(
                f"all must have as many axes, got anchor {anchor.shape}, positive "
                f"{positive.shape} and negative {negative.shape}"
            )
        distance = self.distance_function
        pos, neg = distance(anchor, positive), distance(anchor, negative)
        if self.swap:
            neg = minimum(neg, distance(positive, negative))
        values = clamp_min(self.margin + pos - neg, 0)
        if self.reduction == "none":
            return values
        return values.mean() if self.reduction == "mean" else values.sum()
