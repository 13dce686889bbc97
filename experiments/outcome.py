"""After a run: what came out, and whether it is of any use."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from experiments.data import Dataset
from experiments.trainer import accuracy, mean_cross_entropy

_WIDEST = 20  # classes of a table that fits on a screen


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


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How many of each class (a row) were taken for each class (a column)."""
    pairs = labels.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def class_accuracies(confusion: np.ndarray) -> list[float | None]:
    """The share of right answers by class; None for a class without examples."""
    counts, right = confusion.sum(1), confusion.diagonal()
    return [float(r / n) if n else None for r, n in zip(right, counts, strict=True)]


def class_line(confusion: np.ndarray, names: Sequence[str]) -> str:
    """The accuracies by class, for people."""
    shares = zip(names, class_accuracies(confusion), strict=True)
    each = [f"{name} {share:.4f}" for name, share in shares if share is not None]
    return "accuracy by class: " + ", ".join(each)


def confusion_table(confusion: np.ndarray, names: Sequence[str]) -> str:
    """The matrix, for people; of many classes, the most frequent mistakes."""
    if len(names) > _WIDEST:
        wrong = confusion - np.diag(confusion.diagonal())
        order = np.argsort(-wrong, axis=None, kind="stable")[:_WIDEST]
        pairs = [divmod(int(place), len(names)) for place in order]
        lines = [f"  {names[a]} for {names[b]}: {wrong[a, b]}" for a, b in pairs if wrong[a, b]]
        return "\n".join(["most often taken, the one for the other:", *lines])
    shown = [name[:8] for name in names]
    width = max(map(len, [*shown, str(confusion.max())]))
    rows = [["", *shown], *([shown[i], *map(str, row)] for i, row in enumerate(confusion))]
    table = ["  " + " ".join(f"{cell:>{width}}" for cell in row) for row in rows]
    return "\n".join(["of each class (a row), how many were taken for which (a column):", *table])


@contextmanager
def overflow_is_reported_later() -> Iterator[None]:
    """NumPy's remarks on overflow name a line of code; the check of the result names the cause."""
    with warnings.catch_warnings():
        for what in ("overflow", "invalid value", "divide by zero"):
            warnings.filterwarnings("ignore", f"{what} encountered", RuntimeWarning)
        yield
