"""``python reports/benchmark.py``: NumPy beside PyTorch, in time and memory.

It writes benchmark.json, BENCHMARK.md, the tables as CSV and two figures beside this file; the
report shows the same.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "reports"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from experiments.checkpoint import write_atomically
from experiments.threads import VARIABLES
from reports.cli import Parser

BACKENDS = ("numpy", "torch")
PACKAGES = {"numpy": "numpy_impl", "torch": "torch"}
# seconds before each timing: BLAS's and OpenMP's threads of the process that was timed before
# spin for a while after their work, and would take the cores from this one
_PAUSE = 0.06


class Worker:
    """A process of one backend that times workloads on demand."""

    def __init__(self, backend: str, threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "workloads.py"), backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(threads),
        )

    def seconds(self, workload: str) -> float:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        time.sleep(_PAUSE)
        stdin.write(workload + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker died on {workload!r}")
        return json.loads(answer)

    def close(self) -> None:
        """End it, as its input ends; the pipes are closed with it."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()


def environment(threads: int) -> dict[str, str]:
    """This one's, with pinned threads."""
    return {**os.environ, **{variable: str(threads) for variable in VARIABLES}}


def measure(names: Sequence[str], threads: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds by workload and backend, a value a round, the backends in alternation."""
    found: dict[str, dict[str, list[float]]] = {n: {b: [] for b in BACKENDS} for n in names}
    workers = {backend: Worker(backend, threads) for backend in BACKENDS}
    try:
        for number, name in enumerate(names, start=1):
            for _ in range(rounds):
                for backend, worker in workers.items():
                    found[name][backend].append(worker.seconds(name))
            a, b = (sorted(found[name][backend])[rounds // 2] for backend in BACKENDS)
            print(
                f"[{number}/{len(names)}] {threads} thread(s) {name}: "
                f"{1000 * a:.3g} / {1000 * b:.3g} ms = {a / b:.2f}",
                flush=True,
            )
    finally:
        for worker in workers.values():
            worker.close()
    return found


def alone(names: Sequence[str], threads: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of workloads that have no twin."""
    worker = Worker("numpy", threads)
    try:
        return {name: [worker.seconds(name) for _ in range(rounds)] for name in names}
    finally:
        worker.close()


def import_seconds(backend: str) -> float:
    """How long a fresh process takes to import the backend's package, whose bytecode is kept."""
    code = (
        "import time; t = time.perf_counter(); "
        f"import {PACKAGES[backend]}; print(time.perf_counter() - t)"
    )
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=kept
    )
    return float(done.stdout)


def memory(backend: str) -> dict[str, float]:
    """Peak memory of a fresh process that trains the CNN."""
    done = subprocess.run(
        [sys.executable, str(HERE / "workloads.py"), "memory", backend],
        capture_output=True,
        text=True,
        check=True,
        env=environment(1),
    )
    return json.loads(done.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = Parser(description="Time NumPy beside PyTorch.", allow_abbrev=False)
    add = parser.add_argument
    add("--rounds", type=int, default=7, help="rounds of each case (default: 7)")
    add("--threads", default="1,2", help="comma-separated thread counts (default: 1,2)")
    add("--only", help="time only the workloads whose name holds this text, and write nothing")
    add("--check", action="store_true", help="exit 1 if a “must” is missed")
    flags = parser.parse_args(arguments)
    if flags.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {flags.rounds}")
    try:
        threads = [int(part) for part in flags.threads.split(",")]
    except ValueError:
        parser.error(f"--threads must look like 1,2, got {flags.threads!r}")
    if min(threads) < 1 or len(threads) > 2 or sorted(set(threads)) != threads:
        parser.error(f"--threads must be one or two increasing counts, got {flags.threads!r}")
    try:
        return _run(flags, threads)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was written", file=sys.stderr)
        return 130


def _run(flags: argparse.Namespace, threads: Sequence[int]) -> int:
    from reports import speed
    from reports.workloads import GROWTH, WHOLE, floors, workloads

    names = list(workloads())
    if flags.only is not None:
        names = [name for name in names if flags.only.lower() in name.lower()]
        if not names:
            message = f"no workload's name holds {flags.only!r}: nothing to time"
            print(f"benchmark.py: error: --only: {message}", file=sys.stderr)
            return 2
        for count in threads:
            measure(names, count, flags.rounds)
        return 0
    from reports.make_report import cpu

    started = time.perf_counter()
    grown = {f"{axis}: {n}" for axis, sizes in GROWTH.items() for n in sizes}
    programs = {"MLP training step, arrays", *WHOLE}
    numbers: dict[str, Any] = {
        "rounds": flags.rounds,
        "cpu": cpu(),
        "threads": {str(t): measure(names, t, flags.rounds) for t in threads},
        "floors": {},
        "scikit-learn": {},
        "programs": list(programs),
        "layers": [n for n in names if n not in grown | programs and n not in speed.TARGETS],
        "growth": {axis: list(sizes) for axis, sizes in GROWTH.items()},
        "memory": {b: [memory(b) for _ in range(3)] for b in BACKENDS},
        "import": {b: [import_seconds(b) for _ in range(flags.rounds)] for b in BACKENDS},
    }
    for t in threads:
        found = alone([f"floor: {name}" for name in floors()], t, flags.rounds)
        numbers["floors"][str(t)] = {k.removeprefix("floor: "): v for k, v in found.items()}
        numbers["scikit-learn"][str(t)] = alone(["scikit-learn"], t, flags.rounds)["scikit-learn"]
    content = speed.content(numbers)
    content.write(HERE)
    write_atomically(HERE / "BENCHMARK.md", content.markdown("benchmark.j2").encode())
    text = json.dumps(numbers, indent=1) + "\n"
    write_atomically(HERE / "benchmark.json", text.encode())
    print(f"{HERE / 'BENCHMARK.md'}, {time.perf_counter() - started:.0f} s")
    missed = content.values["misses"]
    for line in missed:
        print(f"missed: {line}")
    return 1 if flags.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
