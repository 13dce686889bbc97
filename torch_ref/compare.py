"""Run a part and its PyTorch twin, and compare everything that comes out.

``run_module`` and ``run_loss`` return one :class:`Result` for every array: outputs, input
gradients, parameter gradients, buffers. ``Result.check`` raises with the worst element.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from numpy_impl.tensor.rows import dense
from torch_ref.convert import to_numpy, to_torch

Array = np.ndarray
Direction = Literal["forward", "input_grad", "param_grad", "buffer", "step"]


@dataclass(frozen=True)
class Tolerance:
    """``|ours - twin| <= rtol * |twin| + atol * scale``.

    ``scale`` is 1, or with ``scaled`` the largest absolute value of the twin's array where that
    is above 1: the rounding of a long sum is as large as its terms, however small their sum.
    """

    rtol: float
    atol: float
    scaled: bool = False

    def allowed(self, twin: Array) -> Array:
        scale = 1.0
        if self.scaled and twin.size:
            scale = max(1.0, float(np.max(np.abs(twin), initial=0, where=np.isfinite(twin))))
        return self.rtol * np.abs(twin) + self.atol * scale


@dataclass(frozen=True)
class Result:
    """One array as NumPy computed it beside the twin's."""

    name: str
    direction: Direction
    ours: Array
    twin: Array

    def __post_init__(self) -> None:
        for side, value in (("ours", self.ours), ("twin", self.twin)):
            if not isinstance(value, np.ndarray | np.generic):
                raise AssertionError(f"{self.name}: {side} is {value!r}, not an array")

    def error(self) -> float:
        """Largest absolute difference, over the largest value of the twin where above 1."""
        if self.ours.shape != self.twin.shape:
            return float("inf")
        if not self.ours.size:
            return 0.0
        difference = _difference(self.ours, self.twin)
        return float(difference.max() / max(1.0, np.abs(_finite(self.twin)).max()))

    def used(self, tolerance: Tolerance) -> float:
        """How much of ``tolerance`` the worst element uses: above 1 is a failure."""
        if self.ours.shape != self.twin.shape:
            return float("inf")
        if not self.ours.size:
            return 0.0
        difference = _difference(self.ours, self.twin)
        allowed = tolerance.allowed(_finite(self.twin.astype(np.float64)))
        # a tolerance of 0, bit for bit, is not used up by no difference
        share = np.divide(difference, allowed, out=np.zeros_like(difference), where=difference > 0)
        return float(share.max())

    def check(self, tolerance: Tolerance, case: str = "") -> None:
        """Raise AssertionError with the worst element unless shape, dtype and values agree."""
        where = f"{case}: {self.name}" if case else self.name
        if self.ours.shape != self.twin.shape or self.ours.dtype != self.twin.dtype:
            raise AssertionError(
                f"{where}: ours is {self.ours.dtype}{self.ours.shape}, "
                f"the twin {self.twin.dtype}{self.twin.shape}"
            )
        if not self.ours.size:
            return
        twin = self.twin.astype(np.float64)
        difference = _difference(self.ours, self.twin)
        allowed = np.where(np.isfinite(twin), tolerance.allowed(twin), 0.0)
        excess = np.where(difference <= allowed, -1.0, difference - allowed)
        if excess.max() < 0:
            return
        index = np.unravel_index(int(np.argmax(excess)), excess.shape)
        ours_at, twin_at, off = self.ours[index], self.twin[index], float(difference[index])
        relative = off / abs(float(twin_at)) if twin_at else float("inf")
        ulp = float("nan")
        if self.twin.dtype.kind == "f":
            ulp = off / float(np.spacing(np.abs(twin_at)))
        raise AssertionError(
            f"{where}: {int((excess >= 0).sum())} of {excess.size} elements differ; worst at "
            f"{tuple(int(i) for i in index)}: ours {ours_at.item()!r}, twin {twin_at.item()!r}, "
            f"absolute {off:.3g}, relative {relative:.3g}, {ulp:.3g} ULP; "
            f"allowed {float(allowed[index]):.3g} (rtol {tolerance.rtol:g}, "
            f"atol {tolerance.atol:g}{' scaled' if tolerance.scaled else ''})"
        )


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, 0)


def _difference(ours: Array, twin: Array) -> Array:
    """|ours - twin| in float64; equal infinities and NaNs differ by 0, unequal ones by inf."""
    a, b = ours.astype(np.float64), twin.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    finite = np.isfinite(a) & np.isfinite(b)
    return np.where(same, 0.0, np.where(finite, np.abs(_finite(a) - _finite(b)), np.inf))


def random_upstream(output: Any, rng: np.random.Generator) -> Any:
    """A random gradient for ``output``, never ones: those hide errors (softmax, BatchNorm)."""
    if isinstance(output, tuple):
        return tuple(random_upstream(part, rng) for part in output)
    if output is None or output.dtype.kind != "f":
        return None
    return np.asarray(rng.standard_normal(output.shape)).astype(output.dtype)


def run_module(
    ours: Any,
    twin: torch.nn.Module,
    inputs: Sequence[Array],
    rng: np.random.Generator,
    options: dict[str, Any] | None = None,
) -> list[Result]:
    """Forward and backward through a NumPy module and its twin with the same random upstream.

    Args:
        ours: a ``numpy_impl.nn.Module`` with the twin's weights and mode.
        twin: the torch module.
        inputs: NumPy arrays, or tuples of them; gradients are compared for the floating-point ones.
        rng: draws the upstream gradient.
        options: keyword arguments of the call, constants.
    """
    tensors = _leaves(inputs)
    options = options or {}
    constants = {key: _constant(value) for key, value in options.items()}
    # torch's inplace refuses leaves
    expected = twin(*map(_cloned, tensors), **constants)
    actual = ours(*inputs, **options)
    results = _pair("output", "forward", actual, to_numpy(expected))
    upstream = random_upstream(actual, rng)
    outputs, grads = _differentiable(expected, upstream)
    torch.autograd.backward(outputs, grads)
    found = ours.backward(upstream)
    if options and isinstance(found, tuple):  # leave out those of constants
        found = found[: len(inputs)] if len(inputs) > 1 else found[0]
    results += _input_grads(found, tensors)
    results += _owned(ours, twin)
    return results


def run_loss(
    ours: Any,
    twin: torch.nn.Module,
    inputs: Sequence[Array],
    targets: Sequence[Array],
    rng: np.random.Generator,
) -> list[Result]:
    """The same for a loss: ``inputs`` are differentiable, ``targets`` constant.

    A loss of numpy_impl knows better which of all of them are.
    """
    arrays = [*inputs, *targets]
    places = getattr(ours, "_differentiable", range(len(inputs)))
    tensors = _leaves([arrays[i] for i in places])
    given: dict[int, Any] = dict(zip(places, tensors, strict=True))
    for i, value in enumerate(arrays):  # lengths may be a tuple of ints
        given.setdefault(i, to_torch(value) if isinstance(value, np.ndarray) else value)
    expected = twin(*(given[i] for i in range(len(arrays))))
    actual = ours(*arrays)
    results = _pair("loss", "forward", actual, to_numpy(expected))
    upstream = random_upstream(np.asarray(actual), rng)
    expected.backward(to_torch(upstream))
    results += _input_grads(ours.backward(upstream), tensors)
    return results


def _constant(value: Any) -> Any:
    return to_torch(value) if isinstance(value, np.ndarray) else value


def _leaves(inputs: Sequence[Any]) -> list[Any]:
    tensors = [to_torch(value) for value in inputs]
    for tensor in _flat(tensors):
        tensor.requires_grad_(tensor.is_floating_point())
    return tensors


def _flat(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in _flat(part)]
    return [value]


def _cloned(value: Any) -> Any:
    return tuple(map(_cloned, value)) if isinstance(value, tuple) else value.clone()


def _differentiable(output: Any, upstream: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    if not isinstance(output, tuple):
        return [output], [to_torch(upstream)]
    pairs = [_differentiable(o, u) for o, u in zip(output, upstream, strict=True) if u is not None]
    return [o for p in pairs for o in p[0]], [u for p in pairs for u in p[1]]


def _pair(name: str, direction: Direction, ours: Any, twin: Any) -> list[Result]:
    if isinstance(twin, tuple):
        if not isinstance(ours, tuple) or len(ours) != len(twin):
            raise AssertionError(f"{name}: ours is {type(ours).__name__}, the twin a tuple")
        return [
            result
            for i, (o, t) in enumerate(zip(ours, twin, strict=True))
            for result in _pair(f"{name}[{i}]", direction, o, t)
        ]
    if ours is None and twin is None:
        return []
    return [Result(name, direction, ours, twin)]


def _input_grads(grads: Any, tensors: Sequence[Any]) -> list[Result]:
    ours = grads if len(tensors) > 1 else (grads,)
    if not isinstance(ours, tuple) or [len(_flat(g)) for g in ours] != [
        len(_flat(t)) for t in tensors
    ]:
        raise AssertionError(f"backward must return {len(tensors)} gradients, got {type(ours)}")
    results = []
    for i, (grad, tensor) in enumerate(zip(_flat(ours), _flat(tensors), strict=True)):
        if not tensor.requires_grad:
            if grad is not None:
                raise AssertionError(f"input {i} is not differentiable, its gradient must be None")
            continue
        expected = tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)
        results.append(Result(f"grad of input {i}", "input_grad", grad, to_numpy(expected)))
    return results


def _owned(ours: Any, twin: torch.nn.Module) -> list[Result]:
    results = []
    theirs = dict(twin.named_parameters())
    for name, parameter in ours.named_parameters():
        grads = dense(parameter.grad), dense(to_numpy(theirs[name].grad))
        results.append(Result(f"grad of {name}", "param_grad", *grads))
    buffers = dict(twin.named_buffers())
    for name, buffer in ours.named_buffers():
        results.append(Result(name, "buffer", buffer, to_numpy(buffers[name])))
    return results
