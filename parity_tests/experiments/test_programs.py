"""Programs of PyTorch users, in lockstep in both worlds: the same source, seed and steps."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from experiments.programs import PROGRAMS
from torch_ref.convert import to_numpy

WORLDS: tuple[Any, Any] = (numpy_impl, torch)
DRAWS_NORMAL = ("dcgan", "gpt")  # normal values differ from torch's in their last bits


def as_array(value: Any) -> np.ndarray:
    """A copy of a tensor or an array."""
    return to_numpy(value) if isinstance(value, torch.Tensor) else value.copy()


def arrays(model: Any) -> dict[str, np.ndarray]:
    """Copies of parameters and buffers as NumPy arrays."""
    return {name: as_array(value) for name, value in model.state_dict().items()}


def start(
    name: str, world: Any, dtype: str = "float64", **sizes: Any
) -> tuple[Any, dict[str, Any]]:
    """The model and a batch, from the same seeds."""
    program, functional = PROGRAMS[name], world.nn.functional
    world.manual_seed(0)
    model = program.build(world, world.nn, functional, **sizes).to(getattr(world, dtype))
    values = program.batch(np.random.default_rng(1))
    batch = {
        key: world.tensor(value.astype(dtype) if value.dtype.kind == "f" else value)
        for key, value in values.items()
    }
    return model, batch


def run(
    name: str, world: Any, steps: int, optimizer: str, dtype: str = "float64", **sizes: Any
) -> Any:
    """Losses, first gradients and last weights of some training steps."""
    model, batch = start(name, world, dtype, **sizes)
    if world is numpy_impl:  # see DRAWS_NORMAL
        model.load_state_dict(arrays(start(name, torch, dtype, **sizes)[0]))
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
        if name in DRAWS_NORMAL:
            np.testing.assert_allclose(ours[key], value, rtol=1e-5, atol=1e-7, err_msg=key)
        else:
            np.testing.assert_array_equal(ours[key], value, err_msg=key)


def assert_in_lockstep(name: str, optimizer: str, **sizes: Any) -> None:
    """Five steps in both worlds: losses, first gradients, parameters and buffers after the last."""
    ours, twin = (run(name, world, 5, optimizer, **sizes) for world in WORLDS)
    np.testing.assert_allclose(ours[0], twin[0], rtol=1e-10)
    for (key, mine), (same, value) in zip(ours[1].items(), twin[1].items(), strict=True):
        assert key == same
        assert value is not None, f"torch leaves {key} without a gradient"
        assert mine is not None, f"{key} is left without a gradient"
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(mine, value, rtol=1e-9, atol=1e-11 * scale, err_msg=key)
    assert list(ours[2]) == list(twin[2])
    for key, value in twin[2].items():
        np.testing.assert_allclose(ours[2][key], value, rtol=1e-9, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_run_in_lockstep(name, optimizer) -> None:
    assert_in_lockstep(name, optimizer)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("gpt", {"tied": False}),
        ("gpt", {"heads": 4, "context": 12}),  # more places than the text has
        ("resnet", {"width": 4, "layers": (2, 1)}),  # a block without downsampling after one
        ("unet", {"width": 2, "depth": 3}),
    ],
)
def test_other_sizes_run_in_lockstep(name, sizes) -> None:
    assert_in_lockstep(name, "SGD", **sizes)


@pytest.mark.parametrize("name", PROGRAMS)
def test_trained_programs_are_evaluated_alike(name) -> None:
    """eval() and no_grad(): dropout is off, batch norm goes by its statistics, no graph is made."""
    values = []
    for world in WORLDS:
        trained = run(name, world, 3, "SGD")[2]
        model, batch = start(name, world)
        if world is torch:
            trained = {key: torch.from_numpy(value) for key, value in trained.items()}
        model.load_state_dict(trained)
        model.eval()
        with world.no_grad():
            loss = PROGRAMS[name].loss(model, batch, world, world.nn.functional)
        assert not loss.requires_grad
        values.append(loss.item())
    np.testing.assert_allclose(*values, rtol=1e-10)


@pytest.mark.parametrize("world", WORLDS, ids=["numpy", "torch"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_learn(name, world) -> None:
    """Their loss on one batch falls: without it, agreement would say little."""
    losses, _, _ = run(name, world, 40, "Adam", "float32")
    assert losses[-1] < losses[0] - 0.05 * abs(losses[0])
