"""ParameterList, ParameterDict: modules that hold parameters, as a list and a dictionary do."""

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, KeysView, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from numpy_impl.nn.call import summary
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Buffer, Parameter
from numpy_impl.tensor.tensor import Tensor


class _Parameters(Module):
    """What both share: entries are attributes; arrays, Tensors, Buffers become Parameters."""

    def _put(self, name: str, value: Any) -> None:
        if isinstance(value, Buffer):  # a Tensor in torch, and so one that becomes a Parameter
            value = value.data
        if isinstance(value, np.ndarray | Tensor) and not isinstance(value, Parameter):
            value = Parameter(value)
        setattr(self, name, value)

    def _entries(self) -> Iterable[tuple[Any, Any]]:
        raise NotImplementedError

    if not TYPE_CHECKING:  # for a type checker it is Module's

        def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
            raise RuntimeError(f"{type(self).__name__} holds parameters: it can't be called")

    def extra_repr(self) -> str:
        lines = []
        for key, value in self._entries():
            if isinstance(value, Parameter):
                size = "x".join(map(str, value.shape))
                look = f"Parameter containing: [{value.dtype} of size {size}]"
            else:
                look = f"Object of type: {type(value).__name__}"
            lines.append(f"  ({key}): {look}")
        return "\n".join(lines)


class ParameterList(_Parameters):
    """A list of parameters, each registered under its position; it has no forward.

    Arrays and Tensors become Parameters; other objects are kept as they are.

    Args:
        values: what it holds at first.

    Raises:
        IndexError: for a position that is none.
        TypeError: if it is extended by something that can't be iterated over.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ParameterList.html
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _key(self, index: Any) -> str:
        position, size = operator.index(index), len(self)
        if not -size <= position < size:
            raise IndexError(f"index must lie within -{size}..{size - 1}, got {position}")
        return str(position % size)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(*index.indices(len(self)))])
        return getattr(self, self._key(index))

    def __setitem__(self, index: int, value: Any) -> None:
        self._put(self._key(index), value)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(len(self))])

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add ``value`` at the end."""
        self._put(str(self._size), value)
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add ``values`` at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor | np.ndarray):
            raise TypeError(f"values must be an iterable of parameters, got {summary(values)}")
        for value in list(values):
            self.append(value)
        return self

    def _entries(self) -> Iterable[tuple[Any, Any]]:
        return enumerate(self)


class ParameterDict(_Parameters):
    """A dictionary of parameters, each registered under its key; it has no forward.

    Arrays and Tensors become Parameters; other objects are kept as they are.

    Args:
        parameters: a mapping, or pairs of keys and values. As in torch a plain ``dict`` is taken
            in the order of its sorted keys, anything else in its own.

    Raises:
        TypeError: for a key that is no string, or if it is updated by something else.
        KeyError: for a key that is not there.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ParameterDict.html
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"key must be a string, got {summary(key)}")
        self._put(key, value)
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __or__(self, other: Any) -> "ParameterDict":
        union = self.copy()
        union.update(other)
        return union

    def __ror__(self, other: Any) -> "ParameterDict":
        union = ParameterDict(other)
        union.update(self)
        return union

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    def copy(self) -> "ParameterDict":
        """Another dictionary of the same parameters."""
        return ParameterDict(OrderedDict(self.items()))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, which is ``default`` from now on if there was none."""
        if key not in self:
            self[key] = default
        return self[key]

    def clear(self) -> None:
        """Remove every entry."""
        for key in list(self):
            del self[key]

    def pop(self, key: str) -> Any:
        """Remove ``key`` and return its value."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last entry and return its key and value."""
        if not self._keys:
            raise KeyError("popitem(): the dictionary is empty")
        key = next(reversed(self))
        return key, self.pop(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, or ``default``."""
        if key not in self:
            return default
        return self[key]

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> "ParameterDict":
        """Another dictionary, with ``default`` under each of ``keys``."""
        return ParameterDict((key, default) for key in keys)

    def keys(self) -> KeysView[str]:
        """The keys."""
        return self._keys.keys()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of key and value."""
        return [(key, self[key]) for key in self]

    def values(self) -> Iterable[Any]:
        """The values."""
        return [self[key] for key in self]

    def update(self, parameters: Any) -> None:
        """Add or replace entries."""
        if isinstance(parameters, OrderedDict | ParameterDict):
            pairs = list(parameters.items())
        elif isinstance(parameters, Mapping):
            pairs = sorted(parameters.items())
        elif isinstance(parameters, Iterable):
            pairs = [tuple(pair) for pair in parameters]
        else:
            raise TypeError(f"parameters must be a mapping or pairs, got {summary(parameters)}")
        for key, value in pairs:
            self[key] = value

    def _entries(self) -> Iterable[tuple[Any, Any]]:
        return self.items()
