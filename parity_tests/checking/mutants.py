"""Mutants of numpy_impl's math: does the checker find them? python -m parity_tests.checking.mutants

Each changes one sign, operator, factor, index or term in a pure function of numpy_impl/nn that
a component runs; the checker then judges that component. What it takes for right is run beside the
original on the experiments: equal to the last bit is an equivalent mutant.
"""

import ast
import copy
import inspect
import multiprocessing
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from parity_tests.checking.adapted import Own, check_own
from torch_ref.checking.drivers.adapter import AdapterDriver
from torch_ref.checking.kinds import KINDS
from torch_ref.checking.probe import Kind

_SKIP = ("module", "call", "checks", "hooks", "members", "layer", "state", "parameter", "batched",
         "parameters", "base", "init", "composed", "container", "fold", "lazy")  # fmt: skip
_SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.GtE: ast.Lt, ast.LtE: ast.Gt,
}  # fmt: skip


def functions_of(kind: Kind) -> dict[tuple[str, str], Any]:
    """The pure functions of numpy_impl/nn that a component runs in its experiments."""
    found: dict[tuple[str, str], Any] = {}

    def watch(frame: Any, event: str, _: Any) -> None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if event != "call" or not module.startswith("numpy_impl.nn"):
            return
        made = inspect.unwrap(frame.f_globals.get(name, watch))
        if module.split(".")[-1] not in _SKIP and getattr(made, "__code__", 0) is frame.f_code:
            found[module, name] = made

    sys.setprofile(watch)
    try:
        check_own(kind)
    finally:
        sys.setprofile(None)
    return found


def mutants(source: str) -> Iterator[tuple[str, ast.Module]]:
    """Every change of one place in a function, in words and as a tree."""
    tree = ast.parse(source)
    for i, node in enumerate(ast.walk(tree)):
        for j in range(2):
            changed = copy.deepcopy(tree)
            one = next(n for k, n in enumerate(ast.walk(changed)) if k == i)
            if _changed(one, j) and ast.dump(changed) != ast.dump(tree):
                yield f"line {getattr(node, 'lineno', 0)}: {ast.unparse(one)}", changed


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
        node.ops = [_SWAPS[type(node.ops[0])]()]
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
    return all(
        a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)
        for a, b in zip(one, other, strict=True)
    )


def judged(kind: Kind, function: Any, tree: ast.Module, answers: Any) -> None:
    """In a process of its own: the function replaced, the component judged."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    try:
        expected = parts(kind)
        scope = function.__globals__
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        definition.decorator_list = []
        made: dict[str, Any] = {}
        exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), scope, made)
        function.__code__ = made[function.__name__].__code__
        verdict = check_own(kind).verdict
        answers.put(("equivalent" if same(parts(kind), expected) else "missed")
                    if verdict == "right" else verdict)  # fmt: skip
    except Exception:
        answers.put("unusable")


def run(kind: Kind, function: Any, tree: ast.Module, seconds: float = 20.0) -> str:
    """The verdict on a mutant: right by a convention, wrong, unusable, equivalent or missed."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=judged, args=(kind, function, tree, answers))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        return "unusable"
    return "unusable" if answers.empty() else str(answers.get())


def every() -> Iterator[tuple[Kind, Any, str, ast.Module]]:
    """All mutants of all components, a function with the first component that runs it."""
    seen: set[tuple[str, str]] = set()
    for like, kind in KINDS.items():
        if kind.role == "optimizer" or like in ("ProbabilityLoss", "Dropout"):
            continue
        for key, function in functions_of(kind).items():
            if key in seen:
                continue
            seen.add(key)
            for text, tree in mutants(textwrap.dedent(inspect.getsource(function))):
                yield (
                    kind,
                    function,
                    f"{key[0].removeprefix('numpy_impl.nn.')}.{key[1]}: {text}",
                    tree,
                )


def main() -> None:
    counts: Counter[str] = Counter()
    for kind, function, text, tree in every():
        verdict = run(kind, function, tree)
        counts[verdict] += 1
        if verdict in ("missed", "equivalent"):
            print(f"{verdict}  {kind.like}  {text}", flush=True)
    changing = sum(counts.values()) - counts["equivalent"]
    found = changing - counts["missed"]
    print(f"{sum(counts.values())} mutants; {changing} change a result, {found} of them found")
    print(", ".join(f"{name}: {n}" for name, n in counts.items()))


if __name__ == "__main__":
    main()
