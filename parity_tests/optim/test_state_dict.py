"""Loading, copying and pickling what optimizers keep."""

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import torch_ref
from numpy_impl import nn, optim
from parity_tests.optim.cases import (
    CASES,
    KEEPERS,
    Case,
    parameters,
    stepped,
    torch_state,
    without_bfloat16,
)
from torch_ref.convert import to_numpy


@pytest.fixture(autouse=True)
def _without_bfloat16() -> Iterator[None]:
    with without_bfloat16():
        yield


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_state_loaded_continues_as_the_original(case) -> None:
    ours, twins = parameters("float64", case.shapes)
    optimizer = case.build(optim, ours)
    rng = np.random.default_rng(3)
    for _ in range(3):
        case.give_gradients(ours, twins, rng)
        optimizer.step()
    others = [nn.Parameter(p.data.copy(order="K")) for p in ours]
    other = case.build(optim, others)
    other.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        case.give_gradients(ours, twins, rng)
        for our, copied in zip(ours, others, strict=True):
            copied.grad = our.grad
        optimizer.step()
        other.step()
    for our, copied in zip(ours, others, strict=True):
        np.testing.assert_array_equal(our.data, copied.data)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_state_of_torch_s_goes_on_as_the_uninterrupted_run(case) -> None:
    _, twins, _, twin = stepped(case, "float64")
    ours = [nn.Parameter(to_numpy(p)) for p in twins]
    optimizer = case.build(optim, ours)
    optimizer.load_state_dict(twin.state_dict())
    rng = np.random.default_rng(9)
    for _ in range(5):
        case.give_gradients(ours, twins, rng)
        optimizer.step()
        twin.step()
        for our, other in zip(ours, twins, strict=True):
            np.testing.assert_allclose(our.data, to_numpy(other), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_state_goes_back_to_torch(case) -> None:
    """There it is worth what torch's own is: loading makes all of it the parameter's dtype."""
    ours, twins, optimizer, twin = stepped(case, "float64")
    back, expected = ([torch.nn.Parameter(p.detach().clone()) for p in twins] for _ in range(2))
    resumed, other = case.build(torch_ref.optim, back), case.build(torch_ref.optim, expected)
    resumed.load_state_dict(torch_state(optimizer.state_dict()))
    other.load_state_dict(twin.state_dict())
    rng = np.random.default_rng(9)
    for _ in range(5):
        case.give_gradients(ours, back, rng)
        for param, model in zip(expected, back, strict=True):
            param.grad = model.grad
        resumed.step()
        other.step()
    for param, model in zip(back, expected, strict=True):
        np.testing.assert_allclose(to_numpy(param), to_numpy(model), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("saved", "loaded"), [("float32", "float64"), ("float64", "float32")])
@pytest.mark.parametrize("case", KEEPERS, ids=str)
def test_a_loaded_state_takes_the_parameter_s_dtype(case, saved, loaded) -> None:
    _, _, optimizer, twin = stepped(case, saved)
    ours, twins = parameters(loaded, case.shapes)
    other, other_twin = case.build(optim, ours), case.build(torch_ref.optim, twins)
    other.load_state_dict(optimizer.state_dict())
    other_twin.load_state_dict(twin.state_dict())
    theirs = other_twin.state_dict()["state"]
    for number, state in other.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, np.ndarray):
                expected = theirs[number][key].numpy()
                assert value.dtype == expected.dtype, key
                np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    rng = np.random.default_rng(5)
    for _ in range(3):
        case.give_gradients(ours, twins, rng)
        other.step()
        other_twin.step()
    for our, their in zip(ours, twins, strict=True):
        np.testing.assert_allclose(our.data, their.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["fortran", "read-only", "lists", "torch", "1-d numbers"])
@pytest.mark.parametrize("case", KEEPERS, ids=str)
def test_a_state_may_come_in_other_forms(case, form) -> None:
    """Counters as Python's numbers among them; the copy has the parameter's layout."""
    ours, twins, optimizer, twin = stepped(case, "float64")

    def reformed(key, value):
        if isinstance(value, np.generic | int):
            return np.array([value]) if form == "1-d numbers" else float(value)
        if form == "lists":
            return value.tolist()
        value = np.array(value, order="F")
        value.flags.writeable = form != "read-only"
        return value

    state = optimizer.state_dict()
    state["state"] = {
        number: {key: reformed(key, value) for key, value in values.items()}
        for number, values in state["state"].items()
    }
    others = [nn.Parameter(p.data.copy(order="K")) for p in ours]
    other = case.build(optim, others)
    other.load_state_dict(twin.state_dict() if form == "torch" else state)
    for param in others:
        for value in other.state[param].values():
            if np.shape(value) == param.shape:
                assert value.strides == param.data.strides
    case.give_gradients(ours, twins, np.random.default_rng(6))
    for our, copied in zip(ours, others, strict=True):
        copied.grad = our.grad
    optimizer.step()
    other.step()
    for our, copied in zip(ours, others, strict=True):
        np.testing.assert_allclose(our.data, copied.data, rtol=1e-12)


def test_state_of_algorithms_of_one_s_own_is_cast_too() -> None:
    """Nested, without axes, integer: as torch; what is no array stays as it is."""
    values: dict[str, Any] = {
        "step": np.float32(3),
        "history": [np.ones(2, np.float32), {"mask": np.array([0, 1]), "step": np.int64(1)}],
        "scale": np.array(2.0, np.float32),
        "name": "x",
        "count": 4,
    }
    optimizer = optim.SGD([nn.Parameter(np.ones(2))])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": {0: values, "extra": [1]}})
    loaded = optimizer.state_dict()["state"]
    assert loaded["extra"] == [1]
    first, inner = loaded[0]["history"]
    assert first.dtype == inner["mask"].dtype == loaded[0]["scale"].dtype == np.float64
    assert first is not values["history"][0]
    assert loaded[0]["step"].dtype == np.float32
    assert inner["step"].dtype == np.int64
    assert (loaded[0]["name"], loaded[0]["count"]) == ("x", 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["state"][4].update(exp_avg=np.ones(3)), "exp_avg of parameter 4 must have sh"),
        (lambda s: s["state"][4].pop("step"), "parameter 4 must have step, exp_avg, exp_avg_sq"),
        (lambda s: s["state"][4].update(other=np.full(2, 1e300)), "must fit float32, got values"),
        (lambda s: s["state"][4].update(other=np.ones(2, complex)), "real numbers, got complex"),
        (lambda s: s["state"][4].update(other=np.array("x")), "must hold real numbers, got <U1"),
        (lambda s: s["param_groups"][0].update(lr=-1), "lr must be at least 0, got -1"),
        (lambda s: s["param_groups"][0].update(params=[0, 1]), "must have groups of"),
    ],
    ids=["shape", "missing", "overflow", "complex", "text", "option", "groups"],
)
def test_loading_is_all_or_nothing(change, message) -> None:
    ours, _, optimizer, _ = stepped(Case("Adam", "lr=0.1"), "float32")
    before = copy.deepcopy(optimizer.state_dict())
    state = copy.deepcopy(before)
    state["param_groups"][0]["lr"] = 7.0
    state["state"][0]["exp_avg"] += 1
    change(state)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    np.testing.assert_equal(after["state"], before["state"])
    assert set(optimizer.state) == set(ours)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("case", KEEPERS, ids=str)
def test_copies_and_pickles_go_on_alone(case, how) -> None:
    """With the parameters that are copied along; without hooks, as in torch."""
    ours, twins, optimizer, _ = stepped(case, "float64")
    optimizer.register_step_pre_hook(lambda *_: pytest.fail("a copied hook"))
    others, other = how((ours, optimizer))
    assert [id(p) for p in other.param_groups[0]["params"]] == [id(p) for p in others]
    assert {id(p) for p in other.state} <= {id(p) for p in others}
    np.testing.assert_equal(other.state_dict(), optimizer.state_dict())
    kept = [p.data.copy() for p in ours]
    case.give_gradients(others, twins, np.random.default_rng(8))
    other.register_step_post_hook(lambda *_: None)
    other.step()
    for our, copied, before in zip(ours, others, kept, strict=True):
        np.testing.assert_array_equal(our.data, before)
        our.grad = copied.grad
    optimizer._step_pre_hooks.clear()
    optimizer.step()
    for our, copied in zip(ours, others, strict=True):
        # a copy's layout is its own, and a sum rounds by it
        rtol = 1e-14 if case.name == "Adafactor" else 0
        np.testing.assert_allclose(our.data, copied.data, rtol)
