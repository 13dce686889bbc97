"""torch.nn.functional's names.

A function returns what it is given: arrays for arrays, Tensors for Tensors. ``f_backward`` is the
other half of ``f``: arrays alone, the gradient of the output and then ``f``'s own arguments. It
returns a gradient for each floating-point array among them, in their order: the array itself if
there is one, else a tuple, with ``None`` for what ``f`` takes as a constant (class weights).
"""

# as many names to a line as fit: one a line, twice, would be 500 lines
# fmt: off
# isort: off
from numpy_impl.nn.functional.activation import (
    celu, celu_, celu_backward, elu, elu_, elu_backward, gelu, gelu_backward, glu, glu_backward,
    gumbel_softmax, hardshrink, hardshrink_backward, hardsigmoid, hardsigmoid_backward, hardswish,
    hardswish_backward, hardtanh, hardtanh_, hardtanh_backward, leaky_relu, leaky_relu_,
    leaky_relu_backward, log_softmax, log_softmax_backward, logsigmoid, logsigmoid_backward, mish,
    mish_backward, prelu, prelu_backward, relu, relu6, relu6_backward, relu_, relu_backward, rrelu,
    rrelu_, selu, selu_, selu_backward, sigmoid, sigmoid_backward, silu, silu_backward, softmax,
    softmax_backward, softmin, softmin_backward, softplus, softplus_backward, softshrink,
    softshrink_backward, softsign, softsign_backward, tanh, tanh_backward, tanhshrink,
    tanhshrink_backward, threshold, threshold_, threshold_backward,
)
from numpy_impl.nn.functional.attention import (
    multi_head_attention_forward, multi_head_attention_forward_backward,
    scaled_dot_product_attention, scaled_dot_product_attention_backward,
)
from numpy_impl.nn.functional.conv import (
    conv1d, conv1d_backward, conv2d, conv2d_backward, conv3d, conv3d_backward, conv_tbc,
    conv_tbc_backward, conv_transpose1d, conv_transpose1d_backward, conv_transpose2d,
    conv_transpose2d_backward, conv_transpose3d, conv_transpose3d_backward, fold, fold_backward,
    unfold, unfold_backward,
)
from numpy_impl.nn.functional.distance import (
    cosine_similarity, cosine_similarity_backward, pairwise_distance, pairwise_distance_backward,
    pdist, pdist_backward,
)
from numpy_impl.nn.functional.dropout import (
    alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout,
)
from numpy_impl.nn.functional.linear import bilinear, bilinear_backward, linear, linear_backward
from numpy_impl.nn.functional.loss import (
    binary_cross_entropy, binary_cross_entropy_backward, binary_cross_entropy_with_logits,
    binary_cross_entropy_with_logits_backward, cosine_embedding_loss,
    cosine_embedding_loss_backward, cross_entropy, cross_entropy_backward, ctc_loss,
    ctc_loss_backward, gaussian_nll_loss, gaussian_nll_loss_backward, hinge_embedding_loss,
    hinge_embedding_loss_backward, huber_loss, huber_loss_backward, kl_div, kl_div_backward,
    l1_loss, l1_loss_backward, linear_cross_entropy, linear_cross_entropy_backward,
    margin_ranking_loss, margin_ranking_loss_backward, mse_loss, mse_loss_backward,
    multi_margin_loss, multi_margin_loss_backward, multilabel_margin_loss,
    multilabel_margin_loss_backward, multilabel_soft_margin_loss,
    multilabel_soft_margin_loss_backward, nll_loss, nll_loss_backward, poisson_nll_loss,
    poisson_nll_loss_backward, smooth_l1_loss, smooth_l1_loss_backward, soft_margin_loss,
    soft_margin_loss_backward, triplet_margin_loss, triplet_margin_loss_backward,
    triplet_margin_with_distance_loss, triplet_margin_with_distance_loss_backward,
)
from numpy_impl.nn.functional.normalization import (
    batch_norm, batch_norm_backward, group_norm, group_norm_backward, instance_norm,
    instance_norm_backward, layer_norm, layer_norm_backward, local_response_norm,
    local_response_norm_backward, normalize, normalize_backward, rms_norm, rms_norm_backward,
)
from numpy_impl.nn.functional.padding import pad, pad_backward
from numpy_impl.nn.functional.pixelshuffle import (
    channel_shuffle, channel_shuffle_backward, pixel_shuffle, pixel_shuffle_backward,
    pixel_unshuffle, pixel_unshuffle_backward,
)
from numpy_impl.nn.functional.pooling import (
    adaptive_avg_pool1d, adaptive_avg_pool1d_backward, adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward, adaptive_avg_pool3d, adaptive_avg_pool3d_backward,
    adaptive_max_pool1d, adaptive_max_pool1d_backward, adaptive_max_pool1d_with_indices,
    adaptive_max_pool1d_with_indices_backward, adaptive_max_pool2d, adaptive_max_pool2d_backward,
    adaptive_max_pool2d_with_indices, adaptive_max_pool2d_with_indices_backward,
    adaptive_max_pool3d, adaptive_max_pool3d_backward, adaptive_max_pool3d_with_indices,
    adaptive_max_pool3d_with_indices_backward, avg_pool1d, avg_pool1d_backward, avg_pool2d,
    avg_pool2d_backward, avg_pool3d, avg_pool3d_backward, fractional_max_pool2d,
    fractional_max_pool2d_with_indices, fractional_max_pool3d, fractional_max_pool3d_with_indices,
    lp_pool1d, lp_pool1d_backward, lp_pool2d, lp_pool2d_backward, lp_pool3d, lp_pool3d_backward,
    max_pool1d, max_pool1d_backward, max_pool1d_with_indices, max_pool1d_with_indices_backward,
    max_pool2d, max_pool2d_backward, max_pool2d_with_indices, max_pool2d_with_indices_backward,
    max_pool3d, max_pool3d_backward, max_pool3d_with_indices, max_pool3d_with_indices_backward,
    max_unpool1d, max_unpool1d_backward, max_unpool2d, max_unpool2d_backward, max_unpool3d,
    max_unpool3d_backward,
)
from numpy_impl.nn.functional.sparse import (
    embedding, embedding_backward, embedding_bag, embedding_bag_backward, one_hot,
)
from numpy_impl.nn.functional.upsampling import (
    interpolate, interpolate_backward, upsample, upsample_backward, upsample_bilinear,
    upsample_bilinear_backward, upsample_nearest, upsample_nearest_backward,
)
from numpy_impl.nn.functional.vision import (
    affine_grid, affine_grid_backward, grid_sample, grid_sample_backward,
)
# isort: on

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool1d_backward", "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward", "adaptive_avg_pool3d", "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d", "adaptive_max_pool1d_backward", "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool1d_with_indices_backward", "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward", "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool2d_with_indices_backward", "adaptive_max_pool3d",
    "adaptive_max_pool3d_backward", "adaptive_max_pool3d_with_indices",
    "adaptive_max_pool3d_with_indices_backward", "affine_grid", "affine_grid_backward",
    "alpha_dropout", "avg_pool1d", "avg_pool1d_backward", "avg_pool2d", "avg_pool2d_backward",
    "avg_pool3d", "avg_pool3d_backward", "batch_norm", "batch_norm_backward", "bilinear",
    "bilinear_backward", "binary_cross_entropy", "binary_cross_entropy_backward",
    "binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits_backward", "celu",
    "celu_", "celu_backward", "channel_shuffle", "channel_shuffle_backward", "conv1d",
    "conv1d_backward", "conv2d", "conv2d_backward", "conv3d", "conv3d_backward", "conv_tbc",
    "conv_tbc_backward", "conv_transpose1d", "conv_transpose1d_backward", "conv_transpose2d",
    "conv_transpose2d_backward", "conv_transpose3d", "conv_transpose3d_backward",
    "cosine_embedding_loss", "cosine_embedding_loss_backward", "cosine_similarity",
    "cosine_similarity_backward", "cross_entropy", "cross_entropy_backward", "ctc_loss",
    "ctc_loss_backward", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "elu_",
    "elu_backward", "embedding", "embedding_backward", "embedding_bag", "embedding_bag_backward",
    "feature_alpha_dropout", "fold", "fold_backward", "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices", "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices", "gaussian_nll_loss", "gaussian_nll_loss_backward", "gelu",
    "gelu_backward", "glu", "glu_backward", "grid_sample", "grid_sample_backward", "group_norm",
    "group_norm_backward", "gumbel_softmax", "hardshrink", "hardshrink_backward", "hardsigmoid",
    "hardsigmoid_backward", "hardswish", "hardswish_backward", "hardtanh", "hardtanh_",
    "hardtanh_backward", "hinge_embedding_loss", "hinge_embedding_loss_backward", "huber_loss",
    "huber_loss_backward", "instance_norm", "instance_norm_backward", "interpolate",
    "interpolate_backward", "kl_div", "kl_div_backward", "l1_loss", "l1_loss_backward",
    "layer_norm", "layer_norm_backward", "leaky_relu", "leaky_relu_", "leaky_relu_backward",
    "linear", "linear_backward", "linear_cross_entropy", "linear_cross_entropy_backward",
    "local_response_norm", "local_response_norm_backward", "log_softmax", "log_softmax_backward",
    "logsigmoid", "logsigmoid_backward", "lp_pool1d", "lp_pool1d_backward", "lp_pool2d",
    "lp_pool2d_backward", "lp_pool3d", "lp_pool3d_backward", "margin_ranking_loss",
    "margin_ranking_loss_backward", "max_pool1d", "max_pool1d_backward", "max_pool1d_with_indices",
    "max_pool1d_with_indices_backward", "max_pool2d", "max_pool2d_backward",
    "max_pool2d_with_indices", "max_pool2d_with_indices_backward", "max_pool3d",
    "max_pool3d_backward", "max_pool3d_with_indices", "max_pool3d_with_indices_backward",
    "max_unpool1d", "max_unpool1d_backward", "max_unpool2d", "max_unpool2d_backward",
    "max_unpool3d", "max_unpool3d_backward", "mish", "mish_backward", "mse_loss",
    "mse_loss_backward", "multi_head_attention_forward", "multi_head_attention_forward_backward",
    "multi_margin_loss", "multi_margin_loss_backward", "multilabel_margin_loss",
    "multilabel_margin_loss_backward", "multilabel_soft_margin_loss",
    "multilabel_soft_margin_loss_backward", "nll_loss", "nll_loss_backward", "normalize",
    "normalize_backward", "one_hot", "pad", "pad_backward", "pairwise_distance",
    "pairwise_distance_backward", "pdist", "pdist_backward", "pixel_shuffle",
    "pixel_shuffle_backward", "pixel_unshuffle", "pixel_unshuffle_backward", "poisson_nll_loss",
    "poisson_nll_loss_backward", "prelu", "prelu_backward", "relu", "relu6", "relu6_backward",
    "relu_", "relu_backward", "rms_norm", "rms_norm_backward", "rrelu", "rrelu_",
    "scaled_dot_product_attention", "scaled_dot_product_attention_backward", "selu", "selu_",
    "selu_backward", "sigmoid", "sigmoid_backward", "silu", "silu_backward", "smooth_l1_loss",
    "smooth_l1_loss_backward", "soft_margin_loss", "soft_margin_loss_backward", "softmax",
    "softmax_backward", "softmin", "softmin_backward", "softplus", "softplus_backward",
    "softshrink", "softshrink_backward", "softsign", "softsign_backward", "tanh", "tanh_backward",
    "tanhshrink", "tanhshrink_backward", "threshold", "threshold_", "threshold_backward",
    "triplet_margin_loss", "triplet_margin_loss_backward", "triplet_margin_with_distance_loss",
    "triplet_margin_with_distance_loss_backward", "unfold", "unfold_backward", "upsample",
    "upsample_backward", "upsample_bilinear", "upsample_bilinear_backward", "upsample_nearest",
    "upsample_nearest_backward",
]
# fmt: on
