"""Which optimizers take gradients of few rows, and what they make of them."""

import numpy as np
import pytest
import torch

import torch_ref
from numpy_impl import nn, optim
from numpy_impl.tensor.rows import SparseRows
from parity_tests.optim.cases import torch_state
from torch_ref.convert import to_torch


def step(pairs, rng) -> None:
    """One step in both worlds, with the same few rows."""
    index, values = rng.integers(0, 9, 5), rng.standard_normal((5, 3))
    for optimizer, param in pairs:
        grad = SparseRows(index, values.copy(), (9, 3))
        param.grad = grad if isinstance(param, nn.Parameter) else to_torch(grad)
        optimizer.step()


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")  # torch's Adagrad
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {}),
        ("SGD", {"momentum": 0.9, "dampening": 0.3, "maximize": True}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("Adagrad", {"lr_decay": 0.1, "maximize": True}),
    ],
)
def test_steps_and_states_both_ways(name, options) -> None:
    table, rng = np.random.default_rng(0).standard_normal((9, 3)), np.random.default_rng(1)
    params = [nn.Parameter(table.copy()), torch.nn.Parameter(to_torch(table))]
    made = [
        getattr(world, name)([param], lr=0.1, **options)
        for world, param in zip((optim, torch_ref.optim), params, strict=True)
    ]
    pairs = list(zip(made, params, strict=True))
    for i in range(50):
        step(pairs, rng)
        if i == 20:  # each goes on with the other's state
            mine, theirs = (optimizer.state_dict() for optimizer in made)
            made[1].load_state_dict(torch_state(mine))
            made[0].load_state_dict(theirs)
        np.testing.assert_allclose(params[0].data, params[1].detach().numpy(), 1e-10, 1e-12)


DENSE = (
    *("ASGD", "Adadelta", "Adafactor", "Adam", "AdamW", "Adamax", "MomentGD"),
    *("Muon", "NAdam", "RAdam", "RMSprop", "Rprop"),
)


@pytest.mark.parametrize("name", DENSE)
def test_the_others_refuse_them(name) -> None:
    param = nn.Parameter(np.ones((9, 3)))
    param.grad = SparseRows([1], np.ones((1, 3)), (9, 3))
    optimizer = getattr(optim, name)([param])
    with pytest.raises(RuntimeError, match=f"{name} does not support sparse gradients"):
        optimizer.step()
    assert not optimizer.state


def test_what_does_not_go_together() -> None:
    param = nn.Parameter(np.ones((9, 3)))
    param.grad = np.ones((9, 3))
    with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients: Adam"):
        optim.SparseAdam([param]).step()
    param.grad = SparseRows([1], np.ones((1, 3)), (9, 3))
    for make in (optim.SGD, optim.Adagrad):
        with pytest.raises(RuntimeError, match="weight_decay is not compatible with sparse"):
            make([param], weight_decay=0.1).step()
    optimizer = optim.SGD([param], lr=0.1, momentum=0.9)
    optimizer.step()
    param.grad = np.ones((9, 3))
    with pytest.raises(RuntimeError, match="the momentum is one of few rows"):
        optimizer.step()
