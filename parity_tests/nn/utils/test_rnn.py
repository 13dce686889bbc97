"""Packed and padded sequences, on arrays and on Tensors, beside torch's."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils import rnn as theirs

import numpy_impl
from numpy_impl.nn.utils import rnn as ours

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 3, 2))  # (T, N, C)


def assert_same(found: Any, wanted: Any) -> None:
    """Of the same structure, with the same values and dtypes."""
    if isinstance(wanted, tuple | list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    elif wanted is None:
        assert found is None
    else:
        values = found.data if isinstance(found, numpy_impl.Tensor) else found
        assert isinstance(values, np.ndarray)
        assert str(values.dtype) == str(wanted.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(values, wanted.detach().numpy())


def everywhere(function: Any, *arrays: Any) -> None:
    """``function(module, *arrays)`` for arrays, for Tensors and in torch; gradients, too."""
    before = [array.copy() for array in arrays]
    assert_same(function(ours, *arrays), function(theirs, *map(torch.tensor, arrays)))
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)
    leaves, grads = [], []
    for world, module in ((numpy_impl, ours), (torch, theirs)):
        tensors = [world.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        found = function(module, *tensors)
        leaves.append(found)
        rng, total = np.random.default_rng(1), 0.0
        for value in flat(found):
            if "float" in str(value.dtype):
                total = total + (value * world.tensor(rng.standard_normal(value.shape))).sum()
        if not isinstance(total, float):
            total.backward()
        grads.append([t.grad for t in tensors])
    assert_same(*leaves)
    for grad, wanted in zip(*grads, strict=True):
        assert (grad is None) == (wanted is None)
        if wanted is not None:
            np.testing.assert_array_equal(grad, wanted.numpy())


def flat(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in flat(part)]
    return [] if value is None else [value]


def first(values: Any, batch_first: bool) -> Any:
    return np.ascontiguousarray(values.swapaxes(0, 1)) if batch_first else values


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [[4, 4, 4], [4, 2, 1], [3, 3, 1], [1, 1, 1]], ids=str)
@pytest.mark.parametrize("x", [X, X[..., 0], np.arange(12).reshape(4, 3)], ids=["3d", "2d", "int"])
def test_pack_and_pad(x, lengths, batch_first) -> None:
    def there_and_back(m: Any, values: Any) -> Any:
        packed = m.pack_padded_sequence(values, lengths, batch_first)
        assert isinstance(packed, m.PackedSequence)
        padded = m.pad_packed_sequence(packed, batch_first, -2.0, 6)
        return packed, padded, m.pad_packed_sequence(packed), m.unpack_sequence(packed)

    everywhere(there_and_back, first(x, batch_first))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.booleans(), st.integers(0, 9))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_sequences_in_any_order(lengths, batch_first, seed) -> None:
    rng = np.random.default_rng(seed)
    x = first(rng.standard_normal((max(lengths) + seed % 2, len(lengths), 2)), batch_first)

    def there_and_back(m: Any, values: Any) -> Any:
        packed = m.pack_padded_sequence(values, lengths, batch_first, enforce_sorted=False)
        return packed, m.pad_packed_sequence(packed, batch_first), m.unpack_sequence(packed)

    everywhere(there_and_back, x)
    sequences = [rng.standard_normal((length, 2)) for length in lengths]
    everywhere(lambda m, *some: m.pack_sequence(list(some), enforce_sorted=False), *sequences)
    packed = ours.pack_sequence(sequences, enforce_sorted=False)
    for found, sequence in zip(ours.unpack_sequence(packed), sequences, strict=True):
        np.testing.assert_array_equal(found, sequence)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_pad_and_unpad(batch_first, side) -> None:
    sequences = [RNG.standard_normal((length, 2)) for length in (2, 4, 0, 3)]
    everywhere(lambda m, *some: m.pad_sequence(some, batch_first, 0.5, side), *sequences)
    integers = [np.arange(n) for n in (2, 4, 3)]
    everywhere(lambda m, *some: m.pad_sequence(list(some), batch_first, -1, side), *integers)
    for lengths in ([2, 9, 0], [2, 1, 4]):
        # a copy, since torch's transposes its argument in place
        everywhere(
            lambda m, values, sizes: m.unpad_sequence(values * 1, sizes, batch_first),
            first(X, batch_first),
            np.array(lengths),
        )
    narrow = [RNG.standard_normal((2, 3)), RNG.standard_normal((4, 1))]
    everywhere(lambda m, *some: m.pad_sequence(some, batch_first), *narrow)  # is repeated


def test_the_first_dtype_is_the_result_s() -> None:
    for a, b in (("float32", "float64"), ("float64", "float32")):
        everywhere(
            lambda m, *some: m.pad_sequence(some), np.ones((2, 2), a), np.full((3, 2), 0.1, b)
        )


def test_lengths_of_any_kind() -> None:
    wanted = theirs.pack_padded_sequence(torch.tensor(X), torch.tensor([3, 2, 1]))
    for lengths in (
        [3, 2, 1],
        (3, 2, 1),
        [3.9, 2.1, 1.0],
        np.array([3, 2, 1], np.int32),
        numpy_impl.tensor([3, 2, 1]),
    ):
        assert_same(ours.pack_padded_sequence(X, lengths), wanted)


def test_packed_sequences() -> None:
    everywhere(lambda m, order: m.invert_permutation(order), np.array([2, 0, 3, 1]))
    assert ours.invert_permutation(None) is None
    everywhere(lambda m, x, sizes: m.PackedSequence(x, sizes), X[0], np.array([2, 1]))
    everywhere(lambda m, x, sizes: m.PackedSequence((x, sizes)), X[0], np.array([2, 1]))
    everywhere(
        lambda m, x, sizes, order: m.PackedSequence(x, sizes, order),
        *(X[0], np.array([2, 1]), np.array([1, 0])),
    )
    for name in ("double", "float", "half", "long", "int", "short", "char", "byte", "cpu"):
        everywhere(
            lambda m, x, sizes, name=name: getattr(m.PackedSequence(x, sizes), name)(),
            *(np.arange(6.0).reshape(3, 2), np.array([2, 1])),
        )
    packed = ours.PackedSequence(X[0], np.array([2, 1]))
    assert packed.double() is packed.to("cpu") is packed
    assert packed.to("float32").data.dtype == np.float32
    assert isinstance(packed.float(), ours.PackedSequence)
    assert not packed.is_cuda
    assert not packed.is_pinned()
    with pytest.raises(TypeError, match="batch_sizes must be given, got None"):
        ours.PackedSequence(X)


def test_results_share_no_memory() -> None:
    lengths = [4, 4, 4]
    packed = ours.pack_padded_sequence(X, lengths)
    padded, _ = ours.pad_packed_sequence(packed)
    again = ours.pad_sequence([X, X])
    parts = ours.unpad_sequence(X, lengths)
    for result in (packed.data, padded, again, *parts):
        assert not np.shares_memory(result, X)
        assert not np.shares_memory(result, packed.data) or result is packed.data


PACKED = ours.pack_padded_sequence(X, [3, 2, 2])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda m, x: m.pack_padded_sequence(x, [3, 2]), RuntimeError, "for each of the 3"),
        (lambda m, x: m.pack_padded_sequence(x, [[3, 2, 1]]), RuntimeError, r"got shape \(1, 3\)"),
        (lambda m, x: m.pack_padded_sequence(x, [1, 2, 3]), RuntimeError, "enforce_sorted=False"),
        (lambda m, x: m.pack_padded_sequence(x, [2, 1, 0]), RuntimeError, "between 1 and 4, got"),
        (lambda m, x: m.pack_padded_sequence(x[:, :0], []), RuntimeError, "must not be empty"),
        (lambda m, x: m.pad_packed_sequence(m.pack_padded_sequence(x, [3, 2, 2]), total_length=2),
         ValueError, "at least the longest length 3, got 2"),
        (lambda m, x: m.pad_sequence([]), RuntimeError, "sequences must be one at least"),
        (lambda m, x: m.pad_sequence(5), RuntimeError, "must be iterable, got 5"),
        (lambda m, x: m.pad_sequence([x, x[:, :2]]), RuntimeError, "alike in all axes but"),
        (lambda m, x: m.pad_sequence([x, x[..., 0]]), RuntimeError, "alike in all axes but"),
        (lambda m, x: m.pad_sequence([x[0, 0, 0]]), RuntimeError, r"an axis, got shapes \[\(\)\]"),
        (lambda m, x: m.pad_sequence([x], padding_side="x"), RuntimeError, "left or right, got x"),
        (lambda m, x: m.unpad_sequence(x * 1, x[:2, 0, 0]), ValueError, "must have 3 entries"),
        (lambda m, x: m.pack_sequence([x[:2], x]), RuntimeError, r"lengths must not rise.*\[2, 4"),
        (lambda m, x: m.pack_sequence([]), RuntimeError, "sequences must be one at least"),
    ],
)  # fmt: skip
def test_wrong_use(make, error, message) -> None:
    """An error of torch's own type; on Tensors the same."""
    for value in (X, numpy_impl.tensor(X)):
        with pytest.raises(error, match=message):
            make(ours, value)
    with pytest.raises(error):
        make(theirs, torch.tensor(X))


def test_where_torch_is_silent_or_says_something_else() -> None:
    with pytest.raises(RuntimeError, match="between 1 and 4, got"):
        ours.pack_padded_sequence(X, [9, 2, 1])  # torch packs what does not belong together
    with pytest.raises(ValueError, match="two axes at least"):
        ours.pack_padded_sequence(X[0, 0], [1])
