"""Before a run: what it needs is there, and fits into the machine."""

import math
import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from experiments import own_model
from experiments.backend import make_backend
from experiments.config import Config
from experiments.data import Dataset, load
from experiments.distributed import Group
from experiments.errors import UserError, need, out_of_memory
from experiments.own_name import is_own
from experiments.trainer import Trainer


def need_packages(backend: str) -> None:
    """Everything that a run will import, in its last second too."""
    if backend == "torch":
        need("PyTorch", "torch", "--backend torch")
    need("safetensors", "safetensors.numpy", "storing weights")
    need("Matplotlib", "matplotlib.figure", "drawing the curves")
    if sys.stderr.isatty():
        need("tqdm", "tqdm", "the progress bar")


def load_data(config: Config, path: Path | None, unchecked: bool = False) -> Dataset:
    """The run's data set; a language model has the text, if it says nothing.

    Raises:
        UserError: if it can't be had, or the network can't take its images.
    """
    name = "text" if config.model == "gpt" else config.dataset
    data = load(name, path, lambda line: print(line, flush=True), unchecked)
    if config.model in ("cnn", "cnn3") and min(data.train_images.shape[1:]) < 4:
        size = "x".join(map(str, data.train_images.shape[1:]))
        raise UserError(
            f"--model {config.model} needs images of at least 4x4 pixels, these have {size}"
        )
    return data


def make_trainer(config: Config, data: Dataset, group: Group | None = None) -> Trainer:
    """The run's trainer.

    Raises:
        UserError: if its network does not fit into the machine, or is a faulty one of the user's.
    """
    if is_own(config.model):
        with own_model.blamed(config.model):
            trainer = Trainer(config, make_backend(config.backend), data, group=group)
            own_model.check_output(
                config.model, trainer.predict(data.train_images[:1]), data.classes
            )
        return trainer
    # weights, gradients, momentum, and a copy of the weights: less is never enough
    needed = 4 * _weights(config, data) * np.dtype(config.dtype).itemsize
    hidden = " ".join(map(str, config.hidden))
    if needed > _memory():
        raise UserError(
            f"--hidden {hidden} needs at least {needed / 1e9:,.0f} GB of memory, "
            f"this machine has {_memory() / 1e9:,.0f}"
        )
    try:
        return Trainer(config, make_backend(config.backend), data, group=group)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise UserError(f"--hidden {hidden}: there is not enough memory for it") from None


def _weights(config: Config, data: Dataset) -> int:
    """About how many weights the network has: its large matrices' elements."""
    width, (height, *_) = config.hidden[0], data.train_images.shape[1:]
    if config.model == "lstm":
        return 4 * width * (height + width)
    if config.model == "gpt":
        return 12 * config.layers * width**2
    pixels = data.train_images[0].size
    first = 2 * pixels if config.model == "cnn" else pixels
    return sum(a * b for a, b in pairwise([first, *config.hidden, data.classes]))


def _memory() -> float:
    """Bytes of this machine; infinity where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return math.inf


def check_evaluations(trainer: Trainer) -> None:
    """More evaluations than steps would be fewer than asked for.

    Raises:
        UserError: if there are.
    """
    config, steps = trainer.config, trainer.steps_per_epoch
    if config.evaluations > steps:
        raise UserError(
            f"--evaluations must be at most {steps}, the steps of an epoch in batches of "
            f"{config.batch_size}, got {config.evaluations}"
        )
