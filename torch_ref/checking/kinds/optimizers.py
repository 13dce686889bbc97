"""Optimizers: five steps and more of two parameters, with gradients of changing size."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from torch_ref.checking.explain import Case, Explanation
from torch_ref.checking.kinds.draws import generator
from torch_ref.checking.probe import Array, Kind, Probe

STEPS = 7
Options = Mapping[str, float]
# of one parameter: (its memory, its gradient, the step's number, the options) -> what is subtracted
Rule = Callable[[dict[str, Any], Array, int, Options], Any]


def _draw(*args: Any, **kwargs: Any) -> list[Probe]:
    rng = generator("optimizer")
    shapes = ((3, 2), (4,))
    parameters = {str(i): rng.standard_normal(shape) for i, shape in enumerate(shapes)}
    steps = tuple(
        tuple(10.0 ** rng.integers(-2, 2) * rng.standard_normal(shape) for shape in shapes)
        for _ in range(STEPS)
    )
    return [Probe(args, kwargs, parameters=parameters, gradients=steps, note="")]


_RATE = ("lr", "learning_rate", "eta", "alpha", "step_size", "rate", "learningrate")
_MOMENTUM = ("momentum", "mu", "beta", "gamma", "rho", "beta1", "alpha", "momentum_rate")
_EPS = ("eps", "epsilon", "e", "delta")


def _sgd(params: Any, lr: float = 1e-3, momentum: float = 0.0, **more: Any) -> Any:
    return torch.optim.SGD(params, lr, momentum, **more)


def _nesterov(params: Any, lr: float = 1e-3, momentum: float = 0.9) -> Any:
    return torch.optim.SGD(params, lr, momentum, nesterov=True)


def _adam(cls: Any) -> Callable[..., Any]:
    def make(
        params: Any,
        lr: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        betas: Any = None,
        **more: Any,
    ) -> Any:
        return cls(params, lr, betas or (beta1, beta2), eps, **more)

    return make


_ADAM = {"lr": 0.01, "beta1": 0.9, "beta2": 0.95, "eps": 1e-3}
_ADAM_SPELLINGS = {
    "lr": _RATE,
    "beta1": ("beta1", "beta_1", "b1", "rho1", "beta"),
    "beta2": ("beta2", "beta_2", "b2", "rho2"),
    "eps": _EPS,
    "betas": ("betas",),
}


def _kind(like: str, aliases: tuple[str, ...], options: Any, spellings: Any, twin: Any) -> Kind:
    return Kind(like, "optimizer", aliases, (((), options),), _draw, spellings, twin)


KINDS = (
    _kind(
        "SGD",
        ("sgd", "gradientdescent", "stochasticgradientdescent", "vanillaupdate"),
        {"lr": 0.1},
        {"lr": _RATE, "momentum": _MOMENTUM},
        _sgd,
    ),
    _kind(
        "Momentum",
        ("momentum", "momentumsgd", "sgdmomentum", "heavyball", "sgdwithmomentum"),
        {"lr": 0.1, "momentum": 0.8},
        {"lr": _RATE, "momentum": _MOMENTUM},
        _sgd,
    ),
    _kind(
        "Nesterov",
        ("nesterov", "nag", "nesterovmomentum", "nesterovacceleratedgradient"),
        {"lr": 0.1, "momentum": 0.8},
        {"lr": _RATE, "momentum": _MOMENTUM},
        _nesterov,
    ),
    _kind(
        "Adagrad",
        ("adagrad",),
        {"lr": 0.1, "eps": 1e-3},
        {"lr": _RATE, "eps": _EPS},
        lambda params, lr=0.01, eps=1e-10: torch.optim.Adagrad(params, lr, eps=eps),
    ),
    _kind(
        "RMSprop",
        ("rmsprop",),
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-3},
        {
            "lr": ("lr", "learning_rate", "eta", "step_size", "learningrate"),
            "alpha": ("decay_rate", "rho", "beta", "gamma", "decay", "alpha", "beta2", "momentum"),
            "eps": _EPS,
        },
        lambda params, lr=0.01, alpha=0.99, eps=1e-8: torch.optim.RMSprop(params, lr, alpha, eps),
    ),
    _kind("Adam", ("adam",), _ADAM, _ADAM_SPELLINGS, _adam(torch.optim.Adam)),
    _kind(
        "AdamW",
        ("adamw",),
        {**_ADAM, "weight_decay": 0.1},
        {**_ADAM_SPELLINGS, "weight_decay": ("weight_decay", "wd", "decay", "lambda", "l2")},
        _adam(torch.optim.AdamW),
    ),
)


def simulate(case: Case, rule: Rule, counted: str = "step") -> dict[str, Array]:
    """All steps by ``rule``; ``counted`` per "step" or per "parameter"."""
    values = [np.array(value) for value in case.probe.parameters.values()]
    memories: list[dict[str, Any]] = [{} for _ in values]
    options = {
        "lr": 1e-3,
        "momentum": 0.0,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "alpha": 0.99,
    }
    options = {**options, **case.probe.kwargs}
    if betas := case.probe.kwargs.get("betas"):
        options["beta1"], options["beta2"] = betas
    parts, calls = {}, 0
    for step, gradients in enumerate(case.probe.gradients, 1):
        for i, gradient in enumerate(gradients):
            calls += 1
            t = step if counted == "step" else calls
            values[i] = values[i] - rule(memories[i], gradient, t, options)
        parts[f"step {step}"] = np.concatenate([value.ravel() for value in values])
    return parts


def _adam_rule(
    correct: str = "both",
    power: bool = True,
    swapped: bool = False,
    eps: str = "outside",
    root: bool = True,
    square: bool = True,
    inverted: bool = False,
) -> Rule:
    """Adam with one thing changed."""

    def rule(memory: dict[str, Any], g: Array, t: int, o: Options) -> Any:
        b1, b2 = (o["beta2"], o["beta1"]) if swapped else (o["beta1"], o["beta2"])
        k1, k2 = (1 - b1, 1 - b2) if inverted else (b1, b2)
        memory["m"] = k1 * memory.get("m", 0) + (1 - k1) * g
        memory["v"] = k2 * memory.get("v", 0) + (1 - k2) * (g * g if square else g)
        c1 = 1 - b1 ** (t if power else 1) if correct in ("both", "first") else 1
        c2 = 1 - b2 ** (t if power else 1) if correct in ("both", "second") else 1
        m, v = memory["m"] / c1, memory["v"] / c2
        if eps == "hat":
            return o["lr"] * np.sqrt(c2) / c1 * memory["m"] / (np.sqrt(memory["v"]) + o["eps"])
        if eps == "inside":
            return o["lr"] * m / np.sqrt(v + o["eps"])
        return o["lr"] * m / ((np.sqrt(v) if root else v) + o["eps"])

    return rule


def _momentum_rule(
    stored: bool = True, average: bool = False, nesterov: str = "", inverted: bool = False
) -> Rule:
    def rule(memory: dict[str, Any], g: Array, t: int, o: Options) -> Any:
        mu = 1 - o["momentum"] if inverted else o["momentum"]
        before = memory.get("v", 0)
        v = mu * before + ((1 - mu) * g if average else g)
        memory["v"] = v if stored else 0
        if nesterov == "torch":
            v = g + mu * v
        if nesterov == "twice":  # looks ahead with the new velocity, twice over
            v = mu * v + v
        return o["lr"] * v

    return rule


def _square_rule(eps: str = "outside", root: bool = True, decay: str = "") -> Rule:
    """RMSprop or Adagrad with one thing changed."""

    def rule(memory: dict[str, Any], g: Array, t: int, o: Options) -> Any:
        keep = {"": 1.0, "alpha": o["alpha"], "inverted": 1 - o["alpha"]}[decay]
        add = 1.0 if decay == "" else 1 - keep
        memory["s"] = keep * memory.get("s", 0) + add * g * g
        if eps == "inside":
            return o["lr"] * g / np.sqrt(memory["s"] + o["eps"])
        return o["lr"] * g / ((np.sqrt(memory["s"]) if root else memory["s"]) + o["eps"])

    return rule


def _ascent(rule: Rule) -> Rule:
    return lambda memory, g, t, o: -rule(memory, g, t, o)


_RULES: dict[str, Rule] = {
    "SGD": _momentum_rule(),
    "Momentum": _momentum_rule(),
    "Nesterov": _momentum_rule(nesterov="torch"),
    "Adagrad": _square_rule(),
    "RMSprop": _square_rule(decay="alpha"),
    "Adam": _adam_rule(),
}


def _explanation(
    key: str, likes: str, says: str, rule: Rule, then: str = "", counted: str = "step"
) -> Explanation:
    def value(case: Case, part: str) -> Array:
        return simulate(case, rule, counted)[part]

    return Explanation(key, "step *", says, value, tuple(likes.split()), then=then)


_EPS_THEN = "nothing but slightly different steps where gradients are as small as eps"
EXPLANATIONS = (
    *(
        _explanation(
            "sign",
            like,
            "The step goes uphill: the update must be subtracted.",
            _ascent(rule),
        )
        for like, rule in _RULES.items()
    ),
    *(
        _explanation(
            "a parameter that never moves",
            like,
            "No parameter moves.",
            lambda memory, g, t, o: 0.0,
        )
        for like in _RULES
    ),
    _explanation(
        "no bias correction",
        "Adam AdamW",
        "The bias correction is missing: divide m by 1 - beta1^t and v by 1 - beta2^t.",
        _adam_rule(correct="none"),
    ),
    _explanation(
        "bias correction incomplete",
        "Adam",
        "Only the first moment is corrected: divide v by 1 - beta2^t as well.",
        _adam_rule(correct="first"),
    ),
    _explanation(
        "bias correction incomplete",
        "Adam",
        "Only the second moment is corrected: divide m by 1 - beta1^t as well.",
        _adam_rule(correct="second"),
    ),
    _explanation(
        "beta for beta**t",
        "Adam",
        "The bias correction is 1 - beta at every step (t stays 1, or is left out): it is 1 - "
        "beta^t.",
        _adam_rule(power=False),
    ),
    _explanation(
        "counter raised per parameter",
        "Adam",
        "t is raised once for each parameter: raise it once for each step.",
        _adam_rule(),
        counted="parameter",
    ),
    _explanation(
        "betas swapped",
        "Adam",
        "beta1 and beta2 are swapped: beta1 belongs to the mean, beta2 to the mean of squares.",
        _adam_rule(swapped=True),
    ),
    _explanation(
        "root missing",
        "Adam",
        "The root is missing: divide by sqrt(v) + eps.",
        _adam_rule(root=False),
    ),
    _explanation(
        "square missing",
        "Adam",
        "The second moment takes g, not g squared.",
        _adam_rule(square=False),
    ),
    _explanation(
        "momentum inverted",
        "Adam",
        "beta and 1 - beta are swapped in the moments: m = beta1 m + (1 - beta1) g.",
        _adam_rule(inverted=True),
    ),
    _explanation(
        "eps inside the root",
        "Adam",
        "eps stands inside the root: sqrt(v + eps).",
        _adam_rule(eps="inside"),
        then=_EPS_THEN,
    ),
    _explanation(
        "eps-hat",
        "Adam",
        "eps is added before the bias correction (the paper's epsilon-hat).",
        _adam_rule(eps="hat"),
        then=_EPS_THEN,
    ),
    _explanation(
        "velocity not stored",
        "Momentum Nesterov",
        "The velocity is not kept from step to step: this is plain gradient descent.",
        _momentum_rule(stored=False),
    ),
    _explanation(
        "averaged velocity",
        "Momentum",
        "The velocity is an average, v = mu v + (1 - mu) g; PyTorch's is a sum, v = mu v + g.",
        _momentum_rule(average=True),
        then="the learning rate must be 1 / (1 - mu) times as large as PyTorch's",
    ),
    _explanation(
        "momentum inverted",
        "Momentum",
        "mu and 1 - mu are swapped: v = mu v + g keeps the share mu of the old velocity.",
        _momentum_rule(inverted=True),
    ),
    _explanation(
        "momentum inverted",
        "Momentum",
        "mu and 1 - mu are swapped: v = mu v + (1 - mu) g keeps the share mu of the old velocity.",
        _momentum_rule(inverted=True, average=True),
    ),
    _explanation(
        "another optimizer",
        "Momentum",
        "This is Nesterov's momentum, under the name of plain momentum.",
        _momentum_rule(nesterov="torch"),
        then="compare it with SGD(nesterov=True)",
    ),
    _explanation(
        "another optimizer",
        "Nesterov",
        "This is plain momentum, under Nesterov's name: it does not look ahead.",
        _momentum_rule(),
        then="compare it with SGD(momentum=...)",
    ),
    _explanation(
        "Nesterov from the new velocity",
        "Nesterov",
        "The step looks ahead with the velocity that already holds this gradient, twice over: it "
        "is "
        "lr (g + mu v).",
        _momentum_rule(nesterov="twice"),
    ),
    _explanation(
        "eps inside the root",
        "RMSprop",
        "eps stands inside the root: sqrt(s + eps).",
        _square_rule("inside", decay="alpha"),
        then=_EPS_THEN,
    ),
    _explanation(
        "eps inside the root",
        "Adagrad",
        "eps stands inside the root: sqrt(s + eps).",
        _square_rule("inside"),
        then=_EPS_THEN,
    ),
    _explanation(
        "root missing",
        "RMSprop",
        "The root is missing: divide by sqrt(s) + eps.",
        _square_rule(root=False, decay="alpha"),
    ),
    _explanation(
        "root missing",
        "Adagrad",
        "The root is missing: divide by sqrt(s) + eps.",
        _square_rule(root=False),
    ),
    _explanation(
        "momentum inverted",
        "RMSprop",
        "The decay rate and 1 minus it are swapped: s = rho s + (1 - rho) g^2.",
        _square_rule(decay="inverted"),
    ),
    _explanation(
        "another optimizer",
        "RMSprop",
        "The squares are summed, not averaged: this is Adagrad.",
        _square_rule(),
    ),
)
