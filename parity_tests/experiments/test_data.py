"""The data: IDX files and their faults, the digits, the download that fails."""

import dataclasses
import gzip
import hashlib
import os
import socket
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from experiments import data
from experiments.errors import UserError
from experiments.idx import FILES
from experiments.known import KNOWN


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A small MNIST whose checksums are the expected ones."""
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 256, (12, 28, 28)),
        "train_labels": rng.integers(0, 10, 12),
        "test_images": rng.integers(0, 256, (6, 28, 28)),
        "test_labels": rng.integers(0, 10, 6),
    }
    checksums = []
    for i, (key, array) in enumerate(arrays.items()):
        name, content = FILES[key][0], idx(array)
        checksums.append(hashlib.md5(content).hexdigest())
        packed = i % 2 == 0  # two of them compressed
        target = tmp_path / (name + ".gz" if packed else name)
        target.write_bytes(gzip.compress(content) if packed else content)
    small = dataclasses.replace(KNOWN["mnist"], checksums=tuple(checksums))
    monkeypatch.setitem(KNOWN, "mnist", small)
    monkeypatch.delenv("MNIST_DIR", raising=False)
    return tmp_path


def test_reads_plain_and_compressed_files(folder, monkeypatch) -> None:
    loaded = data.load("auto", folder)
    assert loaded.train_images.shape == (12, 28, 28)
    assert loaded.test_labels.dtype == np.int64
    assert str(folder) in loaded.source
    monkeypatch.setenv("MNIST_DIR", str(folder))
    assert data.load("mnist").checksum == loaded.checksum


def corrupt(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-images-idx3-ubyte.gz", lambda c: c[:-20], "truncated"),
        ("train-images-idx3-ubyte.gz", lambda c: b"no" + c, "no sound gzip file"),
        ("train-labels-idx1-ubyte", lambda c: c[:-1], r"truncated \(19 bytes, expected 20\)"),
        ("train-labels-idx1-ubyte", lambda c: c + b"x", "too long"),
        ("train-labels-idx1-ubyte", lambda c: b"\x00\x00\x08\x03" + c[4:], "not an IDX file"),
        ("train-labels-idx1-ubyte", lambda c: b"", "empty$"),
        ("train-images-idx3-ubyte.gz", lambda c: b"", "empty$"),
        ("train-images-idx3-ubyte.gz", lambda c: gzip.compress(b""), "empty$"),
        ("train-labels-idx1-ubyte", corrupt, "corrupted .*MD5 .*, expected"),
        (
            "train-labels-idx1-ubyte",
            lambda c: idx(np.zeros(11)),
            "holds 12 images, .*train-labels-idx1-ubyte 11 labels",
        ),
    ],
)
def test_a_damaged_file_is_named_with_its_fault(folder, name, change, message) -> None:
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=message) as caught:
        data.load("auto", folder)
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_folder(folder) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="t10k-labels-idx1-ubyte: no such file"):
        data.load("auto", folder)
    with pytest.raises(UserError, match="no such folder"):
        data.load("auto", folder / "nowhere")


def test_a_folder_in_a_file_s_place(folder) -> None:
    (folder / "t10k-labels-idx1-ubyte").unlink()
    (folder / "t10k-labels-idx1-ubyte").mkdir()
    with pytest.raises(UserError, match=r"can't be read \(it is a folder"):
        data.load("auto", folder)


@pytest.mark.parametrize("kind", ["a named pipe", "a socket"])
def test_what_is_no_file_is_refused_at_once(kind, folder, monkeypatch) -> None:
    """Opening a named pipe would wait for ever."""
    monkeypatch.chdir(folder)  # a socket's path must be short
    name = "t10k-labels-idx1-ubyte"
    Path(name).unlink()
    if kind == "a socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
    else:
        os.mkfifo(name)
    started = time.monotonic()
    with pytest.raises(UserError, match=rf"{name}: can't be read \(it is {kind}"):
        data.load("auto", folder)
    assert time.monotonic() - started < 5


def test_a_gzip_bomb_is_not_unpacked(folder) -> None:
    """200 MB of zeros behind a header that promises 12 images: one byte too many is enough."""
    path = folder / "train-images-idx3-ubyte.gz"
    header = gzip.decompress(path.read_bytes())[:16]
    path.write_bytes(gzip.compress(header + bytes(200_000_000), 1))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"too long \(more, expected 9,424\)"):
            data.load("auto", folder)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packed", [True, False])
def test_a_header_that_promises_too_much_is_not_believed(packed, folder) -> None:
    path = folder / ("train-images-idx3-ubyte" + ".gz" * packed)
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
    (folder / "train-images-idx3-ubyte.gz").unlink()
    path.write_bytes(gzip.compress(header + bytes(1000)) if packed else header + bytes(1000))
    with pytest.raises(UserError, match=r"too long .*MNIST's have at most 47,040,016"):
        data.load("auto", folder)


def test_a_folder_of_mnist_beside_the_digits(folder) -> None:
    """It used to mean MNIST."""
    with pytest.raises(UserError, match="has no effect with the digits"):
        data.load("digits", folder)


def test_a_download_without_torchvision_names_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "torchvision" in data._download(lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_without_mnist_auto_says_so_and_takes_the_digits(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "_download", lambda log, name: "no internet here")
    said: list[str] = []
    assert data.load("auto", log=said.append).name == "digits"
    assert len(said) == 1
    assert "no internet here" in said[0]
    with pytest.raises(UserError, match="no internet here"):
        data.load("mnist")


@pytest.mark.parametrize("ending", ["fails", "hangs"])
def test_a_download_that_fails_or_hangs_ends_soon_and_leaves_nothing(
    ending, tmp_path, monkeypatch
) -> None:
    code = "raise SystemExit(1)" if ending == "fails" else "import time; print(); time.sleep(60)"
    fake = tmp_path / "fake"
    (fake / "experiments").mkdir(parents=True)
    (fake / "experiments" / "__init__.py").write_text("")  # else PYTHONPATH's would be found
    (fake / "experiments" / "download.py").write_text(code)
    monkeypatch.setattr(data, "ROOT", fake)
    monkeypatch.setattr(data, "_STALLED_SECONDS", 0.5 if ending == "hangs" else 30)
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    problem = data._download(lambda line: None)
    assert ("nothing arrived" if ending == "hangs" else "download failed") in problem
    assert time.monotonic() - started < 10
    assert [p for p in (tmp_path / "data").rglob("*") if p.is_file()] == []


def test_the_digits_are_the_same_every_time() -> None:
    a, b = data.load("digits"), data.load("digits")
    assert a.checksum == b.checksum
    assert a.train_images.shape == (1500, 8, 8)
    assert a.test_images.shape == (297, 8, 8)
    assert a.train_images.max() == 16


def test_split_takes_the_first_sixth_for_dev() -> None:
    digits = data.load("digits")
    order = np.random.default_rng(0).permutation(1500)
    (train, train_labels), (dev, dev_labels) = data.split(digits, order)
    assert (len(train), len(dev)) == (1250, 250)
    np.testing.assert_array_equal(dev, digits.train_images[order[:250]])
    np.testing.assert_array_equal(train_labels, digits.train_labels[order[250:]])
    assert len(dev_labels) == 250


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pixels_become_fractions(dtype) -> None:
    raw = np.array([[[0, 255], [51, 102]]], np.uint8)
    flat = data.to_float(raw, 255.0, np.dtype(dtype), flat=True)
    assert flat.dtype == dtype
    np.testing.assert_allclose(flat, [[0, 1, 0.2, 0.4]], rtol=1e-7)
    assert data.to_float(raw, 255.0, np.dtype(dtype), flat=False).shape == (1, 1, 2, 2)


def test_the_digits_sixteen_levels_become_fractions() -> None:
    digits = data.load("digits")
    flat = data.to_float(digits.train_images, digits.scale, np.dtype("float32"), flat=True)
    assert (flat.min(), flat.max()) == (0, 1)
    np.testing.assert_allclose(flat * 16, np.round(flat * 16), atol=1e-5)


def test_the_real_files_where_they_are() -> None:
    """With MNIST_DIR: the published files; without: the digits' fixed checksum."""
    if os.environ.get("MNIST_DIR"):
        mnist = data.load("mnist")
        assert mnist.train_images.shape == (60000, 28, 28)
        assert np.bincount(mnist.test_labels).tolist()[:3] == [980, 1135, 1032]
    else:
        assert data.load("digits").name == "digits"
