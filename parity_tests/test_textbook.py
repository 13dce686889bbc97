"""The textbook's pairs beside torch and a directional derivative, and as the layers' oracle.

``python -m parity_tests.test_textbook`` writes the textbook's code into docs/textbook.md.
"""

import ast
import inspect
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from numpy_impl import nn, textbook
from parity_tests.directional import check_directional
from parity_tests.flat_state import FlatState
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, random_upstream
from torch_ref.convert import to_numpy, to_torch

Array = np.ndarray
FUNCTIONS: dict[str, Callable] = dict(inspect.getmembers(textbook, inspect.isfunction))
PAIRS = [name.removesuffix("_backward") for name in FUNCTIONS if name.endswith("_backward")]
CONSTANT = {"indices", "mask", "mean", "var", "target", "weight"}  # arguments without a gradient
PAGE = Path(__file__).parent.parent / "docs" / "textbook.md"


@dataclass(frozen=True)
class Row:
    """One call of a pair.

    Attributes:
        pair: its name in the textbook.
        inputs: the leading arguments: a shape (standard normal values), a function of a
            generator, or an int or None that stands for itself.
        options: the other arguments.
        note: what makes the row worth having.
        kinks: whether a small step changes the winner, or the value is NaN.
    """

    pair: str
    inputs: tuple
    options: dict[str, Any]
    note: str
    kinks: bool

    def __str__(self) -> str:
        inputs = ["drawn" if callable(value) else str(value) for value in self.inputs]
        options = [f"{name}={value}" for name, value in self.options.items()]
        return f"{self.pair}({', '.join(inputs + options)}){self.note and f' [{self.note}]'}"

    def rng(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{purpose} of {self}".encode()))

    def draw(self, dtype: str) -> list[Any]:
        rng = self.rng("inputs")
        arguments: list[Any] = []
        for value in self.inputs:
            if isinstance(value, tuple):
                value = rng.standard_normal(value)
            elif callable(value):
                value = value(rng)
            is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
            arguments.append(value.astype(dtype) if is_float else value)
        return arguments


def row(pair: str, *inputs: Any, note: str = "", kinks: bool = False, **options: Any) -> Row:
    return Row(pair, inputs, options, note, kinks)


Draw = Callable[[np.random.Generator], Array]


def integers(high: int, *shape: int) -> Draw:
    return lambda rng: rng.integers(0, high, shape)


def tied(*shape: int) -> Draw:
    """So few values that windows have several maxima."""
    return lambda rng: rng.integers(-1, 2, shape).astype(float)


def with_nan(*shape: int) -> Draw:
    return lambda rng: np.where(rng.random(shape) < 0.2, np.nan, rng.standard_normal(shape))


def large(*shape: int) -> Draw:
    return lambda rng: 1e3 * rng.standard_normal(shape)


def positive(*shape: int) -> Draw:
    return lambda rng: rng.random(shape) + 0.5


def classes_or_ignored(high: int, *shape: int) -> Draw:
    return lambda rng: np.where(rng.random(shape) < 0.3, -100, rng.integers(0, high, shape))


def probabilities(classes: int, *rows: int) -> Draw:
    return lambda rng: np.moveaxis(rng.dirichlet(np.ones(classes), rows), -1, 1)


def mask(*shape: int) -> Draw:
    """Every query sees the first key, at least."""
    return lambda rng: (rng.random(shape) < 0.5) | (np.arange(shape[-1]) == 0)


LSTM = ((12, 4), (12, 3), (12,), (12,))  # four gates of 3 units, 4 inputs
GRU = ((9, 4), (9, 3), (9,), (9,))
ROWS = [
    row("linear", (5, 3), (4, 3), (4,)),
    row("linear", (2, 5, 3), (4, 3), None, note="no bias, more axes"),
    row("linear", (3,), (4, 3), (4,), note="one sample"),
    row("linear", (0, 3), (4, 3), (4,), note="batch of zero"),
    row("embedding", integers(5, 4, 3), (6, 2), note="rows used twice, and never"),
    row("conv", (2, 3, 8), (4, 3, 3), (4,)),
    row("conv", (2, 4, 15), (6, 2, 4), (6,), stride=2, padding=3, dilation=2, groups=2),
    row("conv", (2, 3, 6, 7), (4, 3, 2, 3), None, stride=(2, 1), padding=(0, 2)),
    row("conv", (2, 3, 8, 8), (4, 3, 3, 3), (4,), stride=2, note="a rest is not reached"),
    row("conv", (2, 3, 6, 6), (4, 3, 3, 3), (4,), stride=2, padding=1, note="padding has a rest"),
    row("conv", (2, 3, 9, 9), (4, 3, 2, 2), (4,), stride=3, note="gaps between windows"),
    row("conv", (2, 3, 5, 4), (4, 3, 1, 1), (4,), note="kernel of 1"),
    row("conv", (2, 3, 5, 4), (4, 3, 1, 1), (4,), stride=2, padding=1, note="kernel of 1"),
    row("conv", (2, 4, 6, 6), (4, 1, 3, 3), (4,), padding=1, groups=4, note="depthwise"),
    row("conv", (0, 4, 6, 6), (4, 2, 3, 3), (4,), groups=2, note="batch of zero"),
    row("conv", (1, 2, 5, 4, 6), (4, 1, 3, 2, 2), (4,), dilation=(1, 2, 3), groups=2),
    row("conv_transpose", (2, 3, 5), (3, 4, 3), (4,)),
    row("conv_transpose", (2, 3, 4, 5), (3, 4, 3, 2), None, stride=2, padding=1),
    row(
        "conv_transpose",
        (2, 4, 4, 3),
        (4, 3, 3, 2),
        (6,),
        stride=(3, 2),
        padding=(2, 0),
        output_padding=(2, 1),
        groups=2,
    ),
    row(
        "conv_transpose",
        (2, 3, 4),
        (3, 2, 3),
        (2,),
        output_padding=2,
        dilation=3,
        padding=1,
        note="output padding beyond the stride",
    ),
    row("conv_transpose", (2, 2, 3, 4, 2), (2, 3, 2, 2, 3), (3,), stride=2, dilation=2),
    row("conv_transpose", (2, 3, 4, 4), (3, 2, 1, 1), (2,), stride=2, note="kernel of 1"),
    row("conv_transpose", (0, 3, 4, 4), (3, 2, 2, 2), (2,), note="batch of zero"),
    row("max_pool", (2, 3, 9), 3),
    row("max_pool", (2, 3, 6, 6), 3, stride=2, padding=1, note="padding has a rest"),
    row("max_pool", (2, 3, 7, 8), 2, stride=(1, 2), dilation=(2, 1), note="windows overlap"),
    row("max_pool", (1, 2, 5, 6, 4), 2, padding=1),
    row("max_pool", (2, 3, 5, 4), 1, stride=2, note="kernel of 1"),
    row("max_pool", tied(2, 3, 6, 6), 3, stride=1, kinks=True, note="ties"),
    row("max_pool", tied(2, 3, 6, 6), 2, padding=1, kinks=True, note="ties"),
    row(
        "max_pool",
        with_nan(2, 3, 6, 6),
        3,
        stride=2,
        padding=1,
        kinks=True,
        note="NaN in a window",
    ),
    row("max_pool", (0, 3, 6, 6), 2, note="batch of zero"),
    row("avg_pool", (2, 3, 9), 3),
    row("avg_pool", (2, 3, 6, 6), 3, stride=2, padding=1, note="padding has a rest"),
    row("avg_pool", (2, 3, 6, 6), 3, stride=2, padding=1, count_include_pad=False),
    row("avg_pool", (2, 3, 6, 7), 2, stride=(1, 3), padding=1, divisor_override=3),
    row("avg_pool", (1, 2, 5, 6, 4), 2, padding=1, count_include_pad=False),
    row("avg_pool", (2, 3, 5, 4), 1, stride=2, note="kernel of 1"),
    row("avg_pool", (0, 3, 6, 6), 2, note="batch of zero"),
    row("normalize", (4, 5), axes=(0,), eps=1e-5),
    row("normalize", (4, 5, 3), axes=(0, 2), eps=0.1),
    row("normalize", (4, 5), axes=(0,), eps=1e-5),
    row("normalize", (4, 5, 3), axes=(0, 2), eps=0.1),
    row("batch_norm", (6, 3), (3,), (3,)),
    row("batch_norm", (4, 3, 5), (3,), (3,), eps=0.1),
    row("batch_norm", (2, 3, 4, 5), (3,), (3,)),
    row("batch_norm", (2, 3, 2, 3, 4), (3,), (3,)),
    row("batch_norm_evaluation", (6, 3), (3,), positive(3), (3,), (3,)),
    row("batch_norm_evaluation", (2, 3, 4, 5), (3,), positive(3), (3,), (3,), eps=0.1),
    row("batch_norm_evaluation", (0, 3, 4), (3,), positive(3), (3,), (3,), note="batch of zero"),
    row("layer_norm", (4, 5), (5,), (5,)),
    row("layer_norm", (2, 3, 4, 5), (4, 5), (4, 5), eps=0.1, note="two axes"),
    row("layer_norm", (0, 5), (5,), (5,), note="batch of zero"),
    row("group_norm", (4, 6), 2, (6,), (6,)),
    row("group_norm", (2, 6, 3, 4), 2, (6,), (6,), eps=0.1),
    row("group_norm", (2, 3, 3, 4), 3, (3,), (3,), note="instance norm"),
    row("softmax", (4, 5)),
    row("softmax", (2, 3, 4), axis=1),
    row("softmax", large(4, 5), note="exp would overflow"),
    row("softmax", (0, 5), note="batch of zero"),
    row("log_softmax", (4, 5)),
    row("log_softmax", (2, 3, 4), axis=1),
    row("log_softmax", large(4, 5), note="exp would overflow"),
    row("cross_entropy", (6, 4), integers(4, 6)),
    row("cross_entropy", (6, 4), integers(4, 6), positive(4), reduction="sum"),
    row("cross_entropy", (6, 4), integers(4, 6), positive(4), ignore_index=1),
    row(
        "cross_entropy",
        (6, 4, 3),
        classes_or_ignored(4, 6, 3),
        positive(4),
        reduction="none",
        label_smoothing=0.2,
        note="ignored rows, smoothed",
    ),
    row("cross_entropy", (3, 4, 2, 2), integers(4, 3, 2, 2), positive(4), label_smoothing=0.1),
    row("cross_entropy", (6, 4), probabilities(4, 6), positive(4), label_smoothing=0.1),
    row("cross_entropy", (3, 4, 5), probabilities(4, 3, 5), reduction="none"),
    row("cross_entropy", (0, 4), integers(4, 0), reduction="sum", note="batch of zero"),
    row("attention", (2, 5, 4), (2, 3, 4), (2, 3, 6)),
    row("attention", (2, 2, 5, 4), (2, 2, 5, 4), (2, 2, 5, 3), is_causal=True),
    row("attention", (2, 3, 4), (2, 5, 4), (2, 5, 4), is_causal=True, note="fewer queries"),
    row("attention", (2, 5, 4), (2, 3, 4), (2, 3, 6), mask(2, 5, 3)),
    row("attention", (0, 5, 4), (0, 3, 4), (0, 3, 6), note="batch of zero"),
    row("lstm_step", (5, 4), (5, 3), (5, 3), *LSTM),
    row("lstm", (6, 5, 4), (5, 3), (5, 3), *LSTM),
    row("lstm", (1, 2, 4), (2, 3), (2, 3), *LSTM, note="one step"),
    row("gru_step", (5, 4), (5, 3), *GRU),
    row("gru_step", (0, 4), (0, 3), *GRU, note="batch of zero"),
]


def by_axes(name: str) -> Callable:
    """torch's function for as many axes as the input has."""
    return lambda x, *args, **options: getattr(F, name.format(x.ndim - 2))(x, *args, **options)


def torch_lstm(x: Any, h: Any, c: Any, *weights: Any) -> tuple:
    y, h, c = torch.lstm(x, (h[None], c[None]), weights, True, 1, 0.0, True, False, False)
    return y, h[0], c[0]


TWINS: dict[str, Callable] = {
    "linear": F.linear,
    "embedding": F.embedding,
    "conv": by_axes("conv{}d"),
    "conv_transpose": by_axes("conv_transpose{}d"),
    "max_pool": by_axes("max_pool{}d"),
    "avg_pool": by_axes("avg_pool{}d"),
    "normalize": lambda x, axes, eps: (
        (x - x.mean(axes, True)) / (x.var(axes, unbiased=False, keepdim=True) + eps).sqrt()
    ),
    "batch_norm": lambda x, w, b, eps=1e-5: F.batch_norm(x, None, None, w, b, True, eps=eps),
    "batch_norm_evaluation": F.batch_norm,
    "layer_norm": lambda x, w, b, eps=1e-5: F.layer_norm(x, w.shape, w, b, eps),
    "group_norm": F.group_norm,
    "softmax": lambda x, axis=-1: F.softmax(x, axis),
    "log_softmax": lambda x, axis=-1: F.log_softmax(x, axis),
    "cross_entropy": F.cross_entropy,
    "attention": F.scaled_dot_product_attention,
    "lstm_step": lambda x, h, c, *weights: torch.lstm_cell(x, (h, c), *weights),
    "lstm": torch_lstm,
    "gru_step": torch.gru_cell,
}


def with_state(layer: Any, *arrays: Any, names: tuple[str, ...] = ("weight", "bias")) -> Any:
    state = {name: a for name, a in zip(names, arrays, strict=True) if a is not None}
    layer.load_state_dict(state, strict=False)
    return layer


def conv_layer(x: Array, w: Array, b: Any, **options: Any) -> Any:
    kind, channels = getattr(nn, f"Conv{x.ndim - 2}d"), x.shape[1]
    kernel, options = w.shape[2:], {"bias": b is not None, "dtype": x.dtype, **options}
    return with_state(kind(channels, len(w), kernel, **options), w, b)


def conv_transpose_layer(x: Array, w: Array, b: Any, groups: int = 1, **options: Any) -> Any:
    kind, filters = getattr(nn, f"ConvTranspose{x.ndim - 2}d"), groups * w.shape[1]
    options = {"groups": groups, "bias": b is not None, "dtype": x.dtype, **options}
    return with_state(kind(len(w), filters, w.shape[2:], **options), w, b)


def batch_norm_layer(x: Array, eps: float) -> Any:
    return getattr(nn, f"BatchNorm{max(1, x.ndim - 2)}d")(x.shape[1], eps, dtype=x.dtype)


# the library's layer for a call's arguments
LAYERS: dict[str, Callable] = {
    "linear": lambda x, w, b: with_state(
        nn.Linear(*w.shape[::-1], bias=b is not None, dtype=x.dtype), w, b
    ),
    "embedding": lambda indices, w: nn.Embedding.from_pretrained(w, freeze=False),
    "conv": conv_layer,
    "conv_transpose": conv_transpose_layer,
    "max_pool": lambda x, *args, **options: getattr(nn, f"MaxPool{x.ndim - 2}d")(*args, **options),
    "avg_pool": lambda x, *args, **options: getattr(nn, f"AvgPool{x.ndim - 2}d")(*args, **options),
    "batch_norm": lambda x, w, b, eps=1e-5: with_state(batch_norm_layer(x, eps), w, b),
    "batch_norm_evaluation": lambda x, mean, var, w, b, eps=1e-5: with_state(
        batch_norm_layer(x, eps).eval(),
        *(mean, var, w, b),
        names=("running_mean", "running_var", "weight", "bias"),
    ),
    "layer_norm": lambda x, w, b, eps=1e-5: with_state(
        nn.LayerNorm(w.shape, eps, dtype=x.dtype), w, b
    ),
    "group_norm": lambda x, groups, w, b, eps=1e-5: with_state(
        nn.GroupNorm(groups, len(w), eps, dtype=x.dtype), w, b
    ),
    "softmax": lambda x, axis=-1: nn.Softmax(axis),
    "log_softmax": lambda x, axis=-1: nn.LogSoftmax(axis),
    "cross_entropy": lambda x, target, *args, **options: nn.CrossEntropyLoss(*args, **options),
    "lstm_step": lambda *args: FlatState(nn.LSTMCell, *args),
    "lstm": lambda *args: FlatState(nn.LSTM, *args),
    "gru_step": lambda *args: FlatState(nn.GRUCell, *args),
}


def parts(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


class Call:
    """A pair called forward, and backward with a random upstream gradient."""

    def __init__(self, row: Row, dtype: str) -> None:
        self.row, self.arguments = row, row.draw(dtype)
        self.function, backward = FUNCTIONS[row.pair], FUNCTIONS[f"{row.pair}_backward"]
        self.output = self.function(*self.arguments, **row.options)
        self.upstream = random_upstream(self.output, row.rng("upstream"))
        self.grads = parts(backward(self.upstream, *self.arguments, **row.options))
        given = [*self.arguments, *parts(self.upstream)]
        drawn = [*row.draw(dtype), *parts(random_upstream(self.output, row.rng("upstream")))]
        for value, before in zip(given, drawn, strict=True):
            np.testing.assert_array_equal(value, before, "an argument was modified")
        names = list(inspect.signature(self.function).parameters)
        # those arguments that have a gradient; the last name may stand for several (*weights)
        self.differentiable = [
            i
            for i, value in enumerate(self.arguments)
            if not isinstance(value, int) and names[min(i, len(names) - 1)] not in CONSTANT
        ]

    def results(self, oracle: str, outputs: tuple, grads: tuple) -> list[Result]:
        """The pair's values beside the oracle's."""
        found = []
        for direction, ours, theirs in (
            ("forward", parts(self.output), outputs),
            ("input_grad", self.grads, grads),
        ):
            for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
                name = f"{direction} {i} beside {oracle}"
                found.append(Result(name, direction, np.asarray(a), np.asarray(b)))
        return found

    def beside_torch(self) -> list[Result]:
        tensors = [to_torch(v) if isinstance(v, np.ndarray) else v for v in self.arguments]
        leaves = []
        for i, grad in zip(self.differentiable, self.grads, strict=True):
            if tensors[i] is None:  # a bias of zeros
                tensors[i] = to_torch(np.zeros_like(grad))
            leaves.append(tensors[i].requires_grad_())
        outputs = parts(TWINS[self.row.pair](*tensors, **self.row.options))
        torch.autograd.backward(outputs, [to_torch(u) for u in parts(self.upstream)])
        twins = tuple(map(to_numpy, outputs)), tuple(to_numpy(leaf.grad) for leaf in leaves)
        return self.results("torch", *twins)

    def beside_the_layer(self) -> list[Result]:
        layer = LAYERS[self.row.pair](*self.arguments, **self.row.options)
        output = layer(*self.arguments[: 2 if self.row.pair == "cross_entropy" else 1])
        grads = [*parts(layer.backward(self.upstream)), *(p.grad for p in layer.parameters())]
        grads = grads[0 not in self.differentiable :]  # of indices there is none
        if any(
            value is None for value in self.arguments
        ):  # a layer without a bias has no gradient for it
            grads.append(self.grads[-1])
        return self.results("the layer", parts(output), tuple(grads))


def over(rows: list[Row]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=str)


@over(ROWS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_agrees_with_torch(row, dtype) -> None:
    for result in Call(row, dtype).beside_torch():
        result.check(tolerance(dtype, result.direction), str(row))


@over([row for row in ROWS if row.pair in LAYERS])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_layer_agrees(row, dtype) -> None:
    for result in Call(row, dtype).beside_the_layer():
        result.check(tolerance(dtype, result.direction), str(row))


@over([row for row in ROWS if not row.kinks])
def test_directional_derivative(row) -> None:
    call = Call(row, "float64")

    def function() -> float:
        outputs = parts(call.function(*call.arguments, **row.options))
        return sum(float(np.sum(y * u)) for y, u in zip(outputs, parts(call.upstream), strict=True))

    pairs = zip(call.differentiable, call.grads, strict=True)
    moved = [(call.arguments[i], grad) for i, grad in pairs if call.arguments[i] is not None]
    check_directional(function, *zip(*moved, strict=True), row.rng("direction"))


def random_conv(seed: int) -> Row:
    """A convolution over 1, 2 or 3 axes, each with options of its own."""
    rng, n = np.random.default_rng(seed), 1 + seed % 3
    kernel, stride, dilation = rng.integers(1, 4, (3, n))
    padding = rng.integers(0, 4, n)
    sizes = np.maximum(dilation * (kernel - 1) + 1 - 2 * padding, 1) + rng.integers(0, 6, n)
    batch, groups = rng.integers(1, 4, 2).tolist()
    channels, filters = rng.integers(1, 7, 2).tolist()
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    return row(
        "conv",
        (batch, groups * channels, *sizes.tolist()),
        (groups * filters, channels, *kernel.tolist()),
        (groups * filters,),
        groups=groups,
        **{name: tuple(value.tolist()) for name, value in options.items()},
    )


@over([random_conv(seed) for seed in range(300)])
def test_convolution_to_the_last_digits(row) -> None:
    call = Call(row, "float64")
    for result in call.beside_torch() + call.beside_the_layer():
        largest = np.abs(result.twin).max()
        assert np.abs(result.ours - result.twin).max() <= 2e-14 * largest, result.name


def test_every_pair_has_rows_and_a_twin() -> None:
    assert {row.pair for row in ROWS} == set(PAIRS) == set(TWINS)


@pytest.mark.parametrize("name", PAIRS)
def test_backward_takes_the_upstream_and_forward_s_arguments(name) -> None:
    forward, backward = (
        list(inspect.signature(FUNCTIONS[f]).parameters.values())
        for f in (name, f"{name}_backward")
    )
    assert backward[0].name.startswith("d")
    assert backward[1:] == forward
    assert name == "normalize" or "Source: https://" in FUNCTIONS[name].__doc__


def test_the_textbook_stays_short() -> None:
    source = inspect.getsource(textbook)
    assert len(source.splitlines()) <= 490
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first, last = node.body[1], node.body[-1]  # the docstring is body[0]
            assert last.end_lineno - first.lineno < 15, node.name
        assert not isinstance(node, ast.ImportFrom)
        assert not isinstance(node, ast.Import) or node.names[0].name == "numpy"


def with_code(page: str) -> str:
    """The page with the textbook's own code in each block below ``<!-- code: names -->``."""

    def block(match: re.Match) -> str:
        sources = [inspect.getsource(getattr(textbook, name)) for name in match[1].split()]
        return f"<!-- code: {match[1]} -->\n```python\n" + "\n\n".join(sources) + "```\n"

    return re.sub(r"<!-- code: (.*?) -->\n```python\n.*?```\n", block, page, flags=re.DOTALL)


def test_the_page_shows_the_code() -> None:
    page = PAGE.read_text()
    assert with_code(page) == page, "stale: run python -m parity_tests.test_textbook"
    shown = " ".join(re.findall(r"<!-- code: (.*?) -->", page)).split()
    assert sorted(shown) == sorted([*FUNCTIONS, "Windows"])


def test_the_page_s_example(capsys) -> None:
    exec(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[-1], {})
    measured, claimed = map(float, capsys.readouterr().out.split())
    assert measured == pytest.approx(claimed, rel=1e-6)


if __name__ == "__main__":
    PAGE.write_text(with_code(PAGE.read_text()))
