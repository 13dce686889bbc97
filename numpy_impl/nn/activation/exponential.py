"""ELU, CELU, SELU: x above 0, an exponential that levels off below."""

import math

import numpy as np

from numpy_impl.kernels.elementwise import curve
from numpy_impl.nn.activation.elementwise import Curve, InPlace
from numpy_impl.types import Array

# the fixed point's, to the digits of the paper's own code
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@curve
def elu(
    x: Array,
    y: Array,
    slope: Array | None,
    alpha: float = 1.0,
    scale: float = 1.0,
    input_scale: float = 1.0,
) -> None:
    """scale * x where x > 0, else below = scale * alpha * (exp(input_scale * x) - 1).

    The slope is scale where x > 0, else input_scale * (below + scale * alpha).
    """
    # min(x, 0) and max(x, 0), which np.clip is quicker at
    below = x.clip(-np.inf, 0, out=np.empty_like(x) if slope is None else slope)
    if input_scale != 1:
        below *= input_scale
    np.expm1(below, out=below)  # 0 where x > 0
    if scale * alpha != 1:
        below *= scale * alpha
    x.clip(0, np.inf, out=y)
    if scale != 1:
        y *= scale
    y += below
    if slope is None:
        return
    at_0 = scale * alpha * input_scale
    slope += scale * alpha
    if input_scale != 1:
        slope *= input_scale
    if not math.isclose(at_0, scale, rel_tol=1e-15):
        slope += np.greater(x, 0) * x.dtype.type(scale - at_0)


class ELU(Curve):
    r""":math:`y = x` where x > 0, else :math:`\alpha (e^x - 1)`; derivative :math:`\alpha` at 0.

    Args:
        alpha: the value at minus infinity is its opposite.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: Clevert et al. 2015, https://arxiv.org/abs/1511.07289;
    https://pytorch.org/docs/stable/generated/torch.nn.ELU.html
    """

    _function, _options = elu, ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace


def celu(x: Array, alpha: float = 1.0, keeps: bool = True) -> tuple[Array, Array | None]:
    """x where x > 0, else alpha * (exp(x / alpha) - 1); and the slope."""
    return elu(x, alpha, 1.0, 1 / alpha, keeps=keeps)


class CELU(Curve):
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

    _function, _options = celu, ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if alpha == 0:
            raise ValueError(f"alpha must not be 0, got {alpha}")
        self.alpha = alpha
        self.inplace = inplace


def selu(x: Array, keeps: bool = True) -> tuple[Array, Array | None]:
    """:func:`elu` with the two constants above."""
    return elu(x, SELU_ALPHA, SELU_SCALE, keeps=keeps)


class SELU(InPlace, Curve):
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

    _function = selu
