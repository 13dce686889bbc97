"""The report's pictures, each returned as the bytes of a PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.colors
import matplotlib.ticker
import numpy as np

from experiments.curves import smooth

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Array = np.ndarray
# colour-blind safe (Okabe and Ito); a thick pale line below a thin dark dashed one, so that two
# curves that coincide are still seen to be two
NUMPY, TORCH = "#56B4E9", "#000000"
FLOAT32, FLOAT64 = "#D55E00", "#0072B2"
_WIDE = {"color": NUMPY, "linewidth": 4.0, "solid_capstyle": "round"}
_THIN = {"color": TORCH, "linewidth": 1.1, "linestyle": (0, (4, 3))}
DEV = "#E69F00"
# inches: narrow, so that text stays legible on a telephone; wide pages show two side by side
_WIDTH = 5.4
_DPI = 130


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    # no version or date inside: the same numbers give the same file
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


@dataclass(frozen=True)
class Curves:
    """The records of one run in both backends."""

    numpy: Sequence[dict[str, Any]]
    torch: Sequence[dict[str, Any]]

    def series(self, backend: str, kind: str, quantity: str) -> tuple[Array, Array]:
        records = [r for r in getattr(self, backend) if r["kind"] == kind]
        return np.array([r["step"] for r in records]), np.array([r[quantity] for r in records])

    def difference(self, kind: str, quantity: str) -> tuple[Array, Array]:
        steps, ours = self.series("numpy", kind, quantity)
        _, theirs = self.series("torch", kind, quantity)
        shared = min(len(ours), len(theirs))  # an early stop may differ
        return steps[:shared], np.abs(ours - theirs)[:shared]


def curves(title: str, float32: Curves, float64: Curves | None) -> bytes:
    """Loss and accuracy against iteration, both backends; below each their difference (log)."""
    figure, panels = plt.subplots(
        4,
        1,
        figsize=(_WIDTH, 7.6),
        sharex=True,
        layout="constrained",
        height_ratios=(3, 1.5, 3, 1.5),
    )
    window = max(1, len(float32.series("numpy", "train", "loss")[0]) // 60)
    for quantity, top, bottom in (
        ("loss", panels[0], panels[1]),
        ("accuracy", panels[2], panels[3]),
    ):
        _lines(top, float32, quantity, window)
        _gaps(bottom, [("float32", float32, FLOAT32), ("float64", float64, FLOAT64)], quantity)
        for panel in (top, bottom):
            panel.grid(alpha=0.3)
    panels[-1].set_xlabel("iteration")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    smoothed = f"train: mean of {window} steps; grey: each step" if window > 1 else ""
    figure.suptitle(title)
    panels[0].set_title(smoothed, fontsize=9)
    return _png(figure)


def _lines(panel: Any, runs: Curves, quantity: str, window: int) -> None:
    steps, raw = runs.series("numpy", "train", quantity)
    panel.plot(steps, raw, color="#bbbbbb", linewidth=0.5, zorder=0)
    for backend, style in (("numpy", _WIDE), ("torch", _THIN)):
        steps, values = runs.series(backend, "train", quantity)
        panel.plot(steps, smooth(values.tolist(), window), label=f"train, {backend}", **style)
    for backend, marker, colour, size in (("numpy", "s", DEV, 6), ("torch", "x", TORCH, 4)):
        steps, values = runs.series(backend, "dev", quantity)
        panel.plot(steps, values, marker, color=colour, markersize=size, label=f"dev, {backend}")
    if quantity == "accuracy":
        low = float(np.percentile(raw, 3))
        panel.set_ylim(max(0.0, min(0.75, low) - 0.03), 1.005)
    panel.set_ylabel("cross entropy (nats)" if quantity == "loss" else quantity)


def _gaps(panel: Any, runs: Sequence[tuple[str, Curves | None, str]], quantity: str) -> None:
    panel.set_ylabel("|difference|", fontsize=9)
    drawn = False
    for name, pair, colour in runs:
        if pair is None:
            continue
        steps, gap = pair.difference("train", quantity)
        seen = gap > 0
        if seen.any():
            panel.plot(steps[seen], gap[seen], ".", color=colour, markersize=2.5, label=name)
            drawn = True
    if drawn:
        panel.set_yscale("log")
        # the same axis in every figure, so that they can be compared
        panel.set_ylim(*((1e-18, 1e1) if quantity == "loss" else (1e-4, 1e0)))
        panel.yaxis.set_major_locator(matplotlib.ticker.LogLocator(10, numticks=4))
        panel.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        panel.legend(fontsize=8, ncols=2, markerscale=4, loc="upper left")
    else:
        panel.set_yticks([])
        panel.text(0.5, 0.5, "0 at every step", transform=panel.transAxes, ha="center")


def weight_images(title: str, weights: Array, chosen: Array, limit: float, side: int) -> bytes:
    """The ``chosen`` units of the first layer as images, colours up to ``limit``."""
    figure, panel = plt.subplots(figsize=(_WIDTH, 3.5), layout="constrained")
    images = weights[chosen].reshape(len(chosen), side, side)
    shown = panel.imshow(_grid(images, 8), cmap="PuOr", vmin=-limit, vmax=limit)
    panel.axis("off")
    figure.colorbar(shown, ax=panel, shrink=0.8, label="weight")
    figure.suptitle(title)
    return _png(figure)


def transformed(originals: Array, results: Array) -> bytes:
    """Each image (K, H, W) in a row, first as it is, then as transformed: (K, M, H, W)."""
    rows, columns = results.shape[:2]
    figure, panels = plt.subplots(
        rows, columns + 1, figsize=(_WIDTH, _WIDTH * rows / (columns + 1)), layout="constrained"
    )
    for line, original, changed in zip(panels, originals, results, strict=True):
        for panel, image in zip(line, [original, *changed], strict=True):
            panel.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            panel.set_xticks([])
            panel.set_yticks([])
        line[0].spines[:].set_color(FLOAT64)
        line[0].spines[:].set_linewidth(2.5)
    return _png(figure)


def _grid(images: Array, columns: int) -> Array:
    """(K, H, W) side by side with a gap of one empty pixel."""
    count, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        sheet[top : top + height, left : left + width] = image
    return sheet


def kernels_and_maps(
    title: str, digit: Array, kernels: Array, maps: Array, limits: tuple[float, float]
) -> bytes:
    """The digit, kernels (F, K, K), and what they make of it (F, H, W).

    ``limits`` are the largest weight and the largest value of a map that the colours show.
    """
    figure, panels = plt.subplot_mosaic(
        [["digit", "kernels"], ["maps", "maps"]],
        figsize=(_WIDTH, 7.4),
        layout="constrained",
        height_ratios=(1, 1.9),
    )
    panels["digit"].imshow(digit, cmap="gray_r")
    panels["digit"].set_title("the digit")
    shown = panels["kernels"].imshow(
        _grid(kernels, 4), cmap="PuOr", vmin=-limits[0], vmax=limits[0]
    )
    panels["kernels"].set_title(f"{len(kernels)} kernels, 3x3")
    figure.colorbar(shown, ax=panels["kernels"], shrink=0.8)
    shown = panels["maps"].imshow(_grid(maps, 4), cmap="viridis", vmin=0, vmax=limits[1])
    panels["maps"].set_title("their feature maps, after ReLU")
    figure.colorbar(shown, ax=panels["maps"], shrink=0.8)
    for panel in panels.values():
        panel.axis("off")
    figure.suptitle(title)
    return _png(figure)


def confusion_matrix(labels: Array, predicted: Array, classes: int) -> Array:
    """(true, predicted) counts."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, predicted), 1)
    return counts


# from a tone that is seen on white to a dark one: no error at all is the background
_ERRORS = matplotlib.colors.LinearSegmentedColormap.from_list(
    "errors", matplotlib.colormaps["YlOrRd"](np.linspace(0.15, 1, 256))
)


def errors_alone(counts: Array) -> Array:
    """The counts off the diagonal that are not 0, the others masked."""
    return np.ma.masked_where(np.eye(len(counts), dtype=bool) | (counts == 0), counts)


def confusion(title: str, counts: Array, most: int) -> bytes:
    """How often each digit was taken for each other; colour shows the errors, up to ``most``.

    What was right has no colour: it would drown the errors.
    """
    classes = len(counts)
    figure, panel = plt.subplots(figsize=(_WIDTH, 5.6), layout="constrained")
    panel.imshow(errors_alone(counts), cmap=_ERRORS, vmin=1, vmax=max(2, most))
    for (i, j), n in np.ndenumerate(counts):
        if n:
            dark = i != j and n > 0.6 * most
            colour = "#6e7781" if i == j else "white" if dark else "black"
            panel.text(j, i, str(n), ha="center", va="center", color=colour, fontsize=9)
    panel.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    panel.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    panel.grid(which="minor", color="#e3e6ea", linewidth=0.6)
    panel.tick_params(which="minor", length=0)
    panel.set_xticks(range(classes))
    panel.set_yticks(range(classes))
    panel.set_xlabel("predicted")
    panel.set_ylabel("true digit")
    figure.suptitle(f"{title}: {int(np.trace(counts)):,} of {int(counts.sum()):,} right")
    return _png(figure)


def confidently_wrong(title: str, images: Array, labels: Array, probabilities: Array) -> bytes:
    """The twelve errors of which the model was surest."""
    figure, panels = plt.subplots(3, 4, figsize=(_WIDTH, 5.2), layout="constrained")
    guess = probabilities.argmax(1)
    sure = np.where(guess != labels, probabilities.max(1), -1.0)
    for panel, i in zip(panels.flat, np.argsort(-sure, kind="stable"), strict=False):
        panel.axis("off")
        if sure[i] >= 0:
            panel.imshow(images[i], cmap="gray_r")
            panel.set_title(f"“{guess[i]}”, {100 * sure[i]:.1f}%\nis {labels[i]}", fontsize=9)
    figure.suptitle(title)
    return _png(figure)


def ratios(found: dict[str, tuple[tuple[float, float, float], float]]) -> bytes:
    """Median and range of each case's NumPy / PyTorch, and the limit that it must keep."""
    figure, panel = plt.subplots(figsize=(_WIDTH, 0.42 * len(found) + 1.3), layout="constrained")
    widest = 1.3 * max(max(middle, must) for (middle, _, _), must in found.values())
    for y, ((middle, low, high), must) in enumerate(found.values()):
        panel.plot([low, high], [y, y], color=NUMPY, linewidth=5, solid_capstyle="butt")
        if high > widest:  # a round in which another program had the cores
            panel.annotate(
                f"{high:.1f} →",
                (widest, y),
                (0, 4),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color="#444444",
            )
        panel.plot(middle, y, "o", color=TORCH, markersize=5)
        panel.plot([must, must], [y - 0.35, y + 0.35], color=FLOAT32, linewidth=2.5)
    panel.axvline(1, color="#888888", linewidth=1, zorder=0)
    panel.set_yticks(range(len(found)), list(found), fontsize=9)
    panel.invert_yaxis()
    panel.set_xlim(0, widest)
    panel.set_xlabel("time of NumPy / time of PyTorch")
    panel.grid(axis="x", alpha=0.3)
    return _png(figure)


def memory(found: dict[str, Sequence[tuple[int, float]]]) -> bytes:
    """The size of each process against the training step."""
    figure, panel = plt.subplots(figsize=(_WIDTH, 2.6), layout="constrained")
    for (name, sizes), colour in zip(found.items(), (NUMPY, TORCH), strict=True):
        panel.plot(*zip(*sizes, strict=True), ".-", color=colour, label=name)
    panel.set_ylim(bottom=0)
    panel.set_xlabel("training step")
    panel.set_ylabel("process, MB")
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    return _png(figure)


def growth(
    found: dict[str, tuple[Sequence[int], dict[str, list[tuple[float, float, float]]]]],
) -> bytes:
    """The ratio against each size that grows, a line for each number of threads."""
    figure, panels = plt.subplots(
        len(found), 1, figsize=(_WIDTH, 1.9 * len(found)), layout="constrained"
    )
    for (axis, (sizes, by_threads)), panel in zip(found.items(), panels, strict=True):
        for (threads, values), colour in zip(by_threads.items(), (FLOAT64, FLOAT32), strict=False):
            label = f"{threads} thread{'s' * (threads != '1')}"
            panel.plot(sizes, [v[0] for v in values], "o-", color=colour, label=label)
            panel.fill_between(
                sizes, [v[1] for v in values], [v[2] for v in values], color=colour, alpha=0.2
            )
        panel.axhline(1, color="#888888", linewidth=1, zorder=0)
        panel.set_xscale("log", base=2)
        panel.set_xticks(sizes, list(map(str, sizes)))
        panel.set_ylim(bottom=0)
        panel.set_title(axis, fontsize=9)
        panel.set_ylabel("ratio")
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    return _png(figure)
