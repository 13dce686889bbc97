"""Dropout."""

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.module import Module
from numpy_impl.random import bernoulli_mask

Array = np.ndarray


@silently
def dropout(input: Array, noise: Array) -> Array:
    """The input times the noise, which is 0 or 1 / (1 - p)."""
    return np.asarray(input * noise)


@silently
def dropout_backward(grad_output: Array, noise: Array) -> Array:
    """The upstream gradient times the same noise."""
    return np.asarray(grad_output * noise)


class Dropout(Module):
    r"""In training, zeroes each value with probability p and scales the rest by 1/(1-p).

    The mask is torch's under the same seed: one float64 uniform number for each value, in the
    logical order of the array. In evaluation the input comes back as a copy.

    Args:
        p: probability of dropping a value, in [0, 1].
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Raises:
        ValueError: if p is out of range.

    Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html;
    https://pytorch.org/docs/stable/generated/torch.nn.Dropout.html
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")
        self.p = p
        self.inplace = inplace

    def _noise(self, input: Array) -> Array:
        """0 or 1 / (1 - p); torch draws nothing where all are kept, or all dropped."""
        scalar = input.dtype.type
        if not self.training or self.p == 0 or not input.size:
            return np.ones((), input.dtype)
        if self.p == 1:
            return np.zeros((), input.dtype)
        keep = scalar(1) / scalar(1 - self.p)
        return bernoulli_mask(input.shape, 1 - self.p) * keep

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input")
        noise = self._noise(input)
        output = dropout(input, noise)
        self.save_for_backward(output, noise)
        return output

    def backward(self, grad_output: Array) -> Array:
        return dropout_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
