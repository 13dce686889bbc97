"""The values of a module: modes, dtypes, and state dicts."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from numpy_impl.nn.call import summary
from numpy_impl.nn.checks import float_dtype
from numpy_impl.nn.members import Members, join
from numpy_impl.nn.parameter import is_lazy
from numpy_impl.tensor.creation import check_device
from numpy_impl.tensor.methods import is_dtype
from numpy_impl.tensor.rows import zero_
from numpy_impl.tensor.tensor import Tensor
from numpy_impl.tensor.views import arrays_changed

Array = np.ndarray


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` found missing and unexpected."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class State(Members):
    """The part of a Module that sets, casts, saves and loads its values."""

    training: bool

    def apply(self, fn: Callable[[Any], object]) -> Self:
        """Call ``fn`` on every module below this one and on itself, children first."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # -- modes ---------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode here and below (Dropout drops, BatchNorm uses the batch)."""
        if not isinstance(mode, bool):
            raise ValueError(f"mode must be a bool, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set evaluation mode here and below; gradients still flow (see ``no_grad``)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or free every parameter."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients; with ``set_to_none=False`` fill the existing ones with zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                zero_(parameter.grad)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Cast parameters, their gradients and floating-point buffers to a dtype, in place.

        Args:
            *args, **kwargs: a dtype, a Tensor that has it, or a device, which must be the CPU.
        """
        dtype = kwargs.pop("dtype", None)
        for value in (*args, kwargs.pop("device", None)):
            if isinstance(value, Tensor):
                dtype = value.dtype
            elif is_dtype(value):
                dtype = value
            elif not isinstance(value, bool):  # non_blocking
                check_device(value)
        kwargs.pop("non_blocking", None)
        if kwargs:
            raise TypeError(f"to() takes a dtype, a Tensor or a device, got {sorted(kwargs)}")
        if dtype is not None:
            self._cast(float_dtype(dtype))
        return self

    def _cast(self, dtype: np.dtype) -> None:
        for module in self.modules():
            for _, parameter in module._of_kind("parameter"):
                if parameter is not None:
                    parameter.data = parameter.data.astype(dtype, copy=False)
                    if parameter.grad is not None:
                        parameter.grad = parameter.grad.astype(dtype, copy=False)
            for name, buffer in module._of_kind("buffer"):
                if buffer is not None and buffer.dtype.kind == "f":
                    setattr(module, name, buffer.astype(dtype, copy=False))

    def cpu(self) -> Self:
        """The module itself: there is no other place."""
        return self

    def type(self, dst_type: Any) -> Self:
        """Cast to a dtype, as :meth:`to`."""
        return self.to(dst_type)

    def float(self) -> Self:
        """Cast to float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Cast to float64."""
        return self.to(np.float64)

    # -- state ---------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        # no batch travels with a copy, whose members are its own
        state = {**self.__dict__, "_call": None, "_members": dict(self._members)}
        state.pop("_lock", None)
        return state

    def state_dict(
        self,
        *args: Any,
        destination: "OrderedDict[str, Any] | None" = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> "OrderedDict[str, Any]":
        """Parameters and persistent buffers by dotted name, torch's keys in torch's order.

        As in torch the arrays are the live ones: copy them to keep a moment's values.

        Args:
            destination: a mapping to fill; a new one unless given.
            prefix: put before every key, as it is.
            keep_vars: give the Parameters themselves, not their arrays.
            *args: these three by position, which is deprecated as in torch.
        """
        if args:
            warnings.warn(
                "Positional arguments of state_dict are deprecated: name them",
                FutureWarning,
                stacklevel=2,
            )
            given = (*args, *(destination, prefix, keep_vars)[len(args) :])
            destination, prefix, keep_vars = given
        state: OrderedDict[str, Any] = OrderedDict() if destination is None else destination
        for module_name, module in self.named_modules(remove_duplicate=False):
            for name, parameter in module._of_kind("parameter"):
                if parameter is not None:
                    value = parameter if keep_vars or is_lazy(parameter) else parameter.data
                    state[prefix + join(module_name, name)] = value
            for name, buffer in module._of_kind("buffer"):
                if buffer is not None and name not in module._non_persistent:
                    state[prefix + join(module_name, name)] = buffer
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values in, keeping this module's arrays and dtypes; all keys or none.

        Args:
            state_dict: arrays or Tensors by name.
            strict: refuse missing and unexpected keys.
            assign: take the arrays themselves, with their dtypes, instead of their values.

        Raises:
            RuntimeError: naming every missing or unexpected key (``strict``) and every value that
                does not fit. Nothing has been changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict must be a mapping, got {summary(state_dict)}")
        given = dict(state_dict)
        for name, module in self.named_modules(remove_duplicate=False):
            module._upgrade_state_dict(given, f"{name}." if name else "")
        own = self.state_dict()
        missing = [key for key in own if key not in given]
        unexpected = [key for key in given if key not in own]
        faults = []
        if strict and missing:
            faults.append(f"missing keys: {', '.join(missing)}")
        if strict and unexpected:
            faults.append(f"unexpected keys: {', '.join(unexpected)}")
        values = {}
        for key in own:
            # (neither side may have values yet, in lazy modules)
            if key in given and not (is_lazy(own[key]) and is_lazy(given[key])):
                values[key] = _fitting(key, given[key], own[key], assign, faults)
        if faults:
            raise RuntimeError(
                f"state_dict does not fit {type(self).__name__}: {'; '.join(faults)}"
            )
        taken = {key: value for key, value in values.items() if assign or is_lazy(own[key])}
        self._take(taken)
        for key in values.keys() - taken.keys():
            own[key][...] = values[key]
        arrays_changed()
        return IncompatibleKeys(missing, unexpected)

    def _take(self, values: dict[str, Array]) -> None:
        for module_name, module in self.named_modules(remove_duplicate=False):
            for name, parameter in module._of_kind("parameter"):
                if (key := join(module_name, name)) in values:
                    parameter.data = values[key]
            for name, _ in module._of_kind("buffer"):
                if (key := join(module_name, name)) in values:
                    setattr(module, name, values[key])

    def _upgrade_state_dict(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Add what a state dict of an older form lacks; ``state_dict`` may be changed."""


def _fitting(key: str, value: Any, own: Array, assign: bool, faults: list[str]) -> Any:
    """The value as an array that can be copied into ``own``; what hinders goes to the faults."""
    if is_lazy(value):
        faults.append(f"{key} has no values yet: its module had no forward")
        return None
    try:
        array = np.asarray(value.data if isinstance(value, Tensor) else value)
    except ValueError:
        array = np.empty(0, object)
    if is_lazy(own):
        own = np.empty(array.shape, own.dtype)  # any shape will do
    if array.dtype.kind not in "biuf":
        faults.append(f"{key} must hold real numbers, got {summary(value)}")
    elif array.shape != own.shape and not (own.shape == () and array.shape == (1,)):
        faults.append(f"{key} has shape {array.shape}, the model needs {own.shape}")
    elif assign and array.dtype.kind != own.dtype.kind:
        faults.append(f"{key} must be of a dtype like {own.dtype}, got {array.dtype}")
    elif assign:
        array = array if array.shape == own.shape else array.reshape(own.shape)
    else:
        if not own.flags.writeable:
            faults.append(f"{key} can't be written to: the model's array is read-only")
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(own.dtype)
        if own.dtype.kind == "f" and not np.array_equal(np.isfinite(cast), np.isfinite(array)):
            faults.append(f"{key} has values that {own.dtype} can't hold")
        array = cast.reshape(own.shape)
    return array
