r"""More training images: each one turned, shifted, scaled, sheared and bent by chance.

Every pixel :math:`p` of the result is read from one place of the image,
:math:`A^{-1}(p + d(p) - t)`, between four of its pixels: :math:`A` turns, scales and shears,
:math:`t` shifts, and :math:`d` is noise that was blurred along both axes, :math:`G U G^T`.

Source: Simard, Steinkraus and Platt 2003, https://doi.org/10.1109/ICDAR.2003.1227801
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
Uniform = Callable[..., Array]  # uniform(low, high, *size): float32, from a backend's own stream


def augment(
    images: Array,
    uniform: Uniform,
    rotate: float = 0.0,
    shift: float = 0.0,
    scale: Sequence[float] = (1.0, 1.0),
    shear: float = 0.0,
    elastic: Sequence[float] = (0.0, 4.0),
) -> Array:
    """Images (N, H, W), each transformed by amounts of its own; what comes from outside is 0.

    Args:
        images: float32 or float64.
        uniform: where the amounts come from: the same numbers give the same images, bit for bit.
        rotate: largest angle in degrees, either way.
        shift: largest shift in pixels, along each axis, either way.
        scale: the smallest and the largest factor.
        shear: largest angle in degrees by which vertical lines lean, either way.
        elastic: alpha and sigma, as for ``elastic_transform``; an alpha of 0 bends nothing.
    """
    (n, height, width), dtype = images.shape, images.dtype
    angle, slant = uniform(-rotate, rotate, n), uniform(-shear, shear, n)
    factor, offset = uniform(*scale, n), uniform(-shift, shift, n, 2, 1)
    points, (alpha, sigma) = pixels(height, width), elastic  # (2, HW)
    if alpha:
        noise = (2 * uniform(0.0, 1.0, n, 2, height, width) - 1).astype(dtype, copy=False)
        blurred = blur(height, sigma, dtype) @ noise @ blur(width, sigma, dtype).T
        points = points + alpha / 2 * blurred.reshape(n, 2, -1)  # (N, 2, HW)
    back = inverse(angle, factor, slant, np.zeros(n))
    return read(images, back.astype(dtype) @ (points - offset).astype(dtype, copy=False))


def pixels(height: int, width: int) -> Array:
    """Where the pixels lie, seen from the centre of the image: x and y, (2, HW)."""
    y, x = np.indices((height, width), np.float32).reshape(2, -1)
    return np.stack((x - (width - 1) / 2, y - (height - 1) / 2))


def inverse(angle: Array, scale: Array, shear_x: Array, shear_y: Array) -> Array:
    """The way back from a place in a transformed image: of degrees and factors (N,), (N, 2, 2).

    The way there is scale * R(angle) @ [[1, 0], [-tan(shear_y), 1]] @ [[1, -tan(shear_x)], [0, 1]].
    """
    a, x, y = np.radians(np.array((angle, shear_x, shear_y), np.float64))
    x, y = np.tan(x), np.tan(y)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])  # (2, 2, N)
    lean = np.array([[1 + x * y, x], [y, np.ones_like(y)]])
    return lean.transpose(2, 0, 1) @ (turn / scale).transpose(2, 0, 1)


@functools.cache
def blur(size: int, sigma: float, dtype: np.dtype, taps: int = 0) -> Array:
    """The matrix G of a Gaussian blur: its rows are bells, mirrored at both ends, with sum 1."""
    reach = (taps or _taps(sigma)) // 2
    steps = np.arange(-reach, reach + 1)
    bell = np.exp(-0.5 * (steps / sigma) ** 2)
    period = max(2 * size - 2, 1)
    place = np.abs(np.arange(size)[:, None] + steps) % period
    matrix = np.zeros((size, size))
    row = np.broadcast_to(np.arange(size)[:, None], place.shape)
    np.add.at(matrix, (row, np.minimum(place, period - place)), bell / bell.sum())
    return matrix.astype(dtype)


def _taps(sigma: float) -> int:
    """The width of the bell: four sigma on either side, and odd."""
    return int(8 * sigma + 1) // 2 * 2 + 1


def read(images: Array, places: Array, nearest: bool = False) -> Array:
    """Images (N, H, W) at places (N or 1, 2, HW) seen from the centre: between their pixels, or
    at the nearest ones; 0 outside."""
    n, height, width = images.shape
    stride = width + 3
    padded = np.zeros((n, height + 3, stride), images.dtype)
    padded[:, 1:-2, 1:-2] = images
    x, y = places[:, 0] + (width - 1) / 2, places[:, 1] + (height - 1) / 2
    if nearest:
        x, y = np.rint(x), np.rint(y)
    x, y = np.clip(x, -1, width), np.clip(y, -1, height)  # further out all is 0 as well
    left, top = np.floor(x), np.floor(y)
    x, y = x - left, y - top
    pixel = ((top + 1) * stride + left + 1).astype(np.int64)
    pixel = pixel + np.arange(n)[:, None] * padded[0].size
    a, b, c, d = (padded.reshape(-1)[k:].take(pixel) for k in (0, 1, stride, stride + 1))
    upper, lower = a + x * (b - a), c + x * (d - c)
    return (upper + y * (lower - upper)).astype(images.dtype, copy=False).reshape(images.shape)


# As torchvision does it, an image at a time: its draws in its order, its names and defaults.


def random_affine(
    image: Array,
    uniform: Uniform,
    degrees: Sequence[float],
    translate: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    shear: Sequence[float] | None = None,
    interpolation: str = "nearest",
    fill: float | None = 0.0,
    center: Sequence[float] | None = None,
) -> Array:
    """An image (C, H, W), as ``torchvision.transforms.RandomAffine`` transforms it.

    Args:
        image: float32 or float64.
        uniform: as for ``augment``.
        degrees: the smallest and the largest angle.
        translate: the largest shifts as shares of width and height; shifts are whole pixels.
        scale: the smallest and the largest factor.
        shear: the smallest and the largest angle along x, and, with four, along y.
        interpolation: "nearest" or "bilinear".
        fill: what lies outside. None reads zeros there; 0 also weighs what was read by how much
            of it lay inside, so that the edges of images differ.
        center: what stays where it is, in pixels from the upper left; the image's centre unless
            given.

    Source: https://pytorch.org/vision/stable/generated/torchvision.transforms.RandomAffine.html
    """
    _, height, width = image.shape
    size = np.array((width, height))
    angle = uniform(*degrees, 1)
    offset = [round(uniform(-m, m, 1).item()) for m in size * (translate or (0, 0)) if translate]
    factor = uniform(*scale, 1) if scale else np.ones(1)
    shears = [uniform(*pair, 1) for pair in ((shear or ())[:2], (shear or ())[2:]) if pair]
    back = inverse(angle, factor, *shears, *[np.zeros(1)] * (2 - len(shears)))
    fixed = np.zeros((2, 1)) if center is None else (np.array(center) - size / 2)[:, None]
    away = np.array(offset or (0, 0))[:, None] + fixed
    return _filled(image, back @ (pixels(height, width) - away) + fixed, interpolation, fill)


def elastic_transform(
    image: Array,
    uniform: Uniform,
    alpha: Sequence[float] = (50.0, 50.0),
    sigma: Sequence[float] = (5.0, 5.0),
    interpolation: str = "bilinear",
    fill: float | None = 0.0,
) -> Array:
    """An image (C, H, W), as ``torchvision.transforms.ElasticTransform`` bends it.

    Args:
        image: float32 or float64.
        uniform: as for ``augment``.
        alpha: how far noise of 1 bends along x and y, in half pixels.
        sigma: the width of the noise's blur along x and y, in pixels; 0 for none.
        interpolation: "nearest" or "bilinear".
        fill: as for ``random_affine``.

    Source: https://pytorch.org/vision/stable/generated/torchvision.transforms.ElasticTransform.html
    """
    _, height, width = image.shape
    points, double = pixels(height, width), np.dtype(np.float64)
    bent = []
    for strength, own in zip(alpha, sigma, strict=True):
        noise = 2 * uniform(0.0, 1.0, height, width).astype(np.float64) - 1
        if own > 0:
            rows, columns = (
                blur(length, along, double, _taps(own))
                for length, along in ((height, sigma[1]), (width, sigma[0]))
            )
            noise = rows @ noise @ columns.T
        bent.append(strength / 2 * noise.reshape(-1))
    return _filled(image, (points + np.stack(bent))[None], interpolation, fill)


def _filled(image: Array, places: Array, interpolation: str, fill: float | None) -> Array:
    nearest = interpolation == "nearest"
    values = read(image, places, nearest)
    if fill is None:
        return values
    inside = read(np.ones((1, *image.shape[1:]), image.dtype), places, nearest)
    return values * inside + (1 - inside) * image.dtype.type(fill)
