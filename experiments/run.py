"""What ``train.py`` does: a run and its folder, or the test of saved weights."""

import dataclasses
import json
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from experiments import checkpoint
from experiments.backend import make_backend
from experiments.curves import plot_run
from experiments.data import Dataset, load
from experiments.errors import UserError
from experiments.recipes import Config
from experiments.trainer import (
    Callbacks,
    NotFinite,
    State,
    Trainer,
    accuracy,
    mean_cross_entropy,
)

CHECKPOINT = "checkpoint.safetensors"


def train(config: Config, data_dir: Path | None, out: Path | None) -> int:
    """Run ``config`` from the start into a new folder; the exit code."""
    data = load(config.dataset, data_dir, log=_say)
    config = dataclasses.replace(config, dataset=data.name)
    backend = make_backend(config.backend)
    trainer = Trainer(config, backend, data)
    folder = _create(out, config)
    about = {
        "config": config.as_dict(),
        "data": {"name": data.name, "source": data.source, "checksum": data.checksum},
        "versions": versions(),
    }
    checkpoint.write_atomically(folder / "config.json", _json(about))
    return _go(trainer, folder)


def resume(folder: Path, data_dir: Path | None) -> int:
    """Go on with an interrupted run, to the result of the uninterrupted one; the exit code."""
    about = read_json(folder / "config.json", "a run folder made by train.py")
    config = Config.from_dict(about["config"])
    data = load(config.dataset, data_dir, log=_say)
    if data.checksum != about["data"]["checksum"]:
        raise UserError(
            f"{folder}: the run was started on {about['data']['source']}, this is {data.source}"
        )
    trainer = Trainer(config, make_backend(config.backend), data)
    saved = folder / CHECKPOINT
    if saved.exists():
        trainer.resume(State(**checkpoint.load_state(saved)))
    else:
        _say(f"{folder} has no checkpoint yet: starting from the beginning")
    return _go(trainer, folder)


def evaluate(file: Path, overrides: Mapping[str, Any], data_dir: Path | None) -> int:
    """Print the test accuracy of saved weights; the exit code."""
    weights, metadata = checkpoint.load_arrays(file)
    config = Config.from_dict({**metadata.get("config", {}), **overrides})
    data = load(config.dataset, data_dir, log=_say)
    backend = make_backend(config.backend)
    trainer = Trainer(config, backend, data)
    wanted = backend.arrays(trainer.model)
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
    backend.load_arrays(trainer.model, weights)
    logits = trainer.predict(data.test_images)
    print(_result(logits, data))
    return 0


def versions() -> dict[str, str]:
    """The versions that a result depends on, without importing anything."""
    found = {"python": platform.python_version()}
    for package in ("numpy", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def summary(model: Any, backend: Any, image: np.ndarray) -> str:
    """A table of the layers, their output shapes and their parameters."""
    rows = [("layer", "output shape", "parameters")]
    value, total = image, 0
    model.eval()
    for name, layer in model.named_children():
        value = backend.predict(layer, value)
        count = sum(array.size for array in backend.arrays(layer).values())
        total += count
        shape = "(N, " + ", ".join(map(str, value.shape[1:])) + ")"
        rows.append((f"{name}  {type(layer).__name__}", shape, f"{count:,}"))
    model.train()
    rows.append(("total", "", f"{total:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)


def read_json(path: Path, what: str) -> Any:
    """A JSON file.

    Raises:
        UserError: if it is missing or broken; ``what`` says what was expected.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror} ({what} was expected)") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def _go(trainer: Trainer, folder: Path) -> int:
    config, data, backend = trainer.config, trainer.data, trainer.backend
    _say(f"data: {data.source}")
    described = [
        f"{key}={value}" for key, value in config.as_dict().items() if value not in ("", "none")
    ]
    _say("configuration: " + " ".join(described).replace(", ", ","))
    _say(summary(trainer.model, backend, trainer.images(data.test_images[:1])))
    report = _Progress(trainer, folder)
    trainer.callbacks = Callbacks(
        report.on_step, report.on_epoch, report.on_warning, report.on_checkpoint
    )
    try:
        state = trainer.run()
    except NotFinite as error:
        report.close()
        print(f"train.py: stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        report.close()
        print(f"\ninterrupted; go on with: python train.py --resume {folder}", file=sys.stderr)
        return 130
    report.close()
    if state.stopped_early:
        _say(f"early stop: no better dev loss for {config.patience} epochs")
    _finish(trainer, folder, state)
    return 0


def _finish(trainer: Trainer, folder: Path, state: State) -> None:
    data, backend, config = trainer.data, trainer.backend, trainer.config
    last = trainer.predict(data.test_images)
    backend.load_arrays(trainer.model, state.best_weights)
    best = trainer.predict(data.test_images)
    backend.load_arrays(trainer.model, state.weights)
    result = {
        "test_accuracy": accuracy(last, data.test_labels),
        "test_loss": mean_cross_entropy(last, data.test_labels),
        "best_epoch": state.best_epoch,
        "best_dev_accuracy": state.best_accuracy,
        "best_test_accuracy": accuracy(best, data.test_labels),
        "epochs": state.epoch,
        "steps": state.step,
        "stopped_early": state.stopped_early,
        "seconds": state.seconds,
        "predictions": last.argmax(1).tolist(),
    }
    title = f"{config.recipe or config.model}, {config.backend}, {data.name}, seed {config.seed}"
    plot_run(folder / "curves.png", title, state.history)
    # the last file to appear: a folder that has it is complete
    checkpoint.write_atomically(folder / "result.json", _json(result))
    _say(_result(last, data))
    _say(f"run folder: {folder}")


def _result(logits: np.ndarray, data: Dataset) -> str:
    right = int((logits.argmax(1) == data.test_labels).sum())
    return (
        f"test accuracy {right / len(data.test_labels):.4f} "
        f"({right} of {len(data.test_labels)}), "
        f"test loss {mean_cross_entropy(logits, data.test_labels):.4f}, on {data.source}"
    )


class _Progress:
    """Shows a run and keeps its folder up to date: a bar on a terminal, lines elsewhere."""

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        self._trainer, self._folder = trainer, folder
        self._config = trainer.config.as_dict()
        self._bar = None
        self._started = time.perf_counter() - trainer.state.seconds
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=trainer.total_steps, initial=trainer.state.step, unit="step", leave=False
            )

    def on_step(self, step: int, total: int, loss: float, share: float) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, accuracy {share:.3f}", refresh=False)
            self._bar.update()

    def on_epoch(self, record: dict[str, Any]) -> None:
        epochs = self._trainer.config.epochs
        elapsed = time.perf_counter() - self._started
        left = elapsed / record["epoch"] * (epochs - record["epoch"])
        self._write(
            f"epoch {record['epoch']}/{epochs}: train loss {record['train_loss']:.4f}, "
            f"dev loss {record['dev_loss']:.4f}, dev accuracy {record['dev_accuracy']:.4f}, "
            f"{elapsed:.0f} s, about {left:.0f} s left"
        )

    def on_warning(self, message: str) -> None:
        self._write(f"WARNING: {message}", sys.stderr)

    def on_checkpoint(self, state: State, improved: bool) -> None:
        folder, metadata = self._folder, {"config": self._config}
        if improved:
            checkpoint.save_arrays(folder / "best.safetensors", state.best_weights, metadata)
        checkpoint.save_arrays(folder / "last.safetensors", state.weights, metadata)
        lines = "".join(json.dumps(record) + "\n" for record in state.history)
        checkpoint.write_atomically(folder / "metrics.jsonl", lines.encode())
        values = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
        checkpoint.save_state(folder / CHECKPOINT, values)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _write(self, line: str, stream: Any = None) -> None:
        if self._bar is not None:
            self._bar.clear()
        print(line, file=stream or sys.stdout, flush=True)
        if self._bar is not None:
            self._bar.refresh()


def _create(out: Path | None, config: Config) -> Path:
    """A new run folder: ``out``, or runs/NAME with a number where that is taken."""
    if out is None:
        name = f"{config.recipe or config.model}-{config.backend}-seed{config.seed}"
        candidates = [Path("runs") / name]
        candidates += [Path("runs") / f"{name}-{i}" for i in range(2, 1000)]
        out = next((folder for folder in candidates if not folder.exists()), candidates[-1])
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out must be a new or empty folder, {out} exists (see --resume)")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"--out {out} can't be written: {error.strerror}") from None
    return out


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _say(line: str) -> None:
    print(line, flush=True)
