"""Each algorithm's steps, and what the base does around them."""

import copy

import numpy as np
import pytest
import torch

import numpy_impl
import torch_ref
from numpy_impl import nn, optim
from numpy_impl.kernels import pieces
from numpy_impl.tensor.rows import dense
from parity_tests.optim.cases import (
    CASES,
    KEEPERS,
    SMALL_PIECES,
    Case,
    parameters,
)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch) -> None:
    monkeypatch.setattr(pieces, "_SIZE", SMALL_PIECES)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_agree_with_the_twin(case, dtype) -> None:
    for result in case.measure(dtype):
        result.check(case.tolerance(dtype, result), f"{case} {dtype}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_on_an_objective_agree_with_the_twin(case) -> None:
    for result in case.measure_objective():
        result.check(case.tolerance("float64", result), f"{case}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_updates_in_place_and_leaves_gradients_alone(case) -> None:
    ours, twins = parameters("float32", case.shapes)
    case.give_gradients(ours, twins, np.random.default_rng(2))
    arrays = [p.data for p in ours]
    grads = copy.deepcopy([p.grad for p in ours])
    case.build(optim, ours).step()
    for parameter, array, grad in zip(ours, arrays, grads, strict=True):
        assert parameter.data is array
        assert array.dtype == np.float32
        if grad is not None:
            np.testing.assert_array_equal(dense(parameter.grad), dense(grad))


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


FAR_APART = [
    [1e4, 1e-4],
    [1e-4, 1e4, 1e-4, 0.0],
    [1e-22, 1e-20, 3e-19],
    [1e20, 1.0, 1.0],
    [1e38, 1e-38, 1e-44],
    [np.inf, 1.0],
    [-np.inf, 0.0, 1.0],
    [np.nan, 1.0],
    [1e-42, 1e-42, 0.0],
    [0.0, 0.0],
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "case",
    [
        Case("Adam", f"lr=0.1, betas=({beta1}, {beta2}){more}")
        for beta1 in (0.0, 0.3, 0.5, 0.9)
        for beta2 in (0.0, 0.999)
        for more in ("", ", amsgrad=True, weight_decay=0.1")
    ]
    + [
        Case("SGD", "lr=0.1"),
        Case("SGD", "lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.1"),
        Case("SGD", "lr=0.1, momentum=0.9, nesterov=True"),
        Case("MomentGD", "lr=0.1, mu=0.9"),
        Case("Adagrad", "lr=0.1"),
        Case("RMSprop", "lr=0.1"),
        Case("RMSprop", "lr=0.1, momentum=0.9"),
        Case("Adadelta", ""),
        Case("Adamax", "lr=0.1"),
        Case("NAdam", "lr=0.1"),
        Case("RAdam", "lr=0.1"),
        Case("RAdam", "lr=0.1, betas=(0.3, 0.99)"),
        Case("Rprop", "lr=0.1"),
        Case("ASGD", "lr=0.1, t0=0"),
        Case("Adafactor", "lr=0.1"),
    ],
    ids=str,
)
def test_gradients_far_apart_denormal_or_not_finite(case, dtype) -> None:
    """State and parameters to their last digits, however small: no absolute tolerance.

    And no warning of what overflows or is no number, as in torch.
    """
    for gradients in FAR_APART:
        ours = nn.Parameter(np.linspace(-1, 1, 19).astype(dtype))
        twin = torch.nn.Parameter(torch.from_numpy(ours.data.copy()))
        optimizer, other = case.build(optim, [ours]), case.build(torch_ref.optim, [twin])
        for value in gradients:
            ours.grad = np.full(19, value, dtype)
            twin.grad = torch.from_numpy(ours.grad.copy())
            optimizer.step()
            other.step()
        # 1e-44: a few of the smallest float32
        rtol, atol = (1e-12, 0) if dtype == "float64" else (5e-6, 1e-44)
        np.testing.assert_allclose(ours.data, twin.detach().numpy(), rtol, atol)
        for key, value in other.state[twin].items():
            found, name = optimizer.state[ours][key], f"{key} after {gradients}"
            np.testing.assert_allclose(found, value, rtol, atol, err_msg=name)


@pytest.mark.parametrize("case", [*KEEPERS[:-2], Case("SGD", "")], ids=str)
def test_a_closure_has_gradients_also_under_no_grad(case) -> None:
    """The mode inside is the same whatever it is outside; the update keeps nothing."""
    modes = []
    layer, twin = nn.Linear(3, 2), torch.nn.Linear(3, 2)
    for ours, theirs in zip(layer.parameters(), twin.parameters(), strict=True):
        ours.data[...] = theirs.detach().numpy()
    optimizer = case.build(optim, layer.parameters())
    other = case.build(torch_ref.optim, twin.parameters())
    x = np.random.default_rng(7).standard_normal((4, 3)).astype(np.float32)

    def closure():
        modes.append(numpy_impl.is_grad_enabled())
        optimizer.zero_grad()
        loss = (layer(numpy_impl.tensor(x)) ** 2).sum()
        loss.backward()
        return loss

    def twin_closure():
        other.zero_grad()
        loss = (twin(torch.from_numpy(x)) ** 2).sum()
        loss.backward()
        return loss

    for enabled in (False, True):
        with numpy_impl.set_grad_enabled(enabled), torch.set_grad_enabled(enabled):
            loss = optimizer.step(closure)
            np.testing.assert_allclose(loss.item(), other.step(twin_closure).item(), rtol=1e-5)
            assert numpy_impl.is_grad_enabled() is enabled
    assert modes == [True, True]
    for ours, theirs in zip(layer.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(ours.data, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_an_update_runs_without_gradients_and_an_error_puts_the_mode_back() -> None:
    modes = []

    class Mine(optim.Optimizer):
        def _update(self, param, group, state) -> None:
            modes.append(numpy_impl.is_grad_enabled())
            raise ZeroDivisionError

    parameter = nn.Parameter(np.ones(1))
    parameter.grad = np.ones(1)
    with pytest.raises(ZeroDivisionError):
        Mine([parameter], {}).step()
    assert modes == [False]
    assert numpy_impl.is_grad_enabled()


def named(nn) -> list:
    return list(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).named_parameters())


@pytest.mark.parametrize("as_groups", [False, True])
def test_named_parameters(as_groups) -> None:
    found = []
    for world, module in ((optim, nn), (torch_ref.optim, torch.nn)):
        pairs = named(module)
        params = [{"params": iter(pairs[:2]), "lr": 0.5}, {"params": pairs[2:]}]
        optimizer = world.SGD(params if as_groups else iter(pairs), lr=0.1)
        for group, part in zip(
            optimizer.param_groups, (pairs[:2], pairs[2:]) if as_groups else (pairs,), strict=True
        ):
            assert [id(p) for p in group["params"]] == [id(p) for _, p in part]
        # names come from a state that has them, and stay where it has none
        state = optimizer.state_dict()
        names = [group["param_names"] for group in state["param_groups"]]
        state["param_groups"][0]["param_names"] = [name + "!" for name in names[0]]
        optimizer.load_state_dict(state)
        state["param_groups"][0].pop("param_names")
        optimizer.load_state_dict(state)
        found.append((names, optimizer.state_dict(), repr(optimizer)))
    assert found[0] == found[1]
    assert found[0][0][0][:2] == ["0.weight", "0.bias"]


@pytest.mark.parametrize("case", [Case("SGD", "lr=0.1"), Case("Adam", "lr=0.1")], ids=str)
def test_a_parameter_twice_in_a_group_is_warned_of_and_moved_twice(case) -> None:
    results = []
    for world, parameter in (
        (optim, nn.Parameter(np.ones(2))),
        (torch_ref.optim, torch.nn.Parameter(torch.ones(2).double())),
    ):
        text = "hold a Parameter twice in one group" if world is optim else "duplicate parameters"
        with pytest.warns(UserWarning, match=text):
            optimizer = case.build(world, [parameter, parameter])
        for _ in range(3):
            grad = np.full(2, 0.5)
            parameter.grad = grad if world is optim else torch.from_numpy(grad)
            optimizer.step()
        state = optimizer.state_dict()
        results.append((parameter.data.tolist(), state["param_groups"], list(state["state"])))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-12)
    assert results[0][1:] == results[1][1:]


def test_unknown_options_of_a_group_are_kept() -> None:
    """As torch does: schedules and users keep notes of their own there."""
    ours = optim.SGD([{"params": [P], "note": "mine"}], lr=0.1)
    twin = torch_ref.optim.SGD(
        [{"params": [torch.nn.Parameter(torch.ones(2))], "note": "mine"}], lr=0.1
    )
    assert ours.state_dict() == twin.state_dict()
    assert repr(ours) == repr(twin)


def test_the_caller_s_group_is_left_alone() -> None:
    given = {"params": iter([P]), "lr": 0.3}
    optimizer = optim.SGD([given])
    optimizer.param_groups[0]["lr"] = 0.1
    assert given["lr"] == 0.3
    assert set(given) == {"params", "lr"}


def test_hooks_around_a_step() -> None:
    found = []
    for ours in (True, False):
        calls: list = []
        parameter = nn.Parameter(np.ones(1)) if ours else torch.nn.Parameter(torch.ones(1))
        optimizer = (optim if ours else torch_ref.optim).SGD([parameter], lr=1.0)

        def before(optimizer, args, kwargs, calls=calls):
            calls.append(("before", len(args), sorted(kwargs)))

        def after(optimizer, args, kwargs, calls=calls):
            calls.append(("after", len(args), sorted(kwargs)))

        first = optimizer.register_step_pre_hook(before)
        last = optimizer.register_step_post_hook(after)
        optimizer.step()
        optimizer.step(lambda: 1.0)
        changing = optimizer.register_step_pre_hook(
            lambda optimizer, args, kwargs: ((optimizer, lambda: 5.0), {})
        )
        calls.append(optimizer.step(closure=lambda: 1.0))
        changing.remove()
        first.remove()
        calls.append(optimizer.step(closure=lambda: 1.0))
        last.remove()
        last.remove()
        optimizer.step()
        found.append(calls)
    assert found[0] == found[1]
    optimizer = optim.SGD([nn.Parameter(np.ones(1))])
    optimizer.register_step_pre_hook(lambda *_: 3)
    with pytest.raises(RuntimeError, match=r"must return None or \(args, kwargs\), got 3"):
        optimizer.step()


def test_a_step_of_one_s_own_has_hooks_too() -> None:
    calls = []

    class Mine(optim.Optimizer):
        def step(self, closure=None):
            """My step."""
            calls.append("step")
            return 4

    optimizer = Mine([nn.Parameter(np.ones(1))], {"lr": 0.1})
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    assert optimizer.step() == 4
    assert calls == ["before", "step", "after"]
    assert Mine.step.__doc__ == "My step."


def test_zero_grad() -> None:
    parameter = nn.Parameter(np.zeros(2))
    parameter.grad = np.ones(2)
    optimizer = optim.SGD([parameter])
    optimizer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(parameter.grad, [0, 0])
    optimizer.zero_grad()
    assert parameter.grad is None


P, P2 = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))


def group(name: str, **options):
    """An optimizer whose second group has the options."""
    return getattr(optim, name)([{"params": [P]}, {"params": [P2], **options}])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.SGD([], lr=1), ValueError, "params must not be empty"),
        (lambda: optim.SGD([P], lr=-1), ValueError, "lr must be at least 0, got -1"),
        (lambda: optim.SGD([P], momentum=-1), ValueError, "momentum must be at least 0"),
        (lambda: optim.SGD([P], weight_decay=-1), ValueError, "weight_decay must be at least 0"),
        (lambda: optim.SGD([P], nesterov=True), ValueError, "nesterov needs momentum above 0"),
        (lambda: optim.SGD([P], differentiable=True), ValueError, "differentiable must be False"),
        (lambda: group("SGD", lr="0.1"), ValueError, "lr must be at least 0, got '0.1'"),
        (
            lambda: optim.SGD([{"params": [P]}, {"params": P}]),
            ValueError,
            "each Parameter in one group, one is in two",
        ),
        (lambda: optim.SGD([np.ones(2)]), TypeError, "must hold Parameters, got ndarray: nn.Par"),
        (lambda: optim.SGD([("a", np.ones(2))]), TypeError, "must hold Parameters, got ndarray"),
        (lambda: optim.SGD({P}), TypeError, "must have an order, got a set"),
        (lambda: optim.SGD([{"params": {P}}]), TypeError, "must have an order, got a set"),
        (lambda: optim.SGD([{"params": [P]}, P]), TypeError, "must be a dict, got Parameter"),
        (lambda: optim.SGD([{"lr": 1.0}]), ValueError, r"must have 'params', got \['lr'\]"),
        (lambda: optim.SGD([("a", P), P2]), ValueError, "names or none, 1 of 2 have"),
        (
            lambda: optim.SGD([{"params": [("a", P)]}, {"params": [P2]}]),
            ValueError,
            "names in every group or in none",
        ),
        (lambda: group("SGD", lr=-1), ValueError, "lr must be at least 0, got -1"),
        (lambda: group("SGD", momentum=-1), ValueError, "momentum must be at least 0"),
        (lambda: group("SGD", weight_decay=-1), ValueError, "weight_decay must be at least 0"),
        (lambda: group("SGD", differentiable=True), ValueError, "differentiable must be False"),
        (lambda: group("Adam", lr=float("nan")), ValueError, "lr must be at least 0, got nan"),
        (lambda: group("Adam", eps=-1), ValueError, "eps must be at least 0, got -1"),
        (lambda: group("Adam", betas=(-0.1, 0.9)), ValueError, r"betas\[0\] must lie in \[0, 1\)"),
        (lambda: group("Adam", betas=0.9), ValueError, "betas must be two numbers, got 0.9"),
        (lambda: group("Adam", weight_decay=-1), ValueError, "weight_decay must be at least 0"),
        (lambda: group("MomentGD", mu_decay=-1), ValueError, "mu_decay must be at least 0"),
        (lambda: optim.SGD(P), TypeError, "must be an iterable of Parameters or dicts"),
        (lambda: optim.SGD(np.ones(2)), TypeError, "must be an iterable of Parameters or dicts"),
        (lambda: optim.SGD(torch.ones(2)), TypeError, "must be an iterable of Parameters or di"),
        (lambda: optim.SGD([torch.ones(2)]), TypeError, "must hold Parameters, got Tensor: nn.P"),
        (lambda: optim.SGD(numpy_impl.ones(2)), TypeError, "must be an iterable of Parameters or"),
        (lambda: optim.SGD([P * 2]), ValueError, "must hold leaves"),
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


def test_any_leaf_can_be_optimized() -> None:
    """torch programs do so with Tensors that they make themselves."""
    ends = []
    for world, optimizers in ((numpy_impl, optim), (torch, torch_ref.optim)):
        x = world.tensor([3.0, -2.0], dtype=world.float64, requires_grad=True)
        optimizer = optimizers.Adam([x], lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            (x * x).sum().backward()
            optimizer.step()
        ends.append(x.tolist())
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-12)
