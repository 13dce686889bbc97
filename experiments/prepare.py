"""Before a run: what it needs is there, and fits into the machine."""

import math
import os
import sys
from itertools import pairwise

import numpy as np

from experiments.backend import make_backend
from experiments.data import Dataset
from experiments.errors import UserError, need, out_of_memory
from experiments.recipes import Config
from experiments.trainer import Trainer


def need_packages(backend: str) -> None:
    """Everything that a run will import, in its last second too."""
    if backend == "torch":
        need("PyTorch", "torch", "--backend torch")
    need("safetensors", "safetensors.numpy", "storing weights")
    need("Matplotlib", "matplotlib.figure", "drawing the curves")
    if sys.stderr.isatty():
        need("tqdm", "tqdm", "the progress bar")


def dataset(config: Config) -> str:
    """The name of the run's data set: a language model has the text, if it says nothing."""
    return "text" if config.model == "gpt" else config.dataset


def make_trainer(config: Config, data: Dataset) -> Trainer:
    """The run's trainer.

    Raises:
        UserError: if its network does not fit into the machine.
    """
    # weights, gradients, momentum, and a copy of the weights: less is never enough
    needed = 4 * _weights(config, data) * np.dtype(config.dtype).itemsize
    hidden = " ".join(map(str, config.hidden))
    if needed > _memory():
        raise UserError(
            f"--hidden {hidden} needs at least {needed / 1e9:,.0f} GB of memory, "
            f"this machine has {_memory() / 1e9:,.0f}"
        )
    try:
        return Trainer(config, make_backend(config.backend), data)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise UserError(f"--hidden {hidden}: there is not enough memory for it") from None


def _weights(config: Config, data: Dataset) -> int:
    """About how many weights the network has: its large matrices' elements."""
    width, side = config.hidden[0], data.train_images.shape[1]
    if config.model == "lstm":
        return 4 * width * (side + width)
    if config.model == "gpt":
        return 12 * config.layers * width**2
    first = 32 * (side // 4) ** 2 if config.model == "cnn" else data.train_images[0].size
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
