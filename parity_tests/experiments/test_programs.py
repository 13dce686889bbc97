"""Programs of PyTorch users, in lockstep in both worlds: the same source, seed and steps."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from experiments.programs import PROGRAMS
from torch_ref.convert import to_numpy

WORLDS: tuple[Any, Any] = (numpy_impl, torch)


def as_array(value: Any) -> np.ndarray:
    """A copy of a tensor or an array."""
    return to_numpy(value) if isinstance(value, torch.Tensor) else value.copy()


def arrays(model: Any) -> dict[str, np.ndarray]:
    """Copies of parameters and buffers as NumPy arrays."""
    return {name: as_array(value) for name, value in model.state_dict().items()}


def start(name: str, world: Any, dtype: str = "float64") -> tuple[Any, dict[str, Any]]:
    """The model and a batch, from the same seeds."""
    program, functional = PROGRAMS[name], world.nn.functional
    world.manual_seed(0)
    model = program.build(world, world.nn, functional).to(getattr(world, dtype))
    values = program.batch(np.random.default_rng(1))
    batch = {
        key: world.tensor(value.astype(dtype) if value.dtype.kind == "f" else value)
        for key, value in values.items()
    }
    return model, batch


def run(name: str, world: Any, steps: int, optimizer: str, dtype: str = "float64") -> Any:
    """Losses, first gradients and last weights of some training steps."""
    model, batch = start(name, world, dtype)
    if world is numpy_impl:  # normal initial values differ in their last bits
        model.load_state_dict(arrays(start(name, torch, dtype)[0]))
    options = {"lr": 0.01, "momentum": 0.9} if optimizer == "SGD" else {"lr": 0.01}
    stepper = getattr(world.optim, optimizer)(model.parameters(), **options)
    losses, grads = [], {}
    for step in range(steps):
        stepper.zero_grad()
        loss = PROGRAMS[name].loss(model, batch, world, world.nn.functional)
        loss.backward()
        if not step:
            grads = {n: None if p.grad is None else as_array(p.grad)
                     for n, p in model.named_parameters()}  # fmt: skip
        stepper.step()
        losses.append(loss.item())
    return losses, grads, arrays(model)


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_seed_same_weights(name) -> None:
    ours, twin = (arrays(start(name, world, "float32")[0]) for world in WORLDS)
    assert list(ours) == list(twin)
    for key, value in twin.items():
        np.testing.assert_allclose(ours[key], value, rtol=1e-5, atol=1e-7, err_msg=key)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_run_in_lockstep(name, optimizer) -> None:
    ours, twin = (run(name, world, 5, optimizer) for world in WORLDS)
    np.testing.assert_allclose(ours[0], twin[0], rtol=1e-9)
    assert all(value is not None for value in twin[1].values())
    for key, value in twin[1].items():
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(ours[1][key], value, rtol=1e-9, atol=1e-11 * scale, err_msg=key)
    for key, value in twin[2].items():
        np.testing.assert_allclose(ours[2][key], value, rtol=1e-7, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_learn(name) -> None:
    """Their loss on one batch falls: without it, agreement would say little."""
    losses, _, _ = run(name, numpy_impl, 40, "Adam", "float32")
    assert losses[-1] < losses[0] - 0.05 * abs(losses[0])
