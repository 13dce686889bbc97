"""What optimizers, layers and NumPy write into arrays, and the parts of those that see it."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn


def test_parts_of_a_parameter_see_each_step() -> None:
    for world in (numpy_impl, torch):
        world.manual_seed(0)
        layer = world.nn.Linear(3, 2)
        optimizer = world.optim.SGD(layer.parameters(), lr=0.1)
        rows, transposed, row = layer.weight.detach(), layer.weight.T, layer.weight[0]
        held = layer.weight[1]
        for _ in range(3):
            optimizer.zero_grad()
            ((layer.weight.T * transposed).sum() + row.sum()).backward()
            optimizer.step()
            np.testing.assert_array_equal(held.detach().numpy(), layer.weight.detach().numpy()[1])
            transposed, row = layer.weight.T, layer.weight[0]
        seen = layer.weight[:, 1]
        layer.load_state_dict({k: v * 2 for k, v in layer.state_dict().items()})
        np.testing.assert_array_equal(held.detach().numpy(), layer.weight.detach().numpy()[1])
        for change in ("w[0].fill_(3)", "w.mul_(2)", "w[0, 1] = 5", "w.data *= 3"):
            with world.no_grad():
                exec(change, {"w": layer.weight})
            value = np.asarray(layer.weight.detach().numpy())
            np.testing.assert_array_equal(seen.detach().numpy(), value[:, 1])
        np.testing.assert_array_equal(rows.numpy(), value)
        np.testing.assert_array_equal(transposed.detach().numpy(), value.T)
        world.nn.init.ones_(layer.weight)
        assert seen.sum() == 2
        last = value
    np.testing.assert_allclose(last, value, 1e-6)


def test_leaves_of_arrays_that_are_read_only() -> None:
    array = np.frombuffer(np.ones(6, "f").tobytes(), "f").reshape(2, 3)
    y = numpy_impl.from_numpy(array)
    leaf, whole = y[:1].detach().requires_grad_(), numpy_impl.from_numpy(array).requires_grad_()
    leaf.grad = np.ones((1, 3), "f")
    numpy_impl.optim.SGD([leaf], lr=1.0).step()
    assert y.tolist() == [[0, 0, 0], [1, 1, 1]]
    with numpy_impl.no_grad():
        whole.add_(1)
    assert whole.tolist() == [[2] * 3] * 2
    assert array.all()


def test_parts_see_what_lbfgs_and_gradcheck_try() -> None:
    w = nn.Parameter(np.ones(2))
    part = w[:1]
    seen = []

    def closure() -> Any:
        w.grad = None
        loss = ((w - 3) ** 2).sum()
        loss.backward()
        seen.append(part.item() == w.data[0])
        return loss

    numpy_impl.optim.LBFGS([w], line_search_fn="strong_wolfe").step(closure)
    assert len(seen) > 1
    assert all(seen)
    assert numpy_impl.gradcheck(lambda v: (w[:1] * v * part).sum(), [w])


def test_other_data_leave_the_parts_behind() -> None:
    for shape in ((2, 3), (4, 4)):
        for world in (numpy_impl, torch):
            for y in (world.zeros(2, 3), world.nn.Parameter(world.zeros(2, 3))):
                part, same = y[0], y.detach()
                y.data = world.ones(*shape)
                with world.no_grad():
                    part.add_(2)
                assert same.tolist() == [[2, 2, 2], [0, 0, 0]]
                assert y.detach().numpy().all()
                assert tuple(y.shape) == shape
                y.data = same
                with world.no_grad():
                    y[0].sub_(2)
                assert not y.detach().numpy().any()


def test_what_numpy_wrote_is_not_undone() -> None:
    for world in (numpy_impl, torch):
        for w in (world.nn.Parameter(world.ones(3)), world.ones(3)):
            part = w[:2]
            w.data[0] += 5
            with world.no_grad():
                part.add_(1)
            assert w.tolist() == [7, 2, 1]


def test_data_of_a_part_changed_as_a_whole() -> None:
    for world in (numpy_impl, torch):
        for y in (world.ones(2, 2), world.nn.Parameter(world.ones(2, 2))):
            for part in (y[0], y[0].detach()):
                part.data += 1
                assert part.tolist() == y[0].tolist()
            assert y.tolist() == [[3, 3], [1, 1]]


def test_rows_that_an_embedding_scales_down() -> None:
    for world in (numpy_impl, torch):
        embed, bag = world.nn.functional.embedding, world.nn.functional.embedding_bag
        table = world.nn.Embedding(4, 3, max_norm=0.5)
        row = table.weight[0]
        table(world.tensor([0, 1]))
        assert abs(row.detach().numpy() - table.weight.detach().numpy()[0]).max() == 0
        both = world.ones(2, 4, 3) * 5
        rows, row = both[1], both[1, 1]
        embed(world.tensor([1]), rows, max_norm=1.0)
        np.testing.assert_allclose(row.numpy(), np.sqrt([1 / 3] * 3), 1e-6)
        bag(world.tensor([[2, 2]]), rows, max_norm=1.0)
        np.testing.assert_allclose(row.numpy(), np.sqrt([1 / 3] * 3), 1e-6)
        np.testing.assert_allclose((both**2).sum(-1).numpy(), [[75] * 4, [75, 1, 1, 75]], 1e-6)


def test_running_statistics_that_are_parts() -> None:
    found = []
    for world in (numpy_impl, torch):
        functional = world.nn.functional
        x = world.arange(24.0).reshape(4, 3, 2)
        running = world.zeros(4, 3)
        functional.batch_norm(x, running[0], running[1], training=True)
        functional.instance_norm(x, running[2], running[3], use_input_stats=True)
        functional.normalize(x[:1, :, 0], out=running[:1])
        assert running.numpy()[1:].all()
        found.append(running.numpy())
    np.testing.assert_allclose(*found, 1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: (nn.PReLU(), "weight"),
        lambda: (nn.LayerNorm(3), "weight"),
        lambda: (nn.LayerNorm(3), "bias"),
        lambda: (nn.RMSNorm(3), "weight"),
        lambda: (nn.BatchNorm1d(3), "weight"),
        lambda: (nn.BatchNorm1d(3), "bias"),
        lambda: (nn.Embedding(3, 2, padding_idx=0), "weight"),
        lambda: (nn.Linear(3, 2), "bias"),
    ],
)
def test_layers_that_start_again(make: Any) -> None:
    layer, name = make()
    parameter = getattr(layer, name)
    with numpy_impl.no_grad():
        parameter.fill_(7)
    part = parameter.view(-1)
    assert (part == 7).all()
    layer.reset_parameters()
    np.testing.assert_array_equal(part.data, parameter.data.reshape(-1))
    assert (part != 7).any()


def test_averages_of_models() -> None:
    for world in (numpy_impl, torch):
        model = world.nn.Linear(2, 1)
        averaged = world.optim.swa_utils.AveragedModel(model)
        part = averaged.module.weight[0]
        for value in (8, 4):
            with world.no_grad():
                model.weight.fill_(value)
            averaged.update_parameters(model)
            assert part.tolist() == averaged.module.weight[0].tolist()
        assert part.tolist() == [6, 6]


def test_a_part_frozen_leaves_what_it_is_a_part_of_alone() -> None:
    layer = nn.Linear(2, 1)
    state = layer.state_dict()
    layer.weight.detach().requires_grad_(False)
    layer.weight[0].detach().requires_grad_().requires_grad_(False)
    with numpy_impl.no_grad():
        layer.weight.fill_(8)
    assert (state["weight"] == 8).all()


def test_a_leaf_that_is_a_part_is_trained_where_it_lies() -> None:
    for world in (numpy_impl, torch):
        y = world.ones(2, 3)
        for leaf in (y.T.detach()[0].requires_grad_(), y[:, 0].requires_grad_()):
            y.fill_(1)
            assert leaf.is_leaf
            optimizer = world.optim.SGD([leaf], lr=1.0)
            (leaf * world.tensor([1.0, 2.0])).sum().backward()
            optimizer.step()
            leaf.data += 0
            np.testing.assert_array_equal(y.numpy(), np.float32([[0, 1, 1], [-1, 1, 1]]))
            y.add_(1)
            np.testing.assert_array_equal(leaf.detach().numpy(), np.float32([1, 0]))
            first = y[0]
            optimizer.step()
            assert first.tolist() == [0, 2, 2]
            np.testing.assert_array_equal(y.numpy(), np.float32([[0, 2, 2], [-2, 2, 2]]))
