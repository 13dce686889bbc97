"""Losses with a hinge: MarginRankingLoss, HingeEmbeddingLoss, MultiMarginLoss and
MultiLabelMarginLoss.

The derivative at the hinge itself is torch's: that of the slope for losses of elements, 0 for those
of classes.
"""

from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import elementwise, silently
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.loss.base import ElementwiseLoss, Loss, PairLoss, reduced, unreduced
from numpy_impl.types import Array


@elementwise
def margin_ranking_loss(x1: Array, x2: Array, y: Array, margin: float = 0.0) -> Array:
    """max(0, margin - y * (x1 - x2))."""
    return np.maximum(-y * (x1 - x2) + margin, 0)


def _ranked_wrong(dy: Array, x1: Array, x2: Array, y: Array, margin: float) -> Array:
    """dy where the hinge is open, also at its edge."""
    return np.where(-y * (x1 - x2) + margin >= 0, dy, y.dtype.type(0))


@elementwise
def margin_ranking_loss_backward(
    dy: Array, x1: Array, x2: Array, y: Array, margin: float = 0.0
) -> Array:
    """-dy * y where margin - y * (x1 - x2) >= 0; for x2 the opposite."""
    return -y * _ranked_wrong(dy, x1, x2, y, margin)


@elementwise
def margin_ranking_loss_other_backward(
    dy: Array, x1: Array, x2: Array, y: Array, margin: float = 0.0
) -> Array:
    """dy * y where margin - y * (x1 - x2) >= 0."""
    return y * _ranked_wrong(dy, x1, x2, y, margin)


@elementwise
def margin_ranking_loss_target_backward(
    dy: Array, x1: Array, x2: Array, y: Array, margin: float = 0.0
) -> Array:
    """-dy * (x1 - x2) where margin - y * (x1 - x2) >= 0."""
    return (x2 - x1) * _ranked_wrong(dy, x1, x2, y, margin)


class MarginRankingLoss(ElementwiseLoss):
    r""":math:`\max(0, m - y\,(x_1 - x_2))`: the first shall be larger for y = 1, smaller for -1.

    Args:
        margin: m.
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input1, input2 and target (of integers, too) of as many axes, that broadcast; the loss is
        0-d, or of their common shape for ``"none"``. backward gives gradients for both inputs.

    Raises:
        ValueError: for another reduction, or shapes that do not fit.
        TypeError: if the dtypes differ.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MarginRankingLoss.html
    """

    _functions = (
        margin_ranking_loss,
        margin_ranking_loss_backward,
        margin_ranking_loss_other_backward,
        margin_ranking_loss_target_backward,
    )
    _names, _options = ("input1", "input2", "target"), ("margin",)
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

    def _broadcast(self, arrays: list[Array]) -> list[Array]:
        if len({a.ndim for a in arrays}) > 1:
            shapes = ", ".join(f"{n} {a.shape}" for n, a in zip(self._names, arrays, strict=True))
            raise ValueError(f"all must have as many axes, got {shapes}")
        return super()._broadcast(arrays)

    def forward(self, input1: Array, input2: Array, target: Array) -> Array:
        return self._forward(input1, input2, target)


@elementwise
def hinge_embedding_loss(x: Array, y: Array, margin: float = 1.0) -> Array:
    """x for y = 1, max(0, margin - x) for y = -1 (their sum for other targets)."""
    zero = x.dtype.type(0)
    return np.where(y != 1, np.maximum(margin - x, 0), zero) + np.where(y != -1, x, zero)


@elementwise
def hinge_embedding_loss_backward(dy: Array, x: Array, y: Array, margin: float = 1.0) -> Array:
    """dy for y = 1, -dy where x <= margin for y = -1."""
    zero = x.dtype.type(0)
    return np.where(y != -1, dy, zero) - np.where((y != 1) & (margin - x >= 0), dy, zero)


class HingeEmbeddingLoss(PairLoss):
    r"""x for targets 1, :math:`\max(0, m - x)` for targets -1: x is a distance.

    Args:
        margin: m.
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input and target (of integers, too) that broadcast; the loss is 0-d, or of their common
        shape for ``"none"``.

    Raises:
        ValueError: for another reduction, or shapes that do not broadcast.
        TypeError: if the dtypes differ.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.HingeEmbeddingLoss.html
    """

    _functions = (hinge_embedding_loss, hinge_embedding_loss_backward, None)
    _options = ("margin",)

    def __init__(
        self,
        margin: float = 1.0,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin


def _rows(input: Any) -> Array:
    """(N, C), (C,) or () of at least one class as (N, C)."""
    x = check_array(input, "input", ndim=(0, 1, 2))
    if x.ndim and x.shape[-1] == 0:
        raise ValueError(f"input must have classes, got shape {x.shape}")
    return x.reshape(-1, x.shape[-1] if x.ndim else 1)


def _integers(target: Any, shapes: tuple[tuple[int, ...], ...]) -> Array:
    """A target of integers and of one of these shapes."""
    if not isinstance(target, np.ndarray | np.generic) or target.dtype.kind not in "iu":
        found = getattr(target, "dtype", type(target).__name__)
        raise TypeError(f"target must be an array of integers, got {found}")
    if target.shape not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise ValueError(f"target must have shape {allowed}, got {target.shape}")
    return np.asarray(target, np.intp)


def multi_margin_loss(
    x: Array, index: Array, p: int = 1, margin: float = 1.0, weight: Array | None = None
) -> tuple[Array, Array]:
    """(N,): w * sum(max(0, margin - x[t] + x)**p) / C over the other classes; and (N, C): the
    terms before the power.
    """
    rows = np.arange(len(x))
    terms = margin - x[rows, index][:, None] + x
    terms[~(terms > 0)] = 0  # NaN counts for nothing
    terms[rows, index] = 0
    values = (terms if p == 1 else terms * terms).sum(1) / x.dtype.type(x.shape[1])
    return values if weight is None else values * weight[index], terms


def multi_margin_loss_backward(
    dy: Array, terms: Array, index: Array, p: int = 1, weight: Array | None = None
) -> Array:
    """dy * w / C, times 2 * term for p = 2, where a term is above 0; at t minus their sum."""
    if weight is not None:
        dy = dy * weight[index]
    dy = (dy / terms.dtype.type(terms.shape[1])).reshape(-1, 1)
    grad = (terms > 0) * dy if p == 1 else 2 * terms * dy
    grad[np.arange(len(grad)), index] = -grad.sum(1)
    return grad


class MultiMarginLoss(Loss):
    r"""Each class's score shall be a margin below the target's:
    :math:`\frac{w_t}{C} \sum_{c \neq t} \max(0, m - x_t + x_c)^p`.

    At the hinge the derivative is 0.

    Args:
        p: 1 or 2.
        margin: m.
        weight: (C,), of each class.
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"`` (over the rows, whatever their weights), ``"sum"`` or ``"none"``.

    Shape:
        input (N, C), target (N,) of integers; or (C,) and () or (1,). The loss is 0-d, or of the
        target's shape for ``"none"``.

    Raises:
        ValueError: for another p, shapes that do not fit, or a class that does not exist.
        TypeError: for a target that holds no integers.

    Source: Weston and Watkins 1999; https://pytorch.org/docs/stable/generated/torch.nn.MultiMarginLoss.html
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Array | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError(f"p must be 1 or 2, got {p!r}")
        if weight is not None and weight.ndim != 1:
            raise ValueError(f"weight must be 1-d, got shape {weight.shape}")
        self.register_buffer("weight", weight)
        self.p, self.margin = p, margin

    @silently
    def forward(self, input: Array, target: Array) -> Array:
        x = _rows(input)
        shapes = ((len(x),),) if np.ndim(input) == 2 else ((), (1,))
        shape = _integers(target, shapes).shape
        index = np.asarray(target, np.intp).reshape(-1)
        if index.size and not 0 <= index.min() <= index.max() < x.shape[1]:
            raise ValueError(
                f"target must hold classes 0..{x.shape[1] - 1}, got {index.min()} to {index.max()}"
            )
        if self.weight is not None and self.weight.shape != (x.shape[1],):
            raise ValueError(
                f"weight must have one value for each of {x.shape[1]} classes, got shape "
                f"{self.weight.shape}"
            )
        values, terms = multi_margin_loss(x, index, self.p, self.margin, self.weight)
        output = reduced(values.reshape(shape), self.reduction, len(x))
        self.save_for_backward(output, terms, index, np.shape(input))
        return output

    @silently
    def backward(self, grad_output: Any = 1.0) -> Array:
        grad, terms, index, shape = self._upstream(grad_output)
        dy = unreduced(grad, self.reduction, len(terms)).reshape(-1)
        found = multi_margin_loss_backward(dy, terms, index, self.p, self.weight)
        return found.reshape(shape)


def _labels(target: Array) -> tuple[Array, int]:
    """(N, C): which classes are targets; and the largest number of targets, repeats included.

    The targets of a row are those before its first negative number.
    """
    counted = np.logical_and.accumulate(target >= 0, 1)
    is_target = np.zeros(target.shape, np.bool_)
    row, _ = where = counted.nonzero()
    is_target[row, target[where]] = True
    return is_target, int(counted.sum(1).max(initial=0))


def _hinges(x: Array, target: Array) -> Any:
    """For each place in the rows' lists: the rows that have a target there, the targets, and
    (rows, C): 1 - x[target] + x for the classes that are no targets, 0 where below 0 or NaN.
    """
    is_target, most = _labels(target)
    rows = np.arange(len(x))
    for j in range(most):
        rows = rows[target[rows, j] >= 0]
        index = target[rows, j]
        terms = 1 - x[rows, index][:, None] + x[rows]
        terms[is_target[rows] | ~(terms > 0)] = 0
        yield rows, index, terms


def multilabel_margin_loss(x: Array, target: Array) -> Array:
    """(N,): sum(max(0, 1 - x[t] + x[c])) / C over the targets t and the other classes c."""
    values = np.zeros(len(x), x.dtype)
    for rows, _, terms in _hinges(x, target):
        values[rows] += terms.sum(1)
    return values / x.dtype.type(x.shape[1])


def multilabel_margin_loss_backward(dy: Array, x: Array, target: Array) -> Array:
    """dy / C for each term above 0, and the opposite for its target."""
    grad = np.zeros_like(x, order="C")
    for rows, index, terms in _hinges(x, target):
        is_open = terms > 0
        grad[rows] += is_open
        grad[rows, index] -= is_open.sum(1)
    return grad * (dy / x.dtype.type(x.shape[1])).reshape(-1, 1)


class MultiLabelMarginLoss(Loss):
    r"""Each target's score shall be 1 above that of each class that is none:
    :math:`\frac1C \sum_t \sum_{c} \max(0, 1 - x_t + x_c)`.

    At the hinge the derivative is 0. A target that is listed twice counts twice.

    Args:
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input (N, C), target (N, C) of integers: the targets of each row, then -1; or both (C,). The
        loss is 0-d, or (N,) for ``"none"``.

    Raises:
        ValueError: for shapes that do not fit, or a class that does not exist.
        TypeError: for a target that holds no integers.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelMarginLoss.html
    """

    @silently
    def forward(self, input: Array, target: Array) -> Array:
        x = _rows(input)
        index = _integers(target, (np.shape(input),)).reshape(x.shape)
        if index.size and not -1 <= index.min() <= index.max() < x.shape[1]:
            raise ValueError(
                f"target must hold classes 0..{x.shape[1] - 1} or -1, got {index.min()} to "
                f"{index.max()}"
            )
        values = multilabel_margin_loss(x, index).reshape(np.shape(input)[:-1])
        output = reduced(values, self.reduction, len(x))
        self.save_for_backward(output, x, index, np.shape(input))
        return output

    @silently
    def backward(self, grad_output: Any = 1.0) -> Array:
        grad, x, index, shape = self._upstream(grad_output)
        dy = unreduced(grad, self.reduction, len(x))
        return multilabel_margin_loss_backward(dy, x, index).reshape(shape)
