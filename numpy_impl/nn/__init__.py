"""torch.nn in NumPy: the same names, arguments, layouts and results."""

from numpy_impl.nn import functional, init
from numpy_impl.nn.activation import LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from numpy_impl.nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from numpy_impl.nn.container import ModuleDict, ModuleList, Sequential
from numpy_impl.nn.conv import Conv1d, Conv2d, Conv3d
from numpy_impl.nn.dropout import Dropout
from numpy_impl.nn.flatten import Flatten, Unflatten
from numpy_impl.nn.instancenorm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from numpy_impl.nn.linear import Identity, Linear
from numpy_impl.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from numpy_impl.nn.module import Module
from numpy_impl.nn.normalization import (
    CrossMapLRN2d,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    RMSNorm,
)
from numpy_impl.nn.parameter import Buffer, Parameter
from numpy_impl.nn.pooling import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)

__all__ = [
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "CrossEntropyLoss",
    "CrossMapLRN2d",
    "Dropout",
    "Flatten",
    "GroupNorm",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Unflatten",
    "functional",
    "init",
]
