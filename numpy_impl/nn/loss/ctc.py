"""CTCLoss: the likelihood of a sequence of labels, whichever way it is aligned with the input.

Letters in shape comments: T times, N sequences, C classes, S labels of the longest target,
L = 2 S + 1 states: the labels with a blank before, between and after them.
"""

from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.loss.base import Loss, reduced, unreduced
from numpy_impl.types import Array


def _forward_variables(log_p: Array, labels: Array) -> tuple[Array, Array]:
    """(T, N, L): the log-probability of all paths that are in state s at time t; less (T, N), the
    largest of each time, in float64: what is left is small, and float32 has digits enough for it.

    A path stays, goes on to the next state, or passes over a blank between two different labels.

    Args:
        log_p: (T, N, L), of each state's label.
        labels: (N, L), of the states.
    """
    times, count, states = log_p.shape
    # two states in front that no path is in: those before the first are then slices
    alpha = np.full((times, count, states + 2), -np.inf, log_p.dtype)
    sizes = np.zeros((times, count))
    barrier = np.full((count, states), -np.inf, log_p.dtype)
    barrier[:, 2:][labels[:, 2:] != labels[:, :-2]] = 0
    alpha[0, :, 2:4] = log_p[0, :, :2]
    for t in range(times):
        now = alpha[t, :, 2:]
        if t:
            before = alpha[t - 1]
            stay, step, leap = before[:, 2:], before[:, 1:-1], before[:, :-2] + barrier
            top = np.maximum(np.maximum(stay, step), leap)
            top[top == -np.inf] = 0
            total = np.exp(stay - top)
            total += np.exp(step - top)
            total += np.exp(np.subtract(leap, top, out=leap))
            top += np.log(total, out=total)
            np.add(top, log_p[t], out=now)
        largest = now.max(1, keepdims=True)
        largest[~np.isfinite(largest)] = 0
        now -= largest
        sizes[t] = largest[:, 0]
    return alpha[:, :, 2:], sizes.cumsum(0)


def _states(labels: Array, blank: int) -> Array:
    """(N, S) -> (N, L): blanks before, between and after."""
    states = np.full((len(labels), 2 * labels.shape[1] + 1), blank, np.intp)
    states[:, 1::2] = labels
    return states


def _of_states(log_probs: Array, states: Array) -> Array:
    """(T, N, C) -> (T, N, L)."""
    return log_probs[:, np.arange(len(states))[:, None], states]


def ctc_loss(
    log_probs: Array, labels: Array, input_lengths: Array, target_lengths: Array, blank: int = 0
) -> tuple[Array, Array, Array]:
    """(N,): minus the log-likelihood, in float64; and (T, N, L) and (T, N): the forward variables.

    Args:
        log_probs: (T, N, C).
        labels: (N, S), of which the first ``target_lengths`` of each row count.
        input_lengths, target_lengths: (N,).
        blank: the label of blanks.
    """
    states = _states(labels, blank)
    alpha, sizes = _forward_variables(_of_states(log_probs, states), states)
    rows, last = np.arange(len(labels)), np.maximum(input_lengths - 1, 0)
    # at the end a path is in the last blank or in the last label, if there is one
    in_blank = alpha[last, rows, 2 * target_lengths]
    in_label = alpha[last, rows, np.maximum(2 * target_lengths - 1, 0)]
    in_label[target_lengths == 0] = -np.inf
    top = np.maximum(in_blank, in_label)
    top[top == -np.inf] = 0
    rest = np.log(np.exp(in_blank - top) + np.exp(in_label - top)) + top
    loss = -(rest + sizes[last, rows])
    nothing = input_lengths == 0  # holds no label: that is certain
    loss[nothing] = np.where(target_lengths[nothing] > 0, np.inf, 0)
    return loss, alpha, sizes


def ctc_loss_backward(
    dy: Array,
    log_probs: Array,
    labels: Array,
    input_lengths: Array,
    target_lengths: Array,
    blank: int,
    loss: Array,
    alpha: Array,
    sizes: Array,
) -> Array:
    """(T, N, C): dy * (exp(log_probs) - the probability, given the target, to be at c at time t).

    This is the gradient for the logits; as in torch, it is given for the log-probabilities, where
    ``log_softmax``'s backward leaves it as it is.
    """
    times, count, classes = log_probs.shape
    states = _states(labels, blank)
    log_p = _of_states(log_probs, states)
    # the backward variables are the forward variables of the sequences read from their ends
    t, s = np.arange(times)[:, None, None], np.arange(states.shape[1])
    rows = np.arange(count)[:, None]
    from_end = np.maximum(input_lengths[:, None] - 1 - t, 0)  # (T, N, 1)
    from_last = np.maximum(2 * target_lengths[:, None] - s, 0)  # (N, L)
    beta, more = _forward_variables(log_p[from_end, rows, from_last], states[rows, from_last])
    both = alpha + beta[from_end, rows, from_last]
    both -= log_p
    # the likelihood is that of all states together, at any time
    both += (loss + sizes + more[from_end[:, :, 0], rows[:, 0]]).astype(log_p.dtype)[:, :, None]
    occupied = np.exp(both, out=both)
    # 0, and NaN where torch has it: beside a log-probability of -inf, and where the loss is inf
    grad = np.exp(log_probs)
    grad -= 0 * np.maximum(loss.astype(grad.dtype)[:, None] - log_probs, 0)
    grad -= _sum_by_label(occupied, states, s <= 2 * target_lengths[:, None], classes)
    grad *= dy[:, None]
    grad[(t >= input_lengths[:, None])[:, :, 0]] = 0
    return grad


def _sum_by_label(values: Array, states: Array, counted: Array, classes: int) -> Array:
    """(T, N, L) -> (T, N, C): the sums over the states of each label, of those that count."""
    times, count, _ = values.shape
    sums = np.zeros((times, count * classes), values.dtype)
    places = (np.arange(count)[:, None] * classes + states)[counted]
    order = np.argsort(places, kind="stable")
    places = places[order]
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    sums[:, places[starts]] = np.add.reduceat(values[:, counted][:, order], starts, axis=1)
    return sums.reshape(times, count, classes)


class CTCLoss(Loss):
    r"""Connectionist temporal classification: :math:`-\log p(y)`, the sum over all alignments of
    the targets with the longer input, in which labels repeat and blanks come between them.

    As in torch, backward gives the gradient for the logits (probabilities minus their expectations
    given the target), which is that for the log-probabilities only behind ``log_softmax``.
    Where the input is too short for the target, the loss is infinite and its gradient NaN.

    Args:
        blank: the label of blanks.
        reduction: ``"mean"`` (each loss over the length of its target, then the mean over the
            batch), ``"sum"`` or ``"none"``.
        zero_infinity: whether infinite losses and their gradients are 0 instead.

    Shape:
        log_probs (T, N, C), or (T, C); targets of integers (N, S), padded, or all of them in one
        row; input_lengths and target_lengths (N,), or () without a batch: arrays, lists or tuples.
        The loss is 0-d, or (N,) for ``"none"``.

    Raises:
        ValueError: for lengths or labels that do not fit, a blank that is no class, or no values.
        TypeError: for targets or lengths that are no integers.

    Source: Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf;
    https://pytorch.org/docs/stable/generated/torch.nn.CTCLoss.html
    """

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    @silently
    def forward(
        self, log_probs: Array, targets: Array, input_lengths: Any, target_lengths: Any
    ) -> Array:
        log_probs = check_array(log_probs, "log_probs", ndim=(2, 3))
        wide = log_probs if log_probs.ndim == 3 else log_probs[:, None]
        times, count, classes = wide.shape
        if not wide.size:
            raise ValueError(f"log_probs must not be empty, got shape {log_probs.shape}")
        if not 0 <= self.blank < classes:
            raise ValueError(f"blank must be a class, 0..{classes - 1}, got {self.blank}")
        frames = _lengths(input_lengths, "input_lengths", count, times)
        lengths = _lengths(target_lengths, "target_lengths", count)
        labels = _padded(targets, lengths, self.blank, classes)
        losses, alpha, sizes = ctc_loss(wide, labels, frames, lengths, self.blank)
        is_out = np.isposinf(losses) & self.zero_infinity
        values = np.where(is_out, 0, losses).astype(wide.dtype)
        shares = np.maximum(lengths, 1).astype(wide.dtype)
        if self.reduction == "mean":
            values /= shares
        output = reduced(values, self.reduction, count)
        if log_probs.ndim == 2:
            output = output.reshape(())
        saved = wide, labels, frames, lengths, self.blank, losses, alpha, sizes
        self.save_for_backward(output, saved, is_out, shares, log_probs.shape)
        return output

    @silently
    def backward(self, grad_output: Any = 1.0) -> Array:
        grad, saved, is_out, shares, shape = self._upstream(grad_output)
        dy = np.broadcast_to(unreduced(grad, self.reduction, len(shares)), shares.shape)
        if self.reduction == "mean":
            dy = dy / shares
        found = ctc_loss_backward(dy, *saved)
        found[:, is_out] = 0
        return found.reshape(shape)


def _lengths(values: Any, name: str, count: int, most: int | None = None) -> Array:
    """(N,) of integers, from 0 to ``most``."""
    lengths = np.asarray(values)
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise TypeError(f"{name} must hold integers, got {lengths.dtype}")
    if lengths.ndim > 1 or lengths.size != count:
        raise ValueError(f"{name} must have one value for each of {count}, got {lengths.shape}")
    lengths = lengths.reshape(-1).astype(np.intp)
    if lengths.min() < 0 or (most is not None and lengths.max() > most):
        allowed = "not be negative" if most is None else f"lie in 0..{most}"
        raise ValueError(f"{name} must {allowed}, got {lengths.tolist()}")
    return lengths


def _padded(targets: Any, lengths: Array, blank: int, classes: int) -> Array:
    """(N, S), blanks after the end, from targets of that shape or all of them in one row."""
    if not isinstance(targets, np.ndarray) or targets.dtype.kind not in "iu":
        found = getattr(targets, "dtype", type(targets).__name__)
        raise TypeError(f"targets must be an array of integers, got {found}")
    longest = int(lengths.max())
    counted = np.arange(longest) < lengths[:, None]
    if targets.ndim == 1:
        if targets.size != lengths.sum():
            raise ValueError(
                f"targets must hold as many labels as target_lengths say, {lengths.sum()}, got "
                f"{targets.size}"
            )
        given = targets
    else:
        if targets.ndim != 2 or len(targets) != len(lengths) or targets.shape[1] < longest:
            raise ValueError(
                f"targets must be 1-d, or have shape ({len(lengths)}, {longest}) or longer rows, "
                f"got {targets.shape}"
            )
        given = targets[:, :longest][counted]
    if given.size and not 0 <= given.min() <= given.max() < classes:
        raise ValueError(
            f"targets must hold classes 0..{classes - 1}, got {given.min()} to {given.max()}"
        )
    labels = np.full(counted.shape, blank, np.intp)
    labels[counted] = given
    return labels
