"""Parts of a Tensor, changed in place, change it too: as torch's views do."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.tensor.rows import SparseRows
from numpy_impl.tensor.views import View

X = np.random.default_rng(0).standard_normal((2, 3, 4))


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
            for part in (under, under[:1]):
                with pytest.raises(RuntimeError, match="taken under no_grad"):
                    part.add_(1)
            assert not y.detach()[1].any()
    for ours, twin in zip(*grads, strict=True):
        np.testing.assert_array_equal(ours, twin)


def test_gradients_of_parts_that_repeat_or_turn_what_changed() -> None:
    grads = []
    for world in (numpy_impl, torch):
        w = world.tensor([2.0, 3.0, 4.0], requires_grad=True)
        y = world.ones(2, 3)
        many, turned = y[0].expand(4, 3), y.T
        y[0].mul_(w)
        loss = (many * world.arange(12.0).reshape(4, 3)).sum()
        y[1].add_(w)
        (loss + (turned * world.arange(6.0).reshape(3, 2)).sum()).backward()
        z = w * world.ones(2, 3)
        z[0].mul_(w)
        (z.T * world.arange(6.0).reshape(3, 2)).sum().backward()
        grads.append(np.asarray(w.grad))
    np.testing.assert_array_equal(*grads)


def test_a_part_outside_the_graph_stays_there() -> None:
    for world in (numpy_impl, torch):
        w = world.tensor([2.0, 3.0], requires_grad=True)
        y = world.ones(2, 2)
        with world.no_grad():
            row, same = y[0], y.detach()
        with pytest.raises(RuntimeError):
            row.mul_(w)
        assert y.all()
        same.mul_(w)
        assert same.requires_grad
        assert not y.requires_grad
        np.testing.assert_array_equal(y.numpy(), np.float32([[2, 3], [2, 3]]))
        z = w * 2
        with pytest.raises(RuntimeError):
            z[0].detach_()
        z.detach()
        z.detach_()
        assert not z.requires_grad


def test_the_gradient_of_a_changed_part_is_kept() -> None:
    grads = []
    for world in (numpy_impl, torch):
        y = world.ones(2, 3, requires_grad=True) * 2
        part = y[0]
        part.retain_grad()
        part.mul_(5)
        (part * part).sum().backward()
        grads.append(np.asarray(part.grad))
    np.testing.assert_array_equal(*grads)


@pytest.mark.parametrize("is_leaf", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_in_any_order_and_read_only_ones(order: Any, is_leaf: bool) -> None:
    for is_writable in (True, False):
        array = np.array(np.arange(6.0).reshape(2, 3), order=order)
        array.flags.writeable = is_writable
        y = numpy_impl.from_numpy(array).requires_grad_(is_leaf)
        held, whole = y[:, 0], y.view(-1)
        with numpy_impl.no_grad():
            y[1].add_(10)
            y.view(3, 2)[0, 1] = 7
            whole[-1:].neg_()
            np.testing.assert_array_equal(y.data, [[0, 7, 2], [13, 14, -15]])
            assert (y.data is array) is (is_leaf and is_writable and order == "C")
            np.testing.assert_array_equal(held.data, [0, 13])
            y.neg_()
            np.testing.assert_array_equal(whole.data, [0, -7, -2, -13, -14, 15])


def test_a_square_leaf_lies_the_other_way_round() -> None:
    for world in (numpy_impl, torch):
        y = world.arange(4.0).reshape(2, 2)
        leaf = y.T.detach().requires_grad_()
        y.mul_(world.ones(2, requires_grad=True))
        assert leaf.tolist() == [[0, 2], [1, 3]]


def test_a_part_of_what_was_detached_from_a_part() -> None:
    grads = []
    for world in (numpy_impl, torch):
        w = world.tensor([2.0, 3.0, 4.0], requires_grad=True)
        y = world.ones(3, 3)
        rows = y[1:].detach()
        rows.add_(w)
        rows[0].fill_(1)
        rows[0].mul_(w)
        rows[1].sub_(1)
        (rows * world.arange(6.0).reshape(2, 3)).sum().backward()
        assert y.tolist() == [[1, 1, 1], [2, 3, 4], [2, 3, 4]]
        grads.append(np.asarray(w.grad))
    np.testing.assert_array_equal(*grads)


def test_what_is_detached_leaves_its_parts_in_the_graph() -> None:
    grads = []
    for world in (numpy_impl, torch):
        w = world.tensor(0.5, requires_grad=True)
        h, parts = world.ones(3), []
        for step in range(4):
            h = h * w
            parts.append(h[0])
            if step == 1:
                h.detach_()
        sum(parts).backward()
        grads.append(float(w.grad))
    assert grads[0] == grads[1] == 2.5


def test_gradients_for_what_requires_one_only_now() -> None:
    for world in (numpy_impl, torch):
        p = world.nn.Parameter(world.ones(3), requires_grad=False)
        part = p[:2]
        p.requires_grad_(True)
        assert part.requires_grad
        with world.no_grad():
            p.mul_(2)
        (part * part).sum().backward()
        assert p.grad.tolist() == [4, 4, 0]


def test_a_new_leaf_does_not_overwrite_what_a_graph_has_saved() -> None:
    for take in (lambda x: x.detach(), lambda x: x[:2]):
        x = numpy_impl.tensor([1.0, 2.0, 3.0])
        w = numpy_impl.ones(3, requires_grad=True)
        z = (x * w).sum()
        leaf = take(x).requires_grad_()
        with numpy_impl.no_grad():
            leaf.fill_(100)
        assert x[0] == 100
        z.backward()
        assert w.grad is not None
        assert w.grad.tolist() == [1, 2, 3]


def test_subclasses_may_have_missing_attributes_of_their_own() -> None:
    class Mine(numpy_impl.Tensor):
        def __getattr__(self, name: str) -> Any:
            return name

    class More(Mine):
        pass

    for cls in (Mine, More):
        x = cls(np.ones(2))
        x[:1].add_(1)
        assert (x * 1).tolist() == [2, 1]
        assert x.other == "other"


def test_an_interrupt_leaves_a_part_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    x = numpy_impl.ones(3, requires_grad=True) * 1
    part = x[1:]
    x.mul_(2)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(View, "place_in", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _ = part.requires_grad
    assert part.requires_grad
    assert part.tolist() == [2, 2]


def test_the_gradient_of_a_part_whose_base_changed_is_kept() -> None:
    grads = []
    for world in (numpy_impl, torch):
        y = world.ones(3, requires_grad=True) * 1
        part = y[1:]
        part.retain_grad()
        y.mul_(5)
        (part * 3).sum().backward()
        grads.append(np.asarray(part.grad))
    np.testing.assert_array_equal(*grads)


def test_the_way_back_has_the_values_of_before() -> None:
    grads = []
    for world in (numpy_impl, torch):
        x = world.tensor([2.0, 3.0], requires_grad=True)
        w = world.tensor(0.5, requires_grad=True)
        own, other = x.detach(), world.nn.Parameter(world.ones(2) * 3, requires_grad=False)
        own.mul_(x)
        same = other.detach()
        same.mul_(w)
        (own.sum() + same.sum()).backward()
        grads.append([np.asarray(v.grad) for v in (x, w)])
        assert other.tolist() == [1.5, 1.5]
    for ours, twin in zip(*grads, strict=True):
        np.testing.assert_array_equal(ours, twin)


def test_a_frozen_parameter_that_joins_the_graph() -> None:
    for world in (numpy_impl, torch):
        p = world.nn.Parameter(world.ones(3), requires_grad=False)
        s = world.tensor(2.0, requires_grad=True)
        p[0] = s * 3
        assert p.requires_grad
        same = p.detach()
        p.mul_(2)
        assert same.tolist() == [12, 2, 2]
        p.sum().backward()
        assert s.grad == 6


def test_a_leaf_that_is_none_any_more_is_not_overwritten() -> None:
    x = numpy_impl.tensor([2.0, 3.0], requires_grad=True)
    x[0].detach()
    x.requires_grad_(False)
    w = numpy_impl.ones(2, requires_grad=True)
    y = w * x
    x.add_(1)
    y.sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [2, 3]


def test_where_it_lies_in_memory() -> None:
    for world in (numpy_impl, torch):
        y = world.zeros(2, 3)
        found = [part.is_contiguous() for part in (y, y.T, y[0], y[:, 0], y.T[0], y[:, :2], y[:1])]
        assert found == [True, False, True, False, False, False, True]
        y.T.contiguous().add_(1)
        assert not y.any()


def test_missing_attributes_are_named() -> None:
    for tensor in (numpy_impl.zeros(2), numpy_impl.zeros(2)[:1]):
        assert type(tensor) is numpy_impl.Tensor
        with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'shap'") as info:
            tensor.shap  # noqa: B018
        assert info.value.name == "shap"


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
