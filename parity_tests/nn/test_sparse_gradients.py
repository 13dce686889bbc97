"""The gradients of tables with ``sparse=True``."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn, optim
from numpy_impl.nn import functional
from numpy_impl.tensor.rows import SparseRows
from torch_ref.convert import copy_weights, to_torch

SPARSE = [
    ("Embedding", "6, 3", (np.array([[1, 2], [1, 4]]),)),
    ("Embedding", "6, 3, padding_idx=2", (np.array([[1, 2], [1, 4]]),)),
    ("Embedding", "6, 3, padding_idx=-5", (np.array([[1, 1]]),)),
    ("Embedding", "6, 3, max_norm=1.0", (np.array([5, 5, 0]),)),
    ("Embedding", "6, 3", (np.zeros((0, 2), int),)),
    ("EmbeddingBag", "6, 3", (np.array([[1, 2], [1, 4]]),)),
    ("EmbeddingBag", "6, 3, mode='sum', padding_idx=1", (np.array([[1, 2], [1, 4]]),)),
    ("EmbeddingBag", "6, 3, max_norm=0.5", (np.array([0, 3, 3, 2]), np.array([0, 0, 3]))),
    (
        "EmbeddingBag",
        "6, 3, mode='sum'",
        (np.array([0, 3, 3, 2]), np.array([0, 1]), np.array([1.0, -2.0, 0.5, 3.0])),
    ),
]


def backward(layer, inputs, world):
    """With random numbers as upstream gradient; twice with arrays, for Tensors in one graph."""
    rng = np.random.default_rng(0)
    for _ in range(2):
        output = layer(*(world.tensor(value) for value in inputs))
        upstream = rng.standard_normal(output.shape)
        output.backward(world.tensor(upstream))


@pytest.mark.parametrize("form", ["arrays", "Tensors", "functional"])
@pytest.mark.parametrize(("name", "args", "inputs"), SPARSE)
def test_sparse_gradients_are_the_twin_s(name, args, inputs, form) -> None:
    """Also those of several backwards, which torch lists otherwise before they are summed."""
    text = f"{name}({args}, sparse=True, dtype=float64)"
    ours = eval(text, {name: getattr(nn, name), "float64": np.float64})
    twin = eval(text, {name: getattr(torch.nn, name), "float64": torch.float64})
    copy_weights(ours, twin)
    if form == "arrays":
        rng = np.random.default_rng(0)
        for _ in range(2):
            output = ours(*inputs)
            ours.backward(rng.standard_normal(output.shape))
    elif form == "Tensors":
        backward(ours, inputs, numpy_impl)
    else:
        backward(lambda *given: _called(ours, *given), inputs, numpy_impl)
    backward(twin, inputs, torch)
    assert isinstance(ours.weight.grad, SparseRows)
    assert ours.weight.grad.dtype == np.float64
    found, expected = ours.weight.grad.coalesce(), twin.weight.grad.coalesce()
    np.testing.assert_array_equal(found.indices(), expected.indices().numpy())
    np.testing.assert_allclose(found.values(), expected.values().numpy(), rtol=1e-12)
    # and the sum is what sparse=False gives
    ours.sparse = False
    ours.zero_grad()
    backward(ours, inputs, numpy_impl)
    np.testing.assert_allclose(found.to_dense(), ours.weight.grad, rtol=1e-12, atol=1e-15)


def _called(layer, input, *others):
    """The functional of a layer, on its weight."""
    options = {n: getattr(layer, n) for n in ("padding_idx", "max_norm", "norm_type", "sparse")}
    if isinstance(layer, nn.Embedding):
        return functional.embedding(input, layer.weight, **options)
    offsets, factors = (*others, None, None)[:2]
    options |= {"mode": layer.mode, "per_sample_weights": factors}
    return functional.embedding_bag(input, layer.weight, offsets, **options)


def test_sparse_and_dense_gradients_of_one_table_are_a_dense_one() -> None:
    index = np.array([1, 2, 1])
    for change in (
        lambda layer, i: (layer(i).sum() + (layer.weight**2).sum()).backward(),
        lambda layer, i: ((layer.weight**2).sum() + layer(i).sum()).backward(),
        lambda layer, i: (layer(i).sum().backward(), (layer.weight**2).sum().backward()),
        lambda layer, i: ((layer.weight**2).sum().backward(), layer(i).sum().backward()),
    ):
        ours, twin = (n.Embedding(4, 2, sparse=True) for n in (nn, torch.nn))
        copy_weights(ours, twin)
        change(ours, numpy_impl.tensor(index))
        change(twin, torch.from_numpy(index))
        assert isinstance(ours.weight.grad, np.ndarray)
        assert not twin.weight.grad.is_sparse
        np.testing.assert_allclose(ours.weight.grad, twin.weight.grad.numpy(), rtol=1e-6)
    kept = ours.weight.grad
    ours(numpy_impl.tensor(index)).sum().backward()
    assert ours.weight.grad is kept  # added to in place


def graded(**options):
    """A layer and its twin with gradients of few rows; one of those is listed twice."""
    ours, twin = (n.Embedding(5, 2, sparse=True, **options) for n in (nn, torch.nn))
    copy_weights(ours, twin)
    index = np.array([1, 3, 1])
    (ours(numpy_impl.tensor(index)) ** 2).sum().backward()
    (twin(torch.from_numpy(index)) ** 2).sum().backward()
    return ours, twin


def test_what_modules_do_with_a_sparse_gradient() -> None:
    ours, twin = graded()
    assert copy.deepcopy(ours).weight.grad is None
    assert pickle.loads(pickle.dumps(ours)).weight.grad is None
    grad = ours.weight.grad
    nn.utils.clip_grads_with_norm_(ours.parameters(), 1.0, 4.0)
    torch.nn.utils.clip_grads_with_norm_(twin.parameters(), 1.0, torch.tensor(4.0))
    assert ours.weight.grad is grad
    np.testing.assert_allclose(grad._values(), twin.weight.grad._values().numpy(), rtol=1e-6)
    ours.double()
    twin.double()
    assert ours.weight.grad.dtype == np.float64
    assert ours.weight.grad.is_sparse
    assert ours.weight.is_sparse is False
    ours.weight.grad = ours.weight.grad.coalesce() / 2
    with pytest.raises(ValueError, match=r"grad must have the shape of data \(5, 2\)"):
        ours.weight.grad = SparseRows([0], np.ones((1, 2)), (4, 2))
    for owner in (lambda module, _: module, lambda module, o: o.SGD(module.parameters(), lr=0.1)):
        ours, twin = graded()
        owner(ours, optim).zero_grad(set_to_none=False)
        owner(twin, torch.optim).zero_grad(set_to_none=False)
        assert ours.weight.grad._nnz() == twin.weight.grad._nnz() == 0
        assert ours.weight.grad.shape == (5, 2)
        owner(ours, optim).zero_grad()
        assert ours.weight.grad is None


@pytest.mark.parametrize(
    "call",
    [
        lambda u, p: u.clip_grad_norm_(p, 1.0),
        lambda u, p: u.clip_grad_value_(p, 1.0),
        lambda u, p: u.get_total_norm([q.grad for q in p]),
    ],
)
def test_what_torch_has_no_norm_of_has_none_here(call) -> None:
    ours, twin = graded()
    with pytest.raises(NotImplementedError, match=r"take their coalesce\(\).values\(\)"):
        call(nn.utils, list(ours.parameters()))
    with pytest.raises(NotImplementedError):
        call(torch.nn.utils, list(twin.parameters()))
    with pytest.raises(AttributeError, match="a gradient of few rows has no reshape"):
        nn.utils.parameters_to_vector([p.grad for p in ours.parameters()])


def test_hooks_see_few_rows_and_give_few_rows() -> None:
    found = []
    for namespace, world in ((nn, numpy_impl), (torch.nn, torch)):
        layer = namespace.Embedding(5, 2, sparse=True)
        seen: list = []
        layer.weight.register_hook(lambda grad, seen=seen: seen.append(grad.is_sparse))
        layer.weight.register_hook(lambda grad: grad * 3)
        layer(world.tensor([1, 1])).sum().backward()
        found.append((seen, layer.weight.grad._values().tolist()))
        layer.weight.register_hook(lambda grad: grad.to_dense())
        with pytest.raises(RuntimeError, match="hook"):
            layer(world.tensor([1, 1])).sum().backward()
    assert found[0] == found[1] == ([True, True], [[3.0, 3.0], [3.0, 3.0]])


def test_gradients_asked_for_by_name_and_of_tables_that_were_computed() -> None:
    ours, twin = graded()
    index = np.array([0, 4])
    (found,) = numpy_impl.autograd.grad(ours(numpy_impl.tensor(index)).sum(), ours.weight)
    (expected,) = torch.autograd.grad(twin(torch.from_numpy(index)).sum(), twin.weight)
    np.testing.assert_array_equal(found._indices(), expected._indices().numpy())
    assert ours.weight.grad._nnz() == 3  # left alone
    base = np.random.default_rng(0).standard_normal((5, 2))
    leaf, other = numpy_impl.tensor(base, requires_grad=True), to_torch(base).requires_grad_()
    (functional.embedding(index, leaf.exp(), sparse=True) ** 2).sum().backward()
    expected = torch.nn.functional.embedding(torch.from_numpy(index), other.exp(), sparse=True)
    (expected**2).sum().backward()
    np.testing.assert_allclose(leaf.grad, other.grad.to_dense().numpy(), rtol=1e-12)
    nn.utils.parametrizations.weight_norm(ours)
    ours(numpy_impl.tensor(index)).sum().backward()
    assert all(isinstance(p.grad, np.ndarray) for p in ours.parameters())
    assert numpy_impl.autograd.gradcheck(
        nn.Embedding(5, 2, sparse=True, dtype="float64"), (numpy_impl.tensor(index),)
    )


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_scale_grad_by_freq_has_no_sparse_gradient(name) -> None:
    index = np.array([[1, 1]])
    for namespace, world in ((nn, numpy_impl), (torch.nn, torch)):
        layer = getattr(namespace, name)(4, 2, scale_grad_by_freq=True, sparse=True)
        output = layer(world.tensor(index))
        with pytest.raises(RuntimeError, match="scale_grad_by_freq"):
            output.sum().backward()


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
@pytest.mark.parametrize("algorithm", ["SGD", "SGD, momentum", "Adagrad", "SparseAdam"])
def test_nothing_of_the_table_s_size_is_made(name, algorithm) -> None:
    """Neither in forward and backward nor in a step, once the state is there."""
    layer = getattr(nn, name)(50_000, 16, sparse=True, max_norm=3.0, padding_idx=7)
    name, *options = algorithm.split(", ")
    optimizer = getattr(optim, name)(layer.parameters(), lr=0.1, **dict.fromkeys(options, 0.9))
    index = np.random.default_rng(0).integers(0, 50_000, (8, 16))

    def step() -> None:
        optimizer.zero_grad()
        output = layer(index)
        layer.backward(np.ones_like(output))
        layer(numpy_impl.tensor(index)).sum().backward()
        optimizer.step()

    step()
    tracemalloc.start()
    try:
        step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < layer.weight.data.nbytes / 10
    assert np.count_nonzero((layer.weight.grad.to_dense() != 0).any(1)) <= index.size
