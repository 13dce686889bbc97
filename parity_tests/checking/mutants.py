"""Mutants of numpy_impl's math: does the checker find them? python -m parity_tests.checking.mutants

Each changes one sign, operator, factor, index or term in a pure function of numpy_impl/nn that
a component runs, in a line that an experiment reaches; the checker then judges that component. What
it takes for right is run beside the original on the experiments: what differs by rounding only is
an equivalent mutant. An argument is the number of processes, all cores if there is none.
"""

import ast
import copy
import dataclasses
import inspect
import multiprocessing
import multiprocessing.connection
import os
import sys
import textwrap
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from numpy_impl import set_num_threads
from parity_tests.checking.adapted import Own, check_own
from torch_ref.checking.drivers.adapter import AdapterDriver
from torch_ref.checking.explain import error
from torch_ref.checking.kinds import KINDS
from torch_ref.checking.probe import Kind
from torch_ref.checking.verdict import CONVENTION, RIGHT, UNUSABLE, WRONG

# what is no math: argument checks, initial values, random masks, graphs and calls
_SKIP = ("module", "call", "calls", "checks", "hooks", "members", "layer", "state", "parameter",
         "parameters", "base", "init", "composed", "container", "fold", "lazy",
         "batched")  # fmt: skip
_NO_MATH = ("draw_uniform", "dropout_noise", "fixed_window", "scaled_dot_product_attention",
            "_padding_idx", "_axis", "_checked_steps", "_check", "_check_divisor", "_added",
            "_summed", "_served")  # fmt: skip
# arguments that people give, beside the kinds' own configurations
FURTHER: dict[str, list[dict[str, Any]]] = {
    "LeakyReLU": [{"negative_slope": 0.3}],
    "ELU": [{"alpha": 0.6}],
    "Softplus": [{"beta": 2.0, "threshold": 3.0}],
    "Hardtanh": [{"min_val": -0.5, "max_val": 0.8}],
    "GELU": [{"approximate": "tanh"}],
    "MSELoss": [{"reduction": "sum"}],
    "L1Loss": [{"reduction": "sum"}],
    "BCELoss": [{"reduction": "sum"}],
    "BCEWithLogitsLoss": [{"reduction": "sum"}],
    "CrossEntropyLoss": [{"reduction": "sum"}],
}
_SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.Lt, ast.LtE: ast.Gt,
}  # fmt: skip


# part of a mutant's text: why it is not found
EXPLAINED = {
    "normalization.over_features": "only fails for inputs of three axes, for which people's layer "
    "norms need not be made"
}


class Mutant(NamedTuple):
    """A changed function of a component, and what the component gave before."""

    kind: Kind
    function: Any
    text: str
    tree: ast.Module
    expected: list[Any]


def with_further(kind: Kind) -> Kind:
    """A kind, with the further arguments."""
    (own, named), *_ = kind.configurations
    more = tuple((own, {**named, **further}) for further in FURTHER.get(kind.like, ()))
    return dataclasses.replace(kind, configurations=(*kind.configurations, *more))


def functions_of(kind: Kind) -> dict[tuple[str, str], tuple[Any, set[int]]]:
    """The pure functions that a component runs in its experiments, and the lines that are run."""
    found: dict[tuple[str, str], tuple[Any, set[int]]] = {}

    def watch(frame: Any, event: str, _: Any) -> Any:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if event != "call" or not module.startswith("numpy_impl.nn"):
            return None
        made = inspect.unwrap(frame.f_globals.get(name, watch))
        if module.split(".")[-1] in _SKIP or getattr(made, "__code__", 0) is not frame.f_code:
            return None
        lines = found.setdefault((module, name), (made, set()))[1]
        first = frame.f_code.co_firstlineno

        def line(frame: Any, event: str, _: Any) -> Any:
            lines.add(frame.f_lineno - first + 1)
            return line

        return line if name not in _NO_MATH else None

    sys.settrace(watch)
    try:
        check_own(kind)
    finally:
        sys.settrace(None)
    return {key: value for key, value in found.items() if key[1] not in _NO_MATH}


def mutants(source: str) -> Iterator[tuple[int, str, ast.Module]]:
    """Every change of one place in a function: its line, in words, and as a tree."""
    tree = ast.parse(source)
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    inside = {id(node) for statement in function.body for node in ast.walk(statement)}
    for i, node in enumerate(ast.walk(tree)):
        if id(node) not in inside:
            continue  # a default, of which the component gives its own
        for j in range(2):
            changed = copy.deepcopy(tree)
            one = next(n for k, n in enumerate(ast.walk(changed)) if k == i)
            if _changed(one, j) and ast.dump(changed) != ast.dump(tree):
                line = getattr(node, "lineno", 0)
                yield line, f"line {line}: {ast.unparse(one)}", changed


def _changed(node: Any, choice: int) -> bool:
    """A mutation in place; False if there is none of that number."""
    if isinstance(node, ast.BinOp) and type(node.op) in _SWAPS:
        if choice == 0:
            node.op = _SWAPS[type(node.op)]()
        elif isinstance(node.op, ast.Add | ast.Sub):  # a term dropped
            node.right = ast.Constant(0)
        else:
            return False
        return True
    if choice == 0 and isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
        node.ops = [_SWAPS[type(node.ops[0])](), *node.ops[1:]]
        return True
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and choice == 0:
        node.op = ast.UAdd()
        return True
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        node.value = node.value + 1 if choice == 0 else node.value * 2
        return True
    return False


def parts(kind: Kind) -> list[Any]:
    """All that a component gives in the experiments."""
    driver = AdapterDriver(Own(kind), kind)
    return [driver.run(p) for own, named in kind.configurations for p in kind.draw(*own, **named)]


def same(one: list[Any], other: list[Any]) -> bool:
    """Whether nothing differs by more than rounding."""
    return all(
        a.keys() == b.keys() and all(error(a[k], b[k]) <= 1e-13 for k in a)
        for a, b in zip(one, other, strict=True)
    )


def judged(mutant: Mutant, answers: Any) -> None:
    """In a process of its own: the function replaced, the component judged."""
    kind, function, _, tree, expected = mutant
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    try:
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        definition.decorator_list = []
        made: dict[str, Any] = {}
        code = compile(ast.fix_missing_locations(tree), "mutant", "exec")
        exec(code, function.__globals__, made)
        function.__code__ = made[function.__name__].__code__
    except Exception as problem:
        answers.put(f"not made: {problem!r}")
        return
    try:
        verdict = check_own(kind).verdict
        if verdict == RIGHT:
            verdict = "equivalent" if same(parts(kind), expected) else "missed"
    except Exception:  # the checker ran it otherwise
        verdict = "missed"
    answers.put(verdict)


def run(some: Iterable[Mutant], jobs: int, seconds: float = 20.0) -> Iterator[tuple[Mutant, str]]:
    """The verdict on each: a checker's, or equivalent, or missed; in processes of their own."""
    set_num_threads(1)  # threads do not live on in a fork, which would wait for them
    torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    left, running = iter(some), []
    while True:
        while len(running) < jobs and (mutant := next(left, None)) is not None:
            answers = context.SimpleQueue()
            process = context.Process(target=judged, args=(mutant, answers))
            process.start()
            running.append((mutant, process, answers, time.monotonic() + seconds))
        if not running:
            return
        multiprocessing.connection.wait([p.sentinel for _, p, _, _ in running], timeout=1)
        for one in list(running):
            mutant, process, answers, end = one
            if process.is_alive() and time.monotonic() < end:
                continue
            process.kill()
            process.join()
            running.remove(one)
            yield mutant, "no answer" if answers.empty() else str(answers.get())


def every(likes: Iterable[str] = KINDS) -> Iterator[Mutant]:
    """All mutants of some components, a function with the first component that runs it."""
    set_num_threads(1)
    torch.set_num_threads(1)
    seen: set[tuple[str, str]] = set()
    for like in likes:
        if KINDS[like].role == "optimizer" or like in ("ProbabilityLoss", "Dropout"):
            continue  # the first has its own experiments, numpy_impl none of the second
        kind = with_further(KINDS[like])
        expected = parts(kind)
        for key, (function, lines) in functions_of(kind).items():
            if key in seen:
                continue
            seen.add(key)
            name = f"{key[0].removeprefix('numpy_impl.nn.')}.{key[1]}"
            for line, text, tree in mutants(textwrap.dedent(inspect.getsource(function))):
                if line in lines:  # else no experiment gets there
                    yield Mutant(kind, function, f"{name}: {text}", tree, expected)


def main() -> None:
    """All mutants; those that were not found, with the reason where one is known."""
    counts: Counter[str] = Counter()
    for mutant, verdict in run(every(), int((sys.argv[1:] or [os.cpu_count() or 1])[0])):
        counts[verdict] += 1
        if verdict in ("missed", "equivalent") or verdict.startswith("no"):
            why = next((w for part, w in EXPLAINED.items() if part in mutant.text), "")
            reason = f"  ({why})" if why and verdict == "missed" else ""
            print(f"{verdict}  {mutant.kind.like}  {mutant.text}{reason}", flush=True)
    found = sum(counts[verdict] for verdict in (WRONG, UNUSABLE, CONVENTION))
    changing = sum(counts.values()) - counts["equivalent"]
    print(f"{sum(counts.values())} mutants; {changing} change a result, {found} of them found "
          f"({found / changing:.1%})")  # fmt: skip
    print(", ".join(f"{name}: {n}" for name, n in counts.items()))


if __name__ == "__main__":
    main()
