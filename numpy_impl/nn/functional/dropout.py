"""Dropout (without other halves: their masks would be drawn anew)."""

from typing import Any

from numpy_impl.nn.dropout import (
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    FeatureAlphaDropout,
)
from numpy_impl.nn.functional.calls import by_layer


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zeros with probability p, the rest times 1/(1-p); see :class:`~numpy_impl.nn.Dropout`."""
    return by_layer(Dropout(p).train(training), input)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Drops channels of (N, C, L) or (C, L); see :class:`~numpy_impl.nn.Dropout1d`."""
    return by_layer(Dropout1d(p).train(training), input)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Drops channels of (N, C, H, W); see :class:`~numpy_impl.nn.Dropout2d`."""
    return by_layer(Dropout2d(p).train(training), input)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Drops channels of (N, C, D, H, W) or (C, D, H, W); see :class:`~numpy_impl.nn.Dropout3d`."""
    return by_layer(Dropout3d(p).train(training), input)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout that keeps mean and variance; see :class:`~numpy_impl.nn.AlphaDropout`."""
    return by_layer(AlphaDropout(p).train(training), input)


def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Any:
    """The same for channels; see :class:`~numpy_impl.nn.FeatureAlphaDropout`."""
    return by_layer(FeatureAlphaDropout(p).train(training), input)
