"""Sequential, ModuleList, ModuleDict: modules made of modules."""

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn.call import running, summary
from numpy_impl.nn.module import Module
from numpy_impl.types import Array


class _IndexedModules(Module):
    """What Sequential and ModuleList share: children named "0", "1", ... in order."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter([module for _, module in self._of_kind("module")])

    def _key(self, index: int) -> str:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index must lie within -{len(self)}..{len(self) - 1}, got {position}")
        return list(self._modules)[position]

    def _renumber(self, modules: Iterable[Module]) -> None:
        self._modules.clear()
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        if not isinstance(index, slice):
            self._key(index)
        del modules[index]
        self._renumber(modules)

    def append(self, module: Module) -> Self:
        """Add ``module`` at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add ``modules`` at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Put ``module`` before position ``index``.

        Raises:
            IndexError: if there is no such position.
        """
        modules = list(self)
        if not -len(modules) <= index <= len(modules):
            raise IndexError(f"index must lie within -{len(modules)}..{len(modules)}, got {index}")
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, key: int) -> Module:
        """Remove the module at ``key`` and return it."""
        module = self._modules[self._key(key)]
        del self[key]
        return module


class Sequential(_IndexedModules):
    r"""Modules in a row: :math:`y = f_n(\dots f_2(f_1(x)))`.

    A module may stand in it several times.

    Args:
        *args: modules, or one ordered mapping of names to modules.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Sequential.html
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    if not TYPE_CHECKING:  # for a type checker it is Module's, which goes by forward

        def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
            plain = len(inputs) == 1 and type(inputs[0]) is np.ndarray and not kwargs
            if not plain or grad_mode.enabled or running or self._hooks is not None:
                return super().__call__(*inputs, **kwargs)
            # arrays need not become Tensors where no gradient is wanted
            self.__dict__["_call"] = None
            return self.forward(inputs[0])

    def forward(self, input: Array) -> Array:
        output = input
        for _, module in self._of_kind("module"):
            output = module(output)
        return np.copy(input) if output is input and isinstance(input, np.ndarray) else output

    def __add__(self, other: "Sequential") -> "Sequential":
        return Sequential(*self, *_of_sequential(other))

    def __iadd__(self, other: "Sequential") -> Self:
        return self.extend(_of_sequential(other))

    def __mul__(self, other: int) -> "Sequential":
        return Sequential(*(list(self) * _of_count(other)))

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Self:
        return self.extend(list(self) * (_of_count(other) - 1))

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | slice) -> "Module | Sequential":
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._key(index)]


def _of_sequential(other: Any) -> "Sequential":
    if not isinstance(other, Sequential):
        raise ValueError(f"a Sequential can be added to another, not to {summary(other)}")
    return other


def _of_count(times: Any) -> int:
    if not isinstance(times, int):
        raise TypeError(f"a Sequential can be repeated an int of times, got {summary(times)}")
    if times <= 0:
        raise ValueError(f"a Sequential can be repeated 1 or more times, got {times}")
    return times


class ModuleList(_IndexedModules):
    """A list of modules, each registered as a child; it has no forward of its own.

    Args:
        modules: what it holds at first.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ModuleList.html
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> "ModuleList": ...
    def __getitem__(self, index: int | slice) -> "Module | ModuleList":
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._modules[self._key(index)]

    def insert(self, index: int, module: Module) -> None:
        """Put ``module`` before position ``index``."""
        super().insert(index, module)

    def __add__(self, other: Iterable[Module]) -> "ModuleList":
        return ModuleList([*self, *other])

    def __iadd__(self, modules: Iterable[Module]) -> Self:
        return self.extend(modules)

    def __repr__(self) -> str:
        """Runs of children that look alike in one line, as torch's."""
        lines: list[str] = []
        first = 0
        looks = [repr(child) for child in self]
        for i, look in enumerate(looks):
            if i + 1 < len(looks) and looks[i + 1] == look:
                continue
            alike = i - first + 1
            line = f"({first}): {look}" if alike == 1 else f"({first}-{i}): {alike} x {look}"
            lines.append(line.replace("\n", "\n  "))
            first = i + 1
        inner = "\n  ".join(lines)
        return f"{self._get_name()}(\n  {inner}\n)" if lines else f"{self._get_name()}()"


class ModuleDict(Module):
    """A dictionary of modules, each registered as a child; it has no forward of its own.

    Args:
        modules: a mapping, or pairs of names and modules.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ModuleDict.html
    """

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None
    ) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove every module."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove the module called ``key`` and return it."""
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Pairs of name and module."""
        return self._modules.items()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules."""
        pairs = modules.items() if isinstance(modules, Mapping | ModuleDict) else modules
        for name, module in list(pairs):
            self[name] = module
