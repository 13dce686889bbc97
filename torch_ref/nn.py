"""The twins of ``numpy_impl.nn``: torch's own."""

from torch.nn import *  # noqa: F403  the twin is all of torch.nn, whatever numpy_impl has of it
