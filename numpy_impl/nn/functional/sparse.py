"""one_hot (integers have no gradient)."""

from typing import Any

import numpy as np

from numpy_impl.tensor.tensor import Tensor, to_array


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """1 at each index, 0 elsewhere: (\\*) of integers -> (\\*, num_classes)."""
    index = to_array(tensor)
    if index.dtype.kind not in "iu":
        raise TypeError(f"tensor must hold integers, got {index.dtype}")
    classes = int(index.max(initial=-1)) + 1 if num_classes == -1 else num_classes
    if index.size and not 0 <= index.min() <= index.max() < classes:
        raise ValueError(
            f"tensor must hold classes 0..{classes - 1}, got {index.min()} to {index.max()}"
        )
    output = (index[..., None] == np.arange(classes)).astype(np.int64)
    return Tensor(output) if isinstance(tensor, Tensor) else output
