"""Weights in files: PyTorch's own, without PyTorch; safetensors; NumPy's."""

from numpy_impl.io.errors import FileError
from numpy_impl.io.files import load, save

__all__ = ["FileError", "load", "save"]
