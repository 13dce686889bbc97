"""torch.nn.functional's names.

A function returns what it is given: arrays for arrays, Tensors for Tensors. ``f_backward`` is the
other half of ``f``: arrays alone, the gradient of the output and then ``f``'s own arguments. It
returns a gradient for each floating-point array among them, in their order: the array itself if
there is one, else a tuple, with ``None`` for what ``f`` takes as a constant (class weights).
"""

from numpy_impl.nn.functional.activation import (
    leaky_relu,
    leaky_relu_backward,
    log_softmax,
    log_softmax_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
)
from numpy_impl.nn.functional.conv import (
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    conv3d,
    conv3d_backward,
)
from numpy_impl.nn.functional.distance import (
    cosine_similarity,
    cosine_similarity_backward,
    pairwise_distance,
    pairwise_distance_backward,
    pdist,
    pdist_backward,
)
from numpy_impl.nn.functional.dropout import (
    alpha_dropout,
    dropout,
    dropout1d,
    dropout2d,
    dropout3d,
    feature_alpha_dropout,
)
from numpy_impl.nn.functional.linear import (
    bilinear,
    bilinear_backward,
    linear,
    linear_backward,
)
from numpy_impl.nn.functional.loss import (
    cross_entropy,
    cross_entropy_backward,
    mse_loss,
    mse_loss_backward,
    nll_loss,
    nll_loss_backward,
)
from numpy_impl.nn.functional.normalization import (
    normalize,
    normalize_backward,
)
from numpy_impl.nn.functional.padding import (
    pad,
    pad_backward,
)
from numpy_impl.nn.functional.pooling import (
    avg_pool1d,
    avg_pool1d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    avg_pool3d,
    avg_pool3d_backward,
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool3d,
    max_pool3d_backward,
)
from numpy_impl.nn.functional.sparse import (
    embedding,
    embedding_backward,
    embedding_bag,
    embedding_bag_backward,
    one_hot,
)

__all__ = [
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "bilinear",
    "bilinear_backward",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "cosine_similarity",
    "cosine_similarity_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "embedding",
    "embedding_backward",
    "embedding_bag",
    "embedding_bag_backward",
    "feature_alpha_dropout",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
    "mse_loss",
    "mse_loss_backward",
    "nll_loss",
    "nll_loss_backward",
    "normalize",
    "normalize_backward",
    "one_hot",
    "pad",
    "pad_backward",
    "pairwise_distance",
    "pairwise_distance_backward",
    "pdist",
    "pdist_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
]
