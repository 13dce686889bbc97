"""Recurrent cells and layers: their states, their time axis, their gates."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names, styles
from torch_ref.checking.drivers.functions import Context
from torch_ref.checking.drivers.gates import LETTERS, Piece, Stack, piece_of
from torch_ref.checking.drivers.layers import (
    COLUMNS,
    ONE,
    ONE_COLUMN,
    ROWS,
    Held,
    LayerDriver,
    Plan,
    Turn,
    method,
    set_mode,
)
from torch_ref.checking.drivers.slots import Slot, find_gradient, slots
from torch_ref.checking.failures import CannotDrive, array
from torch_ref.checking.probe import Array, Kind, Parts, Probe

TIME_FIRST: Turn = (
    "(time, batch, features)",
    lambda a: a.swapaxes(0, 1),
    lambda a: a.swapaxes(0, 1),
)
TIME_LAST: Turn = (
    "(features, batch, time)",
    lambda a: a.transpose(2, 0, 1),
    lambda a: a.transpose(1, 2, 0),
)
ONE_COLUMNS: Turn = (
    "one sequence at a time, of columns",
    lambda a: a[0][..., None],
    lambda a: a[..., 0][None],
)
_STATE = ("h", "h0", "hprev", "prevh", "hidden", "state", "hstate", "aprev", "a0", "htprev", "hp",
          "initialhidden", "prevhidden", "hiddenstate", "prevstate", "hinit", "states", "hx",
          "init", "hiddenprev", "hpre", "stateprev", "initstate", "hcprev")  # fmt: skip
_CELL = ("c", "c0", "cprev", "prevc", "cell", "cstate", "cellstate", "ctprev", "cp", "cinit",
         "prevcell", "cellprev", "cpre")  # fmt: skip
_INPUTS = ("x", "xt", "inputs", "xs", "inp", "input", "data", "seq", "sequence")
_CACHES = (*names.CACHE, "caches", "cache")


def recurrent_drivers(make: Any, backward: Any, kind: Kind) -> Iterator["RecurrentDriver"]:
    """All ways, those in torch's order of gates first."""
    family = kind.like.removesuffix("Cell")
    along_time = family == kind.like
    orders = list(itertools.permutations(range(len(LETTERS[family]))))
    several = (ROWS, TIME_FIRST, TIME_LAST) if along_time else (ROWS, COLUMNS)
    single = (ONE, ONE_COLUMNS) if along_time else (ONE, ONE_COLUMN)
    turns = [(t, False) for t in several] + [(t, True) for t in single]
    for order in orders:
        seen = set()
        for (turn, is_single), joined, turned in itertools.product(
            turns, ("hx", "xh"), (True, False)
        ):
            driver = RecurrentDriver(
                make, kind, Plan(turn, is_single), backward, order, joined, turned
            )
            yield driver
            seen |= driver.choices
        if "order" not in seen:
            return


class RecurrentDriver(LayerDriver):
    """Drives a class, or a pair of functions, as a cell or along time.

    Args:
        make: the class, or the function that goes forward.
        kind, plan: as a LayerDriver's.
        back: the function that goes back; None for a class.
        order: of the gates where they are stacked.
        joined: "hx" or "xh", where one matrix takes input and state side by side.
        turned: whether matrices are (in, out) where their shape does not tell.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        kind: Kind,
        plan: Plan,
        back: Any,
        order: tuple[int, ...],
        joined: str,
        turned: bool,
    ) -> None:
        super().__init__(make, kind, plan)
        self.back, self.order, self.joined, self.turned = back, order, joined, turned
        self.family = kind.like.removesuffix("Cell")
        self.along_time = self.family == kind.like
        self.choices: set[str] = set()
        self.is_function = not isinstance(make, type)
        if self.is_function:
            self.seen.add(styles.CACHES)

    def _piece(self, name: str, shape: tuple[int, ...], stack: Stack, turned: bool) -> Piece | None:
        piece = piece_of(name, shape, stack, self.family, self.order, self.joined, turned)
        return piece

    def _told(self, piece: Piece, stack: Stack) -> Piece:
        """A piece that is used, its layout written down."""
        if len(piece.gates) > 1:
            self.choices.add("order")
            letters = "".join(LETTERS[self.family][g] for g in self.order)
            if letters != LETTERS[self.family]:
                self._convention(f"gate order {', '.join(letters)}")
        if len(piece.source) == 2 and piece.source != "b2":
            first = "the state" if piece.source[0] == "h" else "the input"
            self._convention(f"one matrix for input and state, {first} first")
        if piece.is_turned:
            self._convention("weights are (in, out)")
        return piece

    def _convention(self, text: str) -> None:
        if text not in self.conventions:
            self.conventions.append(text)

    # classes: where the arrays are

    def _handed_parameters(self, probe: Probe) -> dict[str, Array]:
        stack = Stack.of(probe.parameters)
        handed = {}
        for p in names.parameters_of(self.make):
            piece = self._named(p.name, stack)
            if piece and p.default is p.empty:
                handed[p.name] = stack.to_theirs(piece)
        return handed

    def _named(self, name: str, stack: Stack) -> Piece | None:
        """What an argument is that has no shape yet."""
        plain, rows = names.plain(name), stack.gates * stack.hidden
        if plain in ("wx", "wxh", "wih", "weightih", "wax", "u", "wi", "wxs"):
            return self._piece(
                plain, _turned((rows, stack.inputs), self.turned), stack, self.turned
            )
        if plain in ("wh", "whh", "weighthh", "waa"):
            return self._piece(
                plain, _turned((rows, stack.hidden), self.turned), stack, self.turned
            )
        if plain in ("b", "bh", "bias", "ba", "biasih", "bih"):
            columns = self.plan.turn[0] in (COLUMNS[0], TIME_LAST[0], ONE_COLUMN[0], ONE_COLUMNS[0])
            return self._piece("b", (rows, 1) if columns else (rows,), stack, self.turned)
        return None

    def _put(self, held: Held, probe: Probe) -> bool:
        stack = Stack.of(probe.parameters)
        found = [
            (slot, np.shape(slot.get()))
            for slot in slots(held.component)
            if not names.plain(slot.name).startswith(("d", "grad"))
        ]
        turned = self.turned
        shaped = [self._piece(slot.name, shape, stack, turned) for slot, shape in found]
        known = [p.is_turned for p in shaped if p and "x" in p.source]
        if known:
            turned = known[0]
        held.pieces = []
        for slot, shape in found:
            piece = self._piece(slot.name, shape, stack, turned)
            if piece is not None:
                slot.set(stack.to_theirs(self._told(piece, stack)))
                held.pieces.append((slot, piece))
                if slot.holder is not None:
                    self.can_clear = True
                    self.seen.add(styles.PARAMETERS)
                elif isinstance(slot.owner, dict | list):
                    self.seen.add(styles.CONTAINERS)
        return stack.is_covered([piece for _, piece in held.pieces])

    def _place(self, held: Held, probe: Probe) -> None:
        if self.is_function:
            return
        if not self._put(held, probe) and not self._build(held, probe):
            raise CannotDrive("no attributes were found that can be weights for input and state")

    def _fresh(self, probe: Probe) -> Held:
        if not self.is_function:
            return super()._fresh(probe)
        return Held(None)

    # a call

    def _call(self, held: Held, probe: Probe, between: Probe | None = None) -> Parts:
        assert probe.upstream is not None
        stack = Stack.of(probe.parameters)
        forward = self.make if self.is_function else method(held.component, names.FORWARD)
        if forward is None:
            raise CannotDrive("there is no method forward")
        if not self.is_function:
            set_mode(held.component, True)
        turn, back = self.plan.turn[1:]
        x = np.array(turn(probe.inputs[0]))
        states = self._states(probe)
        copy = x.copy()
        theirs, arguments = self._arguments(forward, x, states, stack)
        result = forward(**arguments)
        if not np.array_equal(x, copy):
            self._note("forward changes its input in place")
        self.went_forward = True
        outputs, more = self._outputs(result, probe)
        parts: Parts = {"output": np.concatenate([np.array(back(o)) for o in outputs], -1)}
        upstream = self._upstreams(probe)
        before = [(s, p, np.array(s.get())) for s, p in held.pieces]
        returned = self._go_back(held, upstream, more, x, states)
        parts |= self._gradients_of_inputs(returned, probe, held)
        gradients = Stack(stack.inputs, stack.hidden, stack.gates)
        left = _flat(returned)[1:] if not isinstance(returned, dict) else []
        for state in states:  # whose gradients come before those of the weights
            if left and np.shape(left[0]) == state.shape:
                left.pop(0)
        for slot, piece, value in before:
            self._take(gradients, held, slot, piece, value, returned, left)
        for name, piece in theirs.items():
            gradient = _entry(returned, name) if isinstance(returned, dict) else None
            gradient = _next(left, piece.shape) if gradient is None else gradient
            if gradient is not None:
                gradients.take(piece, gradient)
        return parts | gradients.parts()

    def _states(self, probe: Probe) -> list[Array]:
        """The states before: a cell's, or zeros."""
        if not self.along_time:
            return [np.array(self.plan.turn[1](v)) for v in probe.inputs[1:]]
        rows, hidden = probe.rows, probe.parameters["weight_hh"].shape[1]
        shape = {TIME_LAST[0]: (hidden, rows), ONE[0]: (hidden,), ONE_COLUMNS[0]: (hidden, 1)}
        zeros = np.zeros(shape.get(self.plan.turn[0], (rows, hidden)))
        return [zeros.copy() for _ in range(2 if self.family == "LSTM" else 1)]

    def _arguments(
        self, forward: Any, x: Array, states: list[Array], stack: Stack
    ) -> tuple[dict[str, Piece], dict[str, Any]]:
        """What forward takes, by name; and the pieces among it."""
        given: dict[str, Any] = {}
        pieces: dict[str, Piece] = {}
        wanted = names.parameters_of(forward)
        alone = sum(names.plain(p.name) in (*_STATE, *_CELL) for p in wanted) == 1
        for place, p in enumerate(wanted):
            name = names.plain(p.name)
            if place == 0 and name in ("ctx", "context"):
                given[p.name] = Context()
            elif not any(value is x for value in given.values()) and name not in _STATE:
                given[p.name] = x
            elif name in _CELL or name in _STATE:
                if self.along_time and p.default is not p.empty:
                    continue
                value = states[-1] if name in _CELL else states[0]
                given[p.name] = tuple(states) if alone and len(states) > 1 else value
                if self.along_time and self.family == "LSTM" and self.is_function and alone:
                    given[p.name] = states[0]
            elif name in ("parameters", "params", "weights") and self.is_function:
                given[p.name] = self._dictionary(stack, pieces)
            elif self.is_function and (piece := self._named(p.name, stack)):
                given[p.name] = stack.to_theirs(self._told(piece, stack))
                pieces[p.name] = piece
            elif name in names.TRAINING:
                given[p.name] = True
        return pieces, given

    def _dictionary(self, stack: Stack, pieces: dict[str, Piece]) -> dict[str, Array]:
        """A dict of columns' weights, Wf, bf ... Wax, Waa, ba, and an output layer's."""
        h, joined = stack.hidden, stack.hidden + stack.inputs
        if self.family == "RNN":
            shapes = {"Wax": (h, stack.inputs), "Waa": (h, h), "ba": (h, 1)}
        else:
            letters = {"LSTM": "ifco", "GRU": "rzh"}[self.family]
            shapes = {f"W{g}": (h, joined) for g in letters} | {f"b{g}": (h, 1) for g in letters}
        for name, shape in shapes.items():
            piece = self._piece(name, shape, stack, False)
            assert piece is not None
            pieces[name] = self._told(piece, stack)
        values = {name: stack.to_theirs(piece) for name, piece in pieces.items()}
        if "Wi" in values:
            values["Wu"], values["bu"] = values["Wi"], values["bi"]
        return values | {"Wya": np.eye(h), "Wy": np.eye(h), "by": np.zeros((h, 1))}

    def _outputs(self, result: Any, probe: Probe) -> tuple[list[Array], list[Any]]:
        """All hidden states, or a cell's state or states; and what else came."""
        values = list(result) if isinstance(result, tuple) else [result]
        if isinstance(values[0], list | tuple) and not self.along_time:
            values = [*values[0], *values[1:]]
        wanted = np.shape(self.plan.turn[1](np.zeros(self._output_shape(probe))))
        found: list[Array] = []
        rest: list[Any] = []
        count = 1 if self.along_time or self.family != "LSTM" else 2
        for value in values:
            made = _stacked(value, wanted)
            if made is not None and len(found) < count:
                found.append(made)
            else:
                rest.append(value)
        if len(found) < count:
            said = f"forward returns no array of the shape {wanted}"
            raise CannotDrive(said + (", all hidden states" if self.along_time else ""))
        return found, rest

    def _output_shape(self, probe: Probe) -> tuple[int, ...]:
        hidden = probe.parameters["weight_hh"].shape[1]
        return (*probe.inputs[0].shape[:-1], hidden)

    def _upstreams(self, probe: Probe) -> list[Array]:
        assert probe.upstream is not None
        count = 1 if self.along_time or self.family != "LSTM" else 2
        return [np.array(self.plan.turn[1](u)) for u in np.split(probe.upstream, count, axis=-1)]

    def _go_back(
        self, held: Held, upstream: list[Array], more: list[Any], x: Array, states: list[Array]
    ) -> Any:
        backward = self.back if self.is_function else method(held.component, names.BACKWARD)
        if backward is None:
            raise CannotDrive("there is no way back")
        held.recorder.seen.clear()
        given: dict[str, Any] = {}
        left = list(upstream)
        copies = [u.copy() for u in upstream]
        cache = [m for m in more if not isinstance(m, np.ndarray) or self.is_function]
        for p in names.parameters_of(backward):
            name = names.plain(p.name)
            if name in _CACHES or name.startswith("cache"):
                given[p.name] = cache[-1] if cache else None
            elif name in names.RATE:
                given[p.name] = 1.0
            elif name in names.OPTIMIZER:
                given[p.name] = held.recorder
            elif left:
                given[p.name] = left.pop(0)
            elif name in _INPUTS:
                given[p.name] = x
            elif name in (*_STATE, *_CELL) and p.default is p.empty:
                given[p.name] = states[0 if name in _STATE else -1]
            elif p.default is p.empty:
                given[p.name] = np.zeros_like(states[0])
        result = backward(**given)
        if any(not np.array_equal(u, c) for u, c in zip(upstream, copies, strict=True)):
            self._note("backward changes the upstream gradient in place")
        return result

    def _gradients_of_inputs(self, returned: Any, probe: Probe, held: Held) -> Parts:
        back = self.plan.turn[2]
        parts: Parts = {}
        if isinstance(returned, dict):
            entries = [returned.get(k) for k in ("dx", "dxt", "dX")]
            dx = next((e for e in entries if e is not None), None)
            rest = [v for k, v in returned.items() if "prev" in names.plain(str(k))]
        else:
            values = _flat(returned)
            dx, rest = (values[0], values[1:]) if values else (None, [])
        if isinstance(dx, list):
            dx = np.stack(dx)
        dx = array(dx)
        if dx is not None and dx.size == probe.inputs[0].size:
            wanted = np.shape(self.plan.turn[1](probe.inputs[0]))
            parts["grad input"] = np.array(back(dx.reshape(wanted) if dx.ndim < 2 else dx))
        for name, value in zip(self.kind.more_inputs, probe.inputs[1:], strict=False):
            wanted = np.shape(self.plan.turn[1](value))
            gradient = _next(rest, wanted)
            if gradient is not None:
                parts[f"grad {name}"] = np.array(back(gradient))
        return parts

    def _take(
        self,
        gradients: Stack,
        held: Held,
        slot: Slot,
        piece: Piece,
        before: Array,
        returned: Any,
        left: list[Any],
    ) -> None:
        """The gradient of one of a class's arrays, wherever it is."""
        recorded = held.recorder.gradient(before)
        now = np.asarray(slot.get())
        if recorded is not None or not np.array_equal(now, before):
            self.seen.add(styles.UPDATING)
            gradients.take(piece, before - now if recorded is None else recorded)
            return
        kept = find_gradient(held.component, slot.name, slot)
        if kept is not None and np.size(kept) == before.size:
            self.seen.add(styles.ATTRIBUTES)
        elif isinstance(returned, dict):
            kept = _entry(returned, slot.name)
        else:
            kept = _next(left, before.shape)
            if kept is not None:
                self._note("returns the gradients, keeps none")
        if kept is not None and np.size(kept) == before.size:
            gradients.take(piece, np.asarray(kept))


def _turned(shape: tuple[int, ...], turned: bool) -> tuple[int, ...]:
    return shape[::-1] if turned else shape


def _stacked(value: Any, wanted: tuple[int, ...]) -> Array | None:
    """An array of a shape, or a list of them by time."""
    if isinstance(value, dict) and value and all(isinstance(k, int) for k in value):
        value = [value[k] for k in sorted(value) if k >= 0]
    if isinstance(value, list) and value and all(isinstance(v, np.ndarray) for v in value):
        shapes = {v.shape for v in value}
        value = np.stack(value) if len(shapes) == 1 else None
    made = array(value)
    if made is None or made.shape != wanted:
        return None
    return made


def _flat(returned: Any) -> list[Any]:
    """What came back, tuples and dicts of gradients opened."""
    if not isinstance(returned, tuple):
        return [returned]
    flat: list[Any] = []
    for value in returned:
        if isinstance(value, tuple):
            flat += value
        elif isinstance(value, dict):
            flat += value.values()
        else:
            flat.append(value)
    return flat


def _next(left: list[Any], shape: tuple[int, ...]) -> Array | None:
    """The first that has a shape, taken out."""
    for i, value in enumerate(left):
        if (
            isinstance(value, np.ndarray)
            and np.squeeze(value).shape == np.squeeze(np.empty(shape)).shape
        ):
            left.pop(i)
            return value
    return None


def _entry(returned: Mapping[str, Any], name: str) -> Array | None:
    """The gradient of an array in a dict."""
    plain = names.plain(name)
    for key, value in returned.items():
        spelled = names.plain(str(key))
        if names.is_gradient_of(spelled, (plain,)) or spelled == plain:
            return array(value)
    return None
