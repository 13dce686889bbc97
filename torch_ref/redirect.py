"""PyTorch programs executed with numpy_impl in torch's place: their own source, unchanged.

``redirected("torchvision.models.resnet").resnet18()`` is torchvision's ResNet-18, built of the
layers of this library. Nothing of torch's is changed, and the module itself, as others import it,
neither: its file is executed once more, and what it imports from torch comes from numpy_impl.
"""

import builtins
import importlib
import importlib.util
import types
from pathlib import Path
from typing import Any

import numpy_impl

executed: dict[str, types.ModuleType] = {}  # by name: what was redirected


def _unchanged(value: Any = None, *args: Any, **kwargs: Any) -> Any:
    """What torch's markers for its compiler leave: the function itself."""
    return value


def _no(*args: Any) -> bool:
    return False


def _assert(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _checkpoint(function: Any, *args: Any, **kwargs: Any) -> Any:
    """torch.utils.checkpoint saves memory by computing twice: here once."""
    kwargs.pop("use_reentrant", None)
    return function(*args, **kwargs)


# torch's compiler is not here; programs ask it questions, and mark functions for it
JIT = types.SimpleNamespace(
    is_scripting=_no,
    is_tracing=_no,
    ignore=_unchanged,
    unused=_unchanged,
    export=_unchanged,
    script=_unchanged,
    _overload_method=_unchanged,
    annotate=lambda kind, value: value,
    Final=Any,
)
STANDINS: dict[str, Any] = {
    "_assert": _assert,
    "jit": JIT,
    "fx": types.SimpleNamespace(wrap=_unchanged),
    "utils": types.SimpleNamespace(checkpoint=types.SimpleNamespace(checkpoint=_checkpoint)),
}


class Torch(types.ModuleType):
    """numpy_impl under torch's name, with the stand-ins; what it lacks is an error that says so."""

    def __getattr__(self, name: str) -> Any:
        if name in STANDINS:
            return STANDINS[name]
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return getattr(numpy_impl, name)
        except AttributeError:
            raise AttributeError(f"numpy_impl has no {name}, which torch has") from None


TORCH = Torch("torch", "numpy_impl in torch's place")


def redirected(name: str) -> types.ModuleType:
    """The module of that name, executed with numpy_impl in place of torch.

    What it imports from its own package (torchvision's models from torchvision.models and
    torchvision.ops) is redirected likewise; anything else it gets as it is.

    Args:
        name: an importable module, written for torch.

    Raises:
        ModuleNotFoundError: if there is no such module.
        AttributeError, ImportError: for a name of torch's that is not here.
    """
    if name not in executed:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no module named {name!r}")
        module = types.ModuleType(name)
        module.__file__ = spec.origin
        module.__package__ = spec.parent
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import}
        executed[name] = module  # before it runs: two modules may import each other
        try:
            exec(compile(Path(spec.origin).read_text(), spec.origin, "exec"), module.__dict__)
        except BaseException:
            del executed[name]
            raise
    return executed[name]


def _is_redirected(name: str) -> bool:
    return name.startswith(("torchvision.models.", "torchvision.ops."))


def _import(
    name: str,
    globals: Any = None,
    locals: Any = None,
    fromlist: tuple[str, ...] | None = (),
    level: int = 0,
) -> Any:
    """``import`` and ``from ... import`` in a redirected module."""
    if level:
        name = importlib.util.resolve_name("." * level + name, globals["__package__"])
    if name.split(".")[0] == "torch":
        return _of_torch(name) if fromlist else TORCH
    if _is_redirected(name):
        return redirected(name)
    if fromlist and _is_redirected(name + "."):
        return _of_package(name, fromlist)
    return builtins.__import__(name, globals, locals, fromlist or (), 0)


def _of_torch(name: str) -> Any:
    found: Any = TORCH
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found


def _of_package(name: str, fromlist: tuple[str, ...]) -> Any:
    """The names of a package that is not executed itself, each from the module that defines it."""
    package = importlib.import_module(name)
    names = types.SimpleNamespace()
    for wanted in fromlist:
        value = getattr(package, wanted)
        setattr(names, wanted, getattr(redirected(value.__module__), wanted))
    return names
