"""Programs that change parts of a Tensor in place: all values and gradients as torch's."""

import warnings
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl

X = np.random.default_rng(0).standard_normal((2, 3, 4))
TAKEN = [
    "{}[0]",
    "{}[-1]",
    "{}[..., 1]",
    "{}[:, None]",
    "{}[1:]",
    "{}[..., ::2]",
    "{}.mT",
    "{}.transpose(0, -1)",
    "{}.unsqueeze(1)",
    "{}.squeeze()",
    "{}.flatten()",
    "{}.reshape(-1)",
    "{}.view(-1, {}.shape[-1])",
    "{}.narrow(0, 0, 1)",
    "{}.select(-1, 0)",
    "{}.diagonal(dim1=0, dim2=-1)",
    "{}.chunk(2)[0]",
    "{}.split(1, -1)[-1]",
    "{}.unbind(-1)[0]",
    "{}.movedim(0, -1)",
    "{}.detach()",
    "{}.contiguous()",
    "{}.expand_as({})",
    "{}.expand(2, *{}.shape)",
    "{}.expand(2, *{}.shape)[0]",
    "{}.unfold(0, 1, 1)",
    "{}.unfold(-1, 2, 2)",
    "{}.unfold(-1, 2, 1)[..., 0]",
    "{}.clone().contiguous()",
    "{}[[0]].contiguous()",
    "{}[{} > 0]",
]
CHANGED = [
    "{} *= 3",
    "{}.add_(0.5)",
    "{}.zero_()",
    "{}[..., 0] = 7",
    "{}.copy_({} + w)",
    "{}.add_(w)",
    "{}.neg_()",
    "{}.mul_(w)",
    "{}.clamp_(-0.5, 0.5)",
]


def random_program(seed: int) -> list[str]:
    """Parts of parts of ``y``, some of which nobody holds, changed in place in any order."""
    draw = Random(seed)
    lines = [draw.choice(["y = x * 2", "y = x.clone()", "y = x * 1; y.mul_(y)"])]
    if draw.random() < 0.3:
        lines[0] += "; y = y.detach()"
    names = ["y"]
    for _ in range(draw.randint(3, 9)):
        name = draw.choice(names)
        kind = draw.random()
        if kind < 0.1:
            lines.append(f"with t.no_grad(): {draw.choice(CHANGED[:4]).replace('{}', name)}")
        elif kind < 0.45:
            lines.append(draw.choice(CHANGED).replace("{}", name))
        elif kind < 0.5:  # its parts live on
            lines.append(f"{name} = {name}.clone().contiguous()")
        else:
            expression = name
            for _ in range(draw.randint(1, 3)):
                expression = draw.choice(TAKEN).replace("{}", expression)
            names.append(f"v{len(names)}")
            lines.append(f"{names[-1]} = {expression}")
    return lines


def run(world: Any, lines: list[str]) -> dict[str, Any]:
    """Every name's value at the end, and the gradients of ``x`` and ``w`` through all of them."""
    x = world.tensor(X.copy(), requires_grad=True)
    w = world.tensor(0.25, dtype=world.float64, requires_grad=True)
    values: dict[str, Any] = {"x": x, "w": w, "t": world}
    for line in lines:
        exec(line, {}, values)
    del values["t"]
    tracked = [v for v in values.values() if v.requires_grad]
    sum(((i + 1) * v * v.detach().exp()).sum() for i, v in enumerate(tracked)).backward()
    found = {name: value.detach().numpy() for name, value in values.items()}
    found["needed"] = np.array([value.requires_grad for value in values.values()])
    return {**found, "x's gradient": np.asarray(x.grad), "w's gradient": np.asarray(w.grad)}


def test_random_programs_change_what_torch_changes() -> None:
    compared = 0
    for seed in range(1500):
        lines = random_program(seed)
        what = "; ".join(lines)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's remarks
                expected = run(torch, lines)
        except (RuntimeError, IndexError):  # impossible shapes, and what torch refuses to change
            continue
        if not all(value.size for value in expected.values()):
            continue  # parts of nothing are no parts
        try:
            found = run(numpy_impl, lines)
        except Exception as error:
            if "several of its elements are one" in str(error):  # torch has not seen it
                continue
            raise AssertionError(f"seed {seed}: {what}") from error
        for name, value in expected.items():
            np.testing.assert_allclose(
                found[name], value, 1e-11, 1e-11, err_msg=f"{name}, seed {seed}: {what}"
            )
        compared += 1
    assert compared > 300


PROGRAMS: list[tuple[str, Callable[[Any, Any], Any]]] = []


def program(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    PROGRAMS.append((function.__name__, function))
    return function


@program
def item_of_an_item(t: Any, x: Any) -> Any:
    y = t.zeros(3, 4, dtype=x.dtype)
    for i in range(3):
        y[i][i + 1] = x[0, i, i] * 2
    return y


@program
def rows_in_a_loop(t: Any, x: Any) -> Any:
    y = x.detach() * 2
    for part in y:
        for row in part:
            row.mul_(row)
    return x * y


@program
def halves(t: Any, x: Any) -> Any:
    y = x * 2
    a, b = y[:1], y[1:]
    a += b
    b.mul_(3)
    return y


@program
def what_a_named_part_sees(t: Any, x: Any) -> Any:
    y = x.clone()
    row = y[0]
    row[1][2] = 5
    row.view(-1)[0] = 6
    return y * row


@program
def a_transposed_copy_is_apart(t: Any, x: Any) -> Any:
    y = x.clone()
    y.transpose(0, 1).reshape(-1)[:3].zero_()
    y.transpose(0, 1).contiguous().zero_()
    y.contiguous()[0].mul_(2)
    return y


@program
def a_part_of_a_copy_nobody_holds(t: Any, x: Any) -> Any:
    y = x.clone()
    part = y.transpose(0, 1).reshape(-1)[:3]
    part.mul_(x[0, 0, :3])
    return y + part.sum()


@program
def a_diagonal_by_diag_is_apart(t: Any, x: Any) -> Any:
    y = x[:, :2, 0].clone()
    t.diag(y).zero_()
    y.diagonal()[0] = x[0, 2, 2]
    return y


@program
def windows(t: Any, x: Any) -> Any:
    y = x.clone()
    y.unfold(-1, 2, 2)[..., 1].mul_(x[..., :2])
    y.unfold(1, 2, 1)[:, 1].add_(1)
    y.unfold(0, 1, 1)[0].add_(1)
    y.view(-1).unfold(0, 5, 3)[:2, ::2].mul_(2)  # interleaved, but no element is another
    return y


@program
def one_of_many(t: Any, x: Any) -> Any:
    y = x.clone()
    y[0, 0].expand(5, 4)[3].mul_(2)
    y.diagonal(0, 0, 1)[1].zero_()
    return y


@program
def numbers(t: Any, x: Any) -> Any:
    y = t.zeros(3, dtype=t.int64)
    y[1:].view(2, 1)[0] += 4
    y[0].fill_(2)
    return x * y[0] + y.sum()


@pytest.mark.parametrize(("name", "function"), PROGRAMS)
def test_programs(name: str, function: Callable[[Any, Any], Any]) -> None:
    results = []
    for world in (numpy_impl, torch):
        x = world.tensor(X.copy(), requires_grad=True)
        y = function(world, x)
        (y * y).sum().backward()
        results.append((y.detach().numpy(), np.asarray(x.grad)))
    for ours, twin in zip(*results, strict=True):
        np.testing.assert_allclose(ours, twin, 1e-12, 1e-12)
