"""L-BFGS, whose step calls the closure again and again."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import torch_ref
from numpy_impl import nn, optim
from parity_tests.optim.cases import NETWORK, STEPS, Case, parameters, states, torch_state
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, Tolerance
from torch_ref.convert import to_numpy


def regression(params: Any) -> Any:
    """A convex objective, the mean of e^2/2 + log cosh(e), and a ridge: rounding does not grow."""
    rng = np.random.default_rng(6)
    x, target = rng.standard_normal((30, 4)), rng.standard_normal((30, 3))
    is_ours = isinstance(params[0], nn.Parameter)

    def call() -> Any:
        weight, other = (p.data if is_ours else p.detach().numpy() for p in params)
        error = x @ (weight @ np.eye(5, 3)) - target + other[0]
        upstream = (error + np.tanh(error)) / error.size
        grads = [x.T @ upstream @ np.eye(3, 5) + 0.02 * weight, 0.02 * other]
        grads[1][0] += upstream.sum(0)
        for param, grad in zip(params, grads, strict=True):
            grad = grad.astype(to_numpy(param).dtype)
            param.grad = grad if is_ours else torch.from_numpy(grad)
        ridge = 0.01 * ((weight**2).sum() + (other**2).sum())
        return (error**2 / 2 + np.log(np.cosh(error))).mean() + ridge

    return call


class Convex(Case):
    """A case whose steps are those down the convex objective.

    The parameters alone are compared: where it has converged, the state is made of differences that
    are all rounding, and has a test below. In float32 they soon are, and one step is compared.
    """

    def measure(self, dtype: str) -> list[Result]:
        return self.descend(regression, dtype, STEPS if dtype == "float64" else 1)[0]

    def tolerance(self, dtype: str, result: Result) -> Tolerance:
        if dtype == "float32":  # a line search divides by differences of losses, and loses digits
            return Tolerance(rtol=1e-4, atol=1e-4, scaled=True)
        if "strong_wolfe" in self.args:
            return tolerance(dtype, result.direction)
        return super().tolerance(dtype, result)


CASES = [
    Convex("LBFGS", args)
    for args in (
        "",
        "lr=0.1",
        "lr=0.3, max_iter=3, history_size=2",
        "max_iter=1",
        "max_eval=3",
        "tolerance_grad=1e-2",
        "lr=0.2, tolerance_change=1e-3",
        "line_search_fn='strong_wolfe'",
        "lr=0.1, max_iter=4, history_size=3, line_search_fn='strong_wolfe'",
        "lr=100, max_iter=7, line_search_fn='strong_wolfe'",
        "lr=1e-3, max_iter=1, max_eval=30, line_search_fn='strong_wolfe'",
        "max_iter=10, max_eval=4, line_search_fn='strong_wolfe'",
    )
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_steps_on_an_objective_agree_with_the_twin(case, dtype) -> None:
    for result in case.measure(dtype):
        result.check(case.tolerance(dtype, result), f"{case} {dtype}")


# but for one that has converged in its first step
@pytest.mark.parametrize("case", [c for c in CASES if c.args != "line_search_fn='strong_wolfe'"])
def test_the_state_is_the_twin_s(case) -> None:
    *_, optimizer, twin = started(case, steps=1 if "max_iter" not in case.args else 2)
    for result in states(optimizer, twin):
        result.check(case.tolerance("float64", result), f"{case}")


def rosenbrock(param: Any, calls: list) -> Any:
    """A valley that bends, through which a line search must find its way."""

    def call() -> Any:
        x, y = to_numpy(param).tolist() if isinstance(param, torch.Tensor) else param.data.tolist()
        grad = [-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)]
        make = torch.tensor if isinstance(param, torch.Tensor) else np.array
        param.grad = make(grad, dtype=param.dtype)
        calls.append((x, y))
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    return call


@pytest.mark.parametrize("start", [(-1.2, 1.0), (3.0, -4.0), (0.0, 5.0), (30.0, 0.1)])
@pytest.mark.parametrize("lr", [1e-3, 0.1, 1, 30])
def test_the_line_search_goes_the_twin_s_way(start, lr) -> None:
    """Every point at which the objective was looked at, to the minimum."""
    found = []
    for world, param in (
        (optim, nn.Parameter(np.array(start))),
        (torch_ref.optim, torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))),
    ):
        calls: list = []
        optimizer = world.LBFGS([param], lr=lr, line_search_fn="strong_wolfe")
        for _ in range(5):
            optimizer.step(rosenbrock(param, calls))
        found.append(calls)
    assert len(found[0]) == len(found[1])
    # rounding grows on the way: each point is computed from all before it
    np.testing.assert_allclose(np.array(found[0]), np.array(found[1]), rtol=1e-7, atol=1e-9)
    assert lr < 0.1 or np.allclose(found[0][-1], 1, atol=1e-3)


def started(case: Case, steps: int = 2) -> tuple[Any, Any, Any, Any]:
    ours, twins = parameters("float64", NETWORK)
    optimizer, twin = case.build(optim, ours), case.build(torch_ref.optim, twins)
    for _ in range(steps):
        optimizer.step(regression(ours))
        twin.step(regression(twins))
    return ours, twins, optimizer, twin


KEEPER = Case("LBFGS", "lr=0.3, max_iter=3, history_size=4")


def test_a_resumed_run_is_the_uninterrupted_one() -> None:
    ours, _, optimizer, _ = started(KEEPER)
    others = [nn.Parameter(p.data.copy()) for p in ours]
    other = KEEPER.build(optim, others)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    copies = copy.deepcopy((ours, optimizer))
    pickled = pickle.loads(pickle.dumps((ours, optimizer)))
    for _ in range(4):
        for params, made in ((ours, optimizer), (others, other), copies, pickled):
            made.step(regression(params))
    for params, made in ((others, other), copies, pickled):
        assert made.state_dict()["state"][0]["n_iter"] == optimizer.state[ours[0]]["n_iter"] > 10
        for our, copied in zip(ours, params, strict=True):
            np.testing.assert_array_equal(our.data, copied.data)


def test_a_state_goes_to_torch_and_back() -> None:
    ours, twins, optimizer, twin = started(KEEPER)
    others = [nn.Parameter(to_numpy(p)) for p in twins]
    back = [torch.nn.Parameter(torch.from_numpy(p.data.copy())) for p in ours]
    other, resumed = KEEPER.build(optim, others), KEEPER.build(torch_ref.optim, back)
    other.load_state_dict(twin.state_dict())
    resumed.load_state_dict(torch_state(optimizer.state_dict()))
    for _ in range(5):
        twin.step(regression(twins))
        other.step(regression(others))
        resumed.step(regression(back))
    for params in (others, back):
        for param, theirs in zip(params, twins, strict=True):
            values = param.data if isinstance(param, nn.Parameter) else to_numpy(param)
            np.testing.assert_allclose(values, to_numpy(theirs), rtol=1e-10, atol=1e-12)


def test_float32_parameters_of_any_layout_and_one_without_a_gradient() -> None:
    """The state is float32, and a parameter without a gradient counts as flat."""
    rng = np.random.default_rng(2)
    values = rng.standard_normal((3, 4)).astype("float32")
    first, idle = nn.Parameter(np.asfortranarray(values)), nn.Parameter(np.ones((), np.float32))
    twins = torch.nn.Parameter(torch.tensor(values)), torch.nn.Parameter(torch.ones(()))
    optimizer, twin = optim.LBFGS([first, idle]), torch_ref.optim.LBFGS(twins)
    scales = np.arange(1, 13, dtype="float32").reshape(3, 4)

    def ours() -> float:
        first.grad = scales * first.data
        return float((scales * first.data**2).sum() / 2)

    def theirs() -> Any:
        twins[0].grad = torch.tensor(scales) * twins[0].detach()
        return (torch.tensor(scales) * twins[0].detach() ** 2).sum() / 2

    for _ in range(2):
        np.testing.assert_allclose(optimizer.step(ours), twin.step(theirs), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(first.data, to_numpy(twins[0]), atol=1e-4)
    assert idle.data == 1
    state = optimizer.state[first]
    assert {state[key].dtype for key in ("d", "prev_flat_grad", "H_diag")} == {np.dtype("float32")}
    assert {value.dtype for value in state["old_dirs"] + state["ro"]} == {np.dtype("float32")}


def test_one_group_and_a_regression() -> None:
    params = [nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))]
    with pytest.raises(ValueError, match="params must be one group for LBFGS, got 2"):
        optim.LBFGS([{"params": [p]} for p in params])
    step: Any = optim.LBFGS(params).step
    with pytest.raises(TypeError, match="closure"):
        step()


@pytest.mark.filterwarnings("error")
def test_a_closure_warns_as_it_does_elsewhere_and_the_step_does_not() -> None:
    """An objective that is not finite; what the user's own code divides by 0 is still said."""
    param = nn.Parameter(np.full(2, 1e200))
    optimizer = optim.LBFGS([param], lr=1e200)

    def infinite() -> float:
        param.grad = np.full(2, 1e300)
        return float("inf")

    optimizer.step(infinite)
    assert not np.isfinite(param.data).any()
    with pytest.raises(RuntimeWarning, match="divide by zero"):
        optimizer.step(lambda: np.ones(1) / np.zeros(1))
