"""After a run: what came out, and whether it is of any use."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from experiments.data import Dataset
from experiments.trainer import accuracy, mean_cross_entropy


def divergence(logits: np.ndarray, data: Dataset) -> str:
    """What is wrong with the test loss of a run that blew up; "" for a sound one.

    An untrained network has log(classes) nats, and so has a dead one: no divergence. A loss
    a thousand times as large is one in any case; one three times as large, where the answers
    are little better than guesses.
    """
    loss, share = mean_cross_entropy(logits, data.test_labels), accuracy(logits, data.test_labels)
    untrained = math.log(data.classes)
    guessing = share < 2 / data.classes
    if loss < (3 if guessing else 1000) * untrained:  # never so for NaN
        return ""
    return (
        f"the run diverged: test loss {loss:.3g} (untrained: {untrained:.3g}), "
        f"test accuracy {share:.4f}"
    )


def result_line(logits: np.ndarray, data: Dataset) -> str:
    """Accuracy and loss on the test set, for people."""
    right, count = int((logits.argmax(1) == data.test_labels).sum()), data.test_labels.size
    return (
        f"test accuracy {right / count:.4f} ({right} of {count}), "
        f"test loss {mean_cross_entropy(logits, data.test_labels):.4f}, on {data.source}"
    )


@contextmanager
def overflow_is_reported_later() -> Iterator[None]:
    """NumPy's remarks on overflow name a line of code; the check of the result names the cause."""
    with warnings.catch_warnings():
        for what in ("overflow", "invalid value", "divide by zero"):
            warnings.filterwarnings("ignore", f"{what} encountered", RuntimeWarning)
        yield
