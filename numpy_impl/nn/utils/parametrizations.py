"""Weight normalization, spectral normalization and orthogonality, as parametrizations."""

import re
from typing import Any

import numpy as np

from numpy_impl import random
from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.products import sum_along
from numpy_impl.nn.conv import _ConvTransposeNd
from numpy_impl.nn.module import Module
from numpy_impl.nn.utils.orthogonal_maps import MAPS, Orthogonal
from numpy_impl.nn.utils.parametrize import register_parametrization
from numpy_impl.tensor.tensor import Tensor, to_array
from numpy_impl.types import Array

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor_of(module: Module, name: str) -> Array:
    value = getattr(module, name, None)
    if not isinstance(value, Tensor | np.ndarray):
        raise ValueError(
            f"name must name a parameter or buffer of {type(module).__name__}, got {name!r}"
        )
    return to_array(value)


# -- weight normalization --------------------------------------------------------------------------


def norm_except(v: Array, dim: int) -> Array:
    """The norm over all axes but ``dim``, which stay with size 1; over all of them for -1."""
    if dim == -1:
        return np.sqrt(np.square(v).sum())
    v.shape[dim]  # an axis that there is not is an IndexError
    axes = tuple(axis for axis in range(v.ndim) if axis != dim % v.ndim)
    return np.sqrt(sum_along(np.square(v), axes, True))


@silently
def weight_norm_forward(g: Array, v: Array, dim: int) -> tuple[Array, Array]:
    r""":math:`w = g\,v / \|v\|`, and :math:`\|v\|`; the norm is over all axes but ``dim``."""
    norm = norm_except(v, dim)
    return v * (g / norm), norm


@silently
def weight_norm_backward(dw: Array, g: Array, v: Array, norm: Array) -> tuple[Array, Array]:
    r"""Gradients for g and v: :math:`dg = s,\ dv = \frac{g}{\|v\|} (dw - \frac{s}{\|v\|} v)`.

    With :math:`s = \sum dw\,v / \|v\|` over the axes of the norm.
    """
    axes = tuple(axis for axis in range(v.ndim) if not norm.ndim or norm.shape[axis] == 1)
    s = sum_along(dw * v, axes, True).reshape(norm.shape) / norm
    return np.asarray(s).reshape(g.shape), (g / norm) * (dw - v * (s / norm))


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Array, weight_v: Array) -> Array:
        weight, norm = weight_norm_forward(weight_g, weight_v, self.dim)
        self.save_for_backward(weight, weight_g, weight_v, norm)
        return weight

    def backward(self, grad_output: Array) -> tuple[Array, Array]:
        return weight_norm_backward(*self.saved_for_backward(grad_output))

    def right_inverse(self, weight: Tensor) -> tuple[Array, Array]:
        return np.asarray(norm_except(weight.data, self.dim)), weight.data

    def _upgrade_state_dict(self, state_dict: dict[str, Any], prefix: str) -> None:
        """torch.nn.utils.weight_norm, the older form, has ``weight_g`` and ``weight_v``."""
        found = re.fullmatch(r"(.*)parametrizations\.(\w+)\.\d+\.", prefix)
        if found is not None:
            module, name = found.groups()
            old = [f"{module}{name}_g", f"{module}{name}_v"]
            if all(key in state_dict for key in old):
                for i, key in enumerate(old):
                    state_dict[f"{module}parametrizations.{name}.original{i}"] = state_dict.pop(key)


def weight_norm(module: Module, name: str = "weight", dim: int = 0) -> Module:
    r"""Compute a weight from its length and its direction: :math:`w = g\,v / \|v\|`.

    g is ``module.parametrizations.weight.original0``, v is ``original1``; they start such that w
    stays what it is.

    Args:
        module: whose weight it is.
        name: of the weight.
        dim: each index along this axis has a length of its own; None: the whole weight has one.

    Returns:
        The module.

    Raises:
        ValueError: if there is no such weight.
        IndexError: if it has no such axis.

    Source: Salimans and Kingma 2016, https://arxiv.org/abs/1602.07868;
    https://pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.weight_norm.html
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


# -- spectral normalization ------------------------------------------------------------------------


def normalize(x: Array, eps: float) -> Array:
    """A vector over its norm, or over eps if that is larger."""
    return x / np.maximum(np.sqrt(x @ x), x.dtype.type(eps))


def normalize_backward(dy: Array, x: Array, eps: float) -> Array:
    r""":math:`dx = (dy - y\,(y \cdot dy)) / \|x\|`, or :math:`dy / \epsilon` below it."""
    norm = np.sqrt(x @ x)
    if norm < eps:
        return dy / x.dtype.type(eps)
    y = x / norm
    return (dy - y * (y @ dy)) / norm


class _SpectralNorm(Module):
    def __init__(
        self, weight: Array, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"dim must lie in [{-weight.ndim}, {weight.ndim - 1}], got {dim}")
        if n_power_iterations <= 0:
            raise ValueError(f"n_power_iterations must be positive, got {n_power_iterations}")
        self.dim = dim % weight.ndim
        self.eps = eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._matrix(weight)
            u, v = (random.normal_(np.empty(size, matrix.dtype)) for size in matrix.shape)
            self.register_buffer("_u", normalize(u, eps))
            self.register_buffer("_v", normalize(v, eps))
            self._power_method(matrix, 15)

    def _matrix(self, weight: Array) -> Array:
        """(..., dim, ...) -> (dim, all others)."""
        return np.moveaxis(weight, self.dim, 0).reshape(weight.shape[self.dim], -1)

    def _power_method(self, matrix: Array, times: int) -> None:
        """Turn u and v towards the singular vectors of the largest singular value."""
        for _ in range(times):
            self._u[...] = normalize(matrix @ self._v, self.eps)
            self._v[...] = normalize(matrix.T @ self._u, self.eps)

    @silently
    def forward(self, weight: Array) -> Array:
        if weight.ndim == 1:
            output = normalize(weight, self.eps)
            self.save_for_backward(output, weight)
            return output
        matrix = self._matrix(weight)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        u, v = self._u.copy(), self._v.copy()  # the next call changes them
        sigma = u @ (matrix @ v)
        output = weight / sigma
        self.save_for_backward(output, weight, u, v, sigma)
        return output

    @silently
    def backward(self, grad_output: Array) -> Array:
        r""":math:`dW = (dY - (dY \cdot Y)\,u v^\top) / \sigma`; u and v are constants."""
        dy, weight, *others = self.saved_for_backward(grad_output)
        if not others:
            return normalize_backward(dy, weight, self.eps)
        u, v, sigma = others
        direction = np.outer(u, v).reshape(np.moveaxis(weight, self.dim, 0).shape)
        return (dy - (dy * weight).sum() / sigma * np.moveaxis(direction, 0, self.dim)) / sigma

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    r"""Divide a weight by its largest singular value: :math:`w / \sigma(w)`.

    Sigma is :math:`u^\top W v`, with W of ``dim`` and all other axes; u and v, the buffers ``_u``
    and ``_v`` of ``module.parametrizations.weight[0]``, come from the power method, which goes on
    by some iterations each time the weight is asked for in training. A vector is divided by its
    norm.

    Args:
        module: whose weight it is.
        name: of the weight.
        n_power_iterations: how many.
        eps: the smallest norm.
        dim: the axis of outputs; 1 for transposed convolutions, else 0, unless given.

    Returns:
        The module.

    Raises:
        ValueError: if there is no such weight, or ``n_power_iterations`` is not positive.
        IndexError: if it has no such axis.

    Source: Miyato et al. 2018, https://arxiv.org/abs/1802.05957;
    https://pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.spectral_norm.html
    """
    weight = _tensor_of(module, name)
    if dim is None:
        dim = int(isinstance(module, _ConvTransposeNd))
    parametrization = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return register_parametrization(module, name, parametrization)


# -- orthogonality ---------------------------------------------------------------------------------


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    r"""Make a matrix, or each of a batch, orthogonal: its columns, or rows if these are fewer.

    Args:
        module: whose weight it is.
        name: of the weight, (..., n, k).
        orthogonal_map: from any matrix to an orthogonal one: "matrix_exp", :math:`e^A`, or
            "cayley", :math:`(I - A/2)^{-1} (I + A/2)`, of a skew-symmetric A; or "householder", a
            product of reflections. "matrix_exp" for square ones, else "householder", unless given.
        use_trivialization: multiply by a fixed orthogonal matrix, the buffer ``base`` of
            ``module.parametrizations.weight[0]``, so that the map starts from the identity.

    Returns:
        The module, whose weight is orthogonalised, as by a QR decomposition, unless it was.

    Raises:
        ValueError: if there is no such weight, it has fewer than 2 axes, or the map is unknown.

    Source: Lezcano-Casado 2019, https://arxiv.org/abs/1909.09501;
    https://pytorch.org/docs/stable/generated/torch.nn.utils.parametrizations.orthogonal.html
    """
    weight = _tensor_of(module, name)
    if weight.ndim < 2:
        raise ValueError(f"{name} must have 2 dimensions or more, got shape {weight.shape}")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError(
            f"orthogonal_map must be one of {', '.join(map(repr, MAPS))}, got {orthogonal_map!r}"
        )
    parametrization = Orthogonal(weight.shape, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, parametrization, unsafe=True)
