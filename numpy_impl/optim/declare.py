"""What an optimizer declares as data: the ranges of its options, and the names of its state."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np


class Range(NamedTuple):
    """What a number must do, in words and as a test of it."""

    must: str
    holds: Callable[[Any], Any]


# a tuple has a range for each of an option's numbers
Ranges = Mapping[str, Range | tuple[Range, ...]]
# True, or the option without which there is no such array
StateNames = Mapping[str, Literal[True] | str]

ANY = Range("be a number", lambda value: value == value)
AT_LEAST_0 = Range("be at least 0", lambda value: value >= 0)
ABOVE_0 = Range("be above 0", lambda value: value > 0)
BELOW_1 = Range("lie in [0, 1)", lambda value: (value >= 0) & (value < 1))
AT_MOST_1 = Range("lie in [0, 1]", lambda value: (value >= 0) & (value <= 1))


def at_least_0(*names: str, **others: Range | tuple[Range, ...]) -> Ranges:
    """The ranges of options that must be at least 0, and of ``others``, which have their own."""
    return {**dict.fromkeys(names, AT_LEAST_0), **others}


def state_names(*always: str, **by_option: str) -> StateNames:
    """The names of what is always kept, and of arrays that are kept if an option is set."""
    return {**dict.fromkeys(always, True), **by_option}


def check_ranges(options: Mapping[str, Any], ranges: Ranges) -> None:
    """Raise ValueError naming the first option that is out of its range, or NaN."""
    for name, allowed in ranges.items():
        value = options[name]
        if isinstance(allowed, Range):
            _check(name, value, allowed)
            continue
        if np.shape(value) != (len(allowed),):
            count = {2: "two", 3: "three"}[len(allowed)]
            raise ValueError(f"{name} must be {count} numbers, got {value!r}")
        for i, one in enumerate(allowed):
            _check(f"{name}[{i}]", value[i], one)


def _check(name: str, value: Any, allowed: Range) -> None:
    try:
        holds = np.size(value) == 1 and bool(allowed.holds(value))
    except TypeError:  # no number
        holds = False
    if not holds:
        raise ValueError(f"{name} must {allowed.must}, got {value!r}")
