"""A run that processes share out is the run of one process, and ends as a whole."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from experiments.backend import make_backend
from experiments.distributed import Group, make_group, share_model
from experiments.errors import UserError
from experiments.launch import Launch, launched
from parity_tests.experiments import ranks
from parity_tests.experiments.calls import ROOT, SCRIPT, call, result

BACKENDS = ("numpy", "torch")
MPIEXEC = str(Path(sys.executable).parent / "mpiexec")
PAGE = ROOT / "docs" / "distributed.md"
# within which a run ends whose processes can't go on
SECONDS = 15.0


@dataclass(frozen=True)
class Ended:
    """How a command ended, and how long after the fault, or else its start.

    ``said`` has train.py's own lines on stderr.
    """

    code: int
    out: str
    error: str
    seconds: float

    @property
    def said(self) -> list[str]:
        return re.findall(r"^(?:process \d+ of \d+: )?train\.py: .*", self.error, re.MULTILINE)


def run(command: Sequence[str], cwd: Path, **variables: str) -> Ended:
    """Run a command until the last of its processes has ended, or end all of it after a minute."""
    since, fell = time.time(), cwd / "fell"
    with subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "FELL": str(fell), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, error = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if fell.exists():
        since = fell.stat().st_mtime
        fell.unlink()
    return Ended(process.returncode, out, error, time.time() - since)


def several(backend: str, size: int, *arguments: str) -> list[str]:
    """The command that starts so many processes of ``train.py``."""
    if backend == "numpy":
        return [MPIEXEC, "-n", str(size), sys.executable, SCRIPT, *arguments]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*start, "--nproc-per-node", str(size), SCRIPT, *arguments]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One with the data and the network."""
    folder = tmp_path_factory.mktemp("distributed")
    (folder / "net.py").write_text(ranks.NETWORK)
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(folder / "data.npz", **dict(zip(names, ranks.pixels(), strict=True)))
    return folder


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_numbers_are_those_of_one_process(backend, folder) -> None:
    """Every loss within 1e-12, and every prediction, of one process of the NumPy backend."""
    worker = "parity_tests.experiments.ranks"
    sizes = ("2", "3", "8")
    if backend == "torch":
        commands = [[sys.executable, "-m", worker, str(folder), *sizes]]
    else:
        python = [sys.executable, "-m", "mpi4py", "-m", worker, str(folder)]
        commands = [[MPIEXEC, "-n", size, *python] for size in sizes]
    for command in commands:
        ended = run(command, ROOT)
        assert ended.code == 0, ended.error
    wrong = []
    for name, values in ranks.RUNS.items():
        single = "dtype" in values
        alone = ranks.outcome(name, "numpy", folder)
        for size in (size for size in sizes if name in ranks.runs(int(size))):
            found = np.load(folder / f"{backend}-{size}.npz")
            losses = found[f"{name}: losses"]
            if len(losses) != len(alone["losses"]):
                wrong.append(f"{name}, {size} processes: {len(losses)} losses")
                continue
            apart = np.abs(losses / alone["losses"] - 1).max()
            if not apart < (1e-3 if single else 1e-12):
                wrong.append(f"{name}, {size} processes: losses differ by {apart:.1e}")
            if not single and (found[f"{name}: predictions"] != alone["predictions"]).any():
                wrong.append(f"{name}, {size} processes: other predictions")
            if found[f"{name}: epochs"] != alone["epochs"]:
                wrong.append(f"{name}, {size} processes: other epochs")
            if name == "float32":
                again = found[f"{name} again: weights"]
                if found[f"{name}: weights"].tobytes() != again.tobytes():
                    wrong.append(f"{name}, {size} processes: other bits the second time")
        if name == "early stop":
            assert alone["epochs"] < values["epochs"]
    assert wrong == []


class Two(Group):
    """As the second of two processes sees them."""

    rank, size = 1, 2


REFUSED = [
    ("AlphaDropout(0.5)", "AlphaDropout with p=0.5 hangs on which rows it sees"),
    ("FeatureAlphaDropout(0.5)", "FeatureAlphaDropout with p=0.5"),
    ("RReLU()", "RReLU with upper=0.333"),
    ("FractionalMaxPool2d(2, 3)", "FractionalMaxPool2d with kernel_size="),
    ("LSTM(2, 2, 2, dropout=0.5)", "LSTM with dropout=0.5"),
    ("MultiheadAttention(4, 2, dropout=0.1)", "MultiheadAttention with dropout=0.1"),
    ("InstanceNorm2d(3, track_running_stats=True)", "InstanceNorm2d with track_running_stats=True"),
]
TAKEN = ["AlphaDropout(0)", "RReLU(0, 0)", "LSTM(2, 2)", "InstanceNorm2d(3)", "LayerNorm(2)"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_that_draw_for_their_own_rows_are_refused(backend) -> None:
    nn = make_backend(backend).nn
    for constructor, message in REFUSED:
        layer = eval(f"nn.{constructor}", {"nn": nn})
        with pytest.raises(UserError, match=re.escape(message)):
            share_model(nn, nn.Sequential(nn.Linear(2, 2), nn.Sequential(layer)), Two())
        assert share_model(nn, layer, Group()) is layer
    for constructor in TAKEN:
        layer = eval(f"nn.{constructor}", {"nn": nn})
        assert share_model(nn, layer, Two()) is layer


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_layer_at_two_places_stays_one(backend) -> None:
    nn = make_backend(backend).nn
    dropout, norm, group = nn.Dropout(0.5), nn.BatchNorm1d(3), Two()
    block = nn.Sequential(dropout, norm)
    shared = share_model(nn, nn.Sequential(block, dropout, norm, block, dropout, norm), group)
    assert shared[3] is shared[0]
    assert shared[1] is shared[4] is shared[0][0]
    assert shared[2] is shared[5] is shared[0][1]
    assert shared[1].layer is dropout
    assert shared[2].process_group is group


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_of_something_else_than_the_batch_is_an_error(backend) -> None:
    backend = make_backend(backend)
    group = Two()
    layer = share_model(backend.nn, backend.nn.Dropout(0.5), group)
    group.share(6)
    parameter = backend.nn.Linear(4, 3).weight
    layer(parameter)  # three rows are its own
    group.share(7)
    with pytest.raises(ValueError, match=r"of 4 rows here, got shape \(3, 4\)"):
        layer(parameter)
    assert layer.eval()(parameter) is parameter


@pytest.mark.parametrize(
    ("variables", "launch"),
    [
        ({}, Launch()),
        ({"RANK": "1", "WORLD_SIZE": "4"}, Launch()),  # of something else than torchrun
        (
            {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"},
            Launch("torchrun", 5, 8, 4),
        ),
        ({"PMI_RANK": "1", "PMI_SIZE": "3", "MPI_LOCALNRANKS": "2"}, Launch("mpiexec", 1, 3, 2)),
        ({"PMI_RANK": "1", "PMI_SIZE": "3"}, Launch("mpiexec", 1, 3, 3)),
        (
            {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"},
            Launch("mpiexec", 0, 2, 2),
        ),
    ],
)
def test_who_started_this_process(variables, launch) -> None:
    assert launched(variables) == launch


def test_threads_are_a_share_of_this_machine_s_cores(monkeypatch) -> None:
    assert Launch().threads is None
    for known in (True, False):
        if known:
            monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
        else:
            monkeypatch.delattr(os, "sched_getaffinity")
            monkeypatch.setattr(os, "cpu_count", lambda: 8)
        assert Launch("mpiexec", 0, 64, 2).threads == 4
        assert Launch("mpiexec", 0, 16, 16).threads == 1


@pytest.mark.parametrize(
    ("backend", "launch", "command"),
    [
        ("numpy", Launch("torchrun", 0, 4, 4), "mpiexec -n 4 python train.py --backend numpy"),
        (
            "torch",
            Launch("mpiexec", 0, 4, 2),
            "torchrun --nproc-per-node 2 train.py --backend torch",
        ),
    ],
)
def test_the_other_backend_s_launcher_is_refused(backend, launch, command) -> None:
    with pytest.raises(UserError) as refused:
        make_group(backend, 1.0, launch)
    assert str(refused.value).endswith(f": {command}")


def flags(folder: Path, backend: str, out: Path) -> list[str]:
    """A run of the network that fails where it is told to; three steps an epoch."""
    run = ["--model", f"{folder}/net.py:build", "--data", f"{folder}/data.npz", "--epochs", "3"]
    run += ["--batch-size", "16", "--dtype", "float64", "--evaluations", "1"]
    return [*run, "--backend", backend, "--out", str(out)]


@pytest.fixture(scope="module")
def whole(folder) -> Path:
    """The run of one process that nothing disturbs."""
    assert call(*flags(folder, "numpy", folder / "whole")) == 0
    return folder / "whole"


def assert_same_run(found: Path, expected: Path) -> None:
    a, b = result(found), result(expected)
    assert a["predictions"] == b["predictions"]
    assert a["steps"] == b["steps"]
    assert a["test_loss"] == pytest.approx(b["test_loss"], rel=1e-12)
    records = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (found, expected)
    ]
    losses = [[record["loss"] for record in each if "loss" in record] for each in records]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_process_ends_all_and_others_go_on(backend, folder, whole, tmp_path) -> None:
    out = tmp_path / "run"
    command = several(backend, 2, *flags(folder, backend, out))
    ended = run(command, tmp_path, FAULT="SIGKILL 5")
    assert ended.code != 0
    assert ended.seconds < SECONDS
    for said in ended.said:  # before torchrun ends the other, too; mpiexec is faster
        assert said.startswith("train.py: stopped: another process is gone (")
        assert said.endswith(f"); go on with: python train.py --resume {out}")
    if backend == "numpy":
        ended = run(several(backend, 3, "--resume", str(out)), tmp_path)
        assert ended.code == 0, ended.error
    else:
        assert call("--resume", str(out)) == 0
    assert_same_run(out, whole)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_that_stands_still_ends_all(backend, folder, whole, tmp_path) -> None:
    out = tmp_path / "run"
    command = several(backend, 2, *flags(folder, backend, out), "--timeout", "3")
    ended = run(command, tmp_path, FAULT="SIGSTOP 5")
    assert ended.code == 1
    assert ended.seconds < SECONDS
    (said,) = ended.said
    assert said == (
        "train.py: stopped: another process has not been heard of for 3 s (--timeout); "
        f"go on with: python train.py --resume {out}"
    )
    assert call("--resume", str(out)) == 0
    assert_same_run(out, whole)


def test_an_exception_of_one_process_ends_all(folder, tmp_path) -> None:
    command = several("numpy", 2, *flags(folder, "numpy", tmp_path / "run"))
    ended = run(command, tmp_path, FAULT="raise 3")
    line = ranks.NETWORK.partition("raise Arithmetic")[0].count("\n") + 1
    assert ended.code == 2
    assert ended.error == (
        f"process 1 of 2: train.py: error: {folder}/net.py:{line}: in forward: "
        "ArithmeticError: on purpose\n"
    )
    assert ended.seconds < SECONDS


def test_what_is_not_finite_for_one_is_for_all(folder, whole, tmp_path) -> None:
    out = tmp_path / "run"
    ended = run(several("numpy", 2, *flags(folder, "numpy", out)), tmp_path, FAULT="nan 5")
    assert ended.code == 1
    assert ended.error.count("\n") == 1
    assert ended.error.startswith("train.py: stopped: the loss is nan at step 5 (epoch 2,")
    assert ended.seconds < SECONDS
    assert call("--resume", str(out)) == 0
    assert_same_run(out, whole)


def test_ctrl_c_is_said_once(folder, tmp_path) -> None:
    out = tmp_path / "run"
    command = several("numpy", 2, *flags(folder, "numpy", out), "--epochs", "100000")
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("epoch 2/"):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, error = process.communicate(timeout=SECONDS)
    said = [line for line in error.splitlines() if "interrupted" in line or "process 1" in line]
    assert said == [f"interrupted; go on with: python train.py --resume {out}"]


def test_a_user_s_error_is_said_once(folder, tmp_path) -> None:
    """Of a folder that process 0 alone looks at."""
    (tmp_path / "file").touch()
    ended = run(several("numpy", 3, *flags(folder, "numpy", tmp_path)), tmp_path)
    assert ended.code == 2
    assert ended.error == (
        f"train.py: error: --out must be a new or empty folder, {tmp_path} exists (see --resume)\n"
    )
    assert ended.seconds < SECONDS


def test_process_0_alone_writes_and_prints(folder, whole, tmp_path) -> None:
    """Each works in a folder of its own, so that it is seen who wrote what."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    train = [sys.executable, SCRIPT, *flags(folder, "numpy", Path("run"))]
    command = [MPIEXEC, "-n", "1", "-wdir", str(mine), *train]
    ended = run([*command, ":", "-n", "1", "-wdir", str(other), *train], tmp_path)
    assert ended.code == 0, ended.error
    assert ended.error == ""
    assert list(other.iterdir()) == []
    assert sorted(p.name for p in (mine / "run").iterdir()) == sorted(
        p.name for p in whole.iterdir()
    )
    assert_same_run(mine / "run", whole)
    resume = [sys.executable, SCRIPT, "--resume", "run"]  # which the second does not see
    command = [MPIEXEC, "-n", "1", "-wdir", str(mine), *resume]
    blind = run([*command, ":", "-n", "1", "-wdir", str(other), *resume], tmp_path)
    assert blind.code == 2
    assert blind.error.startswith("process 1 of 2: train.py: error: run/config.json: ")
    assert blind.error.count("\n") == 1
    starts = [line.split()[0] for line in ended.out.splitlines() if line]
    assert starts.count("data:") == 1
    assert starts.count("epoch") == 3
    assert starts.count("test") == 1


def test_mpiexec_without_mpi4py_is_said(folder, tmp_path) -> None:
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("raise ImportError('hidden')\n")
    out = tmp_path / "run"
    command = several("numpy", 2, *flags(folder, "numpy", out))
    ended = run(command, tmp_path, PYTHONPATH=str(tmp_path))
    assert ended.code == 2
    assert ended.error == (
        "train.py: error: several processes of --backend numpy need mpi4py and an MPI (hidden): "
        "pip install mpi4py mpich\n"
    )
    assert not out.exists()


def test_mpiexec_of_another_mpi_is_said(folder, tmp_path) -> None:
    """Its variables, in a process that mpi4py's MPI knows nothing of."""
    variables = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}
    out = tmp_path / "run"
    command = [sys.executable, SCRIPT, *flags(folder, "numpy", out)]
    ended = run(command, tmp_path, **variables)
    assert ended.code == 2
    assert ended.error.startswith(
        "train.py: error: mpiexec started 2 processes, of which mpi4py sees 1: it stands on "
        "another MPI ("
    )
    assert ended.error.count("\n") == 1
    assert not out.exists()


def test_the_page_s_program_is_that_of_one_process(tmp_path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "program.py").write_text(program)
    python = [sys.executable, "-m", "mpi4py", "program.py"]
    losses = []
    for command in (python, [MPIEXEC, "-n", "3", *python]):
        ended = run(command, tmp_path, PYTHONPATH=str(ROOT))
        assert ended.code == 0, ended.error
        losses.append([float(line.split()[1]) for line in ended.out.splitlines()])
    assert len(losses[0]) == 5
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_several_processes_do_nothing_but_train(tmp_path) -> None:
    ended = run(several("numpy", 3, "--doctor"), tmp_path)
    assert ended.code == 2
    assert ended.error == (
        "train.py: error: several processes share a training run only: start this without them\n"
    )
