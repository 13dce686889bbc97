"""``python reports/make_report.py``: train what is missing, and write the report.

It writes REPORT.md, report.html (one file, opens offline), the figures, every table as CSV, and
report.json: beside this file if it is the full report (MNIST, all rows, the default seeds), which
is committed and whose table README shows; any other goes to a folder of its own.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "reports"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from experiments.errors import UserError
from experiments.threads import set_threads
from reports.cli import Parser

if TYPE_CHECKING:
    from reports.runs import Run, Store

SEEDS = "0-2"
QUICK_ROWS = ("sgd-5ep", "momentum-5ep", "regularised-5ep")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        description="Reproduce the lab's accuracy table with NumPy and PyTorch, with the evidence.",
        epilog="Finished runs in reports/runs are reused if configuration, code and data match.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--seeds", default=SEEDS, help="0-2 (default), 0-7, 0,3,5: of all rows but the lab's CNN")
    add("--rows", help="comma-separated rows, augmentation among them (default: all)")
    add("--quick", action="store_true", help="the 5-epoch rows with one seed")
    add(
        "--complete",
        action="store_true",
        help="every network on transformed images with all seeds and both backends: twice the time",
    )
    add("--check", action="store_true", help="exit 1 if a result leaves its stated tolerance")
    add("--no-train", action="store_true", help="only redraw from finished runs")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time (default: cores)")
    add("--dataset", default="auto", help="auto (MNIST, else the bundled digits), mnist, digits")
    add("--data-dir", type=Path, help="folder with the four MNIST files (default: $MNIST_DIR)")
    add(
        "--out",
        type=Path,
        help="folder of the report (default: reports for the full one, else one in reports/other)",
    )
    return parser.parse_args(arguments)


def parse_seeds(text: str) -> list[int]:
    """``0-2`` or ``0,3,5`` or both mixed.

    Raises:
        UserError: if it is neither.
    """
    seeds: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise UserError(f"--seeds must look like 0-2 or 0,3,5, got {text!r}")
        seeds += range(int(low), int(high or low) + 1)
    if not seeds:
        raise UserError(f"--seeds must name at least one seed, got {text!r}")
    return list(dict.fromkeys(seeds))


def parse_rows(text: str | None) -> list[str]:
    """The chosen rows in the table's order.

    Raises:
        UserError: for a row that does not exist.
    """
    known = all_rows()
    if text is None:
        return known
    chosen = [part.strip() for part in text.split(",")]
    for row in chosen:
        if row not in known:
            raise UserError(f"--rows must be of {', '.join(known)}, got {row!r}")
    return [row for row in known if row in chosen]


def all_rows() -> list[str]:
    """The lab's, and the table of more training data beside them."""
    from reports import accuracy, augmentation

    return [*accuracy.rows(), augmentation.ROW]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    flags = parse(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(flags)
    except UserError as error:
        print(f"make_report.py: error: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:  # a run that failed, in its own words
        print(f"make_report.py: stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _interrupt(*_: Any) -> NoReturn:
    """A polite kill is an interrupt: the runs that are being trained must be stopped too."""
    raise KeyboardInterrupt


def _run(flags: argparse.Namespace) -> int:
    started = time.perf_counter()
    if flags.jobs < 1:
        raise UserError(f"--jobs must be at least 1, got {flags.jobs}")
    if flags.quick and flags.complete:
        raise UserError("--quick and --complete exclude each other")
    if flags.quick and flags.rows:
        raise UserError("--quick chooses the rows itself: leave --rows out")
    seeds = parse_seeds(flags.seeds)[: 1 if flags.quick else None]
    chosen = parse_rows(",".join(QUICK_ROWS) if flags.quick else flags.rows)
    set_threads(1)

    from experiments.data import load
    from reports import accuracy, augmentation, memory
    from reports.runs import Kept, Store
    from reports.write import Inputs, write_report

    if flags.dataset not in ("auto", "mnist", "digits"):
        raise UserError(f"--dataset must be auto, mnist or digits, got {flags.dataset!r}")
    if flags.no_train and not _at_hand(flags):
        raise UserError(
            "--no-train: MNIST is not at hand, and nothing is downloaded to train nothing: set "
            "MNIST_DIR or --data-dir, or choose --dataset digits"
        )
    data = load(flags.dataset, flags.data_dir)
    full = data.name == "mnist" and chosen == all_rows() and seeds == parse_seeds(SEEDS)
    folder = _folder(flags, data.name, full)
    about = environment(data)
    data_arguments = ["--dataset", data.name]
    if flags.data_dir is not None:
        data_arguments += ["--data-dir", str(flags.data_dir.resolve())]
    store = Store(HERE / "runs" / data.name, data.checksum, data_arguments)
    lab = [row for row in chosen if row in accuracy.rows()]
    runs = accuracy.plan(lab, seeds)
    augmented = _augmented(flags, store, seeds) if augmentation.ROW in chosen else []
    needed = list(dict.fromkeys([*runs, *augmented]))
    growth = memory.PLAN if chosen == all_rows() else ()
    planned: list[Kept] = [*needed, *growth]
    missing = [run for run in planned if not store.has(run)]
    if flags.no_train and missing:
        raise UserError(
            f"--no-train: {len(missing)} of {len(planned)} runs are missing or were made by "
            f"other code, {missing[0].name} for one"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {folder} can't be written: {error.strerror}") from None
    if not flags.no_train:
        store.make_missing(needed, flags.jobs)
        memory.make_missing(store, growth)
    print("measuring parity, drawing", flush=True)
    command = _command(flags, data.name)
    parts = augmented, growth
    inputs = Inputs(folder, store, data, lab, seeds, runs, about, started, command, full, *parts)
    problems = write_report(inputs)
    print(f"{folder / 'REPORT.md'} and report.html, {time.perf_counter() - started:.0f} s")
    if flags.check:
        for line in problems:
            print(f"outside its tolerance: {line}", file=sys.stderr)
        return 1 if problems else 0
    return 0


def _augmented(flags: argparse.Namespace, store: "Store", seeds: Sequence[int]) -> "list[Run]":
    """The runs with and without more training data; those that are there anyway are shown, too."""
    from reports import augmentation

    chosen = augmentation.plan(seeds, flags.complete)
    every = augmentation.plan(seeds, complete=True)
    return [run for run in every if run in chosen or store.has(run)]


def _at_hand(flags: argparse.Namespace) -> bool:
    """Whether the data is there without a download."""
    from experiments.data import DOWNLOADED, FILES

    if flags.dataset == "digits" or flags.data_dir or os.environ.get("MNIST_DIR"):
        return True
    stems = [name.replace("-idx", "[-.]idx") for name, _ in FILES.values()]
    return all(any([*DOWNLOADED.glob(s), *DOWNLOADED.glob(f"{s}.gz")]) for s in stems)


def _folder(flags: argparse.Namespace, data: str, full: bool) -> Path:
    """Where the report goes.

    Raises:
        UserError: if it would replace the full report and is not one, or not one of a commit.
    """
    folder = flags.out.resolve() if flags.out else HERE
    if not full and not flags.out:
        parts = [data, *(["quick"] if flags.quick else []), *([flags.rows] if flags.rows else [])]
        parts += [f"seeds {flags.seeds}"] if flags.seeds != SEEDS else []
        return HERE / "other" / "-".join(parts).replace(" ", "")
    if folder != HERE.resolve():
        return folder
    if not full:
        raise UserError(
            f"--out {flags.out} holds the full report, which only one on MNIST with all rows and "
            f"the seeds {SEEDS} replaces"
        )
    if changed := changed_code():
        raise UserError(
            "the full report names the commit that made it, from which the code differs "
            f"({', '.join(changed)}): commit first, or choose another folder with --out"
        )
    return folder


def _command(flags: argparse.Namespace, data: str) -> str:
    """What a user types to make the same report."""
    parts = ["python reports/make_report.py", *(["--quick"] if flags.quick else [])]
    parts += ["--rows", flags.rows.replace(" ", "")] if flags.rows else []
    parts += ["--seeds", flags.seeds.replace(" ", "")] if flags.seeds != SEEDS else []
    parts += ["--complete"] if flags.complete else []
    return " ".join(parts + (["--dataset", data] if data != "mnist" else []))


def environment(data: Any) -> dict[str, str]:
    """Where the numbers were made."""
    import matplotlib
    import numpy as np
    import torch

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "Python": platform.python_version(),
        "NumPy": f"{np.__version__}, BLAS: {blas.get('name')} {blas.get('version')}",
        "PyTorch": str(torch.__version__),
        "Matplotlib": matplotlib.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "CPU": f"{cpu()}, {os.cpu_count()} cores",
        "threads": "1 for each run",
        "commit": _commit(),
        "data": f"{data.name}, {len(data.train_images):,} training and "
        f"{len(data.test_images):,} test images, MD5 of all arrays {data.checksum}",
    }


def cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def _commit() -> str:
    """The last commit, and the code that differs from it."""
    commit = _git("rev-parse", "--short", "HEAD")
    if not commit:
        return "not a git checkout"
    changed = changed_code()
    return commit + (f", with uncommitted changes in {', '.join(changed)}" if changed else "")


def changed_code() -> list[str]:
    """Code files that differ from the last commit; what a report itself writes does not count."""
    code = ("*.py", "reports/templates", "pyproject.toml", "requirements.txt")
    found = _git("status", "--porcelain", "--no-renames", "--untracked-files=all", "--", *code)
    return [line.strip().partition(" ")[2].strip() for line in found.splitlines()]


def _git(*arguments: str) -> str:
    """What git says; "" outside of a checkout."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    sys.exit(main())
