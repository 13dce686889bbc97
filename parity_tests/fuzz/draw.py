"""Random choices for one piece of a random network."""

import math
import random
from collections.abc import Iterable
from typing import Any


class Unfit(Exception):
    """The value that was drawn is of no use to this piece."""


class Draw:
    """A value of the network, the names a piece may use, and the choices it makes.

    Attributes:
        x, shape: the value's name in the program, and its shape.
        other: the name of a value of the same shape; ``x`` turned over, if there is no other.
        f, y: the names of the piece's own layer and of its result.
    """

    def __init__(self, rng: random.Random, values: dict[str, tuple[int, ...]], number: int) -> None:
        self.rng = rng
        # the last value more often than those before it: deep rather than wide
        names = list(values)
        self.x = names[-1] if rng.random() < 0.6 else rng.choice(names)
        self.shape = values[self.x]
        twins = [name for name in names if values[name] == self.shape and name != self.x]
        self.other = rng.choice(twins) if twins else f"{self.x}.flip(0)"
        self.f, self.y = f"self.f{number}", f"x{number}"

    def __call__(self, *options: Any) -> Any:
        return self.rng.choice(options)

    def options(self, **choices: Iterable[Any]) -> str:
        """Some of the keyword arguments, each with one of its values: ``", stride=2"``."""
        given = [(k, self(*values)) for k, values in choices.items() if self.rng.random() < 0.3]
        return "".join(f", {name}={value!r}" for name, value in given)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def needs(self, *ndims: int) -> None:
        if len(self.shape) not in ndims:
            raise Unfit

    def channels(self, n: int) -> int:
        """The size of the axis before n spatial ones."""
        self.needs(n + 1, n + 2)
        return self.shape[-n - 1]

    def divisor(self, *numbers: int) -> int:
        common = math.gcd(*numbers)
        return self(*(k for k in range(1, common + 1) if common % k == 0))

    def dim(self) -> int:
        """An axis, counted from either end."""
        if not self.shape:
            raise Unfit
        return self.rng.randrange(-len(self.shape), len(self.shape))

    def sizes(self, n: int, *options: int) -> Any:
        """A size for all n axes, or one for each."""
        one, each = self(*options), tuple(self(*options) for _ in range(n))
        return each if n > 1 and self.chance(0.4) else one
