"""Whole files of every format that is read, and the readers that they are for."""

import contextlib
import dataclasses
import gzip
import io
import json
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
import torch
from PIL import Image

import numpy_impl
from experiments import checkpoint, data, evaluate, idx, lock, pictures, run
from experiments.about import identity
from experiments.backend import make_backend
from experiments.config import Config
from experiments.data import Dataset
from experiments.errors import UserError
from experiments.trainer import State, Trainer
from numpy_impl import nn
from numpy_impl.io import FileError
from parity_tests.io.test_damaged import arrays_in, inside_its_memory, whole_files
from parity_tests.io.test_files import torch_file
from parity_tests.io.test_refused import (
    PROGRAMS,
    SIX,
    TENSORS,
    hostile,
    legacy_file,
    pickled,
    zip_file,
)


class Original(NamedTuple):
    """A whole file: the reader that it is for, and its name there."""

    reader: str
    name: str
    data: bytes


# -- the readers: each returns, or raises what it documents --------------------------------------


class Readers:
    """What reads a file, by name; each raises :class:`FileError` or :class:`UserError`, or returns.

    Args:
        trainer: a run that checkpoints are taken into.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.run = trainer, identity(trainer)
        self.model = nn.Linear(3, 2)
        self.by_name: dict[str, Callable[[Path], Any]] = {
            "load": self.load,
            "images": lambda path: idx.read(path, 3, idx.LONGEST),
            "labels": lambda path: idx.read(path, 1, idx.LONGEST_OTHER),
            "own data": lambda path: data.load("own", path),
            "config": self.config,
            "weights": self.weights,
            "checkpoint": self.checkpoint,
            "picture": lambda path: pictures.read(path, (28, 28), "mnist"),
            "lock": lock._read,
        }

    def load(self, path: Path) -> None:
        loaded = numpy_impl.load(path)
        assert all(map(inside_its_memory, arrays_in(loaded)))
        before = {key: value.copy() for key, value in self.model.state_dict().items()}
        try:
            self.model.load_state_dict(loaded)
        except (RuntimeError, TypeError):  # as documented, and nothing has been changed
            for key, value in self.model.state_dict().items():
                np.testing.assert_array_equal(value, before[key])

    def config(self, path: Path) -> None:
        with contextlib.suppress(UserError):  # a folder's is read more strictly
            run._read_config(path)
        run.saved_values(path)

    def weights(self, path: Path) -> None:
        saved = evaluate._saved(path, {}, "--evaluate")
        evaluate._stand_in(path, saved.data)
        evaluate._check_weights(saved, self.trainer.backend.arrays(self.trainer.model))

    def checkpoint(self, path: Path) -> None:
        run._take(self.trainer, path, checkpoint.load_state(path, self.run))


@contextlib.contextmanager
def small_pictures() -> Iterator[None]:
    """A picture takes memory by its pixels, of which Pillow has a bound: here a smaller one."""
    bound = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = 2**19
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = bound


# -- the files -----------------------------------------------------------------------------------


def made() -> tuple[Readers, list[Original]]:
    """The readers, and whole files for each."""
    trainer = _trainer()
    arrays = {"weight": np.ones((2, 3), np.float32), "bias": np.arange(2, dtype=np.float32)}
    found = [Original("load", name, content) for name, content in _loadable(arrays).items()]
    found += [Original("images", f"images{suffix}", content) for suffix, content in _idx(3).items()]
    found += [Original("labels", f"labels{suffix}", content) for suffix, content in _idx(1).items()]
    found += [Original("own data", f"own{i}.npz", content) for i, content in enumerate(_own())]
    found += [Original("picture", f"a{suffix}", content) for suffix, content in _pictures().items()]
    found += [
        Original("config", "config.json", _config(trainer)),
        Original("config", "values.json", json.dumps(trainer.config.as_dict()).encode()),
        Original("lock", "lock", json.dumps(lock._me()).encode()),
    ]
    found += _of_a_run(trainer)
    return Readers(trainer), found


def _loadable(arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    kinds = {
        **tensors,
        "transposed": tensors["weight"].T,
        "expanded": torch.ones(1, 3).expand(4, 3),
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "negative": torch.tensor([1 + 2j]).conj().imag,
        "bfloat16": torch.ones(2, dtype=torch.bfloat16),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "numpy": [np.float64(1), np.arange(3)],
        3: (True, None, {1}, 1j, b"a"),
    }
    ours = io.BytesIO()
    numpy_impl.save(kinds["numpy"], ours)
    npz, packed = io.BytesIO(), io.BytesIO()
    np.savez(npz, **arrays)
    np.savez_compressed(packed, a=np.asfortranarray(np.eye(3)), b=np.ones(3, np.int8))
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(2))])
    found = {
        **{f"whole {name}": content for name, content in whole_files().items()},
        "state.pt": torch_file(tensors).getvalue(),
        "kinds.pt": torch_file(kinds).getvalue(),
        "kinds, protocol 4": torch_file(kinds, pickle_protocol=4).getvalue(),
        "kinds, legacy": torch_file(kinds, _use_new_zipfile_serialization=False).getvalue(),
        "state, legacy": torch_file(tensors, _use_new_zipfile_serialization=False).getvalue(),
        "optimizer": torch_file(optimizer.state_dict()).getvalue(),
        "ours": ours.getvalue(),
        "a.npz": npz.getvalue(),
        "packed.npz": packed.getvalue(),
        "a.safetensors": safetensors.numpy.save(arrays),
        "metadata.safetensors": safetensors.numpy.save(arrays, {"a": "b"}),
    }
    storage = struct.pack("<q", 6) + SIX
    for name, code in hostile("ran").items():
        program = b"\x80\x02" + code + b"."
        found |= {
            f"hostile {name}": zip_file(program),
            f"hostile legacy {name}": legacy_file(program),
        }
    for name, program in PROGRAMS.items():
        if len(program) < 1000:
            found[f"program {name}"] = legacy_file(b"\x80\x02" + program)
    for name, nonsense in TENSORS.items():
        if "huge" not in name:
            found[f"tensor {name}"] = zip_file(pickled(nonsense), data_0=SIX)
            found[f"tensor legacy {name}"] = legacy_file(
                pickled(nonsense), keys=["0"], data=storage
            )
    return found


def _idx(ndim: int) -> dict[str, bytes]:
    shape = (2, 4, 4)[:ndim]
    size = int(np.prod(shape))
    content = bytes([0, 0, 8, ndim]) + struct.pack(f">{ndim}I", *shape) + bytes(range(size))
    return {"": content, ".gz": gzip.compress(content, mtime=0)}


def _own() -> list[bytes]:
    rng = np.random.default_rng(0)
    found = []
    for kind in (np.uint8, np.float32):
        images = rng.integers(0, 255, (6, 4, 4)).astype(kind)
        labels = np.arange(6) % 3
        parts = {"x_train": images, "y_train": labels, "x_test": images[:2], "y_test": labels[:2]}
        for save in (np.savez, np.savez_compressed):
            file = io.BytesIO()
            save(file, **parts)
            found.append(file.getvalue())
    return found


def _pictures() -> dict[str, bytes]:
    pixels = np.zeros((12, 10), np.uint8)
    pixels[3:9, 4:6] = 200
    found = {}
    for suffix in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm", "eps", "ico", "pcx"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, suffix)
        found["." + suffix] = file.getvalue()
    return found


def _trainer() -> Trainer:
    images = np.random.default_rng(0).integers(0, 255, (12, 3, 3)).astype(np.uint8)
    labels = np.arange(12) % 2
    own = Dataset(
        *("own", images, labels, images, labels, 2, "own data", "c0ffee", 255.0),
        names=("0", "1"),
        path="/nowhere",
    )
    config = Config(hidden=(2,), batch_size=5, epochs=1, optimizer="adam", scheduler="step")
    return Trainer(config, make_backend("numpy"), own)


def _config(trainer: Trainer) -> bytes:
    noted = {
        "config": trainer.config.as_dict(),
        "data": trainer.data.as_dict(),
        "commands": ["python train.py"],
    }
    return json.dumps(noted).encode()


def _of_a_run(trainer: Trainer) -> list[Original]:
    """Its weights, and a checkpoint."""
    state: State = trainer.run()
    metadata = {"config": trainer.config.as_dict(), "data": trainer.data.as_dict()}
    state_of = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    with tempfile.TemporaryDirectory() as folder:
        weights, point = Path(folder) / "weights", Path(folder) / "checkpoint"
        checkpoint.save_arrays(weights, state.weights, metadata)
        checkpoint.save_state(point, state_of, identity(trainer))
        unsigned = {"json": json.dumps(metadata)}
        return [
            Original("weights", "last.safetensors", weights.read_bytes()),
            Original(
                "weights", "other.safetensors", safetensors.numpy.save(state.weights, unsigned)
            ),
            Original("checkpoint", "checkpoint.safetensors", point.read_bytes()),
        ]


DOCUMENTED = (FileError, UserError)
