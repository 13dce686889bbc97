"""Losses.

Each has its value and gradient from functions of arrays, and most share the rest: the reduction,
broadcasting, weights (:mod:`~numpy_impl.nn.loss.base`). A loss of arrays takes its target as
constant: ``backward(grad_output=1.0)`` gives the gradient for the input, or a tuple where several
inputs have one.
"""

from numpy_impl.nn.loss.adaptive import AdaptiveLogSoftmaxWithLoss
from numpy_impl.nn.loss.base import ElementwiseLoss, Loss, PairLoss
from numpy_impl.nn.loss.binary import (
    BCELoss,
    BCEWithLogitsLoss,
    MultiLabelSoftMarginLoss,
    SoftMarginLoss,
)
from numpy_impl.nn.loss.classification import CrossEntropyLoss, NLLLoss
from numpy_impl.nn.loss.ctc import CTCLoss
from numpy_impl.nn.loss.embedding import (
    CosineEmbeddingLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
)
from numpy_impl.nn.loss.likelihood import GaussianNLLLoss, KLDivLoss, PoissonNLLLoss
from numpy_impl.nn.loss.linear import LinearCrossEntropyLoss, LinearCrossEntropyOptions
from numpy_impl.nn.loss.margin import (
    HingeEmbeddingLoss,
    MarginRankingLoss,
    MultiLabelMarginLoss,
    MultiMarginLoss,
)
from numpy_impl.nn.loss.regression import (
    HuberLoss,
    L1Loss,
    MSELoss,
    SmoothL1Loss,
    mse_loss,
    mse_loss_backward,
)

__all__ = [
    "AdaptiveLogSoftmaxWithLoss",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CTCLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "ElementwiseLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "LinearCrossEntropyLoss",
    "LinearCrossEntropyOptions",
    "Loss",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PairLoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "mse_loss",
    "mse_loss_backward",
]
