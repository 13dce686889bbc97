"""Losses of every rank and reduction, of values at the edges: torch's numbers, finite or not."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity_tests.nn.test_loss_elementwise import agree

Array = np.ndarray
Rng = np.random.Generator
Shape = tuple[int, ...]


def values(rng: Rng, shape: Shape) -> Array:
    """Logits, say, of which some are so large that the exponential overflows."""
    return rng.choice([0, 1, -1, 0.5, 1e-3, 30, -30, 100, 1000.0, -1000], shape)


def chances(rng: Rng, shape: Shape) -> Array:
    """Probabilities, many of them exactly 0 or 1."""
    return rng.choice([0, 0, 1, 1, 0.5, 1e-3], shape)


def positive(rng: Rng, shape: Shape) -> Array:
    return abs(values(rng, shape))


def signs(rng: Rng, shape: Shape) -> Array:
    return rng.choice([-1.0, 1.0], shape)


def classes(rng: Rng, shape: Shape) -> Array:
    """One for each row of (C,) or (N, C, d...)."""
    rows = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    return np.asarray(rng.integers(0, shape[min(len(shape) - 1, 1)], rows))


def labels(rng: Rng, shape: Shape) -> Array:
    return rng.integers(-1, shape[-1], shape)


def row_signs(rng: Rng, shape: Shape) -> Array:
    return signs(rng, shape[:-1])


class Kind(NamedTuple):
    """How each input is drawn, the ranks, other options; how many inputs have gradients."""

    draws: list[Callable[[Rng, Shape], Array]]
    ranks: range
    options: tuple[dict[str, Any], ...] = ({},)
    needs: int = 2


SMOOTH = {}, {"label_smoothing": 0.3}
ANY = range(6)
KINDS = {
    "CrossEntropyLoss": Kind([values, classes], range(1, 6), SMOOTH, 1),
    "CrossEntropyLoss of probabilities": Kind([values, chances], range(1, 6), SMOOTH),
    "NLLLoss": Kind([values, classes], range(1, 6), needs=1),
    "BCELoss": Kind([chances, chances], ANY),
    "BCEWithLogitsLoss": Kind([values, chances], ANY),
    "KLDivLoss": Kind([values, chances], ANY),
    "KLDivLoss of logarithms": Kind([values, values], ANY, ({"log_target": True},)),
    "PoissonNLLLoss": Kind([values, positive], ANY, ({}, {"full": True}, {"log_input": False})),
    "GaussianNLLLoss": Kind([values, values, positive], range(1, 6), ({}, {"full": True}), 3),
    "SoftMarginLoss": Kind([values, signs], ANY, needs=1),
    "MultiLabelSoftMarginLoss": Kind([values, chances], range(1, 6)),
    "HingeEmbeddingLoss": Kind([values, signs], ANY, needs=1),
    "MarginRankingLoss": Kind([values, values, signs], ANY, ({}, {"margin": 1.0}), 3),
    "MultiMarginLoss": Kind([values, classes], range(1, 3), ({}, {"p": 2}), 1),
    "MultiLabelMarginLoss": Kind([values, labels], range(1, 3), needs=1),
    "CosineEmbeddingLoss": Kind([values, values, row_signs], range(1, 3), ({}, {"margin": 0.5})),
    "TripletMarginLoss": Kind([values] * 3, range(1, 5), ({}, {"swap": True}, {"p": 1}), 3),
    "L1Loss": Kind([values, values], ANY),
    "MSELoss": Kind([values, values], ANY),
    "SmoothL1Loss": Kind([values, values], ANY, ({}, {"beta": 0.0})),
    "HuberLoss": Kind([values, values], ANY, ({}, {"delta": 30.0})),
}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:KLDivLoss. reduction")
@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**16), st.sampled_from(["mean", "sum", "none"]), st.booleans())
def test_any_values_at_the_edges(name, seed, reduction, is_single) -> None:
    kind, rng = KINDS[name], np.random.default_rng(seed)
    shape = tuple(map(int, rng.integers(1, 4, rng.choice(kind.ranks))))
    options = {**kind.options[seed % len(kind.options)], "reduction": reduction}
    arrays = [np.asarray(draw(rng, shape)) for draw in kind.draws]
    # the gradient of an angle is a small difference of large numbers: rounding alone in float32
    is_single &= name != "CosineEmbeddingLoss"
    dtype = "float32" if is_single else "float64"
    agree(name.split()[0], options, arrays, dtype, range(kind.needs))
