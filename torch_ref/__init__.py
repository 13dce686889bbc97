"""The PyTorch twins of numpy_impl, under the same names."""

from torch_ref import nn, optim

__all__ = ["nn", "optim"]
