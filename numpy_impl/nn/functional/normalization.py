"""Norms, and normalize."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn import batchnorm, instancenorm, normalization
from numpy_impl.nn.call import summary
from numpy_impl.nn.checks import check_array, check_int, names_itself
from numpy_impl.nn.functional.calls import attached, backward_of, by_layer
from numpy_impl.tensor.tensor import Tensor, to_array
from numpy_impl.tensor.views import written
from numpy_impl.types import Array


def _by_pair(
    name: str,
    forward: Callable[..., tuple[Array, Any]],
    backward: Callable[..., Sequence[Array | None]],
    inputs: tuple[Any, Any, Any],
    *options: Any,
) -> Any:
    """A pair of functions of input, weight and bias, whose backward needs what forward kept."""
    x, weight, bias = map(to_array, inputs)
    output, saved = forward(x, weight, bias, *options)
    return attached(name, output, inputs, lambda dy, needs: backward(dy, weight, saved, needs))


def _check(input: Any, shape: Sequence[int], **others: Any) -> None:
    """What else there is must have this shape, and the input's dtype."""
    for name, value in others.items():
        if value is not None:
            found = check_array(to_array(value), name, to_array(input).dtype).shape
            if found != tuple(shape):
                raise ValueError(f"{name} must have shape {tuple(shape)}, got {found}")


@names_itself
def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """By the batch's statistics, or the running ones; see :class:`~numpy_impl.nn.BatchNorm2d`.

    In training the running statistics, if there are any, are moved in place.
    """
    x = check_array(to_array(input), "input", ndim=(2, 3, 4, 5))
    running = {"running_mean": running_mean, "running_var": running_var}
    _check(x, x.shape[1:2], weight=weight, bias=bias, **running)
    options = *map(to_array, running.values()), training, momentum, eps
    pair = batchnorm.batch_norm, batchnorm.batch_norm_backward
    output = _by_pair("batch_norm", *pair, (input, weight, bias), *options)
    written(running_mean, running_var)
    return output


@names_itself
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Each channel of each sample by itself; see :class:`~numpy_impl.nn.InstanceNorm2d`.

    With the input's statistics the running ones, if there are any, are moved in place.
    """
    x = check_array(to_array(input), "input", ndim=(3, 4, 5))
    running = {"running_mean": running_mean, "running_var": running_var}
    _check(x, x.shape[1:2], weight=weight, bias=bias, **running)
    options = *map(to_array, running.values()), use_input_stats, momentum, eps
    pair = instancenorm.instance_norm, instancenorm.instance_norm_backward
    output = _by_pair("instance_norm", *pair, (input, weight, bias), *options)
    written(running_mean, running_var)
    return output


def _normalised(name: str, inputs: tuple[Any, Any, Any], *options: Any) -> Any:
    pair = normalization.normalise, normalization.normalise_backward
    return _by_pair(name, *pair, inputs, *options)


@names_itself
def layer_norm(
    input: Any,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """Each sample over its last axes; see :class:`~numpy_impl.nn.LayerNorm`."""
    x, shape = check_array(to_array(input), "input"), normalization.features_of(normalized_shape)
    _check(x, shape, weight=weight, bias=bias)
    view = normalization.over_features(x, shape)
    return _normalised("layer_norm", (input, weight, bias), view, eps)


@names_itself
def rms_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Any:
    """Each sample by its root mean square; see :class:`~numpy_impl.nn.RMSNorm`."""
    x, shape = check_array(to_array(input), "input"), normalization.features_of(normalized_shape)
    _check(x, shape, weight=weight)
    view, eps = normalization.over_features(x, shape), normalization.eps_or_default(eps, x)
    return _normalised("rms_norm", (input, weight, None), view, eps, False)


@names_itself
def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Each sample over groups of channels; see :class:`~numpy_impl.nn.GroupNorm`."""
    x, num_groups = check_array(to_array(input), "input"), check_int(num_groups, "num_groups", 1)
    view = normalization.over_groups(x, num_groups)
    _check(x, x.shape[1:2], weight=weight, bias=bias)
    return _normalised("group_norm", (input, weight, bias), view, eps)


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """By the channels around; see :class:`~numpy_impl.nn.LocalResponseNorm`."""
    return by_layer(normalization.LocalResponseNorm(size, alpha, beta, k), input)


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """``x / max(norm(x), eps)`` along ``dim``; written into ``out``, if given, without a gradient.

    Where torch differs: it gives an ``out`` of another shape the result's, with a warning.
    """
    tensor = input if isinstance(input, Tensor) else Tensor(input)
    size = tensor.norm(p, dim, keepdim=True).clamp_min(eps)
    output = tensor / size
    if out is None:
        return output if isinstance(input, Tensor) else output.data
    tracked = [value for value in (output, out) if getattr(value, "requires_grad", False)]
    if tracked and grad_mode.enabled:
        raise RuntimeError("out has no gradient: neither it nor input may require one")
    if isinstance(out, Tensor) and not out.numel():
        out.data = np.empty(output.shape, out.dtype)  # torch.empty(0): of any shape
    into = to_array(out)
    if not isinstance(into, np.ndarray) or into.shape != output.shape:
        found = summary(out)
        raise ValueError(f"out must be an array or a Tensor of shape {output.shape}, got {found}")
    if not np.can_cast(output.dtype, into.dtype, "same_kind"):
        raise RuntimeError(f"out must hold values of {output.dtype}, got {into.dtype}")
    into[...] = output.data
    written(out)
    return out


def _leaves_statistics(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function on copies of the running statistics, which a backward must not move."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        for name in ("running_mean", "running_var"):
            if given.get(name) is not None:
                given[name] = np.array(to_array(given[name]))
        return function(**given)

    return call


batch_norm_backward = backward_of(_leaves_statistics(batch_norm))
group_norm_backward = backward_of(group_norm)
instance_norm_backward = backward_of(_leaves_statistics(instance_norm))
layer_norm_backward = backward_of(layer_norm)
local_response_norm_backward = backward_of(local_response_norm)
normalize_backward = backward_of(normalize)
rms_norm_backward = backward_of(rms_norm)
