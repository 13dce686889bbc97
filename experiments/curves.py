"""The lab's figure of a run: loss and accuracy against iteration, train and dev."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.files import write_atomically

# colour-blind safe (Okabe and Ito)
TRAIN, DEV = "#0072B2", "#D55E00"


def smooth(values: Sequence[float], window: int) -> np.ndarray:
    """Running mean over the last ``window`` values (fewer at the start)."""
    sums = np.cumsum(np.concatenate([[0.0], np.asarray(values, float)]))
    ends = np.arange(1, len(sums))
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def plot_run(path: Path, title: str, history: Sequence[dict[str, Any]]) -> None:
    """Write the figure of one run as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, quantity in zip(panels, ("loss", "accuracy"), strict=True):
        for kind, colour in (("train", TRAIN), ("dev", DEV)):
            records = [r for r in history if r["kind"] == kind]
            steps, values = [r["step"] for r in records], [r[quantity] for r in records]
            if kind == "train":
                panel.plot(steps, values, color=colour, alpha=0.2, linewidth=0.6)
                window = max(1, len(values) // 100)
                label = f"train (mean of {window} steps)" if window > 1 else "train"
                panel.plot(steps, smooth(values, window), color=colour, label=label)
            else:
                panel.plot(steps, values, color=colour, marker="o", markersize=3, label="dev")
        panel.set_xlabel("iteration")
        panel.set_ylabel("cross entropy (nats)" if quantity == "loss" else quantity)
        panel.grid(alpha=0.3)
        panel.legend()
    figure.suptitle(title)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_atomically(path, content.getvalue())
