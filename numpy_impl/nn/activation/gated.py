"""GLU."""

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.special import logistic
from numpy_impl.kernels.threads import slicewise
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.module import Module
from numpy_impl.types import Array


@silently
def glu(x: Array, dim: int = -1) -> tuple[Array, Array]:
    """a * s, a and b the halves of x along ``dim``; and s = sigmoid(b), for backward."""
    a, b = np.split(x, 2, dim)
    y, s = np.empty_like(a), np.empty_like(a)

    def fill(a: Array, b: Array, y: Array, s: Array) -> None:
        np.multiply(a, logistic(b, s), out=y)

    slicewise(fill, a, b, y, s)
    return y, s


@silently
def glu_backward(dy: Array, x: Array, s: Array, dim: int = -1) -> Array:
    """da = dy * s and db = da * a * (1 - s); side by side, as in x."""
    a = np.split(x, 2, dim)[0]
    dx = np.empty_like(x)
    da, db = np.split(dx, 2, dim)

    def fill(dy: Array, s: Array, a: Array, da: Array, db: Array) -> None:
        np.multiply(dy, s, out=da)
        np.subtract(1, s, out=db)
        db *= a
        db *= da

    slicewise(fill, dy, s, a, da, db)
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
        output, s = glu(input, self.dim)
        self.save_for_backward(output, input, s, self.dim)
        return output

    def backward(self, grad_output: Array) -> Array:
        return glu_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
