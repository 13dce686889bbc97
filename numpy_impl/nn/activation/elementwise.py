"""What activations that work on one element at a time share."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.kernels.elementwise import times, where_mask
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.module import Module
from numpy_impl.types import Array


class Elementwise(Module):
    """A layer that works on one element at a time.

    A subclass names its pair, and the attributes that are options of both functions, in their
    order. The second function takes the upstream gradient and x, or y (``_needs_output``).
    """

    _pair: tuple[Callable[..., Array], Callable[..., Array]]
    _options: tuple[str, ...] = ()
    _needs_output = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input")
        options = [_plain(getattr(self, name)) for name in self._options] if self._options else []
        output = self._pair[0](input, *options)
        if grad_mode.enabled:
            self.save_for_backward(output, self._kept(input, output), *options)
        return output

    def backward(self, grad_output: Array) -> Array:
        return self._pair[1](*self.saved_for_backward(grad_output))

    def _kept(self, input: Array, output: Array) -> Array:
        """What the second function takes; a copy of y, into which the caller may write."""
        return output.copy(order="K") if self._needs_output else input

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)!r}" for name in self._options]
        return ", ".join(shown + ["inplace=True"] * getattr(self, "inplace", False))


class Curve(Elementwise):
    """One whose function gives y and the slope dy/dx at once: backward is dy times the slope."""

    _function: Callable[..., tuple[Array, Array | None]]

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input")
        options = [_plain(getattr(self, name)) for name in self._options] if self._options else []
        output, slope = type(self)._function(input, *options, keeps=grad_mode.enabled)
        if slope is not None:
            self.save_for_backward(output, slope)
        return output

    def backward(self, grad_output: Array) -> Array:
        return times(*self.saved_for_backward(grad_output))


class Gate(Curve):
    """One whose function gives y and a mask: backward is dy where the mask is set, else 0.

    A subclass may name the one slope that it has where the mask is set.
    """

    _slope = 1.0

    def backward(self, grad_output: Array) -> Array:
        grad_output, mask = self.saved_for_backward(grad_output)
        return where_mask(mask, grad_output, self._slope)


class InPlace(Elementwise):
    """One whose only argument is torch's ``inplace``: accepted, inputs are never modified."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


def _plain(option: Any) -> Any:
    """Not a NumPy number: it has a dtype of its own, which would be that of the output."""
    return option.item() if isinstance(option, np.generic) else option
