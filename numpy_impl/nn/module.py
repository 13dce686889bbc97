"""Module: parameters, buffers, children, and the forward/backward protocol."""

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn.call import (
    Call,
    check_grad,
    current_call,
    describe,
    no_forward,
    running,
    set_call,
    summary,
)
from numpy_impl.nn.checks import float_dtype
from numpy_impl.nn.composed import backward_of_calls, call_of_calls
from numpy_impl.nn.hooks import Hooks, call_with_hooks
from numpy_impl.nn.layer import layer_backward, layer_call
from numpy_impl.nn.parameter import Buffer, Parameter
from numpy_impl.tensor.creation import check_device
from numpy_impl.tensor.methods import is_dtype
from numpy_impl.tensor.tensor import RemovableHandle, Tensor, to_array

Array = np.ndarray


class _Members(dict[str, Any]):
    """The parameters by name: a layer that reads one that was deleted has an attribute error."""

    def __missing__(self, name: str) -> Any:
        raise AttributeError(f"there is no parameter {name!r}: was it deleted?")


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` found missing and unexpected."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of every layer, loss and model.

    A model is made of calls: it writes ``forward`` alone, and has its backward from the layers and
    operations that forward called. A layer writes both, for arrays::

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
    of forward, and adds parameter gradients with ``Parameter.accumulate_grad``.

    Either can be called with arrays, and then goes back by ``module.backward(grad_output)``,
    through its last call; or with Tensors, any number of times, and then goes back by
    ``loss.backward()``.
    A constructor starts with ``super().__init__()``.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Module.html
    """

    training: bool
    _is_layer = False
    # whether the class is of this library, whose layers keep what backward needs by
    # save_for_backward alone, and call no modules but their parts
    _is_ours = True
    _starts_plain = True
    # whether forward works on arrays as on Tensors, so that nothing need be wrapped under no_grad
    _passes_arrays = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make a class that writes its own backward a layer, one that writes forward alone not."""
        super().__init_subclass__(**kwargs)
        forward, backward, call = (_owner(cls, n) for n in ("forward", "backward", "__call__"))
        if forward is backward is call is not cls:
            return  # all inherited
        if forward is Module:
            return  # a base of layers, whose subclasses write the forward
        own_call = "__call__" in cls.__dict__
        cls._is_ours = cls.__module__.startswith("numpy_impl.")
        overrides = any(getattr(base, "_is_layer", False) for base in cls.__mro__[1:])
        cls._starts_plain = cls._is_ours or not overrides
        # a backward written for another forward is not this one's
        its_forward = next((c for c in backward.__mro__ if "forward" in c.__dict__), Module)
        cls._is_layer = backward is not Module and its_forward in (Module, forward)
        if cls._is_layer:
            plain = getattr(cls.forward, "_of_layer", cls.forward)
            back = getattr(cls.backward, "_of_layer", cls.backward)
            cls.backward = layer_backward(back, overrides)
            cls.forward = layer_call(plain, cls.backward, False)  # type: ignore[method-assign]
            if not own_call:
                cls.__call__ = layer_call(plain, cls.backward, True)  # type: ignore[method-assign]
        else:
            cls.backward = Module.backward
            cls._passes_arrays = cls.__dict__.get("_passes_arrays", False)
            if not own_call:
                cls.__call__ = Module.__call__  # type: ignore[method-assign]

    def __init__(self) -> None:
        own = self.__dict__  # __setattr__ below needs these to exist
        own["_parameters"], own["_buffers"], own["_modules"] = _Members(), {}, {}
        own["_non_persistent"] = set()
        own["_hooks"] = own["_call"] = None
        # _is_plain: no parts and no hooks, so that a layer's call need not look for them
        own["_is_plain"], own["_wants_grad"], own["training"] = self._starts_plain, True, True

    # -- forward and backward ------------------------------------------------------------------

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    if TYPE_CHECKING:  # a layer's own takes the gradient of its output alone
        backward: Callable[..., Any]

    def backward(self, grad_output: Any = None, retain_graph: bool = False) -> Any:  # type: ignore[no-redef]
        """Go back through the last call, which was with arrays.

        Args:
            grad_output: the gradient of what forward returned, in its structure; a number stands
                for every element.
            retain_graph: keep what forward kept, so that another backward can follow.

        Returns:
            The gradient for the array inputs, in the structure in which they were passed; ``None``
            for integer inputs.

        Raises:
            RuntimeError: if there was no forward, or another backward has used it up.
        """
        return backward_of_calls(self, grad_output, retain_graph)

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        if self._hooks is not None:
            return call_with_hooks(self, inputs, kwargs)
        return call_of_calls(self, inputs, kwargs)

    @property
    def _call(self) -> Call | None:
        """The call that backward goes through."""
        return current_call(self)

    def save_for_backward(self, output: Any, *saved: Any) -> None:
        """Keep ``saved`` for backward, and the output's shape and dtype; nothing under no_grad."""
        if grad_mode.enabled:
            call = Call()
            call.output, call.saved = describe(output), saved
            if running:
                set_call(self, call)
            else:
                self.__dict__["_call"] = call  # past __setattr__: this runs for every layer

    def saved_for_backward(self, grad_output: Any) -> tuple:
        """The checked upstream gradient, followed by what forward saved.

        ``grad_output`` must have the structure and shapes of forward's output; a ``None`` inside
        a tuple stands for zeros. It comes back in the output's dtype.

        Raises:
            RuntimeError: if there was no forward, or it ran under ``no_grad()``.
            TypeError: if ``grad_output`` is no array (or tuple of arrays).
            ValueError: if a shape differs from the output's.
        """
        call = current_call(self) if running else self.__dict__["_call"]
        if call is None:
            raise RuntimeError(no_forward(self))
        grad = check_grad(grad_output, call.output, "grad_output", type(self).__name__)
        return (grad, *call.saved)

    def needs_grad(self, index: int = 0) -> bool:
        """In a layer's backward: whether an array input of its forward needs a gradient.

        Args:
            index: of the input, counting arrays only.
        """
        call = current_call(self)
        needs = None if call is None else call.needs
        return self._wants_grad if needs is None else index < len(needs) and needs[index]

    def needs_input_grad_(self, needed: bool = True) -> Self:
        """Say whether ``backward`` computes the gradient for array inputs (default: yes).

        A training loop on arrays has no use for the gradient of the images: with
        ``model.needs_input_grad_(False)`` the first layer saves that work, and ``backward``
        returns ``None``. (A Tensor says so itself, by ``requires_grad``.)
        """
        self._wants_grad = needed
        return self

    # -- what a module owns --------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        registries = self.__dict__
        if name in registries and not isinstance(value, Parameter | Module | Buffer):
            registries[name] = value  # a plain attribute, and the most frequent case
            return
        if "_parameters" not in registries:
            raise AttributeError(
                f"cannot assign {name!r}: call super().__init__() first in {type(self).__name__}"
            )
        if isinstance(value, Parameter):
            if name not in self._parameters:  # else it keeps its place in the order
                self._forget(name)
            self.register_parameter(name, value)
        elif isinstance(value, Buffer):
            self._forget(name)
            self.register_buffer(name, value.data, value.persistent)
        elif name in self._parameters:
            if value is not None:
                raise TypeError(f"{name} must be a Parameter or None, got {summary(value)}")
            self._parameters[name] = None
        elif isinstance(value, Module):
            if name not in self._modules:
                self._forget(name)
            self._modules[name] = value
            registries["_is_plain"] = False
        elif name in self._modules:
            if value is not None:
                raise TypeError(f"{name} must be a Module or None, got {summary(value)}")
            self._modules[name] = None
        elif name in self._buffers:
            value = to_array(value)
            if value is not None and not isinstance(value, np.ndarray):
                raise TypeError(
                    f"{name} must be a NumPy array, a Tensor or None, got {summary(value)}"
                )
            self._buffers[name] = value
        else:
            if name == "forward":
                self._with_hooks()  # a forward of this object's own: calls must look for it
            elif isinstance(value, list | dict) or (
                isinstance(value, tuple) and any(isinstance(part, Module) for part in value)
            ):
                registries["_is_plain"] = False  # parts that are not registered may be in it
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # only called when the ordinary look-up has failed
        own = self.__dict__
        for registry in ("_parameters", "_buffers", "_modules"):
            if registry in own and name in own[registry]:
                return own[registry][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

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
        """Own ``param`` under ``name``; ``None`` reserves the name, as ``bias=False`` does.

        Raises:
            KeyError: if the name is taken by something else.
        """
        _check_member_name(name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"param must be a Parameter or None, got {summary(param)}")
        if name not in self._parameters and hasattr(self, name):
            raise KeyError(f"attribute {name!r} already exists")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Own an array that is state but not trained (BatchNorm's running mean).

        Args:
            name: the attribute's name and its key in ``state_dict()``.
            tensor: the array, a Tensor (its array is taken), or ``None`` to reserve the name.
            persistent: False leaves it out of ``state_dict()``.
        """
        _check_member_name(name)
        tensor = to_array(tensor)
        if tensor is not None and not isinstance(tensor, np.ndarray):
            raise TypeError(
                f"tensor must be a NumPy array, a Tensor or None, got {summary(tensor)}"
            )
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
            raise TypeError(f"module must be a Module or None, got {summary(module)}")
        if name not in self._modules and hasattr(self, name):
            raise KeyError(f"attribute {name!r} already exists")
        self._modules[name] = module
        self._is_plain = False

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

    def set_submodule(self, target: str, module: "Module", strict: bool = False) -> None:
        """Put ``module`` at a dotted path.

        Args:
            target: the path; its last part is replaced, or added unless ``strict``.
            module: what to put there.
            strict: raise if there is nothing yet.

        Raises:
            ValueError: if the path is empty, or ``module`` is no Module.
            AttributeError: naming the part of the path that is missing.
        """
        if not target or not isinstance(module, Module):
            raise ValueError(
                f"set_submodule needs a path and a Module, got {target!r}, {summary(module)}"
            )
        parent, _, name = target.rpartition(".")
        owner = self.get_submodule(parent)
        if strict:
            self.get_submodule(target)
        if name not in owner._modules and hasattr(owner, name):
            raise AttributeError(f"{target!r} is no Module, it can't be replaced by one")
        owner._modules[name] = module
        owner._is_plain = False

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path.

        Raises:
            AttributeError: if it is missing, or no Parameter.
        """
        return self._member("_parameters", "parameter", target)

    def get_buffer(self, target: str) -> Array:
        """The buffer at a dotted path.

        Raises:
            AttributeError: if it is missing, or no buffer.
        """
        return self._member("_buffers", "buffer", target)

    def _member(self, registry: str, kind: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        member = getattr(owner, registry).get(name)
        if member is None:
            raise AttributeError(f"{type(owner).__name__} has no {kind} {name!r} ({target!r})")
        return member

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
            for parameter in module._parameters.values():
                if parameter is not None:
                    parameter.data = parameter.data.astype(dtype, copy=False)
                    if parameter.grad is not None:
                        parameter.grad = parameter.grad.astype(dtype, copy=False)
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.dtype.kind == "f":
                    module._buffers[name] = buffer.astype(dtype, copy=False)

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

    # -- hooks ---------------------------------------------------------------------------------

    def _with_hooks(self) -> Hooks:
        if self._hooks is None:
            self.__dict__.update(_hooks=Hooks(), _is_plain=False)
        return self._hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, inputs)`` before forward; what it returns replaces the inputs."""
        return RemovableHandle(self._with_hooks().forward_pre, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, inputs, output)`` after forward; what it returns replaces it."""
        return RemovableHandle(self._with_hooks().forward, (hook, with_kwargs), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before backward; what it returns replaces it."""
        return RemovableHandle(self._with_hooks().backward_pre, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` after backward.

        Both are tuples of Tensors; what the hook returns replaces ``grad_input``.
        """
        return RemovableHandle(self._with_hooks().backward, hook, prepend)

    # -- state ---------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_call": None}  # no batch travels with a copy
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
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    value = parameter if keep_vars else parameter.data
                    state[prefix + _join(module_name, name)] = value
            for name, buffer in module._buffers.items():
                if buffer is not None and name not in module._non_persistent:
                    state[prefix + _join(module_name, name)] = buffer
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
            if key in given:
                values[key] = _fitting(key, given[key], own[key], assign, faults)
        if faults:
            raise RuntimeError(
                f"state_dict does not fit {type(self).__name__}: {'; '.join(faults)}"
            )
        if assign:
            self._take(values)
        else:
            for key, value in values.items():
                own[key][...] = value
        return IncompatibleKeys(missing, unexpected)

    def _take(self, values: dict[str, Array]) -> None:
        for module_name, module in self.named_modules(remove_duplicate=False):
            for name in {**module._parameters, **module._buffers}:
                key = _join(module_name, name)
                if key in values and module._parameters.get(name) is not None:
                    module._parameters[name].data = values[key]
                elif key in values:
                    module._buffers[name] = values[key]

    def _upgrade_state_dict(self, state_dict: dict[str, Any], prefix: str) -> None:
        """Add what a state dict of an older form lacks; ``state_dict`` may be changed."""

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
            return f"{self._get_name()}({extra})"
        lines = extra.splitlines() + children
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"

    def _get_name(self) -> str:
        return type(self).__name__


def _owner(cls: type, name: str) -> type:
    """The class in whose body the attribute is."""
    return next(c for c in cls.__mro__ if name in c.__dict__)


def _fitting(key: str, value: Any, own: Array, assign: bool, faults: list[str]) -> Any:
    """The value as an array that can be copied into ``own``; what hinders goes to the faults."""
    try:
        array = np.asarray(value.data if isinstance(value, Tensor) else value)
    except ValueError:
        array = np.empty(0, object)
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


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _check_member_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {summary(name)}")
    if not name or "." in name:
        raise KeyError(f"name must not be empty or contain a dot, got {name!r}")
