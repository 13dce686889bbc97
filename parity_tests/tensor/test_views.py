"""Parts of a Tensor, changed in place, change it too: as torch's views do."""

import copy
import gc
import pickle
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
    "{}.clone().contiguous()",
    "{}[[0]]",
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


def test_a_part_is_what_it_was_taken_from_is_now() -> None:
    for world in (numpy_impl, torch):
        y = world.tensor(X) * 1
        row, same, number = y[0], y.detach(), y[0, 0, 0]
        column = y.mT[..., 0]
        y.add_(1)
        y = y.clone()  # the parts hold on to what they were taken from
        np.testing.assert_array_equal(row.numpy(), X[0] + 1)
        np.testing.assert_array_equal(same.numpy(), X + 1)
        assert number.item() == X[0, 0, 0] + 1
        row[0].zero_()
        assert not column.numpy()[0].any()
        assert column.numpy()[1].all()
        assert not same[0, 0].any()
        assert y.all()


def test_parts_of_a_parameter_see_each_step() -> None:
    for world in (numpy_impl, torch):
        world.manual_seed(0)
        layer = world.nn.Linear(3, 2)
        optimizer = world.optim.SGD(layer.parameters(), lr=0.1)
        rows, transposed, row = layer.weight.detach(), layer.weight.T, layer.weight[0]
        for _ in range(3):
            optimizer.zero_grad()
            ((layer.weight.T * transposed).sum() + row.sum()).backward()
            optimizer.step()
            transposed, row = layer.weight.T, layer.weight[0]
        seen = layer.weight[:, 1]
        layer.load_state_dict({k: v * 2 for k, v in layer.state_dict().items()})
        with world.no_grad():
            layer.weight[0, 1] = 5
            layer.weight.data[1] *= 3
            layer.weight.data *= 1
        value = np.asarray(layer.weight.detach().numpy())
        np.testing.assert_array_equal(rows.numpy(), value)
        np.testing.assert_array_equal(seen.detach().numpy(), value[:, 1])
        np.testing.assert_array_equal(transposed.detach().numpy(), value.T)
        world.nn.init.ones_(layer.weight)
        assert seen.sum() == 2
        last = value
    np.testing.assert_allclose(last, value, 1e-6)


def test_graphs_of_parts_follow_what_they_were_taken_from() -> None:
    grads = []
    for world in (numpy_impl, torch):
        w = world.tensor([2.0, 3.0], requires_grad=True)
        y = world.zeros(2, 2)
        row, other, under = y[0], y[:, 1], None
        with world.no_grad():
            under = y[1]
        row.copy_(w * w)
        assert row.requires_grad
        assert other.requires_grad
        assert y.requires_grad
        y.mul_(w)  # also if it changed no value
        with world.no_grad():
            y.mul_(1)
        y.retain_grad()
        row.mul_(4)
        (row.sum() + other.sum() * 10 + y.sum() * 100).backward()
        grads.append([np.asarray(v.grad) for v in (w, y)])
        if world is numpy_impl:
            assert not under.requires_grad
            with pytest.raises(RuntimeError, match="taken under no_grad"):
                under.add_(1)
            assert not y.detach()[1].any()
    for ours, twin in zip(*grads, strict=True):
        np.testing.assert_array_equal(ours, twin)


def test_a_leaf_that_is_a_part_is_trained_where_it_lies() -> None:
    for world in (numpy_impl, torch):
        y = world.ones(2, 3)
        leaf = y.T.detach()[0].requires_grad_()
        optimizer = world.optim.SGD([leaf], lr=1.0)
        (leaf * world.tensor([1.0, 2.0])).sum().backward()
        optimizer.step()
        np.testing.assert_array_equal(y.numpy(), np.float32([[0, 1, 1], [-1, 1, 1]]))
        y.add_(1)
        np.testing.assert_array_equal(leaf.detach().numpy(), np.float32([1, 0]))


def test_the_gradient_of_a_transposed_leaf_reaches_it() -> None:
    for world in (numpy_impl, torch):
        x = world.arange(6.0).reshape(2, 3).T.requires_grad_()
        (x.contiguous() * 2).sum().backward()
        np.testing.assert_array_equal(np.asarray(x.grad), np.full((3, 2), 2, "f"))


def test_bytes_are_shared() -> None:
    for world in (numpy_impl, torch):
        y = world.ones(2, 2)
        y.view(world.int32)[0].zero_()
        assert y.tolist() == [[0, 0], [1, 1]]


def test_copies_of_a_part_are_apart() -> None:
    y = numpy_impl.zeros(2, 2)
    for again in (copy.copy, copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))):
        other = again(y[0])
        assert type(other) is numpy_impl.Tensor
        other.add_(1)
    assert not y.any()
    part = y[0]
    part.data = np.ones(3)
    part.add_(1)
    assert part.tolist() == [2, 2, 2]
    assert not y.any()


def test_elements_that_are_one_are_refused() -> None:
    y = numpy_impl.tensor(X) * 1
    column = y[:, :1]
    for many in (column.expand(2, 3, 4), y.unfold(-1, 3, 1), y.unfold(1, 2, 1)[..., None, :]):
        before = many.numpy().copy()
        with pytest.raises(RuntimeError, match="several of its elements are one"):
            many.zero_()
        np.testing.assert_array_equal(many.numpy(), before)
    np.testing.assert_array_equal(y.numpy(), X)
    column.expand(2, 1, 4).zero_()  # which repeats nothing
    assert not y[:, 0].any()


def test_what_is_refused_changes_nothing() -> None:
    w = nn.Parameter(np.ones((2, 3), "f"))
    part = w[0][1:]
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        part.fill_(2)
    y = numpy_impl.zeros(2, 3)
    with pytest.raises(RuntimeError, match="can't become one of"):
        y[0].add_(numpy_impl.ones(2, 3))
    assert w.detach().all()
    assert part.detach().tolist() == [1, 1]
    assert not y.any()


def test_a_part_keeps_its_graph_only_and_makes_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        x = numpy_impl.tensor(X, requires_grad=True)
        y = x * 1
        dead, leaf = weakref.ref(y), weakref.ref(x)
        part, values = y[0][1:], y.detach()[0]
        part.mul_(2)
        del x, y
        part.add_(1)
        assert dead() is not None
        np.testing.assert_array_equal(part.detach().numpy(), X[0][1:] * 2 + 1)
        np.testing.assert_array_equal(values.numpy(), [X[0, 0], *(X[0, 1:] * 2 + 1)])
        del part
        assert dead() is None
        assert leaf() is None  # what is detached holds values only
        dead = weakref.ref(values)
        del values
        assert dead() is None
    finally:
        gc.enable()


def test_parts_of_parts_for_ever() -> None:
    def looped(world: Any) -> Any:
        y = x = world.zeros(2, 3)
        for step in range(2001):
            y = y.t() if step % 3 else y.detach()
            y[0] += 1
            y[0][1] = step
        return x, y

    for ours, twin in zip(looped(numpy_impl), looped(torch), strict=True):
        np.testing.assert_array_equal(ours.numpy(), twin.numpy())


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
