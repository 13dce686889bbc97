"""Activations.

Each is a pair of functions, ``f(x)`` and ``f_backward(dy, x or y)``, and a module that names them.
"""

from numpy_impl.nn.activation.elementwise import Elementwise, InPlace
from numpy_impl.nn.activation.exponential import CELU, ELU, SELU
from numpy_impl.nn.activation.gated import GLU
from numpy_impl.nn.activation.piecewise import (
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    ReLU,
    ReLU6,
    Softshrink,
    Threshold,
)
from numpy_impl.nn.activation.slopes import LeakyReLU, PReLU, RReLU
from numpy_impl.nn.activation.smooth import (
    GELU,
    LogSigmoid,
    Mish,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Tanh,
    Tanhshrink,
)
from numpy_impl.nn.activation.softmax import (
    LogSoftmax,
    Softmax,
    Softmax2d,
    Softmin,
    log_softmax,
    softmax,
)

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Elementwise",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "InPlace",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "log_softmax",
    "softmax",
]
