"""A random network and its training: a program that runs in either world, and its data.

``describe(seed)`` builds it piece by piece. torch tries each piece on random values, and pieces
that it refuses are left out; so nothing here computes a shape.
"""

import random
import re
import textwrap
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from parity_tests.fuzz.calls import CALLED
from parity_tests.fuzz.draw import Draw, Unfit
from parity_tests.fuzz.layers import LAYERS, made
from parity_tests.fuzz.operations import OPERATIONS
from parity_tests.fuzz.plan import Input, Network
from parity_tests.fuzz.trained import TORCH, trained
from parity_tests.fuzz.training import (
    CLIPPING,
    LOSSES,
    Shape,
    criterion,
    optimizers,
)

LARGEST = 400  # elements of a value
BOUND = 30.0  # of its elements: products of products would run away
REFUSED = (RuntimeError, ValueError, IndexError, AssertionError, NotImplementedError, Unfit)
ORDERS = ("C", "C", "Fortran", "channels last", "reversed", "strided")
SPATIAL = ((2, 7), (4, 5), (3, 4, 4), (2, 4, 6), (2, 4, 3, 4), (1, 4, 4, 4), (4, 3, 2, 3))
SEQUENCES = ((4, 4), (3, 6), (5, 3))


class _Builder:
    """The network so far: what torch made of it, and its text."""

    def __init__(self, rng: random.Random, inputs: tuple[Input, ...], is_chain: bool) -> None:
        self.rng, self.is_chain = rng, is_chain
        values = np.random.default_rng(rng.randrange(2**32))
        self.self = torch.nn.Module()
        self.env: dict[str, Any] = {**TORCH.names, "self": self.self}
        self.shapes: dict[str, Shape] = {}  # of the values that layers may follow
        self.makes: list[str] = []
        self.lines: list[str] = []
        self.layers: dict[str, str] = {}  # those of LAYERS, and the text that makes them
        self.channels: dict[str, Shape] = {}  # of the values that they were made for
        self.number = self.inputs = len(inputs)
        for i, given in enumerate(inputs):
            name, value = f"x{i}", torch.from_numpy(given.draw(values).copy())
            self.env[name] = value
            if not given.below:
                self.shapes[name] = tuple(value.shape)
        for i, given in enumerate(inputs):
            if given.below:
                self._embed(f"x{i}", given)

    def _embed(self, name: str, given: Input) -> None:
        is_bag = len(given.shape) == 2 and self.rng.random() < 0.3
        sparse = ", sparse=True" * (self.rng.random() < 0.3)
        args = f"{given.below}, {self.rng.choice([2, 3, 4])}{sparse}"
        text = made("EmbeddingBag" if is_bag else "Embedding", args)
        assert self.attempt(text, f"x{self.number} = self.f{self.number}({name})")

    def attempt(self, make: str, line: str, more: str = "") -> bool:
        """Add a layer and a line, unless torch refuses it, or its values are too many or large."""
        name = f"f{self.number}"
        before = set(self.env)
        try:
            with torch.no_grad():
                if make:
                    setattr(self.self, name, eval(make, self.env))
                exec(more, self.env)
                exec(line, self.env)
            found = {key: self.env[key] for key in self.env if key[0] == "x" and key not in before}
            if not all(map(_is_usable, found.values())):
                raise Unfit
        except REFUSED:
            for key in set(self.env) - before:
                del self.env[key]
            if make and hasattr(self.self, name):
                delattr(self.self, name)
            return False
        self.makes += [f"self.{name} = {make}"] * bool(make) + [more] * bool(more)
        self.lines.append(line)
        for key, value in found.items():
            if value.dtype == torch.float64:
                self.shapes[key] = tuple(value.shape)
        self.number += 1
        return True

    def extend(self) -> bool:
        """Try one random piece."""
        d = self.draw()
        try:
            kind = "layer" if self.is_chain else d(*["layer"] * 8, *["line"] * 6, "again", "tied")
            if kind == "line":
                return self.attempt("", d(*OPERATIONS)(d))
            if kind in ("again", "tied"):
                return self._repeat(d, kind)
            if not self.is_chain and d.chance(0.3):
                return self.attempt(*CALLED[d(*CALLED)](d))
            return self.attempt_layer(d)
        except Unfit:
            return False

    def draw(self) -> Draw:
        last = list(self.shapes)[-1]
        values = {last: self.shapes[last]} if self.is_chain else self.shapes
        return Draw(self.rng, values, self.number)

    def attempt_layer(self, d: Draw, name: str = "") -> bool:
        if not name:  # half of the layers are of the value's own number of axes, if it has some
            own = [key for key in LAYERS if key.endswith(f"{len(d.shape) - 2}d")]
            name = d(*own) if own and d.chance(0.5) else d(*LAYERS)
        text = made(name, LAYERS[name](d))
        if name.startswith(("Linear", "Conv")) and d.chance(0.1):
            how = d("weight_norm", "weight_norm", "spectral_norm", "orthogonal")
            text = f"nn.utils.parametrizations.{how}({text})"
        if not self.is_chain and d.chance(0.1):  # a small Sequential, whose shapes stay
            text = f"nn.Sequential({text}, {made(d('Tanh', 'SiLU', 'Hardswish'), '')})"
        found = self.attempt(text, f"{d.y} = {d.f}({d.x})")
        if found:
            self.layers[d.f], self.channels[d.f] = text, d.shape[1:2]
        return found

    def _repeat(self, d: Draw, kind: str) -> bool:
        """A layer for a second time, or another one with its weight."""
        if not self.layers:
            return False
        old = d(*self.layers)
        if "Norm" in self.layers[old] and d.shape[1:2] != self.channels[old]:
            return False  # torch takes other numbers of channels, if there are no weights
        if kind == "again":
            return self.attempt("", f"{d.y} = {old}({d.x})")
        is_plain = not any(word in self.layers[old] for word in ("parametriz", "Lazy"))
        if not is_plain or "weight" not in dir(eval(old, self.env)):
            return False
        tie = f"{d.f}.weight = {old}.weight"
        return self.attempt(self.layers[old], f"{d.y} = {d.f}({d.x})", tie)

    def frozen(self) -> str:
        """A line by which a layer, or its weight, needs no gradient; now and then."""
        layers = [name for name, layer in self.self.named_children() if list(layer.parameters())]
        if self.is_chain or self.rng.random() < 0.8 or not layers:
            return ""
        name = self.rng.choice(layers)
        has_weight = "weight" in dict(self.self.get_submodule(name).named_parameters())
        weight = ".weight" if has_weight and self.rng.random() < 0.5 else ""
        return f"network.{name}{weight}.requires_grad_(False)\n"

    def text(self, head: tuple[str, ...]) -> str:
        """The network's class, or its Sequential."""
        last = list(self.shapes)[-1]
        if self.is_chain:
            layers = [line.split(" = ", 1)[1] for line in self.makes]
            layers += [HEADS[line] for line in head]
            for _ in range(self.rng.choice([0, 1, 2])):  # nested containers
                start = self.rng.randrange(len(layers))
                stop = self.rng.randrange(start, len(layers)) + 1
                layers[start:stop] = [f"nn.Sequential({', '.join(layers[start:stop])})"]
            return "network = nn.Sequential(\n    " + ",\n    ".join(layers) + ",\n)\n"
        text = "\n".join(self.lines)
        unused = [x for x in self.shapes if x != last and len(re.findall(rf"\b{x}\b", text)) < 2]
        rest = "".join(f" + {x}.mean()" for x in unused if self.rng.random() < 0.7)
        inputs = "".join(f", x{i}" for i in range(self.inputs))
        return (
            "class Network(nn.Module):\n"
            "    def __init__(self):\n        super().__init__()\n"
            + textwrap.indent("\n".join(self.makes), " " * 8)
            + f"\n\n    def forward(self{inputs}):\n"
            + textwrap.indent("\n".join([*self.lines, f"y = {last}{rest}", *head]), " " * 8)
            + "\n        return y\n\nnetwork = Network()\n"
        )


# a Sequential's, of the same meaning as lines
HEADS = {
    "y = y.flatten(1)": "nn.Flatten()",
    "y = torch.sigmoid(y)": "nn.Sigmoid()",
    "y = y.tanh()": "nn.Tanh()",
}


def _is_usable(value: Any) -> bool:
    if value.dtype != torch.float64:
        return True
    is_small = 0 < value.numel() <= LARGEST and value.ndim <= 5
    return is_small and bool(value.abs().max() <= BOUND)  # False for NaN


@lru_cache(maxsize=100)
def describe(seed: int, is_tried: bool = True) -> Network:
    """The random network of this seed: the first one that torch trains, or not tried as a whole."""
    for attempt in range(50):
        rng = random.Random(f"{seed} {attempt}")
        torch.default_generator.manual_seed(seed)
        with warnings.catch_warnings():  # torch's remarks on what was drawn
            warnings.simplefilter("ignore")
            network = _drawn(seed, rng)
            if network and (not is_tried or _runs(network)):
                return network
    raise AssertionError(f"seed {seed}: no network that torch accepts")


def _drawn(seed: int, rng: random.Random) -> Network | None:
    is_chain = rng.random() < 0.4
    inputs = _inputs(rng, 1 if is_chain or rng.random() < 0.7 else 2)
    builder = _Builder(rng, inputs, is_chain)
    wanted, tries = rng.randint(2, 6 if is_chain else 9), 80
    while len(builder.lines) < wanted and tries:
        builder.extend()
        tries -= 1
    d = builder.draw()
    is_whole = list(builder.self.parameters()) and len(d.shape) > 1
    if not is_whole and not (d.shape and builder.attempt_layer(builder.draw(), "Linear")):
        return None
    shape = builder.shapes[list(builder.shapes)[-1]]
    if len(shape) < 2:
        return None
    arrays = rng.random() < (0.7 if is_chain else 0.3)
    loss_name = rng.choice(list(LOSSES))
    loss = LOSSES[loss_name]
    if arrays and loss.call != "criterion(y, t)":
        return None
    if is_chain and not set(loss.head) <= set(HEADS):
        return None
    found: dict[str, Any] = {**TORCH.names, "y": torch.zeros(shape)}
    exec("\n".join(loss.head), found)
    shape = tuple(found["y"].shape)
    training, handed = optimizers(rng, any("sparse" in line for line in builder.makes))
    program = (
        builder.text(loss.head)
        + builder.frozen()
        + f"criterion = {criterion(loss_name, rng, shape)}\n"
        + 'model = nn.ModuleDict({"network": network, "criterion": criterion})\n'
        + training
    )
    steps = rng.randint(2, 4)
    return Network(
        seed,
        program,
        inputs,
        loss.call,
        (loss.target, shape),
        arrays,
        needs_grad=rng.random() < 0.8,
        handed=handed,
        modes=tuple(step == 0 or rng.random() < 0.85 for step in range(steps)),
        clip=rng.choice(["", "", *CLIPPING]) if "sparse" not in program else "",
        zero=rng.choice(["zero_grad()", "zero_grad()", "zero_grad(set_to_none=False)", ""]),
    )


def _inputs(rng: random.Random, count: int) -> tuple[Input, ...]:
    batch = 1 if rng.random() < 0.12 else rng.randint(2, 4)
    features = (rng.randint(2, 6),)
    rest = rng.choice([rng.choice(SPATIAL), rng.choice(SPATIAL), rng.choice(SEQUENCES), features])
    made = []
    for _ in range(count):
        if rng.random() < 0.12:
            made.append(Input((batch, 4)[: rng.randint(1, 2)], "C", rng.randint(3, 9)))
        else:
            made.append(Input((batch, *rest), rng.choice(ORDERS)))
    return tuple(made)


def _runs(network: Network) -> bool:
    """Whether torch takes it as a whole: losses and schedules weren't tried so far."""
    try:
        trained(network, TORCH, steps=1)
    except REFUSED:
        return False
    return True
