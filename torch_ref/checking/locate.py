"""The line of people's file where a part is made."""

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch_ref.checking.drivers import Candidate, names
from torch_ref.checking.verdict import RIGHT, UNUSABLE, Verdict


def located(verdict: Verdict, candidate: Candidate) -> Verdict:
    """The verdict, with a line for each finding that is not right, where one can be told."""
    findings = [
        f
        if f.verdict in (RIGHT, UNUSABLE) or f.line
        else dataclasses.replace(f, line=_line(f.part, candidate))
        for f in verdict.findings
    ]
    return dataclasses.replace(verdict, findings=findings)


def _line(part: str, candidate: Candidate) -> str:
    for source in filter(None, (candidate.backward, candidate.component)):
        forward_only = source is candidate.component and candidate.backward is not None
        if forward_only and part.startswith("grad "):
            break
        if source is candidate.backward and not part.startswith("grad "):
            continue
        try:
            lines, first = inspect.getsourcelines(source)
            file = Path(inspect.getsourcefile(source) or "").name
        except (OSError, TypeError):
            return ""
        first = max(first, 1)
        tree = ast.parse(textwrap.dedent("".join(lines)))
        node = _node(part, tree.body[0])
        if node is not None:
            return f"{file}:{first + node.lineno - 1}: {lines[node.lineno - 1].strip()}"
    return ""


def _node(part: str, tree: Any) -> ast.stmt | None:
    """The last assignment to the part's usual names, else the last return of the method."""
    if part == "arrays":
        return None
    if part == "steps":
        wanted: tuple[str, ...] = ("step", "update", "__call__", "update_params", "apply_gradients")
        assigned = [n for n in _within(tree, wanted) if isinstance(n, ast.Assign | ast.AugAssign)]
        return max(assigned, key=lambda n: n.lineno, default=None)
    gradient, name = part.startswith("grad "), part.removeprefix("grad ")
    methods = names.BACKWARD if gradient else (*names.LOSS_FORWARD, *names.FORWARD)
    body = list(_within(tree, methods))
    usual = names.PARAMETERS.get(name, (name,))
    found: list[ast.stmt] = [
        node
        for node in body
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
        and any(_is_part(one, gradient, name, usual) for one in _targets(node))
    ]
    if not found and (name == "input" or not gradient):
        found = [node for node in body if isinstance(node, ast.Return)]
    return max(found, key=lambda n: n.lineno, default=None)


def _is_part(target: str, gradient: bool, name: str, usual: tuple[str, ...]) -> bool:
    if gradient and name == "input":
        return names.plain(target) in names.INPUT_GRADIENT
    if gradient:
        return names.is_gradient_of(target, usual)
    if name in ("output", "loss"):
        return False
    return names.plain(target) in usual


def _within(tree: Any, methods: tuple[str, ...]) -> Iterator[ast.stmt]:
    """The statements of the methods; of a function, its own."""
    plain = {names.plain(m) for m in methods}
    functions = [tree] if isinstance(tree, ast.FunctionDef) else [
        n for n in tree.body if isinstance(n, ast.FunctionDef) and names.plain(n.name) in plain
    ]  # fmt: skip
    for function in functions:
        for node in ast.walk(function):
            if isinstance(node, ast.stmt):
                yield node


def _targets(node: Any) -> Iterator[str]:
    """The names that are assigned to: x, self.x, grads["x"], x.grad as x_grad."""
    found = node.targets if isinstance(node, ast.Assign) else [node.target]
    while found:
        one = found.pop()
        if isinstance(one, ast.Tuple):
            found = [*found, *one.elts]
        elif isinstance(one, ast.Name):
            yield one.id
        elif isinstance(one, ast.Attribute):
            yield one.attr
            if one.attr == "grad" and isinstance(one.value, ast.Attribute):
                yield f"{one.value.attr}_grad"
        elif isinstance(one, ast.Subscript):
            if isinstance(one.slice, ast.Constant) and isinstance(one.slice.value, str):
                yield one.slice.value
                yield f"d{one.slice.value}"
            else:
                found = [*found, one.value]
