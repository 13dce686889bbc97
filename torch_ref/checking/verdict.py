"""What became of a component: a finding for each of its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torch_ref.checking.failures import CannotDrive

RIGHT, CONVENTION, WRONG, UNUSABLE = "right", "right by a convention", "wrong", "unusable"
_WORST = (RIGHT, CONVENTION, WRONG, UNUSABLE)


@dataclass(frozen=True)
class Finding:
    """One part of a component, judged.

    Attributes:
        part: its name.
        verdict: right, right by a convention, wrong, unusable.
        says: a sentence or two, where it is not right.
        key: the mistake's or convention's name; "" for none, or none that is known.
        error: the worst deviation, as a share of the largest expected value.
        where: the experiment and the element.
        then: what must hold elsewhere, of a convention.
        textbook: the lines that are right, by name in numpy_impl.textbook.
        heat: the errors of the worst experiment, element by element.
        line: the line of the file where it may be, "file:12: code".
    """

    part: str
    verdict: str
    says: str = ""
    key: str = ""
    error: float = 0.0
    where: str = ""
    then: str = ""
    textbook: str = ""
    heat: np.ndarray | None = None
    line: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a component.

    Attributes:
        name: what people call it.
        like: its twin.
        style: how it was driven.
        findings: each part's.
        conventions: layouts that were found.
        skeleton: an adapter to fill in, where guessing stopped.
    """

    name: str
    like: str
    style: str
    findings: Sequence[Finding]
    conventions: Sequence[str] = ()
    skeleton: str = ""

    @property
    def verdict(self) -> str:
        """The worst of the findings'."""
        return max((finding.verdict for finding in self.findings), key=_WORST.index, default=RIGHT)

    @property
    def keys(self) -> list[str]:
        """The names of the mistakes and conventions found."""
        return list(dict.fromkeys(f.key for f in self.findings if f.key))


def unusable(name: str, like: str, problem: CannotDrive) -> Verdict:
    """The verdict on code that doesn't run, with the place."""
    line = f"{Path(problem.file).name}:{problem.line}: {problem.source}" if problem.file else ""
    finding = Finding("run", UNUSABLE, problem.reason, "does not run", line=line)
    return Verdict(name, like, "", [finding])


def worst(verdicts: Sequence[Verdict]) -> str:
    """The worst of several verdicts."""
    return Verdict("", "", "", [f for v in verdicts for f in v.findings]).verdict
