"""Files changed at random: their bytes, and what is inside of them under a right checksum."""

import ast
import functools
import gzip
import io
import json
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import safetensors.numpy

from experiments import checkpoint
from numpy_impl.io.torch_names import NAMES

Random = random.Random
# what sizes, offsets and counts are never meant to be
EXTREMES = (0, 1, -1, 12, 14, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1)
_DEEP = 10**5
_RARE = 0.02  # for what takes a millisecond to read

RAW = (  # pieces of JSON, some of them more than Python can hold
    *("null", "true", "NaN", "Infinity", "1e400", "-1e400", "1" + "0" * 400, "1" * 5000, "-0.0"),
    *(
        '""',
        '"a"',
        '".."',
        '"../../etc/passwd"',
        '"a\\u0000b"',
        '"\\ud800"',
        '"' + "a" * 5000 + '"',
    ),
    *("[]", "{}", "[[]]", "[0, 0]", "[-1]", "[1.5]", '["a", {}]', '{"a": 1, "a": 2}'),
    *(f"{number}" for number in EXTREMES),
    *(f"[{number}, {number}]" for number in EXTREMES),
    *(
        '"F32"',
        '"I64"',
        '"BOOL"',
        '"F8_E4M3"',
        '"BF16"',
        '"torch"',
        '"x.py:f"',
        '{"__array__": "0"}',
    ),
    *('{"__array__": "x"}', '{"items": [["a", 1]]}', '{"items": [[[], 1]]}', '{"items": 1}'),
)
_HOSTILE = (
    *("os system", "posix system", "builtins eval", "builtins exec", "builtins getattr"),
    *("builtins __import__", "subprocess Popen", "importlib import_module", "torch load"),
    *("numpy load", "builtins bytearray", "builtins range", "copyreg _reconstructor"),
    *("functools partial", "os path.os.system", "numpy_impl.io.unpickling Function"),
)


def mutated(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """One or several changes, somewhere inside ``data`` or in the bytes themselves."""
    inside = _inside(data)
    if inside is not None and rng.random() < 0.7:
        return inside(data, rng, others)
    return mutated_bytes(data, rng, others)


def _inside(data: bytes) -> Callable[[bytes, Random, Sequence[bytes]], bytes] | None:
    """How to change what a file of this format holds."""
    if data.startswith(b"PK\x03\x04"):
        return _zip
    if data.startswith(b"\x1f\x8b"):
        return _gzip
    if data.startswith(b"\x93NUMPY"):
        return _npy
    if data.startswith(b"{"):
        return _json
    if data[8:9] == b"{":
        return _safetensors
    return _pickles if data.startswith(b"\x80") else None


def mutated_bytes(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Bits turned, bytes replaced, left out, doubled, moved, cut off, or another file's."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        if not changed:
            break
        at, length = rng.randrange(len(changed)), rng.choice([1, 1, 2, 8, 40])
        kind = rng.randrange(9)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at : at + length] = rng.randbytes(length)
        elif kind == 2:
            del changed[at : at + length]
        elif kind == 3:
            changed[at:at] = changed[at : at + length] * rng.choice([1, 1, 10])
        elif kind == 4:  # a length, perhaps
            size, order = rng.choice([2, 4, 8]), rng.choice(["little", "big"])
            number = rng.choice(EXTREMES) % 2 ** (8 * size)
            changed[at : at + size] = number.to_bytes(size, order)
        elif kind == 5:
            piece = changed[at : at + length]
            del changed[at : at + length]
            to = rng.randint(0, len(changed))
            changed[to:to] = piece
        elif kind == 6:
            other = rng.choice(others)
            start = rng.randrange(len(other))
            changed[at : at + rng.choice([0, length])] = other[start : start + length]
        elif rng.random() < 0.3:
            other = rng.choice(others)
            changed[at:] = other[rng.randrange(len(other)) :] if kind == 7 else b""
    return bytes(changed)


def _zip(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A record changed, left out, or twice there; its checksum is right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        records = [(info.filename, archive.read(info)) for info in infos]
    at = rng.randrange(len(records))
    for i, (name, _) in enumerate(records):  # mostly what says what the others are
        if name.endswith("data.pkl") and rng.random() < 0.7:
            at = i
    (name, old), info, kind = records[at], infos[at], rng.randrange(12)
    if kind == 0:
        del records[at]
    elif kind == 1:
        records.insert(at, rng.choice(records))
    elif kind == 2:
        records[at] = (name, rng.choice(records)[1])
    elif kind == 3:
        records[at] = (rng.choice(["../a", "/a", "", "a.npy", name + "\0", name[:-1]]), old)
    else:
        records[at] = (name, mutated(old, rng, others))
    result = io.BytesIO()
    packed = rng.choice([zipfile.ZIP_STORED] * 9 + [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(result, "w") as archive:
        for entry, content in records:
            archive.writestr(zipfile.ZipInfo(entry), content, packed or info.compress_type)
    changed = result.getvalue()
    return changed if rng.random() < 0.8 else mutated_bytes(changed, rng, others)


def _gzip(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    content = mutated_bytes(gzip.decompress(data), rng, others)
    return gzip.compress(content, 1, mtime=0)


def _npy(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The header's text changed, and said to be as long as it is."""
    size = int.from_bytes(data[8:10], "little")
    header, values = data[10 : 10 + size], data[10 + size :]
    if rng.random() < 0.5:
        fields = ast.literal_eval(header.decode())
        number = rng.choice(EXTREMES)
        fields[rng.choice(["descr", "shape", "fortran_order", "more"])] = rng.choice(
            [
                *(number, (number,), (number, number), (0, number), (3,) * 70, True, None),
                *("|O", ">f8", "<M8", "V9", "f4,f4", "|b1", [("a", "<f8")], ("<f8", (number,))),
            ]
        )
        header = repr(fields).encode()
    elif rng.random() < 0.1:
        header = rng.choice([b"(", b"-", b"[", b"{1:", b"1,"]) * 9000
    else:
        header = mutated_bytes(header, rng, others)
    version = rng.choice([1, 1, 2, 3])
    length = struct.pack("<H" if version == 1 else "<I", min(len(header), 2**16 - 1))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + values


def _json(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    if rng.random() < 0.2:
        return mutated_bytes(data, rng, others)
    return mutated_json(data.decode(), rng).encode("utf-8", "surrogatepass")


def mutated_json(text: str, rng: Random) -> str:
    """A value replaced, left out, or another field's; a field that is there twice; deep nests."""
    tree = json.loads(text)
    for _ in range(rng.choice([1, 1, 2])):
        holder, key = rng.choice(_places(tree) or [([0], 0)])
        kind = rng.randrange(5)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice(["a", "..", "\0", "", "__metadata__", "ü", "__array__"])] = holder[
                key
            ]
        elif kind == 2:
            other, there = rng.choice(_places(tree) or [([0], 0)])
            holder[key] = json.loads(json.dumps(other[there]))
        else:
            holder[key] = "@raw@"
    raw = rng.choice(RAW)
    if rng.random() < _RARE:
        depth, (left, right) = (
            rng.choice([400, 900, _DEEP]),
            rng.choice([("[", "]"), ('{"a":', "}")]),
        )
        raw = left * depth + "1" + right * depth
    elif rng.random() < 0.1:
        raw = f"1, {json.dumps(rng.choice(list(tree) or ['a']))}: {raw}"
    return json.dumps(tree).replace('"@raw@"', raw)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Where the values of a nest of dicts and lists stand."""
    found: list[tuple[Any, Any]] = []
    left = [tree]
    while left:
        holder = left.pop()
        keys = holder if isinstance(holder, dict) else range(len(holder))
        for key in list(keys):
            found.append((holder, key))
            if isinstance(holder[key], dict | list):
                left.append(holder[key])
    return found


def _safetensors(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """The header changed; or the metadata in it, half of the time with a checksum that fits."""
    size = int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8 : 8 + size]), data[8 + size :]
    inner = header.get("__metadata__", {}).get("json")
    if inner is None or rng.random() < 0.4:
        text = mutated_json(json.dumps(header), rng)
    else:
        changed = mutated_json(inner, rng)
        header["__metadata__"]["json"] = _signed(inner, changed, data) or changed
        text = json.dumps(header)
    head = text.encode("utf-8", "surrogatepass")
    return len(head).to_bytes(8, "little") + head + values


def _signed(old: str, new: str, data: bytes) -> str | None:
    """``new`` with the checksum that it should have, in place of the old one's."""
    try:
        metadata = json.loads(new)
        written = metadata.pop("checksum")
        wanted = checkpoint._checksum(safetensors.numpy.load(data), metadata)
        return new.replace(written, wanted)
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError):
        return None


# -- pickles, instruction by instruction --------------------------------------------------------


@functools.cache
def _instructions(data: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """The instructions of the pickles that ``data`` begins with, and what comes after them."""
    found, stream, start = [], io.BytesIO(data), 0
    while data[start : start + 1] == b"\x80":
        try:
            places = [place for _, _, place in pickletools.genops(stream)]
        except ValueError:
            break
        places.append(stream.tell())
        found += [data[a:b] for a, b in pairwise(places)]
        start = stream.tell()
    return tuple(found), data[start:]


def _of_length(opcode: bytes, size: int, length: int) -> bytes:
    return opcode + (length % 2 ** (8 * size)).to_bytes(size, "little") + b"ab"


@functools.cache
def _pool() -> tuple[bytes, ...]:
    """Instructions to put somewhere: each there is, names good and bad, sizes that can't be."""
    bare = [op.code.encode("latin1") for op in pickletools.opcodes if op.arg is None]
    names = [name.rpartition(".") for name in NAMES]
    return (
        *(3 * bare),
        *(f"c{module}\n{name}\n".encode() for module, _, name in names),
        *(f"c{name.replace(' ', chr(10))}\n".encode() for name in _HOSTILE),
        *(f"(i{name.replace(' ', chr(10))}\n".encode() for name in _HOSTILE),
        *(_text(part) for name in _HOSTILE for part in name.split()),
        *(_of_length(b"X", 4, n) for n in EXTREMES),  # BINUNICODE
        *(_of_length(b"\x8d", 8, n) for n in (*EXTREMES, 2**60)),  # BINUNICODE8
        *(_of_length(b"B", 4, n) for n in EXTREMES),  # BINBYTES
        *(_of_length(b"\x8e", 8, n) for n in (*EXTREMES, 2**60)),  # BINBYTES8
        *(_of_length(b"\x96", 8, n) for n in EXTREMES),  # BYTEARRAY8
        *(_of_length(b"T", 4, n) for n in EXTREMES),  # BINSTRING
        *(_of_length(b"\x8b", 4, n) for n in EXTREMES),  # LONG4
        *(b"\x8a\x09" + n.to_bytes(9, "little", signed=True) for n in EXTREMES),  # LONG1
        *(_of_length(b"\x95", 8, n)[:9] for n in EXTREMES),  # FRAME
        *(b"r" + (n % 2**32).to_bytes(4, "little") for n in EXTREMES),  # LONG_BINPUT
        *(b"j" + (n % 2**32).to_bytes(4, "little") for n in EXTREMES),  # LONG_BINGET
        *(b"q" + bytes([n]) for n in range(8)),
        *(b"h" + bytes([n]) for n in range(64)),
        *(b"K" + bytes([n]) for n in (0, 1, 2, 3, 255)),
        *(b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"P0\n", b"I01\n", b"I-1\n"),
        *(b"L" + b"9" * 5000 + b"L\n", b"Fnan\n", b"S'\\x'\n", b"V\\ud800\n", b"N\x85" * 9),
    )


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _pickles(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Instructions replaced, put in, left out, doubled, swapped, repeated, or another file's."""
    found, rest = _instructions(data)
    if not found or rng.random() < 0.15:
        return mutated_bytes(data, rng, others)
    changed = list(found)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at, kind = rng.randrange(len(changed)), rng.randrange(8)
        if kind < 2:
            changed[at] = rng.choice(_pool())
        elif kind == 2:
            changed.insert(at, rng.choice(_pool()))
        elif kind == 3 and len(changed) > 1:
            del changed[at]
        elif kind == 4:
            to = rng.randrange(len(changed))
            changed[at], changed[to] = changed[to], changed[at]
        elif kind == 5:
            times = _DEEP if rng.random() < _RARE else rng.choice([1, 2, 100])
            changed[at:at] = [rng.choice([changed[at], b")", b"]", b"(", b"\x85", b"2"])] * times
        elif kind == 6:
            piece = changed[at : at + rng.choice([1, 3, 10])]
            to = rng.randrange(len(changed))
            changed[to:to] = piece
        else:
            other = _instructions(rng.choice([o for o in others if o[:1] == b"\x80"]))[0]
            start = rng.randint(0, len(other))
            changed[at:at] = other[start : start + rng.choice([1, 5, 20])]
    return b"".join(changed) + rest


def array_bytes(array: np.ndarray) -> bytes:
    """As ``np.save`` writes it."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
