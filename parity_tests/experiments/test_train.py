"""``train.py`` as its users call it: results, resuming, warnings, wrong use."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import train
from experiments import checkpoint, run
from experiments.backend import NumpyBackend, TorchBackend
from experiments.config import Config
from experiments.data import load
from experiments.threads import VARIABLES
from experiments.trainer import Callbacks, NotFinite, Trainer

ROOT = Path(train.__file__).parent
QUICK = ["--dataset", "digits", "--epochs", "2", "--hidden", "20", "--batch-size", "16"]


def call(*arguments: str) -> int:
    return train.main(list(arguments))


def history(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_run_leaves_its_folder(backend, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert call("--backend", backend, *QUICK, "--out", str(out)) == 0
    printed = capsys.readouterr().out
    for part in ("digits", "backend=" + backend, "Linear", "total", "epoch 2/2", "test accuracy"):
        assert part in printed
    assert {path.name for path in out.iterdir()} == {
        "best.safetensors",
        "checkpoint-before.safetensors",
        "checkpoint.safetensors",
        "config.json",
        "curves.png",
        "last.safetensors",
        "metrics.csv",
        "metrics.jsonl",
        "result.json",
    }
    assert result(out)["test_accuracy"] > 0.5
    kinds = [record["kind"] for record in history(out)]
    assert kinds.count("epoch") == 2
    assert kinds.count("dev") == 8
    assert kinds.count("train") == result(out)["steps"]
    about = json.loads((out / "config.json").read_text())
    assert about["config"]["backend"] == backend
    assert about["data"]["checksum"] == load("digits").checksum
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_repeats_the_accuracy_with_either_backend(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    call(*QUICK, "--out", str(out))
    wanted = f"test accuracy {result(out)['test_accuracy']:.4f}"
    for backend in ("numpy", "torch"):
        capsys.readouterr()
        assert call("--evaluate", str(out / "last.safetensors"), "--backend", backend) == 0
        assert wanted in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(
    "extra",
    [
        ["--dropout", "0.3", "--scheduler", "cosine"],
        ["--optimizer", "adam", "--lr", "0.01", "--patience", "1", "--min-delta", "0.3"],
        ["--model", "cnn", "--hidden", "8", "--lr-decay", "0.99", "--dtype", "float64"],
        ["--rotate", "10", "--scale", "1.1", "--elastic", "30", "4"],
    ],
    ids=["dropout", "adam", "cnn", "transformed images"],
)
def test_a_resumed_run_ends_as_the_uninterrupted_one(backend, extra, tmp_path, monkeypatch) -> None:
    """Interrupted before its first epoch, after it, and before its last."""
    arguments = ["--backend", backend, *QUICK, "--epochs", "4", *extra, "--out"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert call(*arguments, str(whole)) == 0
    original, cuts = Trainer._epoch, [0, 1, 3]

    def interrupted(trainer: Trainer) -> None:
        if cuts and trainer.state.epoch == cuts[0]:
            del cuts[0]
            raise KeyboardInterrupt
        original(trainer)

    monkeypatch.setattr(Trainer, "_epoch", interrupted)
    code = call(*arguments, str(broken))
    while code == 130:
        assert not (broken / "result.json").exists()
        code = call("--resume", str(broken))
    assert code == 0
    assert cuts == [] or (cuts == [3] and result(whole)["stopped_early"])
    a, b = result(whole), result(broken)
    del a["seconds"], b["seconds"]
    assert a == b
    assert history(whole) == history(broken)
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = (checkpoint.load_arrays(folder / name)[0] for folder in (whole, broken))
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key])


def test_early_stopping_stops_after_patience_epochs(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    arguments = [*QUICK, "--epochs", "9", "--patience", "2", "--min-delta", "5", "--out", str(out)]
    assert call(*arguments) == 0
    assert result(out)["epochs"] == 3  # the first is better than nothing, then two bad ones
    assert result(out)["stopped_early"]
    assert "early stop" in capsys.readouterr().out


def test_nothing_is_overwritten(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert call(*QUICK, "--out", str(out)) == 0
    before = (out / "result.json").read_bytes()
    assert call(*QUICK, "--out", str(out)) == 2
    assert "must be a new or empty folder" in capsys.readouterr().err
    assert (out / "result.json").read_bytes() == before


@pytest.mark.parametrize("make", [NumpyBackend, TorchBackend])
def test_a_step_that_moves_nothing_is_reported(make) -> None:
    """The lab's first run updated nothing, silently."""
    warnings: list[str] = []
    config = Config(hidden=(5,), epochs=1, optimizer="sgd", momentum=0.0)
    trainer = Trainer(config, make(), load("digits"), Callbacks(on_warning=warnings.append))
    trainer.optimizer.step = lambda: None
    trainer.run()
    assert any("moved no parameter" in line and "largest gradient" in line for line in warnings)
    assert any("left 0.weight, 0.bias, 2.weight, 2.bias exactly" in line for line in warnings)


@pytest.mark.parametrize("make", [NumpyBackend, TorchBackend])
def test_a_backward_that_was_never_called_is_named(make, monkeypatch) -> None:
    warnings: list[str] = []
    config = Config(hidden=(5,), epochs=1, optimizer="sgd", momentum=0.0)
    backend = make()
    trainer = Trainer(config, backend, load("digits"), Callbacks(on_warning=warnings.append))

    def forgetful(model, criterion, optimizer, images, *_):
        optimizer.zero_grad()
        logits = backend.predict(model, images)
        optimizer.step()
        return 1.0, logits

    monkeypatch.setattr(backend, "train_step", forgetful)
    trainer.run()
    assert any("was backward called?" in line for line in warnings)


def test_a_sound_run_gives_no_warning(tmp_path, capsys) -> None:
    assert call(*QUICK, "--out", str(tmp_path / "run")) == 0
    assert "WARNING" not in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_loss_that_is_not_finite_stops_the_run(backend, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert call("--backend", backend, *QUICK, "--lr", "1e30", "--out", str(out)) == 1
    message = capsys.readouterr().err
    assert "stopped: the loss is" in message
    assert "at step" in message
    assert "try a smaller --lr" in message
    assert not (out / "result.json").exists()


def test_not_finite_names_the_step() -> None:
    trainer = Trainer(Config(hidden=(5,), epochs=1), NumpyBackend(), load("digits"))
    steps = iter(range(100))
    sound = trainer.backend.train_step

    def failing(*arguments):
        loss, logits = sound(*arguments)
        return (float("nan") if next(steps) == 4 else loss), logits

    trainer.backend.train_step = failing
    with pytest.raises(NotFinite, match="the loss is nan at step 5"):
        trainer.run()


def poison(backend, at_step: int, change) -> None:
    """``change(model)`` after the backend's step ``at_step``, whose loss stays finite."""
    steps, sound = iter(range(1, 1000)), backend.train_step

    def poisoned(model, *arguments):
        _, logits = sound(model, *arguments)
        if next(steps) == at_step:
            change(model)
        return 1.0, np.nan_to_num(logits)

    backend.train_step = poisoned


def set_weight(index, value):
    def change(model) -> None:
        np.asarray(dict(model.named_parameters())["0.weight"].data)[index] = value

    return change


def set_gradient(index, value):
    def change(model) -> None:
        np.asarray(dict(model.named_parameters())["0.weight"].grad)[index] = value

    return change


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("make", [NumpyBackend, TorchBackend])
@pytest.mark.parametrize(
    ("at_step", "change", "found_at", "message"),
    [
        # anywhere: when it has spread, or at the next evaluation (here of 79 steps the 59th)
        (3, set_weight((0, 7), np.nan), 4, r"in the gradient of 0\.weight \(\d+ of 320 values\)"),
        (59, set_weight((0, 7), -np.inf), 59, r"NaN or infinity in 0\.weight \(1 of 320 values\)"),
        # in the sample of each step: at once
        (3, set_weight((-1, -1), np.nan), 3, r"NaN or infinity in 0\.weight \(1 of 320 values\)"),
        # the last step of an epoch, after which weights are saved
        (79, set_weight((0, 7), np.inf), 79, r"NaN or infinity in 0\.weight \(1 of 320 values\)"),
        (79, set_gradient((0, 7), np.nan), 79, r"in the gradient of 0\.weight \(1 of 320 values\)"),
    ],
    ids=["weight", "evaluation", "sample", "end", "gradient"],
)
def test_a_value_that_is_not_finite_stops_the_run(make, at_step, change, found_at, message) -> None:
    """Even where the loss hides it; no checkpoint ever holds it."""
    seen = []
    callbacks = Callbacks(on_checkpoint=lambda state, _: seen.append(state.epoch))
    config = Config(hidden=(5,), epochs=2, batch_size=16)
    trainer = Trainer(config, make(), load("digits"), callbacks)
    assert trainer.steps_per_epoch == 79
    poison(trainer.backend, at_step, change)
    with pytest.raises(NotFinite, match=message) as stop:
        trainer.run()
    assert f"at step {found_at} (epoch 1, learning rate" in str(stop.value)
    assert "try a smaller --lr" in str(stop.value)
    assert seen == []
    assert trainer.state.best_weights == {}


def test_a_dev_loss_that_is_not_finite_stops_the_run() -> None:
    trainer = Trainer(Config(hidden=(5,), epochs=1), NumpyBackend(), load("digits"))
    sound = trainer.backend.predict
    trainer.backend.predict = lambda *arguments: np.full_like(sound(*arguments), np.nan)
    with pytest.raises(NotFinite, match="the dev loss is nan, of finite weights at step"):
        trainer.run()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("backend", [NumpyBackend, TorchBackend])
def test_weights_that_are_not_finite_are_never_saved(
    backend, tmp_path, capsys, monkeypatch
) -> None:
    """The last step of the run: the files are those of the epoch before, the exit code is 1."""
    out, sound = tmp_path / "run", backend.train_step
    steps = iter(range(1, 1000))

    def poisoned(self, model, *arguments):
        loss_and_logits = sound(self, model, *arguments)
        if next(steps) == 2 * 79:
            set_weight((0, 7), np.nan)(model)
        return loss_and_logits

    monkeypatch.setattr(backend, "train_step", poisoned)
    arguments = ["--backend", backend.name, *QUICK, "--out", str(out)]
    assert call(*arguments) == 1
    assert "stopped: NaN or infinity in 0.weight (1 of" in capsys.readouterr().err
    assert not (out / "result.json").exists()
    assert history(out)[-1]["epoch"] == 1
    for name in ("best.safetensors", "last.safetensors", "checkpoint.safetensors"):
        for array in checkpoint.load_arrays(out / name)[0].values():
            assert np.isfinite(array).all(), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "magic"], "--recipe must be one of sgd-5ep"),
        (["--lr", "-1"], "--lr must be above 0 and finite, got -1.0"),
        (["--lr", "nan"], "--lr must be above 0 and finite, got nan"),
        (["--lr", "fast"], "argument --lr: invalid float value: 'fast'"),
        (["--backend", "jax"], "--backend must be one of numpy, torch, got 'jax'"),
        (
            ["--model", "rnn"],
            "--model must be one of mlp, cnn, cnn3, lstm, gpt or FILE.py:FUNCTION, got 'rnn'",
        ),
        (["--hidden", "0"], "--hidden must hold sizes of at least 1"),
        (["--model", "cnn", "--hidden", "3", "4"], "--hidden must be one size, but for the mlp"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--batch-size", "-3"], "--batch-size must be at least 1, got -3"),
        (["--dropout", "1"], "--dropout must be at least 0 and below 1, got 1.0"),
        (["--momentum", "1.5"], "--momentum must be at least 0 and below 1"),
        (["--weight-decay", "0.1"], "--weight-decay must be 0 for momentgd"),
        (["--optimizer", "sgd", "--lr-decay", "0.9"], "--lr-decay must be 1 unless"),
        (["--scheduler", "warp"], "--scheduler must be one of none, step"),
        (["--milestones", "5", "2"], "--milestones must be increasing"),
        (["--dtype", "float16"], "--dtype must be one of float32, float64"),
        (["--seed", "-1"], "--seed must lie within"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--dataset", "imagenet"], "--dataset must be one of auto, mnist, digits"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["--evaluate", "nowhere.safetensors"], "nowhere.safetensors: no such file"),
        (["--resume", "nowhere"], "a run folder made by train.py was expected"),
        (["--resume", "nowhere", "--lr", "1"], "--lr has no effect with --resume"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(
    arguments, message, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    if "--dataset" not in arguments:
        arguments = [*arguments, *([] if "--resume" in arguments else ["--dataset", "digits"])]
    try:
        code = call(*arguments)
    except SystemExit as stop:  # argparse's own
        code = stop.code
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_out_that_cannot_be_written(tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("")
    assert call(*QUICK, "--out", str(tmp_path / "file")) == 2
    assert call(*QUICK, "--out", str(tmp_path / "file" / "below")) == 2
    assert "can't be written: Not a directory" in capsys.readouterr().err


def test_weights_that_do_not_fit(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    call(*QUICK, "--out", str(out))
    file = str(out / "last.safetensors")
    assert call("--evaluate", file, "--hidden", "30") == 2
    assert "0.bias has shape (20,), the model needs (30,)" in capsys.readouterr().err
    assert call("--evaluate", file, "--hidden", "20", "20") == 2
    assert "2.bias has shape (10,), the model needs (20,)" in capsys.readouterr().err
    arrays, about = checkpoint.load_arrays(Path(file))
    checkpoint.save_arrays(out / "fewer.safetensors", {"0.weight": arrays["0.weight"]}, about)
    assert call("--evaluate", str(out / "fewer.safetensors")) == 2
    assert "0.bias is missing" in capsys.readouterr().err
    checkpoint.save_arrays(out / "more.safetensors", {**arrays, "9.x": np.ones(1)}, about)
    assert call("--evaluate", str(out / "more.safetensors")) == 2
    assert "it has no 9.x" in capsys.readouterr().err
    (out / "cut.safetensors").write_bytes(Path(file).read_bytes()[:-10])
    assert call("--evaluate", str(out / "cut.safetensors")) == 2
    assert "not a whole safetensors file" in capsys.readouterr().err
    assert call("--evaluate", str(out / "config.json")) == 2


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "state.safetensors"
    state = {"a": np.arange(3), "b": [1, {2: np.ones(2)}], "c": None, "d": float("inf")}
    checkpoint.save_state(path, state)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        checkpoint.save_state(path, {"a": object()})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    loaded = checkpoint.load_state(path)
    np.testing.assert_array_equal(loaded["b"][1][2], np.ones(2))
    assert loaded["c"] is None
    assert loaded["d"] == float("inf")


def test_list_shows_every_recipe(capsys) -> None:
    assert call("--list") == 0
    printed = capsys.readouterr().out
    assert "momentum-10ep-as-published" in printed
    assert "0.9705" in printed


def test_numpy_runs_never_import_torch(tmp_path) -> None:
    code = (
        "import sys, train; "
        f"code = train.main({[*QUICK, '--out', str(tmp_path / 'run')]!r}); "
        "print('torch' in sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"


def test_threads_are_set_before_numpy_is_imported(tmp_path, monkeypatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable)
    code = (
        "import os, sys, train\n"
        "assert 'numpy' not in sys.modules\n"
        f"train.main({['--threads', '1', *QUICK, '--out', str(tmp_path / 'run')]!r})\n"
        "import threadpoolctl\n"
        "print({pool['num_threads'] for pool in threadpoolctl.threadpool_info()})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "{1}"


def test_versions_are_told_without_importing() -> None:
    assert run.versions()["numpy"] == np.__version__
