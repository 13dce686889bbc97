"""The PyTorch twins of numpy_impl, under the same names."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch_ref import nn, optim

__all__ = ["assert_right", "check", "nn", "optim"]


def __getattr__(name: str) -> Any:
    """Each when it is asked for: whoever only trains does not load the checker, whose command does
    without torch."""
    if name in ("assert_right", "check"):
        return getattr(import_module("torch_ref.checking.check"), name)
    if name in ("nn", "optim"):
        return import_module(f"torch_ref.{name}")
    raise AttributeError(f"module 'torch_ref' has no attribute {name!r}")
