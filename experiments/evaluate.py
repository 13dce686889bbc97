"""``train.py --evaluate``: the test of saved weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments import checkpoint
from experiments.data import load
from experiments.errors import UserError, need, tell
from experiments.folder import BEST, LAST
from experiments.outcome import divergence, overflow_is_reported_later, result_line
from experiments.prepare import dataset, make_trainer
from experiments.recipes import Config


@overflow_is_reported_later()
def evaluate(file: Path, overrides: Mapping[str, Any], data_dir: Path | None) -> int:
    """Print the test accuracy of saved weights; the exit code."""
    need("safetensors", "safetensors.numpy", "--evaluate")
    if file.is_dir():
        raise UserError(f"{file}: is a folder; --evaluate takes a file, {file / LAST} for one")
    weights, metadata = checkpoint.load_arrays(file)
    if "state" in metadata:
        raise UserError(
            f"{file}: holds a training state, for --resume; --evaluate takes weights: "
            f"{LAST} (after the last epoch) or {BEST} beside it"
        )
    saved = _saved_config(file, weights, metadata.get("config", {}))
    config = Config.from_dict({**saved, **overrides})
    if config.backend == "torch":
        need("PyTorch", "torch", "--backend torch")
    data = load(dataset(config), data_dir)
    trainer = make_trainer(config, data)
    _check_weights(file, weights, trainer.backend.arrays(trainer.model), saved["dtype"])
    trainer.backend.load_arrays(trainer.model, weights)
    logits = trainer.predict(data.test_images)
    print(result_line(logits, data))
    problem = divergence(logits, data)
    if problem:
        tell(f"train.py: {problem}: these weights are of no use")
    return 1 if problem else 0


def _saved_config(file: Path, weights: Mapping[str, np.ndarray], saved: Any) -> dict[str, Any]:
    """The configuration that a file of weights names; where it names no dtype, theirs."""
    try:
        Config.from_dict(saved)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    # (a batch norm counts its batches in int64)
    double = all(a.dtype in (np.float64, np.int64) for a in weights.values())
    return {"dtype": "float64" if double else "float32", **saved}


def _check_weights(
    file: Path, weights: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray], dtype: str
) -> None:
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
        must = dtype if wanted[key].dtype.kind == "f" else wanted[key].dtype
        if weights[key].dtype != must:
            raise UserError(f"{file}: {key} is {weights[key].dtype}, these weights must be {must}")
        bad = weights[key].size - int(np.isfinite(weights[key]).sum())
        if bad:
            raise UserError(
                f"{file}: {bad:,} of {weights[key].size:,} values of {key} are NaN or infinite"
            )
