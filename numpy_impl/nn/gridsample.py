r"""affine_grid and grid_sample: an image read at any coordinates, as a spatial transformer does.

Along each axis a point reads a few positions with weights; it is the products of these, over all
combinations of positions, that its values are made of.
"""

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.windows import channels_first, channels_last
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
    """What points read along an axis: T positions, (T, N, P), that may lie outside."""

    positions: Array
    weights: Array
    slopes: Array  # d weights / d grid


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
        offsets = np.arange(-1, 3).reshape(-1, 1, 1)
        distance = (offsets - (place - below)).astype(place.dtype)
        positions, _ = _padded(below + offsets, size, padding_mode, align_corners)
        return _Taps(positions, cubic(distance, -0.75), cubic_slope(distance, -0.75) * -growth)
    place, slope = _padded(place, size, padding_mode, align_corners)
    if mode == "nearest":
        return _Taps(np.rint(place)[None], np.ones_like(place)[None], np.zeros_like(place)[None])
    below = np.floor(place)
    above = place - below
    slope = slope * growth
    return _Taps(
        np.stack((below, below + 1)), np.stack((1 - above, above)), np.stack((-slope, slope))
    )


class Samples:
    """The pixels of an input (N, C, S...) that a grid (N, O..., n) reads, and their weights."""

    @silently
    def __init__(
        self, input: Array, grid: Array, mode: str, padding_mode: str, align_corners: bool
    ) -> None:
        n, channels, *sizes = input.shape
        self.shape, self.grid_shape = input.shape, grid.shape
        # a pixel a row, behind them one of zeros for all that lies outside: (N S... + 1, C)
        self.pixels = np.zeros((n * math.prod(sizes) + 1, channels), input.dtype)
        self.pixels[:-1].reshape(n, *sizes, channels)[...] = channels_last(input)
        points = grid.reshape(n, math.prod(grid.shape[1:-1]), len(sizes))
        # x is the last axis
        self.taps = [
            _taps(points[..., -1 - axis], size, mode, padding_mode, align_corners)
            for axis, size in enumerate(sizes)
        ]

    def reads(self) -> Iterator[tuple[Array, list[Array], list[Array]]]:
        """For each combination of positions: which pixels, (N, P), their weights and slopes."""
        n, _, *sizes = self.shape
        for combination in product(*(range(len(taps.positions)) for taps in self.taps)):
            chosen = list(zip(combination, self.taps, strict=True))
            pixel, is_inside = np.arange(n)[:, None], np.ones((), bool)
            for size, (k, taps) in zip(sizes, chosen, strict=True):
                position = taps.positions[k]
                here = (position >= 0) & (position < size)
                is_inside = is_inside & here
                pixel = pixel * size + np.where(here, position, 0).astype(np.int64)
            pixel = np.where(is_inside, pixel, len(self.pixels) - 1)
            yield pixel, [t.weights[k] for k, t in chosen], [t.slopes[k] for k, t in chosen]


@silently
def grid_sample(samples: Samples) -> Array:
    """The values at the points: (N, C, S...) at (N, O..., n) -> (N, C, O...)."""
    total = np.zeros((), samples.pixels.dtype)
    for pixel, weights, _ in samples.reads():
        values = np.take(samples.pixels, pixel, axis=0)  # (N, P, C)
        values *= _product(weights)[..., None]
        total = np.add(total, values, out=values)
    n, *points, _ = samples.grid_shape
    return channels_first(total.reshape(n, *points, samples.shape[1]))


@silently
def grid_sample_backward(grad_output: Array, samples: Samples) -> tuple[Array, Array]:
    """Gradients for the input, where pixels' add up, and for the grid, by the weights' slopes."""
    n, channels, *sizes = samples.shape
    points = math.prod(samples.grid_shape[1:-1])
    grad = channels_last(grad_output).reshape(n, points, channels)
    grad_pixels = np.zeros_like(samples.pixels)
    grad_grid = np.zeros((n, points, len(sizes)), grad.dtype)
    for pixel, weights, slopes in samples.reads():
        # np.add.at(grad_pixels, pixel, ...), which is quicker with one flat index
        index = pixel[..., None] * channels + np.arange(channels)
        share = grad * _product(weights)[..., None]
        np.add.at(grad_pixels.reshape(-1), index.reshape(-1), share.reshape(-1))
        along = np.einsum("npc,npc->np", np.take(samples.pixels, pixel, axis=0), grad)
        for axis, slope in enumerate(slopes):
            others = _product([slope, *weights[:axis], *weights[axis + 1 :]])
            grad_grid[..., -1 - axis] += along * others
    grad_input = channels_first(grad_pixels[:-1].reshape(n, *sizes, channels))
    return grad_input, grad_grid.reshape(samples.grid_shape)


def _product(factors: list[Array]) -> Array:
    return math.prod(factors[1:], start=factors[0])
