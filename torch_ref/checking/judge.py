"""A component beside its twin: is each part right, a convention, or wrong and why?"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from torch_ref.checking.drivers.failures import CannotDrive
from torch_ref.checking.explain import GENERAL, Case, agree, error, explain
from torch_ref.checking.kinds import EXPLANATIONS, dropout, losses, optimizers
from torch_ref.checking.probe import Array, Kind, Parts, Probe, answer
from torch_ref.checking.verdict import CONVENTION, RIGHT, WRONG, Finding, Verdict

# by the dtype that the code computes in: a share of the largest expected value
DOUBLE, SINGLE = 1e-7, 2e-4


def judge(name: str, kind: Kind, driver: Any, probes: Sequence[Probe]) -> Verdict:
    """Run the experiments and judge each part.

    Args:
        name: of the component.
        kind: what it is.
        driver: how it is driven.
        probes: the experiments.
    """
    if kind.like == "Dropout":
        findings = [*dropout.judge(driver, probes), *_spoilt(driver)]
        return Verdict(name, kind.like, driver.style, findings, _remarks(driver))
    if kind.role == "optimizer":
        cases = list(_trajectories(kind, driver, probes))
    else:
        cases = [Case(probe, answer(kind, probe), driver.run(probe)) for probe in probes]
    bench = _Bench(kind, driver, cases)
    if kind.role == "loss":
        tolerance = max(bench.tolerance, losses.tolerance(kind.like))
        findings = losses.judge(kind.like, cases, tolerance, bench.part)
    elif kind.role == "optimizer":
        findings = optimizers.judge(kind.like, driver, cases, bench.tolerance)
    else:
        parts = dict.fromkeys(part for case in cases for part in case.expected)
        findings = [bench.part(part) for part in parts if part != "num_batches_tracked"]
        findings = [*_settled(findings), *bench.second_call()]
    findings = [*findings, *_spoilt(driver)]
    return Verdict(name, kind.like, driver.style, findings, _remarks(driver, bench.is_single))


def _trajectories(kind: Kind, driver: Any, probes: Sequence[Probe]) -> Iterator[Case]:
    """An optimizer's; a state that parameters share may fail for several shapes."""
    done: list[Case] = []
    for probe in probes:
        try:
            done.append(Case(probe, answer(kind, probe), driver.run(probe)))
        except CannotDrive:
            found = optimizers.judge(kind.like, driver, done, DOUBLE) if done else []
            if all(finding.verdict != WRONG for finding in found):
                raise
    yield from done


class _Bench:
    """The experiments' results, and questions about them."""

    def __init__(self, kind: Kind, driver: Any, cases: Sequence[Case]) -> None:
        self.kind, self.driver, self.cases = kind, driver, cases
        results = [value for case in cases for value in case.found.values()]
        self.is_single = bool(results) and all(map(_single, results))
        self.tolerance = SINGLE if self.is_single else DOUBLE

    def part(self, part: str, cases: Sequence[Case] | None = None) -> Finding:
        """One part, in all experiments or some."""
        held = self.cases if cases is None else cases
        offered = [case for case in held if part in case.found and part in case.expected]
        if not offered:
            return Finding(part, WRONG, f"{part} was not found: is it computed at all?", "missing")
        errors = [error(case.found[part], case.expected[part]) for case in offered]
        worst = offered[int(np.argmax(errors))]
        if max(errors) <= self.tolerance:
            return Finding(part, RIGHT, error=max(errors))
        where, heat = _place(worst, part)
        known = explain([*EXPLANATIONS, *GENERAL], self.kind.like, part, offered, self.tolerance)
        if known is None:
            says = f"{part} differs from PyTorch's."
            plain = Finding(part, WRONG, says, "", max(errors), where, heat=heat)
            return self._beside_own_forward(plain) if part.startswith("grad") else plain
        says = known.says.replace("{part}", part).replace("{n}", str(worst.probe.rows))
        verdict = CONVENTION if known.is_convention else WRONG
        about = (known.key, max(errors), where, known.then, known.textbook, heat)
        return Finding(part, verdict, says, *about)

    def second_call(self) -> list[Finding]:
        """Two calls in a row, without clearing: the second's gradients must be its own."""
        first, second = self.cases[0], self.cases[1 if len(self.cases) > 1 else 0]
        if self.kind.like in ("BatchNorm1d", "BatchNorm2d"):
            second = first  # the second experiment is of another mode
        twice = getattr(self.driver, "run_twice", None)
        if twice is None:
            return []
        _, found = twice(first.probe, second.probe)
        findings = []
        for part in second.found:
            alone, value = second.found[part], found.get(part)
            if not part.startswith("grad ") or value is None or agree(value, alone, self.tolerance):
                continue
            if part in first.found and agree(value, first.found[part] + alone, 10 * self.tolerance):
                if getattr(self.driver, "can_clear", False):
                    continue
                says = f"{part} adds up from call to call, and nothing clears it."
                findings.append(Finding(part, WRONG, says, "gradients never cleared"))
            else:
                says = f"{part} of a second call differs from what a first call gives."
                findings.append(Finding(part, WRONG, says, "state left over"))
        return findings

    def _beside_own_forward(self, finding: Finding) -> Finding:
        """Whether a gradient that is not the twin's is at least that of people's own forward."""
        fits = [self.own_derivative(case.probe, finding.part, case.found) for case in self.cases]
        if None in fits:
            return finding
        if all(fits):
            says = f"{finding.part} is that of your own forward, which is not PyTorch's: mend that."
            return dataclasses.replace(finding, says=says, key="follows forward", heat=None)
        says = f"{finding.says} It is not the gradient of your own forward either."
        return dataclasses.replace(finding, says=says)

    def own_derivative(self, probe: Probe, part: str, found: Parts) -> bool | None:
        """Whether the gradient fits a numeric directional derivative of the code's own forward.

        None where that can't be said: an integer input, values that are not finite.
        """
        result = "loss" if self.kind.role == "loss" else "output"
        if part not in found or result not in found:
            return None
        upstream = np.ones(()) if probe.upstream is None else probe.upstream
        name = part.removeprefix("grad ")
        value = probe.inputs[0] if name == "input" else probe.parameters.get(name)
        if value is None or value.dtype.kind != "f" or value.shape != found[part].shape:
            return None
        if found[result].shape != np.shape(upstream):
            return None
        direction = np.random.default_rng(0).standard_normal(value.shape)
        h = 1e-2 if self.is_single else 1e-6

        def forward(step: float) -> float:
            moved = value + step * direction
            if name == "input":
                changed = dataclasses.replace(probe, inputs=(moved, *probe.inputs[1:]))
            else:
                parameters = {**probe.parameters, name: moved}
                changed = dataclasses.replace(probe, parameters=parameters)
            return float((self.driver.run(changed)[result] * upstream).sum())

        numeric = (forward(h) - forward(-h)) / (2 * h)
        analytic = float((found[part] * direction).sum())
        if not np.isfinite([numeric, analytic]).all():
            return None
        size = max(abs(numeric), abs(analytic), 1e-3)
        return abs(numeric - analytic) <= (2e-2 if self.is_single else 1e-5) * size


def _single(value: Array) -> bool:
    """Whether it was computed in float32, though it may be handed back in float64."""
    return value.dtype == np.float32 or bool(
        np.array_equal(value, value.astype(np.float32), equal_nan=True)
    )


def _place(case: Case, part: str) -> tuple[str, Array | None]:
    """Where the worst element is, in words, and the errors of all."""
    found, expected = case.found[part], case.expected[part]
    heat = None
    if found.shape == expected.shape:
        with np.errstate(all="ignore"):
            heat = np.nan_to_num(np.abs(found - expected), nan=np.inf)
        at = np.unravel_index(int(np.argmax(heat)), heat.shape)
        where = f"at {[int(i) for i in at]}: {found[at]:.6g} for {expected[at]:.6g}"
    else:
        where = f"shape {found.shape} for {expected.shape}"
    options = ", ".join(f"{key}={value}" for key, value in case.probe.kwargs.items())
    with_ = " and ".join(filter(None, [options, case.probe.note]))
    return where + (f" (with {with_})" if with_ else ""), heat


def _settled(findings: Sequence[Finding]) -> list[Finding]:
    """The batch mean is a convention only where all parameters' gradients share it."""
    own = [f for f in findings if f.part.startswith("grad ") and f.part != "grad input"]
    keys = {f.key for f in own}
    if "batch mean" not in keys or keys == {"batch mean"}:
        return list(findings)
    says = "{} is divided by the batch size, others are not."
    return [
        dataclasses.replace(
            f, verdict=WRONG, says=says.format(f.part), key="batch mean for some only", then=""
        )
        if f.key == "batch mean"
        else f
        for f in findings
    ]


def _spoilt(driver: Any) -> list[Finding]:
    """Arrays of the caller that the code changed."""
    return [
        Finding(
            "arrays", WRONG, f"{note}: the caller still needs them; copy first.", "changed in place"
        )
        for note in dict.fromkeys(map(str, getattr(driver, "notes", ())))
        if "in place" in note
    ]


def _remarks(driver: Any, single: bool = False) -> list[str]:
    """What was found of layouts; a shape is said once, by n, for all sizes tried."""
    others = [n for n in map(str, getattr(driver, "notes", ())) if "in place" not in n]
    others += ["computes in float32"] if single else []
    said = [
        re.sub(r"\b(\d\d+|[2-9])\b", "n", text) if "has the shape" in text else text
        for text in [*driver.conventions, *others]
    ]
    return list(dict.fromkeys(said))
