"""pixel_shuffle, pixel_unshuffle, channel_shuffle."""

from typing import Any

from numpy_impl.nn.functional.calls import backward_of, by_layer
from numpy_impl.nn.pixelshuffle import ChannelShuffle, PixelShuffle, PixelUnshuffle


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Channels become pixels; see :class:`~numpy_impl.nn.PixelShuffle`."""
    return by_layer(PixelShuffle(upscale_factor), input)


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Pixels become channels; see :class:`~numpy_impl.nn.PixelUnshuffle`."""
    return by_layer(PixelUnshuffle(downscale_factor), input)


def channel_shuffle(input: Any, groups: int) -> Any:
    """The channels of groups in turn; see :class:`~numpy_impl.nn.ChannelShuffle`."""
    return by_layer(ChannelShuffle(groups), input)


pixel_shuffle_backward = backward_of(pixel_shuffle)
pixel_unshuffle_backward = backward_of(pixel_unshuffle)
channel_shuffle_backward = backward_of(channel_shuffle)
