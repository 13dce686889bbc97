"""What may be the matter with an optimizer's steps: mistakes and conventions, as other rules."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch_ref.checking.kinds.updates import BASE, Options, Rule, adadelta, adam, momentum, squares
from torch_ref.checking.probe import Array


@dataclass(frozen=True)
class Known:
    """A mistake, or a convention where ``then`` says what must hold elsewhere."""

    key: str
    says: str
    rule: Rule
    then: str = ""
    counted: str = "step"
    shared: bool = False


_ADAMW = "compare it with AdamW: --like AdamW"
_EPS_THEN = "nothing but slightly different steps where gradients are as small as eps"


_CONSTANTS: dict[str, tuple[float, ...]] = {
    "eps": (1e-8, 1e-7, 1e-6, 1e-10, 1e-5, 1e-9, 1e-12, 1e-4, 1e-3, 0.0),
    "momentum": (0.9, 0.5, 0.99, 0.95),
    "alpha": (0.9, 0.99, 0.95, 0.999),
    "rho": (0.9, 0.95, 0.99),
    "beta1": (0.9,),
    "beta2": (0.999, 0.99, 0.9),
}


def _with(rule: Rule, chosen: Options) -> Rule:
    return lambda memory, g, p, t, o: rule(memory, g, p, t, {**o, **chosen})


def _constants(base: Rule, fixed: Sequence[str]) -> Iterator[Known]:
    """The rule itself, where the code fixes an option at another value than PyTorch's."""
    names = [name for name in fixed if name in _CONSTANTS]
    for values in itertools.product(*(_CONSTANTS[name] for name in names)):
        chosen = dict(zip(names, values, strict=True))
        said = " and ".join(f"{name} = {value:g}" for name, value in chosen.items())
        yield Known(
            "another eps" if names == ["eps"] else "another constant",
            f"The code fixes {said}, which is not PyTorch's default.",
            _with(base, chosen),
            then="pass PyTorch the same " + ", ".join(names),
        )


def known(like: str, fixed: Sequence[str] = ()) -> Iterator[Known]:
    """What a deviation of this optimizer may be, the likeliest first; ``fixed`` its constants."""
    base = BASE[like]
    yield Known(
        "sign",
        "The step goes uphill: the update must be subtracted.",
        lambda m, g, p, t, o: -base(m, g, p, t, o),
    )
    yield from _constants(base, fixed)
    for one in _adams(like) if like in ("Adam", "AdamW") else _OWN[like]():
        epsilons = _CONSTANTS["eps"][:8] if "eps" in fixed and one.key.startswith("eps") else ()
        for e in epsilons:
            yield dataclasses.replace(one, rule=_with(one.rule, {"eps": e}))
        if not epsilons:
            yield one
    yield Known(
        "state shared between parameters",
        "All parameters share one state: keep one for each.",
        base,
        shared=True,
    )
    yield Known(
        "lr applied twice",
        "The learning rate is applied twice.",
        lambda m, g, p, t, o: o["lr"] * base(m, g, p, t, o),
    )
    yield Known(
        "lr missing",
        "The step is not multiplied by the learning rate.",
        lambda m, g, p, t, o: base(m, g, p, t, o) / o["lr"],
    )
    if like != "SGD":
        yield Known(
            "state overwritten",
            "The state starts anew at every step: keep it from one to the next.",
            lambda m, g, p, t, o: base({}, g, p, t, o),
        )
    for other, rule in BASE.items():
        if other != like and other != "AdamW" and (like, other) != ("SGD", "Momentum"):
            yield from _another(like, other, rule)


def _another(like: str, other: str, rule: Rule) -> Iterator[Known]:
    def filled(m: dict[str, Any], g: Array, p: Array, t: int, o: Options) -> Any:
        beta = o.get("momentum", o.get("beta1", o.get("alpha", o.get("rho", 0.9))))
        square = o.get("alpha", o.get("rho", o.get("beta2", 0.9)))
        more = {"momentum": beta, "beta1": beta, "beta2": square, "alpha": square, "rho": square}
        return rule(m, g, p, t, {"eps": 1e-8, "weight_decay": 0, **more, **o})

    if other == "SGD":
        plain = {"momentum": 0.0}
        says = f"This is plain gradient descent, not {like}."
        yield Known(
            "another optimizer", says, lambda m, g, p, t, o: rule(m, g, p, t, {**o, **plain})
        )
        return
    says = f"This is {other}, under the name of {like}."
    yield Known("another optimizer", says, filled, then=f"compare it with {other}: --like {other}")


def _adams(like: str) -> Iterator[Known]:
    decay = "coupled" if like == "Adam" else "decoupled"
    yield from (
        Known(
            "eps inside the root",
            "eps stands inside the root: sqrt(v + eps).",
            adam(eps="inside", decay=decay),
            _EPS_THEN,
        ),
        Known(
            "eps-hat",
            "eps is added before the bias correction (the paper's epsilon-hat).",
            adam(eps="hat", decay=decay),
            _EPS_THEN,
        ),
        Known(
            "eps inside the root",
            "eps stands inside the root, before the bias correction.",
            adam(eps="hat inside", decay=decay),
            _EPS_THEN,
        ),
    )
    decays = (
        ("decay halved", "The weights decay by half of what they should.", "half", ""),
        ("factor", "The weights decay by twice of what they should.", "twice", ""),
        (
            "decay without lr",
            "The weight decay is not multiplied by the learning rate.",
            "no lr",
            "the weight decay must be lr times PyTorch's",
        ),
        (
            "decay after the step",
            "The weights decay after the step, PyTorch's before it.",
            "after",
            "nothing: the difference is of the size lr^2",
        ),
        ("weight decay missing", "The weights do not decay: weight_decay is never used.", "", ""),
    )
    if like == "AdamW":
        says = "The decay is added to the gradient (Adam); AdamW's is p -= lr wd p."
        yield Known("decay coupled", says, adam(decay="coupled"))
        yield from (Known(k, s, adam(decay=d), then) for k, s, d, then in decays)
    else:
        says = "This is AdamW: Adam adds the decay to the gradient."
        yield Known(
            "decay decoupled",
            says,
            adam(decay="decoupled"),
            then="compare it with AdamW: --like AdamW",
        )
        yield Known("weight decay missing", decays[-1][1], adam())
    for eps in ("outside", "inside", "hat"):
        for key, changed, says in _ADAM_MISTAKES:
            switches = {"eps": eps, "decay": decay, **changed}
            counted = switches.pop("counted", "step")
            yield Known(key, says, adam(**switches), counted=counted)


_ADAM_MISTAKES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("no bias correction", {"correct": "none"},
     "The bias correction is missing: divide m by 1 - beta1^t and v by 1 - beta2^t."),
    ("bias correction incomplete", {"correct": "first"},
     "Only the first moment is corrected: divide v by 1 - beta2^t as well."),
    ("bias correction incomplete", {"correct": "second"},
     "Only the second moment is corrected: divide m by 1 - beta1^t as well."),
    ("beta for beta**t", {"power": False},
     "The correction is 1 - beta at every step (t stays 1, or is left out): use beta^t."),
    ("counter raised per parameter", {"counted": "parameter"},
     "t is raised once for each parameter: raise it once for each step."),
    ("counter raised per parameter", {"counted": "layer"},
     "t is raised once for each layer: raise it once for each step."),
    ("counter off by one", {"later": 1},
     "t is 2 at the first step: the corrections need 1, 2, 3 ..."),
    ("counter off by one", {"later": -1},
     "t is 0 at the first step, so that the correction divides by 0: raise it first."),
    ("betas swapped", {"betas": "21"},
     "beta1 and beta2 are swapped: beta1 belongs to the mean, beta2 to the mean of squares."),
    ("one beta for both", {"betas": "11"},
     "Both moments decay with beta1: the mean of squares takes beta2."),
    ("one beta for both", {"betas": "22"},
     "Both moments decay with beta2: the mean takes beta1."),
    ("root missing", {"root": "missing"}, "The root is missing: divide by sqrt(v) + eps."),
    ("root multiplied", {"root": "multiplied"},
     "The step is multiplied by the root: divide by sqrt(v) + eps."),
    ("square missing", {"square": "none"}, "The second moment takes g, not g squared."),
    ("square missing", {"square": "m"},
     "The second moment takes the square of m, not of g."),
    ("momentum inverted", {"shares": "inverted"},
     "beta and 1 - beta are swapped in the moments: m = beta1 m + (1 - beta1) g."),
    ("share missing", {"shares": "sum"},
     "The moments add g and g^2 whole: the factors 1 - beta are missing."),
    ("share missing", {"shares": "sum first"},
     "The first moment adds g whole: the factor 1 - beta1 is missing."),
    ("share missing", {"shares": "sum second"},
     "The second moment adds g^2 whole: the factor 1 - beta2 is missing."),
    ("state overwritten", {"stored": "corrected"},
     "The corrected moments are stored in place of the moments: correct copies."),
    ("state overwritten", {"stored": "nothing"},
     "The moments start anew at every step: keep them."),
    ("state overwritten", {"stored": "nothing", "correct": "none"},
     "The moments start anew at every step, and the correction is missing."),
    ("first moment missing", {"mean": False},
     "The step uses the gradient where it needs the corrected mean m."),
    ("eps missing", {"eps": "none"},
     "eps is never added: where gradients are 0, the step is 0 / 0."),
)  # fmt: skip


def _momenta() -> Iterator[Known]:
    average = "the learning rate must be 1 / (1 - mu) times as large as PyTorch's"
    yield from (
        Known(
            "velocity not stored",
            "The velocity is not kept from step to step: this is plain gradient descent.",
            momentum(stored=False),
        ),
        Known(
            "averaged velocity",
            "The velocity is an average, v = mu v + (1 - mu) g; PyTorch's is a sum, v = mu v + g.",
            momentum(share="average"),
            average,
        ),
        Known(
            "averaged velocity",
            "The velocity is an average, corrected for its start; PyTorch's is a sum, v = "
            "mu v + g.",
            momentum(share="corrected"),
            average,
        ),
        Known(
            "velocity not stored",
            "The velocity is not kept from step to step: the step is (1 - mu) g.",
            momentum(stored=False, share="average"),
        ),
        Known(
            "momentum inverted",
            "mu and 1 - mu are swapped: v = mu v + g keeps the share mu.",
            momentum(inverted=True),
        ),
        Known(
            "momentum inverted",
            "mu and 1 - mu are swapped: v = mu v + (1 - mu) g keeps the share mu of the "
            "old velocity.",
            momentum(inverted=True, share="average"),
        ),
        Known(
            "sign in the velocity",
            "The gradient enters the velocity with the wrong sign: v = mu v + g, then w -= lr v.",
            momentum(minus=True),
        ),
        Known(
            "sign in the velocity",
            "The old velocity is turned round at each step: v = mu v + g.",
            _alternating,
        ),
    )
    yield from _decays("")


def _alternating(memory: dict[str, Any], g: Array, p: Array, t: int, o: Options) -> Any:
    memory["v"] = g - o["momentum"] * memory.get("v", 0)
    return o["lr"] * memory["v"]


def _decays(nesterov: str) -> Iterator[Known]:
    yield from (
        Known(
            "decay halved",
            "The weight decay adds half of wd w to the gradient: it is wd w.",
            momentum(decay="half", nesterov=nesterov),
        ),
        Known(
            "factor",
            "The weight decay adds 2 wd w to the gradient: it is wd w.",
            momentum(decay="twice", nesterov=nesterov),
        ),
        Known(
            "weight decay missing",
            "The weights do not decay: weight_decay is never used.",
            momentum(decay="none", nesterov=nesterov),
        ),
        Known(
            "decay decoupled",
            "The weights decay by themselves; PyTorch adds the decay to the gradient, so "
            "that it enters the velocity.",
            momentum(decay="decoupled", nesterov=nesterov),
            "compare it with decoupled decay, as AdamW's",
        ),
    )


def _nesterovs() -> Iterator[Known]:
    yield from (
        Known(
            "another optimizer",
            "This is plain momentum, under Nesterov's name: it does not look ahead.",
            momentum(),
            "compare it with SGD(momentum=...), --like Momentum; or the gradient must be "
            "taken where the velocity leads",
        ),
        Known(
            "Nesterov from the new velocity",
            "The step looks ahead with the velocity that already holds this gradient, "
            "twice over: it is lr (g + mu v).",
            momentum(nesterov="twice"),
        ),
        Known(
            "Nesterov from the new velocity",
            "The step (1 + mu) g + mu^2 v takes the new velocity: it needs the old one, "
            "or lr (g + mu v) of the new.",
            momentum(nesterov="new"),
        ),
        Known(
            "Nesterov from the new velocity",
            "The old velocity is added as well: the step is lr (g + mu v).",
            momentum(nesterov="old"),
        ),
        Known(
            "velocity not stored",
            "The velocity is not kept from step to step.",
            momentum(stored=False, nesterov="torch"),
        ),
        Known(
            "velocity not stored",
            "The velocity is not kept from step to step: this is plain gradient descent.",
            momentum(stored=False),
        ),
        Known(
            "averaged velocity",
            "The velocity is an average, v = mu v + (1 - mu) g; PyTorch's is a sum, v = mu v + g.",
            momentum(share="average", nesterov="torch"),
            "the learning rate must be larger than PyTorch's",
        ),
        Known(
            "momentum inverted",
            "mu and 1 - mu are swapped: v = mu v + g.",
            momentum(inverted=True, nesterov="torch"),
        ),
    )
    yield from _decays("torch")


def _squares(like: str) -> Iterator[Known]:
    decay = "alpha" if like == "RMSprop" else ""
    yield from (
        Known(
            "eps inside the root",
            "eps stands inside the root: sqrt(s + eps).",
            squares("inside", decay=decay),
            _EPS_THEN,
        ),
        Known(
            "root missing",
            "The root is missing: divide by sqrt(s) + eps.",
            squares(root="missing", decay=decay),
        ),
        Known(
            "root multiplied",
            "The step is multiplied by the root: divide by sqrt(s) + eps.",
            squares(root="multiplied", decay=decay),
        ),
        Known(
            "square missing", "The sum takes g, not g squared.", squares(decay=decay, square=False)
        ),
        Known(
            "eps missing",
            "eps is never added: where gradients are 0, the step is 0 / 0.",
            squares("none", decay=decay),
        ),
        Known(
            "state overwritten",
            "The squares are not kept from step to step: s starts anew.",
            squares(decay=decay, stored=False),
        ),
    )
    if like == "RMSprop":
        yield from (
            Known(
                "momentum inverted",
                "The decay rate and 1 minus it are swapped: s = rho s + (1 - rho) g^2.",
                squares(decay="inverted"),
            ),
            Known(
                "momentum inverted",
                "The decay rate and 1 minus it are swapped: s = rho s + (1 - rho) g^2.",
                squares("inside", decay="inverted"),
            ),
            Known(
                "share missing",
                "g^2 is added whole: the factor 1 - rho is missing.",
                squares(decay="alpha", share=False),
            ),
            Known(
                "another optimizer",
                "The squares are summed, not averaged: this is Adagrad.",
                squares(),
                "compare it with Adagrad: --like Adagrad",
            ),
            Known(
                "another optimizer",
                "The squares are summed, not averaged: this is Adagrad, with eps inside the root.",
                squares("inside"),
                "compare it with Adagrad: --like Adagrad",
            ),
        )


def _adadeltas() -> Iterator[Known]:
    yield from (
        Known(
            "eps outside the root",
            "eps stands outside the roots: PyTorch's is sqrt(d + eps) / sqrt(s + eps).",
            adadelta(outside=True),
            _EPS_THEN,
        ),
        Known(
            "root missing",
            "The roots are missing: the step is sqrt(d + eps) / sqrt(s + eps) g.",
            adadelta(root=False),
        ),
        Known("momentum inverted", "rho and 1 - rho are swapped.", adadelta(inverted=True)),
        Known(
            "eps missing",
            "eps is never added: the first step is 0, and so are all others.",
            adadelta(eps=False),
        ),
        Known(
            "squares of the gradient",
            "The second average takes the gradient's squares: it needs those of the step.",
            adadelta(of="gradient"),
        ),
    )


_OWN: dict[str, Callable[[], Iterator[Known]]] = {
    "SGD": _momenta,
    "Momentum": _momenta,
    "Nesterov": _nesterovs,
    "Adagrad": lambda: _squares("Adagrad"),
    "RMSprop": lambda: _squares("RMSprop"),
    "Adadelta": _adadeltas,
}
