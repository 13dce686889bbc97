"""Losses."""

from typing import Any

from numpy_impl.nn.functional.calls import backward_of, by_layer
from numpy_impl.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from numpy_impl.tensor.tensor import to_array


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
    """Softmax and negative log likelihood; see :class:`~numpy_impl.nn.CrossEntropyLoss`."""
    options = (size_average, ignore_index, reduce, reduction, label_smoothing)
    return by_layer(CrossEntropyLoss(to_array(weight), *options), input, target)


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
    return by_layer(NLLLoss(to_array(weight), *options), input, target)


def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The mean squared error; see :class:`~numpy_impl.nn.MSELoss`."""
    return by_layer(MSELoss(size_average, reduce, reduction), input, target)


cross_entropy_backward = backward_of(cross_entropy)
nll_loss_backward = backward_of(nll_loss)
mse_loss_backward = backward_of(mse_loss)
