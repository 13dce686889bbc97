"""What an algorithm of one's own can say: the base class's promises to who writes one."""

import inspect
import textwrap
from typing import Any

import numpy as np
import pytest
import torch

from numpy_impl import nn, optim
from numpy_impl.kernels.pieces import whole
from numpy_impl.optim import declare
from numpy_impl.optim.declare import AT_LEAST_0, BELOW_1, at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options


def parameter(*shape: int, dtype: str = "float64") -> nn.Parameter:
    made = nn.Parameter(np.random.default_rng(0).standard_normal(shape).astype(dtype))
    made.grad = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    return made


def test_the_docstring_s_algorithm_works_as_written() -> None:
    text = inspect.getdoc(Optimizer)
    code = text[text.index("    class Signum") : text.index("g is the gradient")]
    names = {**vars(declare), **vars(inspect.getmodule(Optimizer)), "Any": Any}
    exec(textwrap.dedent(code), names)
    w = parameter(300, 311)
    expected, m = w.data.copy(), 0.0
    optimizer = names["Signum"]([w], lr=0.1, weight_decay=0.01)
    for _ in range(3):
        optimizer.step()
        m = 0.9 * m + 0.1 * (w.grad + 0.01 * expected)
        expected = expected - 0.1 * np.sign(m)
    np.testing.assert_allclose(w.data, expected, rtol=1e-12)
    np.testing.assert_allclose(optimizer.state[w]["momentum"], m, rtol=1e-12)
    assert optimizer.state[w]["step"] == 3
    assert optimizer.defaults == {"lr": 0.1, "beta": 0.9, "weight_decay": 0.01}
    with pytest.raises(ValueError, match=r"beta must lie in \[0, 1\), got 1"):
        names["Signum"]([w], beta=1)


class Kept(Optimizer):
    """Notes with what its formula was called; shares of rows and columns besides."""

    _state_names = state_names("count", "rows", "nothing", extra="with_extra")

    def __init__(self, params: Any, lr: float = 0.1, with_extra: bool = False) -> None:
        super().__init__(params, locals())
        self.calls: list[tuple] = []

    def _start(self, name: str, w: Array, group: Options) -> Array | None:
        if name == "nothing":
            return None
        return np.full_like(w[:, :1] if name == "rows" else w, 3)

    _pieces = staticmethod(whole)

    def _rule(self, w, g, group, t, *kept) -> None:
        self.calls.append((t, w.shape, *(None if a is None else a.shape for a in kept)))
        kept[1][...] += 1


def test_state_of_any_shape_and_start_is_made_once_kept_and_loaded() -> None:
    w = parameter(300, 311)
    optimizer = Kept([w])
    optimizer.step()
    optimizer.step()
    optimizer.param_groups[0]["with_extra"] = True
    optimizer.step()
    optimizer.step()
    shape = (300, 311)
    assert optimizer.calls == [
        (1, shape, shape, (300, 1), None, None),
        (2, shape, shape, (300, 1), None, None),
        (1, shape, shape, (300, 1), None, shape),
        (2, shape, shape, (300, 1), None, shape),
    ]
    assert (optimizer.state[w]["rows"] == 7).all()
    state = optimizer.state_dict()
    other = Kept([parameter(300, 311)])
    other.load_state_dict(state)
    np.testing.assert_equal(other.state_dict(), state)
    del state["state"][0]["extra"]
    other.load_state_dict(state)
    for key, value, message in (
        ("rows", np.ones((1, 300)), r"rows of parameter 0 must have shape \(300, 1\)"),
        ("rows", None, "must have count, rows for Kept, got count"),
    ):
        changed = {"count": np.ones(shape), key: value}
        if value is None:
            del changed[key]
        with pytest.raises(ValueError, match=message):
            other.load_state_dict({**state, "state": {0: changed}})


class Decoupled(Optimizer):
    _decay = "decoupled"

    def __init__(self, params: Any, lr: float, weight_decay: float, maximize: bool = False) -> None:
        super().__init__(params, locals())

    def _rule(self, w: Array, g: Array, group: Options, t: float) -> None:
        w -= group["lr"] * np.sign(g)


@pytest.mark.parametrize("maximize", [False, True])
def test_decoupled_decay_and_maximize_are_the_base_s(maximize) -> None:
    w = parameter(4, 5)
    twin = torch.nn.Parameter(torch.from_numpy(w.data.copy()))
    twin.grad = torch.from_numpy(w.grad.copy())
    Decoupled([w], 0.1, 0.3, maximize).step()
    with torch.no_grad():
        twin.mul_(1 - 0.1 * 0.3).add_(twin.grad.sign(), alpha=0.1 if maximize else -0.1)
    np.testing.assert_allclose(w.data, twin.detach().numpy(), rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.7, "dampening": 0.3, "weight_decay": 0.1}),
        ("MomentGD", {"lr": 0.1, "mu": 0.7, "lr_decay": 0.9, "mu_decay": 0.9}),
        ("Adam", {"lr": 0.1, "betas": (0.3, 0.7), "eps": 0.1, "weight_decay": 0.1}),
        ("Adam", {"betas": (0.3, 0.7)}),
        ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.3, "weight_decay": 0.1}),
    ],
)
@pytest.mark.parametrize("form", [np.float64, np.array])
def test_numpy_s_numbers_as_options_lift_nothing_to_float64(name, options, form) -> None:
    """Bit for bit what Python's numbers give; float32 times a NumPy float64 would be float64."""

    def formed(value):
        return tuple(map(formed, value)) if isinstance(value, tuple) else form(value)

    ends = []
    for given in (options, {key: formed(value) for key, value in options.items()}):
        w = parameter(500, dtype="float32")
        optimizer = getattr(optim, name)([w], **given)
        for _ in range(5):
            optimizer.step()
        ends.append(w.data)
        if given is not options:
            assert {type(optimizer.param_groups[0][key]) for key in given} <= {type(form(1)), tuple}
    np.testing.assert_array_equal(*ends)


def test_a_group_s_own_start_of_adagrad_s_sum_has_no_effect_as_in_torch() -> None:
    w = parameter(4, 5)
    twin = torch.nn.Parameter(torch.from_numpy(w.data.copy()))
    twin.grad = torch.from_numpy(w.grad.copy())
    for world, param in ((optim, w), (torch.optim, twin)):
        group = {"params": [param], "initial_accumulator_value": 3}
        world.Adagrad([group], lr=0.1, initial_accumulator_value=0.5).step()
    np.testing.assert_allclose(w.data, twin.detach().numpy(), rtol=1e-14)


def test_an_option_that_the_constructor_has_not_changes_nothing() -> None:
    """MomentGD has neither weight decay nor maximize, whatever notes a group carries."""
    a, b = parameter(5), parameter(5)
    optim.MomentGD([a]).step()
    optim.MomentGD([{"params": [b], "weight_decay": 0.5, "maximize": True}]).step()
    np.testing.assert_array_equal(a.data, b.data)


def test_a_dict_of_defaults_and_an_update_as_in_torch() -> None:
    class Mine(Optimizer):
        def _update(self, param, group, state) -> None:
            state["count"] = state.get("count", 0) + 1
            group["seen"] = state["count"]
            param.data -= group["lr"] * param.grad

    w = parameter(3)
    expected = w.data - 0.5 * w.grad
    optimizer = Mine([w], {"lr": 0.5})
    optimizer.step()
    np.testing.assert_array_equal(w.data, expected)
    assert optimizer.state[w] == {"count": 1}
    assert optimizer.param_groups[0]["seen"] == 1
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.state[w] == {"count": 1}


def test_without_a_formula_a_step_says_what_is_missing() -> None:
    class Mine(Optimizer):
        pass

    with pytest.raises(NotImplementedError, match="Mine has neither _rule nor _update"):
        Mine([parameter(3)], {}).step()


@pytest.mark.parametrize(
    ("ranges", "value", "message"),
    [
        (at_least_0("x"), -1, "x must be at least 0, got -1"),
        (at_least_0("x"), float("nan"), "x must be at least 0, got nan"),
        (at_least_0(x=BELOW_1), 1, r"x must lie in \[0, 1\), got 1"),
        (at_least_0(x=(BELOW_1, AT_LEAST_0)), (0.5, -1), r"x\[1\] must be at least 0, got -1"),
        (at_least_0(x=(BELOW_1,) * 3), (0.5, 0.5), "x must be three numbers, got"),
    ],
)
def test_ranges(ranges, value, message) -> None:
    with pytest.raises(ValueError, match=message):
        declare.check_ranges({"x": value}, ranges)
