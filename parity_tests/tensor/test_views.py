"""Parts of a Tensor, changed in place, change it too: as torch's views do."""

import gc
import warnings
import weakref
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.tensor.rows import SparseRows
from numpy_impl.tensor.views import DEEPEST

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
    "{}.expand(2, *{}.shape)[0]",
    "{}.unfold(0, 1, 1)",
    "{}.unfold(-1, 2, 2)",
    "{}.unfold(-1, 2, 1)[..., 0]",
    "{}.clone()",
    "{}[[0]]",
    "{}[{} > 0]",
]
CHANGED = [
    "{} *= 3",
    "{}.add_(0.5)",
    "{}.zero_()",
    "{}[..., 0] = 7",
    "{}.copy_({} * {})",
    "{}.mul_(w)",
    "{}.clamp_(-0.5, 0.5)",
]


def random_program(seed: int) -> list[str]:
    """Parts of parts of ``y``, some of which nobody holds, each changed in place at once."""
    draw = Random(seed)
    lines = [draw.choice(["y = x * 2", "y = x.clone()", "y = x * 1; y.mul_(y)"])]
    if draw.random() < 0.3:
        lines[0] += "; y = y.detach()"
    for i in range(draw.randint(1, 3)):
        expression = "y"
        for j in range(draw.randint(1, 4)):
            expression = draw.choice(TAKEN).replace("{}", expression)
            if draw.random() < 0.4:  # from here on it has a name, and so lives on
                lines.append(f"v{i}{j} = {expression}")
                expression = f"v{i}{j}"
        lines.append(f"v{i} = {expression}")
        lines.append(draw.choice(CHANGED).replace("{}", f"v{i}"))
    return lines


def run(world: Any, lines: list[str]) -> tuple[dict[str, Any], Any]:
    x = world.tensor(X.copy(), requires_grad=True)
    w = world.tensor(0.25, dtype=world.float64, requires_grad=True)
    values: dict[str, Any] = {"x": x, "w": w}
    for line in lines:
        exec(line, {}, values)
        if line.partition(" = ")[0].isidentifier():
            values.setdefault("order", []).append(line.partition(" = ")[0])
    if values["y"].requires_grad:
        (values["y"] * world.arange(24, dtype=world.float64).reshape(2, 3, 4)).sum().backward()
    return values, (x.grad, w.grad)


def _same(ours: Any, twin: Any, what: str) -> None:
    if twin is None:
        assert ours is None or not np.any(ours), what
    else:
        values = np.zeros(twin.shape) if ours is None else np.asarray(ours)
        np.testing.assert_allclose(values, twin.detach().numpy(), 1e-12, 1e-12, err_msg=what)


def test_random_programs_change_what_torch_changes() -> None:
    compared = refused = 0
    for seed in range(600):
        lines = random_program(seed)
        what = f"seed {seed}: {'; '.join(lines)}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's remarks
                expected, grads = run(torch, lines)
        except (RuntimeError, IndexError):  # impossible shapes, and what torch refuses to change
            continue
        try:
            found, ours = run(numpy_impl, lines)
        except RuntimeError as error:
            # a part that was taken before the last change of what it is a part of
            if "has been changed in place since" not in str(error):
                raise AssertionError(what) from error
            refused += 1
            continue
        _same(found["y"].detach().numpy(), expected["y"], what)
        for own, twin in zip(ours, grads, strict=True):
            _same(own, twin, what)
        compared += 1
    assert compared > 250
    assert refused < compared / 10


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
    y.unfold(0, 1, 1)[0].exp_()
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


def test_parts_of_a_parameter_change_it_under_no_grad_only() -> None:
    for world in (numpy_impl.nn, torch.nn):
        lstm = world.LSTM(2, 3)
        bias = lstm.bias_ih_l0
        part = bias[3:6]
        before = part.detach().numpy().copy()
        with pytest.raises(RuntimeError):
            part.fill_(1.0)
        np.testing.assert_array_equal(part.detach().numpy(), before)
        with numpy_impl.no_grad(), torch.no_grad():
            array = bias.data
            bias.fill_(0.0)
            bias[3:6].fill_(1.0)
            bias.view(4, 3)[0][1] = 2
        bias.detach()[-1:].add_(4)
        expected = [0, 2, 0, 1, 1, 1, 0, 0, 0, 0, 0, 4]
        np.testing.assert_array_equal(np.asarray(bias.detach()), np.float32(expected))
        assert bias.requires_grad
        assert bias.data is array or world is torch.nn  # what an optimizer holds
        np.testing.assert_array_equal(np.asarray(array), np.float32(expected))


def test_initial_values_of_a_part() -> None:
    made = []
    for world in (numpy_impl, torch):
        world.manual_seed(0)
        weight = world.nn.LSTM(2, 3).weight_hh_l0
        for gate in range(4):
            world.nn.init.xavier_uniform_(weight[3 * gate : 3 * gate + 3])
        world.nn.init.zeros_(weight.T[0])
        y = world.zeros(3, 3) + 1
        world.nn.init.eye_(y[:2])
        made.append((weight.detach().numpy(), y.numpy()))
    for ours, twin in zip(*made, strict=True):
        np.testing.assert_array_equal(ours, twin)


def test_gradients_of_few_rows_added_to_a_part() -> None:
    y = numpy_impl.zeros(2, 3, 4)
    y[1].add_(SparseRows(np.array([2, 0]), np.ones((2, 4), np.float32), (3, 4)))
    np.testing.assert_array_equal(y.numpy().sum((0, 2)), np.float32([4, 0, 4]))
    assert not y[0].any()


def test_a_leaf_may_be_a_part() -> None:
    for world in (numpy_impl, torch):
        y = world.zeros(2, 3)
        leaf = y[0].detach().requires_grad_()
        with world.no_grad():
            leaf[1] = 5
            leaf.add_(1)
        np.testing.assert_array_equal(y.numpy(), np.float32([[1, 6, 1], [0, 0, 0]]))


def test_parts_of_an_array_that_is_read_only() -> None:
    array = np.frombuffer(np.arange(9.0).tobytes()).reshape(3, 3)
    y = numpy_impl.from_numpy(array)
    y.diagonal().zero_()
    y[0].add_(1)
    y.expand(2, 3, 3)[0].clone().add_(1)
    assert y.tolist() == [[1, 2, 3], [3, 0, 5], [6, 7, 0]]
    assert array[1, 1] == 4


def test_what_is_no_view_any_more_raises() -> None:
    y = numpy_impl.tensor(X) * 1
    row = y[0]
    y.add_(1)
    with pytest.raises(RuntimeError, match="has been changed in place since it was taken"):
        row.zero_()
    np.testing.assert_array_equal(row.numpy(), X[0])  # and is as it was
    np.testing.assert_array_equal(y.numpy(), X + 1)
    column = y[:, :1]
    for many in (column.expand(2, 3, 4), y.unfold(-1, 3, 1), y.unfold(1, 2, 1)[..., None, :]):
        before = many.numpy().copy()
        with pytest.raises(RuntimeError, match="several of its elements are one"):
            many.zero_()
        np.testing.assert_array_equal(many.numpy(), before)
    column.expand(2, 1, 4).zero_()  # which repeats nothing
    assert not y[:, 0].any()
    y = numpy_impl.tensor([np.nan, 1.0])
    y[:1].fill_(2)  # NaN is unequal to itself, but unchanged
    assert y.tolist() == [2, 1]


def test_a_part_keeps_nothing_alive_and_makes_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        y = numpy_impl.tensor(X, requires_grad=True) * 1
        dead = weakref.ref(y)
        part = y[0][1:]
        part.mul_(2)
        del y
        assert dead() is None
        part.add_(1)
        np.testing.assert_array_equal(part.detach().numpy(), X[0][1:] * 2 + 1)
        dead = weakref.ref(part)
        del part
        assert dead() is None
    finally:
        gc.enable()


def links(view: Any) -> int:
    count = 0
    while view is not None:
        count, view = count + 1, view.above
    return count


def test_a_loop_of_parts_keeps_no_endless_chain() -> None:
    y = numpy_impl.zeros(1000)
    part = y
    for _ in range(DEEPEST):
        part = part[1:]
    part.fill_(1)
    assert y.sum() == 1000 - DEEPEST
    for _ in range(300):
        part = part[1:]
        assert links(part._view) <= DEEPEST + 12
    for deep in (part, part[1:], part[1:][1:]):
        with pytest.raises(RuntimeError, match="a part of a part, 200 times over"):
            deep.fill_(2)
    part.clone().fill_(2)
    assert y.sum() == 1000 - DEEPEST


def test_a_loop_of_parts_of_what_is_gone_goes_on_for_ever() -> None:
    def looped(world: Any) -> Any:
        y = world.zeros(2, 3)
        for step in range(1001):
            y = y.t()
            y[0] += 1
            y[0][1] = step
        return y

    y = looped(numpy_impl)
    np.testing.assert_array_equal(y.numpy(), looped(torch).numpy())
    assert links(y._view) <= DEEPEST + 12


def test_layers_leave_arrays_alone_whatever_a_forward_does() -> None:
    class Shifted(nn.Module):
        def forward(self, x: numpy_impl.Tensor) -> numpy_impl.Tensor:
            x = x.view(x.shape[0], -1)
            x[0] += 1
            return x

    x = X.copy()
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):  # as in torch
        Shifted()(x)
    y = Shifted().needs_input_grad_(False)(x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, np.concatenate([X[:1] + 1, X[1:]]).reshape(2, -1))
