"""The images, MNIST and its like from their files or scikit-learn's bundled digits; or a text."""

import hashlib
import importlib.util
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import idx, own, text
from experiments.errors import UserError, need
from experiments.idx import FILES
from experiments.known import KNOWN, identify

Array = np.ndarray
ROOT = Path(__file__).resolve().parent.parent
DOWNLOADED = Path("data") / "MNIST" / "raw"  # torchvision's layout
_STALLED_SECONDS = 8.0


@dataclass(frozen=True)
class Dataset:
    """Images (uint8 or float, (N, H, W)) and labels (int64, (N,)), and where they came from.

    Of a text the images are stretches of it (uint8, (N, T)), and the labels (N, T) what follows
    each symbol.

    Attributes:
        source: one sentence for people.
        checksum: of all four arrays, for comparing runs.
        scale: the pixel value that becomes 1.0.
        symbols: a text's characters, in the order of their numbers; "" for images.
        names: of the classes.
        path: the file or folder it was read from; "" for what is bundled.
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
    names: tuple[str, ...] = ()
    path: str = ""

    def as_dict(self) -> dict[str, object]:
        """What a run notes of its data, ready for JSON."""
        shape = list(self.train_images.shape[1:])
        kept = ("name", "source", "checksum", "path", "classes", "scale")
        noted: dict[str, object] = {key: getattr(self, key) for key in kept}
        return {**noted, "shape": shape, "names": list(self.names)}


def load(
    dataset: str = "auto",
    path: Path | None = None,
    log: Callable[[str], None] = print,
    unchecked: bool = False,
) -> Dataset:
    """The data set.

    Images come from ``path``, a folder of IDX files or an .npz; else, MNIST or whatever it holds,
    from the folder that MNIST_DIR names; else from ./data; else by torchvision's download to
    there. Where MNIST cannot be had, ``"auto"`` says so and takes the digits; a path that was named
    must hold what was asked for.

    Args:
        dataset: a name of :class:`Config`'s; "own" is whatever ``path`` holds.
        path: where it is.
        log: hears what is done that was not asked for.
        unchecked: take files whose checksums are unknown as they are.

    Raises:
        UserError: for a missing or damaged file, or if the data set cannot be had.
    """
    bundled = {"digits": (_digits, "the digits, which come with scikit-learn")}
    bundled["text"] = (_text, "the text, which comes with Python")
    if dataset in bundled:
        take, what = bundled[dataset]
        if path is not None or unchecked:
            flag = f"--data {path}" if path is not None else "--no-checksum"
            raise UserError(f"{flag} has no effect with {what}")
        return take()
    if path is None and dataset in ("auto", "mnist", "own") and os.environ.get("MNIST_DIR"):
        path = Path(os.environ["MNIST_DIR"])
    if path is not None:
        return _files(path, dataset, unchecked)
    if dataset == "own" or unchecked:
        flag = "--dataset own" if dataset == "own" else "--no-checksum"
        raise UserError(f"{flag} needs --data: a folder of IDX files, or an .npz")
    name = "mnist" if dataset == "auto" else dataset
    title, folder = KNOWN[name].title, _downloaded(name)
    if not all(idx.find(folder, file) for file, _ in FILES.values()):
        problem = _download(log, name)
        if problem:
            if dataset != "auto":
                raise UserError(f"{title} can't be had: {problem}; set {_WHERE[name]}")
            log(
                f"MNIST can't be had ({problem}); using the 8x8 digits bundled with scikit-learn. "
                "For MNIST set MNIST_DIR or --data to a folder with its four files."
            )
            return _digits()
    return _files(folder, name)


def recorded_path(noted: Any) -> Path | None:
    """Where the data was that a run noted, if it is still there."""
    path = noted.get("path") if isinstance(noted, dict) else None
    try:
        return Path(path) if isinstance(path, str) and path and Path(path).exists() else None
    except (OSError, ValueError):  # no file can have such a name
        return None


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


def _files(path: Path, dataset: str, unchecked: bool = False) -> Dataset:
    """IDX files or an .npz: a known data set, else one of one's own."""
    unchecked = unchecked or dataset == "own"
    npz = path.suffix == ".npz" and not path.is_dir()
    if path.is_file() and not npz:
        raise UserError(f"{path}: --data takes an .npz, or the folder that holds four IDX files")
    if npz:
        parts = own.read_npz(path)
    else:
        parts = idx.read_folder(
            _place(path, dataset), idx.LONGEST_OTHER if unchecked else idx.LONGEST
        )
    try:
        name = identify(parts)
    except UserError:
        if not unchecked:
            raise
        name = ""
    if dataset in KNOWN and name != dataset:
        found = KNOWN[name].title if name else "not known by its checksums"
        raise UserError(f"{path}: --dataset {dataset} was asked for, this is {found}")
    if not name and not npz and not unchecked:
        titles = ", ".join(known.title for known in KNOWN.values())
        raise UserError(
            f"{path}: none of {titles} by its checksums (which are those of the original .gz "
            "files, but for MNIST): --no-checksum takes other data as it is"
        )
    own.check(parts)
    title, names = "own data", tuple[str, ...]()
    if name:
        title, names = KNOWN[name].title, KNOWN[name].names
    arrays = [part.array for part in parts.values()]
    unknown = "" if name or npz else ", checksums not checked"
    return _dataset(
        name or "own",
        arrays,
        f"{title} from {path}{unknown}",
        own.scale(parts),
        names=names or tuple(map(str, range(_classes(arrays)))),
        path=str(path.resolve()),
    )


def _place(path: Path, dataset: str) -> Path:
    """The folder with the files: ``path``, or torchvision's below it."""
    wanted = [known.folder for name, known in KNOWN.items() if dataset in (name, "auto", "own")]
    if idx.holds_any(path):
        return path
    below = [path / "raw", *(path / folder / "raw" for folder in wanted)]
    found = [folder for folder in below if idx.holds_any(folder)]
    if len(found) > 1:
        each = " or ".join(str(folder) for folder in found)
        raise UserError(f"{path}: holds several data sets: take --data {each}")
    return found[0] if found else path


def _classes(arrays: Sequence[Array]) -> int:
    _, train_labels, _, test_labels = arrays
    return 1 + int(max(train_labels.max(), test_labels.max()))


def _dataset(
    name: str,
    parts: Sequence[Array],
    source: str,
    scale: float,
    symbols: str = "",
    names: tuple[str, ...] = tuple("0123456789"),
    path: str = "",
) -> Dataset:
    train_images, train_labels, test_images, test_labels = parts
    digest = hashlib.md5(usedforsecurity=False)
    for array in parts:
        digest.update(array.tobytes())
    what = "stretches" if symbols else "images"
    counts = f"{len(train_images):,} training and {len(test_images):,} test {what}"
    return Dataset(
        name,
        train_images,
        train_labels.astype(np.int64),
        test_images,
        test_labels.astype(np.int64),
        len(symbols) or len(names),
        f"{source} ({counts})",
        digest.hexdigest(),
        scale,
        symbols,
        () if symbols else names,
        path,
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


_WHERE = {name: "MNIST_DIR or --data" if name == "mnist" else "--data" for name in KNOWN}


def _downloaded(name: str) -> Path:
    return DOWNLOADED.parent.parent / KNOWN[name].folder / "raw"


def _download(log: Callable[[str], None], name: str = "mnist") -> str:
    """torchvision's download to ./data; what went wrong, or "".

    It runs in a process of its own (a NumPy run never imports torch), into a temporary folder
    that takes its place when whole, and is ended when nothing arrives for some seconds.
    """
    if importlib.util.find_spec("torchvision") is None:
        return "torchvision, which would download it, is not installed"
    log(f"downloading {KNOWN[name].title} to ./data ...")
    folder = KNOWN[name].folder
    try:
        _downloaded(name).parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir="data", prefix=".download-"))
    except OSError as error:
        return f"./data can't be written: {error.strerror}"
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "experiments.download", str(temporary.resolve()), folder],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()  # imports are done, or it has ended
            problem = _watch(child, temporary)
        raw = temporary / folder / "raw"
        if not problem and not all(idx.find(raw, file) for file, _ in FILES.values()):
            problem = "the download failed: is there a connection to the internet?"
        if not problem:
            shutil.rmtree(_downloaded(name), ignore_errors=True)
            raw.rename(_downloaded(name))
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
