"""A training step shared out among processes: measured here, computed for more machines.

    python reports/scaling.py

writes SCALING.md and scaling.json beside this file. It starts itself once for each number of
processes, by the backend's launcher, with ``--worker`` and a backend.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "reports"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import numpy as np

from experiments.backend import make_backend
from experiments.checkpoint import write_atomically
from experiments.config import resolve
from experiments.data import Dataset
from experiments.distributed import Group, make_group
from experiments.launch import cores
from experiments.trainer import Trainer
from reports.benchmark import BACKENDS, environment
from reports.cli import Parser
from reports.document import Content, Table

MODELS = {"MLP": "momentum-10ep", "CNN": "cnn-10ep"}
BATCH, NODES = 128, (4, 8, 64)
# what a message of no length takes, in seconds, and bytes a second
NETWORKS = {
    "1 Gbit/s Ethernet": (50e-6, 125e6),
    "10 Gbit/s Ethernet": (20e-6, 1.25e9),
    "100 Gbit/s InfiniBand": (2e-6, 12.5e9),
}
NETWORK = "10 Gbit/s Ethernet"  # of the conclusions
QUIET = 0.5  # the load average up to which a machine counts as idle
_SECONDS = 0.5  # that a timing fills


class _Packed(Group):
    """Of several processes, whose sums take no time: what is left is the copying."""

    size = 2


def _timed(group: Group, call: Callable[..., object], *arguments: Any) -> float:
    """Median seconds of a call, made equally often by all processes."""

    def seconds() -> float:
        started = time.perf_counter()
        call(*arguments)
        return time.perf_counter() - started

    seconds()
    once = group.sum(np.array([seconds()])).item() / group.size
    return median(seconds() for _ in range(max(5, min(200, int(_SECONDS / once)))))


def work(backend: str, group: Group) -> dict[str, dict[str, Any]]:
    """What a worker measures, by model.

    ``steps`` are seconds of a step by the rows of its batch, which the processes share out: 128,
    and 128 for each of them; a single process's also with the rows that fall to one of several.
    """
    found = {}
    for model, recipe in MODELS.items():
        images = np.random.default_rng(0).integers(0, 256, (700, 28, 28)).astype(np.uint8)
        labels = np.random.default_rng(1).integers(0, 10, 700)
        data = Dataset("own", images, labels, images, labels, 10, "", "", 255.0)
        config = resolve(recipe, {"backend": backend})
        trainer = Trainer(config, make_backend(backend), data, group=group)
        sizes = {BATCH, BATCH * group.size}
        if group.size == 1:
            sizes.update(BATCH // nodes for nodes in NODES)
        steps = {}
        for rows in sorted(sizes):
            batch = trainer.images(images[:rows]), labels[:rows]
            steps[str(rows)] = _timed(group, trainer.step, *batch)
        gradients = [np.zeros(tuple(p.shape), np.float32) for p in trainer.model.parameters()]
        flat = np.concatenate([array.ravel() for array in gradients])
        found[model] = {
            "bytes": flat.nbytes,
            "steps": steps,
            "sum": _timed(group, group.sum, flat),
            "copying": _timed(group, _Packed().sum_in_place, gradients),
        }
    return found


def launch(backend: str, processes: int, threads: int) -> dict[str, dict[str, Any]]:
    """What :func:`work` finds with so many processes of so many threads."""
    this = [str(Path(__file__)), "--worker", backend]
    if backend == "numpy":
        places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        mpiexec = shutil.which("mpiexec", path=places)
        if mpiexec is None:
            sys.exit("scaling.py: error: there is no mpiexec: pip install mpi4py mpich")
        command = [mpiexec, "-n", str(processes), sys.executable, "-m", "mpi4py", *this]
    else:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes), *this]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=environment(threads)
    )
    return json.loads(done.stdout.splitlines()[-1])


def set_ups(available: int) -> list[tuple[int, int]]:
    """Processes and threads of each: all cores, as train.py shares them out, and one core."""
    counts = range(1, min(4, 2 * available) + 1)
    shared = [(n, max(1, available // n)) for n in counts]
    return shared if available == 1 else [(1, 1), *shared]


def measure(rounds: int) -> dict[str, Any]:
    """All set-ups in turn, so many times."""
    from reports.make_report import cpu

    available, load = cores(), os.getloadavg()[0]
    found: dict[str, Any] = {}
    for backend in BACKENDS:
        found[backend] = {f"{n} x {threads}": [] for n, threads in set_ups(available)}
        for number in range(rounds):
            for n, threads in set_ups(available):
                found[backend][f"{n} x {threads}"].append(launch(backend, n, threads))
                print(f"{backend}, round {number + 1}: {n} x {threads}", flush=True)
    return {"cpu": cpu(), "cores": available, "load": load, "rounds": rounds, "measured": found}


def all_reduce(nodes: int, size: float, latency: float, bandwidth: float) -> float:
    """Seconds of a sum over nodes: halving there, doubling back.

    Source: Thakur, Rabenseifner and Gropp 2005, https://doi.org/10.1177/1094342005051521
    """
    if nodes == 1:
        return 0.0
    return 2 * math.ceil(math.log2(nodes)) * latency + 2 * (nodes - 1) / nodes * size / bandwidth


def computed(
    one: Mapping[str, Any], nodes: int, latency: float, bandwidth: float
) -> dict[str, tuple[float, float]]:
    """A step of several nodes, seconds, and its efficiency: that of a batch of 128 in all
    ("strong"), and for each ("weak").

    Args:
        one: what one node takes, as :func:`work` has it.
    """
    exchange = all_reduce(nodes, one["bytes"], latency, bandwidth) + one["copying"]
    exchange += all_reduce(nodes, 16, latency, bandwidth)  # the loss, and how many are right
    whole = one["steps"][str(BATCH)]
    strong, weak = one["steps"][str(BATCH // nodes)] + exchange, whole + exchange
    return {"strong": (strong, whole / (nodes * strong)), "weak": (weak, whole / weak)}


def least(rounds: Sequence[Mapping[str, Any]], model: str) -> dict[str, Any]:
    """The shortest times of the rounds, of one model: what else the machine does adds to them."""
    first = rounds[0][model]
    return {
        "bytes": first["bytes"],
        "steps": {rows: min(r[model]["steps"][rows] for r in rounds) for rows in first["steps"]},
        **{key: min(r[model][key] for r in rounds) for key in ("sum", "copying")},
    }


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g}"


def content(numbers: Mapping[str, Any]) -> Content:
    """The page's tables and values."""
    measured, model = [], []
    for backend, runs in numbers["measured"].items():
        for name in MODELS:
            for set_up, rounds in runs.items():
                it, processes = least(rounds, name), int(set_up.split()[0])
                rows = [it["steps"][str(BATCH)], it["steps"][str(BATCH * processes)]]
                among = processes > 1
                cells = [_ms(rows[0]), _ms(rows[1]), _ms(it["sum"]) if among else "–"]
                sent = f"{it['bytes'] / 1e6:.2f}" if among else "–"
                measured.append([backend, name, set_up, *cells, sent])
    runs = numbers["measured"]["numpy"]
    node = runs["1 x 1"] + runs[f"1 x {numbers['cores']}"]  # small batches want one thread
    one = {name: least(node, name) for name in MODELS}
    for name in MODELS:
        for network, figures in NETWORKS.items():
            of = [computed(one[name], nodes, *figures) for nodes in NODES]
            cells = [
                f"{_ms(found[kind][0])} ({found[kind][1]:.0%})"
                for kind in ("strong", "weak")
                for found in of
            ]
            model.append([name, network, *cells])
    header = ["backend", "model", "processes x threads", "128 rows in all, ms"]
    header += ["128 rows each, ms", "sum of the gradients, ms", "MB a step"]
    kinds = [f"{kind}, {nodes} nodes, ms" for kind in ("strong", "weak") for nodes in NODES]
    tables = [Table("measured", header, measured)]
    tables.append(Table("computed", ["model", "network", *kinds], model))
    return Content(tables, {}, {"numbers": numbers, **_values(numbers, one)})


def _values(numbers: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, Any]:
    at = {name: computed(one[name], 4, *NETWORKS[NETWORK]) for name in MODELS}
    processes, threads = set_ups(numbers["cores"])[min(numbers["cores"], 4)]
    of_cnn = [
        least(numbers["measured"]["numpy"][set_up], "CNN")["steps"][str(BATCH)]
        for set_up in (f"{processes} x {threads}", f"1 x {numbers['cores']}")
    ]
    return {
        "networks": [
            f"{name}: {1e6 * latency:g} µs and {bandwidth / 1e6:,.0f} MB/s"
            for name, (latency, bandwidth) in NETWORKS.items()
        ],
        "network": NETWORK,
        "four": {
            name: {
                "alone": _ms(one[name]["steps"][str(BATCH)]),
                "step": _ms(found["strong"][0]),
                "strong": f"{found['strong'][1]:.0%}",
                "times": f"{4 * found['strong'][1]:.1f}",
                "profits": found["strong"][1] >= 0.5,
                "weak": f"{found['weak'][1]:.0%}",
            }
            for name, found in at.items()
        },
        "quiet": numbers["load"] <= QUIET,
        "processes": f"{processes} x {threads}",
        "cnn": [_ms(seconds) for seconds in of_cnn],
        "no_slower": of_cnn[0] <= of_cnn[1],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = Parser(description="Time a step shared out among processes.", allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--worker", choices=BACKENDS, help="be one of the processes")
    flags = parser.parse_args(arguments)
    if flags.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {flags.rounds}")
    if flags.worker:
        group = make_group(flags.worker, 60.0)
        found = work(flags.worker, group)
        if group.rank == 0:
            print(json.dumps(found), flush=True)
        group.close()
        return 0
    numbers = measure(flags.rounds)
    page = content(numbers).markdown("scaling.j2")
    write_atomically(HERE / "SCALING.md", page.encode())
    write_atomically(HERE / "scaling.json", (json.dumps(numbers, indent=1) + "\n").encode())
    print(HERE / "SCALING.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
