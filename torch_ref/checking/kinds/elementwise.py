"""Activations."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from numpy_impl import textbook
from torch_ref.checking.explain import Case, Explanation
from torch_ref.checking.kinds.draws import large, layer_probes, normal, tied
from torch_ref.checking.probe import Array, Kind, Probe


def _activation(like: str, *aliases: str, at_0: bool = False, **spellings: tuple[str, ...]) -> Kind:
    """An elementwise layer; ``at_0``: torch's derivative there is compared, too."""

    def draw(*args: Any, **kwargs: Any) -> list[Probe]:
        inputs = [(normal(5, 4), ""), (normal(3, 2, 4, 3), "four axes")]
        inputs.append((large(6, 5), "large inputs"))
        if at_0:
            inputs.append((tied(5, 4), "inputs of exactly 0"))
        return layer_probes(like, inputs, args, kwargs, extra=("four axes",))

    return Kind(like, "layer", aliases, (((), {}),), draw, spellings)


def _draw_rows(like: str) -> Callable[..., list[Probe]]:
    def draw(*args: Any, **kwargs: Any) -> list[Probe]:
        options: Mapping[str, Any] = {"dim": -1} | kwargs
        inputs = [(normal(5, 4), ""), (large(5, 4), "large inputs"), (tied(4, 6), "equal inputs")]
        return layer_probes(like, inputs, args, options)

    return draw


_SLOPE = ("alpha", "slope", "leak", "a", "negative_slope", "leakiness")
KINDS = (
    _activation("ReLU", "relu", "rectifiedlinear", "rectifier", at_0=True),
    _activation("LeakyReLU", "leakyrelu", "lrelu", "leaky", at_0=True, negative_slope=_SLOPE),
    _activation("ELU", "elu", "exponentiallinear", alpha=("alpha", "a")),
    _activation("Sigmoid", "sigmoid", "logistic", "sigm"),
    _activation("Tanh", "tanh", "hyperbolictangent"),
    _activation("Softplus", "softplus"),
    _activation("GELU", "gelu"),
    _activation("SiLU", "silu", "swish"),
    _activation("SELU", "selu"),
    _activation("Softsign", "softsign"),
    _activation("Mish", "mish"),
    _activation("Hardtanh", "hardtanh"),
    _activation("LogSigmoid", "logsigmoid"),
    Kind(
        "LogSoftmax",
        "layer",
        ("logsoftmax",),
        (((), {}),),
        _draw_rows("LogSoftmax"),
        {"dim": ("axis", "dim")},
    ),
    Kind(
        "Softmax",
        "layer",
        ("softmax",),
        (((), {}),),
        _draw_rows("Softmax"),
        {"dim": ("axis", "dim")},
    ),
)


def _wrong(key: str, likes: str, says: str, derivative: Any, **more: Any) -> Explanation:
    """A gradient dy * derivative(x, y)."""
    return Explanation(
        key,
        "grad input",
        says,
        lambda case, part: case.dy * derivative(case.x, case.y),
        tuple(likes.split()),
        **more,
    )


def _overflow(case: Case, part: str) -> Array | None:
    """Right, but for NaN and infinity among large inputs."""
    found, expected = case.found[part], case.expected[part]
    if "large" not in case.probe.note or found.shape != expected.shape:
        return None
    return np.where(np.isfinite(found), expected, found)


def _sigmoid(x: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(x / 2)


def _softmax_whole(case: Case, part: str) -> Array:
    e = np.exp(case.x - case.x.max())
    return e / e.sum()


def _negative_slope(case: Case) -> float:
    given = case.probe.args[0] if case.probe.args else case.probe.kwargs.get("negative_slope")
    return 0.01 if given is None else given


EXPLANATIONS = (
    Explanation(
        "overflow",
        "*",
        "{part} is NaN or infinite for large inputs: subtract the maximum before exp, or use a "
        "form "
        "that does not overflow (for softplus max(x, 0) + log1p(exp(-|x|))).",
        _overflow,
    ),
    _wrong(
        "relu mask missing",
        "ReLU",
        "backward lets every gradient through: the mask is missing, or tests output < 0, which is "
        "never so. It must be dy * (x > 0).",
        lambda x, y: 1,
    ),
    _wrong(
        "relu returns x for 1",
        "ReLU",
        "The derivative of ReLU is 1 where x > 0; this is x there: dy * max(x, 0) for dy * (x > "
        "0).",
        lambda x, y: y,
    ),
    _wrong(
        "relu mask inverted",
        "ReLU",
        "The mask is the wrong way round: gradients must pass where x > 0.",
        lambda x, y: x < 0,
    ),
    _wrong(
        "relu mask inverted",
        "ReLU",
        "The mask is the wrong way round: gradients must pass where x > 0.",
        lambda x, y: x <= 0,
    ),
    _wrong(
        "derivative at 0",
        "ReLU",
        "At inputs of exactly 0 the derivative is 1 here; PyTorch takes 0.",
        lambda x, y: x >= 0,
        then="nothing: any value between 0 and 1 is a subgradient there",
    ),
    Explanation(
        "derivative at 0",
        "grad input",
        "At inputs of exactly 0 the derivative is 1 here; PyTorch takes the negative slope.",
        lambda c, p: c.dy * np.where(c.x >= 0, 1, _negative_slope(c)),
        ("LeakyReLU",),
        then="nothing: any value between the slopes is a subgradient there",
    ),
    Explanation(
        "slope missing",
        "grad input",
        "Where x < 0 the gradient must be multiplied by the negative slope; here it is 0.",
        lambda c, p: c.dy * (c.x > 0),
        ("LeakyReLU",),
    ),
    Explanation(
        "slope missing",
        "grad input",
        "Where x < 0 the gradient must be multiplied by the negative slope; here it passes whole.",
        lambda c, p: c.dy,
        ("LeakyReLU",),
    ),
    _wrong(
        "derivative of the input",
        "Sigmoid",
        "The derivative s (1 - s) is of the output s = sigmoid(x); here x itself is taken for s.",
        lambda x, y: x * (1 - x),
    ),
    _wrong(
        "sigmoid twice",
        "Sigmoid",
        "sigmoid is applied once more to the output: the derivative is s (1 - s), with s the "
        "output.",
        lambda x, y: _sigmoid(y) * (1 - _sigmoid(y)),
    ),
    _wrong(
        "derivative incomplete",
        "Sigmoid",
        "The derivative of sigmoid is s (1 - s); the factor s is missing.",
        lambda x, y: 1 - y,
    ),
    _wrong(
        "derivative of the input",
        "Tanh",
        "The derivative 1 - y^2 is of the output y = tanh(x); here x itself is taken for y.",
        lambda x, y: 1 - x**2,
    ),
    _wrong(
        "tanh twice",
        "Tanh",
        "tanh is applied once more to the output: the derivative is 1 - y^2, with y the output.",
        lambda x, y: 1 - np.tanh(y) ** 2,
    ),
    _wrong(
        "derivative incomplete",
        "Tanh",
        "The derivative of tanh is 1 - y^2; the square is missing.",
        lambda x, y: 1 - y,
    ),
    _wrong(
        "derivative incomplete",
        "ELU",
        "Where x < 0 the derivative of ELU is y + alpha; alpha is missing.",
        lambda x, y: np.where(x > 0, 1, y),
    ),
    _wrong(
        "product rule",
        "SiLU",
        "x sigmoid(x) is a product: its derivative is s + x s (1 - s); here only s.",
        lambda x, y: _sigmoid(x),
    ),
    _wrong(
        "product rule",
        "SiLU",
        "x sigmoid(x) is a product: its derivative is s + x s (1 - s); here only x s (1 - s). "
        "(Tensors that assign a gradient, grad = for grad +=, lose a share like this.)",
        lambda x, y: x * _sigmoid(x) * (1 - _sigmoid(x)),
    ),
    Explanation(
        "product rule",
        "grad input",
        "GELU is a product, x Phi(x): its derivative is Phi + x Phi'; here only Phi.",
        lambda c, p: c.dy * _phi(c.x),
        ("GELU",),
    ),
    Explanation(
        "product rule",
        "grad input",
        "GELU is a product, x Phi(x): its derivative is Phi + x Phi'; here only Phi.",
        lambda c, p: c.dy * np.where(c.x == 0, 0.5, _gelu_tanh(c)["output"] / c.x),
        ("GELU",),
    ),
    Explanation(
        "sum missing",
        "grad input",
        "The sum over the row is missing: dx = dy - softmax(x) sum(dy).",
        lambda c, p: c.dy - np.exp(c.y) * c.dy,
        ("LogSoftmax",),
        textbook="log_softmax_backward",
    ),
    Explanation(
        "tanh approximation",
        "*",
        "This is GELU by its tanh approximation, which is off by up to 5e-4.",
        lambda c, p: _gelu_tanh(c)[p],
        ("GELU",),
        then="compare it with approximate='tanh', which is PyTorch's name for it",
    ),
    Explanation(
        "wrong axis",
        "output",
        "softmax is taken over the batch: each row must sum to 1, axis=-1. (axis=0 is "
        "right only where samples are columns.)",
        lambda c, p: textbook.softmax(c.x, 0),
        ("Softmax",),
        textbook="softmax",
    ),
    Explanation(
        "whole array",
        "output",
        "softmax is taken over the whole array: each row must sum to 1, axis=-1 and keepdims=True.",
        _softmax_whole,
        ("Softmax",),
        textbook="softmax",
    ),
    Explanation(
        "left to the loss",
        "grad input",
        "backward hands the upstream gradient on unchanged.",
        lambda c, p: c.dy,
        ("Softmax",),
        then="the loss behind it must return the gradient for the logits, (p - y) / N",
    ),
    _wrong(
        "diagonal of the Jacobian",
        "Softmax",
        "Only the diagonal of softmax's Jacobian is used, s (1 - s); each output hangs on every "
        "input of its row: dx = s (dy - sum(dy s)).",
        lambda x, y: y * (1 - y),
        textbook="softmax_backward",
    ),
    _wrong(
        "jacobian's sum missing",
        "Softmax",
        "The sum over the row is missing: dx = s (dy - sum(dy s)), here s dy.",
        lambda x, y: y,
        textbook="softmax_backward",
    ),
)


def _phi(x: Array) -> Array:
    """The normal distribution's."""
    return torch.special.ndtr(torch.from_numpy(np.array(x))).numpy()


def _gelu_tanh(case: Case) -> dict[str, Array]:
    root = np.sqrt(2 / np.pi)
    inner = np.tanh(root * (case.x + 0.044715 * case.x**3))
    slope = (1 - inner**2) * root * (1 + 3 * 0.044715 * case.x**2)
    dx = case.dy * (0.5 * (1 + inner) + 0.5 * case.x * slope)
    return {"output": 0.5 * case.x * (1 + inner), "grad input": dx}
