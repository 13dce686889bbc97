"""Small files that would become large ones, or that are no files: what the fuzzing has found."""

import bz2
import io
import struct
import zipfile

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl.io import FileError
from parity_tests.fuzz.mutate import array_bytes
from parity_tests.io.test_refused import (
    SIX,
    Call,
    Id,
    call,
    legacy_file,
    named,
    pickled,
    refuse,
    text,
    zip_file,
)

CENTRAL = b"PK\x01\x02"


def npz(content: bytes, compression: int = zipfile.ZIP_STORED) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("a.npy", content)
    return bytearray(file.getvalue())


def test_an_archive_that_points_before_its_start_is_damaged(tmp_path) -> None:
    """On disk such a seek is an OSError, in memory a ValueError."""
    data = npz(array_bytes(np.arange(3)))
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 16, data.index(CENTRAL) + 1)  # all is found one byte earlier
    (tmp_path / "a.npz").write_bytes(data)
    for file in (tmp_path / "a.npz", io.BytesIO(data)):
        with pytest.raises(FileError, match="damaged"):
            numpy_impl.load(file)


def test_a_system_s_error_is_no_damage(tmp_path) -> None:
    class Broken(io.BytesIO):
        def read(self, *_):
            raise OSError(22, "Invalid argument")

    with pytest.raises(OSError, match="Invalid argument"):
        numpy_impl.load(Broken())


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_whose_unpacking_has_no_bound(packing) -> None:
    """Python's zipfile unpacks of these whatever there is, not what the record says it has."""
    content = array_bytes(np.zeros(10**7, np.uint8))
    data = npz(content, packing)
    struct.pack_into("<I", data, data.rindex(CENTRAL) + 24, 2000)  # its size, unpacked
    refuse(bytes(data))
    assert len(bz2.compress(content)) < 2000


def test_broken_streams_of_such_packings() -> None:
    for packing in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        data = npz(array_bytes(np.arange(9)))
        struct.pack_into("<H", data, data.rindex(CENTRAL) + 10, packing)
        struct.pack_into("<H", data, 8, packing)
        refuse(bytes(data))


def test_a_record_larger_than_its_file() -> None:
    data = npz(array_bytes(np.arange(9)))
    struct.pack_into("<II", data, data.rindex(CENTRAL) + 20, 2**17, 2**17)
    with pytest.raises(FileError, match="is said to have 131072 bytes"):
        numpy_impl.load(io.BytesIO(data))


def overlapping(size: int) -> bytes:
    """An archive of 1,000 records that are all the same bytes, each ``size`` of them unpacked."""
    data = npz(array_bytes(np.zeros(size, np.uint8)), zipfile.ZIP_DEFLATED)
    start, end = data.rindex(CENTRAL), data.rindex(b"PK\x05\x06")
    entries = bytes(data[start:end]) * 1000
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 1000, 1000, len(entries))
    return bytes(data[:start]) + entries + bytes(tail)


def test_records_that_overlap_are_not_unpacked_beyond_the_bound() -> None:
    refuse(overlapping(10**6))


@pytest.mark.parametrize(
    "header",
    [b"(", b"-" * 9000 + b"1", b"[" * 9000, b"{'shape': (3,", b"{'a': 'b", b"{1:" * 3000, b"\0"],
    ids=lambda header: header[:9].decode(),
)
def test_headers_that_python_can_not_parse(header) -> None:
    for version in (1, 2, 3):
        size = struct.pack("<H" if version == 1 else "<I", len(header))
        data = npz(b"\x93NUMPY" + bytes([version, 0]) + size + header)
        with pytest.raises(FileError, match="damaged"):
            numpy_impl.load(io.BytesIO(data))


LONG = 30_000
BOMBS = {
    "a text as bytes, again and again": b"\x80\x02"
    + text("a" * LONG)
    + b"q\x000"
    + named("_codecs.encode")
    + b"q\x010]("
    + b"h\x01h\x00X\x06\x00\x00\x00latin1\x86R" * 2000
    + b"e.",
    "a list as sets": b"\x80\x02]("
    + b"".join(b"M" + struct.pack("<H", i) for i in range(LONG))
    + b"eq\x000"
    + named("__builtin__.set")
    + b"q\x010]("
    + b"h\x01h\x00\x85R" * 1000
    + b"e.",
    "bytes as arrays": b"\x80\x02"
    + call(named("_codecs.encode"), text("a" * LONG), text("latin1"))
    + b"q\x000"
    + call(named("numpy.dtype"), text("u1"))
    + b"q\x010]("
    + (
        call(named("numpy.core.multiarray._reconstruct"), b"NNN")
        + b"(K\x01M"
        + struct.pack("<H", LONG)
        + b"\x85h\x01\x89h\x00tb"
    )
    * 2000
    + b"e.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_a_pickle_names_again_and_again_is_not_copied_without_end(name) -> None:
    with pytest.raises(FileError, match="makes more of its values than it has"):
        numpy_impl.load(io.BytesIO(zip_file(BOMBS[name])))
    with pytest.raises(FileError, match="makes more of its values than it has"):
        numpy_impl.load(io.BytesIO(legacy_file(BOMBS[name])))


@pytest.mark.parametrize("flag", ["conj", "neg"])
def test_the_conjugate_of_a_view_of_any_size(flag) -> None:
    storage = Id(("storage", torch.FloatStorage, "0", "cpu", 6))
    tensor = Call(
        torch._utils._rebuild_tensor_v2, storage, 0, (2**26,), (0,), False, {}, {flag: True}
    )
    refuse(zip_file(pickled(tensor), data_0=SIX))


def test_a_key_of_many_parts() -> None:
    """To hash it costs as much as it is long, each time that it is named."""
    key = b"(" + b"K\x01" * 65 + b"t"
    refuse(zip_file(b"\x80\x02}" + key + b"K\x01s."))
    fine = zip_file(b"\x80\x02}" + key.replace(b"K\x01", b"", 1) + b"K\x01s.")
    assert numpy_impl.load(io.BytesIO(fine)) == {(1,) * 64: 1}
