"""Parametrized modules: torch's values, gradients, keys, looks and errors."""

import contextlib
import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn.utils import parametrizations, parametrize
from parity_tests.nn.utils.worlds import (
    OURS,
    TORCH_S,
    apply,
    array_of,
    pair,
    same_state,
    same_training,
)
from torch_ref.convert import copy_weights, to_torch

WORLDS = pytest.mark.parametrize("w", [OURS, TORCH_S], ids=["ours", "torch's"])


def batch(*shape: int):
    return np.random.default_rng(1).standard_normal(shape)


# -- training --------------------------------------------------------------------------------------

CASES = {
    "one original": (lambda w, d: w.nn.Linear(4, 4, dtype=d), [("weight", "Symmetric")], (5, 4)),
    "several originals": (lambda w, d: w.nn.Linear(4, 3, dtype=d), [("weight", "Outer")], (5, 4)),
    "no inverse": (lambda w, d: w.nn.Linear(4, 3, dtype=d), [("weight", "Squared")], (5, 4)),
    "one after another": (
        lambda w, d: w.nn.Linear(4, 4, dtype=d),
        [("weight", "Symmetric"), ("weight", "Scaled"), ("weight", "Squared")],
        (5, 4),
    ),
    "weight and bias": (
        lambda w, d: w.nn.Conv2d(2, 3, 3, dtype=d),
        [("weight", "Scaled"), ("bias", "Squared")],
        (2, 2, 5, 5),
    ),
    "with buffers": (
        lambda w, d: w.nn.BatchNorm1d(3, dtype=d),
        [("weight", "Squared"), ("bias", "Scaled")],
        (5, 3),
    ),
    "of a buffer": (
        lambda w, d: w.nn.BatchNorm1d(3, momentum=0.0, dtype=d).eval(),
        [("running_var", "Squared"), ("weight", "Scaled")],
        (5, 3),
    ),
    "in a model": (
        lambda w, d: w.nn.Sequential(
            apply(w, w.nn.Linear(4, 3, dtype=d), d, [("weight", "Outer")]),
            w.nn.Tanh(),
            apply(w, w.nn.Linear(3, 3, dtype=d), d, [("weight", "Symmetric")]),
        ),
        [],
        (5, 4),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_training_is_torch_s(case) -> None:
    make, table, shape = CASES[case]
    ours, twin = pair(lambda w, dtype: apply(w, make(w, dtype), dtype, table))
    same_training(ours, twin, (batch(*shape),))


def test_several_inputs_and_integers() -> None:
    ours, twin = pair(
        lambda w, d: apply(w, w.nn.Bilinear(3, 4, 2, dtype=d), d, [("weight", "Scaled")])
    )
    same_training(ours, twin, (batch(5, 3), batch(5, 4)))
    ours, twin = pair(
        lambda w, d: apply(w, w.nn.Embedding(7, 3, dtype=d), d, [("weight", "Squared")])
    )
    same_training(ours, twin, (np.array([[1, 2], [6, 2]]),))


def test_in_float32() -> None:
    ours, twin = pair(
        lambda w, d: apply(w, w.nn.Linear(4, 4, dtype=d), d, [("weight", "Symmetric")]), "float32"
    )
    same_training(ours, twin, (batch(5, 4).astype("float32"),), "float32")
    assert ours.weight.dtype == np.float32


def test_a_frozen_original_and_an_input_without_gradient() -> None:
    for world in (OURS, TORCH_S):
        module = world.nn.Linear(4, 3)
        module.weight.requires_grad = False
        world.parametrizations.weight_norm(module)
        assert [p.requires_grad for p in module.parameters()] == [True, False, False]
        assert not module.weight.requires_grad
    # and the input has one where nothing else does
    ours, twin = pair(lambda w, d: w.parametrizations.weight_norm(w.nn.Linear(4, 3, dtype=d)))
    for module in (ours, twin):
        module.requires_grad_(False)
    ours(batch(5, 4))
    x = to_torch(batch(5, 4)).requires_grad_()
    twin(x).backward(to_torch(batch(5, 3)))
    np.testing.assert_allclose(ours.backward(batch(5, 3)), x.grad, rtol=1e-9)
    module = parametrizations.weight_norm(nn.Linear(4, 3)).needs_input_grad_(False)
    module(np.ones((2, 4), np.float32))
    assert module.backward(np.ones((2, 3), np.float32)) is None
    assert all(p.grad is not None for p in module.parameters())


class Doubled(nn.Module):
    """A layer of one's own, which keeps what backward needs on itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(batch(3))
        self.calls = 0

    def forward(self, input):
        self.input, self.calls = input, self.calls + 1
        return 2 * input * self.weight.data

    def backward(self, grad_output):
        self.weight.accumulate_grad((2 * grad_output * self.input).sum(0))
        return 2 * grad_output * self.weight.data


class Composed(nn.Module):
    """A module made of operations, with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(batch(3))

    def forward(self, input):
        return 2 * input * self.weight


@pytest.mark.parametrize("kind", [Doubled, Composed])
def test_modules_of_one_s_own(kind) -> None:
    """Written for arrays, or made of operations: by arrays, by Tensors, several calls."""
    module = kind()
    start = module.weight.data
    apply(OURS, module, None, [("weight", "Squared")])
    original = module.parametrizations.weight.original
    x, upstream = batch(5, 3), batch(5, 3) + 1
    np.testing.assert_allclose(module(x), 2 * x * start**2)
    np.testing.assert_allclose(module.backward(upstream), 2 * upstream * start**2)
    once = (2 * upstream * x).sum(0) * 2 * start
    np.testing.assert_allclose(original.grad, once)
    one, two = module(numpy_impl.tensor(x)), module(numpy_impl.tensor(3 * x))
    (one + two).backward(numpy_impl.tensor(upstream))
    np.testing.assert_allclose(original.grad, 5 * once)
    if kind is Doubled:
        assert module.calls == 3
        np.testing.assert_array_equal(module.input, 3 * x)


def test_a_parametrization_written_for_arrays() -> None:
    class Cubed(nn.Module):
        def forward(self, x):
            output = x**3
            self.save_for_backward(output, x)
            return output

        def backward(self, grad_output):
            grad_output, x = self.saved_for_backward(grad_output)
            return 3 * x**2 * grad_output

    module = nn.Linear(4, 3, dtype=np.float64)
    start = module.weight.data
    parametrize.register_parametrization(module, "weight", Cubed())
    x, upstream = batch(5, 4), batch(5, 3)
    np.testing.assert_allclose(module(x), x @ start.T**3 + module.bias.data)
    module.backward(upstream)
    np.testing.assert_allclose(
        module.parametrizations.weight.original.grad, 3 * start**2 * (upstream.T @ x)
    )


def test_graphs_kept_used_up_and_left_out() -> None:
    module = parametrizations.weight_norm(nn.Linear(4, 3, dtype=np.float64))
    original = module.parametrizations.weight.original1
    x, upstream = batch(5, 4), batch(5, 3)
    with pytest.raises(RuntimeError, match="without a forward"):
        module.backward(upstream)
    module(x)
    module.backward(upstream, retain_graph=True)
    once = original.grad.copy()
    module.backward(upstream)
    np.testing.assert_allclose(original.grad, 2 * once)
    with pytest.raises(RuntimeError, match="without a forward"):
        module.backward(upstream)
    with numpy_impl.no_grad():
        module(x)
        assert not module.weight.requires_grad
    with pytest.raises(RuntimeError, match="without a forward"):
        module.backward(upstream)
    with pytest.raises(ValueError, match=r"Linear: .*in_features|Linear: input"):
        module(batch(5, 7))


def test_hooks_see_it_as_any_module() -> None:
    seen = []
    module = parametrizations.weight_norm(nn.Linear(4, 3, dtype=np.float64))
    module.register_forward_hook(lambda m, i, o: seen.append(m))
    module.register_full_backward_hook(lambda m, gi, go: seen.append(gi[0].shape))
    module(batch(5, 4))
    module.backward(batch(5, 3))
    assert seen == [module, (5, 4)]
    assert module.parametrizations.weight.original0.grad is not None


def test_nothing_is_left_after_a_step() -> None:
    """No reference cycles: without Python's collector a step's arrays go with its names."""
    module = parametrizations.spectral_norm(nn.Linear(4, 3))
    gc.disable()
    try:
        output = module(numpy_impl.ones(2, 4, requires_grad=True))
        found = [weakref.ref(output), weakref.ref(output._node.module)]
        output.sum().backward()
        del output
        assert [ref() for ref in found] == [None] * 2
        module(np.ones((2, 4), np.float32))
        found = [weakref.ref(module._call.output._node.module), weakref.ref(module)]
        del module
        assert [ref() for ref in found] == [None] * 2
    finally:
        gc.enable()


# -- values, assigned, cached, loaded, copied ------------------------------------------------------


def test_assigned_values() -> None:
    """Through the inverses, last first; and the original stays the object that it was."""
    table = [("weight", "Symmetric"), ("weight", "Scaled"), ("weight", "Shifted")]
    table.append(("bias", "Scaled"))
    ours, twin = pair(lambda w, d: apply(w, w.nn.Linear(4, 4, dtype=d), d, table))
    original = ours.parametrizations.weight.original
    value = batch(4, 4) + batch(4, 4).T
    kept = value.copy()
    twin.weight, twin.bias = to_torch(value), to_torch(value[0])
    for given in (value, numpy_impl.tensor(value), nn.Parameter(value)):
        ours.weight, ours.bias = given, value[0]
        same_state(ours, twin)
        np.testing.assert_allclose(ours.weight.data, value)
        ours.parametrizations.weight.original.data += 1
    np.testing.assert_array_equal(value, kept)
    assert ours.parametrizations.weight.original is original
    ours, twin = pair(lambda w, d: apply(w, w.nn.Linear(4, 3, dtype=d), d, [("weight", "Outer")]))
    ours.weight, twin.weight = value[:3], to_torch(value[:3])
    same_state(ours, twin)
    module = parametrizations.spectral_norm(nn.Linear(4, 4, dtype=np.float64))
    module.weight = value  # whose inverse gives back what it gets
    assert not np.shares_memory(module.parametrizations.weight.original.data, value)


@WORLDS
def test_cached(w) -> None:
    """Computed once within it, however deep, with one gradient for all uses; then anew."""
    module = w.parametrizations.spectral_norm(w.nn.Linear(4, 3))
    assert module.weight is not module.weight
    with w.parametrize.cached():
        first = module.weight
        with w.parametrize.cached():
            assert module.weight is first
        assert module.weight is first
        x = numpy_impl.ones(2, 4) if w is OURS else torch.ones(2, 4)
        (module(x) + module(x)).sum().backward()
        assert module.parametrizations.weight.original.grad is not None
        assert module.weight is first
    assert module.weight is not first
    with contextlib.suppress(ZeroDivisionError), w.parametrize.cached():
        first = module.weight
        raise ZeroDivisionError
    assert module.weight is not first
    with w.parametrize.cached():
        assert module.weight is not first


def test_states_go_both_ways() -> None:
    def build(w, d):
        return w.nn.Sequential(
            w.parametrizations.weight_norm(w.nn.Linear(4, 3, dtype=d)),
            w.parametrizations.spectral_norm(w.nn.Linear(3, 3, dtype=d)),
            w.parametrizations.orthogonal(w.nn.Linear(3, 5, dtype=d)),
        )

    ours, twin = pair(build)
    other, _ = pair(build)
    for parameter in twin.parameters():
        parameter.data += 0.3
    copy_weights(twin, ours)
    same_state(ours, twin)
    other.load_state_dict(ours.state_dict())
    same_state(other, twin)
    np.testing.assert_array_equal(other.eval()(batch(2, 4)), ours.eval()(batch(2, 4)))
    for parameter in ours.parameters():
        parameter.data += 0.3
    copy_weights(ours, twin)
    same_state(ours, twin)
    with pytest.raises(RuntimeError, match=r"missing keys: 0\.parametrizations\.weight\.original0"):
        ours.load_state_dict({k: v for k, v in ours.state_dict().items() if "original0" not in k})


def test_casts_reach_what_it_is_computed_from() -> None:
    module = parametrizations.orthogonal(nn.Linear(3, 3)).double()
    assert module.weight.dtype == np.float64
    assert module.parametrizations.weight[0].base.dtype == np.float64
    assert module(batch(2, 3)).dtype == np.float64


@WORLDS
def test_copies_are_independent_and_pickles_refused(w) -> None:
    module = w.parametrizations.weight_norm(w.nn.Linear(4, 3))
    other = copy.deepcopy(w.nn.Sequential(module))[0]
    assert type(other).__name__ == "ParametrizedLinear"
    before = array_of(module.weight)
    other.parametrizations.weight.original0.data *= 2
    np.testing.assert_array_equal(array_of(module.weight), before)
    np.testing.assert_allclose(array_of(other.weight), 2 * before, rtol=1e-6)
    if w is OURS:  # torch's share a class, and the copy's weight would be gone
        parametrize.remove_parametrizations(module, "weight")
        np.testing.assert_allclose(other.weight.data, 2 * before, rtol=1e-6)
    with pytest.raises(RuntimeError, match="copied but not pickled" if w is OURS else None):
        pickle.dumps(other)
    with pytest.raises(RuntimeError):
        copy.copy(other)


# -- removed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", [True, False])
@pytest.mark.parametrize("table", [[("weight", "Symmetric"), ("weight", "Scaled")], []], ids=str)
def test_removed(leave, table) -> None:
    """Both parametrized tensors, one after the other; the Parameter is the object that it was."""
    table = [*table, ("bias", "Squared")]
    ours, twin = pair(lambda w, d: apply(w, w.nn.Linear(4, 4, dtype=d), d, table))
    original = ours.parametrizations.bias.original
    for name in dict(table):
        for module, world in ((ours, OURS), (twin, TORCH_S)):
            assert world.parametrize.remove_parametrizations(module, name, leave) is module
            assert not world.parametrize.is_parametrized(module, name)
        same_state(ours, twin)
    assert ours.bias is original
    assert type(ours) is nn.Linear
    assert not hasattr(ours, "parametrizations")
    same_training(ours, twin, (batch(5, 4),))


def test_removed_from_several_originals() -> None:
    for frozen in (True, False):
        modules = []
        for world in (OURS, TORCH_S):
            world.seed(2)
            module = world.nn.Linear(4, 3)
            module.weight.requires_grad = not frozen
            world.parametrizations.weight_norm(module)
            with pytest.raises(ValueError, match="leave_parametrized" if world is OURS else None):
                world.parametrize.remove_parametrizations(module, "weight", False)
            modules.append(world.parametrize.remove_parametrizations(module, "weight"))
        same_state(*modules, "float32")
        for module in modules:
            assert len(list(module.parameters())) == 2 - frozen
    module = apply(OURS, nn.BatchNorm1d(3), None, [("running_mean", "Squared")])
    module.parametrizations.running_mean.original += 3
    assert type(module.running_mean) is np.ndarray
    parametrize.remove_parametrizations(module, "running_mean")
    np.testing.assert_array_equal(module.running_mean, np.full(3, 9.0))
    assert "running_mean" in dict(module.named_buffers())


@WORLDS
def test_is_parametrized(w) -> None:
    module = w.nn.Linear(4, 4)
    assert not w.parametrize.is_parametrized(module)
    apply(w, module, None, [("weight", "Squared")])
    assert w.parametrize.is_parametrized(module)
    assert w.parametrize.is_parametrized(module, "weight")
    assert not w.parametrize.is_parametrized(module, "bias")
    assert isinstance(module, w.nn.Linear)
    assert isinstance(module.parametrizations.weight, w.parametrize.ParametrizationList)
    assert not hasattr(module, "scale")
    module.scale = 3
    assert module.scale == 3
    assert not w.nn.Linear(4, 4).eval().training
    other = w.nn.Linear(4, 4).eval()
    apply(w, other, None, [("weight", "Squared")])
    assert not other.parametrizations.weight[0].training
