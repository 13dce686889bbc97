"""Flatten, Unflatten."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from numpy_impl.nn.checks import check_array
from numpy_impl.nn.module import Module

Array = np.ndarray


class _Reshape(Module):
    """A copy of the input in another shape; backward is the way back."""

    def _new_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        raise NotImplementedError

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input", integers=True)
        # order="C" copies once, whatever the memory layout: the logical order is what counts
        output = np.array(input, order="C").reshape(self._new_shape(input.shape))
        self.save_for_backward(output, input.shape)
        return output

    def backward(self, grad_output: Array) -> Array:
        grad_output, shape = self.saved_for_backward(grad_output)
        return np.array(grad_output, order="C").reshape(shape)


@lru_cache(maxsize=128)
def _merged(shape: tuple[int, ...], start_dim: int, end_dim: int) -> tuple[int, ...]:
    """The shape with the axes from ``start_dim`` to ``end_dim`` as one."""
    start = _axis(start_dim, max(len(shape), 1), "start_dim")
    end = _axis(end_dim, max(len(shape), 1), "end_dim")
    if start > end:
        raise ValueError(
            f"start_dim must not lie behind end_dim, got {start_dim} and {end_dim} "
            f"for shape {shape}"
        )
    return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])


class Flatten(_Reshape):
    """Merge the axes ``start_dim`` to ``end_dim`` (inclusive) into one, in C order.

    Args:
        start_dim: first axis to merge; 1 keeps the batch.
        end_dim: last axis to merge.

    Shape:
        (N, C, H, W) -> (N, C*H*W) by default; a 0-d input becomes (1,).

    Raises:
        ValueError: if an axis does not exist or start_dim lies behind end_dim.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Flatten.html
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def _new_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return _merged(shape, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(_Reshape):
    """Split axis ``dim`` into several; the reverse of Flatten.

    Args:
        dim: the axis to split.
        unflattened_size: the sizes it becomes; one of them may be -1.

    Shape:
        (\\*, S, \\*) -> (\\*, U1, ..., Un, \\*) with U1 * ... * Un = S.

    Raises:
        TypeError: if ``dim`` is no int or ``unflattened_size`` no sequence of ints (torch's named
            tensors, the other form there, have no twin).
        ValueError: if the axis does not exist or the sizes do not multiply to it.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Unflatten.html
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"dim must be an int, got {dim!r}")
        if not isinstance(unflattened_size, tuple | list) or not all(
            isinstance(size, int) for size in unflattened_size
        ):
            raise TypeError(f"unflattened_size must be a tuple of ints, got {unflattened_size!r}")
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def _new_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        dim = _axis(self.dim, len(shape), "dim")
        sizes = self.unflattened_size
        known = math.prod(size for size in sizes if size != -1)
        free = sizes.count(-1)
        fits = known == shape[dim] if not free else known > 0 and shape[dim] % known == 0
        if free > 1 or not fits or min(sizes, default=-2) < -1:
            raise ValueError(
                f"unflattened_size must multiply to {shape[dim]}, the size of axis "
                f"{self.dim} of {shape} (one -1 allowed), got {sizes}"
            )
        sizes = tuple(shape[dim] // known if size == -1 else size for size in sizes)
        return (*shape[:dim], *sizes, *shape[dim + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


def _axis(dim: int, ndim: int, name: str) -> int:
    if not -ndim <= dim < ndim:
        raise ValueError(f"{name} must lie within -{ndim}..{ndim - 1}, got {dim}")
    return dim % ndim
