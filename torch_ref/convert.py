"""Values, weights and modules between the two worlds; the only file that moves them."""

import functools
import importlib
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import numpy_impl
import numpy_impl.nn
from numpy_impl.nn.lazy import LazyModuleMixin
from numpy_impl.nn.multihead import NonDynamicallyQuantizableLinear
from numpy_impl.tensor.rows import SparseRows, as_rows
from torch_ref.redirect import executed, redirected


def to_torch(value: Any) -> Any:
    """A torch copy of an array (same dtype, own memory); tuples by part, None stays.

    Of gradients of few rows: a sparse tensor, and the other way round.

    Of a numpy_impl module: the torch module, see :func:`from_torch`, the other way round.
    """
    if isinstance(value, numpy_impl.nn.Module):
        return _converted(value, _TO_TORCH)
    if isinstance(value, tuple | list):
        return tuple(to_torch(part) for part in value)
    if isinstance(value, SparseRows):
        indices, values = to_torch((value._indices(), value._values()))
        made = torch.sparse_coo_tensor(indices, values, value.shape, check_invariants=True)
        return made.coalesce() if value.is_coalesced() else made
    # order="C": torch's convolutions pick their algorithm, and round, by memory layout
    return None if value is None else torch.from_numpy(np.array(value, order="C"))


def to_numpy(value: Any) -> Any:
    """A NumPy copy of a tensor; tuples by part, None stays."""
    if isinstance(value, tuple | list):
        return tuple(to_numpy(part) for part in value)
    if value is not None and value.is_sparse:
        return as_rows(value.detach().cpu())
    return None if value is None else value.detach().cpu().numpy().copy()


def copy_weights(source: Any, target: Any) -> None:
    """Load the parameters and buffers of one module into its twin, in either direction."""
    state = source.state_dict()
    if isinstance(source, numpy_impl.nn.Module) != isinstance(target, numpy_impl.nn.Module):
        move = to_torch if isinstance(source, numpy_impl.nn.Module) else to_numpy
        state = {key: move(value) for key, value in state.items()}
    target.load_state_dict(state)


def from_torch(module: torch.nn.Module) -> Any:
    """The numpy_impl module for a torch module: its whole tree, weights, buffers, mode.

    A layer of torch.nn becomes the class of its name here; a class of torchvision's models becomes
    that class's own code, executed with numpy_impl in torch's place (:func:`redirected`). So does a
    class of one's own, if it stands at the top of an importable module. Parameters keep their dtype
    and ``requires_grad``; what was shared is shared.

    Raises:
        TypeError: naming the modules that can't be converted, and why.
    """
    return _converted(module, _FROM_TORCH)


@dataclass(frozen=True)
class _Way:
    """One direction: where classes come from, and how values go."""

    base: type  # of the source
    source: Any  # its nn
    target: Any
    value: Callable[[Any], Any]  # of a parameter or buffer
    module: Callable[[str], Any]  # executes or imports a module of this name
    rng: tuple[Callable[[], Any], Callable[[Any], None]]  # of the target: constructors draw
    nothing: Callable[[], Any]  # in the place of a value that can't be converted
    functions: tuple[Any, Any]  # the source's and the target's own namespace


@dataclass
class _Work:
    """One conversion: what was converted, and what can't be."""

    way: _Way
    modules: dict[int, Any] = field(default_factory=dict)
    values: dict[int, Any] = field(default_factory=dict)  # parameters and buffers
    problems: list[str] = field(default_factory=list)


_DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
# a layer within MultiheadAttention, which torch.nn does not name
_INNER = {
    torch.nn.modules.linear.NonDynamicallyQuantizableLinear: NonDynamicallyQuantizableLinear,
    NonDynamicallyQuantizableLinear: torch.nn.modules.linear.NonDynamicallyQuantizableLinear,
}
_HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"),
    *("_state_dict_hooks", "_state_dict_pre_hooks"),
    *("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)
# constructor arguments that no attribute holds, or that change nothing
_NOT_HELD = {
    *("device", "size_average", "reduce", "_weight", "_freeze", "_random_samples", "init"),
    *("min_value", "max_value"),
}


def _converted(module: Any, way: _Way) -> Any:
    read, restore = way.rng
    state = read()
    work = _Work(way)
    try:
        result = _module(module, "", work)
    finally:
        restore(state)
    if work.problems:
        raise TypeError("can't be converted: " + "; ".join(work.problems))
    return result


def _module(module: Any, path: str, work: _Work) -> Any:
    """The converted module; None where that can't be, with a problem noted."""
    if id(module) in work.modules:
        return work.modules[id(module)]
    where = f"{path or 'the module'} ({type(module).__name__})"
    if isinstance(module, torch.nn.modules.lazy.LazyModuleMixin | LazyModuleMixin):
        work.problems.append(f"{where} is lazy: call it once first")
        return None
    if any(getattr(module, name, None) for name in _HOOKS):
        work.problems.append(f"{where} has hooks")
        return None
    if "forward" in vars(module):
        work.problems.append(f"{where} has a forward of its own, beside its class's")
        return None
    cls = _class(type(module), work.way)
    if isinstance(cls, str):
        work.problems.append(f"{where}: {cls}")
        return None
    children = {
        name: None if child is None else _module(child, f"{path}.{name}".lstrip("."), work)
        for name, child in module._modules.items()
    }
    named = getattr(work.way.source, type(module).__name__, None) is type(module)
    if named and (not children or cls.__name__ == "MultiheadAttention"):
        made = _leaf(module, cls, where, work)
    else:
        made = _composed(module, cls, where, work)
    if made is None:
        return None
    for name, child in children.items():
        made.add_module(name, child)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            made.register_parameter(name, _parameter(parameter, where, work))
        elif name not in vars(made):  # MultiheadAttention's bias_k may be a plain None
            made.register_parameter(name, None)
    hidden = getattr(module, "_non_persistent", getattr(module, "_non_persistent_buffers_set", ()))
    for name, buffer in module._buffers.items():
        value = None if buffer is None else _value(buffer, where, work)
        made.register_buffer(name, value, name not in hidden)
    made.training = module.training
    work.modules[id(module)] = made
    return made


def _class(cls: type, way: _Way) -> Any:
    """The class of that name on the other side, or why there is none."""
    if cls in _INNER:
        return _INNER[cls]
    if getattr(way.source, cls.__name__, None) is cls:
        return getattr(way.target, cls.__name__, f"there is no {cls.__name__} on the other side")
    if "." in cls.__qualname__:
        return "its class is defined inside a function or class"
    if cls.__module__ == "__main__":
        return "its class stands in the program itself: move it to a module"
    try:
        found = getattr(way.module(cls.__module__), cls.__name__, None)
    except Exception as error:  # whatever people's code raises
        return f"its code can't be executed on the other side ({error})"
    if found is None or issubclass(found, way.base):
        return f"{cls.__module__} has no {cls.__name__} for the other side"
    return found


def _leaf(module: Any, cls: type, where: str, work: _Work) -> Any:
    """A layer made by its constructor, from attributes of the constructor's arguments' names."""
    if cls.__name__ in ("Sequential", "ModuleList", "ModuleDict"):
        return cls()
    if cls.__name__ in ("ParameterList", "ParameterDict"):
        given = dict(module.items()) if cls.__name__ == "ParameterDict" else list(module)
        return cls(_plain(given, where, work))
    arguments = {}
    # torch's RNN, LSTM and GRU say (*args, **kwargs)
    names = list(inspect.signature(getattr(numpy_impl.nn, cls.__name__)).parameters)
    values = [*module._parameters.values(), *module._buffers.values()]
    floating = [v for v in values if v is not None and "float" in str(v.dtype)]
    for name in names:
        if name in _NOT_HELD or name in ("args", "kwargs"):
            continue
        if name == "dtype":
            if floating:
                arguments[name] = _plain(floating[0].dtype, where, work)
        elif name in ("bias", "head_bias") and not isinstance(getattr(module, name, None), bool):
            held = "in_proj_bias" if cls.__name__ == "MultiheadAttention" else name
            arguments[name] = getattr(module, held, None) is not None
        elif name == "add_bias_kv":
            arguments[name] = module.bias_k is not None
        elif hasattr(module, name):
            arguments[name] = _plain(getattr(module, name), where, work)
        else:
            work.problems.append(f"{where} does not say its {name}")
            return None
    return cls(**arguments)


def _composed(module: Any, cls: type, where: str, work: _Work) -> Any:
    """An object of the class with its attributes, without its constructor."""
    made: Any = cls.__new__(cls)  # type: ignore[call-overload]
    base = torch.nn.Module if issubclass(cls, torch.nn.Module) else numpy_impl.nn.Module
    base.__init__(made)
    plain = {*vars(work.way.base()), *vars(base())}
    plain |= {*module._parameters, *module._buffers, *module._modules}
    work.modules[id(module)] = made  # an attribute may lead back to it
    for name, value in vars(module).items():
        if name not in plain:
            setattr(made, name, _plain(value, f"{where}: {name}", work))
    return made


def _parameter(parameter: Any, where: str, work: _Work) -> Any:
    if id(parameter) not in work.values:
        to = work.way.target.Parameter(_value(parameter, where, work))
        to.requires_grad_(parameter.requires_grad)
        work.values[id(parameter)] = to
    return work.values[id(parameter)]


def _value(value: Any, where: str, work: _Work) -> Any:
    """The array or tensor, the same one for the same; of a dtype that both have."""
    if id(value) not in work.values:
        try:
            work.values[id(value)] = work.way.value(value)
        except (TypeError, NotImplementedError) as error:
            work.problems.append(f"{where} holds {getattr(value, 'dtype', value)} ({error})")
            work.values[id(value)] = work.way.nothing()
    return work.values[id(value)]


def _plain(value: Any, where: str, work: _Work) -> Any:
    """Any other attribute: dtypes, functions and classes of the library become the other's."""
    way = work.way
    if isinstance(value, way.source.Parameter):
        return _parameter(value, where, work)
    if isinstance(value, torch.Tensor | np.ndarray | numpy_impl.Tensor):
        return _value(value, where, work)
    if isinstance(value, torch.dtype | np.dtype):
        name = str(value).removeprefix("torch.")
        if name not in _DTYPES:
            work.problems.append(f"{where} holds {value}, which only one side has")
            return None
        return getattr(torch, name) if way.target is torch.nn else np.dtype(name)
    if isinstance(value, way.base):
        return _module(value, where, work)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, functools.partial):
        function = _plain(value.func, where, work)
        arguments = [_plain(v, where, work) for v in value.args]
        return functools.partial(function, *arguments, **_plain(value.keywords, where, work))
    if isinstance(value, types.MethodType):
        work.problems.append(f"{where} is a bound method, {value.__qualname__}")
        return None
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return _function(value, where, work)
    if isinstance(value, type) and issubclass(value, way.base):
        cls = _class(value, way)
        if isinstance(cls, str):
            work.problems.append(f"{where} is {value.__name__}: {cls}")
        return cls
    if isinstance(value, dict):
        return type(value)((key, _plain(part, where, work)) for key, part in value.items())
    if type(value) in (list, tuple, set):
        return type(value)(_plain(part, where, work) for part in value)
    return value


def _function(value: Any, where: str, work: _Work) -> Any:
    """A function of the library's becomes the other's, one of the class's own module that one's."""
    way, name = work.way, value.__name__
    for source, target in (way.functions, (way.source.functional, way.target.functional)):
        if getattr(source, name, None) is value and hasattr(target, name):
            return getattr(target, name)
    module = getattr(value, "__module__", None) or ""
    if module in executed:
        return getattr(way.module(module), name, value)
    if module.startswith(("torch.", "numpy_impl")):
        work.problems.append(f"{where} is {module}.{name}, which the other side has not")
        return None
    return value


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy().copy()


def _tensor(value: Any) -> Any:
    return to_torch(value if isinstance(value, np.ndarray | np.generic) else value.data)


_FROM_TORCH = _Way(
    torch.nn.Module,
    torch.nn,
    numpy_impl.nn,
    _array,
    redirected,
    (numpy_impl.get_rng_state, numpy_impl.set_rng_state),
    lambda: np.zeros(0, np.float32),
    (torch, numpy_impl),
)
_TO_TORCH = _Way(
    numpy_impl.nn.Module,
    numpy_impl.nn,
    torch.nn,
    _tensor,
    importlib.import_module,
    (torch.get_rng_state, torch.set_rng_state),
    lambda: torch.zeros(0),
    (numpy_impl, torch),
)
