"""normalize."""

from typing import Any

from numpy_impl.nn.functional.calls import backward_of
from numpy_impl.tensor.tensor import Tensor


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """``x / max(norm(x), eps)`` along ``dim``."""
    tensor = input if isinstance(input, Tensor) else Tensor(input)
    size = tensor.norm(p, dim, keepdim=True).clamp_min(eps)
    output = tensor / size
    return output if isinstance(input, Tensor) else output.data


normalize_backward = backward_of(normalize)
