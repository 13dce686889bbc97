"""Pictures of any size and kind, made into what a network was trained on; and shown as text."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import UserError
from experiments.files import check_regular

Array = np.ndarray
_SHADES = " .:-=+*#%@"
_INK = 0.2  # of the strongest: less is paper
# the share of MNIST's 28 pixels that its digits may fill
_BOX = {"mnist": 20 / 28}


def read(path: Path, size: tuple[int, int], dataset: str) -> Array:
    """A picture as bytes (H, W), light on dark, as MNIST's are.

    One of just that size is taken as it is, but for dark ink on light paper, which is inverted. In
    any other, what differs from the border is the ink, its box is cut out and made to fit; for
    MNIST as its makers did: into 20 of the 28 pixels, its centre of mass in the middle.

    Args:
        path: a PNG, a JPEG, or whatever else Pillow reads.
        size: H and W.
        dataset: on which the network was trained.

    Raises:
        UserError: if it is no picture, or shows nothing.

    Source: http://yann.lecun.com/exdb/mnist
    """
    grey = _grey(path)
    paper = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    if grey.shape == size:
        return (255 - grey if paper > 127 else grey).round().astype(np.uint8)
    ink = np.abs(grey - paper)
    if ink.max() < 8:
        raise UserError(f"{path}: shows nothing: all of it is of one colour")
    ink /= ink.max()
    ink[ink < _INK] = 0
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _placed(ink, size, dataset)


def _placed(ink: Array, size: tuple[int, int], dataset: str) -> Array:
    """The cut-out scaled, and put onto the middle of ``size``."""
    from PIL import Image

    share = _BOX.get(dataset, 1.0)
    factor = min(share * most / has for most, has in zip(size, ink.shape, strict=True))
    height, width = (max(1, round(factor * has)) for has in ink.shape)
    picture = Image.fromarray((255 * ink).astype(np.float32))
    small = np.asarray(picture.resize((width, height), Image.Resampling.BOX))
    if dataset == "mnist":
        weights = small / small.sum()
        centre = [float(weights.sum(1 - axis) @ np.arange(small.shape[axis])) for axis in (0, 1)]
    else:
        centre = [has / 2 for has in small.shape]
    page = np.zeros(size)
    top, left = (
        min(max(round(most / 2 - middle), 0), most - has)
        for most, middle, has in zip(size, centre, small.shape, strict=True)
    )
    page[top : top + height, left : left + width] = small
    return page.round().clip(0, 255).astype(np.uint8)


def _formats() -> list[str]:
    """What Pillow reads itself: PostScript is a program, which it hands to another one to run."""
    from PIL import Image

    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _grey(path: Path) -> Array:
    """The picture in 256 shades of grey, as float, on paper where it is transparent."""
    from PIL import Image, ImageOps

    check_regular(path, "a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of 90 megapixels
            with Image.open(path, formats=_formats()) as file:
                upright: Any = ImageOps.exif_transpose(file) or file
                if upright.mode.startswith("I"):  # 16 bits, which Pillow cuts off at 255
                    return np.asarray(upright, np.float64) / 257
                rgba = upright.convert("RGBA")
    except Exception as error:  # of a broken file Pillow raises whatever its decoders do
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: can't be read as a picture ({said})") from None
    alpha = np.asarray(rgba.getchannel("A"), np.float64) / 255
    grey = np.asarray(rgba.convert("L"), np.float64)
    drawn = float((grey * alpha).sum() / max(alpha.sum(), 1e-9))
    paper = 255.0 if drawn < 128 else 0.0  # under light ink it must be dark
    return grey * alpha + (1 - alpha) * paper


def shown(pixels: Array) -> str:
    """Bytes (H, W) as lines of text, two characters a pixel."""
    levels = pixels.astype(int) * len(_SHADES) // 256
    lines = ("".join(2 * _SHADES[level] for level in row).rstrip() for row in levels)
    return "\n".join(f"  |{line}" for line in lines)
