"""Cases, and the generic properties that every case of a table is put through.

A test module writes a table and subclasses :class:`ModuleParity` or :class:`LossParity`::

    CASES = [Case("Linear", "5, 3", (4, 5)), ...]

    class TestLinear(ModuleParity):
        cases = CASES

The report's ledger runs :meth:`Case.measure` over the same tables.
"""

import copy
import inspect
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import numpy_impl
import torch_ref
from numpy_impl import nn
from numpy_impl.nn.loss import Loss
from parity_tests.directional import check_directional
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, Tolerance, random_upstream, run_loss, run_module
from torch_ref.convert import copy_weights, to_numpy

Array = np.ndarray
# a shape stands for standard normal values; a function draws its own; a list of them for a tuple
Source = tuple[int, ...] | Callable[[np.random.Generator], Array] | list[tuple[int, ...]]
DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Case:
    """One configuration of one module, and the inputs it is run on.

    Attributes:
        name: the class, in ``nn`` of both worlds.
        args: its arguments, as written between the brackets; ``tensor([...])`` makes an array or
            a tensor of the dtype under test.
        inputs: a shape (standard normal values) or a function of a generator, for each input.
        note: what makes the case worth having.
        targets: for losses, the constant arguments.
        train: whether it runs in training mode.
        elementwise: whether no sums are involved, for the tolerance.
        exceptions: tolerances that replace the table's, by (dtype, direction).
        kinks: True where the function has jumps that the directional derivative would cross.
        options: keyword arguments of the call, constants; a function of a generator draws one.
    """

    name: str
    args: str
    inputs: Any
    note: str = ""
    targets: Sequence[Source] = ()
    train: bool = True
    elementwise: bool = False
    exceptions: dict = field(default_factory=dict)
    kinks: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        note = f" [{self.note}]" if self.note else ""
        return f"{self.name}({self.args}){note}{'' if self.train else ' [eval]'}"

    @property
    def sources(self) -> list[Source]:
        many = isinstance(self.inputs, list)
        return self.inputs if many else [self.inputs]

    def rng(self, purpose: str) -> np.random.Generator:
        """Its own stream for each purpose: an upstream equal to the input would hide errors."""
        return np.random.default_rng(zlib.crc32(f"{purpose} of {self}".encode()))

    def draw(self, dtype: str) -> tuple[list[Array], list[Array]]:
        """Inputs and targets, the same values for every dtype."""
        rng = self.rng("inputs")
        inputs = [_draw(source, rng, dtype) for source in self.sources]
        return inputs, [_draw(source, rng, dtype) for source in self.targets]

    def build(self, world: Any, dtype: str) -> Any:
        """The module in ``numpy_impl.nn`` or ``torch_ref.nn``."""
        ours = world is nn
        scope = {
            "nn": world,
            "dtype": np.dtype(dtype) if ours else getattr(torch, dtype),
            "tensor": lambda values: (
                np.array(values, dtype)
                if ours
                else torch.tensor(values, dtype=getattr(torch, dtype))
            ),
        }
        parts = [self.args] * bool(self.args) + ["dtype=dtype"] * _takes_dtype(self.name)
        module = eval(f"nn.{self.name}({', '.join(parts)})", scope)  # the table's own text
        return module.train(self.train)

    def ours(self, dtype: str) -> Any:
        """The module of numpy_impl with random weights and buffers, always the same ones."""
        ours = self.build(nn, dtype)
        rng = self.rng("weights")
        for name, array in ours.state_dict().items():
            if array.dtype.kind == "f" and not isinstance(ours, Loss):
                values = rng.standard_normal(array.shape)
                # a variance must be positive
                array[...] = np.abs(values) + 0.5 if name.endswith("var") else values
        return ours

    def pair(self, dtype: str) -> tuple[Any, torch.nn.Module]:
        """Both modules with the same random weights and buffers."""
        ours, twin = self.ours(dtype), self.build(torch_ref.nn, dtype)
        copy_weights(ours, twin)
        return ours, twin

    def call(self, module: Any, inputs: Sequence[Array], targets: Sequence[Array] = ()) -> Any:
        manual_seed(7)
        return module(*inputs, *targets, **self.constants())

    def constants(self) -> dict[str, Any]:
        """The options, with arrays in the place of functions of a generator."""
        rng = self.rng("options")
        return {k: v(rng) if callable(v) else v for k, v in self.options.items()}

    def measure(self, dtype: str) -> list[Result]:
        """Run the module and its twin: what the tests assert on, and the ledger reports."""
        ours, twin = self.pair(dtype)
        inputs, targets = self.draw(dtype)
        manual_seed(7)
        if self.targets:
            return run_loss(ours, twin, inputs, targets, self.rng("upstream"))
        return run_module(ours, twin, inputs, self.rng("upstream"), self.constants())

    def tolerance(self, dtype: str, result: Result) -> Tolerance:
        allowed = tolerance(dtype, result.direction, self.elementwise)
        return self.exceptions.get((dtype, result.direction), allowed)


@cache
def _takes_dtype(name: str) -> bool:
    return "dtype" in inspect.signature(getattr(nn, name)).parameters


def manual_seed(seed: int) -> None:
    """Both worlds' stream on the CPU; torch.manual_seed notes the call's whole stack for GPUs."""
    numpy_impl.manual_seed(seed)
    torch.default_generator.manual_seed(seed)


def _draw(source: Source, rng: np.random.Generator, dtype: str) -> Any:
    if isinstance(source, list):
        return tuple(_draw(part, rng, dtype) for part in source)
    values = source(rng) if callable(source) else rng.standard_normal(source)
    return np.asarray(values, dtype) if values.dtype.kind == "f" else values


def _arrays(value: Any) -> list[Array]:
    if isinstance(value, tuple | list):
        return [array for part in value for array in _arrays(part)]
    return [] if value is None else [value]


def relayouts(array: Array) -> list[Array]:
    """The same values in other memory layouts: strided, Fortran order, channels last."""
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype) if array.ndim else array
    strided = wide[..., ::2] if array.ndim else array
    strided[...] = array
    fortran = np.asfortranarray(array)
    layouts = [strided, fortran]
    if array.ndim > 2:
        layouts.append(np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1))
    return layouts


class _Properties:
    """What holds for every module and loss."""

    cases: ClassVar[list[Case]]

    def test_agrees_with_the_twin(self, case: Case, dtype: str) -> None:
        for result in case.measure(dtype):
            result.check(case.tolerance(dtype, result), f"{case} {dtype}")

    def test_directional_derivative(self, case: Case) -> None:
        if case.kinks:
            return
        module = case.ours("float64")
        inputs, targets = case.draw("float64")
        upstream = random_upstream(case.call(module, inputs, targets), case.rng("upstream"))
        grads = _arrays(module.backward(upstream))
        given = [*inputs, *targets]
        moved = [given[i] for i in getattr(module, "_differentiable", range(len(inputs)))]
        moved = [value for value in _arrays(moved) if value.dtype.kind == "f"]
        moved += [p.data for p in module.parameters()]
        grads += [p.grad for p in module.parameters()]

        def function() -> float:
            # the buffers that forward updates (running statistics) must not add up over calls
            output = case.call(copy.deepcopy(module), inputs, targets)
            pairs = zip(_arrays_or_none(output), _arrays_or_none(upstream), strict=True)
            return sum(float(np.sum(o * u)) for o, u in pairs if u is not None)

        check_directional(function, moved, grads, case.rng("direction"))

    def test_pure(self, case: Case, dtype: str) -> None:
        module = case.ours(dtype)
        inputs, targets = case.draw(dtype)
        before = copy.deepcopy(_arrays([*inputs, *targets]))
        output = case.call(module, inputs, targets)
        upstream = random_upstream(output, case.rng("upstream"))
        upstream_before = copy.deepcopy(_arrays(upstream))
        grads = module.backward(upstream)
        for array in [*_arrays(output), *_arrays(grads), *[p.grad for p in module.parameters()]]:
            assert isinstance(array, np.ndarray)
            assert array.dtype == dtype or array.dtype.kind in "iu", "the dtype is not kept"
        for value, kept in zip(_arrays([*inputs, *targets]), before, strict=True):
            np.testing.assert_array_equal(value, kept, "an input was modified")
        for value, kept in zip(_arrays(upstream), upstream_before, strict=True):
            np.testing.assert_array_equal(value, kept, "the upstream gradient was modified")
        owned = [p.data for p in module.parameters()] + list(module.buffers())
        given = [*_arrays([*inputs, *targets]), *_arrays(upstream), *owned]
        param_grads = [p.grad for p in module.parameters()]
        results = [*_arrays(output), *_arrays(grads), *param_grads]
        for i, result in enumerate(results):
            for other in [*given, *results[:i]]:
                assert not np.shares_memory(result, other), "a result shares memory"
        # neither another call nor a caller who writes into the results may change anything
        kept_results = copy.deepcopy(_arrays(output) + _arrays(grads))
        others = [
            _map(lambda v: v / v.dtype.type(2) if v.dtype.kind == "f" else v, value)
            for value in inputs
        ]
        twin_module = copy.deepcopy(module)
        module.backward(random_upstream(case.call(module, others, targets), case.rng("upstream")))
        for result, kept in zip(_arrays(output) + _arrays(grads), kept_results, strict=True):
            np.testing.assert_array_equal(result, kept, "a later call changed an earlier result")
        output = case.call(twin_module, inputs, targets)
        for array in _arrays(output):
            array[...] = -1
        for again, kept in zip(
            _arrays(twin_module.backward(upstream)),
            kept_results[len(_arrays(output)) :],
            strict=True,
        ):
            np.testing.assert_array_equal(again, kept, "writing to the output changed backward")

    def test_memory_layout_does_not_matter(self, case: Case) -> None:
        inputs, targets = case.draw("float64")
        module = case.ours("float64")
        output = case.call(module, inputs, targets)
        upstream = random_upstream(output, case.rng("upstream"))
        wanted = _arrays(output) + _arrays(module.backward(upstream))
        for layout in zip(*map(_relayouts_of, inputs), strict=False):
            module = case.ours("float64")
            output = case.call(module, layout, targets)
            strided = _map(lambda array: relayouts(array)[0], upstream)
            got = _arrays(output) + _arrays(module.backward(strided))
            for ours, kept in zip(got, wanted, strict=True):
                np.testing.assert_allclose(ours, kept, rtol=1e-12, atol=1e-12)

    def test_no_grad_keeps_nothing(self, case: Case) -> None:
        module = case.ours("float64")
        inputs, targets = case.draw("float64")
        with pytest.raises(RuntimeError, match="without a forward"):
            module.backward(np.zeros(()))
        upstream = random_upstream(case.call(module, inputs, targets), case.rng("upstream"))
        with numpy_impl.no_grad():
            case.call(module, inputs, targets)
        with pytest.raises(RuntimeError, match="without a forward"):
            module.backward(upstream)

    def test_same_arguments_same_looks(self, case: Case) -> None:
        ours, twin = case.build(nn, "float32"), case.build(torch_ref.nn, "float32")
        assert repr(ours) == repr(twin)
        theirs = {key: tuple(value.shape) for key, value in twin.state_dict().items()}
        assert {key: value.shape for key, value in ours.state_dict().items()} == theirs


class ModuleParity(_Properties):
    """Every property, for the modules of a table."""

    def test_same_seed_same_weights(self, case: Case, dtype: str) -> None:
        manual_seed(3)
        ours, twin = case.build(nn, dtype), case.build(torch_ref.nn, dtype)
        for name, value in twin.state_dict().items():
            np.testing.assert_array_equal(ours.state_dict()[name], to_numpy(value), name)

    def test_gradients_accumulate(self, case: Case) -> None:
        module = case.ours("float64")
        inputs, _ = case.draw("float64")
        assert all(p.grad is None for p in module.parameters())
        upstream = random_upstream(case.call(module, inputs), case.rng("upstream"))
        module.backward(upstream, retain_graph=True)
        once = [p.grad.copy() for p in module.parameters()]
        module.backward(upstream)
        for parameter, grad in zip(module.parameters(), once, strict=True):
            np.testing.assert_allclose(parameter.grad, 2 * grad, rtol=1e-12)
        module.zero_grad()
        assert all(p.grad is None for p in module.parameters())
        with pytest.raises(RuntimeError, match="each backward needs a forward of its own"):
            module.backward(upstream)

    def test_wrong_upstream_is_refused(self, case: Case) -> None:
        module = case.ours("float64")
        inputs, _ = case.draw("float64")
        output = case.call(module, inputs)
        if isinstance(output, tuple):
            with pytest.raises(TypeError, match="must be a tuple"):
                module.backward(output[0])
        else:
            with pytest.raises(ValueError, match="must have the output's shape"):
                module.backward(np.zeros((*output.shape, 2)))
            with pytest.raises(TypeError, match="must be a NumPy array"):
                module.backward("ones")


class LossParity(_Properties):
    """Every property, for the losses of a table."""

    def test_upstream_scales_the_gradient(self, case: Case) -> None:
        module = case.ours("float64")
        inputs, targets = case.draw("float64")
        case.call(module, inputs, targets)
        once, twice = _arrays(module.backward(retain_graph=True)), _arrays(module.backward(2.0))
        for a, b in zip(once, twice, strict=True):
            np.testing.assert_allclose(2 * a, b, rtol=1e-12)


def _relayouts_of(value: Any) -> list[Any]:
    """:func:`relayouts`, of a tuple's parts together."""
    if isinstance(value, tuple):
        return list(zip(*map(_relayouts_of, value), strict=False))
    return relayouts(value) if value.ndim else [value]


def _map(function: Callable[[Array], Array], value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_map(function, part) for part in value)
    return None if value is None else function(value)


def _arrays_or_none(value: Any) -> list[Array | None]:
    if isinstance(value, tuple):
        return [array for part in value for array in _arrays_or_none(part)]
    return [value]


def parametrize(cases: Sequence[Case], metafunc: Any) -> None:
    """Run a property test over its table, and over the dtypes where it asks for one."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", cases, ids=str)
    if "dtype" in metafunc.fixturenames:
        metafunc.parametrize("dtype", DTYPES)
