"""FractionalMaxPool2d and FractionalMaxPool3d: windows of a fixed size at random places."""

import math
from typing import Any

import numpy as np

from numpy_impl import random
from numpy_impl.kernels import pooling
from numpy_impl.kernels.ranges import first_window, flat_positions, scatter
from numpy_impl.kernels.threads import slicewise
from numpy_impl.kernels.windows import Ints, channels_first, channels_last
from numpy_impl.nn.batched import Batched
from numpy_impl.nn.checks import ntuple

Array = np.ndarray
Sizes = int | tuple[int, ...]
Ratios = float | tuple[float, ...]


def window_starts(samples: Array, size: int, kernel: int, outputs: int) -> Array:
    """Where the windows of one axis start, each channel's by its sample u: (N, C) -> (N, O, C).

    floor(a (o + u)) - floor(a u), a = (S - K) / (O - 1); the last one ends where the input does.
    """
    u = samples[:, None, :]
    scalar = samples.dtype.type
    starts = np.full((len(samples), outputs, samples.shape[1]), size - kernel, np.int64)
    if outputs > 1:
        step = scalar(size - kernel) / scalar(outputs - 1)
        o = np.arange(outputs - 1, dtype=samples.dtype)[:, None]
        starts[:, :-1] = ((o + u) * step).astype(np.int64) - (u * step).astype(np.int64)
    return starts


def fractional_max_pool(
    input: Array, samples: Array, kernel: Ints, outputs: Ints
) -> tuple[Array, Array]:
    """The maximum of each window, and its position in the flattened S...: (N, C, O...) both."""
    sizes, n = input.shape[2:], len(kernel)
    # torch draws the samples of two axes the other way round: the width's comes first
    order = (1, 0) if n == 2 else range(n)
    positions = np.zeros((), np.int64)
    for axis, i in enumerate(order):
        starts = window_starts(samples[..., i], sizes[axis], kernel[axis], outputs[axis])
        # (N, O, C) -> (N, 1, O, 1, C), O at its axis
        shape = (len(starts), *(1,) * axis, outputs[axis], *(1,) * (n - axis - 1), starts.shape[-1])
        positions = positions * sizes[axis] + starts.reshape(shape)
    x = np.ascontiguousarray(channels_last(input))
    values = np.empty(positions.shape, x.dtype)
    offsets = first_window(kernel, sizes)

    def fill(part: Array, out: Array, where: Array) -> None:
        flat = flat_positions(where, math.prod(sizes))
        taps = [part.reshape(-1).take(flat + offset * part.shape[-1]) for offset in offsets]
        pooling.maximum_of(taps, out)
        place = np.empty(out.shape, np.min_scalar_type(len(taps)))
        pooling.find(taps, out, place)
        where += offsets.take(len(taps) - place.astype(np.intp))

    slicewise(fill, x, values, positions)
    return channels_first(values), channels_first(positions)


def fractional_max_pool_backward(grad_output: Array, positions: Array, sizes: Ints) -> Array:
    """Each gradient goes to where the maximum was found: (N, C, O...) -> (N, C, S...)."""
    upstream = channels_last(grad_output)
    flat = flat_positions(channels_last(positions), math.prod(sizes))
    shape = (len(upstream), *sizes, upstream.shape[-1])
    return channels_first(scatter(upstream, flat, shape, are_unique=False))


class _FractionalMaxPoolNd(Batched):
    _random_samples: Array | None

    def __init__(
        self,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: Ratios | None = None,
        return_indices: bool = False,
        _random_samples: Array | None = None,
    ) -> None:
        super().__init__()
        n = self._n
        if (output_size is None) == (output_ratio is None):
            raise ValueError(
                "one of output_size and output_ratio must be given, and not both, "
                f"got {output_size!r} and {output_ratio!r}"
            )
        self.kernel_size = ntuple(kernel_size, n, "kernel_size")
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = self.output_ratio = None
        if output_size is not None:
            self.output_size = ntuple(output_size, n, "output_size", minimum=0)
        if output_ratio is not None:
            self.output_ratio = _ratios(output_ratio, n)

    def forward_batch(self, input: Array) -> tuple[Any, ...]:
        sizes = input.shape[2:]
        if 0 in input.shape[1:]:
            raise ValueError(f"input must be empty in its batch alone, got shape {input.shape}")
        outputs = self.output_size
        if outputs is None:
            ratios = zip(sizes, self.output_ratio or (), strict=True)
            outputs = tuple(int(size * ratio) for size, ratio in ratios)
        windows = zip(sizes, self.kernel_size, outputs, strict=True)
        spare = self._n - 2  # of three axes torch wants one element more than it takes
        if any(k + o - 1 + spare > size for size, k, o in windows):
            raise ValueError(
                f"kernel_size {self.kernel_size} plus output sizes {outputs} must be at most the "
                f"input's {sizes} plus {1 - spare}"
            )
        samples = self._samples(input)
        output, positions = fractional_max_pool(input, samples, self.kernel_size, outputs)
        if self.return_indices:
            return (output, positions.copy("K")), positions, sizes
        return output, positions, sizes

    def backward_batch(self, grad_output: Any, positions: Array, sizes: Ints) -> Array:
        if isinstance(grad_output, tuple):  # the indices have no gradient
            grad_output = grad_output[0]
        return fractional_max_pool_backward(grad_output, positions, sizes)

    def _samples(self, input: Array) -> Array:
        """(N, C, axes), one uniform number for each channel's windows of each axis."""
        n, channels = input.shape[:2]
        given = self._random_samples
        if given is None:
            return random.rand(n, channels, self._n, dtype=input.dtype)
        if given.dtype != input.dtype:
            raise TypeError(f"_random_samples must have dtype {input.dtype}, got {given.dtype}")
        if given.ndim != 3 or len(given) < n or given.shape[1:] != (channels, self._n):
            raise ValueError(
                f"_random_samples must have shape {(n, channels, self._n)}, got {given.shape}"
            )
        return given[:n]


def _ratios(value: Any, n: int) -> tuple[float, ...]:
    ratios = tuple(value) if isinstance(value, tuple | list) else (value,) * n
    if len(ratios) != n or not all(
        isinstance(r, int | float | np.number) and 0 < r < 1 for r in ratios
    ):
        raise ValueError(f"output_ratio must be {n} numbers between 0 and 1, got {value!r}")
    return ratios


class FractionalMaxPool2d(_FractionalMaxPoolNd):
    r"""Maximum over windows at random places, so many that the output has the size asked for.

    .. math::
        y[n,c,i,j] = \max_{u,v} x[n,c,\,h_i + u,\,w_j + v],\quad
        h_i = \lfloor a (i + r) \rfloor - \lfloor a r \rfloor,\
        a = \frac{H - K_h}{H' - 1},\ r \sim U(0, 1)

    The last window ends where the input does. Each sample, channel and axis has an r of its own,
    drawn at every call, also in evaluation: torch's under the same seed. Backward hands each
    gradient to the element that was the maximum; of equal ones to the first in C order. A NaN in
    a window is its maximum.

    Args:
        kernel_size: (Kh, Kw), or one int for both.
        output_size: (H', W'), or one int for both.
        output_ratio: H' and W' as shares of H and W, between 0 and 1; one of the two is given.
        return_indices: also return each maximum's position in its flattened H x W plane (int64).

    Shape:
        (N, C, H, W) or (C, H, W) -> (N, C, H', W').

    Raises:
        TypeError: if a size is no int.
        ValueError: for sizes or ratios out of range, both or none of them, windows that do not
            fit the input.

    Source: Graham 2014, https://arxiv.org/abs/1412.6071;
    https://pytorch.org/docs/stable/generated/torch.nn.FractionalMaxPool2d.html
    """

    _n = 2


class FractionalMaxPool3d(_FractionalMaxPoolNd):
    """Maximum over windows at random places, of three axes; see :class:`FractionalMaxPool2d`.

    Shape:
        (N, C, D, H, W) or (C, D, H, W) -> (N, C, D', H', W').

    Source: Graham 2014, https://arxiv.org/abs/1412.6071;
    https://pytorch.org/docs/stable/generated/torch.nn.FractionalMaxPool3d.html
    """

    _n = 3
