"""The graph: walks, leaves, hooks, what is released, what is refused; values from torch."""

import copy
import gc
import pickle
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.tensor.graph import Node
from numpy_impl.tensor.tensor import Tensor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4))
Y = RNG.standard_normal((3, 4))
G = RNG.standard_normal((3, 4))


def ours(array, requires_grad: bool = True) -> Tensor:
    return numpy_impl.tensor(array, requires_grad=requires_grad)


def theirs(array, requires_grad: bool = True) -> torch.Tensor:
    return torch.tensor(array, requires_grad=requires_grad)


WORLDS = [(numpy_impl, ours), (torch, theirs)]


def both(program) -> None:
    """One program in both worlds; what it returns, numbers and None, must be the same."""
    results = [program(world, make) for world, make in WORLDS]
    assert len(results[0]) == len(results[1])
    for mine, twin in zip(*results, strict=True):
        assert (mine is None) == (twin is None)
        if mine is not None:
            np.testing.assert_allclose(
                np.asarray(mine.detach() if isinstance(mine, Tensor) else mine),
                np.asarray(twin.detach() if isinstance(twin, torch.Tensor) else twin),
                rtol=1e-12,
            )


# -- walks -----------------------------------------------------------------------------------------


def test_a_tensor_used_several_times_gets_the_sum() -> None:
    def program(world, make):
        x, y = make(X), make(Y)
        h = x * y
        (h + h * x + h.sum(0)).backward(make(G, False))
        return x.grad, y.grad

    both(program)


def test_two_losses_accumulate_and_come_in_any_order() -> None:
    def program(world, make):
        x = make(X)
        first, second = (x * x).sum(), world.exp(x).sum()
        second.backward()
        once = x.grad + 0
        first.backward()
        return once, x.grad

    both(program)


def test_retain_graph() -> None:
    def program(world, make):
        x = make(X)
        loss = (x * x).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        with pytest.raises(RuntimeError):
            loss.backward()
        return (x.grad,)

    both(program)


def test_grad_leaves_grad_alone_and_knows_the_unused() -> None:
    def program(world, make):
        x, y, unused = make(X), make(Y), make(X)
        h = x * y
        loss = (h * h).sum()
        found = world.autograd.grad(loss, [x, h, unused], retain_graph=True, allow_unused=True)
        with pytest.raises(RuntimeError):
            world.autograd.grad(loss, [x, unused], retain_graph=True)
        with pytest.raises(RuntimeError):
            world.autograd.grad(loss, make(X, False), retain_graph=True)
        return *found, x.grad, y.grad, unused.grad

    both(program)


def test_grad_uses_up_only_what_it_passes() -> None:
    """As when a program goes back in two parts."""

    def program(world, make):
        x = make(X)
        h = world.exp(x)
        loss = (h * h).sum()
        (upstream,) = world.autograd.grad(loss, h)
        h.backward(upstream)
        with pytest.raises(RuntimeError):
            loss.backward()
        return upstream, x.grad

    both(program)


def test_backward_into_some_inputs() -> None:
    def program(world, make):
        x, y = make(X), make(Y)
        h = x * y
        h.retain_grad()
        (h * x).sum().backward(inputs=[x], retain_graph=True)
        first = x.grad + 0
        (h * y).sum().backward(inputs=[x, h])
        return first, x.grad, y.grad, h.grad

    both(program)


def test_grad_of_parameters_and_of_a_tied_weight() -> None:
    def program(world, make):
        layer = world.nn.Linear(4, 4, bias=False, dtype=world.float64)
        with world.no_grad():
            layer.weight.copy_(make(RNG_WEIGHT, False))
        x = make(X)
        h = layer(x)
        loss = (world.nn.functional.linear(h, layer.weight) * make(Y, False)).sum()
        return world.autograd.grad(loss, [layer.weight, x])

    both(program)


RNG_WEIGHT = RNG.standard_normal((4, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: (x * 2).backward(), "may be left out for a single element"),
        (lambda x: (x * 2).backward(np.ones(3)), "must have the output's shape"),
        (lambda x: ours(X, False).sum().backward(), "nothing that this one was made from"),
        (lambda x: (x * 2).sum().backward(create_graph=True), "not differentiable"),
        (lambda x: x.detach().sum().backward(), "nothing that this one was made from"),
    ],
)
def test_refused(make, message) -> None:
    with pytest.raises((RuntimeError, ValueError), match=message):
        make(ours(X))


def test_a_refused_backward_uses_nothing_up() -> None:
    x = ours(X)
    y = x * 2
    with pytest.raises(ValueError, match="shape"):
        y.backward(np.ones(3))
    y.backward(G)
    np.testing.assert_array_equal(x.grad, 2 * G)


def test_gradients_have_the_dtype_and_memory_of_their_own() -> None:
    a, b = ours(X), ours(X)
    upstream = G.copy()
    (a + b).backward(upstream)
    for one, other in [(a.grad, b.grad), (a.grad, upstream), (b.grad, upstream)]:
        assert not np.shares_memory(one, other)
    ga, gb = numpy_impl.autograd.grad(a + b, [a, b], Tensor(upstream))
    for one, other in [(ga, gb), (ga, upstream), (gb, upstream)]:
        assert not np.shares_memory(one.data, getattr(other, "data", other))
    low = numpy_impl.tensor(X.astype("f"), requires_grad=True)
    (low * ours(Y)).sum().backward()
    assert low.grad.dtype == np.float32
    (h := low * 2).backward(G)
    assert low.grad.dtype == h.dtype == np.float32


# -- hooks -----------------------------------------------------------------------------------------


def test_hooks_on_leaves_see_the_sum_once() -> None:
    def program(world, make):
        x, seen = make(X), []
        handle = x.register_hook(lambda grad: (seen.append(grad + 0), grad * 2)[1])
        (x * x + x).backward(make(G, False))
        first = x.grad + 0
        handle.remove()
        (x * 3).sum().backward()
        assert len(seen) == 1
        return seen[0], first, x.grad

    both(program)


def test_hooks_on_others_and_retained_gradients() -> None:
    def program(world, make):
        x, seen = make(X), []
        h = x * x
        h.retain_grad()
        h.register_hook(lambda grad: seen.append(grad + 0))
        h.register_hook(lambda grad: grad * 3)
        (h * 2 + h).backward(make(G, False))
        assert len(seen) == 1
        return seen[0], h.grad, x.grad

    both(program)


@pytest.mark.parametrize("which", [0, 1])
def test_hooks_see_what_autograd_grad_returns(which) -> None:
    def program(world, make):
        x = make(X)
        h = x * 2
        x.register_hook(lambda grad: grad * 5)
        h.register_hook(lambda grad: grad * 7)
        return world.autograd.grad((h * h).sum(), [(x, h)[which]])

    both(program)


def test_a_parameter_s_hook_sees_the_sum_over_calls() -> None:
    def program(world, make):
        layer = world.nn.Linear(4, 4, bias=False, dtype=world.float64)
        with world.no_grad():
            layer.weight.copy_(make(RNG_WEIGHT, False))
        seen = []
        layer.weight.register_hook(lambda grad: seen.append(grad + 0))
        layer(layer(make(X, False))).sum().backward()
        assert len(seen) == 1
        return seen[0], layer.weight.grad

    both(program)


# -- in place, and NumPy ---------------------------------------------------------------------------


def test_a_leaf_changes_only_under_no_grad_and_then_keeps_its_array() -> None:
    p = nn.Parameter(X.copy())
    array = p.data
    for change in (
        lambda: p.mul_(2),
        lambda: p.copy_(Y),
        lambda: p.__isub__(1),
        lambda: p.__setitem__(0, 1.0),
        lambda: p.zero_(),
    ):
        with pytest.raises(RuntimeError, match="in place"):
            change()
    np.testing.assert_array_equal(array, X)
    (p * 3).sum().backward()
    with numpy_impl.no_grad():
        alias = p
        p -= 0.5 * p.grad
        assert p is alias
        assert p.data is array
        np.testing.assert_array_equal(array, X - 1.5)
        p[0] = 7
        p.mul_(2)
        assert p.data is array
        np.testing.assert_array_equal(array[0], np.full(4, 14.0))
        p.copy_(Y)
        p.clamp_(-1, 1)
        np.testing.assert_array_equal(array, Y.clip(-1, 1))
    assert p.requires_grad
    assert p.is_leaf


def test_a_change_in_place_belongs_to_the_graph() -> None:
    def program(world, make):
        x = make(X)
        y = x * 2
        y += x
        y[0] = 0
        y.mul_(x)
        y.backward(make(G, False))
        return y, x.grad

    both(program)


NUMPY = [
    np.asarray,
    np.array,
    np.exp,
    np.sum,
    np.mean,
    np.max,
    np.linalg.norm,
    np.shape,
    lambda t: np.concatenate([t, t]),
    lambda t: np.where(t > 0, t, 0),
    lambda t: np.add.reduce(t),
    lambda t: np.maximum(t, 0),
    lambda t: np.einsum("ij->j", t),
    lambda t: np.stack([t, t]),
    lambda t: np.block([[t, t], [t, t]]),
    lambda t: np.pad(t, 1),
    lambda t: np.float64(1) * np.asarray(t),
    lambda t: X.copy().__setitem__(slice(None), t) or X,
]


@pytest.mark.parametrize("function", NUMPY)
def test_numpy_functions_raise_where_a_gradient_would_be_lost(function) -> None:
    if function is not np.shape:
        for tensor in (ours(X), nn.Parameter(X), ours(X) * 1):
            with pytest.raises(RuntimeError, match="would lose the gradient"):
                function(tensor)
    np.testing.assert_array_equal(function(ours(X, False)), function(X))


def test_numpy_operators_are_the_tensor_s() -> None:
    x = ours(X)
    for result in (Y * x, np.multiply(Y, x), np.float64(2) * x, Y - x, Y @ x.T):
        assert isinstance(result, Tensor)
        assert result.requires_grad
    array = Y.copy()
    with pytest.raises(RuntimeError):
        np.multiply(array, x, out=array)


def test_data_and_grad_are_arrays_and_take_tensors() -> None:
    p = nn.Parameter(Tensor(X.copy()))
    p.grad = Tensor(G)
    assert type(p.grad) is np.ndarray
    p.data = Tensor(Y)
    assert type(p.data) is np.ndarray
    p.grad = None
    for wrong in (lambda: setattr(p, "grad", np.ones(2)), lambda: setattr(p, "data", 3)):
        with pytest.raises((TypeError, ValueError)):
            wrong()
    assert p.detach().requires_grad is False
    assert p.detach().data is p.data


@pytest.mark.parametrize("again", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
@pytest.mark.parametrize("make", [lambda: nn.Parameter(X.copy()), lambda: ours(X)])
def test_copies_have_no_gradient(again, make) -> None:
    leaf = make()
    (leaf * 2).sum().backward()
    other = again(leaf)
    assert type(other) is type(leaf)
    assert other.requires_grad
    assert other.grad is None
    np.testing.assert_array_equal(other.data, leaf.data)
    assert not np.shares_memory(other.data, leaf.data)
    with pytest.raises(RuntimeError, match="leaves"):
        again(leaf * 2)


# -- memory ----------------------------------------------------------------------------------------


def in_cycles() -> list:
    """The Tensors and nodes that Python's collector alone can free; what else it finds."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [thing for thing in gc.garbage if isinstance(thing, Tensor | Node)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.fixture
def _no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
def test_a_long_chain_is_walked_and_freed() -> None:
    limit = sys.getrecursionlimit()
    for walk in (True, False):
        x = ours(np.ones(1))
        y, gone = x * 1, None
        for i in range(100_000):
            y = y + 0.0
            if i == 5:
                gone = weakref.ref(y.grad_fn) if hasattr(y.grad_fn, "__weakref__") else None
        if walk:
            y.sum().backward()
            assert x.grad == 1
        start = time.perf_counter()
        del y
        assert time.perf_counter() - start < 5
        assert gone is None or gone() is None
    assert sys.getrecursionlimit() == limit
    assert not in_cycles()


@pytest.mark.usefixtures("_no_collector")
def test_no_cycles_from_operations_hooks_and_errors() -> None:
    x = ours(X)
    tensors = []
    for _ in range(3):
        h = x * 2
        h.retain_grad()
        h.register_hook(lambda grad: grad * 2)
        h += 1
        y = h.sum()
        tensors += [weakref.ref(h), weakref.ref(y)]
        y.backward()
        y = (x * x).sum()  # never gone back through
        tensors.append(weakref.ref(y))
    del h, y
    assert [ref() for ref in tensors] == [None] * len(tensors)
    assert not in_cycles()


# -- threads ---------------------------------------------------------------------------------------


def test_threads_that_add_to_one_leaf_lose_nothing() -> None:
    leaf = ours(np.zeros(20_000))
    leaf.grad = np.zeros(20_000)

    def work() -> None:
        for _ in range(100):
            (leaf * 1.0).sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(leaf.grad, np.full(20_000, 400.0))


@pytest.mark.usefixtures("_no_collector")
def test_a_cycle_would_be_noticed() -> None:
    x = ours(X)
    x.register_hook(lambda grad, x=x: None)
    assert not in_cycles()
    del x
    assert len(in_cycles()) == 1
