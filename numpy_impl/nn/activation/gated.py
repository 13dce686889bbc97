"""GLU."""

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.activation.smooth import sigmoid
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.module import Module
from numpy_impl.types import Array


@silently
def glu(x: Array, dim: int = -1) -> Array:
    """a * sigmoid(b), a and b the halves of x along ``dim``."""
    a, b = np.split(x, 2, dim)
    return np.asarray(a * sigmoid(b))


@silently
def glu_backward(dy: Array, x: Array, dim: int = -1) -> Array:
    """da = dy * s and db = dy * a * s * (1 - s), s = sigmoid(b); side by side, as in x."""
    a, b = np.split(x, 2, dim)
    dx = np.empty_like(x)
    da, db = np.split(dx, 2, dim)
    s = sigmoid(b)
    np.multiply(dy, s, out=da)
    np.multiply((1 - s) * s * dy, a, out=db)
    return dx


class GLU(Module):
    r""":math:`y = a\, \sigma(b)`, a and b the halves of the input along one axis.

    Args:
        dim: the axis.

    Shape:
        (..., 2 M, ...) -> (..., M, ...).

    Raises:
        ValueError: if the axis does not exist, or its length is odd.

    Source: Dauphin et al. 2016, https://arxiv.org/abs/1612.08083;
    https://pytorch.org/docs/stable/generated/torch.nn.GLU.html
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input")
        if not -input.ndim <= self.dim < input.ndim or input.shape[self.dim] % 2:
            raise ValueError(
                f"dim must be an axis of even length of an input {input.shape}, got {self.dim}"
            )
        output = glu(input, self.dim)
        self.save_for_backward(output, input, self.dim)
        return output

    def backward(self, grad_output: Array) -> Array:
        return glu_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
