"""Bounds on gradients, in place, between the backward and the optimizer's step."""

import warnings
from collections.abc import Iterable
from types import GeneratorType
from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.call import summary
from numpy_impl.tensor.reduction import norm
from numpy_impl.tensor.rows import SparseRows
from numpy_impl.tensor.tensor import Tensor, to_array
from numpy_impl.types import Array


@silently
def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    r"""The norm of several arrays or Tensors as one vector: :math:`(\sum |x|^p)^{1/p}`.

    Args:
        tensors: one or several; None of them is changed.
        norm_type: :math:`p`; ``inf`` is the largest absolute value.
        error_if_nonfinite: raise instead of returning a norm that is infinite or NaN.
        foreach: torch's hint on speed; accepted, without effect on the result.

    Returns:
        A number of NumPy's for arrays, a Tensor for Tensors.

    Raises:
        RuntimeError: if asked to, for a norm that is infinite or NaN.
        NotImplementedError: for gradients of few rows, as torch.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.get_total_norm.html
    """
    is_one = isinstance(tensors, Tensor | np.ndarray | SparseRows)
    given = [tensors] if is_one else list(tensors)
    _refuse_sparse(given, "a norm")
    order = float(norm_type)
    # the norm of the norms, as torch's, which matters for orders that have none, as 0
    norms = [norm(Tensor(to_array(tensor)), order).data for tensor in given]
    total = norm(Tensor(np.stack(norms)), order).data if norms else np.zeros((), np.float32)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"the total norm of order {order} must be finite, got {total}: "
            "error_if_nonfinite=False clips by it anyway"
        )
    return Tensor(total) if any(isinstance(tensor, Tensor) for tensor in given) else total[()]


@silently
def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Any, foreach: bool | None = None
) -> None:
    r"""Scale gradients down in place by :math:`\min(1, max\_norm / (total\_norm + 10^{-6}))`.

    Args:
        parameters: one or several; those without a gradient are passed over.
        max_norm: what the norm should not exceed.
        total_norm: what it is, from :func:`get_total_norm`.
        foreach: torch's hint on speed; accepted, without effect on the result.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.clip_grads_with_norm_.html
    """
    factor = np.minimum(float(max_norm) / (to_array(total_norm) + 1e-6), 1.0)
    for grad in _grads(parameters):
        grad *= grad.dtype.type(factor)


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    r"""Scale gradients down in place until their common norm is at most ``max_norm``.

    Args:
        parameters: one or several; those without a gradient are passed over.
        max_norm: what the norm should not exceed.
        norm_type: its order; ``inf`` is the largest absolute value.
        error_if_nonfinite: raise, and scale nothing, where the norm is infinite or NaN.
        foreach: torch's hint on speed; accepted, without effect on the result.

    Returns:
        The norm before, a Tensor.

    Raises:
        RuntimeError: if asked to, for a norm that is infinite or NaN.
        NotImplementedError: for gradients of few rows, as torch.

    Warns of a generator that yields nothing: it may have been used up before.

    Source: Pascanu et al. 2013, https://arxiv.org/abs/1211.5063;
    https://pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html
    """
    given = _listed(parameters)
    if not given and isinstance(parameters, GeneratorType):
        warnings.warn("parameters is an empty generator: no gradient will be clipped", stacklevel=2)
    total_norm = get_total_norm(_grads(given), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(given, max_norm, total_norm)
    return Tensor(total_norm)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clip each element of the gradients to [-clip_value, clip_value], in place.

    Args:
        parameters: one or several; those without a gradient are passed over.
        clip_value: the largest absolute value.
        foreach: torch's hint on speed; accepted, without effect on the result.

    Raises:
        NotImplementedError: for gradients of few rows, as torch.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_value_.html
    """
    bound, grads = float(clip_value), _grads(parameters)
    _refuse_sparse(grads, "a bound on each element")
    for grad in grads:
        np.clip(grad, -bound, bound, out=grad)


def _listed(parameters: Any) -> list[Any]:
    given = [parameters] if isinstance(parameters, Tensor) else parameters
    if isinstance(given, np.ndarray) or not isinstance(given, Iterable):
        raise TypeError(f"parameters must be Parameters, got {summary(parameters)}")
    return list(given)


def _refuse_sparse(grads: list[Any], what: str) -> None:
    if any(isinstance(grad, SparseRows) for grad in grads):
        raise NotImplementedError(
            f"{what} is not defined for gradients of few rows: take their coalesce().values()"
        )


def _grads(parameters: Any) -> list[Array]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]
