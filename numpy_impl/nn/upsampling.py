r"""Upsample, UpsamplingNearest2d, UpsamplingBilinear2d: other sizes, by interpolation.

Interpolation along several axes is one along each: output o of an axis lies at the input's
coordinate r(o), and is a weighted sum of the positions around it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl.kernels.resample import Band, resample
from numpy_impl.nn.checks import cached, check_array, ntuple
from numpy_impl.nn.module import Module

Array = np.ndarray
Ints = tuple[int, ...]
Bands = tuple[Band, ...]
# the numbers of axes that each takes
MODES = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "area": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "trilinear": (3,),
    "bicubic": (2,),
    "lanczos": (2,),
}
_WITHOUT_CORNERS = ("nearest", "nearest-exact", "area")


def upsample(input: Array, bands: Bands) -> Array:
    """Interpolate along each axis: (N, C, S...) -> (N, C, O...); bands are :func:`bands_of`'s."""
    return resample(input, bands)


def upsample_backward(grad_output: Array, bands: Bands) -> Array:
    """Each position receives, with the same weights, the gradients of all that it was read for."""
    return resample(grad_output, tuple(band.transposed for band in bands))


# -- where an axis's outputs lie, and what they read -----------------------------------------------


def _coordinates(
    size: int, outputs: int, factor: float | None, align_corners: bool, dtype: np.dtype
) -> tuple[Any, Array]:
    """The input's step from one output to the next, and r(o), computed in ``dtype`` as torch does.

    With corners aligned the first and the last positions lie on each other; otherwise positions
    are the centres of pixels, and it is the pixels' outer edges that do.
    """
    number = dtype.type
    o = np.arange(outputs, dtype=dtype)
    if align_corners:
        step = number(size - 1) / number(outputs - 1) if outputs > 1 else number(0)
        return step, step * o
    step = number(1.0 / factor) if factor else number(size) / number(outputs)
    return step, step * (o + number(0.5)) - number(0.5)


def _floor(coordinates: Array, size: int) -> Array:
    """The positions below; torch rounds to float32 before."""
    return np.minimum(np.floor(coordinates.astype(np.float32)).astype(np.int64), size - 1)


def cubic(distance: Array, a: float) -> Array:
    """Keys's cubic kernel, by the distance from the coordinate."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def cubic_slope(distance: Array, a: float) -> Array:
    """The derivative of :func:`cubic`."""
    x = np.abs(distance)
    near = (3 * (a + 2) * x - 2 * (a + 3)) * x
    far = (3 * a * x - 10 * a) * x + 8 * a
    return np.sign(distance) * np.where(x <= 1, near, np.where(x < 2, far, 0))


def _triangle(distance: Array) -> Array:
    return np.maximum(1 - np.abs(distance), 0)


def _lanczos(distance: Array) -> Array:
    return np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)


# half the width of each kernel, and the kernel; torch's bicubic has another a with antialias
_FILTERS: dict[str, tuple[int, Callable[[Array], Array]]] = {
    "bilinear": (1, _triangle),
    "bicubic": (2, lambda distance: cubic(distance, -0.5)),
    "lanczos": (3, _lanczos),
}


def _nearest(size: int, outputs: int, mode: str, factor: float | None, dtype: np.dtype) -> Band:
    """The position below step * o, or (exact) the one whose pixel r(o) lies in."""
    step, r = _coordinates(size, outputs, factor, False, dtype)
    if mode == "nearest":
        r = step * np.arange(outputs, dtype=dtype)
    else:
        r = np.maximum(r, 0).astype(np.float32) + np.float32(0.5)
    return Band(np.arange(outputs), _floor(r, size), np.ones(outputs, dtype), (outputs, size))


def _linear(size: int, outputs: int, r: Array) -> Band:
    """The positions below and above r(o); by how much r lies above is the weight of the latter."""
    r = np.maximum(r, 0)
    below = _floor(r, size)
    above = np.clip(r - below.astype(r.dtype), 0, 1)
    columns = np.stack((below, np.minimum(below + 1, size - 1)))
    rows = np.broadcast_to(np.arange(outputs), columns.shape)
    return Band(rows, columns, np.stack((1 - above, above)), (outputs, size))


def _bicubic(size: int, outputs: int, r: Array) -> Band:
    """The two positions below and the two above r(o), the edge standing for those outside."""
    below = _floor(r, size)
    above = np.clip(r - below.astype(r.dtype), 0, 1)
    taps = np.arange(-1, 3)[:, None]
    weights = cubic(taps.astype(r.dtype) - above, -0.75)
    rows = np.broadcast_to(np.arange(outputs), weights.shape)
    return Band(rows, np.clip(below + taps, 0, size - 1), weights, (outputs, size))


def _ranges(start: Array, length: Array) -> tuple[Array, Array]:
    """Rows and columns: of row i the columns start[i] to start[i] + length[i] - 1."""
    rows = np.repeat(np.arange(len(start)), length)
    firsts = np.cumsum(length) - length
    return rows, np.arange(len(rows)) - firsts[rows] + start[rows]


def _area(size: int, outputs: int, dtype: np.dtype) -> Band:
    """The mean of the positions that the output's pixel touches, as adaptive pooling has it."""
    o = np.arange(outputs)
    start, end = o * size // outputs, -(-(o + 1) * size // outputs)
    rows, columns = _ranges(start, end - start)
    return Band(rows, columns, (1 / (end - start))[rows].astype(dtype), (outputs, size))


def _smoothed(size: int, outputs: int, mode: str, step: Any, dtype: np.dtype) -> Band:
    """With antialias: the kernel as wide as an output's pixel, its weights made to add up to 1."""
    half, kernel = _FILTERS[mode]
    number = dtype.type
    width = max(step, number(1))
    centre = step * (np.arange(outputs, dtype=dtype) + number(0.5))
    start = np.maximum((centre - half * width + number(0.5)).astype(np.int64), 0)
    end = np.minimum((centre + half * width + number(0.5)).astype(np.int64), size)
    rows, columns = _ranges(start, end - start)
    distance = (columns.astype(dtype) - centre[rows] + number(0.5)) / width
    weights = kernel(distance).astype(dtype)
    total = np.bincount(rows, weights, outputs).astype(dtype)
    return Band(rows, columns, weights / total[rows], (outputs, size))


@cached
def _band(
    size: int,
    outputs: int,
    mode: str,
    factor: float | None,
    align_corners: bool,
    antialias: bool,
    dtype: np.dtype,
) -> Band:
    if mode.startswith("nearest"):
        return _nearest(size, outputs, mode, factor, dtype)
    if mode == "area":
        return _area(size, outputs, dtype)
    step, r = _coordinates(size, outputs, factor, align_corners, dtype)
    if outputs == size and (antialias or mode != "bicubic"):
        return _nearest(size, size, mode, None, dtype)  # each its own, whatever the factor was
    if antialias:
        return _smoothed(size, outputs, mode, step, dtype)
    return (_bicubic if mode == "bicubic" else _linear)(size, outputs, r)


# -- torch's arguments -----------------------------------------------------------------------------


def check_mode(mode: Any, align_corners: bool | None, antialias: bool) -> None:
    """Raise ValueError for a mode that there is not, or options that it does not take."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if align_corners is not None and mode in _WITHOUT_CORNERS:
        raise ValueError(f"align_corners must be None with mode={mode!r}, got {align_corners}")
    if antialias and mode not in _FILTERS:
        raise ValueError(f"antialias must be False with mode={mode!r}, got {antialias}")
    if mode == "lanczos" and (align_corners or not antialias):
        raise ValueError("mode='lanczos' needs antialias=True, and align_corners must be False")


def _factors(scale_factor: Any, n: int) -> tuple[float, ...]:
    factors = tuple(scale_factor) if isinstance(scale_factor, tuple | list) else (scale_factor,) * n
    if not all(isinstance(f, int | float | np.number) for f in factors):
        raise TypeError(f"scale_factor must be a number or {n} numbers, got {scale_factor!r}")
    if len(factors) != n or not all(0 < f < math.inf for f in factors):
        raise ValueError(
            f"scale_factor must be a positive number or {n} of them, got {scale_factor!r}"
        )
    return tuple(map(float, factors))


@cached
def bands_of(
    sizes: Ints,
    dtype: np.dtype,
    size: Any,
    scale_factor: Any,
    mode: str,
    align_corners: bool | None,
    recompute_scale_factor: bool | None,
    antialias: bool = False,
) -> Bands:
    """What torch's arguments mean for an input (N, C, ``sizes``...), checked: one for each axis.

    Raises:
        TypeError: if size holds no ints, scale_factor no numbers.
        ValueError: unless exactly one of them is given, with as many numbers as there are axes;
            for a mode for other numbers of axes, options that do not go together, an empty output.
    """
    check_mode(mode, align_corners, antialias)
    n = len(sizes)
    if n not in MODES[mode]:
        allowed = " or ".join(f"{k + 2}-d" for k in MODES[mode])
        raise ValueError(f"input must be {allowed} with mode={mode!r}, got {n + 2}-d")
    if (size is None) == (scale_factor is None):
        raise ValueError(
            f"exactly one of size and scale_factor must be given, got {size} and {scale_factor}"
        )
    factors: tuple[float | None, ...] = (None,) * n
    if scale_factor is None:
        if recompute_scale_factor:
            raise ValueError("recompute_scale_factor must not be True where size is given")
        outputs = ntuple(size, n, "size")
    else:
        given = _factors(scale_factor, n)
        outputs = tuple(int(s * f) for s, f in zip(sizes, given, strict=True))
        if min(outputs) < 1:
            raise ValueError(f"scale_factor must leave something of {sizes}, got {scale_factor}")
        factors = factors if recompute_scale_factor else given
    return tuple(
        _band(s, o, mode, factor, bool(align_corners), antialias, dtype)
        for s, o, factor in zip(sizes, outputs, factors, strict=True)
    )


# -- modules ---------------------------------------------------------------------------------------


class Upsample(Module):
    r"""Another number of positions along each axis, by interpolation.

    .. math::
        y[o] = \sum_k w(r(o) - k)\,x[k],\quad r(o) = (o + 1/2) / f - 1/2

    along each axis in turn, f = outputs / inputs. The weights w(d), d the distance: of "linear",
    "bilinear" and "trilinear" 1 - |d| up to 1; of "bicubic" Keys's cubic with a = -0.75 up to 2;
    of "nearest-exact" 1 for the nearest. "nearest" reads floor(o / f), which lies half a pixel
    lower. Positions outside are those of the edge.

    Args:
        size: O for each axis, or one int for all.
        scale_factor: O / S instead, or one number for all; O is rounded down.
        mode: ``"nearest"``, ``"nearest-exact"`` and ``"area"`` (the mean of the pixels touched) for
            1 to 3 axes; ``"linear"``, ``"bilinear"``, ``"trilinear"`` for 1, 2, 3; ``"bicubic"``
            for 2.
        align_corners: r(o) = o (S - 1) / (O - 1): the centres of the corner pixels stay. Not for
            "nearest", "nearest-exact" and "area".
        recompute_scale_factor: f is O / S even where scale_factor, which differs by the rounding,
            was given.

    Shape:
        (N, C, S...) -> (N, C, O...), with 1 to 3 axes S.

    Backward is the transpose of forward. torch's own is not, where a scale_factor other than 1
    leaves the size as it is ("nearest", "bicubic").

    Raises:
        ValueError: unless one of size and scale_factor is given; for a mode and a number of axes or
            align_corners that do not go together; for an empty input or output.
        TypeError: if size holds no ints or scale_factor no numbers.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Upsample.html
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        check_mode(mode, align_corners, mode == "lanczos")
        self.size = size
        if isinstance(scale_factor, tuple):
            self.scale_factor: Any = tuple(map(float, scale_factor))
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Array) -> Array:
        options = self.size, self.scale_factor, self.mode, self.align_corners
        input, bands = check_input(input, *options, self.recompute_scale_factor)
        output = upsample(input, bands)
        self.save_for_backward(output, bands)
        return output

    def backward(self, grad_output: Array) -> Array:
        return upsample_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


def check_input(input: Array, *options: Any) -> tuple[Array, Bands]:
    """The input, checked, and the bands that torch's arguments mean for it."""
    input = check_array(input, "input", ndim=(3, 4, 5))
    if 0 in input.shape[1:]:
        raise ValueError(f"input must not be empty but for its batch, got shape {input.shape}")
    return input, bands_of(input.shape[2:], input.dtype, *options)


class UpsamplingNearest2d(Upsample):
    """``Upsample(size, scale_factor, mode="nearest")`` for two axes; see :class:`Upsample`.

    Args:
        size: (H', W'), or one int for both.
        scale_factor: (H' / H, W' / W) instead, or one number for both.

    Shape:
        (N, C, H, W) -> (N, C, H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.UpsamplingNearest2d.html
    """

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        scale_factor: float | tuple[float, float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """``Upsample(size, scale_factor, "bilinear", align_corners=True)``; see :class:`Upsample`.

    Args:
        size: (H', W'), or one int for both.
        scale_factor: (H' / H, W' / W) instead, or one number for both.

    Shape:
        (N, C, H, W) -> (N, C, H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.UpsamplingBilinear2d.html
    """

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        scale_factor: float | tuple[float, float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
