"""Random networks of all layers, trained some steps by numpy_impl and by PyTorch, in float64.

``python -m parity_tests.fuzz.networks --count 2000``; replay one: ``--seed N --count 1``.

Compared are the initial state, each step's output, loss, gradients, state and learning rates, and
the output in evaluation. A difference is none where PyTorch's own values move as far when its
parameters and inputs move by a rounding error: the maximum of two equal sums, say.
"""

import argparse
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch

import numpy_impl
from parity_tests.fuzz.description import describe
from parity_tests.fuzz.trained import OURS, TORCH, Seen, trained
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, Tolerance

# drawn by Box-Muller, through a logarithm and a cosine; or decomposed: to rounding. All others
# are uniform: bit for bit
ROUNDED = ("randn", "Embedding", "AdaptiveLogSoftmax", "parametrizations")
NUDGES = (1e-15, 1e-14, 1e-13)
LARGE = np.finfo(float).max


def differences(ours: Seen, twin: Seen, is_rounded: bool) -> dict[str, str]:
    """What differs, by name."""
    if list(ours) != list(twin):
        where = next((pair for pair in zip(ours, twin, strict=False) if pair[0] != pair[1]), "less")
        return {"names": f"not the same are to be seen, {where}"}
    found = {}
    for name, (direction, expected) in twin.items():
        actual = ours[name][1]
        if actual is None or expected is None:
            if actual is not expected:
                found[name] = f"{name}: one is None"
            continue
        allowed = tolerance("float64", direction)
        if name.startswith("initial"):
            allowed = Tolerance(1e-13 * is_rounded, 1e-14 * is_rounded)
        try:
            Result(name, direction, actual, expected).check(allowed)
        except AssertionError as error:
            found[name] = str(error)
    return found


def off(seen: Seen, twin: Seen, name: str) -> float:
    """How far two values are from each other: infinite if they can't be compared."""
    a, b = seen.get(name, ("", None))[1], twin.get(name, ("", None))[1]
    if a is None or b is None or a.shape != b.shape or not a.size:
        return np.inf
    return float(np.abs(a - b).max())


def compare(seed: int) -> tuple[str, str]:
    """Whether the two worlds agree: ``same``, ``nudged`` or ``different``, and why not."""
    network = describe(seed)
    is_rounded = any(name in network.program for name in ROUNDED)
    twin = trained(network, TORCH)
    try:
        ours = trained(network, OURS, twin=twin)
    except Exception as error:
        return "different", f"--seed {seed} --count 1: {error!r}\n{network}"
    found = differences(ours, twin, is_rounded)
    if not found:
        return "same", ""
    nudged = [trained(network, TORCH, nudge=size) for size in NUDGES]
    moved = {name: max(off(other, twin, name) for other in nudged) for name in found}
    kind = "nudged"
    if any(not off(ours, twin, name) <= min(LARGE, 10 * moved[name]) for name in found):
        kind = "different"
    first = next(iter(found.values()))
    return kind, f"--seed {seed} --count 1: {len(found)} values, first {first}\n{network}"


def compare_alone(seed: int) -> tuple[str, str]:
    """As :func:`compare`, in a process of its own: one thread, no remarks."""
    torch.set_num_threads(1)
    numpy_impl.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return compare(seed)
        except Exception as error:  # of the generator itself, or of torch
            return "different", f"--seed {seed} --count 1: {error!r}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--all", action="store_true", help="print where PyTorch moves, too")
    options = parser.parse_args()
    start = time.perf_counter()
    kinds = {"same": 0, "nudged": 0, "different": 0}
    with ProcessPoolExecutor(options.jobs) as pool:
        seeds = range(options.seed, options.seed + options.count)
        for kind, text in pool.map(compare_alone, seeds, chunksize=10):
            kinds[kind] += 1
            if kind == "different" or (options.all and kind == "nudged"):
                print(text)
    rate = options.count / (time.perf_counter() - start)
    print(
        f"{options.count:,} networks, {kinds['different']} different, {kinds['nudged']} where "
        f"PyTorch differs as much from itself, {rate:,.0f} networks/s"
    )
    raise SystemExit(bool(kinds["different"]))


if __name__ == "__main__":
    main()
