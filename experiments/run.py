"""What ``train.py`` does: a run and its folder."""

import dataclasses
import json
import math
import shlex
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments import checkpoint, own_model, text
from experiments.about import about, identity, versions
from experiments.config import Config
from experiments.curves import plot_run
from experiments.data import Dataset, recorded_path
from experiments.declare import declared
from experiments.distributed import Group, make_group
from experiments.doctor import examine
from experiments.errors import (
    Damaged,
    Lost,
    NotFinite,
    UserError,
    need,
    out_of_memory,
    silence,
    tell,
)
from experiments.files import read_json, write_atomically
from experiments.flags import Job, lack, remarks, ways_out
from experiments.folder import (
    BEFORE,
    BEST,
    CHECKPOINT,
    CONFIG,
    CURVES,
    EVENTS,
    LAST,
    METRICS,
    RESULT,
    TABLE,
    Onlooker,
    RunFolder,
)
from experiments.metrics import Events, need_tensorboard, table
from experiments.outcome import (
    class_accuracies,
    class_line,
    confusion_matrix,
    divergence,
    overflow_is_reported_later,
    result_line,
)
from experiments.own_model import blamed
from experiments.own_name import absolute
from experiments.prepare import check_evaluations, load_data, make_trainer, need_packages
from experiments.recipes import TRANSFORMED
from experiments.trainer import Callbacks, State, Trainer, accuracy, mean_cross_entropy

__all__ = ["doctor", "resume", "saved_values", "summary", "train", "versions"]


@overflow_is_reported_later()
def train(config: Config, job: Job, command: str) -> int:
    """Run ``config`` from the start into a new folder; the exit code."""
    need_packages(config.backend)
    if job.tensorboard:
        need_tensorboard()
    group = make_group(config.backend, job.timeout)
    data = _in_turn(group, lambda: load_data(config, job.data, job.no_checksum))
    config = dataclasses.replace(config, dataset=data.name, model=absolute(config.model))
    trainer = make_trainer(config, data, group)
    check_evaluations(trainer)
    with _new_folder(group, job.out, config) as folder:

        def work() -> int:
            if group.rank == 0:
                write_atomically(folder.path / CONFIG, _json(about(trainer, [command])))
            return _go(trainer, folder, job.tensorboard)

        return _reported(folder, work)


def _in_turn(group: Group, load: Callable[[], Dataset]) -> Dataset:
    """The data in all processes; process 0 first, which may have to download them."""
    if group.rank:
        group.wait()
    data = load()
    if not group.rank:
        group.wait()
    group.agree("data", [data.checksum])
    return data


def _new_folder(group: Group, out: Path | None, config: Config) -> RunFolder:
    """Process 0 makes it, and tells the others where."""
    name = f"{config.name}-{config.backend}-seed{config.seed}"
    if group.rank == 0:
        folder = RunFolder.create(out, name)
        group.told(str(folder.path))
        return folder
    return Onlooker(Path(group.told("")))


@overflow_is_reported_later()
def doctor(config: Config, job: Job) -> int:
    """Examine a run instead of running it; 1 if there is something to look at."""
    if config.backend == "torch":
        need("PyTorch", "torch", "--backend torch")
    data = load_data(config, job.data, job.no_checksum)
    _say(f"data: {data.source}")
    found = []
    with blamed(config.model):
        for advice in examine(make_trainer(config, data)):
            _say(str(advice))
            found.append(advice.well)
    return 0 if all(found) else 1


@overflow_is_reported_later()
def resume(path: Path, epochs: int | None, job: Job, command: str) -> int:
    """Go on with an interrupted run, to the result of the uninterrupted one; the exit code.

    With ``epochs``, to that of a run which was started with so many.
    """
    config, noted = _read_config(path / CONFIG)
    longer = epochs is not None and epochs != config.epochs
    if longer and config.scheduler == "cosine":
        raise UserError(
            f"{path} can't be prolonged: with --scheduler cosine every learning rate hangs on the "
            f"number of epochs, so that one with {epochs} has to begin anew: python train.py "
            f"--config {shlex.quote(str(path / CONFIG))} --epochs {epochs}"
        )
    config = dataclasses.replace(config, epochs=epochs) if epochs is not None else config
    need_packages(config.backend)
    group = make_group(config.backend, job.timeout)
    with Onlooker(path) if group.rank else RunFolder(path) as folder:
        folder.tidy()
        events = job.tensorboard or (path / EVENTS).exists()
        if events:
            need_tensorboard()
        source = job.data or recorded_path(noted["data"])
        data = _in_turn(group, lambda: load_data(config, source))
        if data.checksum != noted["data"]["checksum"]:
            raise UserError(
                f"{path}: the run was started on {noted['data']['source']}, this is {data.source}"
            )
        trainer = make_trainer(config, data, group)
        check_evaluations(trainer)
        if folder.stored:
            _restore(trainer, path)
        else:
            _say(f"{path} has no checkpoint yet: starting from the beginning")
        state = trainer.state
        if state.epoch > config.epochs:
            raise UserError(f"--epochs {epochs}: {path} has done {state.epoch} epochs already")
        if longer and state.stopped_early:
            raise UserError(
                f"{path} can't be prolonged: it stopped early, after epoch {state.epoch}, as a run "
                f"that was started with --epochs {epochs} would have"
            )
        complete = state.stopped_early or state.epoch == config.epochs  # else one was damaged
        if (path / RESULT).exists() and complete and not longer:
            more = "" if state.stopped_early else "; --epochs beside --resume prolongs it"
            _say(f"{path} is finished, after {state.epoch} epochs{more}")
            group.close()
            return 0

        def work() -> int:
            if group.rank == 0:
                (path / RESULT).unlink(missing_ok=True)  # a folder that has it is complete
            if longer and group.rank == 0:
                commands = [*noted.get("commands", []), command]
                write_atomically(path / CONFIG, _json(about(trainer, commands)))
            return _go(trainer, folder, events)

        return _reported(folder, work)


def summary(model: Any, backend: Any, image: np.ndarray) -> str:
    """A table of the layers, their output shapes and their parameters."""
    shapes: dict[str, str] = {}

    def note(name: str, output: Any) -> None:
        while isinstance(output, tuple):
            output = output[0]
        shapes[name] = "(N, " + ", ".join(map(str, output.shape[1:])) + ")"

    layers = list(model.named_children()) or [("", model)]
    hooks = [
        layer.register_forward_hook(lambda _, inputs, output, name=name: note(name, output))
        for name, layer in layers
    ]
    model.eval()
    backend.predict(model, image)
    model.train()
    for hook in hooks:
        hook.remove()
    rows, counted, total = [("layer", "output shape", "parameters")], set[int](), 0
    for name, layer in layers:
        own = {id(p): math.prod(p.shape) for p in layer.parameters() if id(p) not in counted}
        counted |= own.keys()
        count = sum(own.values())
        total += count
        rows.append((f"{name}  {type(layer).__name__}", shapes.get(name, ""), f"{count:,}"))
    rows.append(("total", "", f"{total:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)


def _read_config(file: Path) -> tuple[Config, dict[str, Any]]:
    """The configuration of a run folder, and all that it notes."""
    noted = read_json(file, "a run folder made by train.py")
    if not isinstance(noted, dict):
        raise UserError(f"{file}: must hold a JSON object, got {str(noted)[:60]}")
    values, data = noted.get("config"), noted.get("data")
    if not isinstance(values, dict):
        raise UserError(f"{file}: has no configuration ('config')")
    missing = [f.name for f in dataclasses.fields(Config) if f.name not in values]
    if missing:
        raise UserError(f"{file}: the configuration lacks {', '.join(missing)}")
    try:
        config = Config.from_dict(values)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    data = data if isinstance(data, dict) else {}
    for key in ("checksum", "source"):
        if not isinstance(data.get(key), str):
            raise UserError(f"{file}: does not say which data the run was on ('data', {key!r})")
    commands = noted.get("commands", [])
    if not isinstance(commands, list):
        raise UserError(f"{file}: 'commands' must be a list, got {str(commands)[:60]}")
    return config, {**noted, "data": data}


def saved_values(file: Path) -> tuple[dict[str, Any], Path | None]:
    """The configuration in a run's config.json, or in the folder that has it, and its data's path.

    Raises:
        UserError: if it holds none.
    """
    file = file / CONFIG if file.is_dir() else file
    found = read_json(file, "a run's config.json")
    values = found.get("config", found) if isinstance(found, dict) else None
    if not isinstance(values, dict):
        raise UserError(f"{file}: has no configuration ('config')")
    try:
        Config.from_dict(values)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    return values, recorded_path(found.get("data"))


def _restore(trainer: Trainer, folder: Path) -> None:
    """Go on from the newest checkpoint, or from the one before if that one is damaged."""
    file, before, group = folder / CHECKPOINT, folder / BEFORE, trainer.group
    if group.rank:
        group.wait()  # until process 0 has put a sound one in its place
    elif not file.exists():  # a kill came between two renames
        before.replace(file)
    try:
        state = checkpoint.load_state(file, identity(trainer))
    except Damaged as damage:
        try:
            state = checkpoint.load_state(before, identity(trainer))
        except UserError as error:
            raise UserError(
                f"{damage}; {error}: no checkpoint is left to go on from, so that the run has to "
                f"begin anew: python train.py --config {shlex.quote(str(folder / CONFIG))}"
            ) from None
        _take(trainer, before, state)
        before.replace(file)
        tell(f"WARNING: {damage}; going on from the one before, of epoch {trainer.state.epoch}")
    else:
        _take(trainer, file, state)
    if not group.rank:
        group.wait()


# what a state that is no state makes of the code that takes it
_MISFITS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


def _take(trainer: Trainer, file: Path, state: Any) -> None:
    try:
        trainer.resume(State(**state))
    except (*_MISFITS, RuntimeError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{file}: does not fit this run ({said})") from None


def _reported(folder: RunFolder, work: Callable[[], int]) -> int:
    """Do ``work`` in a run folder; whatever ends it early becomes a line that says how to go on."""
    go_on = f"go on with: python train.py --resume {shlex.quote(str(folder.path))}"
    try:
        return work()
    except UserError:  # a fault of the user's own network
        folder.discard()
        raise
    except Lost as error:
        whole = "nothing was stored yet" if folder.discard() else go_on
        tell(f"train.py: stopped: {error}; {whole}")
        error.end_others()
        return 1
    except NotFinite as error:
        folder.discard()
        tell(f"train.py: stopped: {error}")
        return 1
    except KeyboardInterrupt:
        begun = (folder.path / CONFIG).exists() or not folder.discard()
        tell(f"\ninterrupted; {go_on if begun else 'nothing was stored yet'}")
        return 130
    except BrokenPipeError:  # train.py | head
        code, problem = 141, "nobody reads the output any more"
        silence(sys.stdout)
    except OSError as error:
        if error.filename is None:
            silence(sys.stdout)
        code, problem = 1, f"{error.filename or 'output'}: {error.strerror or error}"
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        code, problem = 1, "there is not enough memory: try a smaller --batch-size or --hidden"
    advice = "nothing was stored yet" if folder.discard() else f"what was stored is whole; {go_on}"
    tell(f"train.py: stopped: {problem}; {advice}")
    return code


def _go(trainer: Trainer, folder: RunFolder, events: bool) -> int:
    with blamed(trainer.config.model):
        return _run(trainer, folder, events)


def _run(trainer: Trainer, folder: RunFolder, events: bool) -> int:
    config, data, backend = trainer.config, trainer.data, trainer.backend
    _say(f"data: {data.source}")
    if config.changed:
        _say(f"recipe: not {config.recipe} itself but {config.name}")
    values = {**config.as_dict(), "recipe": config.recipe and config.name}
    idle = {field.name for field in declared(config) if lack(config, field)}
    idle |= set() if config.transformations else TRANSFORMED.keys()
    described = [
        f"{k}={v}" for k, v in values.items() if k not in idle and v not in ("", "none", [])
    ]
    _say("configuration: " + " ".join(described).replace(", ", ","))
    for line in remarks(config, trainer.total_steps):
        _say(line)
    _say(summary(trainer.model, backend, trainer.images(data.test_images[:1])))
    if trainer.group.rank:
        state = trainer.run()
    else:
        with _Progress(trainer, folder.path, Events() if events else None) as report:
            trainer.callbacks = Callbacks(
                report.on_step, report.on_epoch, report.on_warning, report.on_checkpoint
            )
            if trainer.state.epoch:  # of a later one, if a kill or a damaged checkpoint cost it
                report.write(trainer.state, improved=True)
            state = trainer.run()
    if state.stopped_early:
        _say(f"early stop: no better dev loss for {config.patience} epochs")
    _finish(trainer, folder.path, state)
    trainer.group.close()
    return 0


def _finish(trainer: Trainer, folder: Path, state: State) -> None:
    data, backend, config = trainer.data, trainer.backend, trainer.config
    last = trainer.predict(data.test_images)
    problem = divergence(last, data)
    if problem:
        raise NotFinite(f"{problem} after {state.epoch} epochs; {ways_out(config)}")
    backend.load_arrays(trainer.model, state.best_weights)
    best = trainer.predict(data.test_images)
    backend.load_arrays(trainer.model, state.weights)
    written = text.write(trainer) if data.symbols else ""
    if trainer.group.rank:
        return
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
        "data": data.as_dict(),
        **_by_class(last, data),
        "predictions": last.argmax(1).tolist(),
    }
    title = f"{config.name}, {config.backend}, {data.name}, seed {config.seed}"
    plot_run(folder / CURVES, title, state.history)
    # the last file to appear: a folder that has it is complete
    write_atomically(folder / RESULT, _json(result))
    _say(result_line(last, data))
    if not data.symbols:
        _say(class_line(np.array(result["confusion"]), data.names))
    if written:
        _say("the model writes:\n" + textwrap.indent(written, "  | ", lambda _: True))
    _say(f"run folder: {folder}")


def _by_class(logits: np.ndarray, data: Dataset) -> dict[str, Any]:
    """Of images: the accuracy of each class, and what was taken for what."""
    if data.symbols:
        return {}
    confusion = confusion_matrix(logits.argmax(1), data.test_labels, data.classes)
    return {"class_accuracy": class_accuracies(confusion), "confusion": confusion.tolist()}


class _Progress:
    """Shows a run and keeps its folder up to date: a bar on a terminal, lines elsewhere."""

    def __init__(self, trainer: Trainer, folder: Path, events: Events | None) -> None:
        self._trainer, self._folder, self._events = trainer, folder, events
        config, data = trainer.config, trainer.data.as_dict()
        self._metadata = {
            "name": config.name,
            "config": config.as_dict(),
            "data": data,
            **own_model.noted(config.model),
        }
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
        self.write(state, improved)
        values = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
        folder, run = self._folder, identity(self._trainer)
        checkpoint.save_state(folder / CHECKPOINT, values, run, before=folder / BEFORE)

    def write(self, state: State, improved: bool) -> None:
        """Everything of an epoch that people read."""
        folder = self._folder
        if improved:
            checkpoint.save_arrays(folder / BEST, state.best_weights, self._metadata)
        checkpoint.save_arrays(folder / LAST, state.weights, self._metadata)
        lines = "".join(json.dumps(record) + "\n" for record in state.history)
        write_atomically(folder / METRICS, lines.encode())
        write_atomically(folder / TABLE, table(state.history))
        if self._events is not None:
            write_atomically(folder / EVENTS, self._events.grown(state.history))

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def _write(self, line: str, stream: Any = None) -> None:
        if self._bar is not None:
            self._bar.clear()
        print(line, file=stream or sys.stdout, flush=True)
        if self._bar is not None:
            self._bar.refresh()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _say(line: str) -> None:
    print(line, flush=True)
