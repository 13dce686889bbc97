"""Dropout (without other halves: their masks would be drawn anew)."""

from typing import Any

from numpy_impl.nn.dropout import Dropout
from numpy_impl.nn.functional.calls import by_layer


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zeros with probability p, the rest times 1/(1-p); see :class:`~numpy_impl.nn.Dropout`."""
    return by_layer(Dropout(p).train(training), input)
