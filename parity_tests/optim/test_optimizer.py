"""SGD, MomentGD, Adam."""

import copy

import numpy as np
import pytest
import torch

import torch_ref
from numpy_impl import nn, optim
from parity_tests.optim.cases import CASES, give_gradients, parameters


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_agree_with_the_twin(case, dtype) -> None:
    for result in case.measure(dtype):
        result.check(case.tolerance(dtype, result), f"{case} {dtype}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_updates_in_place_and_leaves_gradients_alone(case) -> None:
    ours, twins = parameters("float32")
    give_gradients(ours, twins, np.random.default_rng(2))
    arrays = [p.data for p in ours]
    grads = copy.deepcopy([p.grad for p in ours])
    case.build(optim, ours).step()
    for parameter, array, grad in zip(ours, arrays, grads, strict=True):
        assert parameter.data is array
        assert array.dtype == np.float32
        np.testing.assert_array_equal(parameter.grad, grad) if grad is not None else None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_state_loaded_continues_as_the_original(case) -> None:
    ours, twins = parameters("float64")
    optimizer = case.build(optim, ours)
    rng = np.random.default_rng(3)
    for _ in range(3):
        give_gradients(ours, twins, rng)
        optimizer.step()
    others = [nn.Parameter(p.data.copy(order="K")) for p in ours]
    other = case.build(optim, others)
    other.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        give_gradients(ours, twins, rng)
        for our, copied in zip(ours, others, strict=True):
            copied.grad = our.grad
        optimizer.step()
        other.step()
    for our, copied in zip(ours, others, strict=True):
        np.testing.assert_array_equal(our.data, copied.data)


def test_groups_options_and_a_closure() -> None:
    def build(world, a, b):
        optimizer = world.SGD([{"params": [a], "lr": 0.5}], lr=0.1, momentum=0.9)
        optimizer.add_param_group({"params": b, "weight_decay": 0.2})
        return optimizer

    a, b = nn.Parameter(np.ones(3)), nn.Parameter(np.ones(2))
    ta, tb = torch.nn.Parameter(torch.ones(3).double()), torch.nn.Parameter(torch.ones(2).double())
    ours, twin = build(optim, a, b), build(torch_ref.optim, ta, tb)
    for _ in range(3):
        a.grad, b.grad = np.full(3, 0.3), np.full(2, -0.2)
        ta.grad, tb.grad = torch.full((3,), 0.3).double(), torch.full((2,), -0.2).double()
        ta.grad[:], tb.grad[:] = 0.3, -0.2
        assert ours.step(lambda: 7.0) == 7.0
        twin.step()
    np.testing.assert_allclose(a.data, ta.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(b.data, tb.detach().numpy(), rtol=1e-12)
    groups = ours.state_dict()["param_groups"]
    assert groups == twin.state_dict()["param_groups"]
    assert repr(ours) == repr(twin)


def test_the_first_momentum_step_takes_no_dampening() -> None:
    parameter = nn.Parameter(np.zeros(1))
    parameter.grad = np.ones(1)
    optim.SGD([parameter], lr=1.0, momentum=0.9, dampening=0.5).step()
    assert parameter.data[0] == -1.0


def test_zero_grad() -> None:
    parameter = nn.Parameter(np.zeros(2))
    parameter.grad = np.ones(2)
    optimizer = optim.SGD([parameter])
    optimizer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(parameter.grad, [0, 0])
    optimizer.zero_grad()
    assert parameter.grad is None


P = nn.Parameter(np.ones(2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.SGD([], lr=1), ValueError, "params must not be empty"),
        (lambda: optim.SGD([P], lr=-1), ValueError, "lr must be at least 0, got -1"),
        (lambda: optim.SGD([P], momentum=-1), ValueError, "momentum must be at least 0"),
        (lambda: optim.SGD([P], weight_decay=-1), ValueError, "weight_decay must be at least 0"),
        (lambda: optim.SGD([P], nesterov=True), ValueError, "nesterov needs momentum above 0"),
        (lambda: optim.SGD([P], differentiable=True), ValueError, "differentiable must be False"),
        (lambda: optim.SGD([P, P]), ValueError, "one is given twice"),
        (lambda: optim.SGD([np.ones(2)]), TypeError, "must hold Parameters, got ndarray"),
        (lambda: optim.SGD(P), TypeError, "must be an iterable"),
        (lambda: optim.Adam([P], betas=(0.9, 1.0)), ValueError, r"betas\[1\] must lie in"),
        (lambda: optim.Adam([P], eps=-1), ValueError, "eps must be at least 0, got -1"),
        (lambda: optim.Adam([P], capturable=True), ValueError, "capturable must be False"),
        (lambda: optim.MomentGD([P], mu=-1), ValueError, "mu must be at least 0, got -1"),
        (
            lambda: optim.SGD([P]).load_state_dict({"state": {}, "param_groups": []}),
            ValueError,
            r"must have groups of \[1\] parameters, got groups of \[\]",
        ),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
