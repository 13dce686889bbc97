"""The gates of recurrent layers: where people keep their weights, and in which order.

torch stacks a layer's gates in one matrix for the input and one for the state. People do that in
other orders, keep a matrix for each gate, or one that takes input and state side by side.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from torch_ref.checking.drivers import names
from torch_ref.checking.probe import Array

# by torch's order: the letters and words for each gate
GATES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "RNN": (("",),),
    "LSTM": (
        ("i", "input", "in", "u", "update"),
        ("f", "forget"),
        ("g", "c", "cell", "candidate", "a", "z", "n"),
        ("o", "output", "out"),
    ),
    "GRU": (("r", "reset"), ("z", "u", "update"), ("n", "h", "c", "candidate", "g", "a")),
}
LETTERS = {"RNN": "h", "LSTM": "ifgo", "GRU": "rzn"}
_BOTH_BIASES = ("biashh", "bhh", "biash", "bhidden")


@dataclass(frozen=True)
class Piece:
    """One array of theirs.

    Attributes:
        source: what its columns meet: "x", "h", "xh", "hx"; "b" for the bias, "b2" for a second.
        gates: the gates' numbers in torch's order, in the order in which they are stacked here.
        shape: of the array.
        is_turned: (in, out).
    """

    source: str
    gates: tuple[int, ...]
    shape: tuple[int, ...]
    is_turned: bool = False


@dataclass
class Stack:
    """torch's arrays, or their gradients, and the way between them and pieces.

    Attributes:
        inputs, hidden: the sizes.
        gates: how many there are.
        weight_ih, weight_hh, bias_ih: (gates, hidden, inputs or hidden), (gates, hidden).
        found: which gates of which array have been put in.
    """

    inputs: int
    hidden: int
    gates: int
    arrays: dict[str, Array] = field(default_factory=dict)
    found: dict[str, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        g, h = self.gates, self.hidden
        shapes = {"x": (g, h, self.inputs), "h": (g, h, h), "b": (g, h), "b2": (g, h)}
        self.arrays = {name: np.zeros(shape) for name, shape in shapes.items()}
        self.found = {name: set() for name in shapes}

    @classmethod
    def of(cls, parameters: Mapping[str, Array]) -> "Stack":
        rows, inputs = parameters["weight_ih"].shape
        hidden = parameters["weight_hh"].shape[1]
        stack = cls(inputs, hidden, rows // hidden)
        for name, torch_name in (("x", "weight_ih"), ("h", "weight_hh"), ("b", "bias_ih")):
            stack.arrays[name] = parameters[torch_name].reshape(stack.arrays[name].shape)
        return stack

    def to_theirs(self, piece: Piece) -> Array:
        gates = list(piece.gates)
        if piece.source in ("b", "b2"):
            return self.arrays[piece.source][gates].reshape(piece.shape).copy()
        value = np.concatenate([self.arrays[s][gates] for s in piece.source], axis=2)
        value = value.reshape(-1, value.shape[2])
        return np.ascontiguousarray(value.T if piece.is_turned else value).reshape(piece.shape)

    def take(self, piece: Piece, value: Array) -> None:
        """Put one of their arrays in."""
        count, gates = len(piece.gates), list(piece.gates)
        if piece.source in ("b", "b2"):
            self.arrays[piece.source][gates] = value.reshape(count, self.hidden)
        else:
            widths = [self.inputs if s == "x" else self.hidden for s in piece.source]
            value = value.reshape(sum(widths), -1).T if piece.is_turned else value
            value = value.reshape(count, self.hidden, sum(widths))
            for source, part in zip(
                piece.source, np.split(value, np.cumsum(widths)[:-1], axis=2), strict=True
            ):
                self.arrays[source][gates] = part
        for source in (piece.source,) if piece.source == "b2" else piece.source:
            self.found[source] |= set(gates)

    def parts(self) -> dict[str, Array]:
        """Gradients that are complete, in torch's shapes."""
        torch_names = {"x": "weight_ih", "h": "weight_hh", "b": "bias_ih", "b2": "bias_hh"}
        return {
            f"grad {torch_names[name]}": value.reshape(-1, *value.shape[2:])
            for name, value in self.arrays.items()
            if len(self.found[name]) == self.gates
        }

    def is_covered(self, pieces: Sequence[Piece]) -> bool:
        """Whether pieces hold all gates' weights for input and state."""
        return all(
            {g for p in pieces if s in p.source for g in p.gates} == set(range(self.gates))
            for s in "xh"
        )


def gate_of(name: str, family: str) -> int | None:
    """Which gate a name speaks of: W_xi, Wf, Uo, b_c; None if of none."""
    if family == "RNN":
        return 0
    for i, words in enumerate(GATES[family]):
        letters = "|".join(sorted(words, key=len, reverse=True))
        pattern = (
            f"(?:weights?|w|u|r|k|kernel|biases|bias|b)(?:x|h|i)??(?:{letters})(?:x|h)?(?:gate)?"
        )
        if re.fullmatch(pattern, names.plain(name)):
            return i
    return None


def piece_of(
    name: str,
    shape: tuple[int, ...],
    stack: Stack,
    family: str,
    order: tuple[int, ...],
    joined: str,
    square_turned: bool,
) -> Piece | None:
    """What an array of theirs is, by its name and shape.

    Args:
        name, shape: of the array.
        stack: the sizes.
        family: "RNN", "LSTM", "GRU".
        order: of the gates where they are stacked.
        joined: "hx" or "xh", of input and state side by side.
        square_turned: whether a square matrix is (in, out).
    """
    plain, hidden = names.plain(name), stack.hidden
    flat = tuple(n for n in shape if n != 1)
    listed = re.fullmatch(r"(params|parameters|weights)\d+", plain) is not None
    widths = {stack.inputs: "x", hidden: "h", hidden + stack.inputs: joined}

    def gates(rows: int) -> tuple[int, ...] | None:
        if rows == stack.gates * hidden:
            return order
        gate = gate_of(name, family) if rows == hidden else None
        return None if gate is None else (gate,)

    if len(flat) == 1 and (plain.startswith("b") or listed):
        own = gates(flat[0])
        second = plain in _BOTH_BIASES
        return Piece("b2" if second else "b", own, shape) if own else None
    if len(flat) != 2 or not (plain.startswith(("w", "u", "k", "r")) or listed):
        return None
    for rows, width, turned in ((flat[0], flat[1], False), (flat[1], flat[0], True)):
        own = gates(rows)
        if own and width in widths and (rows != width or turned == square_turned):
            return Piece(widths[width], own, shape, turned)
    return None
