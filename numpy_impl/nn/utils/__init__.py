"""torch.nn.utils in NumPy."""

from numpy_impl.nn.utils import (
    rnn,
)

__all__ = [
    "rnn",
]
