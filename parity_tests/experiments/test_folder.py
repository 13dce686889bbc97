"""A run's folder: one run in it at a time, nothing of another run, nothing left of a failed one."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import checkpoint, lock
from experiments.errors import Damaged, UserError
from experiments.folder import RunFolder
from experiments.trainer import Trainer
from parity_tests.experiments.calls import QUICK, about, call, refusal, result, same_run, start


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory) -> Path:
    return interrupted(tmp_path_factory.mktemp("stopped") / "run", pytest.MonkeyPatch())


@pytest.fixture
def stopped(stopped_once, tmp_path) -> Path:
    """A run interrupted after its first epoch, of which each test has its copy."""
    return shutil.copytree(stopped_once, tmp_path / "run")


def interrupted(out: Path, monkeypatch, *extra: str, epoch: int = 1) -> Path:
    original = Trainer._epoch

    def cut(trainer: Trainer) -> None:
        if trainer.state.epoch == epoch:
            raise KeyboardInterrupt
        original(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", cut)
        assert call(*QUICK, *extra, "--out", str(out)) == 130
    return out


def test_the_second_run_is_told_who_holds_the_folder(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    first = start(*QUICK, "--epochs", "100000", "--out", str(out), cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while not (out / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        for arguments in (["--resume", str(out)], [*QUICK, "--out", str(out)]):
            said = refusal(capsys, *arguments)
            assert f"{out} is in use by another run (pid {first.pid}, host " in said
            assert "since 20" in said
    finally:
        first.kill()
        first.communicate()
    # the lock of a dead process blocks nobody
    assert (out / lock.NAME).exists()
    with RunFolder(out):
        pass
    assert not (out / lock.NAME).exists()


def at_once(work, count: int = 8) -> list:
    """What ``work()`` returns or raises in each of ``count`` threads that start together."""
    results, barrier = [], threading.Barrier(count)

    def run() -> None:
        barrier.wait()
        try:
            results.append(work())
        except UserError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("kernel", [True, False], ids=["flock", "without flock"])
def test_of_runs_that_start_together_one_gets_the_folder(kernel, tmp_path, monkeypatch) -> None:
    if not kernel:
        monkeypatch.setattr(lock, "fcntl", None)
    for i in range(20):
        results = at_once(lambda i=i: RunFolder.create(tmp_path / str(i), "name"))
        refused = [r for r in results if isinstance(r, UserError)]
        assert len(refused) == 7
        assert all(
            f"in use by another run (pid {os.getpid()}, host" in str(error) for error in refused
        )


def test_runs_without_out_get_a_folder_each(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = at_once(lambda: RunFolder.create(None, "name"))
    assert {f.path.name for f in folders} == {"name", *(f"name-{i}" for i in range(2, 9))}


def test_without_flock_the_lock_of_a_dead_process_blocks_nobody(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    holder = lock._me()
    (tmp_path / lock.NAME).write_text(json.dumps({**holder, "pid": dead.pid}))
    with RunFolder(tmp_path), pytest.raises(UserError, match=f"pid {os.getpid()}, host"):
        RunFolder(tmp_path)
    (tmp_path / lock.NAME).write_text(json.dumps({**holder, "host": "elsewhere"}))
    with pytest.raises(UserError, match=r"host elsewhere.*if that run has ended, delete .*\.lock"):
        RunFolder(tmp_path)
    (tmp_path / lock.NAME).write_text("")
    os.utime(tmp_path / lock.NAME, (0, 0))
    with RunFolder(tmp_path):
        pass


def test_a_folder_with_a_dead_run_s_lock_alone_counts_as_empty(tmp_path) -> None:
    (tmp_path / lock.NAME).write_text("")
    assert call(*QUICK, "--out", str(tmp_path)) == 0
    assert not (tmp_path / lock.NAME).exists()


def test_what_a_killed_run_left_half_written_is_removed_on_resume(stopped) -> None:
    for name in (".last.safetensors.x1", ".checkpoint.safetensors.abc", ".result.json.1"):
        (stopped / name).write_bytes(b"half")
    (stopped / "notes.txt").write_text("mine")
    assert call("--resume", str(stopped)) == 0
    assert [p.name for p in stopped.iterdir() if p.name.startswith(".")] == []
    assert (stopped / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--backend", "torch"], "its backend is 'torch', this run's is 'numpy'"),
        (["--dtype", "float64"], "its dtype is 'float64', this run's is 'float32'"),
        (["--model", "cnn"], r"its hidden is \[20\]|its model is 'cnn', this run's is 'mlp'"),
        (["--optimizer", "adam"], "its optimizer is 'adam', this run's is 'momentgd'"),
        (["--seed", "1"], "its seed is 1, this run's is 0"),
        (["--lr", "0.02"], "its lr is 0.02, this run's is 0.01"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    extra, message, stopped, tmp_path, monkeypatch, capsys
) -> None:
    other = interrupted(tmp_path / "other", monkeypatch, *extra)
    name = "checkpoint.safetensors"
    (stopped / name).write_bytes((other / name).read_bytes())
    said = refusal(capsys, "--resume", str(stopped))
    assert f"{stopped / name}: is of another run" in said
    assert any(part in said for part in message.split("|"))


def test_a_checkpoint_that_is_none_of_train_py_s(stopped, capsys) -> None:
    file = stopped / "checkpoint.safetensors"
    run = checkpoint.load_arrays(file)[1]["run"]
    state = checkpoint.load_state(file)
    for broken, message in (
        (state | {"rng": None}, "does not fit this run"),
        (state | {"extra": 1}, "does not fit this run"),
        (state | {"optimizer": {}}, "does not fit this run"),
        (state | {"weights": {}}, "does not fit this run"),
        ({}, "does not fit this run"),
        ([1], "does not fit this run"),
    ):
        checkpoint.save_state(file, broken, run)
        assert message in refusal(capsys, "--resume", str(stopped))
    checkpoint.save_state(file, state)
    assert "does not say which run it is of" in refusal(capsys, "--resume", str(stopped))
    checkpoint.save_arrays(file, {}, {"state": {"items": 3}, "run": run})
    assert "not a training state" in refusal(capsys, "--resume", str(stopped))
    file.write_bytes((stopped / "last.safetensors").read_bytes())
    assert "holds weights, not a training state" in refusal(capsys, "--resume", str(stopped))


def flipped(content: bytes, place: int, bit: int = 0) -> bytes:
    """``content`` with one other bit."""
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


DAMAGES = {
    "a bit of an array": lambda content: flipped(content, -5),
    "a bit of the header": lambda content: flipped(content, 100),
    "a bit of its length": lambda content: flipped(content, 7),
    "cut": lambda content: content[:-1],
    "cut in the header": lambda content: content[:100],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
}


def test_no_changed_bit_of_a_checkpoint_goes_unnoticed(stopped, tmp_path) -> None:
    """The state is that which was written, or there is none."""
    content, file = (stopped / "checkpoint.safetensors").read_bytes(), tmp_path / "state"
    again, wanted = tmp_path / "again", tmp_path / "wanted"
    checkpoint.save_state(wanted, checkpoint.load_state(stopped / "checkpoint.safetensors"))
    head, rng, harmless = 8 + int.from_bytes(content[:8], "little"), np.random.default_rng(0), 0
    for place in [*range(40), *rng.integers(0, head, 300), *rng.integers(head, len(content), 60)]:
        file.write_bytes(flipped(content, place, rng.integers(8)))
        try:
            state = checkpoint.load_state(file)
        except Damaged:
            continue
        checkpoint.save_state(again, state)  # 1e-05 and 1E-05 are one number
        assert again.read_bytes() == wanted.read_bytes(), place
        harmless += 1
    assert harmless < 20


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> tuple[Path, Path]:
    """A run of three epochs, and the same interrupted after its second."""
    whole = tmp_path_factory.mktemp("three")
    assert call(*QUICK, "--epochs", "3", "--out", str(whole / "run")) == 0
    stopped = tmp_path_factory.mktemp("two") / "run"
    return whole / "run", interrupted(stopped, pytest.MonkeyPatch(), "--epochs", "3", epoch=2)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_of_a_damaged_checkpoint_the_one_before_is_used(damage, three, tmp_path, capsys) -> None:
    whole, out = three[0], shutil.copytree(three[1], tmp_path / "run")
    file = out / "checkpoint.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    capsys.readouterr()
    assert call("--resume", str(out)) == 0
    said = capsys.readouterr().err
    assert said.startswith(f"WARNING: {file}: ")
    assert "; going on from the one before, of epoch 1\n" in said
    assert said.count("\n") == 1
    same_run(whole, out)


def test_the_files_of_a_later_epoch_go_back_with_the_checkpoint(
    three, tmp_path, monkeypatch
) -> None:
    """Weights, metrics and table are those of the epoch that is gone on from, at once."""
    out = shutil.copytree(three[1], tmp_path / "run")
    file = out / "checkpoint.safetensors"
    file.write_bytes(b"")

    def interrupt(trainer: Trainer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_epoch", interrupt)
    assert call("--resume", str(out)) == 130
    state = checkpoint.load_state(file)
    assert state["epoch"] == 1
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == state["history"]
    assert len((out / "metrics.csv").read_text().splitlines()) == 1 + state["step"]
    for name, weights in (("last", "weights"), ("best", "best_weights")):
        stored = checkpoint.load_arrays(out / f"{name}.safetensors")[0]
        for key, array in state[weights].items():
            np.testing.assert_array_equal(stored[key], array)


def test_a_finished_run_whose_checkpoint_is_damaged_is_repaired(three, tmp_path, capsys) -> None:
    out = shutil.copytree(three[0], tmp_path / "run")
    (out / "checkpoint.safetensors").write_bytes(b"")
    assert call("--resume", str(out)) == 0
    assert "of epoch 2\n" in capsys.readouterr().err
    same_run(three[0], out)


def test_a_kill_between_the_two_renames_of_a_checkpoint(three, tmp_path, capsys) -> None:
    out = shutil.copytree(three[1], tmp_path / "run")
    (out / "checkpoint.safetensors").unlink()
    capsys.readouterr()
    assert call("--resume", str(out)) == 0
    assert capsys.readouterr().err == ""
    same_run(three[0], out)


@pytest.mark.parametrize("epoch", [1, 2])
def test_no_sound_checkpoint_at_all(epoch, stopped, three, tmp_path, capsys) -> None:
    out = stopped if epoch == 1 else shutil.copytree(three[1], tmp_path / "two")
    files = [out / "checkpoint.safetensors", out / "checkpoint-before.safetensors"]
    for file in files[:epoch]:
        file.write_bytes(DAMAGES["cut"](file.read_bytes()))
    said = refusal(capsys, "--resume", str(out))
    for file in files:
        assert f"{file}: " in said
    assert "no checkpoint is left to go on from" in said
    assert f"begin anew: python train.py --config {out / 'config.json'}" in said
    assert ("no such file" in said) == (epoch == 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {}, "has no configuration"),
        (lambda a: [], "must hold a JSON object"),
        (lambda a: None, "must hold a JSON object"),
        (lambda a: {**a, "config": []}, "has no configuration"),
        (lambda a: {**a, "config": {}}, "the configuration lacks backend, recipe"),
        (lambda a: {**a, "data": None}, "does not say which data"),
        (lambda a: {**a, "data": {"checksum": 3}}, "does not say which data"),
        ({"epochs": "2"}, "epochs must be a whole number, got '2'"),
        ({"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"epochs": True}, "epochs must be a whole number, got True"),
        ({"lr": "0.1"}, "lr must be a number, got '0.1'"),
        ({"lr": False}, "lr must be a number, got False"),
        ({"lr": float("nan")}, "--lr must be above 0 and finite, got nan"),
        ({"lr": 10**400}, "lr must be a number"),
        ({"momentum": None}, "momentum must be a number, got None"),
        ({"hidden": 20}, "hidden must be a list of whole numbers, got 20"),
        ({"hidden": []}, "hidden must be a list of whole numbers, got []"),
        ({"hidden": [[20]]}, "hidden must be a list of whole numbers"),
        ({"hidden": [20.0]}, "hidden must be a list of whole numbers"),
        ({"model": ["mlp"]}, "model must be text"),
        ({"backend": "jax"}, "--backend must be one of"),
        ({"colour": "red"}, "unknown configuration fields: colour"),
    ],
)
def test_a_damaged_config_json_is_one_line(change, message, stopped, capsys) -> None:
    file, stored = stopped / "config.json", about(stopped)
    if isinstance(change, dict):
        stored["config"] |= change
    else:
        stored = change(stored)
    file.write_text(json.dumps(stored))
    said = refusal(capsys, "--resume", str(stopped))
    assert f"{file}: " in said
    assert message in said


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "\x00", "[NaN"])
def test_a_config_json_that_is_no_json(content, stopped, capsys) -> None:
    (stopped / "config.json").write_text(content)
    assert "config.json: not valid JSON" in refusal(capsys, "--resume", str(stopped))


def test_pipes_and_folders_in_a_file_s_place(tmp_path, capsys) -> None:
    os.mkfifo(tmp_path / "config.json")
    os.mkfifo(tmp_path / "pipe")
    assert "config.json: can't be read (it is a named pipe" in refusal(
        capsys, "--resume", str(tmp_path)
    )
    assert "it is a named pipe" in refusal(capsys, "--evaluate", str(tmp_path / "pipe"))
    said = refusal(capsys, "--evaluate", str(tmp_path))
    assert f"{tmp_path}: has no last.safetensors: it is no run folder" in said


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "run"
    assert call(*QUICK, "--out", str(out)) == 0
    return out


class TestEvaluate:
    """``--evaluate`` with files that are no sound weights."""

    @pytest.fixture
    def run(self, trained, tmp_path) -> Path:
        """Each test's copy."""
        return shutil.copytree(trained, tmp_path / "run")

    def test_a_checkpoint_is_named_as_such(self, run, capsys) -> None:
        said = refusal(capsys, "--evaluate", str(run / "checkpoint.safetensors"))
        assert "holds a training state, for --resume" in said
        assert "last.safetensors" in said

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_weights_that_are_not_finite(self, value, run, capsys) -> None:
        arrays, stored = checkpoint.load_arrays(run / "last.safetensors")
        arrays["0.weight"][0, :2] = value
        checkpoint.save_arrays(run / "bad.safetensors", arrays, stored)
        said = refusal(capsys, "--evaluate", str(run / "bad.safetensors"))
        assert "bad.safetensors: 2 of 1,280 values of 0.weight are NaN or infinite" in said

    @pytest.mark.parametrize("dtype", ["int64", "float16", "bool", "float64"])
    def test_weights_of_another_dtype(self, dtype, run, capsys) -> None:
        arrays, stored = checkpoint.load_arrays(run / "last.safetensors")
        other = {key: array.astype(dtype) for key, array in arrays.items()}
        checkpoint.save_arrays(run / "bad.safetensors", other, stored)
        said = refusal(capsys, "--evaluate", str(run / "bad.safetensors"))
        assert f"0.bias is {dtype}, these weights must be float32" in said

    def test_weights_from_elsewhere_are_tested_in_their_dtype(self, run, capsys) -> None:
        arrays, _ = checkpoint.load_arrays(run / "last.safetensors")
        wide = {key: array.astype("float64") for key, array in arrays.items()}
        checkpoint.save_arrays(run / "wide.safetensors", wide, {})
        capsys.readouterr()
        foreign = ["--dataset", "digits", "--hidden", "20"]
        assert call("--evaluate", str(run / "wide.safetensors"), *foreign) == 0
        assert f"test accuracy {result(run)['test_accuracy']:.4f}" in capsys.readouterr().out

    def test_weights_with_an_exploding_loss(self, run, capsys) -> None:
        arrays, stored = checkpoint.load_arrays(run / "last.safetensors")
        arrays["2.weight"] *= 1e30
        checkpoint.save_arrays(run / "bad.safetensors", arrays, stored)
        said = refusal(capsys, "--evaluate", str(run / "bad.safetensors"), code=1)
        assert "diverged: test loss" in said

    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            ("[]", "its metadata must be a JSON object"),
            ("3", "its metadata must be a JSON object"),
            ("no", "its metadata are not valid JSON"),
            ('{"config": []}', "a configuration must be an object"),
            ('{"config": null}', "a configuration must be an object"),
            ('{"config": {"lr": "x"}}', "lr must be a number"),
            ('{"config": {"model": []}}', "model must be text"),
            ('{"config": {"dtype": ["float32"]}}', "dtype must be text"),
            ('{"config": {"hidden": [1, "2"]}}', "hidden must be a list of whole numbers"),
            ('{"config": {"epochs": NaN}}', "epochs must be a whole number"),
            ('{"config": {"what": 1}}', "unknown configuration fields: what"),
            ('{"config": {"hidden": [-1]}}', "--hidden must hold sizes"),
        ],
    )
    def test_odd_metadata(self, metadata, message, run, capsys) -> None:
        from safetensors.numpy import save_file

        arrays, _ = checkpoint.load_arrays(run / "last.safetensors")
        file = run / "odd.safetensors"
        save_file(arrays, file, {"json": metadata})
        said = refusal(capsys, "--evaluate", str(file), "--dataset", "digits")
        assert f"{file}: " in said
        assert message in said

    def test_no_weights_at_all(self, run, capsys) -> None:
        checkpoint.save_arrays(run / "none.safetensors", {}, {})
        assert "is missing" in refusal(capsys, "--evaluate", str(run / "none.safetensors"))
