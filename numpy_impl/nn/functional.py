"""The pure pairs, forward and backward, without modules: what each layer computes."""

from numpy_impl.nn.conv import (
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    conv3d,
    conv3d_backward,
)
from numpy_impl.nn.linear import linear, linear_backward

__all__ = [
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "linear",
    "linear_backward",
]
