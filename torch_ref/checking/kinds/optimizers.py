"""Optimizers: several steps of several parameters, with gradients of changing size."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from torch_ref.checking.explain import Case, Explanation, agree, error
from torch_ref.checking.kinds import deviations
from torch_ref.checking.kinds.draws import generator
from torch_ref.checking.kinds.updates import simulate
from torch_ref.checking.probe import Array, Kind, Probe
from torch_ref.checking.verdict import CONVENTION, RIGHT, WRONG, Finding

STEPS = 7
_SAME, _DIFFERENT = ((3, 3),) * 4, ((3, 2), (2,), (2, 4), (4,))


def _draw(*args: Any, **kwargs: Any) -> list[Probe]:
    """Parameters of one shape, by which a state they share shows, and of several shapes."""
    probes = []
    for shapes, note in ((_SAME, ""), (_DIFFERENT, "parameters of several shapes")):
        rng = generator("optimizer", note)
        parameters = {str(i): rng.standard_normal(shape) for i, shape in enumerate(shapes)}
        steps = tuple(
            tuple(10.0 ** rng.integers(-2, 2) * rng.standard_normal(shape) for shape in shapes)
            for _ in range(STEPS)
        )
        probes.append(Probe(args, kwargs, parameters=parameters, gradients=steps, note=note))
    return probes


_RATE = ("lr", "learning_rate", "eta", "alpha", "step_size", "rate", "learningrate", "learn_rate")
_MOMENTUM = ("momentum", "mu", "beta", "gamma", "rho", "beta1", "alpha", "momentum_rate", "mom")
_EPS = ("eps", "epsilon", "e", "delta", "eps_stable", "small")
_DECAY = ("weight_decay", "wd", "lambda", "l2", "lambda_", "lamb", "lambd", "reg")
_SQUARES = ("decay_rate", "rho", "beta", "gamma", "decay", "alpha", "beta2", "momentum")


def _sgd(params: Any, lr: float = 1e-3, momentum: float = 0.0, weight_decay: float = 0.0) -> Any:
    return torch.optim.SGD(params, lr, momentum, weight_decay=weight_decay)


def _momentum(
    params: Any, lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0
) -> Any:
    return torch.optim.SGD(params, lr, momentum, weight_decay=weight_decay)


def _nesterov(
    params: Any, lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0
) -> Any:
    return torch.optim.SGD(params, lr, momentum, nesterov=True, weight_decay=weight_decay)


def _adam(cls: Any, decay: float) -> Callable[..., Any]:
    def make(
        params: Any,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        betas: Any = None,
        weight_decay: float = decay,
    ) -> Any:
        return cls(params, lr, betas or (beta1, beta2), eps, weight_decay)

    return make


def _adagrad(params: Any, lr: float = 0.01, eps: float = 1e-10) -> Any:
    return torch.optim.Adagrad(params, lr, eps=eps)


def _rmsprop(params: Any, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8) -> Any:
    return torch.optim.RMSprop(params, lr, alpha, eps)


def _adadelta(params: Any, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6) -> Any:
    return torch.optim.Adadelta(params, lr, rho, eps)


_BOTH = {"lr": 0.1, "momentum": 0.8}
_ADAM = {"lr": 0.01, "beta1": 0.9, "beta2": 0.95, "eps": 1e-3}
_ADAM_SPELLINGS = {
    "lr": _RATE,
    "beta1": ("beta1", "beta_1", "b1", "rho1", "beta", "betas1", "decay1", "mu"),
    "beta2": ("beta2", "beta_2", "b2", "rho2", "decay2", "gamma", "nu"),
    "eps": _EPS,
    "betas": ("betas",),
    "weight_decay": _DECAY,
}
_SGD_SPELLINGS = {"lr": _RATE, "momentum": _MOMENTUM, "weight_decay": _DECAY}


def _kind(
    like: str, aliases: tuple[str, ...], options: Sequence[Any], spellings: Any, twin: Any
) -> Kind:
    configurations = tuple(((), option) for option in options)
    return Kind(like, "optimizer", aliases, configurations, _draw, spellings, twin)


KINDS = (
    _kind(
        "SGD",
        ("sgd", "gradientdescent", "stochasticgradientdescent", "vanillaupdate"),
        [{"lr": 0.1}, _BOTH, {"lr": 0.1, "weight_decay": 0.2}],
        _SGD_SPELLINGS,
        _sgd,
    ),
    _kind(
        "Momentum",
        ("momentum", "momentumsgd", "sgdmomentum", "heavyball", "sgdwithmomentum"),
        [_BOTH, {**_BOTH, "weight_decay": 0.2}],
        _SGD_SPELLINGS,
        _momentum,
    ),
    _kind(
        "Nesterov",
        ("nesterov", "nag", "nesterovmomentum", "nesterovacceleratedgradient"),
        [_BOTH],
        _SGD_SPELLINGS,
        _nesterov,
    ),
    _kind(
        "Adagrad", ("adagrad",), [{"lr": 0.1, "eps": 1e-3}], {"lr": _RATE, "eps": _EPS}, _adagrad
    ),
    _kind(
        "RMSprop",
        ("rmsprop",),
        [{"lr": 0.01, "alpha": 0.9, "eps": 1e-3}],
        {"lr": tuple(r for r in _RATE if r != "alpha"), "alpha": _SQUARES, "eps": _EPS},
        _rmsprop,
    ),
    _kind(
        "Adadelta",
        ("adadelta",),
        [{"lr": 1.0, "rho": 0.9, "eps": 1e-3}],
        {"lr": _RATE, "rho": ("rho", "decay_rate", "decay", "gamma", "beta"), "eps": _EPS},
        _adadelta,
    ),
    _kind(
        "Adam",
        ("adam",),
        [_ADAM, {**_ADAM, "weight_decay": 0.1}],
        _ADAM_SPELLINGS,
        _adam(torch.optim.Adam, 0.0),
    ),
    _kind(
        "AdamW",
        ("adamw",),
        [{**_ADAM, "weight_decay": 0.1}],
        {**_ADAM_SPELLINGS, "weight_decay": (*_DECAY, "decay")},
        _adam(torch.optim.AdamW, 0.01),
    ),
)
_TWINS = {kind.like: kind.twin for kind in KINDS}
EXPLANATIONS: Sequence[Explanation] = ()


def options_of(like: str, probe: Probe) -> Mapping[str, float]:
    """The twin's options, defaults included."""
    twin = _TWINS[like]
    assert twin is not None
    bound = inspect.signature(twin).bind_partial(None, *probe.args, **probe.kwargs)
    bound.apply_defaults()
    options = dict(bound.arguments)
    if options.get("betas"):
        options["beta1"], options["beta2"] = options["betas"]
    return options


def judge(like: str, driver: Any, cases: Sequence[Case], tolerance: float) -> list[Finding]:
    """The steps of each experiment; what the first that deviates shows is said once."""
    findings: list[Finding] = []
    for case in cases:
        finding = _Trajectory(like, case, tolerance, driver.offered).judged()
        worst = all(finding.key != other.key for other in findings)
        if finding.verdict != RIGHT and worst:
            findings.append(finding)
    wrong = [f for f in findings if f.verdict == WRONG]
    right = Finding("steps", RIGHT, error=max(_errors(case).max() for case in cases))
    return wrong or findings or [right]


def _errors(case: Case) -> Array:
    return np.array([error(case.found[step], value) for step, value in case.expected.items()])


class _Trajectory:
    """One experiment's steps: all parameters after each step, a row a step."""

    def __init__(self, like: str, case: Case, tolerance: float, offered: set[str]) -> None:
        self.like, self.case, self.tolerance = like, case, tolerance
        self.options = options_of(like, case.probe)
        self.fixed = [name for name in self.options if name not in offered]
        self.found = np.stack([case.found[step] for step in case.expected])
        self.expected = np.stack(list(case.expected.values()))
        self.start = np.concatenate([v.ravel() for v in case.probe.parameters.values()])
        sizes = [v.size for v in case.probe.parameters.values()]
        ends = np.cumsum(sizes)
        self.own = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]

    def judged(self) -> Finding:
        errors = _errors(self.case)
        if errors.max() <= self.tolerance:
            return Finding("steps", RIGHT, error=float(errors.max()))
        first = int(np.argmax(errors > self.tolerance)) + 1
        where = f"from step {first} on"
        set_ = [n for n in ("momentum", "weight_decay") if self.options.get(n)]
        if set_ and not self.like.startswith(("Momentum", "Nesterov")):
            where += " (with " + " and ".join(f"{n}={self.options[n]}" for n in set_) + ")"
        key, says, then = self._diagnosis()
        verdict = CONVENTION if then else WRONG
        with np.errstate(all="ignore"):
            heat = np.nan_to_num(np.abs(self.found - self.expected), nan=np.inf)
        return Finding("steps", verdict, says, key, float(errors.max()), where, then, heat=heat)

    def _diagnosis(self) -> tuple[str, str, str]:
        still = [bool((self.found[:, own] == self.start[own]).all()) for own in self.own]
        if all(still):
            return "a parameter that never moves", "No parameter moves.", ""
        if any(still):
            which = ", ".join(str(i + 1) for i, one in enumerate(still) if one)
            says = f"Of {len(still)} parameters, number {which} never moves."
            return "a parameter that never moves", says, ""
        wrong = [
            own
            for own in self.own
            if not agree(self.found[:, own], self.expected[:, own], self.tolerance)
        ]
        if (known := self._known(self.own)) is not None:
            return known
        if len(wrong) < len(self.own) and (known := self._known(wrong)) is not None:
            key, says, _ = known
            return key, f"Not all parameters are treated alike. Of some: {says}", ""
        if not np.isfinite(self.found).all():
            says = "The steps become NaN or infinite: something is divided by 0."
            return "not finite", says, ""
        return self._factor() or ("", "The steps differ from PyTorch's.", "")

    def _known(self, places: list[slice]) -> tuple[str, str, str] | None:
        # a fixed eps is not known: where it is as small as usual, it moves the fifth digit
        tolerance = 1e-4 if "eps" in self.fixed else 10 * self.tolerance
        for known in deviations.known(self.like, self.fixed):
            with np.errstate(all="ignore"):
                made = simulate(
                    self.case.probe, known.rule, self.options, known.counted, known.shared
                )
            values = np.stack(made)
            close = self.tolerance if known.key.startswith(("another ", "eps")) else tolerance
            if all(agree(self.found[:, own], values[:, own], close) for own in places) and not all(
                agree(self.expected[:, own], values[:, own], self.tolerance) for own in places
            ):
                return known.key, known.says, known.then
        return None

    def _factor(self) -> tuple[str, str, str] | None:
        """Steps that are PyTorch's times a number, the same for all elements."""
        ours, theirs = (
            np.diff(np.vstack([self.start, values]), axis=0)
            for values in (self.found, self.expected)
        )
        ratios = (ours * theirs).sum(1) / (theirs**2).sum(1)
        if not np.allclose(
            ours, ratios[:, None] * theirs, rtol=1e-5, atol=1e-6 * np.abs(ours).max()
        ):
            return None
        if np.allclose(ratios, ratios[0], rtol=1e-4):
            return "factor", f"The steps are {ratios[0]:.4g} times as large as PyTorch's.", ""
        if (np.diff(ratios) <= 1e-9).all() and ratios[-1] > 0:
            says = (
                "The learning rate falls from step to step inside the optimizer, to "
                f"{ratios[-1] / ratios[0]:.3g} of the first after {len(ratios)} steps."
            )
            then = "PyTorch's needs a scheduler that does the same"
            return "decay in the call", says, then
        return None
