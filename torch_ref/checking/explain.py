"""Known mistakes and conventions: what a part would hold if one had been made.

An :class:`Explanation` computes, for an experiment, the value that a part would have. Where that is
what people's code gave, in every experiment, and is not what the twin gave, it explains the part.
"""

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from torch_ref.checking.probe import Array, Parts, Probe


@dataclass(frozen=True)
class Case:
    """One experiment: what was asked, what the twin and what people's code made of it."""

    probe: Probe
    expected: Parts
    found: Parts

    @property
    def x(self) -> Array:
        return self.probe.inputs[0]

    @property
    def dy(self) -> Array:
        if self.probe.upstream is None:
            raise KeyError("a loss has no upstream gradient")
        return self.probe.upstream

    @property
    def y(self) -> Array:
        return self.expected["output"]

    def __getitem__(self, name: str) -> Array:
        """A parameter, or a buffer's value before the call."""
        return {**self.probe.parameters, **self.probe.buffers}[name]


@dataclass(frozen=True)
class Explanation:
    """A mistake or a convention.

    Attributes:
        key: its name, the same wherever it is made: "sign", "mean for sum".
        part: which parts it may explain, a pattern: "grad *".
        says: what is the matter, for a student; {part}, {n} (the batch size) and {name} are filled
            in.
        value: what the part would hold; None where the mistake makes no difference or no sense.
        likes: the twins' classes it belongs to; all of them if empty.
        then: what must hold elsewhere for a convention to be right; "" makes it a mistake.
        textbook: the lines that are right, by name in numpy_impl.textbook.
    """

    key: str
    part: str
    says: str
    value: Callable[[Case, str], Array | None]
    likes: tuple[str, ...] = ()
    then: str = ""
    textbook: str = ""

    @property
    def is_convention(self) -> bool:
        return bool(self.then)


def agree(found: Array, expected: Array | None, tolerance: float) -> bool:
    """Whether two values are one but for rounding: by the largest of the expected."""
    return error(found, expected) <= tolerance


def error(found: Array, expected: Array | None) -> float:
    """The largest difference as a share of the largest expected value; inf for other shapes."""
    if expected is None or found.shape != np.shape(expected):
        return float("inf")
    if not found.size:
        return 0.0
    with np.errstate(all="ignore"):
        difference = np.abs(found - expected)
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        difference = np.where(same, 0, difference)
        finite = np.abs(np.where(np.isfinite(expected), expected, 0))
        largest = float(difference.max())
    return largest / max(float(finite.max()), 1e-3) if largest == largest else float("inf")


def fits(explanation: Explanation, part: str, cases: Sequence[Case], tolerance: float) -> bool:
    """Whether it accounts for everything that ``part`` held, and for some deviation from the "
    "twin."""
    deviates = False
    for case in cases:
        if part not in case.found or part not in case.expected:
            continue
        found, expected = case.found[part], case.expected[part]
        with np.errstate(all="ignore"):
            try:
                value = explanation.value(case, part)
            except (ValueError, IndexError, KeyError, ZeroDivisionError):
                return False  # it makes no sense of these shapes
        if value is None:
            value = expected
        if not agree(found, np.asarray(value, float), tolerance):
            return False
        deviates |= not agree(found, expected, tolerance)
    return deviates


def explain(
    explanations: Iterable[Explanation],
    like: str,
    part: str,
    cases: Sequence[Case],
    tolerance: float,
) -> Explanation | None:
    """The first that fits."""
    for explanation in explanations:
        if explanation.likes and like not in explanation.likes:
            continue
        if fnmatch.fnmatch(part, explanation.part) and fits(explanation, part, cases, tolerance):
            return explanation
    return None


def _zeros(case: Case, part: str) -> Array:
    return np.zeros_like(case.expected[part])


def _transposed(case: Case, part: str) -> Array | None:
    value = case.expected[part]
    return value.T if value.ndim == 2 else None


def _rows(case: Case) -> int:
    return case.probe.rows


# what any layer may have
GENERAL = (
    Explanation("sign", "grad *", "{part} has the wrong sign.", lambda c, p: -c.expected[p]),
    Explanation("never computed", "grad *", "{part} stays 0: it is never computed.", _zeros),
    Explanation(
        "transposed", "grad *", "{part} is the transpose of what it should be.", _transposed
    ),
    Explanation(
        "upstream passed on",
        "grad input",
        "backward hands on the upstream gradient itself: the layer's own derivative is missing.",
        lambda c, p: c.dy if c.dy.shape == c.expected[p].shape else None,
    ),
    Explanation(
        "upstream ignored",
        "grad input",
        "backward returns the layer's derivative without multiplying by the upstream gradient.",
        lambda c, p: _derivative(c, p),
    ),
    Explanation(
        "batch mean",
        "grad [!i]*",
        "{part} is divided by the batch size.",
        lambda c, p: c.expected[p] / _rows(c),
        then="the loss's gradient must then not be divided by the batch size as well",
    ),
    Explanation(
        "division by the batch twice",
        "grad *",
        "{part} is divided by the batch size twice.",
        lambda c, p: c.expected[p] / _rows(c) ** 2,
    ),
    Explanation(
        "times the batch",
        "grad *",
        "{part} is multiplied by the batch size.",
        lambda c, p: c.expected[p] * _rows(c),
    ),
    Explanation(
        "factor",
        "grad *",
        "{part} is twice what it should be.",
        lambda c, p: 2 * c.expected[p],
    ),
    Explanation(
        "factor",
        "grad *",
        "{part} is half of what it should be: a factor 2 is missing.",
        lambda c, p: c.expected[p] / 2,
    ),
)


def _derivative(case: Case, part: str) -> Array | None:
    """dx / dy of an elementwise layer."""
    if case.dy.shape != case.expected[part].shape:
        return None
    return np.where(case.dy == 0, 0, case.expected[part] / np.where(case.dy == 0, 1, case.dy))
