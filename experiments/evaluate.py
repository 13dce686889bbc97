"""``train.py --evaluate`` and ``--predict``: what saved weights are good for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import checkpoint, own_model, pictures
from experiments.config import Config, amended
from experiments.data import Dataset, recorded_path
from experiments.errors import UserError, need, tell
from experiments.folder import BEST, LAST
from experiments.outcome import (
    class_line,
    confusion_matrix,
    confusion_table,
    divergence,
    overflow_is_reported_later,
    result_line,
)
from experiments.own_model import blamed
from experiments.prepare import load_data, make_trainer
from experiments.trainer import Trainer

_SHOWN = 3  # answers for each image


class _Saved(NamedTuple):
    """A file of weights, and what it says of itself; ``data`` may be anything.

    ``network``: the checksum of the user's file with it, if it was one.
    """

    file: Path
    weights: dict[str, np.ndarray]
    dtype: str
    config: Config
    data: Any
    network: Any


@overflow_is_reported_later()
def evaluate(
    path: Path, overrides: Mapping[str, Any], data_path: Path | None, unchecked: bool = False
) -> int:
    """Print the test accuracy of saved weights; the exit code."""
    saved = _saved(path, overrides, "--evaluate")
    recorded = None if "dataset" in overrides else recorded_path(saved.data)
    data = load_data(saved.config, data_path or recorded, unchecked)
    trainer = _loaded(saved, data)
    with blamed(saved.config.model):
        logits = trainer.predict(data.test_images)
    print(result_line(logits, data))
    noted = saved.data if isinstance(saved.data, dict) else {}
    if noted.get("checksum", data.checksum) != data.checksum:
        print(f"this is other data than the run's: {noted.get('source')}")
    if not data.symbols:
        confusion = confusion_matrix(logits.argmax(1), data.test_labels, data.classes)
        print(class_line(confusion, data.names))
        print(confusion_table(confusion, data.names))
    problem = divergence(logits, data)
    if problem:
        tell(f"train.py: {problem}: these weights are of no use")
    return 1 if problem else 0


@overflow_is_reported_later()
def predict(images: Sequence[Path], path: Path | None, overrides: Mapping[str, Any]) -> int:
    """Print what saved weights take images for; the exit code."""
    need("Pillow", "PIL.Image", "--predict")
    path = _latest() if path is None else path
    saved = _saved(path, overrides, "--predict")
    if saved.config.model == "gpt":
        raise UserError(f"{saved.file}: of a gpt, which writes text; --predict takes images")
    data = _stand_in(saved.file, saved.data)
    trainer = _loaded(saved, data)
    height, width = data.train_images.shape[1:]
    known = [pictures.read(image, (height, width), data.name) for image in images]
    with blamed(saved.config.model):
        logits = trainer.predict(np.stack(known).astype(np.float64) * (data.scale / 255))
    print(f"{saved.file}, trained on {data.source}")
    for image, pixels, row in zip(images, known, logits.astype(np.float64), strict=True):
        shares = np.exp(row - row.max())
        shares /= shares.sum()
        best = np.argsort(-shares, kind="stable")[:_SHOWN]
        print(f"\n{image}, as the network sees it:\n{pictures.shown(pixels)}")
        print("  " + ", ".join(f"{data.names[i]} ({shares[i]:.1%})" for i in best))
    return 0


def _latest() -> Path:
    """The run in ./runs whose weights are the youngest."""
    files = list(Path("runs").glob(f"*/{LAST}"))
    if not files:
        raise UserError(f"--predict: there is no run in ./runs; --weights names one, or its {LAST}")
    return max(files, key=lambda file: file.stat().st_mtime)


def _saved(path: Path, overrides: Mapping[str, Any], job: str) -> _Saved:
    """The weights of a run folder or a file, and their configuration with ``overrides``."""
    need("safetensors", "safetensors.numpy", job)
    file = path / LAST if path.is_dir() else path
    if path.is_dir() and not file.exists():
        raise UserError(f"{path}: has no {LAST}: it is no run folder, or of a run without an epoch")
    weights, metadata = checkpoint.load_arrays(file)
    if "state" in metadata:
        raise UserError(
            f"{file}: holds a training state, for --resume; {job} takes weights: "
            f"{LAST} (after the last epoch) or {BEST} beside it"
        )
    saved = metadata.get("config", {})
    try:
        Config.from_dict(saved)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    if "dtype" not in saved:
        floats = [array for array in weights.values() if array.dtype.kind == "f"]
        double = all(array.dtype == np.float64 for array in floats)
        saved = {"dtype": "float64" if double else "float32", **saved}
    config = amended(saved, overrides)
    return _Saved(
        file, weights, saved["dtype"], config, metadata.get("data"), metadata.get("model_checksum")
    )


def _stand_in(file: Path, noted: Any) -> Dataset:
    """Data without content, of the size that a run noted: enough to build its network."""
    try:
        height, width = map(int, noted["shape"])
        classes, scale = int(noted["classes"]), float(noted["scale"])
        names = tuple(map(str, noted["names"]))
        images, labels = np.zeros((12, height, width), np.uint8), np.zeros(12, np.int64)
        name, source = str(noted["name"]), str(noted["source"])
        if len(names) != classes or not 0 < height * width * classes < 2**40:
            raise ValueError(f"{classes} classes of {height}x{width} images, {len(names)} names")
    except (TypeError, KeyError, ValueError, OverflowError, MemoryError):
        raise UserError(
            f"{file}: does not say which images it was trained on, as weights of train.py do"
        ) from None
    return Dataset(name, images, labels, images, labels, classes, source, "", scale, names=names)


def _loaded(saved: _Saved, data: Dataset) -> Trainer:
    """The network with the saved weights, which are checked."""
    if saved.config.backend == "torch":
        need("PyTorch", "torch", "--backend torch")
    trainer = make_trainer(saved.config, data)
    now = own_model.noted(saved.config.model).get("model_checksum")
    if saved.network and now and now != saved.network:
        tell(f"train.py: {saved.config.model} has changed since these weights were trained")
    _check_weights(saved, trainer.backend.arrays(trainer.model))
    trainer.backend.load_arrays(trainer.model, saved.weights)
    return trainer


def _check_weights(saved: _Saved, wanted: Mapping[str, np.ndarray]) -> None:
    file, weights = saved.file, saved.weights
    for key in sorted(wanted.keys() | weights.keys()):
        if key not in weights:
            raise UserError(f"{file}: the weights do not fit the model: {key} is missing")
        if key not in wanted:
            raise UserError(f"{file}: the weights do not fit the model: it has no {key}")
        if weights[key].shape != wanted[key].shape:
            raise UserError(
                f"{file}: the weights do not fit the model: {key} has shape "
                f"{weights[key].shape}, the model needs {wanted[key].shape}"
            )
        is_count = wanted[key].dtype.kind != "f"  # of batches, for one
        dtype = wanted[key].dtype if is_count else np.dtype(saved.dtype)
        if weights[key].dtype != dtype:
            raise UserError(f"{file}: {key} is {weights[key].dtype}, these weights must be {dtype}")
        bad = weights[key].size - int(np.isfinite(weights[key]).sum())
        if bad:
            raise UserError(
                f"{file}: {bad:,} of {weights[key].size:,} values of {key} are NaN or infinite"
            )
