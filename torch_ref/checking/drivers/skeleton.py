"""The adapter of a component, written as far as guessing got; "..." is left to its author."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names
from torch_ref.checking.drivers.layers import method
from torch_ref.checking.drivers.optimizers import STEP
from torch_ref.checking.drivers.slots import find_gradient, find_parameter, layouts
from torch_ref.checking.failures import guarded
from torch_ref.checking.probe import Array, Kind, Probe, answer

BLANK = "..."


class _Word(str):
    """An argument's name in the place of its value: its repr is code."""

    def __repr__(self) -> str:
        return str(self)

    def __rsub__(self, other: Any) -> "_Word":
        return _Word(f"{other} - {self}")


def skeleton(name: str, component: Any, kind: Kind, probe: Probe) -> str:
    """Python for a file of its own: a class of the adapter's methods.

    Args:
        name: of the component.
        component: the class or function.
        kind: what it is.
        probe: an experiment, for shapes.
    """
    module = getattr(component, "__module__", "") or "my_layers"
    source = (
        f"from {module} import {name}"
        if all(part.isidentifier() for part in module.split("."))
        else f'from importlib import import_module\n\n{name} = import_module("{module}").{name}'
    )
    writer = _Writer(name, component, kind, probe)
    body = "\n\n".join(
        "\n".join(f"    {line}".rstrip() for line in block) for block in writer.blocks()
    )
    return f'{source}\n\n\nclass {name}Adapter:\n    like = "{kind.like}"\n\n{body}\n'


class _Writer:
    def __init__(self, name: str, component: Any, kind: Kind, probe: Probe) -> None:
        self.name, self.component, self.kind, self.probe = name, component, kind, probe
        self.is_class = inspect.isclass(component)
        self.it: Any = None
        if self.is_class:
            with contextlib.suppress(Exception), guarded():
                self.it = component(**names.constructor_arguments(component, kind, probe))

    def blocks(self) -> Iterator[list[str]]:
        options = list(names.twin_options(self.kind, self.probe))
        is_optimizer = self.kind.role == "optimizer"
        arguments = [*(["parameters"] if is_optimizer else []), *options]
        yield [
            f"def make({', '.join(['self', *arguments])}):",
            f"    return {self._made()}{self._note(self._signature(self.component))}",
        ]
        if is_optimizer:
            yield self._step()
            return
        if self.probe.parameters or self.probe.buffers:
            yield self._set()
        yield self._forward()
        yield self._backward()
        if self.probe.parameters:
            yield self._entries("gradients", self._gradients())
        if self.probe.buffers:
            yield [
                "def mode(self, it, training):",
                f"    {self._mode()}",
            ]
            yield self._entries("state", {n: self._path(n) for n in self.probe.buffers})

    def _made(self) -> str:
        """The call of the constructor, as far as its arguments are known."""
        if not self.is_class:
            return BLANK if self.kind.role == "optimizer" else "{}"  # to keep things in
        words = {n: _Word(n) for n in names.twin_options(self.kind, self.probe)}
        worded = dataclasses.replace(self.probe, args=(), kwargs=words)
        given = names.constructor_arguments(self.component, self.kind, worded)
        required = [
            p.name
            for p in names.parameters_of(self.component)
            if p.default is inspect.Parameter.empty
        ]
        if self.kind.role == "optimizer" and required and required[0] not in words:
            given = {required[0]: _Word("parameters"), **given}
        simple = {
            n: v for n, v in given.items() if isinstance(v, _Word | int | float | tuple | None)
        }
        if self.it is None or any(n not in simple for n in required):
            return f"{self.name}({BLANK})"
        return f"{self.name}({', '.join(f'{n}={v!r}' for n, v in simple.items())})"

    def _signature(self, function: Any) -> str:
        try:
            return f"{function.__name__}{inspect.signature(function)}"
        except (TypeError, ValueError, AttributeError):
            return ""

    @staticmethod
    def _note(text: str) -> str:
        return f"  # {text}" if text and len(text) < 60 and "\n" not in text else ""

    def _methods(self) -> str:
        own = [
            n for n in dir(self.component)
            if not n.startswith("_") and callable(getattr(self.component, n, None))
        ]  # fmt: skip
        return f"its methods: {', '.join(own)}" if own else ""

    def _set(self) -> list[str]:
        held = {**self.probe.parameters, **self.probe.buffers}
        lines = [f"def set({', '.join(['self', 'it', *held])}):"]
        if there := ", ".join(f"{path[3:]} {value.shape}" for path, value in places(self.it)):
            lines.append(f"    # it has {there}")
        left = []
        for name, value in held.items():
            path, slot = self._found(name)
            if path is None:
                left.append(f"{name} {value.shape}")
            else:
                lines.append(f"    {path} = {_to_theirs(name, np.shape(slot), value.shape)}")
        return lines + ([f"    {BLANK}  # into it: {', '.join(left)}"] if left else [])

    def _found(self, name: str) -> tuple[str | None, Any]:
        """Where the component keeps a parameter, as code, and the array there."""
        value = {**self.probe.parameters, **self.probe.buffers}[name]
        with contextlib.suppress(Exception):
            slot = find_parameter(self.it, name, value.shape, set())
            if slot is not None:
                there = slot.get()
                usual = names.PARAMETERS.get(name, (names.plain(name),))
                for path, one in places(self.it):
                    if one is there and names.plain(slot.name) in usual:
                        return path, there
        return None, None

    def _path(self, name: str) -> str:
        return self._found(name)[0] or BLANK

    def _forward(self) -> list[str]:
        more = ["target"] if self.kind.role == "loss" else self.kind.more_inputs
        inputs = ["x", *more]
        result = answer(self.kind, self.probe)
        if self.kind.role == "loss":
            shapes, found = "the loss", method(self.component, names.LOSS_FORWARD)
        else:
            found = method(self.component, names.FORWARD)
            shapes = f"{self.probe.inputs[0].shape} -> {result['output'].shape}"
        return [
            f"def forward({', '.join(['self', 'it', *inputs])}):  # {shapes}",
            f"    return {self._call(found, inputs)}",
        ]

    def _backward(self) -> list[str]:
        is_loss = self.kind.role == "loss"
        inputs = ["x", "target"] if is_loss else ["dy"]
        wanted = ", ".join(["x", *self.kind.more_inputs])
        found = method(self.component, names.LOSS_BACKWARD if is_loss else names.BACKWARD)
        return [
            f"def backward({', '.join(['self', 'it', *inputs])}):  # the gradient for {wanted}",
            f"    return {self._call(found, inputs)}",
        ]

    def _call(self, found: Any, inputs: list[str]) -> str:
        if not self.is_class:
            return f"{BLANK}{self._note(self._signature(self.component))}"
        if found is None:
            return f"{BLANK}{self._note(self._methods())}"
        required = [p for p in names.parameters_of(found) if p.default is p.empty]
        if inspect.isfunction(found):
            required = required[1:]  # self
        if len(required) != len(inputs):
            return f"it.{found.__name__}({BLANK}){self._note(self._signature(found))}"
        return f"it.{found.__name__}({', '.join(inputs)})"

    def _gradients(self) -> dict[str, str]:
        """Each parameter's gradient as code, found after a forward and a backward."""
        with contextlib.suppress(Exception), guarded():
            forward = method(self.it, names.FORWARD)
            backward = method(self.it, names.BACKWARD)
            assert forward is not None
            assert backward is not None
            forward(np.array(self.probe.inputs[0]))
            backward(np.array(self.probe.upstream))
        found = {}
        for name, value in self.probe.parameters.items():
            found[name] = BLANK
            with contextlib.suppress(Exception):
                slot = find_parameter(self.it, name, value.shape, set())
                gradient = find_gradient(self.it, name, slot) if slot else None
                for path, one in places(self.it):
                    if gradient is not None and one is gradient:
                        found[name] = _to_torch(path, one.shape, value.shape)
        return found

    def _entries(self, name: str, entries: dict[str, str]) -> list[str]:
        lines = [f"def {name}(self, it):  # in PyTorch's shapes", "    return {"]
        held = {**self.probe.parameters, **self.probe.buffers}
        for key, code in entries.items():
            lines.append(f'        "{key}": {code},  # {held[key].shape}')
        return [*lines, "    }"]

    def _mode(self) -> str:
        if isinstance(getattr(self.it, "training", None), bool):
            return "it.training = training"
        return f"{BLANK}  # training or evaluation, a bool, into it"

    def _step(self) -> list[str]:
        found = method(self.component, STEP) if self.is_class else None
        code = f"{BLANK}{self._note(self._methods())}"
        if found is not None:
            code = f"it.{found.__name__}({BLANK}){self._note(self._signature(found))}"
        elif not self.is_class:
            code = f"{BLANK}{self._note(self._signature(self.component))}"
        return [
            "def step(self, it, parameters, gradients):  # two lists of arrays",
            f"    {code}",
            f"    return {BLANK}  # the new values, in that order",
        ]


def places(it: Any, path: str = "it", depth: int = 0) -> Iterator[tuple[str, Array]]:
    """All arrays in reach, each with the code that gets it."""
    if isinstance(it, np.ndarray):
        yield path, it
    elif depth < 4 and isinstance(it, dict):
        for key, value in it.items():
            yield from places(value, f"{path}[{key!r}]", depth + 1)
    elif depth < 4 and isinstance(it, list | tuple):
        for key, value in enumerate(it):
            yield from places(value, f"{path}[{key}]", depth + 1)
    elif depth < 4 and not isinstance(it, type):
        for key, value in list(getattr(it, "__dict__", {}).items()):
            yield from places(value, f"{path}.{key}", depth + 1)


def _to_theirs(name: str, theirs: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """The code that turns torch's array into one of their shape."""
    fitting = layouts(theirs, wanted)
    if not fitting:
        return BLANK
    return _reshaped(_permuted(name, fitting[0].axes), theirs, wanted)


def _to_torch(path: str, theirs: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    fitting = layouts(theirs, wanted)
    if not fitting:
        return BLANK
    axes = tuple(int(a) for a in np.argsort(fitting[0].axes))
    return _permuted(_reshaped(path, wanted, theirs), axes)


def _permuted(code: str, axes: tuple[int, ...]) -> str:
    if axes == tuple(range(len(axes))):
        return code
    return f"{code}.T" if axes == (1, 0) else f"{code}.transpose{axes}"


def _reshaped(code: str, to: tuple[int, ...], of: tuple[int, ...]) -> str:
    if sorted(to) == sorted(of):
        return code
    if sum(n > 1 for n in to) > 1:
        return BLANK
    return f"{code}.reshape({', '.join('-1' if n > 1 else '1' for n in to)})"
