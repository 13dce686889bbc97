"""Tensor and the operations on it, each with its backward by hand."""

from numpy_impl.tensor import methods
from numpy_impl.tensor.tensor import RemovableHandle, Tensor

__all__ = ["RemovableHandle", "Tensor", "methods"]
