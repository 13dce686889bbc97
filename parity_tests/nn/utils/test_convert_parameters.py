"""Parameters as one vector, and back: torch's."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import utils
from torch_ref.convert import copy_weights, to_torch


def models():
    ours = nn.Sequential(nn.Linear(3, 2), nn.Conv1d(2, 4, 3, bias=False))
    twin = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Conv1d(2, 4, 3, bias=False))
    copy_weights(ours, twin)
    return ours, twin


def test_to_a_vector_with_its_gradient() -> None:
    ours, twin = models()
    vector = utils.parameters_to_vector(ours.parameters())
    other = torch.nn.utils.parameters_to_vector(twin.parameters())
    np.testing.assert_array_equal(vector.data, other.detach().numpy())
    upstream = np.random.default_rng(0).standard_normal(vector.shape).astype("float32")
    vector.backward(numpy_impl.tensor(upstream))
    other.backward(to_torch(upstream))
    for p, q in zip(ours.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(p.grad, q.grad.numpy())


def test_of_arrays_and_of_both() -> None:
    arrays = [np.arange(6.0).reshape(2, 3), np.array(7.0)]
    vector = utils.parameters_to_vector(arrays)
    assert type(vector) is np.ndarray
    np.testing.assert_array_equal(vector, [0, 1, 2, 3, 4, 5, 7])
    assert not np.shares_memory(utils.parameters_to_vector(arrays[:1]), arrays[0])
    both = utils.parameters_to_vector([arrays[0], numpy_impl.tensor(7.0, dtype=np.float64)])
    assert isinstance(both, numpy_impl.Tensor)
    np.testing.assert_array_equal(both.data, vector)


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("extra", [0, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_from_a_vector(kind, extra, dtype) -> None:
    ours, twin = models()
    parameters = list(ours.parameters())
    count = sum(p.numel() for p in parameters)
    values = np.random.default_rng(0).standard_normal(count + extra).astype(dtype)
    utils.vector_to_parameters(
        values if kind == "array" else numpy_impl.tensor(values), ours.parameters()
    )
    torch.nn.utils.vector_to_parameters(to_torch(values), twin.parameters())
    for p, q in zip(parameters, twin.parameters(), strict=True):
        assert p.shape == tuple(q.shape)
        assert p.dtype == dtype
        np.testing.assert_array_equal(p.data, q.detach().numpy())
        assert not np.shares_memory(p.data, values)
    assert list(ours.parameters()) == parameters


def test_wrong_use() -> None:
    ours, _ = models()
    with pytest.raises(TypeError, match="vec must be a Tensor or an array, got list"):
        utils.vector_to_parameters([1.0], ours.parameters())
    with pytest.raises(RuntimeError, match="vec must have 8 elements or more, got 7"):
        utils.vector_to_parameters(np.ones(7), ours.parameters())
