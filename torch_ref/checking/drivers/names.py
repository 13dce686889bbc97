"""What people call things: methods, parameters, gradients, arguments."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from torch_ref.checking.probe import Kind, Probe

FORWARD = (
    "forward", "__call__", "fprop", "feedforward", "feed_forward", "forward_pass",
    "forward_prop", "forward_propagate", "forward_propagation", "call", "apply", "compute",
    "activate", "f", "fn", "activation", "predict",
)  # fmt: skip
BACKWARD = (
    "backward", "bprop", "backprop", "backward_pass", "back_prop", "backpropagate",
    "backward_prop", "backward_propagation", "back", "gradient", "grad", "derivative", "prime",
    "df", "deriv", "backpropagation", "compute_gradients",
)  # fmt: skip
DERIVATIVE_METHODS = ("gradient", "grad", "derivative", "prime", "df", "deriv")
LOSS_FORWARD = ("loss", "calculate", "cost", "compute_loss", "get_loss", "value", "error", *FORWARD)
LOSS_BACKWARD = ("loss_gradient", "delta", "dloss", "loss_grad", "input_gradient", *BACKWARD)
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "weight": ("weight", "weights", "w", "kernel", "kernels", "filters", "filter", "gamma", "scale",
               "theta", "g", "embedding", "embeddings", "table", "weightmatrix", "conv", "a", "k"),
    "bias": ("bias", "biases", "b", "beta", "shift", "offset", "biasvector"),
    "running_mean": ("runningmean", "movingmean", "runmean", "meanrunning", "rmean", "movmean",
                     "avgmean", "runningmu", "globalmean"),
    "running_var": ("runningvar", "movingvar", "runningvariance", "movingvariance", "runvar",
                    "rvar",
                    "varrunning", "movvar", "avgvar", "globalvar"),
    "weight_ih_l0": ("weightih", "wih", "wxh", "wx", "wax", "u", "weightihl0", "wi"),
    "weight_hh_l0": ("weighthh", "whh", "wh", "waa", "v", "weighthhl0", "uh"),
    "bias_ih_l0": ("biasih", "bih", "bh", "ba", "b", "bias", "biasihl0"),
    "bias_hh_l0": ("biashh", "bhh", "biashhl0"),
}  # fmt: skip
for _name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
    PARAMETERS = {**PARAMETERS, _name: PARAMETERS[f"{_name}_l0"]}
INPUT_GRADIENT = (
    "dinputs", "dinput", "dx", "dlossdinput", "gradinput", "dldx", "inputgrad", "xgrad",
    "gradx", "ginput", "dinputvalues", "inputgradient", "delta", "da", "grad",
)  # fmt: skip
OUTPUT = ("output", "outputs", "out", "y", "a", "z", "activation", "result")
HOLDERS = ("data", "value", "val", "w", "array", "values", "tensor")
GRADIENT = ("grad", "gradient", "g", "dw", "dvalue", "grads")
INPUT_ARGUMENTS = ("x", "input", "inputs", "inp", "xs", "data", "z", "prev", "aprev", "lastinput")
UPSTREAM = (
    "dout", "dy", "grad", "gradoutput", "dvalues", "delta", "outputgradient", "upstream", "dz",
    "da", "gradient", "outgrad", "gradout", "d", "error", "dl", "dldy", "dldout",
)  # fmt: skip
TRAINING = ("training", "train", "istraining", "istrain", "trainingmode", "trainmode", "intraining",
            "trainflg", "trainflag", "trainphase", "phasetrain")  # fmt: skip
EVALUATION = ("test", "testing", "eval", "inference", "evaluate", "istest", "predict", "testmode")
MASK = ("mask", "attnmask", "attentionmask", "causalmask")
RATE = ("lr", "learningrate", "eta", "rate", "stepsize", "learnrate")
CACHE = ("cache", "ctx", "context", "saved", "memory", "mem", "caches", "state")
OPTIMIZER = ("optimizer", "opt", "optim", "optimiser", "updater")
TARGET = (
    "target", "targets", "ytrue", "labels", "label", "t", "true", "actual", "truth", "expected",
    "groundtruth", "onehot", "real", "gt", "yt", "truelabels", "trainlabel",
)  # fmt: skip
PREDICTION = (
    "ypred", "pred", "prediction", "predictions", "yhat", "output", "outputs", "logits",
    "scores", "a", "p", "probs", "predicted", "x", "out", "al", "input", "inputs", "z",
    "probabilities", "yp", "score", "logit",
)  # fmt: skip


def plain(name: str) -> str:
    """Lower case, without underscores."""
    return name.replace("_", "").lower()


def guess_kind(name: str, kinds: Iterable[Kind]) -> Kind | None:
    """The kind whose longest alias is in a name; None if there is none."""
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)}
    name = plain(name)
    found = [
        (alias == name or name.startswith(alias) or len(alias) > 2, len(alias), kind.like, kind)
        for kind in kinds
        for alias in (*kind.aliases, plain(kind.like))
        if (alias in name if len(alias) > 3 else alias in words or name.startswith(alias))
    ]
    return max(found, key=lambda f: f[:2])[3] if found else None


def is_gradient_of(name: str, parameter: Iterable[str]) -> bool:
    """Whether a name is that of the gradient of one of the parameters, by their plain names."""
    name = plain(name)
    affixes = ("d{}", "{}grad", "grad{}", "dld{}", "dloss{}", "{}gradient", "{}gradients",
               "dlossd{}",
               "gradient{}", "g{}", "delta{}", "{}grads", "grads{}", "djd{}", "dcd{}", "{}g",
               "{}delta", "gradients{}", "nabla{}", "derivative{}", "dldloss{}", "ded{}", "d{}s",
               "{}derivative", "gradof{}", "grad{}s", "dc{}")  # fmt: skip
    return any(name == affix.format(p) for p in parameter for affix in affixes)


def looks_like_gradient(name: str) -> bool:
    return any(is_gradient_of(name, names) for names in PARAMETERS.values())


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """A function's named arguments, without self, *args, **kwargs."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return []
    return [
        p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def twin_options(kind: Kind, probe: Probe) -> dict[str, Any]:
    """The twin's constructor arguments by torch's name."""
    twin = kind.twin or getattr(torch.optim if kind.role == "optimizer" else torch.nn, kind.like)
    names = [p.name for p in parameters_of(twin)]
    if kind.role == "optimizer":
        names = names[1:]
    return {**dict(zip(names, probe.args, strict=False)), **probe.kwargs}


def spelled(kind: Kind, name: str, options: Mapping[str, Any]) -> str | None:
    """torch's name for what people call an argument; options that are given come first."""
    candidates = [
        (torch_name not in options, place, torch_name)
        for torch_name, names in {**{o: (o,) for o in options}, **kind.spellings}.items()
        for place, one in enumerate((torch_name, *names))
        if plain(one) == plain(name)
    ]
    return min(candidates)[2] if candidates else None


_NEUTRAL: Mapping[str, Any] = {
    "seed": 0, "randomseed": 0, "randomstate": 0, "name": "layer",
    "initializer": None, "activation": None,
    "optimizer": None, "regularizer": None, "dtype": np.float64,
}  # fmt: skip
_PAIRS = ("poolshape", "kernelshape", "filtershape", "windowshape")
_SHAPES = ("inputshape", "inshape", "inputdims")
_HEIGHTS = ("h", "height")  # what follows is the width
_SIZES = ("size", "features", "units", "neurons", "nodes", "dim", "channels", "nin", "nout")


def torch_default(kind: Kind, p: inspect.Parameter) -> float | None:
    """What torch takes for an argument that is not given, where people's own default is another."""
    twin = kind.twin or getattr(torch.optim if kind.role == "optimizer" else torch.nn, kind.like)
    own = spelled(kind, p.name, {})
    usual = next((q.default for q in parameters_of(twin) if q.name == own), None)
    is_number = isinstance(usual, int | float) and not isinstance(usual, bool)
    return usual if is_number and usual != p.default else None


def _as_theirs(p: inspect.Parameter, value: Any) -> Any:
    """A size as a pair, where their default or its name says so."""
    is_pair = isinstance(p.default, tuple) or plain(p.name) in _PAIRS
    return (value, value) if is_pair and isinstance(value, int) else value


def constructor_arguments(make: Callable[..., Any], kind: Kind, probe: Probe) -> dict[str, Any]:
    """What to hand to people's constructor so that it does what the twin does."""
    options = twin_options(kind, probe)
    given: dict[str, Any] = {}
    used: set[str] = set()
    open_: list[str] = []
    if any(plain(p.name) in _SHAPES for p in parameters_of(make)):
        used |= {"in_channels"}  # which its shape says; "depth" is then that of the output
    for p in parameters_of(make):
        left = {option: value for option, value in options.items() if option not in used}
        name, torch_name = plain(p.name), spelled(kind, p.name, left)
        if name.startswith("keep") and "p" in options:
            given[p.name] = 1 - options["p"]
            used.add("p")
        elif name == "betas" and {"beta1", "beta2"} <= options.keys():
            given[p.name] = (options["beta1"], options["beta2"])
        elif torch_name in options and torch_name not in used:
            given[p.name] = _as_theirs(p, options[torch_name])
            if not name.endswith(_HEIGHTS):
                used.add(torch_name)
        elif name in RATE and kind.role == "layer":
            given[p.name] = 1.0
        elif name in ("rng", "generator", "randomgenerator"):
            given[p.name] = np.random.default_rng(0)
        elif (
            name in ("inputshape", "inshape", "inputdim", "inputdims", "inputsize") and probe.inputs
        ):
            shape = probe.inputs[0].shape[1:]
            given[p.name] = shape[0] if len(shape) == 1 and name != "inputshape" else shape
        elif p.default is p.empty:
            if (usual := torch_default(kind, p)) is not None:
                given[p.name] = usual
            elif name in _NEUTRAL:
                given[p.name] = _NEUTRAL[name]
            else:
                open_.append(p.name)
        elif kind.role == "layer" and (usual := torch_default(kind, p)) is not None:
            given[p.name] = usual
    others = [options[name] for name in options if name not in used and options[name] is not None]
    for name, value in zip(open_, others, strict=False):
        given[name] = value
    return given
