"""Module: parameters, buffers, children, and the forward/backward protocol."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn.parameter import Parameter

Array = np.ndarray
_FLOAT32 = np.dtype(np.float32)
_FLOATS = (_FLOAT32, np.dtype(np.float64))


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` found missing and unexpected."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of every layer, loss and model.

    A subclass writes two methods, and calls ``super().__init__()`` in its constructor::

        class Square(nn.Module):
            def forward(self, input):
                output = input * input
                self.save_for_backward(output, input)
                return output

            def backward(self, grad_output):
                grad_output, input = self.saved_for_backward(grad_output)
                return 2 * input * grad_output

    ``forward`` hands :meth:`save_for_backward` its output (of which shape and dtype alone are
    kept, to check the upstream gradient) and whatever backward needs. ``backward(grad_output)``
    returns d(own output)/d(own input) applied to ``grad_output``, one array for each array input
    of the last forward, and adds parameter gradients with ``Parameter.accumulate_grad``. A module
    made of modules saves nothing itself: it calls its children's ``backward`` in reverse order.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Module.html
    """

    training: bool

    def __init__(self) -> None:
        set_ = object.__setattr__  # __setattr__ below needs these four to exist
        set_(self, "_parameters", {})
        set_(self, "_buffers", {})
        set_(self, "_non_persistent", set())
        set_(self, "_modules", {})
        self.training = True
        self._needs_input_grad = True
        self._output: Any = None
        self._saved: tuple | None = None

    # -- forward and backward ------------------------------------------------------------------

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, grad_output: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        # (an empty ** would still be copied)
        return self.forward(*inputs, **kwargs) if kwargs else self.forward(*inputs)

    def save_for_backward(self, output: Any, *saved: Any) -> None:
        """Keep ``saved`` for backward, and the output's shape and dtype; nothing under no_grad."""
        own = self.__dict__  # past __setattr__: this runs for every layer of every forward
        if grad_mode.enabled:
            own["_output"], own["_saved"] = _describe(output), saved
        else:
            own["_output"] = own["_saved"] = None

    def saved_for_backward(self, grad_output: Any) -> tuple:
        """The checked upstream gradient, followed by what forward saved.

        ``grad_output`` must have the structure and shapes of forward's output; a ``None`` inside
        a tuple stands for zeros. It comes back in the output's dtype.

        Raises:
            RuntimeError: if there was no forward, or it ran under ``no_grad()``.
            TypeError: if ``grad_output`` is no array (or tuple of arrays).
            ValueError: if a shape differs from the output's.
        """
        if self._saved is None:
            raise RuntimeError(
                f"{type(self).__name__}.backward was called without a forward to go back through: "
                "call the module first, outside no_grad()"
            )
        return (self._check_grad(grad_output, self._output, "grad_output"), *self._saved)

    def _check_grad(self, grad: Any, output: Any, name: str) -> Any:
        owner = type(self).__name__
        if isinstance(output, tuple) and not isinstance(output, _Spec):
            if not isinstance(grad, tuple) or len(grad) != len(output):
                raise TypeError(
                    f"{owner}: {name} must be a tuple of {len(output)}, as forward returned, "
                    f"got {_summary(grad)}"
                )
            return tuple(
                self._check_grad(g, o, f"{name}[{i}]")
                for i, (g, o) in enumerate(zip(grad, output, strict=True))
            )
        if output is None or (grad is None and name != "grad_output"):
            return None if output is None else np.zeros(output.shape, output.dtype)
        if not isinstance(grad, np.ndarray | np.generic):
            raise TypeError(f"{owner}: {name} must be a NumPy array, got {_summary(grad)}")
        if grad.shape != output.shape:
            raise ValueError(
                f"{owner}: {name} must have the output's shape {output.shape}, got {grad.shape}"
            )
        return np.asarray(grad, output.dtype)

    def needs_input_grad_(self, needed: bool = True) -> Self:
        """Say whether backward computes the gradient for this module's input (default: yes).

        A training loop has no use for the gradient of the images: with
        ``model.needs_input_grad_(False)`` the first layer saves that work, and
        ``backward`` returns ``None``.
        """
        self._needs_input_grad = needed
        return self

    # -- what a module owns --------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        registries = self.__dict__
        if name in registries and not isinstance(value, Parameter | Module):
            registries[name] = value  # a plain attribute, and the most frequent case
            return
        if "_parameters" not in registries:
            raise AttributeError(
                f"cannot assign {name!r}: call super().__init__() first in {type(self).__name__}"
            )
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name)
            self._modules[name] = value
        elif value is None and name in self._parameters:
            self._parameters[name] = None
        elif value is None and name in self._modules:
            self._modules[name] = None
        elif name in self._parameters or name in self._modules:
            kind = "Parameter" if name in self._parameters else "Module"
            raise TypeError(f"{name} must be a {kind} or None, got {_summary(value)}")
        elif name in self._buffers:
            if value is not None and not isinstance(value, np.ndarray):
                raise TypeError(f"{name} must be a NumPy array or None, got {_summary(value)}")
            self._buffers[name] = value
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # only called when the ordinary look-up has failed
        own = self.__dict__
        for registry in ("_parameters", "_buffers", "_modules"):
            if registry in own and name in own[registry]:
                return own[registry][name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def _forget(self, name: str) -> bool:
        known = False
        for registry in (self.__dict__, self._parameters, self._buffers, self._modules):
            known |= registry.pop(name, self) is not self
        self._non_persistent.discard(name)
        return known

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Own ``param`` under ``name``; ``None`` reserves the name, as ``bias=False`` does."""
        _check_member_name(name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"param must be a Parameter or None, got {_summary(param)}")
        self._forget(name)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Array | None, persistent: bool = True) -> None:
        """Own an array that is state but not trained (BatchNorm's running mean).

        Args:
            name: the attribute's name and its key in ``state_dict()``.
            tensor: the array, or ``None`` to reserve the name.
            persistent: False leaves it out of ``state_dict()``.
        """
        _check_member_name(name)
        if tensor is not None and not isinstance(tensor, np.ndarray):
            raise TypeError(f"tensor must be a NumPy array or None, got {_summary(tensor)}")
        if name not in self._buffers and hasattr(self, name):
            raise KeyError(f"attribute {name!r} already exists")
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent.discard(name)
        else:
            self._non_persistent.add(name)

    def register_module(self, name: str, module: "Module | None") -> None:
        """Same as :meth:`add_module`."""
        self.add_module(name, module)

    def add_module(self, name: str, module: "Module | None") -> None:
        """Own ``module`` as a child called ``name``."""
        _check_member_name(name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"module must be a Module or None, got {_summary(module)}")
        if name not in self._modules and hasattr(self, name):
            raise KeyError(f"attribute {name!r} already exists")
        self._modules[name] = module

    # -- walking the tree ----------------------------------------------------------------------

    def named_modules(
        self,
        memo: set["Module"] | None = None,
        prefix: str = "",
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, "Module"]]:
        """Yield this module and all below it with their dotted names, each module once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self) -> Iterator["Module"]:
        """Yield this module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Yield the direct children with their names, each module once."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator["Module"]:
        """Yield the direct children, each once."""
        for _, child in self.named_children():
            yield child

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for module_name, module in modules:
            for name, member in getattr(module, registry).items():
                if member is None or (remove_duplicate and id(member) in seen):
                    continue
                seen.add(id(member))
                yield _join(module_name, name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters with their dotted names, a shared one once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters: what an optimizer is given."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Array]]:
        """Yield the buffers with their dotted names."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Array]:
        """Yield the buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> "Module":
        """The module at a dotted path; ``""`` is this one.

        Raises:
            AttributeError: naming the part of the path that is missing.
        """
        module = self
        for name in target.split(".") if target else []:
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no child {name!r} ({target!r})")
            module = child
        return module

    def apply(self, fn: Callable[["Module"], object]) -> Self:
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
                parameter.grad.fill(0)

    def to(self, dtype: Any) -> Self:
        """Cast parameters, their gradients and floating-point buffers to ``dtype``, in place."""
        dtype = float_dtype(dtype)
        for module in self.modules():
            for parameter in module._parameters.values():
                if parameter is not None:
                    parameter.data = parameter.data.astype(dtype, copy=False)
                    if parameter.grad is not None:
                        parameter.grad = parameter.grad.astype(dtype, copy=False)
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.dtype.kind == "f":
                    module._buffers[name] = buffer.astype(dtype, copy=False)
        return self

    def float(self) -> Self:
        """Cast to float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Cast to float64."""
        return self.to(np.float64)

    # -- state ---------------------------------------------------------------------------------

    def state_dict(self, prefix: str = "") -> "OrderedDict[str, Array]":
        """Parameters and persistent buffers by dotted name, torch's keys in torch's order.

        As in torch the arrays are the live ones: copy them to keep a moment's values.
        """
        state: OrderedDict[str, Array] = OrderedDict()
        for module_name, module in self.named_modules(
            prefix=prefix.removesuffix("."), remove_duplicate=False
        ):
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    state[_join(module_name, name)] = parameter.data
            for name, buffer in module._buffers.items():
                if buffer is not None and name not in module._non_persistent:
                    state[_join(module_name, name)] = buffer
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Array], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy values in, keeping this module's arrays and dtypes; all keys or none.

        Raises:
            RuntimeError: naming every missing or unexpected key (``strict``) and every shape that
                differs. Nothing has been changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict must be a mapping, got {_summary(state_dict)}")
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        faults = []
        if strict and missing:
            faults.append(f"missing keys: {', '.join(missing)}")
        if strict and unexpected:
            faults.append(f"unexpected keys: {', '.join(unexpected)}")
        values = {key: np.asarray(state_dict[key]) for key in own if key in state_dict}
        faults += [
            f"{key} has shape {values[key].shape}, the model needs {own[key].shape}"
            for key in values
            if values[key].shape != own[key].shape
        ]
        if faults:
            raise RuntimeError(
                f"state_dict does not fit {type(self).__name__}: {'; '.join(faults)}"
            )
        for key, value in values.items():
            own[key][...] = value
        return IncompatibleKeys(missing, unexpected)

    # -- looks ---------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The arguments that ``repr`` shows."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [
            f"({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self._modules.items()
        ]
        if not children:
            return f"{type(self).__name__}({extra})"
        lines = extra.splitlines() + children
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


class _Spec(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype


def _describe(output: Any) -> Any:
    """Shape and dtype of each array in ``output``, None for integer arrays."""
    if isinstance(output, tuple):
        return tuple(_describe(part) for part in output)
    return _Spec(output.shape, output.dtype) if output.dtype.kind == "f" else None


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _check_member_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {_summary(name)}")
    if not name or "." in name:
        raise KeyError(f"name must not be empty or contain a dot, got {name!r}")


def _summary(value: Any) -> str:
    """``value`` for an error message: never a page of numbers."""
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, tuple):
        return f"tuple of {len(value)}"
    if value is None or isinstance(value, int | float | str):
        return repr(value)
    return type(value).__name__


def float_dtype(dtype: Any) -> np.dtype:
    """``dtype=`` of a constructor, normalised: None is float32.

    Raises:
        TypeError: unless it is float32 or float64, as dtype, scalar type or name.
    """
    try:
        resolved = np.dtype(np.float32 if dtype is None else dtype)
    except TypeError:
        resolved = None
    if resolved not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {dtype!r}")
    return resolved


def check_array(
    value: Any, name: str, owner: str, dtype: np.dtype | None = None, ndim: tuple[int, ...] = ()
) -> Array:
    """A floating-point array argument, checked.

    Args:
        value: what the caller passed.
        name: the argument's name, for the message.
        owner: the function or class whose argument it is.
        dtype: the dtype it must have, the parameters' one; None allows float32 and float64.
        ndim: the numbers of dimensions allowed; empty allows any.

    Raises:
        TypeError: if it is no floating-point array, or of another dtype (nothing is promoted).
        ValueError: if its number of dimensions is not allowed.
    """
    # every layer of every forward comes here: the usual answer first
    if (
        type(value) is np.ndarray
        and value.dtype is (dtype or _FLOAT32)
        and (not ndim or value.ndim in ndim)
    ):
        return value
    if type(value) is not np.ndarray:
        if not isinstance(value, np.ndarray | np.generic):
            raise TypeError(f"{owner}: {name} must be a NumPy array, got {_summary(value)}")
        value = np.asarray(value)
    found = value.dtype
    if dtype is not None and found != dtype:
        raise TypeError(f"{owner}: {name} must have the parameters' dtype {dtype}, got {found}")
    if found not in _FLOATS:
        raise TypeError(f"{owner}: {name} must be float32 or float64, got {found}")
    if ndim and value.ndim not in ndim:
        allowed = " or ".join(f"{n}-d" for n in ndim)
        raise ValueError(f"{owner}: {name} must be {allowed}, got shape {value.shape}")
    return value
