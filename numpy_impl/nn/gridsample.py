r"""affine_grid and grid_sample: an image read at any coordinates, as a spatial transformer does.

Along each axis a point reads a few positions with weights; it is the products of these, over all
combinations of positions, that its values are made of.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.segments import add_at_columns, take_columns
from numpy_impl.nn.upsampling import cubic, cubic_slope

Array = np.ndarray
MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")


def base_grid(sizes: tuple[int, ...], align_corners: bool, dtype: np.dtype) -> Array:
    """Where the outputs of the identity lie: (S...) -> (S..., x y ... and 1), between -1 and 1."""
    axes = []
    for size in sizes:
        places = np.linspace(-1, 1, size, dtype=dtype) if size > 1 else np.zeros(size, dtype)
        axes.append(places if align_corners else places * dtype.type((size - 1) / size))
    ones = np.ones(sizes, dtype)
    return np.stack((*np.meshgrid(*axes, indexing="ij")[::-1], ones), -1)


def affine_grid(theta: Array, base: Array) -> Array:
    """Each point by its sample's matrix: (N, n, n + 1), (S..., n + 1) -> (N, S..., n)."""
    points = base.reshape(-1, base.shape[-1])  # (P, n + 1)
    grid = points @ theta.swapaxes(1, 2)  # (N, P, n)
    return grid.reshape(len(theta), *base.shape[:-1], theta.shape[1])


def affine_grid_backward(grad_output: Array, base: Array) -> Array:
    """The matrices' gradient: a product, summed over the points."""
    n, axes = len(grad_output), grad_output.shape[-1]
    grad = grad_output.reshape(n, -1, axes)  # (N, P, n)
    return grad.swapaxes(1, 2) @ base.reshape(-1, axes + 1)


class _Taps(NamedTuple):
    """What points read along an axis: T positions, (T, N*P), that may lie outside."""

    positions: Array
    weights: Array
    slopes: Array | None  # d weights / d grid; None where they are 0


def _unnormalised(grid: Array, size: int, align_corners: bool) -> tuple[Array, float]:
    """-1 to 1 as coordinates of the input, and by how much they grow."""
    if align_corners:
        return (grid + 1) / 2 * (size - 1), (size - 1) / 2
    return ((grid + 1) * size - 1) / 2, size / 2


def _reflected(place: Array, size: int, align_corners: bool) -> tuple[Array, Array]:
    """Mirrored until it lies within the corners' centres, or outer edges; and the sign of that."""
    low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
    if not span:
        return np.zeros_like(place), np.zeros_like(place)
    distance = np.abs(place - low)
    times, rest = np.floor(distance / span), np.fmod(distance, span)
    is_even = times % 2 == 0
    sign = np.where(is_even, 1, -1) * np.where(place < low, -1, 1)
    return np.where(is_even, rest, span - rest) + low, sign.astype(place.dtype)


def _padded(place: Array, size: int, padding_mode: str, align_corners: bool) -> tuple[Array, Array]:
    """Where coordinates outside are taken to lie, and how that changes with them."""
    slope = np.ones_like(place)
    if padding_mode == "zeros":
        return place, slope
    if padding_mode == "reflection":
        place, slope = _reflected(place, size, align_corners)
    inside = (place > 0) & (place < size - 1)
    # (fmin and fmax: not a number is the lowest)
    return np.fmin(np.fmax(place, 0), size - 1), slope * inside


def _taps(grid: Array, size: int, mode: str, padding_mode: str, align_corners: bool) -> _Taps:
    place, growth = _unnormalised(grid, size, align_corners)
    if mode == "bicubic":
        below = np.floor(place)
        above = place - below
        positions, _ = _padded(
            below + np.arange(-1, 3).reshape(-1, 1), size, padding_mode, align_corners
        )
        distances = -1 - above, -above, 1 - above, 2 - above
        weights = [cubic(distance, -0.75) for distance in distances]
        slopes = [cubic_slope(distance, -0.75) * -growth for distance in distances]
        return _Taps(positions, np.stack(weights), np.stack(slopes))
    place, slope = _padded(place, size, padding_mode, align_corners)
    if mode == "nearest":
        return _Taps(np.rint(place)[None], np.ones_like(place)[None], None)
    below = np.floor(place)
    above = place - below
    slope = slope * growth
    return _Taps(
        np.stack((below, below + 1)), np.stack((1 - above, above)), np.stack((-slope, slope))
    )


class Samples:
    """The pixels of an input (N, C, S...) that a grid (N, O..., n) reads, and their weights.

    The pixels have a frame of zeros, (C, N * (S + 2)...): whatever lies outside is in it.
    """

    @silently
    def __init__(
        self, input: Array, grid: Array, mode: str, padding_mode: str, align_corners: bool
    ) -> None:
        n, channels, *sizes = input.shape
        self.shape, self.grid_shape = input.shape, grid.shape
        self.framed = channels, n, *(size + 2 for size in sizes)
        pixels = np.zeros(self.framed, input.dtype)
        pixels[self.inside] = input.swapaxes(0, 1)
        self.pixels = pixels.reshape(channels, math.prod(self.framed[1:]))
        # x is the last axis
        points = np.ascontiguousarray(grid.reshape(-1, len(sizes)).T)[::-1]  # (n, N*P)
        self.taps = [
            _taps(along, size, mode, padding_mode, align_corners)
            for along, size in zip(points, sizes, strict=True)
        ]
        # where each begins in the flat frame, axis by axis: a pixel is their sum
        sample = np.arange(n).repeat(math.prod(grid.shape[1:-1]))
        self.starts = [sample * math.prod(self.framed[2:])]
        for axis, (size, taps) in enumerate(zip(sizes, self.taps, strict=True)):
            # (fmin and fmax: not a number is outside)
            places = np.fmin(np.fmax(taps.positions, -1), size).astype(np.intp) + 1
            self.starts.append(places * math.prod(self.framed[3 + axis :]))

    @property
    def inside(self) -> tuple[slice, ...]:
        """What the frame surrounds, of (C, N, (S + 2)...)."""
        return (slice(None),) * 2 + (slice(1, -1),) * (len(self.framed) - 2)

    def reads(self) -> Iterator[tuple[Array, list[Array], list[Array]]]:
        """For each combination of positions: which pixels, (N*P,), their weights and slopes."""
        sample, *starts = self.starts
        for combination in product(*(range(len(places)) for places in starts)):
            chosen = list(zip(combination, self.taps, strict=True))
            pixel = sum((places[k] for k, places in zip(combination, starts, strict=True)), sample)
            slopes = [t.slopes[k] for k, t in chosen if t.slopes is not None]
            yield pixel, [t.weights[k] for k, t in chosen], slopes


@silently
def grid_sample(samples: Samples) -> Array:
    """The values at the points: (N, C, S...) at (N, O..., n) -> (N, C, O...)."""
    total: Array | None = None  # (C, N*P)
    for pixel, weights, _ in samples.reads():
        values = take_columns(samples.pixels, pixel)
        values *= _product(weights)
        total = values if total is None else np.add(total, values, out=total)
    assert total is not None
    n, *points, _ = samples.grid_shape
    return np.ascontiguousarray(total.reshape(samples.shape[1], n, *points).swapaxes(0, 1))


@silently
def grid_sample_backward(
    grad_output: Array, samples: Samples, needs: Sequence[bool] = (True, True)
) -> tuple[Array | None, Array | None]:
    """Gradients for the input, where pixels' add up, and for the grid, by the weights' slopes."""
    n, channels, *points = grad_output.shape
    grad = grad_output.swapaxes(0, 1).reshape(channels, n * math.prod(points))
    grad_pixels = np.zeros_like(samples.pixels)
    grad_grid = np.zeros((grad.shape[1], len(samples.taps)), grad.dtype)
    for pixel, weights, slopes in samples.reads():
        if needs[0]:
            add_at_columns(grad_pixels, pixel, grad * _product(weights))
        if needs[1] and slopes:
            along = np.einsum("cp,cp->p", take_columns(samples.pixels, pixel), grad)
            for axis, slope in enumerate(slopes):
                others = _product([slope, *weights[:axis], *weights[axis + 1 :]])
                grad_grid[:, -1 - axis] += along * others
    grad_input = grad_pixels.reshape(samples.framed)[samples.inside].swapaxes(0, 1)
    return (
        np.ascontiguousarray(grad_input) if needs[0] else None,
        grad_grid.reshape(samples.grid_shape) if needs[1] else None,
    )


def _product(factors: list[Array]) -> Array:
    return math.prod(factors[1:], start=factors[0])
