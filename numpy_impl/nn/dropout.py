"""Dropout, of single values and of whole channels, and AlphaDropout."""

import math

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.checks import check_array, warn
from numpy_impl.nn.module import Module
from numpy_impl.random import bernoulli_mask

Array = np.ndarray
# -SELU's limit for x -> -inf: what AlphaDropout puts in the place of a value
_ALPHA = 1.7580993408473766


@silently
def dropout(input: Array, noise: Array, shift: Array | None = None) -> Array:
    """The input times the noise, plus the shift: for plain dropout 0 or 1 / (1 - p), and none."""
    output = np.asarray(input * noise)
    if shift is not None:
        output += shift
    return output


@silently
def dropout_backward(grad_output: Array, noise: Array) -> Array:
    """The upstream gradient times the same noise."""
    return np.asarray(grad_output * noise)


class _Dropout(Module):
    """What all of them share; each says for what parts one number is drawn, and what it means."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")
        self.p = p
        self.inplace = inplace

    def _drawn(self, input: Array) -> tuple[int, ...]:
        """The shape of the mask, which broadcasts with the input."""
        return input.shape

    def _terms(self, kept: Array, dtype: np.dtype) -> tuple[Array, Array | None]:
        """Noise and shift for a mask that is True where values are kept."""
        scalar = dtype.type
        return kept * (scalar(1) / scalar(1 - self.p)), None

    def _noise(self, input: Array) -> tuple[Array, Array | None]:
        """Noise and shift; torch draws nothing where all are kept, or all dropped."""
        if not self.training or self.p == 0 or not input.size:
            return np.ones((), input.dtype), None
        if self.p == 1:
            return np.zeros((), input.dtype), None
        return self._terms(bernoulli_mask(self._drawn(input), 1 - self.p), input.dtype)

    def _check(self, input: Array) -> Array:
        return check_array(input, "input")

    def forward(self, input: Array) -> Array:
        input = self._check(input)
        noise, shift = self._noise(input)
        output = dropout(input, noise, shift)
        self.save_for_backward(output, noise)
        return output

    def backward(self, grad_output: Array) -> Array:
        return dropout_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    r"""In training, zeroes each value with probability p and scales the rest by 1/(1-p).

    The mask is torch's under the same seed: one float64 uniform number for each value, in the
    logical order of the array. In evaluation the input comes back as a copy.

    Args:
        p: probability of dropping a value, in [0, 1].
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Raises:
        ValueError: if p is out of range.

    Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html;
    https://pytorch.org/docs/stable/generated/torch.nn.Dropout.html
    """


def _of_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(N, C, S...) -> (N, C, 1...)"""
    if len(shape) < 2:
        raise ValueError(f"input must have 2 axes at least, got shape {shape}")
    return (*shape[:2], *[1] * (len(shape) - 2))


class _ChannelDropout(_Dropout):
    """Dropout of whole channels, with one number for each."""

    def _drawn(self, input: Array) -> tuple[int, ...]:
        return _of_channels(input.shape)

    def _warn(self, meaning: str) -> None:
        warn(f"{type(self).__name__}: {meaning}")


class Dropout1d(_ChannelDropout):
    r"""In training, zeroes each channel with probability p and scales the rest by 1/(1-p).

    Neighbours within a channel are alike: dropping single ones would only slow learning down.

    Args:
        p: probability of dropping a channel, in [0, 1].
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        (N, C, L) or (C, L), kept.

    Raises:
        ValueError: if p is out of range, or for other shapes.

    Source: Tompson et al. 2015, https://arxiv.org/abs/1411.4280;
    https://pytorch.org/docs/stable/generated/torch.nn.Dropout1d.html
    """

    def _check(self, input: Array) -> Array:
        return check_array(input, "input", ndim=(2, 3))

    def _drawn(self, input: Array) -> tuple[int, ...]:
        return (*input.shape[:-1], 1)


class Dropout2d(_ChannelDropout):
    r"""In training, zeroes each channel with probability p and scales the rest by 1/(1-p).

    Args:
        p: probability of dropping a channel, in [0, 1].
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        (N, C, H, W), kept. As in torch three axes are (N, C, L), not (C, H, W), and other numbers
        of axes (N, C, S...), both with a warning.

    Raises:
        ValueError: if p is out of range, or the input has less than two axes.

    Source: Tompson et al. 2015, https://arxiv.org/abs/1411.4280;
    https://pytorch.org/docs/stable/generated/torch.nn.Dropout2d.html
    """

    def _check(self, input: Array) -> Array:
        input = check_array(input, "input")
        if input.ndim == 3:
            self._warn("a 3-d input is taken as (N, C, L), not (C, H, W): use Dropout1d for that")
        elif input.ndim != 4:
            self._warn(f"input should be (N, C, H, W), got shape {input.shape}: use Dropout")
        return input


class Dropout3d(_ChannelDropout):
    r"""In training, zeroes each channel with probability p and scales the rest by 1/(1-p).

    Args:
        p: probability of dropping a channel, in [0, 1].
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        (N, C, D, H, W) or (C, D, H, W), kept. As in torch other numbers of axes are
        (C, S...), with a warning.

    Raises:
        ValueError: if p is out of range, or the input has no axis.

    Source: Tompson et al. 2015, https://arxiv.org/abs/1411.4280;
    https://pytorch.org/docs/stable/generated/torch.nn.Dropout3d.html
    """

    def _check(self, input: Array) -> Array:
        input = check_array(input, "input")
        if input.ndim not in (4, 5):
            self._warn(f"input should be (N, C, D, H, W), got shape {input.shape}: use Dropout")
        return input

    def _drawn(self, input: Array) -> tuple[int, ...]:
        if input.ndim == 5:
            return _of_channels(input.shape)
        return _of_channels((1, *input.shape))[1:]


class AlphaDropout(_Dropout):
    r"""Dropout for SELU networks: keeps mean 0 and variance 1.

    In training a value becomes :math:`-\alpha` with probability p, SELU's limit at minus infinity
    (:math:`\alpha = 1.758...`); then all become :math:`a x + b` with
    :math:`a = ((1 - p)(1 + p \alpha^2))^{-1/2},\ b = a p \alpha`.

    Args:
        p: probability of dropping a value, in [0, 1]; at 1 all become 0, as in torch.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Raises:
        ValueError: if p is out of range.

    Source: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515;
    https://pytorch.org/docs/stable/generated/torch.nn.AlphaDropout.html
    """

    def _terms(self, kept: Array, dtype: np.dtype) -> tuple[Array, Array | None]:
        # a x + b where kept, -a alpha + b elsewhere, in torch's order: the same last bits
        a = 1 / math.sqrt((_ALPHA**2 * self.p + 1) * (1 - self.p))
        scalar = dtype.type
        shift = (kept - scalar(1)) * scalar(_ALPHA * a)
        shift += scalar(_ALPHA * a * self.p)
        return kept * scalar(a), shift


class FeatureAlphaDropout(AlphaDropout):
    r"""AlphaDropout of whole channels: each becomes :math:`-\alpha` with probability p.

    Args:
        p: probability of dropping a channel, in [0, 1]; at 1 all become 0, as in torch.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        (N, C, S...), kept.

    Raises:
        ValueError: if p is out of range, or the input has less than two axes.

    Source: Klambauer et al. 2017, https://arxiv.org/abs/1706.02515;
    https://pytorch.org/docs/stable/generated/torch.nn.FeatureAlphaDropout.html
    """

    def _drawn(self, input: Array) -> tuple[int, ...]:
        return _of_channels(input.shape)
