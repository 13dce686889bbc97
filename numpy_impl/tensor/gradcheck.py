"""gradcheck: gradients beside finite differences, without torch."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from numpy_impl.grad_mode import no_grad
from numpy_impl.tensor.graph import run_backward
from numpy_impl.tensor.rows import dense
from numpy_impl.tensor.tensor import Tensor
from numpy_impl.tensor.views import arrays_changed
from numpy_impl.types import Array


class GradcheckError(RuntimeError):
    """A gradient that finite differences do not confirm."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool = False,
) -> bool:
    r"""Whether ``func``'s gradients are those of what it computes, by central differences.

    .. math::
        \frac{\partial y_i}{\partial x_j} \approx
        \frac{y_i(x + \epsilon e_j) - y_i(x - \epsilon e_j)}{2 \epsilon}

    must equal what backward gives for :math:`y_i`, for every output element and every element of
    every input that requires a gradient. Where ``func`` is a Module, for every parameter, too
    (which torch leaves out).

    Args:
        func: a Module, or any function of Tensors that returns a Tensor or several. It must give
            the same for the same inputs: seed a dropout anew in each call, or call ``eval()``.
        inputs: a Tensor, an array, or several; float64. Arrays of floats count as requiring a
            gradient.
        eps: the step of the differences.
        atol, rtol: ``|analytic - numeric| <= atol + rtol * |numeric|``.
        raise_exception: False returns False in place of raising.
        nondet_tol: how far gradients of two runs may lie apart.
        fast_mode: one random direction of inputs and outputs, in place of every element: two
            evaluations for each input, however large.

    Returns:
        True, or False with ``raise_exception=False``.

    Raises:
        GradcheckError: (a RuntimeError) naming the output, the input and the worst element.
        ValueError: if nothing requires a gradient.

    Source: https://pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html
    """
    given = list(inputs) if isinstance(inputs, Sequence) else [inputs]
    arguments = [_as_leaf(value) for value in given]
    leaves = {f"input {i}": value for i, value in enumerate(arguments) if _is_checked(value)}
    if hasattr(func, "named_parameters"):
        leaves |= {f"parameter {n}": p for n, p in func.named_parameters() if p.requires_grad}
    if not leaves:
        raise ValueError("gradcheck: no input requires a gradient, and func has no parameters")
    for name, leaf in leaves.items():
        if leaf.dtype != np.float64:
            text = f"gradcheck: {name} is {leaf.dtype}: differences by {eps:g} need float64"
            warnings.warn(text, stacklevel=2)
    try:
        _check(func, arguments, leaves, eps, atol, rtol, nondet_tol, fast_mode)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _as_leaf(value: Any) -> Any:
    """A Tensor to differentiate by, for an array of floats; anything else as it is."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return Tensor(value.copy(), requires_grad=True)
    return value


def _is_checked(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _outputs(func: Callable[..., Any], arguments: list[Any]) -> list[Tensor]:
    result = func(*arguments)
    several = result if isinstance(result, tuple | list) else [result]
    return [value for value in several if isinstance(value, Tensor)]


def _check(
    func: Callable[..., Any],
    arguments: list[Any],
    leaves: dict[str, Tensor],
    eps: float,
    atol: float,
    rtol: float,
    nondet_tol: float,
    fast_mode: bool,
) -> None:
    outputs = [value for value in _outputs(func, arguments) if value.data.dtype.kind == "f"]
    rng = np.random.default_rng(0)
    for o, output in enumerate(outputs):
        if not output.requires_grad:
            raise GradcheckError(f"gradcheck: output {o} does not require a gradient")
        upstreams = [_unit(rng, output.shape)] if fast_mode else list(_one_hot(output.shape))
        rows = [_gradients(output, upstream, leaves) for upstream in upstreams]
        again = _outputs(func, arguments)[o]
        for name, first, second in zip(
            ["the output", *leaves],
            [output.data, *rows[0]],
            [again.data, *_gradients(again, upstreams[0], leaves)],
            strict=True,
        ):
            if np.abs(first - second).max(initial=0) > nondet_tol:
                raise GradcheckError(
                    f"gradcheck: two runs with the same inputs differ in {name} (output {o})"
                )
        for i, (name, leaf) in enumerate(leaves.items()):
            moves = [_unit(rng, leaf.shape)] if fast_mode else list(_one_hot(leaf.shape))
            analytic = np.array([[(row[i] * move).sum() for move in moves] for row in rows])
            numeric = np.empty_like(analytic)
            for j, move in enumerate(moves):
                slope = _slope(func, arguments, leaf, move, eps, o)
                numeric[:, j] = [(slope * upstream).sum() for upstream in upstreams]
            _compare(o, name, output.shape, leaf.shape, analytic, numeric, atol, rtol, fast_mode)


def _gradients(output: Tensor, upstream: Array, leaves: dict[str, Tensor]) -> list[Array]:
    found = run_backward([output], [upstream.astype(output.dtype)], True, list(leaves.values()))
    pairs = zip(found, leaves.values(), strict=True)
    return [np.zeros(leaf.shape) if value is None else dense(value) for value, leaf in pairs]


def _slope(
    func: Callable[..., Any], arguments: list[Any], leaf: Tensor, move: Array, eps: float, o: int
) -> Array:
    """How output ``o`` changes as ``leaf`` moves."""
    before = leaf.data.copy()
    ends = []
    try:
        for step in (eps, -eps):
            leaf.data[...] = before + step * move
            arrays_changed()
            with no_grad():
                outputs = [v for v in _outputs(func, arguments) if v.data.dtype.kind == "f"]
            ends.append(outputs[o].data.astype(np.float64))
    finally:
        leaf.data[...] = before
        arrays_changed()
    slope: Array = (ends[0] - ends[1]) / (2 * eps)
    return slope


def _unit(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """A direction of length 1."""
    values = rng.standard_normal(shape)
    return np.asarray(values / max(float(np.sqrt((values**2).sum())), 1e-300))


def _one_hot(shape: tuple[int, ...]) -> Iterator[Array]:
    for index in np.ndindex(*shape):
        values = np.zeros(shape)
        values[index] = 1
        yield values


def _compare(
    o: int,
    name: str,
    output_shape: tuple[int, ...],
    leaf_shape: tuple[int, ...],
    analytic: Array,
    numeric: Array,
    atol: float,
    rtol: float,
    fast_mode: bool,
) -> None:
    if not analytic.size:
        return
    excess = np.abs(analytic - numeric) - (atol + rtol * np.abs(numeric))
    excess[~np.isfinite(excess)] = np.inf
    if excess.max() <= 0:
        return
    i, j = np.unravel_index(int(np.argmax(excess)), excess.shape)
    where = "along a random direction"
    if not fast_mode:
        y = tuple(int(k) for k in np.unravel_index(int(i), output_shape)) if output_shape else ()
        x = tuple(int(k) for k in np.unravel_index(int(j), leaf_shape)) if leaf_shape else ()
        where = f"d output{list(y)} / d {name.split()[0]}{list(x)}"
    raise GradcheckError(
        f"gradcheck: the gradient of output {o} for {name} is wrong in "
        f"{int((excess > 0).sum())} of {excess.size} places; worst: {where} is "
        f"{numeric[i, j]:.6g} by differences, {analytic[i, j]:.6g} by backward"
    )
