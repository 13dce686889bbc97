r"""Padding and cropping: one pair for ``F.pad``, the Pad layers and the convolutions.

An edge is a slice of the input (reversed, repeated or moved), so backward adds slices.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.checks import check_array, ntuple
from numpy_impl.nn.module import Module

Array = np.ndarray
Pads = Sequence[tuple[int, int]]
MODES = ("constant", "reflect", "replicate", "circular")
PADDING_MODES = ("zeros", *MODES[1:])
# these mirror or repeat the input as it is given; the others see what is left after cropping
_OF_WHOLE_INPUT = ("reflect", "replicate")


def check_mode(mode: str) -> None:
    """Raise ValueError for a ``padding_mode`` that there is not."""
    if mode not in PADDING_MODES:
        raise ValueError(f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {mode!r}")


def pad(input: Array, pads: Pads, mode: str, value: float = 0) -> Array:
    """Extend the last axes by ``(low, high)`` elements each; negative numbers crop.

    Args:
        input: (..., S...).
        pads: (low, high) for each S.
        mode: ``"constant"`` fills with ``value``, ``"reflect"`` mirrors without repeating the edge,
            ``"replicate"`` repeats the edge, ``"circular"`` goes round.
        value: of the constant.

    Raises:
        ValueError: if an axis is too short: reflect needs pads below the size, circular at most
            what is left after cropping, reflect and replicate a size, before and after; and
            nothing can lose more than it has.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """
    grow, crop = _parts(pads)
    _check_sizes(input.shape[input.ndim - len(pads) :], pads, mode)
    if mode in _OF_WHOLE_INPUT:
        return _grown(input, grow, mode)[_inside(input.ndim, crop)]
    return _grown(input[_inside(input.ndim, crop)], grow, mode, value)


@silently
def pad_backward(grad_output: Array, pads: Pads, mode: str) -> Array:
    """Each element of the input receives the gradients of all its copies; none of a constant.

    Args:
        grad_output: (..., Sp...).
        pads, mode: as in :func:`pad`.
    """
    grow, crop = _parts(pads)
    if not any(map(any, crop)):
        return _grown_backward(grad_output, grow, mode)
    if mode in _OF_WHOLE_INPUT:
        return _grown_backward(_grown(grad_output, crop, "constant"), grow, mode)
    return _grown(_grown_backward(grad_output, grow, mode), crop, "constant")


def _parts(pads: Pads) -> tuple[Pads, Pads]:
    """What is added, and what is taken away: neither negative."""
    grow = [(max(low, 0), max(high, 0)) for low, high in pads]
    return grow, [(max(-low, 0), max(-high, 0)) for low, high in pads]


def _inside(ndim: int, pads: Pads) -> tuple[slice, ...]:
    """``padded[_inside(ndim, pads)]`` is what was padded."""
    inner = (slice(low, -high if high else None) for low, high in pads)
    return (*[slice(None)] * (ndim - len(pads)), *inner)


def _check_sizes(sizes: Sequence[int], pads: Pads, mode: str) -> None:
    for size, (low, high) in zip(sizes, pads, strict=True):
        left, whole = size + min(low, 0) + min(high, 0), mode in _OF_WHOLE_INPUT
        if (min(size, size + low + high) < 1) if whole else (left < 0):
            raise ValueError(f"padding must leave something of an axis of {size}, got {low, high}")
        limit = {"reflect": size - 1, "circular": left}.get(mode)
        if limit is not None and max(low, high) > limit:
            raise ValueError(
                f"padding must be at most {limit} in mode {mode!r} for an axis of {size}, "
                f"got {low, high}"
            )


def _edges(size: int, low: int, high: int, mode: str) -> Iterator[tuple[slice, slice]]:
    """Where each edge of the padded axis lies, and the slice of it that the edge copies."""
    end = low + size
    below, above = slice(0, low), slice(end, end + high)
    if mode == "reflect":
        stop = end - 2 - high
        sources = slice(2 * low, low, -1), slice(end - 2, None if stop < 0 else stop, -1)
    elif mode == "replicate":
        sources = slice(low, low + 1), slice(end - 1, end)
    else:  # (where it is a constant nobody looks)
        sources = slice(size, end), slice(low, low + high)
    if low:
        yield below, sources[0]
    if high:
        yield above, sources[1]


def _grown(input: Array, pads: Pads, mode: str, value: float = 0) -> Array:
    """:func:`pad` without cropping, in an array of its own with the input's memory order."""
    ndim, first = input.ndim, input.ndim - len(pads)
    sizes = [n + low + high for n, (low, high) in zip(input.shape[first:], pads, strict=True)]
    output = np.empty_like(input, shape=(*input.shape[:first], *sizes), subok=False)
    inner = list(_inside(ndim, pads))
    output[tuple(inner)] = input
    for axis, (low, high) in enumerate(pads, first):
        # of the axes before, the edges too: so corners are filled
        before, behind = (slice(None),) * axis, tuple(inner[axis + 1 :])
        for edge, source in _edges(input.shape[axis], low, high, mode):
            copied = value if mode == "constant" else output[(*before, source, *behind)]
            output[(*before, edge, *behind)] = copied
    return output


def _grown_backward(grad_output: Array, pads: Pads, mode: str) -> Array:
    """The way back of :func:`_grown`, through the axes in the opposite order."""
    ndim, first = grad_output.ndim, grad_output.ndim - len(pads)
    inner = _inside(ndim, pads)
    if mode == "constant":
        return grad_output[inner].copy(order="K")
    grad = grad_output.copy(order="K")
    for axis in reversed(range(first, ndim)):
        low, high = pads[axis - first]
        before, behind = (slice(None),) * axis, inner[axis + 1 :]
        for edge, source in _edges(grad.shape[axis] - low - high, low, high, mode):
            share = grad[(*before, edge, *behind)]
            if mode == "replicate":
                share = share.sum(axis, keepdims=True)
            grad[(*before, source, *behind)] += share
    return grad[inner]


def check_pads(pad: Any, ndim: int, mode: str) -> tuple[tuple[int, int], ...]:
    """torch's numbers, (low, high) of the last axis, of the one before, ...: in the axes' order.

    Raises:
        TypeError: if they are no ints.
        ValueError: for a mode that there is not, numbers that do not pair up or are too many; the
            other modes than ``"constant"`` pad 1, 2 or 3 axes, behind one or two others.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    numbers = ntuple(tuple(pad), len(pad), "pad", minimum=None)
    n, rest = divmod(len(numbers), 2)
    if rest or n > ndim:
        raise ValueError(f"pad must be pairs for at most {ndim} axes, got {numbers}")
    if mode != "constant" and (not 1 <= n <= 3 or ndim - n not in (1, 2)):
        raise ValueError(
            f"pad must be pairs for the axes of (N, C, S...) or (C, S...) behind C, at most 3, "
            f"with mode={mode!r}, got {numbers} for an input of {ndim} axes"
        )
    return tuple(zip(numbers[-2::-2], numbers[::-2], strict=True))


# -- modules ---------------------------------------------------------------------------------------


class _PadNd(Module):
    """Arguments, forward and backward; ``value`` is an attribute of constant padding alone."""

    _n: int
    _mode: str
    value: float

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__()
        self.padding = ntuple(padding, 2 * self._n, "padding", minimum=None)

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input", integers=True)
        mode, pads = self._mode, check_pads(self.padding, input.ndim, self._mode)
        output = pad(input, pads, mode, self.value if mode == "constant" else 0)
        self.save_for_backward(output, pads, mode)
        return output

    def backward(self, grad_output: Array) -> Array:
        return pad_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    _mode = "constant"

    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPadNd(_PadNd):
    _mode = "constant"
    value = 0.0


class _ReflectionPadNd(_PadNd):
    _mode = "reflect"


class _ReplicationPadNd(_PadNd):
    _mode = "replicate"


class _CircularPadNd(_PadNd):
    _mode = "circular"


class ConstantPad1d(_ConstantPadNd):
    r"""``value`` around the last axis; see :class:`ConstantPad2d`.

    Args:
        padding: (left, right), or one int.
        value: what stands around.

    Shape:
        (\*, L) -> (\*, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ConstantPad1d.html
    """

    _n = 1


class ConstantPad2d(_ConstantPadNd):
    r"""``value`` around the last two axes: a b c -> v a b c v.

    .. math::
        y_i = x_{i-l} \text{ where } 0 \le i - l < S, \text{ else } v

    along each axis, l its low padding and S its size.

    Args:
        padding: (left, right, top, bottom), or one int for all; negative ones crop.
        value: v, what stands around.

    Shape:
        (\*, H, W) -> (\*, H', W'):
        H' = top + H + bottom, W' = left + W + right.

    Raises:
        ValueError: if more is cropped than there is, or there are fewer axes.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ConstantPad2d.html
    """

    _n = 2


class ConstantPad3d(_ConstantPadNd):
    r"""``value`` around the last three axes; see :class:`ConstantPad2d`.

    Args:
        padding: (left, right, top, bottom, front, back), or one int.
        value: what stands around.

    Shape:
        (\*, D, H, W) -> (\*, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ConstantPad3d.html
    """

    _n = 3


class ZeroPad1d(_ZeroPadNd):
    r"""Zeros around the last axis; see :class:`ZeroPad2d`.

    Args:
        padding: (left, right), or one int.

    Shape:
        (\*, L) -> (\*, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ZeroPad1d.html
    """

    _n = 1


class ZeroPad2d(_ZeroPadNd):
    r"""Zeros around the last two axes: a b c -> 0 a b c 0.

    .. math::
        y_i = x_{i-l} \text{ where } 0 \le i - l < S, \text{ else } 0

    along each axis, l its low padding and S its size.

    Args:
        padding: (left, right, top, bottom), or one int for all; negative ones crop.

    Shape:
        (\*, H, W) -> (\*, H', W'):
        H' = top + H + bottom, W' = left + W + right.

    Raises:
        ValueError: if more is cropped than there is, or there are fewer axes.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ZeroPad2d.html
    """

    _n = 2


class ZeroPad3d(_ZeroPadNd):
    r"""Zeros around the last three axes; see :class:`ZeroPad2d`.

    Args:
        padding: (left, right, top, bottom, front, back), or one int.

    Shape:
        (\*, D, H, W) -> (\*, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ZeroPad3d.html
    """

    _n = 3


class ReflectionPad1d(_ReflectionPadNd):
    """The last axis mirrored at the edge; see :class:`ReflectionPad2d`.

    Args:
        padding: (left, right), or one int.

    Shape:
        (N, C, L) or (C, L) -> (N, C, L') or (C, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ReflectionPad1d.html
    """

    _n = 1


class ReflectionPad2d(_ReflectionPadNd):
    r"""The last two axes mirrored at their edges, not repeating them: a b c -> b a b c b.

    .. math::
        y_i = x_j,\quad j = |i - l|, \text{ and } 2 (S - 1) - j \text{ where that is above } S - 1

    along each axis, l its low padding and S its size.

    Args:
        padding: (left, right, top, bottom), or one int for all; negative ones crop.

    Shape:
        (N, C, H, W) or (C, H, W) -> (N, C, H', W') or (C, H', W'):
        H' = top + H + bottom, W' = left + W + right.

    Raises:
        ValueError: unless padding is below the size of its axis, and something is left.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ReflectionPad2d.html
    """

    _n = 2


class ReflectionPad3d(_ReflectionPadNd):
    """The last three axes mirrored at the edges; see :class:`ReflectionPad2d`.

    Args:
        padding: (left, right, top, bottom, front, back), or one int.

    Shape:
        (N, C, D, H, W) or (C, D, H, W) -> (N, C, D', H', W') or (C, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ReflectionPad3d.html
    """

    _n = 3


class ReplicationPad1d(_ReplicationPadNd):
    """The edges of the last axis repeated; see :class:`ReplicationPad2d`.

    Args:
        padding: (left, right), or one int.

    Shape:
        (N, C, L) or (C, L) -> (N, C, L') or (C, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ReplicationPad1d.html
    """

    _n = 1


class ReplicationPad2d(_ReplicationPadNd):
    r"""The edges of the last two axes repeated: a b c -> a a b c c.

    .. math::
        y_i = x_j,\quad j = \min(\max(i - l, 0), S - 1)

    along each axis, l its low padding and S its size.

    Args:
        padding: (left, right, top, bottom), or one int for all; negative ones crop.

    Shape:
        (N, C, H, W) or (C, H, W) -> (N, C, H', W') or (C, H', W'):
        H' = top + H + bottom, W' = left + W + right.

    Raises:
        ValueError: if an axis is empty, or nothing is left.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ReplicationPad2d.html
    """

    _n = 2


class ReplicationPad3d(_ReplicationPadNd):
    """The edges of the last three axes repeated; see :class:`ReplicationPad2d`.

    Args:
        padding: (left, right, top, bottom, front, back), or one int.

    Shape:
        (N, C, D, H, W) or (C, D, H, W) -> (N, C, D', H', W') or (C, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ReplicationPad3d.html
    """

    _n = 3


class CircularPad1d(_CircularPadNd):
    """The last axis as a ring; see :class:`CircularPad2d`.

    Args:
        padding: (left, right), or one int.

    Shape:
        (N, C, L) or (C, L) -> (N, C, L') or (C, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.CircularPad1d.html
    """

    _n = 1


class CircularPad2d(_CircularPadNd):
    r"""The last two axes as rings: a b c -> c a b c a.

    .. math::
        y_i = x_{(i-l) \bmod S}

    along each axis, l its low padding and S its size.

    Args:
        padding: (left, right, top, bottom), or one int for all; negative ones crop.

    Shape:
        (N, C, H, W) or (C, H, W) -> (N, C, H', W') or (C, H', W'):
        H' = top + H + bottom, W' = left + W + right.

    Raises:
        ValueError: if padding is above what cropping leaves of its axis.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.CircularPad2d.html
    """

    _n = 2


class CircularPad3d(_CircularPadNd):
    """The last three axes as rings; see :class:`CircularPad2d`.

    Args:
        padding: (left, right, top, bottom, front, back), or one int.

    Shape:
        (N, C, D, H, W) or (C, D, H, W) -> (N, C, D', H', W') or (C, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.CircularPad3d.html
    """

    _n = 3
