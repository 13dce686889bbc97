"""Initial values of parameters: torch.nn.init, and with the same seed its very numbers.

Every function fills a :class:`Parameter`, another Tensor or an array in place and returns what it
was given; the random ones take a ``generator``, and use the default one unless given, and must be
given float32 or float64.

Source: https://pytorch.org/docs/stable/nn.init.html
"""

import functools
import math
import numbers
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from numpy_impl import random
from numpy_impl.grad_mode import no_grad
from numpy_impl.nn.checks import warn
from numpy_impl.random import Generator
from numpy_impl.tensor.inplace import copy_
from numpy_impl.tensor.tensor import Tensor

Array = np.ndarray
_Function = TypeVar("_Function", bound=Callable[..., Any])
Given = TypeVar("Given", bound=Tensor | np.ndarray)

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_GAINS = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d"), 1.0),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), 1.0),
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}


def _fills(function: _Function) -> _Function:
    """Let what a Tensor is a part of, as ``weight[:3]`` is of ``weight``, be filled, too."""

    @functools.wraps(function)
    def fill(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(tensor, Tensor) or tensor._view is None:
            return function(tensor, *args, **kwargs)
        with no_grad():
            return copy_(tensor, function(Tensor(tensor._data.copy()), *args, **kwargs))

    return cast(_Function, fill)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    r"""The factor that keeps the variance through ``nonlinearity``.

    1 for linear maps, convolutions and the sigmoid, 5/3 for tanh, :math:`\sqrt 2` for relu,
    :math:`\sqrt{2 / (1 + slope^2)}` for leaky_relu, 3/4 for selu.

    Args:
        nonlinearity: its name in ``nn.functional``.
        param: the negative slope of leaky_relu, 0.01 unless given; the others ignore it.

    Raises:
        ValueError: if the name is unknown or the slope no number.

    Source: https://pytorch.org/docs/stable/nn.init.html#torch.nn.init.calculate_gain
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, numbers.Real):
            raise ValueError(f"param must be leaky_relu's negative slope, a number, got {param!r}")
        return math.sqrt(2.0 / (1 + float(slope) ** 2))
    if nonlinearity not in _GAINS:
        allowed = ", ".join(sorted([*_GAINS, "leaky_relu"]))
        raise ValueError(f"nonlinearity must be one of {allowed}; got {nonlinearity!r}")
    return _GAINS[nonlinearity]


@_fills
def uniform_(
    tensor: Given, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Given:
    """Draw from the uniform distribution over [a, b), as :func:`numpy_impl.random.uniform_`."""
    random.uniform_(_array(tensor), a, b, generator)
    return tensor


@_fills
def normal_(
    tensor: Given, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Given:
    """Draw from a normal distribution, as :func:`numpy_impl.random.normal_`."""
    random.normal_(_array(tensor), mean, std, generator)
    return tensor


@_fills
def trunc_normal_(
    tensor: Given,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Given:
    r"""Draw from the normal distribution within [a, b].

    By rejection. If the interval holds more than 0.3 of the distribution, values outside are
    drawn anew from it; else values uniform over [a, b] are kept with probability
    :math:`e^{-(x - mean)^2 / 2 std^2}`, relative to its peak. Each round draws a whole array.

    Args:
        tensor: what to fill.
        mean: of the distribution before it is cut.
        std: its standard deviation.
        a: the smallest value.
        b: the largest value.
        generator: where the numbers come from.

    Raises:
        ValueError: if ``std`` is not positive or a > b.

    Warns if the mean is more than 2 std outside [a, b]. PyTorch before 2.13 inverts the
    distribution function instead.

    Source: https://pytorch.org/docs/stable/nn.init.html#torch.nn.init.trunc_normal_
    """
    array = _array(tensor)
    scalar = array.dtype.type
    low, high = scalar(a), scalar(b)
    if not std > 0:
        raise ValueError(f"std must be positive, got {std}")
    if not a <= b:
        raise ValueError(f"a must not exceed b, got a={a}, b={b}")
    if mean < a - 2 * std or mean > b + 2 * std:
        warn(
            f"mean={mean} is more than 2 std={std} outside [a, b]=[{a}, {b}] in trunc_normal_; "
            "the distribution may be off"
        )
    values, candidates = np.empty_like(array), np.empty_like(array)
    pending = np.ones(array.shape, bool)
    if _normal_cdf((b - mean) / std) - _normal_cdf((a - mean) / std) > 0.3:
        while pending.any():
            random.normal_(candidates, mean, std, generator)
            np.copyto(values, candidates, where=pending)
            pending = (values < low) | (values > high)
    else:
        log_peak = scalar(-0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2)
        while pending.any():
            random.uniform_(candidates, a, b, generator)
            np.copyto(values, candidates, where=pending)
            log_density = scalar(-0.5) * ((candidates - scalar(mean)) / scalar(std)) ** 2
            with np.errstate(divide="ignore"):  # log(0) = -inf accepts, as it should
                threshold = np.log(random.uniform_(candidates, generator=generator))
            pending &= threshold > log_density - log_peak
    array[...] = values
    return tensor


@_fills
def constant_(tensor: Given, val: float) -> Given:
    """Set every element to ``val``; integers and booleans, too."""
    _array(tensor, any_dtype=True)[...] = val
    return tensor


@_fills
def ones_(tensor: Given) -> Given:
    """Set every element to 1."""
    return constant_(tensor, 1.0)


@_fills
def zeros_(tensor: Given) -> Given:
    """Set every element to 0."""
    return constant_(tensor, 0.0)


@_fills
def eye_(tensor: Given) -> Given:
    """The identity matrix: a Linear layer that passes on as many inputs as it can.

    Raises:
        ValueError: if ``tensor`` has not 2 dimensions.
    """
    array = _array(tensor, 2, 2, any_dtype=True)
    array[...] = np.eye(*array.shape, dtype=array.dtype)
    return tensor


@_fills
def dirac_(tensor: Given, groups: int = 1) -> Given:
    """Dirac's delta: a convolution that passes on as many channels as it can, in each group.

    Args:
        tensor: the weight of a 1-, 2- or 3-dimensional convolution, (out, in / groups, ...).
        groups: of the convolution.

    Raises:
        ValueError: if ``tensor`` has not 3, 4 or 5 dimensions, or ``groups`` does not divide out.
    """
    array = _array(tensor, 3, 5, any_dtype=True)
    if groups < 1 or array.shape[0] % groups != 0:
        raise ValueError(f"groups must divide the {array.shape[0]} output channels, got {groups}")
    array[...] = 0
    taps = array  # (out, in / groups, ...) -> (out, in / groups): a view of the kernels' centres
    while taps.ndim > 2:
        taps = taps[:, :, taps.shape[2] // 2]
    per_group = array.shape[0] // groups
    for channel in range(min(per_group, array.shape[1])):
        taps[channel::per_group, channel] = 1
    return tensor


@_fills
def xavier_uniform_(tensor: Given, gain: float = 1.0, generator: Generator | None = None) -> Given:
    r"""Glorot's uniform: :math:`U(-a, a),\ a = gain \sqrt{6 / (fan_{in} + fan_{out})}`.

    Args:
        tensor: a weight of 2 or more dimensions, (out, in, ...).
        gain: see :func:`calculate_gain`.
        generator: where the numbers come from.

    Raises:
        ValueError: if ``tensor`` has fewer than 2 dimensions.

    Source: Glorot and Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html
    """
    bound = math.sqrt(3.0) * _xavier_std(tensor, gain)
    return uniform_(tensor, -bound, bound, generator)


@_fills
def xavier_normal_(tensor: Given, gain: float = 1.0, generator: Generator | None = None) -> Given:
    r"""Glorot's normal: :math:`N(0, std^2),\ std = gain \sqrt{2 / (fan_{in} + fan_{out})}`.

    Arguments, errors and source as for :func:`xavier_uniform_`.
    """
    return normal_(tensor, 0.0, _xavier_std(tensor, gain), generator)


@_fills
def kaiming_uniform_(
    tensor: Given,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Given:
    r"""He's uniform: :math:`U(-b, b),\ b = gain \sqrt{3 / fan}`.

    Args:
        tensor: a weight of 2 or more dimensions, (out, in, ...).
        a: the negative slope, for leaky_relu.
        mode: "fan_in" keeps the variance of the forward pass, "fan_out" of the backward pass.
        nonlinearity: what follows the layer, see :func:`calculate_gain`.
        generator: where the numbers come from.

    Raises:
        ValueError: if ``tensor`` has fewer than 2 dimensions, or ``mode`` or ``nonlinearity`` is
            unknown.

    Warns if ``tensor`` is empty, and does nothing.

    Source: He et al. 2015, https://arxiv.org/abs/1502.01852
    """
    if _warns_if_empty(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


@_fills
def kaiming_normal_(
    tensor: Given,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Given:
    r"""He's normal: :math:`N(0, std^2),\ std = gain / \sqrt{fan}`.

    Arguments, errors and source as for :func:`kaiming_uniform_`.
    """
    if _warns_if_empty(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


@_fills
def orthogonal_(tensor: Given, gain: float = 1, generator: Generator | None = None) -> Given:
    r"""A matrix with orthonormal rows or columns, times ``gain``.

    Q of the QR decomposition of a normal matrix, its columns' signs such that R's diagonal is
    positive: this makes Q unique, and uniform among orthogonal matrices.

    Args:
        tensor: of 2 or more dimensions, (rows, ...): all but the first make one.
        gain: a factor.
        generator: where the numbers come from.

    Raises:
        ValueError: if ``tensor`` has fewer than 2 dimensions.

    Source: Saxe et al. 2014, https://arxiv.org/abs/1312.6120; Mezzadri 2007,
    https://arxiv.org/abs/math-ph/0609050
    """
    array = _array(tensor, 2)
    if array.size == 0:
        return tensor
    rows, columns = len(array), array.size // len(array)
    matrix = random.randn(rows, columns, generator=generator, dtype=array.dtype)
    wide = rows < columns
    q, r = np.linalg.qr(matrix.T if wide else matrix)
    q *= np.sign(np.diag(r))
    array[...] = (q.T if wide else q).reshape(array.shape)
    array *= array.dtype.type(gain)
    return tensor


@_fills
def sparse_(
    tensor: Given, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Given:
    """Normal values, of which a fraction in each column is set to zero.

    Args:
        tensor: of 2 dimensions.
        sparsity: the fraction of zeros, rounded up to whole elements.
        std: standard deviation of the others.
        generator: where the normal values come from. As in torch, the zeros' places come from the
            default generator all the same.

    Raises:
        ValueError: if ``tensor`` has not 2 dimensions or ``sparsity`` is outside [0, 1].

    Source: Martens 2010, https://www.cs.toronto.edu/~jmartens/docs/Deep_HessianFree.pdf
    """
    array = _array(tensor, 2, 2)
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity must lie in [0, 1], got {sparsity}")
    rows, columns = array.shape
    zeros = math.ceil(sparsity * rows)
    random.normal_(array, 0.0, std, generator)
    for column in range(columns):
        array[random.randperm(rows)[:zeros], column] = 0
    return tensor


def _array(
    tensor: Tensor | Array, smallest: int = 0, largest: int | None = None, any_dtype: bool = False
) -> Array:
    """The array to fill, its dtype and its number of dimensions checked."""
    array = tensor.data if isinstance(tensor, Tensor) else tensor
    is_array = isinstance(array, np.ndarray)
    kinds, allowed = ("fiub", "real") if any_dtype else ("f", "float32 or float64")
    if not is_array or array.dtype.kind not in kinds or (array.itemsize < 4 and not any_dtype):
        found = f"array of {array.dtype}" if is_array else repr(tensor)
        raise TypeError(f"tensor must be a Tensor or a {allowed} array, got {found}")
    if array.ndim < smallest or (largest is not None and array.ndim > largest):
        allowed = f"{smallest} or more" if largest is None else f"{smallest} to {largest}"
        if smallest == largest:
            allowed = f"{smallest}"
        raise ValueError(f"tensor must have {allowed} dimensions, got shape {array.shape}")
    if isinstance(tensor, Tensor) and tensor._view is None and not tensor._keeps_its_array():
        # what was computed from it stays right, as with all changes in place
        array = tensor._data = array.copy()
    return array


def _calculate_fan_in_and_fan_out(tensor: Tensor | Array) -> tuple[int, int]:
    """Inputs of one output, outputs of one input: both times the size of the kernel."""
    out_channels, in_channels, *kernel = _array(tensor, 2).shape
    return in_channels * math.prod(kernel), out_channels * math.prod(kernel)


def _calculate_correct_fan(tensor: Tensor | Array, mode: str) -> int:
    fans = dict(zip(("fan_in", "fan_out"), _calculate_fan_in_and_fan_out(tensor), strict=True))
    if str(mode).lower() not in fans:
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    return fans[mode.lower()]


def _xavier_std(tensor: Tensor | Array, gain: float) -> float:
    return gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))


def _kaiming_std(tensor: Tensor | Array, a: float, mode: str, nonlinearity: str) -> float:
    fan = _calculate_correct_fan(tensor, mode)
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _warns_if_empty(tensor: Tensor | Array) -> bool:
    if _array(tensor).size > 0:
        return False
    warn("Initializing zero-element tensors is a no-op")
    return True


def _normal_cdf(x: float) -> float:
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0
