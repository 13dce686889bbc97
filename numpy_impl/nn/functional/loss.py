"""Losses."""

from collections.abc import Callable
from typing import Any

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn.functional.activation import logsigmoid
from numpy_impl.nn.functional.calls import attached, backward_of, by_layer
from numpy_impl.nn.functional.linear import linear
from numpy_impl.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CosineEmbeddingLoss,
    CrossEntropyLoss,
    CTCLoss,
    GaussianNLLLoss,
    HingeEmbeddingLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    LinearCrossEntropyOptions,
    MarginRankingLoss,
    MSELoss,
    MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    NLLLoss,
    PoissonNLLLoss,
    SmoothL1Loss,
    SoftMarginLoss,
    TripletMarginLoss,
    TripletMarginWithDistanceLoss,
)
from numpy_impl.nn.loss.base import Loss, check_reduction
from numpy_impl.nn.loss.linear import in_chunks, in_chunks_backward, rows_at_a_time
from numpy_impl.tensor.tensor import Tensor, to_array


def _needs_grad(weight: Any) -> bool:
    """Whether a loss's weight, elsewhere a constant, wants a gradient."""
    return grad_mode.enabled and isinstance(weight, Tensor) and weight.requires_grad


def _weighted(
    loss: Callable[[str], Loss],
    input: Any,
    target: Any,
    weight: Any,
    flags: tuple[Any, Any],
    reduction: str,
    over_weights: bool = True,
) -> Any:
    """A loss whose values are multiplied by weights, which may have a gradient, too.

    The mean is over the sum of the weights, or over the number of elements.
    """
    if weight is None:
        return by_layer(loss(check_reduction(*flags, reduction)), input, target)
    reduction = check_reduction(*flags, reduction)
    if to_array(weight).shape != to_array(input).shape:
        raise ValueError(
            f"weight must have input's shape {to_array(input).shape}, got {to_array(weight).shape}"
        )
    given = [v if isinstance(v, Tensor) else Tensor(v) for v in (input, target, weight)]
    values = loss("none")(*given[:2]) * given[2]
    if reduction != "none":
        divisor = given[2].sum() if over_weights else values.numel()
        values = values.sum() / divisor if reduction == "mean" else values.sum()
    return (
        values
        if any(v is w for v, w in zip(given, (input, target, weight), strict=True))
        else (values.data)
    )


def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The mean absolute error, perhaps weighted; see :class:`~numpy_impl.nn.L1Loss`."""
    flags = size_average, reduce
    return _weighted(lambda r: L1Loss(reduction=r), input, target, weight, flags, reduction)


def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    """The mean squared error, perhaps weighted; see :class:`~numpy_impl.nn.MSELoss`."""
    flags = size_average, reduce
    return _weighted(lambda r: MSELoss(reduction=r), input, target, weight, flags, reduction)


def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """A parabola that goes over into a line, perhaps weighted (the mean is over the number of
    elements); see :class:`~numpy_impl.nn.HuberLoss`.
    """
    none = None, None
    return _weighted(
        lambda r: HuberLoss(r, delta), input, target, weight, none, reduction, over_weights=False
    )


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """A parabola that goes over into a line; see :class:`~numpy_impl.nn.SmoothL1Loss`."""
    return by_layer(SmoothL1Loss(size_average, reduce, reduction, beta), input, target)


def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Of counts under Poisson distributions; see :class:`~numpy_impl.nn.PoissonNLLLoss`."""
    options = log_input, full, size_average, eps, reduce, reduction
    return by_layer(PoissonNLLLoss(*options), input, target)


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """Under normal distributions; see :class:`~numpy_impl.nn.GaussianNLLLoss`."""
    return by_layer(GaussianNLLLoss(full=full, eps=eps, reduction=reduction), input, target, var)


def kl_div(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Any:
    """Kullback-Leibler divergence; see :class:`~numpy_impl.nn.KLDivLoss`."""
    return by_layer(KLDivLoss(size_average, reduce, reduction, log_target), input, target)


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Of probabilities; see :class:`~numpy_impl.nn.BCELoss`."""
    return by_layer(BCELoss(weight, size_average, reduce, reduction), input, target)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """Sigmoid and binary cross entropy; see :class:`~numpy_impl.nn.BCEWithLogitsLoss`."""
    options = size_average, reduce, reduction, pos_weight
    return by_layer(BCEWithLogitsLoss(weight, *options), input, target)


def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The logistic loss; see :class:`~numpy_impl.nn.SoftMarginLoss`."""
    return by_layer(SoftMarginLoss(size_average, reduce, reduction), input, target)


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Binary cross entropy over classes; see :class:`~numpy_impl.nn.MultiLabelSoftMarginLoss`.

    A ``weight`` that requires grad gets its gradient.
    """
    if _needs_grad(weight):
        reduction = check_reduction(size_average, reduce, reduction)
        x, y = (v if isinstance(v, Tensor) else Tensor(v) for v in (input, target))
        values = -(weight * (y * logsigmoid(x) + (1 - y) * logsigmoid(-x))).mean(-1)
        return values if reduction == "none" else getattr(values, reduction)()
    options = size_average, reduce, reduction
    return by_layer(MultiLabelSoftMarginLoss(weight, *options), input, target)


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Softmax and negative log likelihood; see :class:`~numpy_impl.nn.CrossEntropyLoss`.

    Beside probabilities a ``weight`` that requires grad gets its gradient.
    """
    if _needs_grad(weight) and to_array(target).dtype.kind == "f":
        # weights of the classes are factors of the probabilities, which have a gradient
        axis = min(input.ndim - 1, 1)
        classes = input.shape[axis]
        probabilities = target * (1 - label_smoothing) + label_smoothing / classes
        target = weight.reshape(classes, *[1] * (input.ndim - axis - 1)) * probabilities
        weight, label_smoothing = None, 0.0
    options = (size_average, ignore_index, reduce, reduction, label_smoothing)
    return by_layer(CrossEntropyLoss(weight, *options), input, target)


def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Any:
    """A linear layer and its cross entropy; see :class:`~numpy_impl.nn.LinearCrossEntropyLoss`.

    ``linear_weight`` is (C, d..., in_features), ``linear_bias`` (C, d...).
    """
    classes, *more, features = linear_weight.shape
    if input.ndim not in (1, 2) or input.shape[-1] != features or (more and input.ndim == 1):
        raise ValueError(
            f"linear_cross_entropy: input must have shape (N, {features})"
            f"{'' if more else f' or ({features},)'}, got {input.shape}"
        )
    if linear_bias is not None and linear_bias.shape != linear_weight.shape[:-1]:
        raise ValueError(
            f"linear_cross_entropy: linear_bias must have shape {linear_weight.shape[:-1]}, got "
            f"{linear_bias.shape}"
        )
    x, labels = to_array(input), to_array(target)
    if labels.dtype.kind == "f" and ignore_index is not None:
        raise ValueError(
            "linear_cross_entropy: ignore_index must be None where target holds probabilities, got "
            f"{ignore_index}"
        )
    ignored = -100 if ignore_index is None else ignore_index
    rows = rows_at_a_time(options, x, labels, classes, label_smoothing, more)
    if rows is not None:
        loss = CrossEntropyLoss(weight, ignore_index=ignored, reduction=reduction)
        layer = to_array(linear_weight), to_array(linear_bias)
        output, saved = in_chunks(loss, x, *layer, labels, rows)
        return attached(
            "linear_cross_entropy",
            output,
            (input, linear_weight, linear_bias),
            lambda dy, needs: in_chunks_backward(dy, saved, needs),
        )
    bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(-1, features), bias)
    logits = logits.reshape(*input.shape[:-1], classes, *more)
    return cross_entropy(logits, target, weight, None, ignored, None, reduction, label_smoothing)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Negative log likelihood; see :class:`~numpy_impl.nn.NLLLoss`."""
    options = (size_average, ignore_index, reduce, reduction)
    return by_layer(NLLLoss(weight, *options), input, target)


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Which of two is larger; see :class:`~numpy_impl.nn.MarginRankingLoss`."""
    layer = MarginRankingLoss(margin, size_average, reduce, reduction)
    return by_layer(layer, input1, input2, target)


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Of distances, small or large; see :class:`~numpy_impl.nn.HingeEmbeddingLoss`."""
    return by_layer(HingeEmbeddingLoss(margin, size_average, reduce, reduction), input, target)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """A hinge for each class; see :class:`~numpy_impl.nn.MultiMarginLoss`."""
    layer = MultiMarginLoss(p, margin, weight, size_average, reduce, reduction)
    return by_layer(layer, input, target)


def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """A hinge for each target and class; see :class:`~numpy_impl.nn.MultiLabelMarginLoss`."""
    return by_layer(MultiLabelMarginLoss(size_average, reduce, reduction), input, target)


def cosine_embedding_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Of the angle between vectors; see :class:`~numpy_impl.nn.CosineEmbeddingLoss`."""
    layer = CosineEmbeddingLoss(margin, size_average, reduce, reduction)
    return by_layer(layer, input1, input2, target)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Nearer to one than to another; see :class:`~numpy_impl.nn.TripletMarginLoss`."""
    layer = TripletMarginLoss(margin, p, eps, swap, size_average, reduce, reduction)
    return by_layer(layer, anchor, positive, negative)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """With any distance; see :class:`~numpy_impl.nn.TripletMarginWithDistanceLoss`."""
    layer = TripletMarginWithDistanceLoss(
        distance_function=distance_function, margin=margin, swap=swap, reduction=reduction
    )
    return by_layer(layer, anchor, positive, negative)


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """Over all alignments; see :class:`~numpy_impl.nn.CTCLoss`."""
    layer = CTCLoss(blank, reduction, zero_infinity)
    return by_layer(layer, log_probs, targets, input_lengths, target_lengths)


l1_loss_backward = backward_of(l1_loss)
mse_loss_backward = backward_of(mse_loss)
huber_loss_backward = backward_of(huber_loss)
smooth_l1_loss_backward = backward_of(smooth_l1_loss)
poisson_nll_loss_backward = backward_of(poisson_nll_loss)
gaussian_nll_loss_backward = backward_of(gaussian_nll_loss)
kl_div_backward = backward_of(kl_div)
binary_cross_entropy_backward = backward_of(binary_cross_entropy, "weight")
binary_cross_entropy_with_logits_backward = backward_of(
    binary_cross_entropy_with_logits, "weight", "pos_weight"
)
soft_margin_loss_backward = backward_of(soft_margin_loss)
multilabel_soft_margin_loss_backward = backward_of(multilabel_soft_margin_loss)
cross_entropy_backward = backward_of(cross_entropy, "weight")
linear_cross_entropy_backward = backward_of(linear_cross_entropy, "weight")
nll_loss_backward = backward_of(nll_loss, "weight")
margin_ranking_loss_backward = backward_of(margin_ranking_loss)
hinge_embedding_loss_backward = backward_of(hinge_embedding_loss)
multi_margin_loss_backward = backward_of(multi_margin_loss, "weight")
multilabel_margin_loss_backward = backward_of(multilabel_margin_loss)
cosine_embedding_loss_backward = backward_of(cosine_embedding_loss)
triplet_margin_loss_backward = backward_of(triplet_margin_loss)
triplet_margin_with_distance_loss_backward = backward_of(triplet_margin_with_distance_loss)
ctc_loss_backward = backward_of(ctc_loss)
