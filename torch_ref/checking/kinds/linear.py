"""Linear, Embedding, Flatten."""

from typing import Any

import numpy as np

from torch_ref.checking.explain import Case, Explanation
from torch_ref.checking.kinds.draws import integers, layer_probes, normal
from torch_ref.checking.probe import Array, Kind, Probe

INPUTS = (
    "in_features",
    "input_size",
    "input_dim",
    "in_dim",
    "n_inputs",
    "num_inputs",
    "n_in",
    "fan_in",
    "in_size",
    "d_in",
    "nin",
    "n_x",
    "inputs",
    "n_input",
)
OUTPUTS = (
    "out_features",
    "output_size",
    "output_dim",
    "out_dim",
    "n_outputs",
    "num_outputs",
    "n_out",
    "fan_out",
    "out_size",
    "d_out",
    "nout",
    "n_y",
    "units",
    "n_units",
    "n_neurons",
    "neurons",
    "num_neurons",
    "hidden",
    "hidden_size",
    "outputs",
    "n_output",
    "size",
)


def _draw_linear(*args: Any, **kwargs: Any) -> list[Probe]:
    features = args[0] if args else kwargs["in_features"]
    inputs = [(normal(5, features), ""), (normal(1, features), "a batch of one")]
    return layer_probes("Linear", inputs, args, kwargs)


def _draw_embedding(*args: Any, **kwargs: Any) -> list[Probe]:
    rows = args[0] if args else kwargs["num_embeddings"]
    inputs = [
        (integers(rows, 5), ""),
        (integers(max(rows // 2, 1), 4, 3), "indices that repeat"),
    ]
    return layer_probes("Embedding", inputs, args, kwargs)


def _draw_flatten(*args: Any, **kwargs: Any) -> list[Probe]:
    return layer_probes("Flatten", [(normal(4, 3, 2, 5), "")], args, kwargs)


KINDS = (
    Kind(
        "Linear",
        "layer",
        ("linear", "dense", "affine", "fullyconnected", "fclayer", "fc", "innerproduct"),
        (((3, 4), {}), ((4, 2), {})),
        _draw_linear,
        {"in_features": INPUTS, "out_features": OUTPUTS, "bias": ("use_bias", "bias")},
    ),
    Kind(
        "Embedding",
        "layer",
        ("embedding", "embed", "lookup"),
        (((7, 3), {}),),
        _draw_embedding,
        {
            "num_embeddings": ("vocab_size", "num_embeddings", "vocab", "n_vocab", "v", *INPUTS),
            "embedding_dim": ("embedding_dim", "embed_dim", "dim", "d", "d_model", *OUTPUTS),
        },
    ),
    Kind("Flatten", "layer", ("flatten", "reshape"), (((), {}),), _draw_flatten),
)


def _rows(values: Array) -> Array:
    return values.reshape(-1, values.shape[-1])


def _assigned(case: Case, part: str) -> Array:
    gradient = np.zeros_like(case.expected[part])
    gradient[case.x] = case.dy  # an index that repeats: its last gradient alone
    return gradient


def _bias_of(reduce: Any) -> Any:
    def value(case: Case, part: str) -> Array:
        return np.broadcast_to(reduce(_rows(case.dy)), case.expected[part].shape)

    return value


def _square(case: Case, value: Array) -> Array | None:
    return value if value.shape == case.x.shape else None


EXPLANATIONS = (
    Explanation(
        "bias missing",
        "output",
        "The bias is not added.",
        lambda c, p: c.y - c["bias"],
        ("Linear",),
        textbook="linear",
    ),
    Explanation(
        "weight not transposed",
        "grad input",
        "The weight is the wrong way round: it must be dx = dy W with W as in y = x W^T.",
        lambda c, p: _square(c, c.dy @ c["weight"].T),
        ("Linear",),
        textbook="linear_backward",
    ),
    Explanation(
        "input gradient divided",
        "grad input",
        "The gradient for the input is divided by the batch size; only parameters are averaged "
        "over "
        "it, if at all: each sample has an input of its own.",
        lambda c, p: c.expected[p] / c.probe.rows,
    ),
    Explanation(
        "weight updated too early",
        "grad input",
        "backward updates the weight before it uses it for the input's gradient: compute that "
        "first.",
        lambda c, p: c.dy @ (c["weight"] - c.expected["grad weight"]),
        ("Linear",),
        textbook="linear_backward",
    ),
    Explanation(
        "bias gradient not summed",
        "grad bias",
        "The gradient for the bias is the upstream gradient of every sample: sum it over the "
        "batch, "
        "dy.sum(axis=0).",
        lambda c, p: c.dy if c.dy.size > c.expected[p].size else None,
        ("Linear",),
        textbook="linear_backward",
    ),
    Explanation(
        "bias gradient over everything",
        "grad bias",
        "The gradient for the bias is one sum of everything: each output has a bias of its own, "
        "dy.sum(axis=0).",
        _bias_of(np.sum),
        ("Linear",),
        textbook="linear_backward",
    ),
    Explanation(
        "bias gradient over the wrong axis",
        "grad bias",
        "The gradient for the bias is summed over the outputs: sum over the batch, dy.sum(axis=0).",
        lambda c, p: _rows(c.dy).sum(1),
        ("Linear",),
        textbook="linear_backward",
    ),
    Explanation(
        "one sample only",
        "grad bias",
        "The gradient for the bias is that of one sample.",
        lambda c, p: _rows(c.dy)[-1],
        ("Linear",),
    ),
    Explanation(
        "assigned, not added",
        "grad weight",
        "A row that is used several times gets its last gradient alone (dw[indices] += dy counts "
        "it "
        "once, too): gradients of rows add up, "
        "np.add.at(dw, indices, dy).",
        _assigned,
        ("Embedding",),
        textbook="embedding_backward",
    ),
)
