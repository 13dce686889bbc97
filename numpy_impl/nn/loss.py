"""CrossEntropyLoss, NLLLoss, MSELoss.

A loss is a module whose target is constant: ``backward(grad_output=1.0)`` gives the gradient for
the input. Letters in shape comments: N rows (batch times extra positions), C classes.
"""

import warnings
from typing import Any

import numpy as np

from numpy_impl.nn.activation import log_softmax
from numpy_impl.nn.module import Module, check_array

Array = np.ndarray
REDUCTIONS = ("mean", "sum", "none")


def _reduction(size_average: Any, reduce: Any, reduction: str) -> str:
    """torch's deprecated pair of flags, or the modern name, checked."""
    if size_average is not None or reduce is not None:
        size_average = True if size_average is None else size_average
        reduce = True if reduce is None else reduce
        reduction = ("mean" if size_average else "sum") if reduce else "none"
        warnings.warn(
            f"size_average and reduce are deprecated: use reduction={reduction!r}",
            UserWarning,
            stacklevel=4,
        )
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    return reduction


class _Loss(Module):
    """The reduction and the upstream gradient."""

    def __init__(self, size_average: Any, reduce: Any, reduction: str) -> None:
        super().__init__()
        self.reduction = _reduction(size_average, reduce, reduction)

    def _reduced(self, values: Array, total_weight: Any) -> Array:
        if self.reduction == "none":
            return np.asarray(values)
        total = values.sum()
        if self.reduction == "mean":
            # the mean over nothing is NaN, as in torch, not the infinity that x / 0 may be
            total = total / values.dtype.type(total_weight or np.nan)
        return np.asarray(total)

    def _upstream(self, grad_output: Any) -> tuple:
        """The checked upstream (a number stands for every element), and what forward saved."""
        if isinstance(grad_output, int | float | np.number) and self._call is not None:
            shape, dtype = self._call.output
            grad_output = np.full(shape, grad_output, dtype)
        return self.saved_for_backward(grad_output)

    def _spread(self, grad: Array, total_weight: Any) -> Array:
        """The upstream of every unreduced value."""
        if self.reduction != "mean":
            return grad
        return np.asarray(grad / grad.dtype.type(total_weight or np.nan))


class MSELoss(_Loss):
    r"""Mean squared error, :math:`(x - y)^2`, averaged over all elements.

    Args:
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input and target of one shape (others are broadcast with a warning, as in torch);
        the loss is 0-d, or of that shape for ``"none"``.

    Raises:
        ValueError: for another reduction, or shapes that do not broadcast.
        TypeError: if the dtypes differ.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MSELoss.html
    """

    def __init__(
        self, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__(size_average, reduce, reduction)

    def forward(self, input: Array, target: Array) -> Array:
        input = check_array(input, "input", "MSELoss")
        if not isinstance(target, np.ndarray | np.generic) or target.dtype != input.dtype:
            found = getattr(target, "dtype", type(target).__name__)
            raise TypeError(f"MSELoss: target must be an array of {input.dtype}, got {found}")
        if target.shape != input.shape:
            warnings.warn(
                f"MSELoss: target has shape {target.shape}, input {input.shape}: they are "
                "broadcast, which is rarely what was meant",
                UserWarning,
                stacklevel=3,
            )
        try:
            difference = np.asarray(input - target)
        except ValueError:
            raise ValueError(
                f"MSELoss: target {target.shape} does not broadcast with input {input.shape}"
            ) from None
        output = self._reduced(difference * difference, difference.size)
        self.save_for_backward(output, difference, input.shape)
        return output

    def backward(self, grad_output: Any = 1.0) -> Array:
        grad, difference, shape = self._upstream(grad_output)
        full = np.asarray(2 * difference * self._spread(grad, difference.size))
        return _sum_to(full, shape)


def _sum_to(grad: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: sum over the axes that were stretched."""
    grad = grad.sum(tuple(range(grad.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] != 1)
    return np.asarray(grad.sum(stretched, keepdims=True)) if stretched else np.asarray(grad)


def _as_rows(values: Array) -> Array:
    """(N, C, d...) or (C,) -> (rows, C)."""
    if values.ndim <= 2:
        return values if values.ndim == 2 else values[None]
    return np.moveaxis(values, 1, -1).reshape(-1, values.shape[1])


def _from_rows(rows: Array, shape: tuple[int, ...]) -> Array:
    """The way back of :func:`_as_rows`."""
    if len(shape) <= 2:
        return rows.reshape(shape)
    moved = rows.reshape(shape[0], *shape[2:], shape[1])
    return np.moveaxis(moved, -1, 1)


class _ClassLoss(_Loss):
    """What CrossEntropyLoss and NLLLoss share: class weights, indices, ignore_index."""

    def __init__(
        self,
        weight: Array | None,
        size_average: Any,
        ignore_index: int,
        reduce: Any,
        reduction: str,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def _check(self, input: Any) -> Array:
        owner = type(self).__name__
        input = check_array(input, "input", owner)
        if input.ndim == 0:
            raise ValueError(f"{owner}: input must have a class axis, got shape ()")
        classes = input.shape[0 if input.ndim == 1 else 1]
        if self.weight is not None:
            if self.weight.shape != (classes,):
                raise ValueError(
                    f"{owner}: weight must have one value for each of {classes} classes, "
                    f"got shape {self.weight.shape}"
                )
            if self.weight.dtype != input.dtype:
                raise TypeError(
                    f"{owner}: input must have weight's dtype {self.weight.dtype}, "
                    f"got {input.dtype}"
                )
        return input

    def _indices(self, input: Array, target: Any) -> tuple[Array, Array | None]:
        """Class index of every row (0 where ignored), and which rows count: None if all."""
        owner = type(self).__name__
        if not isinstance(target, np.ndarray | np.generic) or target.dtype.kind not in "iu":
            found = getattr(target, "dtype", type(target).__name__)
            raise TypeError(f"{owner}: target must be an array of integers, got {found}")
        wanted = () if input.ndim == 1 else (input.shape[0], *input.shape[2:])
        if target.shape != wanted:
            raise ValueError(
                f"{owner}: target must have shape {wanted} for input {input.shape}, "
                f"got {target.shape}"
            )
        flat = np.asarray(target).reshape(-1)
        classes, ignored = input.shape[0 if input.ndim == 1 else 1], self.ignore_index
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
                f"{owner}: target must hold classes 0..{classes - 1} (or ignore_index="
                f"{ignored}), got {flat[at]} at position {at}"
            )
        return np.where(counted, flat, 0), counted

    def _row_weights(self, index: Array, counted: Array | None, dtype: np.dtype) -> Array | None:
        """Each row's weight: its class's, 0 where ignored; None if all are 1."""
        if self.weight is None:
            return None if counted is None else counted.astype(dtype)
        weights = self.weight[index]
        return weights if counted is None else weights * counted


class NLLLoss(_ClassLoss):
    r"""Negative log likelihood, :math:`-w_t\,x_t`, for inputs that are log-probabilities.

    ``"mean"`` divides by the sum of the weights of the rows that count.

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

    def forward(self, input: Array, target: Array) -> Array:
        input = self._check(input)
        index, counted = self._indices(input, target)
        rows = _as_rows(input)
        weights = self._row_weights(index, counted, input.dtype)
        values = _picked(rows, index, weights).reshape(np.shape(target))
        total = len(rows) if weights is None else weights.sum()
        output = self._reduced(values, total)
        self.save_for_backward(output, index, counted, weights, total, input.shape, rows.shape)
        return output

    def backward(self, grad_output: Any = 1.0) -> Array:
        grad, index, counted, weights, total, shape, rows_shape = self._upstream(grad_output)
        scale = _row_scale(weights, counted, self._spread(grad, total))
        rows = np.zeros(rows_shape, grad.dtype)
        rows[np.arange(len(rows)), index] = -scale
        return _from_rows(rows, shape)


def _picked(log_p: Array, index: Array, weights: Array | None) -> Array:
    """-weight * log-probability of each row's class; 0 where the weight is, even for infinity."""
    picked = log_p[np.arange(len(log_p)), index]
    if weights is None:
        return np.negative(picked, out=picked)
    return np.multiply(-weights, picked, out=np.zeros_like(picked), where=weights != 0)


def _row_scale(weights: Array | None, counted: Array | None, spread: Array) -> Array:
    """Weight times upstream; ignored rows stay 0 where the mean over nothing is NaN.

    One value for each row, or a single one for all.
    """
    spread = spread.reshape(-1)
    if weights is None:
        return spread
    where = True if counted is None else counted
    return np.multiply(weights, spread, out=np.zeros_like(weights), where=where)


class CrossEntropyLoss(_ClassLoss):
    r"""Softmax and negative log likelihood: :math:`-\sum_c w_c\,q_c \log \mathrm{softmax}(x)_c`.

    For class indices q is 1 at the target; for probabilities it is the target. Label smoothing
    :math:`\epsilon` replaces q by :math:`(1-\epsilon)\,q + \epsilon / C`. ``"mean"`` divides by
    the sum of the targets' weights for indices, by the number of rows for probabilities.

    Args:
        weight: (C,), of each class.
        size_average, reduce: deprecated, as in torch.
        ignore_index: target indices of this value count for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        label_smoothing: epsilon, in [0, 1].

    Shape:
        input (N, C), (N, C, d...) or (C,): logits; target of integers (N,), (N, d...) or (), or
        probabilities of the input's shape and dtype. The loss is 0-d, or has one value a row.

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
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must lie in [0, 1], got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, input: Array, target: Array) -> Array:
        input = self._check(input)
        rows = _as_rows(input)
        log_p = log_softmax(rows, 1)
        if isinstance(target, np.ndarray) and target.dtype.kind == "f":
            q, divisor, shape = self._from_probabilities(input, target)
            return self._over_classes(log_p, q, None, divisor, input, shape)
        index, counted = self._indices(input, target)
        weights = self._row_weights(index, counted, input.dtype)
        divisor = len(rows) if weights is None else weights.sum()
        shape = np.shape(target)
        if self.label_smoothing:
            q = self._smoothed_one_hot(index, counted, weights, rows)
            return self._over_classes(log_p, q, counted, divisor, input, shape)
        # one class alone counts in each row: NLLLoss of the log-probabilities
        output = self._reduced(_picked(log_p, index, weights).reshape(shape), divisor)
        self.save_for_backward(output, log_p, (index, weights), counted, divisor, input.shape)
        return output

    def _over_classes(
        self,
        log_p: Array,
        q: Array,
        counted: Array | None,
        divisor: Any,
        input: Array,
        shape: tuple[int, ...],
    ) -> Array:
        """The sum over all classes, of targets q (rows, C)."""
        # where q is 0 a log-probability of minus infinity counts for nothing
        terms = np.multiply(q, log_p, out=np.zeros_like(q), where=q != 0)
        output = self._reduced(-terms.sum(1).reshape(shape), divisor)
        self.save_for_backward(output, log_p, q, counted, divisor, input.shape)
        return output

    def _smoothed_one_hot(
        self, index: Array, counted: Array | None, weights: Array | None, rows: Array
    ) -> Array:
        """(N, C): each row's class weights times its smoothed target; 0 where ignored."""
        epsilon = rows.dtype.type(self.label_smoothing)
        q = np.full(rows.shape, epsilon / rows.dtype.type(rows.shape[1]), rows.dtype)
        if self.weight is not None:
            q *= self.weight
        if counted is not None:
            q *= counted[:, None]
        q[np.arange(len(q)), index] += (1 - epsilon) * (1 if weights is None else weights)
        return q

    def _from_probabilities(
        self, input: Array, target: Array
    ) -> tuple[Array, int, tuple[int, ...]]:
        if target.shape != input.shape or target.dtype != input.dtype:
            raise ValueError(
                "CrossEntropyLoss: target probabilities must have the input's shape and dtype "
                f"{input.shape} {input.dtype}, got {target.shape} {target.dtype}"
            )
        q = _as_rows(target)
        if self.label_smoothing:
            q = q * (1 - self.label_smoothing) + self.label_smoothing / q.shape[1]
        if self.weight is not None:
            q = q * self.weight
        shape = () if input.ndim == 1 else (input.shape[0], *input.shape[2:])
        return q, max(1, len(q)) if input.ndim == 1 else len(q), shape

    def backward(self, grad_output: Any = 1.0) -> Array:
        grad, log_p, target, counted, divisor, shape = self._upstream(grad_output)
        spread, rows = self._spread(grad, divisor), np.exp(log_p)  # the probabilities
        if isinstance(target, tuple):
            index, weights = target
            scale = _row_scale(weights, counted, spread)
            rows *= scale[:, None]
            rows[np.arange(len(rows)), index] -= scale
        else:
            rows *= target.sum(1, keepdims=True)
            rows -= target
            # ignored rows are 0 already, and stay so where the mean over nothing is NaN
            where = True if counted is None else counted[:, None]
            np.multiply(rows, spread.reshape(-1, 1), out=rows, where=where)
        return _from_rows(rows, shape)
