"""Orthogonal matrices: three maps to them, and the parametrization that goes by one."""

from typing import Any

import numpy as np

from numpy_impl import random
from numpy_impl.nn.module import Module
from numpy_impl.tensor.tensor import Tensor
from numpy_impl.types import Array


def skew_exp(a: Array) -> tuple[Array, tuple[Array, Array]]:
    r""":math:`e^A = V e^{i\Lambda} V^H` of real skew-symmetric matrices, and what backward needs.

    :math:`-iA = V \Lambda V^H` is Hermitian, with real eigenvalues.
    """
    values, vectors = np.linalg.eigh(-1j * a)
    q = (vectors * np.exp(1j * values)[..., None, :]) @ _adjoint(vectors)
    return np.ascontiguousarray(q.real).astype(a.dtype, copy=False), (values, vectors)


def skew_exp_backward(dq: Array, saved: tuple[Array, Array]) -> Array:
    r""":math:`dA = V\,(\bar\Phi \circ V^H dQ\,V)\,V^H`.

    :math:`\Phi_{jk} = (e^{i\lambda_j} - e^{i\lambda_k}) / (i\lambda_j - i\lambda_k)`, written so
    that equal eigenvalues need no division.
    """
    values, vectors = saved
    half = values[..., :, None] / 2, values[..., None, :] / 2
    phi = np.exp(-1j * (half[0] + half[1])) * np.sinc((half[0] - half[1]) / np.pi)
    inner = phi * (_adjoint(vectors) @ dq @ vectors)
    return (vectors @ inner @ _adjoint(vectors)).real.astype(dq.dtype, copy=False)


def cayley(a: Array) -> tuple[Array, tuple[Array, Array]]:
    r""":math:`Q = (I - A/2)^{-1} (I + A/2)` of skew-symmetric matrices, and what backward needs."""
    half, identity = a / 2, np.eye(a.shape[-1], dtype=a.dtype)
    q = np.linalg.solve(identity - half, identity + half)
    return q, (identity - half, q)


def cayley_backward(dq: Array, saved: tuple[Array, Array]) -> Array:
    r""":math:`dA = \frac12 (K + K Q^\top)`, with :math:`K = (I - A/2)^{-\top} dQ`."""
    matrix, q = saved
    k = np.linalg.solve(matrix.mT, dq)
    return (k + k @ q.mT) / 2


def householder(a: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    r""":math:`Q = H_1 \dots H_k`, its first k columns, and what backward needs.

    :math:`H_j = I - \tau_j v_j v_j^\top` with :math:`\tau = 2 / \|v\|^2` mirrors; :math:`v_j` is
    column j of ``a`` below the diagonal, after a 1 on it.
    """
    n, k = a.shape[-2:]
    v = np.tril(a, -1) + np.eye(n, k, dtype=a.dtype)  # (..., n, k)
    tau = 2 / np.square(v).sum(-2)  # (..., k)
    q = np.broadcast_to(np.eye(n, k, dtype=a.dtype), a.shape).copy()
    for j in reversed(range(k)):
        q = _mirrored(q, v, tau, j)
    return q, (q, v, tau)


def householder_backward(dq: Array, saved: tuple[Array, Array, Array]) -> Array:
    """Gradient for ``a``; what each mirror got is what it gave, mirrored again."""
    q, v, tau = saved
    dv = np.empty_like(v)
    for j in range(v.shape[-1]):
        before = _mirrored(q, v, tau, j)
        mirror, t = v[..., j : j + 1], tau[..., j, None, None]  # (..., n, 1), (..., 1, 1)
        p, g = before.mT @ mirror, dq.mT @ mirror  # (..., k, 1)
        through_tau = (p * g).sum(-2, keepdims=True) * t**2 * mirror
        dv[..., j : j + 1] = through_tau - t * (dq @ p + before @ g)
        q, dq = before, _mirrored(dq, v, tau, j)
    return np.tril(dv, -1)


def _mirrored(matrix: Array, v: Array, tau: Array, j: int) -> Array:
    mirror = v[..., j : j + 1]
    return matrix - tau[..., j, None, None] * mirror * (mirror.mT @ matrix)


def _adjoint(matrix: Array) -> Array:
    return matrix.mT.conj()


def orthogonalized(matrix: Array) -> Array:
    """Q of the QR decomposition whose R has no negative number on its diagonal."""
    q, r = np.linalg.qr(matrix)
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]


def is_orthogonal(q: Array) -> bool:
    """Whether the columns are orthonormal, as far as can be told."""
    n, k = q.shape[-2:]
    limit = 10.0 * n * float(np.finfo(q.dtype).eps)
    return np.allclose(q.mT @ q, np.eye(k), rtol=1e-5, atol=limit)


_SKEW: dict[str, Any] = {
    "matrix_exp": (skew_exp, skew_exp_backward),
    "cayley": (cayley, cayley_backward),
}
MAPS = (*_SKEW, "householder")


class Orthogonal(Module):
    """The parametrization of :func:`~numpy_impl.nn.utils.parametrizations.orthogonal`.

    Args:
        shape: of the weight, (..., n, k).
        orthogonal_map: one of ``MAPS``.
        use_trivialization: whether there is a ``base``.
    """

    def __init__(
        self, shape: tuple[int, ...], orthogonal_map: str, use_trivialization: bool = True
    ) -> None:
        super().__init__()
        self.shape = shape
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def _get_name(self) -> str:
        return "_Orthogonal"

    def forward(self, x: Array) -> Array:
        base = self.base if self.use_trivialization else None
        is_wide = x.shape[-2] < x.shape[-1]
        tall = x.mT if is_wide else x  # (..., n, k)
        n, k = tall.shape[-2:]
        if self.orthogonal_map == "householder":
            q, saved = householder(tall)
            # the diagonal has signs, which are no matter of training
            signs = np.trunc(np.diagonal(tall, axis1=-2, axis2=-1))[..., None, :]
            q = q * signs
        else:
            square = np.zeros((*tall.shape[:-2], n, n), tall.dtype)
            square[..., :k] = np.tril(tall)
            q, saved = _SKEW[self.orthogonal_map][0](square - square.mT)
            q, signs = q[..., :k], None
        if base is not None:
            q = base @ q
        output = np.array(q.mT if is_wide else q)
        self.save_for_backward(output, is_wide, signs, saved, base)
        return output

    def backward(self, grad_output: Array) -> Array:
        dy, is_wide, signs, saved, base = self.saved_for_backward(grad_output)
        dq = dy.mT if is_wide else dy
        if base is not None:
            dq = base.mT @ dq
        if signs is not None:
            dx = householder_backward(dq * signs, saved)
        else:
            n, k = dq.shape[-2:]
            square = np.zeros((*dq.shape[:-2], n, n), dq.dtype)
            square[..., :k] = dq
            da = _SKEW[self.orthogonal_map][1](square, saved)
            dx = np.tril((da - da.mT)[..., :k])
        return np.array(dx.mT if is_wide else dx)

    def right_inverse(self, value: Tensor) -> Array:
        q = value.data
        if q.shape != self.shape:
            raise ValueError(f"the weight must have the shape {self.shape}, got {q.shape}")
        is_wide = q.shape[-2] < q.shape[-1]
        q = q.mT if is_wide else q
        n, k = q.shape[-2:]
        if not self.use_trivialization:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    f"orthogonal_map {self.orthogonal_map!r} can't be assigned to without "
                    "use_trivialization"
                )
            return self._reflections(q, is_wide)
        if n != k:  # to a square one, by columns at random
            others = random.randn(*q.shape[:-2], n, n - k, dtype=q.dtype)
            q = orthogonalized(np.concatenate([q, others], -1))
        elif not is_orthogonal(q):
            q = orthogonalized(q)
        self.base = np.array(q)
        # zeros below the diagonal are the identity; its -1 are what householder makes of that
        return np.broadcast_to(-np.eye(*value.shape[-2:], dtype=q.dtype), value.shape)

    def _reflections(self, q: Array, is_wide: bool) -> Array:
        """LAPACK's form of Q: the mirrors below the diagonal, and on it the columns' signs."""
        raw, tau = np.linalg.qr(q, mode="raw")
        a = np.array(raw.mT)
        k = a.shape[-1]
        signs = np.sign(a[..., range(k), range(k)])
        a[..., range(k), range(k)] = np.where(tau == 0, -signs, signs)  # 0: no mirror
        return a.mT if is_wide else a
