"""Losses of one class for each row: NLLLoss, CrossEntropyLoss.

Letters in shape comments: N rows (batch times extra positions), C classes. Ignored rows count for
nothing whatever they hold.
"""

import math
from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.activation import log_softmax
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.loss.base import Loss, reduced, unreduced
from numpy_impl.types import Array


def _as_rows(values: Array) -> Array:
    """(N, C, d...) or (C,) -> (rows, C)."""
    if values.ndim <= 2:
        return values if values.ndim == 2 else values[None]
    rows = math.prod(values.shape[2:], start=len(values))  # -1 would fail where C is 0
    return np.moveaxis(values, 1, -1).reshape(rows, values.shape[1])


def _from_rows(rows: Array, shape: tuple[int, ...]) -> Array:
    """The way back of :func:`_as_rows`."""
    if len(shape) <= 2:
        return rows.reshape(shape)
    moved = rows.reshape(shape[0], *shape[2:], shape[1])
    return np.moveaxis(moved, -1, 1)


class _ClassLoss(Loss):
    """What CrossEntropyLoss and NLLLoss share: class weights, indices, ignore_index."""

    def __init__(
        self,
        weight: Array | None,
        size_average: Any,
        ignore_index: int | None,
        reduce: Any,
        reduction: str,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def _check(self, input: Any) -> Array:
        input = check_array(input, "input")
        if input.ndim == 0:
            raise ValueError("input must have a class axis, got shape ()")
        classes = input.shape[0 if input.ndim == 1 else 1]
        if self.weight is not None:
            if self.weight.shape != (classes,):
                raise ValueError(
                    f"weight must have one value for each of {classes} classes, "
                    f"got shape {self.weight.shape}"
                )
            if self.weight.dtype != input.dtype:
                raise TypeError(
                    f"input must have weight's dtype {self.weight.dtype}, got {input.dtype}"
                )
        return input

    def _indices(self, input: Array, target: Any) -> tuple[Array, Array | None]:
        """Class index of every row (0 where ignored), and which rows count: None if all."""
        if not isinstance(target, np.ndarray | np.generic) or target.dtype.kind not in "iu":
            found = getattr(target, "dtype", type(target).__name__)
            raise TypeError(f"target must be an array of integers, got {found}")
        wanted = () if input.ndim == 1 else (input.shape[0], *input.shape[2:])
        if target.shape != wanted:
            raise ValueError(
                f"target must have shape {wanted} for input {input.shape}, got {target.shape}"
            )
        flat = np.asarray(target).reshape(-1)
        classes = input.shape[0 if input.ndim == 1 else 1]
        ignored = -100 if self.ignore_index is None else self.ignore_index
        # one look instead of two: without its sign a negative number is at least this
        negative = 2 ** (8 * flat.itemsize - 1)
        if not flat.size or flat.view(f"u{flat.itemsize}").max() < min(classes, negative):
            if not 0 <= ignored < classes:
                return flat, None
            wrong = None
        else:
            wrong = (flat < 0) | (flat >= classes)
        counted = flat != ignored
        if wrong is not None and (wrong & counted).any():
            at = int(np.argmax(wrong & counted))
            raise ValueError(
                f"target must hold classes 0..{classes - 1} (or ignore_index="
                f"{ignored}), got {flat[at]} at position {at}"
            )
        return np.where(counted, flat, 0), counted

    def _row_weights(self, index: Array, counted: Array | None, dtype: np.dtype) -> Array | None:
        """Each row's weight: its class's, 0 where ignored; None if all are 1."""
        if self.weight is None:
            return None if counted is None else counted.astype(dtype)
        weights = self.weight[index]
        return weights if counted is None else np.where(counted, weights, weights.dtype.type(0))


class NLLLoss(_ClassLoss):
    r"""Negative log likelihood, :math:`-w_t\,x_t`, for inputs that are log-probabilities.

    ``"mean"`` divides by the sum of the weights of the rows that count. Where that is 0 the loss is
    NaN or an infinity, as in torch.

    Args:
        weight: (C,), of each class.
        size_average, reduce: deprecated, as in torch.
        ignore_index: targets of this value count for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input (N, C), (N, C, d...) or (C,); target (N,), (N, d...) or () of integers.

    Raises:
        ValueError: for shapes that do not fit, or a class that does not exist.
        TypeError: for a target that holds no integers.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html
    """

    def __init__(
        self,
        weight: Array | None = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, ignore_index, reduce, reduction)

    @silently
    def forward(self, input: Array, target: Array) -> Array:
        input = self._check(input)
        index, counted = self._indices(input, target)
        rows = _as_rows(input)
        weights = self._row_weights(index, counted, input.dtype)
        values = picked(rows, index, weights, counted).reshape(np.shape(target))
        total = len(rows) if weights is None else weights.sum()
        output = reduced(values, self.reduction, total)
        self.save_for_backward(output, index, counted, weights, total, input.shape, rows.shape)
        return output

    @silently
    def backward(self, grad_output: Any = 1.0) -> Array:
        grad, index, counted, weights, total, shape, rows_shape = self._upstream(grad_output)
        scale = row_scale(weights, counted, unreduced(grad, self.reduction, total))
        rows = np.zeros(rows_shape, grad.dtype)
        rows[np.arange(len(rows)), index] = -scale
        return _from_rows(rows, shape)


def picked(log_p: Array, index: Array, weights: Array | None, counted: Array | None) -> Array:
    """-weight * log-probability of each row's class; 0 where ignored, even for NaN."""
    picked = log_p[np.arange(len(log_p)), index]
    np.negative(picked, out=picked)
    if weights is not None:
        picked *= weights
    if counted is not None:
        picked[~counted] = 0
    return picked


def row_scale(weights: Array | None, counted: Array | None, upstream: Array) -> Array:
    """Weight times upstream; ignored rows stay 0 where the mean over nothing is NaN.

    One value for each row, or a single one for all.
    """
    upstream = upstream.reshape(-1)
    if weights is None:
        return upstream
    where = True if counted is None else counted
    return np.multiply(weights, upstream, out=np.zeros_like(weights), where=where)


class SoftmaxLoss(_ClassLoss):
    """Cross entropy of logits; LinearCrossEntropyLoss makes these itself."""

    label_smoothing: float

    def _check_smoothing(self, label_smoothing: float) -> None:
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must lie in [0, 1], got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def cross_entropy(self, input: Array, target: Array) -> tuple[Array, tuple[Any, ...]]:
        """The loss, and what its backward needs."""
        rows = _as_rows(input)
        log_p = log_softmax(rows, 1)
        if isinstance(target, np.ndarray) and target.dtype.kind == "f":
            q = self._from_probabilities(input, target)
            shape = () if input.ndim == 1 else (input.shape[0], *input.shape[2:])
            output = reduced(-(q * log_p).sum(1).reshape(shape), self.reduction, len(q))
            return output, (log_p, q, None, len(q), input.shape)
        index, counted = self._indices(input, target)
        weights = self._row_weights(index, counted, input.dtype)
        divisor = len(rows) if weights is None else weights.sum()
        # one class alone counts in each row: NLLLoss of the log-probabilities
        values = picked(log_p, index, weights, counted).reshape(np.shape(target))
        output = reduced(values, self.reduction, divisor)
        kept: Any = (index, weights)
        if self.label_smoothing:
            # two losses, each reduced, as in torch: where one is infinite that makes a difference
            epsilon, share = self.label_smoothing, np.divide(self.label_smoothing, rows.shape[1])
            over_classes = self._sum_over_classes(log_p, counted).reshape(np.shape(target))
            smooth = reduced(over_classes, self.reduction, divisor)
            output = np.asarray(output * (1 - epsilon) + smooth * rows.dtype.type(share))
            kept = self._smoothed_one_hot(index, weights, rows)
        return output, (log_p, kept, counted, divisor, input.shape)

    def cross_entropy_backward(
        self, grad: Array, log_p: Array, target: Any, counted: Any, divisor: Any, shape: Any
    ) -> Array:
        """The gradient for the logits: (softmax(x) - q) * dy, for weights that are 1."""
        grad, rows = unreduced(grad, self.reduction, divisor), np.exp(log_p)  # the probabilities
        if isinstance(target, tuple):
            index, weights = target
            scale = row_scale(weights, counted, grad)
            rows *= scale[:, None]
            rows[np.arange(len(rows)), index] -= scale
        else:
            if counted is not None:  # 0, also where the mean over nothing is NaN
                grad = np.where(counted, grad.reshape(-1), grad.dtype.type(0))
            weighted = target * grad.reshape(-1, 1)
            rows *= weighted.sum(1, keepdims=True)
            rows -= weighted
        return _from_rows(rows, shape)

    def cross_entropy_target_backward(
        self, grad: Array, log_p: Array, target: Any, counted: Any, divisor: Any, shape: Any
    ) -> Array:
        """The gradient for target probabilities: -w * (1 - epsilon) * log(softmax(x)) * dy."""
        grad = unreduced(grad, self.reduction, divisor).reshape(-1, 1) * (self.label_smoothing - 1)
        return _from_rows(log_p * (grad if self.weight is None else grad * self.weight), shape)

    def _sum_over_classes(self, log_p: Array, counted: Array | None) -> Array:
        """(N,): minus the sum of each row's weighted log-probabilities; 0 where ignored."""
        sums = -(log_p if self.weight is None else log_p * self.weight).sum(1)
        if counted is not None:
            sums[~counted] = 0
        return sums

    def _smoothed_one_hot(self, index: Array, weights: Array | None, rows: Array) -> Array:
        """(N, C): each row's class weights times its smoothed target."""
        epsilon = rows.dtype.type(self.label_smoothing)
        q = np.full(rows.shape, epsilon / rows.dtype.type(rows.shape[1]), rows.dtype)
        if self.weight is not None:
            q *= self.weight
        q[np.arange(len(q)), index] += (1 - epsilon) * (1 if weights is None else weights)
        return q

    def _from_probabilities(self, input: Array, target: Array) -> Array:
        """(N, C): the smoothed targets times the class weights."""
        if target.shape != input.shape or target.dtype != input.dtype:
            raise ValueError(
                "target probabilities must have the input's shape and dtype "
                f"{input.shape} {input.dtype}, got {target.shape} {target.dtype}"
            )
        if self.ignore_index is not None and self.ignore_index >= 0:
            raise ValueError(
                "ignore_index must be negative where the target holds "
                f"probabilities, got {self.ignore_index}"
            )
        q = _as_rows(target)
        if self.label_smoothing:
            q = q * (1 - self.label_smoothing) + self.label_smoothing / q.shape[1]
        return q if self.weight is None else q * self.weight


class CrossEntropyLoss(SoftmaxLoss):
    r"""Softmax and negative log likelihood: :math:`-\sum_c w_c\,q_c \log \mathrm{softmax}(x)_c`.

    For class indices q is 1 at the target; for probabilities it is the target. Label smoothing
    :math:`\epsilon` replaces q by :math:`(1-\epsilon)\,q + \epsilon / C`. ``"mean"`` divides by
    the sum of the targets' weights for indices, by the number of rows for probabilities.

    Args:
        weight: (C,), of each class; a constant (but not of ``functional.cross_entropy``).
        size_average, reduce: deprecated, as in torch.
        ignore_index: target indices of this value count for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        label_smoothing: epsilon, in [0, 1].

    Shape:
        input (N, C), (N, C, d...) or (C,): logits; target of integers (N,), (N, d...) or (), or
        probabilities of the input's shape and dtype, which have a gradient if they are a Tensor
        that requires one. The loss is 0-d, or has one value a row.

    Raises:
        ValueError: for shapes that do not fit, or a class that does not exist.
        TypeError: for a target of another dtype.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html;
    label smoothing: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567
    """

    def __init__(
        self,
        weight: Array | None = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, ignore_index, reduce, reduction)
        self._check_smoothing(label_smoothing)

    @silently
    def forward(self, input: Array, target: Array) -> Array:
        output, saved = self.cross_entropy(self._check(input), target)
        self.save_for_backward(output, *saved)
        return output

    @silently
    def backward(self, grad_output: Any = 1.0) -> Any:
        saved = self._upstream(grad_output)
        ways = self.cross_entropy_backward, self.cross_entropy_target_backward
        return self._grads(lambda i: ways[i](*saved))
