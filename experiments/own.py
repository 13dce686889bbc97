"""Data of one's own: an ``.npz``, and what any images and labels must be."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import UserError
from experiments.files import check_regular
from experiments.idx import FILES, Part, digests_of
from experiments.known import check_counts

Array = np.ndarray
# in the order of FILES: Keras's names, and MedMNIST's
KEYS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
_MOST_CLASSES = 10_000
_DEFLATE = 1032  # bytes that a compressed byte can become at most


def read_npz(path: Path) -> dict[str, Part]:
    """The four arrays of an ``.npz``, images (N, H, W) and labels (N,).

    Images are bytes, or other numbers within 0..1 or 0..255; an axis of one channel, and rows of
    square images, are understood, too.

    Raises:
        UserError: if it is damaged, or its arrays are no such images and labels.
    """
    from numpy_impl.io import load  # nothing in the file is ever run

    check_regular(path, "an .npz file")
    try:
        arrays = load(path)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        said = str(getattr(error, "strerror", None) or error).removeprefix(f"{path}: ")
        raise UserError(f"{path}: no sound .npz file ({said})") from None
    names = list(arrays) if isinstance(arrays, Mapping) else []
    keys = next((keys for keys in KEYS if set(keys) <= set(names)), None)
    if keys is None:
        wanted = " or ".join(", ".join(keys) for keys in KEYS)
        raise UserError(f"{path}: must hold {wanted}; it has {', '.join(names) or 'no arrays'}")
    parts, most = {}, _DEFLATE * path.stat().st_size
    for key, name in zip(FILES, keys, strict=True):
        where = f"{path}: {name}"
        array = np.asarray(arrays[name])
        if array.nbytes > most:  # other formats have views of any size
            raise UserError(f"{where}: has more bytes than its file can hold")
        array = _images(where, array) if key.endswith("images") else _labels(where, array)
        digests = digests_of(array) if array.dtype == np.uint8 else frozenset[str]()
        parts[key] = Part(array, where, digests)
    return parts


def _images(where: str, array: Array) -> Array:
    shape = array.shape
    if array.ndim == 2 and math.isqrt(shape[1]) ** 2 == shape[1]:
        array = array.reshape(shape[0], math.isqrt(shape[1]), -1)
    elif array.ndim == 4 and 1 in (shape[1], shape[3]):
        array = array.squeeze(1 if shape[1] == 1 else 3)
    if array.ndim != 3 or array.dtype.kind not in "biuf" or 0 in array.shape:
        raise UserError(f"{where} must be grey images (N, H, W), got {array.dtype} {shape}")
    if array.dtype == np.uint8:
        return array
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):  # so for NaN
        raise UserError(f"{where} must lie within 0..1 or 0..255, got {low:.4g}..{high:.4g}")
    if array.dtype.kind in "iu":
        return array.astype(np.uint8)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _labels(where: str, array: Array) -> Array:
    shape = array.shape
    if array.ndim == 2 and shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iuf" or (array != np.floor(array)).any():
        hint = "; of one-hot rows take the argmax" if array.ndim == 2 else ""
        raise UserError(f"{where} must be whole numbers (N,), got {array.dtype} {shape}{hint}")
    if len(array) and not (array.min() >= 0 and array.max() < _MOST_CLASSES):
        span = f"{array.min():g}..{array.max():g}"
        raise UserError(f"{where} must lie within 0..{_MOST_CLASSES - 1}, got {span}")
    return array.astype(np.uint8 if array.max(initial=0) < 256 else np.int64)


def check(parts: Mapping[str, Part]) -> None:
    """Refuse what no network could be trained and tested on.

    Raises:
        UserError: saying what is missing.
    """
    check_counts(parts)
    train, test = parts["train_images"], parts["test_images"]
    if train.array.shape[1:] != test.array.shape[1:]:
        raise UserError(
            f"{test.path} has images of {_size(test.array)} pixels, {train.path} of "
            f"{_size(train.array)}: they must be equal"
        )
    for part, least in ((train, 6), (test, 1)):  # a sixth of the training data is the dev set
        if len(part.array) < least:
            raise UserError(f"{part.path} must hold at least {least} images, got {len(part.array)}")
    if 0 in train.array.shape:
        raise UserError(f"{train.path} has images of {_size(train.array)} pixels")


def _size(images: Array) -> str:
    return "x".join(map(str, images.shape[1:]))


def scale(parts: Mapping[str, Part]) -> float:
    """The pixel value that becomes 1: 255 for bytes, and for fractions 1."""
    images: list[Any] = [parts["train_images"].array, parts["test_images"].array]
    fractions = all(a.dtype.kind == "f" and a.max() <= 1 for a in images)
    return 1.0 if fractions else 255.0
