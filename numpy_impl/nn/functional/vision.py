"""affine_grid and grid_sample."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn import gridsample
from numpy_impl.nn.checks import check_array, names_itself, ntuple
from numpy_impl.nn.functional.calls import backward_of
from numpy_impl.tensor.graph import Node
from numpy_impl.tensor.tensor import Tensor, attach, record, to_array

Array = np.ndarray


@names_itself
def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Any:
    r"""The coordinates :math:`\theta\,(x, y, 1)^\top` at which an affine map reads its input.

    Args:
        theta: a matrix for each sample.
        size: of the output, (N, C, H, W) or (N, C, D, H, W).
        align_corners: whether -1 and 1 are the centres of the corner pixels, or else (as with
            None) their outer edges.

    Shape:
        (N, 2, 3) -> (N, H, W, 2), or (N, 3, 4) -> (N, D, H, W, 3).

    Raises:
        TypeError: if theta holds no floating-point numbers, or size no ints.
        ValueError: if size is not of 4 or 5 positive ints, or theta's shape does not go with it.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.functional.affine_grid.html
    """
    matrices = check_array(to_array(theta), "theta")
    if len(size) not in (4, 5):
        raise ValueError(f"size must have 4 or 5 numbers, got {tuple(size)}")
    n, _, *sizes = ntuple(tuple(size), len(size), "size")
    if matrices.shape != (n, len(sizes), len(sizes) + 1):
        raise ValueError(
            f"theta must have shape {(n, len(sizes), len(sizes) + 1)} for size {tuple(size)}, "
            f"got {matrices.shape}"
        )
    base = gridsample.base_grid(tuple(sizes), bool(align_corners), matrices.dtype)
    output = gridsample.affine_grid(matrices, base)
    if not isinstance(theta, Tensor):
        return output
    way_back = (theta, lambda grad: gridsample.affine_grid_backward(grad, base))
    return record(output, "affine_grid", way_back)


@names_itself
def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """``input`` read at the points of ``grid``, by interpolation.

    Args:
        input: one or more images or volumes.
        grid: points (x, y) or (x, y, z); from -1 to 1 is within the input, x along its last axis.
        mode: ``"bilinear"`` (of volumes trilinear), ``"nearest"`` (of two the even one), or, for
            images, ``"bicubic"``.
        padding_mode: what lies outside: ``"zeros"``, the ``"border"``, or a ``"reflection"``.
        align_corners: as for :func:`affine_grid`; a reflection is about these points.

    Shape:
        (N, C, H, W) and (N, H', W', 2) -> (N, C, H', W'), or
        (N, C, D, H, W) and (N, D', H', W', 3) -> (N, C, D', H', W').

    Raises:
        TypeError: if the two are not of one floating-point dtype.
        ValueError: for another mode, shapes that do not go together, an image without pixels.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.functional.grid_sample.html
    """
    for value, name, allowed in (
        (mode, "mode", gridsample.MODES),
        (padding_mode, "padding_mode", gridsample.PADDING_MODES),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    x = check_array(to_array(input), "input", ndim=(4,) if mode == "bicubic" else (4, 5))
    points = to_array(grid)
    if points.dtype != x.dtype:
        raise TypeError(f"grid must have input's dtype {x.dtype}, got {points.dtype}")
    n = x.ndim - 2
    if points.ndim != x.ndim or points.shape[0] != x.shape[0] or points.shape[-1] != n:
        wanted = f"({len(x)}, {n} sizes, {n})"
        raise ValueError(f"grid must have shape {wanted} for {x.shape}, got {points.shape}")
    if 0 in x.shape[2:]:
        raise ValueError(f"input must have positions along each axis, got shape {x.shape}")
    samples = gridsample.Samples(x, points, mode, padding_mode, bool(align_corners))
    output = gridsample.grid_sample(samples)
    inputs = [value for value in (input, grid) if isinstance(value, Tensor)]
    if not inputs:
        return output
    result = Tensor(output)
    needs = [isinstance(value, Tensor) and value.requires_grad for value in (input, grid)]
    if grad_mode.enabled and any(needs):

        def way_back(grads: list[Array], retain_graph: bool) -> list[Array]:
            found = gridsample.grid_sample_backward(grads[0], samples, needs)
            return [grad for grad in found if grad is not None]

        tracked = tuple(v for v in inputs if v.requires_grad)
        attach([result], Node("grid_sample", tracked, way_back))
    return result


affine_grid_backward = backward_of(affine_grid)
grid_sample_backward = backward_of(grid_sample)
