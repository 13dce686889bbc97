"""Python's pickles, read without running what they say.

A pickle is a program for a small stack machine; two of its instructions fetch any function by name
and call it, which is how a file can take over the machine that opens it. This is that stack machine
with names looked up in a table and nowhere else, with calls of the table's own functions only, and
without the instructions that call in other ways. ``pickletools``, of the standard library, decodes.
"""

import pickletools
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from numpy_impl.io.errors import FileError, shown

_MARK = object()
_LONGEST_KEY = 64
COPIES = 16  # that may be made of each byte of a file, on average
_COPIED = (str, bytes, list, dict, set)  # by what is called, with all that they hold
_SCALARS = (str, int, float, complex, bytes, type(None))


@dataclass(frozen=True, eq=False)
class Function:
    """A function that a pickle may call."""

    call: Callable[..., Any]


def check_key(key: Any) -> Any:
    """A key or an element of a set: nested ones could take forever to hash."""
    parts = key if type(key) is tuple else (key,)
    if len(parts) > _LONGEST_KEY or not all(isinstance(part, _SCALARS) for part in parts):
        raise FileError(
            f"a key must be a number, a string or a tuple of at most {_LONGEST_KEY} of those, "
            f"got {shown(key)}"
        )
    return key


class _Machine:
    def __init__(
        self,
        names: Mapping[str, Any],
        persistent: Callable[[Any], Any] | None,
        take_state: Callable[[Any, Any], None],
        size: int,
    ) -> None:
        self.left = COPIES * size
        self.names, self.persistent, self.take_state = names, persistent, take_state
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self, kind: type | None = None) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise FileError("damaged (its pickle takes more than it has)")
        value = self.stack.pop()
        if kind is not None and type(value) is not kind:
            raise FileError(f"damaged (its pickle needs a {kind.__name__}, has {shown(value)})")
        return value

    def pop_mark(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                values = self.stack[i + 1 :]
                del self.stack[i:]
                return values
        raise FileError("damaged (its pickle takes more than it has)")

    def top(self, *kinds: type) -> Any:
        value = self.stack[-1] if self.stack else _MARK
        if type(value) not in kinds:
            raise FileError(f"damaged (its pickle adds to what is no {kinds[0].__name__})")
        return value

    # -- one method for each instruction, by pickletools' names --------------------------------

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def skip(self, _: Any) -> None: ...

    def forget(self) -> None:
        self.pop_mark()

    def mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def dup(self, _: Any) -> None:
        value = self.pop()
        self.stack += [value, value]

    def drop(self, _: Any) -> None:
        if not self.stack:
            raise FileError("damaged (its pickle takes more than it has)")
        self.stack.pop()

    def put(self, index: int | None) -> None:
        value = self.pop()
        self.stack.append(value)
        self.memo[len(self.memo) if index is None else index] = value

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def list_of(self, _: Any) -> None:
        self.stack.append(self.pop_mark())

    def tuple_of(self, _: Any) -> None:
        self.stack.append(tuple(self.pop_mark()))

    def short_tuple(self, size: int) -> None:
        values = [self.pop() for _ in range(size)]
        self.stack.append(tuple(reversed(values)))

    def dict_of(self, _: Any) -> None:
        values = self.pop_mark()
        self.stack.append({})
        self._set(values)

    def frozenset_of(self, _: Any) -> None:
        self.stack.append(frozenset(map(check_key, self.pop_mark())))

    def append(self, _: Any) -> None:
        value = self.pop()
        self.top(list).append(value)

    def appends(self, _: Any) -> None:
        values = self.pop_mark()
        self.top(list).extend(values)

    def set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self._set([key, value])

    def set_items(self, _: Any) -> None:
        self._set(self.pop_mark())

    def _set(self, values: list[Any]) -> None:
        target = self.top(dict, OrderedDict, Counter)
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[check_key(key)] = value

    def add_items(self, _: Any) -> None:
        values = self.pop_mark()
        self.top(set).update(map(check_key, values))

    def global_(self, name: str) -> None:
        self._find(name.replace(" ", ".", 1))

    def stack_global(self, _: Any) -> None:
        name, module = self.pop(str), self.pop(str)
        self._find(f"{module}.{name}")

    def _find(self, name: str) -> None:
        if name not in self.names:
            raise FileError(
                f"asks for {name[:100]}, which is not among the names that files of weights need: "
                "refused, and nothing of it was run"
            )
        self.stack.append(self.names[name])

    def _pay(self, values: Any) -> None:
        """Count what a call may copy: a file can name one long text, or list, again and again."""
        if type(values) is tuple:
            self.left -= sum(len(value) for value in values if isinstance(value, _COPIED))
        if self.left < 0:
            raise FileError("damaged (its pickle makes more of its values than it has)")

    def reduce(self, _: Any) -> None:
        args = self.pop(tuple)
        self._pay(args)
        self.stack.append(self.pop(Function).call(*args))

    def build(self, _: Any) -> None:
        state, target = self.pop(), self.pop()
        self._pay(state)
        self.take_state(target, state)
        self.stack.append(target)

    def persistent_id(self, _: Any) -> None:
        if self.persistent is None:
            raise FileError("refers to data outside its pickle, where there can't be any")
        self.stack.append(self.persistent(self.pop()))


_PUSHED = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
# what is not here is refused: EXT1 to EXT4, INST, NEWOBJ, NEWOBJ_EX and OBJ, which call in other
# ways than by REDUCE, and PERSID, BYTEARRAY8, NEXT_BUFFER and READONLY_BUFFER, which torch has not
_DO: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_PUSHED, _Machine.push),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _Machine.skip),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "TUPLE1": lambda machine, _: machine.short_tuple(1),
    "TUPLE2": lambda machine, _: machine.short_tuple(2),
    "TUPLE3": lambda machine, _: machine.short_tuple(3),
    "TUPLE": _Machine.tuple_of,
    "LIST": _Machine.list_of,
    "DICT": _Machine.dict_of,
    "FROZENSET": _Machine.frozenset_of,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "ADDITEMS": _Machine.add_items,
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "POP_MARK": lambda machine, _: machine.forget(),
    "DUP": _Machine.dup,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    "GLOBAL": _Machine.global_,
    "STACK_GLOBAL": _Machine.stack_global,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent_id,
}


def unpickle(
    file: BytesIO,
    names: Mapping[str, Any],
    persistent: Callable[[Any], Any] | None,
    take_state: Callable[[Any, Any], None],
) -> Any:
    """The object of the pickle at the file's position, which is moved behind it.

    Args:
        file: holds the pickle.
        names: what a pickle may name: a :class:`Function` can be called, anything else just is.
        persistent: gives what a persistent id stands for; None where there must be none.
        take_state: called with an object and a state for it; raises where that takes none.

    Raises:
        FileError: for a name that is not among ``names``, and for an instruction that torch's
            files have not.
    """
    machine = _Machine(names, persistent, take_state, file.getbuffer().nbytes)
    with warnings.catch_warnings(action="ignore"):  # of odd escapes in names
        for opcode, arg, _ in pickletools.genops(file):
            do = _DO.get(opcode.name)
            if do is None:
                raise FileError(f"has the pickle instruction {opcode.name}, which is refused")
            do(machine, arg)
    result = machine.pop()
    if machine.stack:
        raise FileError("damaged (its pickle leaves something over)")
    return result
