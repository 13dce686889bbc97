"""The images, MNIST from its original files or scikit-learn's bundled digits; or a text."""

import gzip
import hashlib
import importlib.util
import math
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments import text
from experiments.errors import UserError, need
from experiments.files import check_regular

Array = np.ndarray
ROOT = Path(__file__).resolve().parent.parent
DOWNLOADED = Path("data") / "MNIST" / "raw"  # torchvision's layout
_STALLED_SECONDS = 8.0
_LONGEST = 16 + 60_000 * 28 * 28  # bytes of the largest file

# name, dimensions, MD5 of the decompressed file
FILES = {
    "train_images": ("train-images-idx3-ubyte", 3, "6bbc9ace898e44ae57da46a324031adb"),
    "train_labels": ("train-labels-idx1-ubyte", 1, "a25bea736e30d166cdddb491f175f624"),
    "test_images": ("t10k-images-idx3-ubyte", 3, "2646ac647ad5339dbf082846283269ea"),
    "test_labels": ("t10k-labels-idx1-ubyte", 1, "27ae3e4e09519cfbb04c329615203637"),
}


@dataclass(frozen=True)
class Dataset:
    """Images (uint8, (N, H, W)) and labels (int64, (N,)), and where they came from.

    Of a text the images are stretches of it (uint8, (N, T)), and the labels (N, T) what follows
    each symbol.

    Attributes:
        source: one sentence for people.
        checksum: of all four arrays, for comparing runs.
        scale: the pixel value that becomes 1.0.
        symbols: a text's characters, in the order of their numbers; "" for images.
    """

    name: str
    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array
    classes: int
    source: str
    checksum: str
    scale: float
    symbols: str = ""


def load(
    dataset: str = "auto", data_dir: Path | None = None, log: Callable[[str], None] = print
) -> Dataset:
    """The data set.

    MNIST comes from ``data_dir``, else from the folder that MNIST_DIR names, else from ./data,
    else by torchvision's download to there. Where it cannot be had, ``"auto"`` says so and takes
    the digits; a folder that was named must hold it.

    Raises:
        UserError: for a missing or damaged file, or if ``"mnist"`` cannot be had.
    """
    bundled = {"digits": (_digits, "the digits, which come with scikit-learn")}
    bundled["text"] = (_text, "the text, which comes with Python")
    if dataset in bundled:
        take, what = bundled[dataset]
        if data_dir is not None:
            raise UserError(f"--data-dir {data_dir} has no effect with {what}")
        return take()
    named = data_dir or (Path(os.environ["MNIST_DIR"]) if os.environ.get("MNIST_DIR") else None)
    if named is not None:
        return _mnist(named)
    if not all(_find(DOWNLOADED, name) for name, _, _ in FILES.values()):
        problem = _download(log)
        if problem:
            if dataset == "mnist":
                raise UserError(f"MNIST can't be had: {problem}; set MNIST_DIR or --data-dir")
            log(
                f"MNIST can't be had ({problem}); using the 8x8 digits bundled with scikit-learn. "
                "For MNIST set MNIST_DIR or --data-dir to a folder with its four files."
            )
            return _digits()
    return _mnist(DOWNLOADED)


def split(data: Dataset, permutation: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(train, dev), each images and labels: the first sixth of the permutation is the dev set."""
    dev_size = len(data.train_images) // 6
    dev, train = permutation[:dev_size], permutation[dev_size:]
    return (
        (data.train_images[train], data.train_labels[train]),
        (data.train_images[dev], data.train_labels[dev]),
    )


def to_float(images: Array, scale: float, dtype: np.dtype, flat: bool) -> Array:
    """(N, H, W) pixels -> value / scale, as (N, H*W) or (N, 1, H, W)."""
    values = images.astype(dtype)
    values /= dtype.type(scale)
    size = math.prod(images.shape[1:])  # -1 can't be told from no rows
    return values.reshape(len(images), size) if flat else values[:, None]


def _mnist(folder: Path) -> Dataset:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder (the four MNIST files were expected in it)")
    arrays = {key: _read_idx(folder, name, ndim) for key, (name, ndim, _) in FILES.items()}
    for part in ("train", "test"):
        images, labels = len(arrays[f"{part}_images"][0]), len(arrays[f"{part}_labels"][0])
        if images != labels:
            raise UserError(
                f"{folder}: {FILES[f'{part}_images'][0]} holds {images} images, "
                f"{FILES[f'{part}_labels'][0]} {labels} labels: the counts must be equal"
            )
    for key, (name, _, expected) in FILES.items():
        found = arrays[key][1]
        if found != expected:
            raise UserError(f"{folder / name}: corrupted (MD5 {found}, expected {expected})")
    parts = [arrays[key][0] for key in FILES]
    return _dataset("mnist", parts, f"MNIST from {folder}", 255.0)


def _dataset(
    name: str, parts: Sequence[Array], source: str, scale: float, symbols: str = ""
) -> Dataset:
    train_images, train_labels, test_images, test_labels = parts
    digest = hashlib.md5(usedforsecurity=False)
    for array in parts:
        digest.update(array.astype(np.uint8).tobytes())
    what = "stretches" if symbols else "images"
    counts = f"{len(train_images):,} training and {len(test_images):,} test {what}"
    return Dataset(
        name,
        train_images,
        train_labels.astype(np.int64),
        test_images,
        test_labels.astype(np.int64),
        len(symbols) or 10,
        f"{source} ({counts})",
        digest.hexdigest(),
        scale,
        symbols,
    )


def _digits() -> Dataset:
    """scikit-learn's 1,797 digits, in a fixed order: 1,500 to train, 297 to test."""
    need("scikit-learn", "sklearn.datasets", "the digits data set")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.RandomState(0).permutation(len(bunch.images))
    images = bunch.images.astype(np.uint8)[order]
    labels = bunch.target.astype(np.uint8)[order]
    return _dataset(
        "digits",
        (images[:1500], labels[:1500], images[1500:], labels[1500:]),
        "scikit-learn's bundled 8x8 digits",
        16.0,
    )


def _text() -> Dataset:
    """The docstrings of Python's library: nine tenths to train, the last tenth to test."""
    numbers = text.encode(text.docstrings())
    most = len(numbers) * 9 // 10
    parts = (*text.stretches(numbers[:most]), *text.stretches(numbers[most:]))
    version = platform.python_version()
    source = f"the docstrings of Python {version}'s library, in stretches of {text.CONTEXT}"
    return _dataset("text", parts, source, 1.0, text.SYMBOLS)


def _find(folder: Path, name: str) -> Path | None:
    names = (name, name + ".gz", name.replace("-idx", ".idx"), name.replace("-idx", ".idx") + ".gz")
    return next((folder / n for n in names if (folder / n).exists()), None)


def _read_idx(folder: Path, name: str, ndim: int) -> tuple[Array, str]:
    """The array of an IDX file, plain or gzip, and the MD5 of its decompressed bytes.

    Never more than the header promises and one byte is unpacked.
    """
    path = _find(folder, name)
    if path is None:
        raise UserError(f"{folder / name}: no such file (nor {name}.gz)")
    check_regular(path, "an IDX file")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * ndim)
            sizes = _sizes(path, header, ndim)
            wanted = math.prod(sizes)
            body = file.read(wanted + 1)
    except EOFError:
        raise UserError(f"{path}: truncated (the gzip stream has no end)") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: no sound gzip file ({error})") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    if len(body) != wanted:
        found = len(header) + len(body)
        said = f"truncated ({found:,} bytes" if len(body) < wanted else "too long (more"
        raise UserError(f"{path}: {said}, expected {len(header) + wanted:,})")
    digest = hashlib.md5(header, usedforsecurity=False)
    digest.update(body)
    return np.frombuffer(body, np.uint8).reshape(sizes), digest.hexdigest()


def _sizes(path: Path, header: bytes, ndim: int) -> tuple[int, ...]:
    """The dimensions that an IDX header names."""
    magic = bytes([0, 0, 8, ndim])
    if not header:
        raise UserError(f"{path}: empty")
    if len(header) < 4 + 4 * ndim or header[:4] != magic:
        raise UserError(
            f"{path}: not an IDX file of bytes with {ndim} dimensions "
            f"(starts with {header[:4].hex()}, expected {magic.hex()})"
        )
    sizes = struct.unpack(f">{ndim}I", header[4:])
    promised = len(header) + math.prod(sizes)
    if promised > _LONGEST:
        raise UserError(f"{path}: too long ({promised:,} bytes, MNIST's have at most {_LONGEST:,})")
    return sizes


def _download(log: Callable[[str], None]) -> str:
    """torchvision's download to ./data; what went wrong, or "".

    It runs in a process of its own (a NumPy run never imports torch), into a temporary folder
    that takes its place when whole, and is ended when nothing arrives for some seconds.
    """
    if importlib.util.find_spec("torchvision") is None:
        return "torchvision, which would download it, is not installed"
    log("downloading MNIST to ./data ...")
    try:
        DOWNLOADED.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir="data", prefix=".download-"))
    except OSError as error:
        return f"./data can't be written: {error.strerror}"
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "experiments.download", str(temporary.resolve())],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()  # imports are done, or it has ended
            problem = _watch(child, temporary)
        raw = temporary / "MNIST" / "raw"
        if not problem and not all(_find(raw, name) for name, _, _ in FILES.values()):
            problem = "the download failed: is there a connection to the internet?"
        if not problem:
            shutil.rmtree(DOWNLOADED, ignore_errors=True)
            raw.rename(DOWNLOADED)
        return problem
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _watch(child: subprocess.Popen, folder: Path) -> str:
    """Wait for the child while bytes arrive; end it when they do not."""
    size, since = -1, time.monotonic()
    while child.poll() is None:
        now = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > _STALLED_SECONDS:
            child.kill()
            child.wait()
            return f"nothing arrived for {_STALLED_SECONDS:.0f} s"
        time.sleep(0.1)
    return ""
