"""ELU, CELU, SELU: x above 0, an exponential that levels off below."""

import numpy as np

from numpy_impl.kernels.elementwise import elementwise
from numpy_impl.kernels.masks import where
from numpy_impl.nn.activation.elementwise import Elementwise, InPlace
from numpy_impl.types import Array

# the fixed point's, to the digits of the paper's own code
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@elementwise
def elu(
    x: Array,
    alpha: float = 1.0,
    scale: float = 1.0,
    input_scale: float = 1.0,
    out: Array | None = None,
) -> Array:
    """scale * x where x > 0, else scale * alpha * (exp(input_scale * x) - 1)."""
    below = np.expm1(input_scale * x) * (alpha * scale)
    return where(np.greater(x, 0), scale * x, below, out)


@elementwise
def elu_backward(
    dy: Array,
    x: Array,
    alpha: float = 1.0,
    scale: float = 1.0,
    input_scale: float = 1.0,
    out: Array | None = None,
) -> Array:
    """scale * dy where x > 0, else scale * alpha * input_scale * exp(input_scale * x) * dy."""
    below = dy * (alpha * scale * input_scale) * np.exp(input_scale * x)
    return where(np.greater(x, 0), scale * dy, below, out)


class ELU(Elementwise):
    r""":math:`y = x` where x > 0, else :math:`\alpha (e^x - 1)`; derivative :math:`\alpha` at 0.

    Args:
        alpha: the value at minus infinity is its opposite.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: Clevert et al. 2015, https://arxiv.org/abs/1511.07289;
    https://pytorch.org/docs/stable/generated/torch.nn.ELU.html
    """

    _pair, _options = (elu, elu_backward), ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace


def celu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha * (exp(x / alpha) - 1)."""
    return elu(x, alpha, 1.0, 1 / alpha)


def celu_backward(dy: Array, x: Array, alpha: float = 1.0) -> Array:
    """dy where x > 0, else exp(x / alpha) * dy."""
    return elu_backward(dy, x, alpha, 1.0, 1 / alpha)


class CELU(Elementwise):
    r""":math:`y = x` where x > 0, else :math:`\alpha (e^{x/\alpha} - 1)`: smooth for any alpha.

    Args:
        alpha: the value at minus infinity is its opposite; not 0.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Raises:
        ValueError: if alpha is 0.

    Source: Barron 2017, https://arxiv.org/abs/1704.07483;
    https://pytorch.org/docs/stable/generated/torch.nn.CELU.html
    """

    _pair, _options = (celu, celu_backward), ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if alpha == 0:
            raise ValueError(f"alpha must not be 0, got {alpha}")
        self.alpha = alpha
        self.inplace = inplace


def selu(x: Array) -> Array:
    """:func:`elu` with the two constants above."""
    return elu(x, SELU_ALPHA, SELU_SCALE)


def selu_backward(dy: Array, x: Array) -> Array:
    """:func:`elu_backward` with the two constants above."""
    return elu_backward(dy, x, SELU_ALPHA, SELU_SCALE)


class SELU(InPlace):
    r""":math:`y = \lambda x` where x > 0, else :math:`\lambda \alpha (e^x - 1)`.

    With :math:`\alpha \approx 1.6733` and :math:`\lambda \approx 1.0507`, values of mean 0 and
    variance 1 stay such from layer to layer.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515;
    https://pytorch.org/docs/stable/generated/torch.nn.SELU.html
    """

    _pair = selu, selu_backward
