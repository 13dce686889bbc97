"""PixelShuffle, PixelUnshuffle, ChannelShuffle: the same elements in another order."""

import numpy as np

from numpy_impl.nn.checks import check_array, check_int
from numpy_impl.nn.module import Module

Array = np.ndarray


def pixel_shuffle(input: Array, factor: int) -> Array:
    """Channels become pixels: (..., C r r, H, W) -> (..., C, H r, W r)."""
    *others, channels, h, w = input.shape
    c = channels // factor**2
    blocks = input.reshape(*others, c, factor, factor, h, w)
    pixels = np.moveaxis(blocks, (-4, -3), (-3, -1))  # (..., C, H, r, W, r)
    return np.array(pixels, order="C").reshape(*others, c, h * factor, w * factor)


def pixel_unshuffle(input: Array, factor: int) -> Array:
    """Pixels become channels: (..., C, H r, W r) -> (..., C r r, H, W)."""
    *others, c, height, width = input.shape
    h, w = height // factor, width // factor
    pixels = input.reshape(*others, c, h, factor, w, factor)
    blocks = np.moveaxis(pixels, (-3, -1), (-4, -3))  # (..., C, r, r, H, W)
    return np.array(blocks, order="C").reshape(*others, c * factor**2, h, w)


def channel_shuffle(input: Array, groups: int) -> Array:
    """The first channel of each group, the second ones, ...: (N, g (C/g), S...), the same shape."""
    n, channels, *sizes = input.shape
    split = input.reshape(n, groups, channels // groups, *sizes)
    return np.array(split.swapaxes(1, 2), order="C").reshape(input.shape)


# each is the way back of another
pixel_shuffle_backward = pixel_unshuffle
pixel_unshuffle_backward = pixel_shuffle


def channel_shuffle_backward(grad_output: Array, groups: int) -> Array:
    """Shuffled once more, as if there were C/g groups."""
    return channel_shuffle(grad_output, max(1, grad_output.shape[1] // groups))


class PixelShuffle(Module):
    r"""Each r x r channels become one channel with r times the height and width.

    .. math::
        y[c,\, r i + u,\, r j + v] = x[c r^2 + r u + v,\, i,\, j],\quad 0 \le u, v < r

    Args:
        upscale_factor: r.

    Shape:
        (\*, C r r, H, W) -> (\*, C, H r, W r).

    Raises:
        TypeError: if r is no int.
        ValueError: for r below 1, channels that its square does not divide, fewer than 3 axes.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.PixelShuffle.html
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = check_int(upscale_factor, "upscale_factor", 1)

    def forward(self, input: Array) -> Array:
        factor = self.upscale_factor
        if _checked(input).shape[-3] % factor**2:
            raise ValueError(
                f"input's channels must be a multiple of {factor**2}, the square of "
                f"upscale_factor, got shape {input.shape}"
            )
        output = pixel_shuffle(input, factor)
        self.save_for_backward(output, factor)
        return output

    def backward(self, grad_output: Array) -> Array:
        return pixel_shuffle_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    r"""Each r x r pixels of a channel become that many channels: the reverse of PixelShuffle.

    .. math::
        y[c r^2 + r u + v,\, i,\, j] = x[c,\, r i + u,\, r j + v],\quad 0 \le u, v < r

    Args:
        downscale_factor: r.

    Shape:
        (\*, C, H r, W r) -> (\*, C r r, H, W); of nothing, too, which torch leaves as it is.

    Raises:
        TypeError: if r is no int.
        ValueError: for r below 1, a height or width that it does not divide, fewer than 3 axes.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.PixelUnshuffle.html
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = check_int(downscale_factor, "downscale_factor", 1)

    def forward(self, input: Array) -> Array:
        factor = self.downscale_factor
        if any(size % factor for size in _checked(input).shape[-2:]):
            raise ValueError(
                f"input's height and width must be multiples of downscale_factor={factor}, "
                f"got shape {input.shape}"
            )
        output = pixel_unshuffle(input, factor)
        self.save_for_backward(output, factor)
        return output

    def backward(self, grad_output: Array) -> Array:
        return pixel_unshuffle_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    r"""The channels in another order, so that each new group has some of every old one.

    .. math::
        y[n,\, g\,j + i] = x[n,\, (C/g)\, i + j],\quad 0 \le i < g,\ 0 \le j < C/g

    Args:
        groups: g.

    Shape:
        (N, C, S...) -> (N, C, S...), with at least one axis S.

    Raises:
        TypeError: if g is no int.
        ValueError: for g below 1, channels that it does not divide, fewer than 3 axes.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ChannelShuffle.html
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = check_int(groups, "groups", 1)

    def forward(self, input: Array) -> Array:
        if _checked(input).shape[1] % self.groups:
            raise ValueError(
                f"input's channels must be a multiple of groups={self.groups}, "
                f"got shape {input.shape}"
            )
        output = channel_shuffle(input, self.groups)
        self.save_for_backward(output, self.groups)
        return output

    def backward(self, grad_output: Array) -> Array:
        return channel_shuffle_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


def _checked(input: Array) -> Array:
    if check_array(input, "input", integers=True).ndim < 3:
        raise ValueError(f"input must have at least 3 axes, got shape {input.shape}")
    return input
