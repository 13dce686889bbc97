"""``train.py --doctor``: what people wish they had looked at before they trained."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from experiments.trainer import Trainer, mean_cross_entropy

Array = np.ndarray
_SAMPLE = 1000  # images that are looked at
_STEPS = 200  # on one batch


class Advice(NamedTuple):
    """One check: whether it is well, what was measured, and what to do if it is not."""

    well: bool
    measured: str
    advice: str = ""

    def __str__(self) -> str:
        if self.well:
            return f"ok    {self.measured}"
        return f"LOOK  {self.measured}: {self.advice}"


def examine(trainer: Trainer) -> Iterator[Advice]:
    """The checks of a run that has not begun; afterwards it is not fit to run."""
    images, labels = (part[:_SAMPLE] for part in trainer.train)
    yield from _of_data(trainer, images, labels)
    yield _of_initial_loss(trainer, images, labels)
    batch = slice(0, trainer.config.batch_size)
    before = {name: a.copy() for name, a in trainer.backend.arrays(trainer.model).items()}
    yield from _of_relus(trainer, images)
    first, _ = trainer.step(trainer.images(images[batch]), labels[batch])
    yield from _of_gradients(trainer)
    yield _of_movement(trainer, before)
    yield _of_one_batch(trainer, images[batch], labels[batch], first)


def _of_data(trainer: Trainer, raw: Array, labels: Array) -> Iterator[Advice]:
    if trainer.data.symbols:
        return
    values = trainer.images(raw)
    mean, spread = float(values.mean()), float(values.std())
    scaled = f"inputs have mean {mean:.3g}, standard deviation {spread:.3g}"
    advice = "scale them, to standard deviations near 1 (pixels: divide by their largest value)"
    yield Advice(0.05 < spread < 5 and abs(mean) < 5, scaled, advice)
    shares = np.bincount(labels, minlength=trainer.data.classes) / len(labels)
    rarest = f"the rarest class has {shares.min():.1%} of {len(labels)} labels"
    advice = "a class without examples can't be learnt; weigh the loss, or get more of them"
    yield Advice(shares.min() > 0.2 / trainer.data.classes, rarest, advice)
    share, chance = _by_centroid(values, labels, trainer.data.classes), 1 / trainer.data.classes
    told = f"nearest class mean tells {share:.0%} of held-out inputs, chance {chance:.0%}"
    advice = (
        "are the labels those of these inputs? Look at some, side by side, as the model sees them"
    )
    yield Advice(share > 1.5 * chance, told, advice)


def _by_centroid(values: Array, labels: Array, classes: int) -> float:
    """How many of the second half are nearest to their class's mean over the first."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    half = len(flat) // 2
    seen = [c for c in range(classes) if (labels[:half] == c).any()]
    means = np.array([flat[:half][labels[:half] == c].mean(0) for c in seen])
    distances = ((flat[half:, None] - means) ** 2).sum(2)
    return float(np.mean(np.array(seen)[distances.argmin(1)] == labels[half:]))


def _of_initial_loss(trainer: Trainer, raw: Array, labels: Array) -> Advice:
    loss = mean_cross_entropy(trainer.predict(raw), labels)
    guess = math.log(trainer.data.classes)
    guesses = f"that of equal guesses is ln({trainer.data.classes}) = {guess:.3g}"
    advice = (
        "it starts sure of wrong answers: smaller initial weights in the last layer, scaled inputs"
    )
    measured = f"initial loss {loss:.3g}, {guesses}"
    return Advice(0.5 * guess < loss < 1.5 * guess, measured, advice)


def _of_relus(trainer: Trainer, raw: Array) -> Iterator[Advice]:
    """Units that are 0 for every one of these images."""
    alive: dict[str, Array] = {}

    def note(name: str, output: Any) -> None:
        values = np.asarray(output)
        active = (values > 0).any((0, *range(2, values.ndim)))
        alive[name] = np.logical_or(alive.get(name, active), active)

    hooks = [
        module.register_forward_hook(lambda _, inputs, output, name=name: note(name, output))
        for name, module in trainer.model.named_modules()
        if type(module).__name__ == "ReLU"
    ]
    trainer.predict(raw)
    for hook in hooks:
        hook.remove()
    for name, active in alive.items():
        dead = 1 - float(active.mean())
        measured = f"ReLU {name}: {dead:.0%} of its units are 0 for all of {len(raw)} inputs"
        advice = "they learn nothing: a smaller learning rate, other initial values, or LeakyReLU"
        yield Advice(dead < 0.5, measured, advice)


def _of_gradients(trainer: Trainer) -> Iterator[Advice]:
    norms = {}
    for name, parameter in trainer.model.named_parameters():
        if parameter.grad is not None and name.endswith("weight"):
            gradient = np.asarray(parameter.grad, np.float64)
            size = float(np.linalg.norm(np.asarray(parameter.data))) or 1.0
            norms[name] = float(np.linalg.norm(gradient)) / size
    if not norms:
        return
    largest, smallest = max(norms, key=norms.__getitem__), min(norms, key=norms.__getitem__)
    listed = ", ".join(f"{name} {value:.1e}" for name, value in norms.items())
    well = norms[smallest] > 0 and norms[largest] < 1e4 * norms[smallest] < math.inf
    advice = (
        f"{smallest} gets next to nothing beside {largest}: does the loss reach it? Too many "
        "layers for these initial values, or saturated sigmoids"
    )
    yield Advice(well, f"gradients as shares of their weights: {listed}", advice)


def _of_movement(trainer: Trainer, before: dict[str, Array]) -> Advice:
    after = trainer.backend.arrays(trainer.model)
    still = [name for name, array in after.items() if np.array_equal(array, before[name])]
    measured = f"{len(after) - len(still)} of {len(after)} parameters move in one step"
    advice = f"not {', '.join(still)}: does the optimizer have them, does the loss hang on them?"
    return Advice(not still, measured, advice)


def _of_one_batch(trainer: Trainer, raw: Array, labels: Array, first: float) -> Advice:
    loss, share = first, 0.0
    for _ in range(_STEPS):
        loss, share = trainer.step(trainer.images(raw), labels)
        if loss < 0.05 * first or not math.isfinite(loss):
            break
    measured = f"one batch, {_STEPS} times: loss {first:.3g} to {loss:.3g}, accuracy {share:.0%}"
    advice = (
        "a network that can't learn one batch by heart has a fault, or a learning rate that is too "
        "small or too large"
    )
    return Advice(math.isfinite(loss) and (share > 0.9 or loss < 0.1 * first), measured, advice)
