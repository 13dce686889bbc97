"""The twins of ``numpy_impl.nn``: torch's own, and SyncBatchNorm on the CPU."""

from torch.nn import *  # noqa: F403  the twin is all of torch.nn, whatever numpy_impl has of it

from torch_ref.syncbatchnorm import SyncBatchNorm as SyncBatchNorm
