"""A network of the user's own: ``--model path/to/file.py:function``."""

import hashlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.errors import Lost, NotFinite, UserError, out_of_memory
from experiments.files import check_regular
from experiments.own_name import file_of, is_own


def noted(model: str) -> dict[str, str]:
    """The checksum of the user's file, if it is one: a run goes on with the same network only."""
    if not is_own(model):
        return {}
    content = file_of(model).read_bytes()
    return {"model_checksum": hashlib.md5(content, usedforsecurity=False).hexdigest()}


@contextmanager
def blamed(model: str) -> Iterator[None]:
    """Whatever goes wrong in the user's file, or with its network, becomes one line with the place.

    Raises:
        UserError: that line.
    """
    try:
        yield
    except (Lost, NotFinite, UserError):
        raise
    except (Exception, SystemExit) as error:
        if not is_own(model) or out_of_memory(error):
            raise
        own = _frames(file_of(model), error)
        if isinstance(error, OSError) and not own:  # a full disk is not the network's fault
            raise
        raise UserError(_place(file_of(model), own, error)) from None


def _frames(file: Path, error: BaseException) -> list[traceback.FrameSummary]:
    """The calls in ``file`` that led to ``error``."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if Path(frame.filename).resolve() == file.resolve()]


def _place(file: Path, own: list[traceback.FrameSummary], error: BaseException) -> str:
    """``net.py:12: in forward: ValueError: ...``"""
    words = (str(error).strip() or "no message").splitlines()[0]
    said = f"{type(error).__name__}: {words}"
    if isinstance(error, SyntaxError):
        return f"{error.filename or file}:{error.lineno}: {type(error).__name__}: {error.msg}"
    if not own:
        return f"{file}: the network: {said}"
    within = "" if own[-1].name == "<module>" else f" in {own[-1].name}:"
    return f"{file}:{own[-1].lineno}:{within} {said}"


def build(model: str, nn: Any, size: tuple[int, ...], classes: int, dtype: str) -> Any:
    """What the function makes of ``nn``, with the initial values that it gives.

    Where the function has parameters called ``size`` (the images' height and width) or ``classes``,
    it is told of these, too.

    Args:
        model: FILE.py:FUNCTION.
        nn: ``numpy_impl.nn`` or ``torch.nn``.
        size: of the images.
        classes: number of outputs.
        dtype: of the weights.

    Raises:
        UserError: if there is no such function, or what it returns is no Module.
    """
    with blamed(model):
        function = _function(model)
        names = inspect.signature(function).parameters
        offered = {"size": tuple(size), "classes": classes}
        network = function(nn, **{key: offered[key] for key in offered if key in names})
        if not isinstance(network, nn.Module):
            kind = type(network)
            raise UserError(
                f"{model} must return a Module of the nn that it is given, got "
                f"{kind.__module__}.{kind.__qualname__}"
            )
        if not list(network.parameters()):
            raise UserError(f"{model} returns a network without parameters: nothing to learn")
        return network.double() if dtype == "float64" else network


def check_output(model: str, logits: Any, classes: int) -> None:
    """Refuse a network that gives no value for each class.

    Raises:
        UserError: if the shape of its output for one image is another.
    """
    if logits.shape != (1, classes):
        raise UserError(
            f"{model}: the network must give (N, {classes}), a value for each class; for one image "
            f"it gives {logits.shape}"
        )


def _function(model: str) -> Any:
    file, name = file_of(model), model.rpartition(":")[2]
    check_regular(file, "a Python file with your network")
    function = getattr(_module(file), name, None)
    if not callable(function):
        raise UserError(f"{file}: has no function {name}")
    return function


def _module(file: Path) -> ModuleType:
    module = ModuleType(f"_own_{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look there
    folder = str(file.resolve().parent)  # it may import its neighbours, as a script may
    if folder not in sys.path:
        sys.path.insert(0, folder)
    exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
    return module
