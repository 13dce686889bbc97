"""A component beside its twin: is each part right, a convention, or wrong and why?"""

import contextlib
import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from torch_ref.checking.explain import GENERAL, Case, Explanation, agree, error, explain
from torch_ref.checking.failures import CannotDrive
from torch_ref.checking.kinds import EXPLANATIONS, dropout, losses, optimizers
from torch_ref.checking.probe import Array, Kind, Parts, Probe, answer
from torch_ref.checking.verdict import CONVENTION, RIGHT, WRONG, Finding, Verdict

# by the dtype that the code computes in: a share of the largest expected value
DOUBLE, SINGLE = 1e-7, 2e-4
_UNLISTED = "is not among parameters()"
_MISFIT = "It is PyTorch's, but not that of your own forward."
_TRAINING = "{} after a forward in evaluation is that of training."
_FROZEN = "backward must not be called in evaluation, as fine-tuning with frozen statistics would"


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
    cases, failures = _results(kind, driver, probes)
    bench = _Bench(kind, driver, cases)
    if kind.role == "loss":
        tolerance = max(bench.tolerance, losses.tolerance(kind.like))
        findings = losses.judge(kind.like, cases, tolerance, bench.part)
        findings = bench.beside_own_forward(findings)
    elif kind.role == "optimizer":
        findings = optimizers.judge(kind.like, driver, cases, bench.tolerance)
        if any(finding.verdict == WRONG for finding in findings):
            failures = []  # a state that parameters share fails for several shapes
    else:
        parts = dict.fromkeys(part for case in cases for part in case.expected)
        findings = [bench.part(part) for part in parts if bench.is_asked(part)]
        findings = _together(_settled(bench.beside_own_forward(findings)))
        findings = [*findings, *bench.second_call()]
    findings = [*findings, *failures, *_spoilt(driver)]
    return Verdict(name, kind.like, driver.style, findings, _remarks(driver, bench.is_single))


def _results(kind: Kind, driver: Any, probes: Sequence[Probe]) -> tuple[list[Case], list[Finding]]:
    """All experiments, and a finding where the code raises in some.

    Experiments for which a right component need not be made count only if they go well.
    """
    cases: list[Case] = []
    failures: dict[str, Finding] = {}
    first: CannotDrive | None = None
    for probe in probes:
        try:
            case = Case(probe, answer(kind, probe), driver.run(probe))
        except CannotDrive as problem:
            first = first or problem
            if not probe.is_extra:
                failure = _raised(probe, problem)
                failures.setdefault(failure.line, failure)
            continue
        if probe.is_extra and not agree(case.found["output"], case.expected["output"], SINGLE):
            continue
        cases.append(case)
    if first is not None and not cases:
        raise first
    return cases, list(failures.values())


def _raised(probe: Probe, problem: CannotDrive) -> Finding:
    file = problem.file.rsplit("/", 1)[-1]
    line = f"{file}:{problem.line}: {problem.source}" if file else ""
    if ":-" in problem.source.replace(" ", "") and not probe.kwargs.get("padding"):
        says = "[p:-p] leaves nothing at padding p = 0: cut the padding off by [p:p + size]."
        return Finding("run", WRONG, says, "[p:-p] at p = 0", line=line)
    says = f"It fails where others work: {problem.reason}"
    where = _with(probe).strip(" ()")
    return Finding("run", WRONG, says, "does not run", where=where, line=line)


class _Bench:
    """The experiments' results, and questions about them."""

    def __init__(self, kind: Kind, driver: Any, cases: Sequence[Case]) -> None:
        self.kind, self.driver, self.cases = kind, driver, cases
        results = [value for case in cases for value in case.found.values()]
        self.is_single = bool(results) and all(map(_single, results))
        self.tolerance = SINGLE if self.is_single else DOUBLE

    def is_asked(self, part: str) -> bool:
        """Whether a part must be there, or is."""
        if part == "num_batches_tracked":
            return False
        there = any(part in case.found for case in self.cases)
        outputs = [
            (c.found["output"], c.expected["output"]) for c in self.cases if "output" in c.found
        ]
        resized = any(found.shape != expected.shape for found, expected in outputs)
        if not there and part.startswith("grad ") and resized:
            return False  # an output of another size has no gradient
        return there or part not in self.kind.optional

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
        known = self._known(part, offered)
        training = [case for case in offered if case.probe.training]
        if known is None and part.startswith("grad ") and 0 < len(training) < len(offered):
            if all(agree(c.found[part], c.expected[part], self.tolerance) for c in training):
                about = ("backward of training", max(errors), where, _FROZEN, "", heat)
                return Finding(part, CONVENTION, _TRAINING.format(part), *about)
            known = self._known(part, training)
        if known is None:
            says = f"{part} differs from PyTorch's."
            return Finding(part, WRONG, says, "", max(errors), where, heat=heat)
        says = known.says.replace("{part}", part).replace("{n}", str(worst.probe.rows))
        verdict = CONVENTION if known.is_convention else WRONG
        about = (known.key, max(errors), where, known.then, known.textbook, heat)
        return Finding(part, verdict, says, *about)

    def _known(self, part: str, cases: Sequence[Case]) -> Explanation | None:
        return explain([*EXPLANATIONS, *GENERAL], self.kind.like, part, cases, self.tolerance)

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

    def beside_own_forward(self, findings: Sequence[Finding]) -> list[Finding]:
        """Gradients that are not the twin's may still be those of people's own forward."""
        output = next((f for f in findings if f.part in ("output", "loss")), None)
        if output is None:
            return list(findings)
        judged = []
        for finding in findings:
            deviates = finding.part.startswith("grad ") and finding.verdict == WRONG
            if (
                not deviates
                or finding.key == "missing"
                or (finding.key and (output.verdict == RIGHT or output.part == "loss"))
            ):
                if output.verdict == WRONG and finding.verdict == RIGHT and self._misfits(finding):
                    finding = dataclasses.replace(finding, says=_MISFIT)
                judged.append(finding)
                continue
            told = self._fits(finding.part)
            if told and not all(told):
                says = f"{finding.says} It is not the gradient of your own forward either."
                finding = dataclasses.replace(finding, says=says)
            elif told and output.verdict != RIGHT:
                mend = "" if output.verdict == CONVENTION else ", which is not PyTorch's: mend that"
                finding = dataclasses.replace(
                    finding,
                    verdict=output.verdict,
                    says=f"{finding.part} is that of your own forward{mend}.",
                    key="follows forward",
                    then=output.then,
                    textbook="",
                    heat=None,
                )
            judged.append(finding)
        return judged

    def _fits(self, part: str) -> list[bool]:
        """Whether a gradient fits the code's own forward, where that can be told."""
        fits = []
        for case in self.cases:
            with contextlib.suppress(CannotDrive):  # it may fail for inputs a little aside
                fits.append(self.own_derivative(case.probe, part, case.found))
        return [fit for fit in fits if fit is not None]

    def _misfits(self, finding: Finding) -> bool:
        return finding.part.startswith("grad ") and not all(self._fits(finding.part))

    def own_derivative(self, probe: Probe, part: str, found: Parts) -> bool | None:
        """Whether the gradient fits a numeric directional derivative of the code's own forward.

        None where that can't be said: an integer input, a kink, values that are not finite.
        """
        result = "loss" if self.kind.role == "loss" else "output"
        if part not in found or result not in found:
            return None
        upstream = np.ones(()) if probe.upstream is None else probe.upstream
        name = part.removeprefix("grad ")
        arguments = ("input", *self.kind.more_inputs)
        place = arguments.index(name) if name in arguments else None
        value = probe.parameters.get(name) if place is None else probe.inputs[place]
        if value is None or value.dtype.kind != "f" or value.shape != found[part].shape:
            return None
        if found[result].shape != np.shape(upstream):
            return None
        direction = np.random.default_rng(0).standard_normal(value.shape)
        h = 1e-2 if self.is_single else 1e-6

        def forward(step: float) -> float:
            moved = value + step * direction
            if place is not None:
                inputs = (*probe.inputs[:place], moved, *probe.inputs[place + 1 :])
                changed = dataclasses.replace(probe, inputs=inputs)
            else:
                parameters = {**probe.parameters, name: moved}
                changed = dataclasses.replace(probe, parameters=parameters)
            return float((self.driver.run(changed)[result] * upstream).sum())

        up, here, down = (forward(step) for step in (h, 0, -h))
        numeric = (up - down) / (2 * h)
        if abs(up + down - 2 * here) > 1e-2 * h * (1 + abs(numeric)):
            return None  # a kink: a tie, an input of exactly 0
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
    return where + _with(case.probe), heat


def _with(probe: Probe) -> str:
    """What is special about an experiment, in brackets."""
    options = ", ".join(f"{key}={value}" for key, value in probe.kwargs.items())
    words = " and ".join(filter(None, [options, probe.note]))
    return f" (with {words})" if words else ""


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


def _together(findings: Sequence[Finding]) -> list[Finding]:
    """Of a forward that deviates: whether backward belongs to it."""
    output = next((f for f in findings if f.part == "output"), None)
    gradients = [f for f in findings if f.part.startswith("grad ") and f.key != "missing"]
    own = [f for f in gradients if f.key == "follows forward"]
    if output is None or output.verdict != WRONG or not own:
        return list(findings)
    others = [
        f.part.removeprefix("grad ")
        for f in gradients
        if f not in own and (f.verdict == WRONG or f.says == _MISFIT)
    ]
    but = f", but not the gradient for {' and '.join(others)}" if others else ""
    says = f"{output.says} Your backward fits this forward{but}."
    return [dataclasses.replace(output, says=says), *(f for f in findings if f is not output)]


def _spoilt(driver: Any) -> list[Finding]:
    """Arrays of the caller that the code changed."""
    unknown = [n for n in dict.fromkeys(map(str, getattr(driver, "notes", ()))) if _UNLISTED in n]
    says = "{}: an optimizer that is given parameters() will never move it."
    return [
        Finding("parameters", WRONG, says.format(note), "parameters not registered")
        for note in unknown
    ] + [
        Finding(
            "arrays", WRONG, f"{note}: the caller still needs them; copy first.", "changed in place"
        )
        for note in dict.fromkeys(map(str, getattr(driver, "notes", ())))
        if "in place" in note
    ]


def _remarks(driver: Any, single: bool = False) -> list[str]:
    """What was found of layouts; a shape is said once, by n, for all sizes tried."""
    notes = map(str, getattr(driver, "notes", ()))
    others = [n for n in notes if "in place" not in n and _UNLISTED not in n]
    others += ["computes in float32"] if single else []
    said = [
        re.sub(r"\b(\d\d+|[2-9])\b", "n", text) if "has the shape" in text else text
        for text in [*driver.conventions, *others]
    ]
    return list(dict.fromkeys(said))
