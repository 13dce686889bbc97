"""torch.nn in NumPy: the same names, arguments, layouts and results."""

from numpy_impl.nn import functional, init
from numpy_impl.nn.activation import LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from numpy_impl.nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from numpy_impl.nn.container import ModuleDict, ModuleList, Sequential
from numpy_impl.nn.conv import Conv1d, Conv2d, Conv3d
from numpy_impl.nn.distance import CosineSimilarity, PairwiseDistance
from numpy_impl.nn.dropout import (
    AlphaDropout,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    FeatureAlphaDropout,
)
from numpy_impl.nn.flatten import Flatten, Unflatten
from numpy_impl.nn.linear import Bilinear, Identity, Linear
from numpy_impl.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Buffer, Parameter
from numpy_impl.nn.parameters import ParameterDict, ParameterList
from numpy_impl.nn.pooling import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from numpy_impl.nn.sparse import Embedding, EmbeddingBag

__all__ = [
    "AlphaDropout",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Bilinear",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "Embedding",
    "EmbeddingBag",
    "FeatureAlphaDropout",
    "Flatten",
    "Identity",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "PairwiseDistance",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Unflatten",
    "functional",
    "init",
]
