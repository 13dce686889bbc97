"""Limited-memory BFGS."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl.grad_mode import enable_grad, no_grad
from numpy_impl.kernels.elementwise import silently
from numpy_impl.optim.declare import Range, at_least_0
from numpy_impl.optim.optimizer import Array, Optimizer, in_plain_numbers
from numpy_impl.optim.wolfe import Point, strong_wolfe
from numpy_impl.tensor.rows import dense
from numpy_impl.tensor.tensor import Tensor
from numpy_impl.tensor.views import arrays_changed

_LINE_SEARCH = Range(
    "be 'strong_wolfe' or None", lambda value: value is None or value == "strong_wolfe"
)


class LBFGS(Optimizer):
    r"""A quasi-Newton method for whole batches: :math:`x = x + t d` along :math:`d = -H g`.

    H estimates the inverse Hessian, from the last steps :math:`s_i` and what each changed of the
    gradient, :math:`y_i`, with :math:`\rho_i = 1 / y_i^T s_i` and
    :math:`\gamma = y^T s / y^T y` of the last::

        q = -g
        for i from the last to the first:  a_i = rho_i s_i.q;  q = q - a_i y_i
        d = gamma q
        for i from the first to the last:  d = d + (a_i - rho_i y_i.d) s_i

    The first step goes along -g, with :math:`t = \min(1, 1/|g|_1)\,\eta`, later ones start from
    :math:`t = \eta`. With ``"strong_wolfe"`` a line search finds t.

    ``step(closure)`` makes up to ``max_iter`` iterations, and needs the closure, which it calls
    again and again: it must forget the gradients, compute the loss, and call ``backward()``.

    Args:
        params: parameters, one group; one without a gradient counts as having zeros.
        lr: :math:`\eta`.
        max_iter: iterations a step.
        max_eval: calls of the closure a step; ``max_iter * 5 // 4`` unless given.
        tolerance_grad: stop where no gradient is larger.
        tolerance_change: stop where no parameter, or the loss, changes by more.
        history_size: how many pairs :math:`s_i, y_i` are kept.
        line_search_fn: ``"strong_wolfe"`` or None.

    Raises:
        ValueError: for a negative lr, a line search of another name, or several groups.

    The state belongs to all parameters; it is kept at the first, as in torch.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.LBFGS.html;
    Nocedal and Wright 2006, algorithms 7.4, 7.5, 3.5, https://doi.org/10.1007/978-0-387-40065-5
    """

    _ranges = at_least_0("lr", line_search_fn=_LINE_SEARCH)

    def __init__(
        self,
        params: Any,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        super().__init__(params, locals())
        if len(self.param_groups) != 1:
            raise ValueError(f"params must be one group for LBFGS, got {len(self.param_groups)}")

    @no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:
        """Up to ``max_iter`` iterations; returns the loss at the start.

        Args:
            closure: runs the model forward and backward and returns the loss.
        """
        warnings = np.geterr()

        def evaluate() -> Any:
            with enable_grad(), np.errstate(**warnings):
                return closure()

        group = in_plain_numbers(self.param_groups[0])
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        loss = evaluate()
        state["func_evals"] += 1
        g = _flat_gradient(group["params"])
        if not _largest(g) <= group["tolerance_grad"]:
            _iterate(evaluate, group, state, float(loss), g)
        return loss


@silently
def _iterate(
    closure: Callable[[], Any], group: dict[str, Any], state: dict[str, Any], loss: float, g: Array
) -> None:
    params, lr, tolerance = group["params"], group["lr"], group["tolerance_change"]

    def evaluate(t: Any) -> tuple[float, Array]:
        """The loss and its gradient at x + t d, without going there."""
        kept = [param._data.copy() for param in params]
        _move(params, t, d)
        found = float(closure()), _flat_gradient(params)
        for param, values in zip(params, kept, strict=True):
            param._data[...] = values
        arrays_changed()
        return found

    count = 1
    for i in range(1, group["max_iter"] + 1):
        state["n_iter"] += 1
        d = state["d"] = _direction(state, g, group["history_size"])
        state["prev_flat_grad"], state["prev_loss"] = g, loss
        t = min(1.0, 1.0 / np.abs(g).sum()) * lr if state["n_iter"] == 1 else lr
        state["t"] = t
        here = Point(0, loss, g, g.dot(d))
        if here.slope > -tolerance:
            return
        evaluations = 0
        if group["line_search_fn"] is not None:
            most = group["max_eval"] - count
            (t, loss, g, _), evaluations = strong_wolfe(evaluate, d, here, t, tolerance, most)
            state["t"] = t
            _move(params, t, d)
        else:
            _move(params, t, d)
            if i < group["max_iter"]:  # nobody would look at the last
                loss, g, evaluations = float(closure()), _flat_gradient(params), 1
        count += evaluations
        state["func_evals"] += evaluations
        if (
            count >= group["max_eval"]
            or _largest(g) <= group["tolerance_grad"]
            or _largest(d * t) <= tolerance
            or abs(loss - here.loss) < tolerance
        ):
            return


def _direction(state: dict[str, Any], g: Array, history_size: int) -> Array:
    """The direction -H g, after what the last step adds to H."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return -g
    ys, ss, rhos = state["old_dirs"], state["old_stps"], state["ro"]
    y, s = g - state["prev_flat_grad"], state["d"] * state["t"]
    product = y.dot(s)
    if product > 1e-10:
        if len(ys) == history_size:
            for kept in (ys, ss, rhos):
                kept.pop(0)
        ys.append(y)
        ss.append(s)
        rhos.append(1.0 / product)
        state["H_diag"] = product / y.dot(y)
    a = state.setdefault("al", [None] * history_size)
    q = -g
    for i in reversed(range(len(ys))):
        a[i] = ss[i].dot(q) * rhos[i]
        q -= a[i] * ys[i]
    d: Array = q * state["H_diag"]
    for i in range(len(ys)):
        d += (a[i] - ys[i].dot(d) * rhos[i]) * ss[i]
    return d


def _flat_gradient(params: list[Tensor]) -> Array:
    grads = [np.zeros_like(p._data) if p._grad is None else dense(p._grad) for p in params]
    return np.concatenate([grad.reshape(-1) for grad in grads])


def _move(params: list[Tensor], t: Any, d: Array) -> None:
    """``x += t d``, each parameter its part."""
    start = 0
    for param in params:
        end = start + param._data.size
        param._data[...] += (t * d[start:end]).reshape(param._data.shape)
        start = end
    arrays_changed()


def _largest(values: Array) -> Any:
    return np.abs(values).max()
