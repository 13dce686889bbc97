"""Parameter and the memory of weights."""

import numpy as np
import pytest

from numpy_impl import nn


@pytest.mark.parametrize(
    "layer", [nn.Linear(784, 600), nn.Conv2d(64, 64, 3), nn.Linear(300, 200, dtype="float64")]
)
def test_weights_start_at_a_cache_line(layer) -> None:
    """What makes a matrix-vector product fast; the arrays are otherwise as any other."""
    weight = layer.weight.data
    assert weight.ctypes.data % 64 == 0
    assert weight.flags.c_contiguous
    assert weight.flags.writeable
    assert type(weight) is np.ndarray
