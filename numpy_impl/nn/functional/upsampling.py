"""interpolate, and its old names."""

from typing import Any

from numpy_impl.nn.checks import names_itself
from numpy_impl.nn.functional.calls import backward_of
from numpy_impl.nn.upsampling import check_input
from numpy_impl.nn.upsampling import upsample as _upsample
from numpy_impl.nn.upsampling import upsample_backward as _upsample_backward
from numpy_impl.tensor.tensor import Tensor, record, to_array


@names_itself
def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Another number of positions along each axis; see :class:`~numpy_impl.nn.Upsample`.

    Args:
        input: (N, C, S...).
        size, scale_factor, mode, align_corners, recompute_scale_factor: as there.
        antialias: make the kernel as wide as an output's pixel, so that what shrinks is a mean of
            all positions, as Pillow does: "bilinear", "bicubic" (with a = -0.5), and "lanczos",
            which needs it. (Where the output is one column torch repeats its first value.)
    """
    options = mode, align_corners, recompute_scale_factor, antialias
    x, bands = check_input(to_array(input), size, scale_factor, *options)
    output = _upsample(x, bands)
    if not isinstance(input, Tensor):
        return output
    return record(output, "interpolate", (input, lambda grad: _upsample_backward(grad, bands)))


def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """The old name of :func:`interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """:func:`interpolate` with mode "nearest", its default."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """:func:`interpolate` with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", align_corners=True)


interpolate_backward = backward_of(interpolate)
upsample_backward = backward_of(upsample)
upsample_nearest_backward = backward_of(upsample_nearest)
upsample_bilinear_backward = backward_of(upsample_bilinear)
