"""Lazy layers: the first input says how many features or channels go in."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from numpy_impl.nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from numpy_impl.nn.checks import ARGUMENT_ERRORS, check_array, name_owner
from numpy_impl.nn.conv import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    _ConvNd,
    _ConvTransposeNd,
)
from numpy_impl.nn.instancenorm import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from numpy_impl.nn.linear import Linear
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from numpy_impl.tensor.tensor import to_array
from numpy_impl.types import Array


def _initializing(call: Callable[..., Any]) -> Callable[..., Any]:
    """A lazy module's call, which has its parameters made first."""

    @functools.wraps(call)
    def first_call(self: Any, *inputs: Any, **kwargs: Any) -> Any:
        plain = type(self).cls_to_become
        if plain is not None or self.has_uninitialized_params():
            try:
                self.initialize_parameters(*inputs, **kwargs)
            except ARGUMENT_ERRORS as error:
                name_owner(error, type(self).__name__)
                raise
            if self.has_uninitialized_params():
                raise RuntimeError(
                    f"{type(self).__name__}: initialize_parameters must give every parameter and "
                    "buffer its shape"
                )
            if plain is not None:
                self.__class__ = plain
                return self(*inputs, **kwargs)
        return call(self, *inputs, **kwargs)

    return first_call


class LazyModuleMixin:
    """Makes a module of parameters whose shapes are known at its first call, and not before.

    Its constructor owns :class:`~numpy_impl.nn.UninitializedParameter` and
    :class:`~numpy_impl.nn.UninitializedBuffer`; ``initialize_parameters`` gets what the first call
    got, and replaces them. Then the module's class becomes ``cls_to_become``, if it has one. It is
    the first of a class's bases.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.modules.lazy.LazyModuleMixin.html
    """

    cls_to_become: ClassVar[Any] = None
    _of_kind: Callable[[str], list[tuple[str, Any]]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if issubclass(cls, Module):
            cls.__call__ = _initializing(cls.__call__)  # type: ignore[method-assign]

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Give every uninitialized parameter and buffer its shape and values."""
        raise NotImplementedError(f"{type(self).__name__} has no initialize_parameters")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or buffer has no shape yet."""
        members = self._of_kind("parameter") + self._of_kind("buffer")
        return any(is_lazy(member) for _, member in members)


class _LazyLayer(LazyModuleMixin):
    """A layer of this library, built for no inputs until it sees some.

    Attributes:
        _size: which attribute, the constructor's first argument, the first input decides.
    """

    _size: str

    def __init__(self, *args: Any, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(0, *args, dtype=dtype, **kwargs)  # type: ignore[call-arg]
        self._arguments = args, kwargs
        for name, parameter in self._of_kind("parameter"):
            if parameter is not None:
                setattr(self, name, UninitializedParameter(dtype=parameter.dtype))
        for name, buffer in self._of_kind("buffer"):
            if buffer is not None and buffer.ndim:
                setattr(self, name, UninitializedBuffer(dtype=buffer.dtype))

    def reset_parameters(self) -> None:
        """Draw them anew, as the plain layer; nothing before they have a shape."""
        if getattr(self, self._size):
            super().reset_parameters()  # type: ignore[misc]

    def _size_of(self, input: Array) -> int:
        """How many features or channels parameters that were loaded, or else the input, have."""
        raise NotImplementedError

    def initialize_parameters(self, input: Any, *others: Any, **kwargs: Any) -> None:
        """Take over the values of a plain layer for inputs like this."""
        size = self._size_of(check_array(to_array(input), "input"))
        if self.has_uninitialized_params():
            self._take_over(size)
        setattr(self, self._size, size)
        del self._arguments

    def _take_over(self, size: int) -> None:
        args, kwargs = self._arguments
        kinds = ("parameter", "buffer")
        missing = [(name, m) for kind in kinds for name, m in self._of_kind(kind) if is_lazy(m)]
        dtype = missing[0][1].dtype  # that of to(), if it was called
        plain = self.cls_to_become(size, *args, dtype=dtype, **kwargs)
        for name, member in missing:
            if isinstance(member, UninitializedParameter):
                member.data = getattr(plain, name).data
            else:
                setattr(self, name, getattr(plain, name))


class LazyLinear(_LazyLayer, Linear):
    """A :class:`Linear` whose in_features its first input decides; then it is one.

    Args:
        out_features, bias, device, dtype: as for Linear.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyLinear.html
    """

    cls_to_become = Linear
    _size = "in_features"

    def __init__(
        self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(out_features, bias, device, dtype=dtype)

    def _size_of(self, input: Array) -> int:
        if not input.ndim:
            raise ValueError("input must have an axis of features, got shape ()")
        return (input if is_lazy(self.weight) else self.weight).shape[-1]


class _LazyConvNd(_LazyLayer, _ConvNd):
    _size = "in_channels"
    _least_in_channels = 0

    def __init__(
        self,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] | str = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (stride, padding, dilation, groups, bias, padding_mode, device)
        super().__init__(out_channels, kernel_size, *options, dtype=dtype)

    def _size_of(self, input: Array) -> int:
        if not is_lazy(self.weight):
            return self.weight.shape[1] * self.groups
        return _channels(input, self._n)


class _LazyConvTransposeNd(_LazyLayer, _ConvTransposeNd):
    _size = "in_channels"
    _least_in_channels = 0

    def __init__(
        self,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (stride, padding, output_padding, groups, bias, dilation, padding_mode, device)
        super().__init__(out_channels, kernel_size, *options, dtype=dtype)

    def _size_of(self, input: Array) -> int:
        return _channels(input, self._n) if is_lazy(self.weight) else self.weight.shape[0]


def _channels(input: Array, n: int) -> int:
    """C of (N, C, S...) or (C, S...)."""
    return check_array(input, "input", input.dtype, (n + 1, n + 2)).shape[-1 - n]


class _LazyNorm(_LazyLayer):
    """For layers with the arguments, parameters and buffers of :class:`BatchNorm2d`."""

    _size = "num_features"
    _ndims: Any

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        options = (eps, momentum, affine, track_running_stats, device)
        super().__init__(*options, dtype=dtype, bias=bias)

    def _size_of(self, input: Array) -> int:
        for _, member in self._of_kind("parameter") + self._of_kind("buffer"):
            if member is not None and not is_lazy(member) and member.ndim:
                return member.shape[0]
        return check_array(input, "input", input.dtype, self._ndims).shape[1]


class _LazyInstanceNorm(_LazyNorm):
    """As :class:`_LazyNorm`; the batch axis may be left out."""

    def _size_of(self, input: Array) -> int:
        return super()._size_of(input[None] if input.ndim == self._ndims[0] else input)


class LazyConv1d(_LazyConvNd, Conv1d):
    """A :class:`Conv1d` whose in_channels its first input decides; then it is one.

    Args:
        out_channels, kernel_size and all others: as for Conv1d.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyConv1d.html
    """

    cls_to_become = Conv1d


class LazyConv2d(_LazyConvNd, Conv2d):
    """A :class:`Conv2d` whose in_channels its first input decides; then it is one.

    Args:
        out_channels, kernel_size and all others: as for Conv2d.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyConv2d.html
    """

    cls_to_become = Conv2d


class LazyConv3d(_LazyConvNd, Conv3d):
    """A :class:`Conv3d` whose in_channels its first input decides; then it is one.

    Args:
        out_channels, kernel_size and all others: as for Conv3d.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyConv3d.html
    """

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConvTransposeNd, ConvTranspose1d):
    """A :class:`ConvTranspose1d` whose in_channels its first input decides; then it is one.

    Args:
        out_channels, kernel_size and all others: as for ConvTranspose1d.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyConvTranspose1d.html
    """

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConvTransposeNd, ConvTranspose2d):
    """A :class:`ConvTranspose2d` whose in_channels its first input decides; then it is one.

    Args:
        out_channels, kernel_size and all others: as for ConvTranspose2d.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyConvTranspose2d.html
    """

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConvTransposeNd, ConvTranspose3d):
    """A :class:`ConvTranspose3d` whose in_channels its first input decides; then it is one.

    Args:
        out_channels, kernel_size and all others: as for ConvTranspose3d.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyConvTranspose3d.html
    """

    cls_to_become = ConvTranspose3d


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """A :class:`BatchNorm1d` whose num_features its first input decides; then it is one.

    Args:
        eps and all others: as for BatchNorm1d.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyBatchNorm1d.html
    """

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """A :class:`BatchNorm2d` whose num_features its first input decides; then it is one.

    Args:
        eps and all others: as for BatchNorm2d.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyBatchNorm2d.html
    """

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """A :class:`BatchNorm3d` whose num_features its first input decides; then it is one.

    Args:
        eps and all others: as for BatchNorm3d.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyBatchNorm3d.html
    """

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """An :class:`InstanceNorm1d` whose num_features its first input decides; then it is one.

    Args:
        eps and all others: as for InstanceNorm1d, but affine and track_running_stats, which are
            True here, as torch's.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyInstanceNorm1d.html
    """

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """An :class:`InstanceNorm2d` whose num_features its first input decides; then it is one.

    Args:
        eps and all others: as for InstanceNorm2d, but affine and track_running_stats, which are
            True here, as torch's.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyInstanceNorm2d.html
    """

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """An :class:`InstanceNorm3d` whose num_features its first input decides; then it is one.

    Args:
        eps and all others: as for InstanceNorm3d, but affine and track_running_stats, which are
            True here, as torch's.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LazyInstanceNorm3d.html
    """

    cls_to_become = InstanceNorm3d
