"""Files with turned bits, lost bytes, or cut off: an error of one kind, never a wrong access."""

import io
import random
import time
import zipfile

import numpy as np
import pytest
import safetensors.numpy

import numpy_impl
from numpy_impl.io import FileError
from parity_tests.io.test_files import PLAIN, rezipped, tensors, torch_file


def whole_files() -> dict[str, bytes]:
    small = {key: value for key, value in tensors().items() if key != "expanded"}
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(3, np.int8)}
    npz = io.BytesIO()
    np.savez_compressed(npz, **arrays)
    objects = {**small, **PLAIN, "scalar": np.float64(1), "array": np.arange(3)}
    return {
        "zip": torch_file(objects).getvalue(),
        "zip, protocol 4": torch_file({**small, **PLAIN}, pickle_protocol=4).getvalue(),
        "legacy": torch_file(objects, _use_new_zipfile_serialization=False).getvalue(),
        "npz": npz.getvalue(),
        "safetensors": safetensors.numpy.save(arrays),
    }


def mutated(data: bytes, rng: random.Random) -> bytes:
    """With some bits turned, some bytes replaced, left out or doubled, or cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at, length = rng.randrange(len(changed)), rng.choice([1, 1, 2, 8, 40])
        kind = rng.randrange(5)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at : at + length] = rng.randbytes(length)
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        elif rng.random() < 0.3:
            del changed[at:]
        if not changed:
            break
    return bytes(changed)


def arrays_in(value) -> list:
    """Every array of a nest, which may be as deep as it likes, or hold itself."""
    found, seen, left = [], set(), [value]
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            found.append(value)
        elif isinstance(value, numpy_impl.Tensor):
            found.append(value.data)
        elif isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list | tuple):
            left += value
    return found


def inside_its_memory(array: np.ndarray) -> bool:
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if not array.size or owner is array:
        return True
    (start, end), (first, last) = map(np.lib.array_utils.byte_bounds, (array, owner))
    return first <= start <= end <= last


@pytest.mark.parametrize("name", list(whole_files()))
def test_damaged_files(name) -> None:
    """Thousands of mutations: an error of one kind, or values that stay inside their memory."""
    data, rng = whole_files()[name], random.Random(0)
    numpy_impl.load(io.BytesIO(data))
    refused = 0
    for number in range(600):
        if "zip" in name and number % 2:  # the pickle alone, under a right checksum

            def change(record, old):
                return mutated(old, rng) if record.endswith("data.pkl") else old

            damaged = rezipped(io.BytesIO(data), change).getvalue()
        else:
            damaged = mutated(data, rng)
        start = time.perf_counter()
        try:
            loaded = numpy_impl.load(io.BytesIO(damaged))
        except FileError:
            refused += 1
        else:
            assert all(map(inside_its_memory, arrays_in(loaded)))
        assert time.perf_counter() - start < 5
    assert refused > 100


@pytest.mark.parametrize("name", list(whole_files()))
def test_files_that_are_cut_off(name) -> None:
    data = whole_files()[name]
    for length in {
        *range(0, len(data), max(1, len(data) // 100)),
        *range(len(data) - 30, len(data)),
    }:
        with pytest.raises(FileError):
            numpy_impl.load(io.BytesIO(data[:length]))


@pytest.mark.parametrize("name", ["zip", "npz"])
def test_a_turned_bit_of_a_value_is_noticed(name) -> None:
    data = whole_files()[name]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = max(archive.infolist(), key=lambda info: info.file_size)
        at = data.index(info.filename.encode(), info.header_offset) + info.compress_size
    with pytest.raises(FileError):
        numpy_impl.load(io.BytesIO(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]))


def test_arrays_are_found_in_deep_nests_and_in_what_holds_itself() -> None:
    first, second = np.zeros(1), np.ones(2)
    nest: tuple = (first,)
    for _ in range(5000):
        nest = (nest, second)
    endless: list = [{"nest": nest}]
    endless.append(endless)
    assert sorted(map(len, arrays_in(endless))) == [1, 2]
