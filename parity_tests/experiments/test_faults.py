"""A run that cannot go on says why in one line, keeps what is whole, and leaves nothing else."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import files, prepare
from experiments.trainer import Trainer
from parity_tests.experiments.calls import QUICK, SCRIPT, call, refusal, result, start

MLP = ("--dataset", "digits", "--epochs", "2")


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize(
    "cause",
    [["--mu-decay", "2"], ["--lr", "10"], ["--init-scale", "1e6"]],
    ids=lambda cause: cause[0],
)
def test_divergence_is_said_whatever_caused_it(backend, cause, tmp_path, capsys) -> None:
    """Not only a NaN: a test loss of 1e21 is no result either."""
    out = tmp_path / "run"
    said = refusal(capsys, *MLP, "--backend", backend, *cause, "--out", str(out), code=1)
    assert said.startswith("train.py: stopped: ")
    assert "diverged" in said or "the loss is" in said or "NaN" in said or "nan" in said
    assert not (out / "result.json").exists()


def test_a_run_that_only_learns_little_has_not_diverged(tmp_path) -> None:
    assert call(*MLP, "--lr", "1e-9", "--out", str(tmp_path / "still")) == 0
    assert call(*MLP, "--init-scale", "4", "--out", str(tmp_path / "large")) == 0


def test_numpy_s_own_remarks_do_not_come_before_the_line(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, *MLP, "--lr", "1e30", "--out", str(tmp_path / "run")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Warning" not in done.stderr
    assert done.stderr.startswith("train.py: stopped: ")
    assert done.stderr.count("\n") == 1


def test_a_run_that_fails_in_its_first_epoch_leaves_no_folder(tmp_path, capsys) -> None:
    refusal(capsys, *MLP, "--lr", "1e30", "--out", str(tmp_path / "a" / "b"), code=1)
    assert list(tmp_path.iterdir()) == []
    mine = tmp_path / "mine"
    mine.mkdir()
    refusal(capsys, *MLP, "--lr", "1e30", "--out", str(mine), code=1)
    assert list(mine.iterdir()) == []


class Disk:
    """Full from the ``whole``-th fsync on."""

    def __init__(self, whole: int) -> None:
        self.whole, self._fsync = whole, os.fsync

    def fsync(self, handle: int) -> None:
        self.whole -= 1
        if self.whole < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._fsync(handle)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert call(*QUICK, "--out", str(folder)) == 0
    return folder


@pytest.mark.parametrize("writes", range(13))
def test_a_full_disk(writes, whole, tmp_path, monkeypatch, capsys) -> None:
    """Each write in turn: config; best, last, two metrics, checkpoint an epoch; figure, result."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        # each write syncs its file, and then the folder
        patch.setattr(files.os, "fsync", Disk(2 * writes).fsync)
        said = refusal(capsys, *QUICK, "--out", str(out), code=1)
    assert "No space left on device" in said
    assert str(out) in said
    if writes < 6:
        assert "nothing was stored yet" in said
        assert not out.exists()
        return
    assert f"go on with: python train.py --resume {out}" in said
    assert [p.name for p in out.iterdir() if p.name.startswith(".")] == []
    assert call("--resume", str(out)) == 0
    a, b = result(whole), result(out)
    del a["seconds"], b["seconds"]
    assert a == b


def test_a_full_disk_before_the_lock_is_written(tmp_path, monkeypatch, capsys) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("experiments.lock.os.write", full)
    said = refusal(capsys, *QUICK, "--out", str(tmp_path / "run"))
    assert "can't be written: No space left on device" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_output_that_cannot_be_written(tmp_path) -> None:
    for arguments in (["--list"], [*QUICK, "--out", str(tmp_path / "run")]):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, SCRIPT, *arguments], stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert done.returncode in (1, 2)
        assert "output: No space left on device" in done.stderr
        assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


MISSING = """
import importlib.abc, sys

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hide())
sys.stderr.isatty = lambda: {tty}
import train
sys.exit(train.main({arguments!r}))
"""


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("numpy", "train.py needs NumPy"),
        ("safetensors", "needs safetensors"),
        ("sklearn", "needs scikit-learn"),
        ("torch", "--backend torch needs PyTorch"),
        ("matplotlib", "needs Matplotlib"),
        ("tqdm", "needs tqdm"),
    ],
)
def test_a_missing_package_is_named_before_training_starts(package, said, tmp_path) -> None:
    arguments = [*QUICK, "--out", str(tmp_path / "run")]
    arguments += ["--backend", "torch"] if package == "torch" else []
    code = MISSING.format(package=package, tty=package == "tqdm", arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(SCRIPT).parent, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert f"No module named '{package}" in done.stderr
    assert "pip install -r requirements.txt" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("job", ["--resume", "--evaluate"])
def test_a_missing_package_is_named_by_the_other_jobs_too(job, tmp_path) -> None:
    out = tmp_path / "run"
    assert call(*QUICK, "--out", str(out)) == 0
    target = out if job == "--resume" else out / "last.safetensors"
    code = MISSING.format(package="safetensors", tty=False, arguments=[job, str(target)])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(SCRIPT).parent, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "needs safetensors" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("known", [True, False], ids=["memory known", "memory unknown"])
@pytest.mark.parametrize("sizes", [["100000000000"], ["1" + "0" * 15]])
def test_a_network_that_does_not_fit(backend, known, sizes, tmp_path, monkeypatch, capsys) -> None:
    """25 TB and more, which no machine promises; where its memory is unknown the attempt fails."""
    if not known:
        monkeypatch.setattr(prepare, "_memory", lambda: float("inf"))
    monkeypatch.chdir(tmp_path)
    said = refusal(capsys, *MLP, "--backend", backend, "--hidden", *sizes)
    assert f"--hidden {sizes[0]}" in said
    assert "memory" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 TiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["NumPy", "PyTorch"],
)
def test_memory_that_runs_out_while_training(error, tmp_path, monkeypatch, capsys) -> None:
    def out_of_memory(trainer: Trainer) -> None:
        raise error

    monkeypatch.setattr(Trainer, "_epoch", out_of_memory)
    said = refusal(capsys, *MLP, "--out", str(tmp_path / "run"), code=1)
    assert "not enough memory: try a smaller --batch-size or --hidden" in said
    assert list(tmp_path.iterdir()) == []


def test_other_errors_keep_their_traceback(tmp_path, monkeypatch) -> None:
    def defect(trainer: Trainer) -> None:
        raise RuntimeError("a defect of ours")

    monkeypatch.setattr(Trainer, "_epoch", defect)
    with pytest.raises(RuntimeError, match="a defect of ours"):
        call(*MLP, "--out", str(tmp_path / "run"))


def test_a_reader_that_goes_away(tmp_path) -> None:
    """``python train.py | head -2``"""
    out = tmp_path / "run"
    child = start(*QUICK, "--epochs", "300", "--out", str(out), cwd=tmp_path)
    assert child.stdout is not None
    assert child.stderr is not None
    for _ in range(9):  # into the second epoch
        child.stdout.readline()
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait() == 141
    assert said.count("\n") == 1
    assert "nobody reads the output any more; what was stored is whole; go on with" in said
    assert (out / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("arguments", [["--list"], ["--help"]])
def test_a_reader_that_was_never_there(arguments, tmp_path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # argparse ignores it by itself


SLOW = "import os, time\nos.write(2, b'ready')\ntime.sleep(60)\n"


@pytest.mark.parametrize("module", ["argparse", "numpy", "sklearn"])
def test_ctrl_c_during_the_imports(module, tmp_path) -> None:
    """The advice is not to resume a run that does not exist yet."""
    slow = tmp_path / "slow" / (module + ".py")
    slow.parent.mkdir()
    slow.write_text(SLOW)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = {**os.environ, "PYTHONPATH": str(slow.parent)}
    child = start(*QUICK, cwd=elsewhere, env=env)
    assert child.stderr is not None
    assert child.stderr.read(5) == "ready"
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130
    assert said == "\ninterrupted; nothing was written\n"
    assert list(elsewhere.iterdir()) == []


def test_ctrl_c_before_the_run_is_on_disk(tmp_path, monkeypatch, capsys) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.run.write_atomically", interrupt)
    capsys.readouterr()
    assert call(*QUICK, "--out", str(tmp_path / "run")) == 130
    assert capsys.readouterr().err == "\ninterrupted; nothing was stored yet\n"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch, capsys) -> None:
    def interrupt(trainer: Trainer) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "my run"
    monkeypatch.setattr(Trainer, "_epoch", interrupt)
    assert call(*QUICK, "--out", str(out)) == 130
    assert f"go on with: python train.py --resume '{out}'" in capsys.readouterr().err
    monkeypatch.undo()
    assert call("--resume", str(out)) == 0


def test_nothing_heavy_is_imported_before_the_flags_are_read() -> None:
    heavy = "{'numpy', 'torch', 'sklearn', 'matplotlib', 'safetensors', 'tqdm', 'json'}"
    code = f"import sys, train; train.parse([]); print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(SCRIPT).parent, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()"
