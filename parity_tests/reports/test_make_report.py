"""The report's command: where it writes, what it refuses, and which commit it names."""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest

import experiments.data
from experiments.data import Dataset, load
from parity_tests.reports.conftest import ROW
from reports import ledger, make_report, write
from reports.runs import ROOT, Store


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A stand-in for the folder of the committed report, with files of that report in it."""
    folder = tmp_path / "reports"
    (folder / "figures").mkdir(parents=True)
    for name in ("REPORT.md", "report.html", "report.json", "accuracy.csv", "figures/curves-x.png"):
        (folder / name).write_text(f"the committed {name}")
    (folder / "benchmark.json").write_bytes((ROOT / "reports" / "benchmark.json").read_bytes())
    monkeypatch.setattr(make_report, "HERE", folder)
    monkeypatch.setattr(write, "HERE", folder, raising=False)
    return folder


def contents(folder: Path, *but: str) -> dict[str, bytes]:
    """Every file below ``folder``, those in the folders ``but`` aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in but
    }


def test_a_report_of_other_data_leaves_the_committed_one_as_it_was(
    here, store, monkeypatch
) -> None:
    (here / "runs").mkdir()
    (here / "runs" / "digits").symlink_to(store.folder)
    monkeypatch.setattr(ledger, "measure_all", lambda committed: [])
    before, readme = contents(here, "other", "runs"), (ROOT / "README.md").read_bytes()
    command = ["--dataset", "digits", "--rows", ROW, "--seeds", "0", "--no-train"]
    assert make_report.main(command) == 0
    assert contents(here, "other", "runs") == before
    assert (ROOT / "README.md").read_bytes() == readme
    (folder,) = (here / "other").iterdir()
    assert folder.name == f"digits-{ROW}-seeds0"
    text = (folder / "REPORT.md").read_text()
    assert f"`python reports/make_report.py --rows {ROW} --seeds 0 --dataset digits`" in text
    assert "## Speed and memory" in text  # the committed benchmark's
    # of its own pictures those that it no longer shows go, and no other's
    mine, foreign = folder / "figures" / "curves-momentum-5ep.png", folder / "figures" / "foreign"
    old = folder / "figures" / "old.png"
    report = (folder / "report.json").read_text()
    (folder / "report.json").write_text(
        report.replace(f'"{mine.name}"', f'"{mine.name}", "old.png"')
    )
    for path in (old, foreign):
        path.write_bytes(b"x")
    assert make_report.main([*command, "--out", str(folder)]) == 0
    assert mine.exists()
    assert foreign.exists()
    assert not old.exists()


@pytest.fixture
def written(monkeypatch) -> list[write.Inputs]:
    """What would be written, with digits that are called MNIST, and every run there."""
    found: list[write.Inputs] = []

    def called_mnist(dataset: str = "auto", *_: Any) -> Dataset:
        digits = load("digits")
        return digits if dataset == "digits" else dataclasses.replace(digits, name="mnist")

    monkeypatch.setenv("MNIST_DIR", "there")
    monkeypatch.setattr(experiments.data, "load", called_mnist)
    monkeypatch.setattr(Store, "has", lambda self, run: True)
    monkeypatch.setattr(make_report, "changed_code", list, raising=False)
    monkeypatch.setattr(write, "write_report", lambda inputs: found.append(inputs) or [])
    return found


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        ([], "."),
        (["--seeds", "0,1,2", "--rows", ",".join(make_report.all_rows())], "."),
        (["--rows", "augmentation"], "other/mnist-augmentation"),
        (["--quick"], "other/mnist-quick"),
        (["--seeds", "0-1"], "other/mnist-seeds0-1"),
        (["--seeds", "2,1,0"], "other/mnist-seeds2,1,0"),
        (["--rows", "sgd-5ep, cnn-10ep"], "other/mnist-sgd-5ep,cnn-10ep"),
        (["--dataset", "digits"], "other/digits"),
        (["--dataset", "digits", "--quick", "--seeds", "7"], "other/digits-quick-seeds7"),
    ],
)
def test_only_a_full_run_on_mnist_replaces_the_committed_report(
    arguments, folder, here, written
) -> None:
    assert make_report.main(arguments) == 0
    assert written[0].folder == (here / folder).resolve()
    assert written[0].is_committed is (folder == ".")


def test_a_named_folder_is_taken_unless_it_is_the_committed_reports(
    here, written, tmp_path, capsys
) -> None:
    elsewhere = tmp_path / "a" / "b"
    assert make_report.main(["--quick", "--out", str(elsewhere)]) == 0
    assert make_report.main(["--out", str(elsewhere)]) == 0
    assert [inputs.folder for inputs in written] == [elsewhere, elsewhere]
    assert not any(inputs.is_committed for inputs in written)
    (tmp_path / "link").symlink_to(here)
    (tmp_path / "file").touch()
    for folder, message in (
        (here, "holds the full report, which only one on MNIST with all rows"),
        (tmp_path / "link", "holds the full report"),
        (tmp_path / "file", "can't be written: File exists"),
    ):
        capsys.readouterr()
        assert make_report.main(["--quick", "--out", str(folder)]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert len(written) == 2


def test_the_full_report_is_one_of_a_commit(here, written, monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(make_report, "changed_code", lambda: ["numpy_impl/nn/conv.py"])
    assert make_report.main([]) == 2
    said = capsys.readouterr().err
    assert "from which the code differs (numpy_impl/nn/conv.py): commit first" in said
    assert said.count("\n") == 1
    assert make_report.main(["--out", str(tmp_path / "other")]) == 0
    assert "with uncommitted changes in numpy_impl/nn/conv.py" in written[0].environment["commit"]


def test_what_a_report_writes_does_not_make_its_commit_dirty(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(make_report, "ROOT", tmp_path)
    assert make_report._commit() == "not a git checkout"

    def git(*arguments: str) -> str:
        named = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.check_output(["git", *named, *arguments], cwd=tmp_path, text=True).strip()

    git("init", "-q")
    for name in ("a.py", "REPORT.md", "README.md"):
        (tmp_path / name).write_text("1")
    git("add", ".")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "--short", "HEAD")
    (tmp_path / "REPORT.md").write_text("2")
    (tmp_path / "README.md").write_text("2")
    (tmp_path / "ledger.csv").write_text("2")
    assert make_report._commit() == commit
    (tmp_path / "a.py").write_text("2")
    (tmp_path / "new.py").write_text("2")
    assert make_report._commit() == f"{commit}, with uncommitted changes in a.py, new.py"
    git("add", "a.py")
    assert make_report.changed_code() == ["a.py", "new.py"]
    template = tmp_path / "reports" / "templates" / "report.j2"  # what the report says is code
    template.parent.mkdir(parents=True)
    template.touch()
    assert make_report.changed_code() == ["a.py", "new.py", "reports/templates/report.j2"]


def test_without_training_nothing_is_downloaded(tmp_path, here, monkeypatch, capsys) -> None:
    def download(log: Any, name: str) -> str:
        raise AssertionError("a download was tried")

    monkeypatch.setattr(experiments.data, "_download", download)
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    for dataset in ("auto", "mnist"):
        assert make_report.main(["--no-train", "--dataset", dataset]) == 2
        said = capsys.readouterr().err
        assert "--no-train: MNIST is not at hand" in said
        assert said.count("\n") == 1
    assert contents(tmp_path) == before
    folder = tmp_path / experiments.data.DOWNLOADED
    folder.mkdir(parents=True)
    names = [name for name, *_ in experiments.data.FILES.values()]
    for name in (*names[:2], names[2].replace("-idx", ".idx") + ".gz"):
        (folder / name).touch()
    assert make_report.main(["--no-train"]) == 2
    assert "not at hand" in capsys.readouterr().err
    (folder / names[3]).touch()
    assert make_report.main(["--no-train"]) == 2  # there, and broken
    assert "not at hand" not in capsys.readouterr().err
