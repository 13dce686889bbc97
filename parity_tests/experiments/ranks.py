"""Small runs that processes share out, for ``test_distributed``; process 0 notes what came of each.

mpiexec -n 3 python -m mpi4py -m parity_tests.experiments.ranks FOLDER    the NumPy backend's
python -m parity_tests.experiments.ranks FOLDER 2 3 8    the torch backend's: 2, then 3, then 8
    processes that are copies of one, which has imported torch
"""

import os
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import trainer as trainers
from experiments.checkpoint import load_state, save_state
from experiments.config import Config
from experiments.data import Dataset
from experiments.distributed import Group, make_group
from experiments.launch import LAUNCH, Launch
from experiments.prepare import make_trainer
from experiments.trainer import Callbacks, State, Trainer

NETWORK = """
import os
import signal


def build(nn):
    rank = os.environ.get("PMI_RANK", os.environ.get("RANK"))
    fault, step = os.environ.get("FAULT", " 0").split(" ") if rank == "1" else ("", 0)
    dropout = nn.Dropout(0.4)  # at two places

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = 0
            self.layers = nn.Sequential(
                nn.Flatten(), nn.Linear(64, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), dropout,
                nn.Linear(8, 8), nn.ReLU(), dropout, nn.Linear(8, 10),
            )

        def forward(self, x):
            y = self.layers(x)
            self.steps += self.training
            if not self.training or self.steps != int(step):
                return y
            open(os.environ["FELL"], "w").close()
            if fault == "raise":
                raise ArithmeticError("on purpose")
            if fault == "nan":
                return y * float("nan")
            os.kill(os.getpid(), getattr(signal, fault))
            return y

    return Net()
"""

# 41 training images and 20 texts: the last batch is smaller, or of one row, or of fewer than 8
_CNN = {"model": "cnn", "hidden": (8,)}
_NORM = {**_CNN, "batch_norm": True, "rotate": 10.0, "shift": 1.0, "elastic": (9.0, 2.0)}
_GPT = {"model": "gpt", "dataset": "text", "hidden": (8,), "layers": 1, "heads": 2}
RUNS: dict[str, dict[str, Any]] = {
    "mlp with dropout": {"hidden": (8, 8), "dropout": 0.5, "batch_size": 16},
    "cnn": {**_CNN, "dropout": 0.2, "batch_size": 20, "optimizer": "adam"},
    "batch norm, transformed": {**_NORM, "batch_size": 20},
    "fewer rows than processes": {**_NORM, "batch_size": 5, "epochs": 1},
    "early stop": {"hidden": (8,), "epochs": 9, "patience": 1, "min_delta": 1.0, "batch_size": 20},
    "gone on with": {"hidden": (8,), "dropout": 0.5, "epochs": 3, "batch_size": 9},
    "lstm": {"model": "lstm", "hidden": (8,), "dropout": 0.2, "batch_size": 20},
    "gpt": {**_GPT, "head": "tied", "dropout": 0.1, "batch_size": 8},
    "one's own": {"model": "net.py:build", "batch_size": 13},
    "float32": {**_NORM, "batch_size": 16, "dtype": "float32"},
    "float32 again": {**_NORM, "batch_size": 16, "dtype": "float32"},
}


def runs(size: int) -> list[str]:
    """Those that so many processes share out: eight, which take turns, the telling ones alone."""
    few = ("mlp with dropout", "fewer rows than processes", "early stop", "gone on with")
    return [name for name in RUNS if size < 8 or name in few]


def config(name: str, backend: str, folder: Path) -> Config:
    """Of a run of RUNS; ``folder`` has the network."""
    values = {"dtype": "float64", "epochs": 2, "evaluations": 1, "lr": 0.05, **RUNS[name]}
    if ".py" in values.get("model", ""):
        values["model"] = f"{folder}/{values['model']}"
    return Config(backend=backend, **values)


def pixels() -> list[np.ndarray]:
    """8x8 images of ten kinds, and their labels: 49 to train and evaluate, 20 to test."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 69).astype(np.uint8)
    kinds = rng.integers(0, 200, (10, 8, 8))
    images = (kinds[labels] + rng.integers(0, 56, (69, 8, 8))).astype(np.uint8)
    return [images[:49], labels[:49], images[49:], labels[49:]]


def dataset(text: bool) -> Dataset:
    """The images, or pieces of text."""
    parts, scale = pixels(), 255.0
    if text:
        symbols = np.random.default_rng(1).integers(0, 5, (30, 7)).astype(np.uint8)
        scale = 1.0
        parts = [symbols[:24, :-1], symbols[:24, 1:], symbols[24:, :-1], symbols[24:, 1:]]
    train_images, train_labels, test_images, test_labels = parts
    labels = train_labels.astype(np.int64), test_labels.astype(np.int64)
    classes, letters = (5, "abcde") if text else (10, "")
    images = train_images, test_images
    return Dataset(
        "own", images[0], labels[0], images[1], labels[1], classes, "", "", scale, letters
    )


def outcome(name: str, backend: str, folder: Path, group: Group | None = None) -> dict[str, Any]:
    """What came of a run: each step's loss, the evaluations', predictions, epochs, weights."""
    settings = config(name, backend, folder)
    trainer = make_trainer(settings, dataset(settings.model == "gpt"), group)
    if name == "gone on with" and group is not None:
        _go_on(trainer, folder / f"{backend}.state")
    state = trainer.run()
    losses = [record["loss"] for record in state.history if record["kind"] != "epoch"]
    weights = np.concatenate([array.ravel() for array in state.weights.values()])
    predictions = trainer.predict(trainer.data.test_images).argmax(1)
    return {"losses": losses, "predictions": predictions, "epochs": state.epoch, "weights": weights}


def _go_on(trainer: Trainer, file: Path) -> None:
    """Two processes leave their state after the first epoch; more of them start from there."""
    if trainer.group.size > 2:
        return trainer.resume(State(**load_state(file)))

    def store(state: State, _: bool) -> None:
        if state.epoch == 1:
            save_state(file, vars(state))

    if trainer.group.rank == 0:
        trainer.callbacks = Callbacks(on_checkpoint=store)
    return None


def work(group: Group, backend: str, folder: Path) -> None:
    """All runs, into a file of process 0's."""
    trainers._EVALUATION_BATCH = 3  # there are several to share out
    found = {}
    for name in runs(group.size):
        for key, value in outcome(name, backend, folder, group).items():
            found[f"{name}: {key}"] = value
    if group.rank == 0:
        np.savez(folder / f"{backend}-{group.size}.npz", **found)
    group.close()


def copies(folder: Path, sizes: Sequence[int]) -> int:
    """Processes of the torch backend; the exit code."""
    outcome("mlp with dropout", "torch", folder)  # imports all that the copies need
    for size in sizes:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        children = [_copy(folder, rank, size) for rank in range(size)]
        ended = [os.waitpid(child, 0)[1] for child in children]
        if any(ended):
            return 1
    return 0


def _copy(folder: Path, rank: int, size: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
        work(make_group("torch", 30, Launch("torchrun", rank, size, size)), "torch", folder)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    place, *numbers = sys.argv[1:]
    if numbers:
        sys.exit(copies(Path(place), [int(number) for number in numbers]))
    work(make_group("numpy", 30, LAUNCH), "numpy", Path(place))
