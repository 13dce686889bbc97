"""Sequences of different lengths: packed for the recurrent layers, padded for all others.

For arrays and for Tensors: a function returns what it is given, and gradients flow through it.
A packed batch has the elements of all sequences in rows, those of the first time step before those
of the second, without the padding: so each step of a recurrence is a slice. In each step the
longest sequence comes first.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import numpy as np

from numpy_impl.nn.checks import names_itself
from numpy_impl.tensor.tensor import Tensor, record, to_array

Array = np.ndarray


class _Packed(NamedTuple):
    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


class PackedSequence(_Packed):
    """A packed batch: what the functions below make, and recurrent layers take and return.

    Args:
        data: the elements of all sequences, (M, ...), an array or a Tensor.
        batch_sizes: how many sequences each time step has, int64, never rising.
        sorted_indices: where each sequence was before they were sorted by length; None: there.
        unsorted_indices: the inverse, made of the other unless given.

    Raises:
        TypeError: if ``batch_sizes`` is missing.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.PackedSequence.html
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Any = None,
        sorted_indices: Any = None,
        unsorted_indices: Any = None,
    ) -> Self:
        if batch_sizes is None:
            if not isinstance(data, tuple | list) or len(data) != 2:
                raise TypeError("PackedSequence: batch_sizes must be given, got None")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    @property
    def is_cuda(self) -> bool:
        """False: there is no other place than the CPU."""
        return False

    def is_pinned(self) -> bool:
        """False, as for everything here."""
        return False

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """With ``data`` in another dtype; itself if it is of that dtype."""
        is_tensor = isinstance(self.data, Tensor)
        data = (self.data if is_tensor else Tensor(self.data)).to(*args, **kwargs)
        data = data if is_tensor else to_array(data)
        return self if data.dtype == self.data.dtype else self._replace(data=data)

    def cpu(self) -> Self:
        """Itself."""
        return self

    def double(self) -> Self:
        """With ``data`` in float64."""
        return self.to(np.float64)

    def half(self) -> Self:
        """With ``data`` in float16."""
        return self.to(np.float16)

    def long(self) -> Self:
        """With ``data`` in int64."""
        return self.to(np.int64)

    def short(self) -> Self:
        """With ``data`` in int16."""
        return self.to(np.int16)

    def char(self) -> Self:
        """With ``data`` in int8."""
        return self.to(np.int8)

    def byte(self) -> Self:
        """With ``data`` in uint8."""
        return self.to(np.uint8)

    def float(self) -> Self:
        """With ``data`` in float32."""
        return self.to(np.float32)

    def int(self) -> Self:
        """With ``data`` in int32."""
        return self.to(np.int32)


def invert_permutation(permutation: Any) -> Any:
    """The permutation that undoes it: where each number stands; None for None.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.invert_permutation.html
    """
    if permutation is None:
        return None
    order = to_array(permutation)
    inverse = np.empty_like(order)
    inverse[order] = np.arange(order.size)
    return _like(permutation, inverse)


@names_itself
def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """A padded batch, packed.

    Args:
        input: (T, N, ...), or with ``batch_first`` (N, T, ...).
        lengths: of the N sequences, as a list, array or Tensor.
        batch_first: the order of input's first two axes.
        enforce_sorted: True demands lengths that do not rise; False sorts the sequences, and the
            result knows their order.

    Raises:
        RuntimeError: if ``lengths`` has not N entries from 1 to T, or they rise.
        ValueError: if ``input`` has less than two axes.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_padded_sequence.html
    """
    x, sizes = to_array(input), np.array(to_array(lengths)).astype(np.int64)
    if x.ndim < 2:
        raise ValueError(f"input must have two axes at least, got shape {x.shape}")
    times, n = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    if not x.size:
        raise RuntimeError(f"pack_padded_sequence: input must not be empty, got shape {x.shape}")
    if sizes.shape != (n,):
        raise RuntimeError(
            f"pack_padded_sequence: lengths must have one entry for each of the {n} sequences, "
            f"got shape {sizes.shape}"
        )
    if not 0 < sizes.min() <= sizes.max() <= times:  # (torch makes too long ones of what it has)
        raise RuntimeError(
            f"pack_padded_sequence: lengths must lie between 1 and {times}, got {sizes.tolist()}"
        )
    order = None if enforce_sorted else np.argsort(-sizes, kind="stable")
    if order is None and (np.diff(sizes) > 0).any():
        raise RuntimeError(
            "pack_padded_sequence: lengths must not rise unless enforce_sorted=False, "
            f"got {sizes.tolist()}"
        )
    batch_sizes = np.count_nonzero(sizes > np.arange(sizes.max())[:, None], axis=1)
    places = _places(batch_sizes, order, batch_first)
    data: Any = x[places]
    if isinstance(input, Tensor):
        way_back = (input, lambda g: _at(places, g, x.shape))
        data = record(data, "pack_padded_sequence", way_back)
    indices = None if order is None else _like(input, order)
    return PackedSequence(data, _like(input, batch_sizes), indices)


@names_itself
def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, Any]:
    """A packed batch, padded: (T, N, ...), and the lengths; in the order before sorting.

    Args:
        sequence: the packed batch.
        batch_first: True for (N, T, ...).
        padding_value: what fills up.
        total_length: T; unless given the length of the longest sequence.

    Raises:
        ValueError: if ``total_length`` is less than that.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_packed_sequence.html
    """
    batch_sizes = to_array(sequence.batch_sizes)
    times = len(batch_sizes) if total_length is None else total_length
    if times < len(batch_sizes):
        raise ValueError(
            f"total_length must be at least the longest length {len(batch_sizes)}, "
            f"got {total_length}"
        )
    n = int(batch_sizes[0])
    lengths = np.count_nonzero(batch_sizes[:, None] > np.arange(n), axis=0)
    order = to_array(invert_permutation(sequence.unsorted_indices))
    if order is not None:
        lengths = lengths[to_array(sequence.unsorted_indices)]
    places, rows = _places(batch_sizes, order, batch_first), to_array(sequence.data)
    shape = (n, times) if batch_first else (times, n)
    padded: Any = _at(places, rows, (*shape, *rows.shape[1:]), padding_value)
    if isinstance(sequence.data, Tensor):
        padded = record(padded, "pad_packed_sequence", (sequence.data, lambda g: g[places]))
    return padded, _like(sequence.data, lengths)


def pad_sequence(
    sequences: Any,
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """Sequences side by side, filled up to the longest one's length.

    Args:
        sequences: (T_i, ...) each; the axes behind the first are the same.
        batch_first: True for (N, T, ...) instead of (T, N, ...).
        padding_value: what fills up.
        padding_side: "right": behind the sequences; "left": before them.

    Raises:
        RuntimeError: if there is no sequence, their shapes do not fit, or for another side.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pad_sequence.html
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"pad_sequence: sequences must be iterable, got {sequences!r}")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"pad_sequence: padding_side must be left or right, got {padding_side}")
    sequences = tuple(sequences)
    arrays = [to_array(sequence) for sequence in sequences]
    shapes = [array.shape for array in arrays]
    if not shapes or () in shapes:
        raise RuntimeError(
            f"pad_sequence: sequences must be one at least, each with an axis, got shapes {shapes}"
        )
    times = max(map(len, arrays))
    shape = (times, len(arrays), *shapes[0][1:])
    padded: Any = np.full(shape, padding_value, arrays[0].dtype)
    places = []
    for i, array in enumerate(arrays):
        begin = times - len(array) if padding_side == "left" else 0
        place = (slice(begin, begin + len(array)), i)
        try:
            padded[place] = array
        except ValueError:
            raise RuntimeError(
                "pad_sequence: sequences must be alike in all axes but the first, "
                f"got shapes {shapes}"
            ) from None
        places.append(place[::-1] if batch_first else place)
    padded = padded.swapaxes(0, 1).copy() if batch_first else padded
    if not any(isinstance(sequence, Tensor) for sequence in sequences):
        return padded
    ways: list[Any] = [(s, partial(_part, p)) for s, p in zip(sequences, places, strict=True)]
    return record(padded, "pad_sequence", *ways)


@names_itself
def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded batch, one by one. (torch's transposes its input in place.)

    Args:
        padded_sequences: (T, N, ...), or with ``batch_first`` (N, T, ...).
        lengths: of the N sequences.
        batch_first: the order of the first two axes.

    Raises:
        ValueError: if ``lengths`` has not N entries.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.unpad_sequence.html
    """
    sizes = np.asarray(to_array(lengths)).tolist()
    n = padded_sequences.shape[0 if batch_first else 1]
    if len(sizes) != n:
        raise ValueError(f"lengths must have {n} entries, one for each sequence, got {sizes}")
    places = [(slice(max(size, 0)), i) for i, size in enumerate(sizes)]
    found = [padded_sequences[place[::-1] if batch_first else place] for place in places]
    return [part if isinstance(part, Tensor) else part.copy() for part in found]


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences, packed.

    Args:
        sequences: (T_i, ...) each; the axes behind the first are the same.
        enforce_sorted: True demands lengths that do not rise.

    Raises:
        RuntimeError: if there is no sequence, an empty one, shapes do not fit, or lengths rise.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.pack_sequence.html
    """
    padded = pad_sequence(sequences)
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(padded, lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The sequences of a packed batch, one by one, in the order before sorting.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.rnn.unpack_sequence.html
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def _places(batch_sizes: Array, order: Array | None, batch_first: bool) -> tuple[Array, Array]:
    """Where in the padded batch each row of a packed one is."""
    time = np.repeat(np.arange(len(batch_sizes)), batch_sizes)
    first_rows = np.cumsum(batch_sizes) - batch_sizes
    sequence = np.arange(len(time)) - np.repeat(first_rows, batch_sizes)
    if order is not None:
        sequence = order[sequence]
    return (sequence, time) if batch_first else (time, sequence)


def _at(places: Any, rows: Array, shape: tuple[int, ...], value: float = 0) -> Array:
    padded = np.full(shape, value, rows.dtype)
    padded[places] = rows
    return padded


def _part(place: Any, array: Array) -> Array:
    return array[place]


def _like(given: Any, array: Array) -> Any:
    """A Tensor if what was given is one."""
    return Tensor(array) if isinstance(given, Tensor) else array


__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]
