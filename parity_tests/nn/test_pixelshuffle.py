"""PixelShuffle, PixelUnshuffle, ChannelShuffle."""

import numpy as np
import pytest

from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity

CASES = [
    Case("PixelShuffle", "2", (2, 8, 3, 4), elementwise=True),
    Case("PixelShuffle", "upscale_factor=3", (9, 2, 1), "unbatched", elementwise=True),
    Case("PixelShuffle", "1", (2, 3, 4, 5), "nothing to do", elementwise=True),
    Case("PixelShuffle", "2", (2, 2, 4, 1, 3), "two axes of batches", elementwise=True),
    Case("PixelUnshuffle", "2", (2, 2, 6, 8), elementwise=True),
    Case("PixelUnshuffle", "downscale_factor=3", (2, 3, 6), "unbatched", elementwise=True),
    Case("PixelUnshuffle", "1", (2, 3, 4, 5), "nothing to do", elementwise=True),
    Case("PixelUnshuffle", "2", (2, 2, 1, 4, 2), "two axes of batches", elementwise=True),
    Case("ChannelShuffle", "2", (2, 6, 3, 2), elementwise=True),
    Case("ChannelShuffle", "groups=3", (2, 6, 5), "one axis", elementwise=True),
    Case("ChannelShuffle", "1", (2, 3, 4, 4), "nothing to do", elementwise=True),
    Case("ChannelShuffle", "4", (2, 4, 2, 2, 3), "a channel each", elementwise=True),
    Case("ChannelShuffle", "2", (0, 4, 3), "empty batch"),
]


class TestShuffles(ModuleParity):
    cases = CASES


@pytest.mark.parametrize(
    ("layer", "shape", "wanted"),
    [
        (nn.PixelShuffle(2), (0, 4, 2, 3), (0, 1, 4, 6)),
        (nn.PixelShuffle(2), (2, 0, 2, 3), (2, 0, 4, 6)),
        (nn.PixelUnshuffle(2), (0, 3, 2, 4), (0, 12, 1, 2)),
        (nn.ChannelShuffle(2), (2, 0, 3), (2, 0, 3)),
    ],
)
def test_of_nothing(layer, shape, wanted) -> None:
    """torch's backwards fail there, and its PixelUnshuffle leaves the shape as it was."""
    output = layer(np.zeros(shape, "f"))
    assert output.shape == wanted
    assert layer.backward(output).shape == shape


X = np.zeros((2, 3, 4), "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.PixelShuffle(0), ValueError, "upscale_factor must be at least 1, got 0"),
        (lambda: nn.PixelShuffle(1.5), TypeError, "upscale_factor must be an int, got 1.5"),
        (lambda: nn.PixelShuffle(2)(X), ValueError, "PixelShuffle: input's channels must be a m"),
        (lambda: nn.PixelShuffle(1)(X[0]), ValueError, "input must have at least 3 axes"),
        (lambda: nn.PixelUnshuffle(-1), ValueError, "downscale_factor must be at least 1"),
        (lambda: nn.PixelUnshuffle(2)(X), ValueError, "height and width must be multiples"),
        (lambda: nn.PixelUnshuffle(1)(X[0]), ValueError, "input must have at least 3 axes"),
        (lambda: nn.ChannelShuffle(0), ValueError, "groups must be at least 1"),
        (lambda: nn.ChannelShuffle(2)(X), ValueError, "channels must be a multiple of groups=2"),
        (lambda: nn.ChannelShuffle(2)(X[:, 0]), ValueError, "input must have at least 3 axes"),
        (lambda: nn.ChannelShuffle(3)(X.astype(complex)), TypeError, "an integer or bool"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
