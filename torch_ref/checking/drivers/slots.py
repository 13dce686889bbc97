"""Where a component of somebody else's keeps its arrays, and in which layout."""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CellType, FunctionType
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names
from torch_ref.checking.probe import Array


@dataclass(frozen=True)
class Slot:
    """One array: its name, what holds it, and how to reach it there."""

    name: str
    owner: Any
    key: Any
    holder: Any = None

    def get(self) -> Any:
        try:
            if self.holder is not None:
                return getattr(self.holder, self.key)
            return (
                self.owner[self.key]
                if isinstance(self.owner, dict | list)
                else getattr(self.owner, self.key)
            )
        except (KeyError, IndexError, AttributeError):
            return None

    def set(self, value: Array) -> None:
        if self.holder is not None:
            setattr(self.holder, self.key, value)
        elif isinstance(self.owner, dict | list):
            self.owner[self.key] = value
        else:
            setattr(self.owner, self.key, value)


def slots(component: Any, prefix: str = "", depth: int = 0) -> Iterator[Slot]:
    """All arrays in reach: attributes, entries of dicts and lists, data of parameter objects."""
    if isinstance(component, Closure):
        yield from _cells(component)
        return
    if isinstance(component, dict):
        items: Any = list(component.items())
    elif isinstance(component, list):
        items = list(enumerate(component))
    else:
        items = list(getattr(component, "__dict__", {}).items())
        for cls in type(component).__mro__:
            own = getattr(cls, "__slots__", ())
            items += [(n, getattr(component, n)) for n in own if hasattr(component, n)]
    for key, value in items:
        name = str(key) if isinstance(key, str) else f"{prefix}{key}"
        if isinstance(value, np.ndarray | np.floating | float):
            yield Slot(name, component, key)
        elif isinstance(value, dict | list) and depth < 3:
            yield from slots(value, name, depth + 1)
        elif (hasattr(value, "__dict__") or hasattr(type(value), "__slots__")) and (
            depth < 2
            and not callable(getattr(value, "__array__", None))
            and not isinstance(value, type)
        ):
            for holder in names.HOLDERS:
                if isinstance(getattr(value, holder, None), np.ndarray):
                    yield Slot(name, component, holder, value)
                    break


class Closure:
    """What a function returned that holds functions: (forward, backward), or a dict of them."""

    def __init__(self, made: Any) -> None:
        entries = made if isinstance(made, dict) else dict(enumerate(made))
        self.functions = {
            (str(key) if isinstance(made, dict) else value.__name__): value
            for key, value in entries.items()
            if isinstance(value, FunctionType)
        }
        known = {names.plain(n) for n in (*names.FORWARD, *names.BACKWARD)}
        if not known & {names.plain(n) for n in self.functions}:
            usual = ("forward", "backward")
            self.functions = dict(zip(usual, self.functions.values(), strict=False))
        vars(self).update(self.functions)
        self.others = [v for v in entries.values() if isinstance(v, dict | list)]

    def cells(self) -> dict[str, CellType]:
        """The variables that the functions share, those that hold something."""
        found: dict[str, CellType] = {}
        for function in self.functions.values():
            shared = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
            for name, cell in shared:
                with contextlib.suppress(ValueError):  # not assigned yet
                    if cell.cell_contents is not None:
                        found[name] = cell
        return found

    def __getattr__(self, name: str) -> Any:
        cells = self.cells() if "functions" in vars(self) else {}
        if name not in cells:
            raise AttributeError(name)
        return cells[name].cell_contents


def _cells(closure: Closure) -> Iterator[Slot]:
    for name, cell in closure.cells().items():
        value = cell.cell_contents
        if isinstance(value, np.ndarray | np.floating | float):
            yield Slot(name, cell, "cell_contents")
        elif isinstance(value, dict | list):
            yield from slots(value, name, 1)


@dataclass(frozen=True)
class Layout:
    """How people's array relates to torch's: permuted axes, then a shape."""

    axes: tuple[int, ...]
    shape: tuple[int, ...]
    torch_shape: tuple[int, ...]

    @property
    def is_spread(self) -> bool:
        """A bias for each position, (channels, height, width)."""
        return len(self.torch_shape) == 1 and len(self.shape) == 3

    def to_theirs(self, value: Array) -> Array:
        if self.is_spread:
            return np.ascontiguousarray(np.broadcast_to(value[:, None, None], self.shape))
        return np.ascontiguousarray(value.transpose(self.axes)).reshape(self.shape)

    def to_torch(self, value: Array) -> Array:
        """A gradient back in torch's layout; as it is where its shape is neither's."""
        value = np.asarray(value)
        permuted = tuple(self.torch_shape[a] for a in self.axes)
        if self.is_spread and value.shape == self.shape:
            return value.sum((1, 2))
        if value.size != int(np.prod(self.torch_shape)):
            return value
        if value.ndim == 2 and value.shape == self.torch_shape != self.shape:
            return value.T  # the wrong way round for them: torch's shape is an accident
        if value.shape != self.shape:
            squeezed = tuple(n for n in value.shape if n != 1)
            if squeezed != tuple(n for n in self.shape if n != 1):
                return value
        return value.reshape(permuted).transpose(np.argsort(self.axes))

    def describe(self, name: str) -> str:
        if len(self.torch_shape) == 2 and self.axes == (1, 0) and name.startswith("weight"):
            return f"{name}s are (in, out)" if name == "weight" else f"{name} is (in, out)"
        if self.is_spread:
            return f"{name} has a value for each position; their gradients' sum is judged"
        if len(self.torch_shape) == 1 and self.shape == (1, *self.torch_shape):
            return f"{name} is (1, n)"
        if len(self.torch_shape) == 1 and self.shape == (*self.torch_shape, 1):
            return f"{name} is (n, 1)"
        if self.axes == (2, 3, 1, 0):
            return f"{name} is (height, width, in, out)"
        if self.axes != tuple(range(len(self.axes))):
            return f"{name} has torch's axes in the order {self.axes}"
        if self.shape != self.torch_shape:
            return f"{name} has the shape {self.shape}"
        return ""


def layouts(theirs: tuple[int, ...], wanted: tuple[int, ...]) -> list[Layout]:
    """All ways to store an array of torch's shape in theirs, the likeliest first.

    Positions stay in their order (height before width), only channels move.
    """
    if len(wanted) == 1 and len(theirs) == 3 and wanted[0] == theirs[0]:
        return [Layout((0,), theirs, wanted)]
    if int(np.prod(theirs)) != int(np.prod(wanted)):
        return []
    found = []
    squeezed = tuple(n for n in theirs if n != 1)
    for axes in itertools.permutations(range(len(wanted))):
        positions = [a for a in axes if a > 1]
        if positions != sorted(positions):
            continue
        permuted = tuple(wanted[a] for a in axes)
        if permuted == theirs or tuple(n for n in permuted if n != 1) == squeezed:
            found.append(Layout(axes, theirs, wanted))
    if not found and len(wanted) > 2:  # kernels flattened to a matrix
        identity = tuple(range(len(wanted)))
        if theirs == (wanted[0], int(np.prod(wanted[1:]))):
            found = [Layout(identity, theirs, wanted)]
        elif theirs == (int(np.prod(wanted[1:])), wanted[0]):
            found = [Layout((*identity[1:], 0), theirs, wanted)]
    return found


def usual_layout(shape: tuple[int, ...], matrix: int, vector: int) -> Layout:
    """Where no array shows it: (out, in), (in, out) or (K, K, C, F); and biases."""
    identity = tuple(range(len(shape)))
    if len(shape) == 1:
        ways = (shape, (1, *shape), (*shape, 1), (1, 1, 1, *shape))
        return Layout(identity, ways[vector], shape)
    if matrix == 1 and len(shape) in (2, 4):
        axes = (1, 0) if len(shape) == 2 else (2, 3, 1, 0)
        return Layout(axes, tuple(shape[a] for a in axes), shape)
    return Layout(identity, shape, shape)


def find_parameter(
    component: Any, name: str, wanted: tuple[int, ...], taken: set[int]
) -> Slot | None:
    """The slot of a parameter or buffer: by name, else the only one whose shape fits."""
    fitting = [
        (i, slot) for i, slot in enumerate(slots(component))
        if i not in taken and np.ndim(slot.get()) >= 1 and layouts(np.shape(slot.get()), wanted)
        and (np.ndim(slot.get()) < 3 or len(wanted) > 1 or slot.name.startswith("b"))
        and not names.looks_like_gradient(slot.name)
    ]  # fmt: skip
    spelled = names.PARAMETERS.get(name, (names.plain(name),))
    for spelling in spelled:
        for i, slot in fitting:
            if (
                names.plain(slot.name).rstrip("0123456789") == spelling
                or names.plain(slot.name) == spelling
            ):
                taken.add(i)
                return slot
    if name.startswith("running"):
        return None
    for i, slot in fitting:
        if re.fullmatch(r"(params|parameters|weights)\d", names.plain(slot.name)):
            taken.add(i)
            return slot
    for i, slot in fitting:
        if not slot.name.startswith(("grad", "d", "running", "x", "input")):
            taken.add(i)
            return slot
    return None


def find_gradient(component: Any, name: str, parameter: Slot) -> Array | None:
    """The gradient of a parameter: on its object, or by its own or a usual name."""
    if parameter.holder is not None:
        for spelling in names.GRADIENT:
            value = getattr(parameter.holder, spelling, None)
            value = value if isinstance(value, np.ndarray) else getattr(value, "data", None)
            if isinstance(value, np.ndarray):
                return value
    own = names.plain(parameter.name)
    usual = names.PARAMETERS.get(name, (names.plain(name),))
    everything = list(slots(component))
    for wanted in ((own,), (own.rstrip("s"),), usual):
        for slot in everything:
            if names.is_gradient_of(slot.name, wanted) and isinstance(slot.get(), np.ndarray):
                return np.asarray(slot.get())
    for container in ("grads", "gradients", "grad", "dparams", "d_params", "_grads"):
        held = getattr(component, container, None)
        if isinstance(held, dict) and parameter.key in held:
            return np.asarray(held[parameter.key])
        if isinstance(held, dict):
            for key, value in held.items():
                if names.plain(str(key)) in (own, *usual):
                    return np.asarray(value)
        if (
            isinstance(held, list | tuple)
            and isinstance(parameter.key, int)
            and parameter.key < len(held)
        ):
            return np.asarray(held[parameter.key])
    return None


class Recorder:
    """Stands in for an optimizer handed into backward: takes p - gradient, and writes down both."""

    def __init__(self) -> None:
        self.seen: list[tuple[Array, Array]] = []
        self.lr = self.learning_rate = self.eta = 1.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = [_contents(a) for a in (*args, *kwargs.values())]
        given = [entry for value in given for entry in value]
        if len(given) < 2:
            return args[0] if args else None
        parameters, gradients = given[:2]
        if isinstance(parameters, np.ndarray):
            self.seen.append((parameters.copy(), np.array(gradients)))
            return parameters - gradients
        keys = parameters if isinstance(parameters, dict) else range(len(parameters))
        for key, gradient in zip(keys, _values(gradients), strict=False):
            self.seen.append((np.array(parameters[key]), np.array(gradient)))
            parameters[key] = parameters[key] - gradient
        return parameters

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def gradient(self, value: Array) -> Array | None:
        for parameter, gradient in self.seen:
            if parameter.shape == value.shape and np.array_equal(parameter, value):
                return gradient
        return None


def _contents(value: Any) -> list[Any]:
    """Arrays and containers among an optimizer's arguments; of a layer, its params and grads."""
    if isinstance(value, np.ndarray | dict | list):
        return [value]
    return [
        held for name in ("params", "grads") if isinstance(held := getattr(value, name, None), dict)
    ]


def _values(gradients: Any) -> Any:
    return gradients.values() if isinstance(gradients, dict) else gradients
