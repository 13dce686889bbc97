"""torch.autograd: gradients without touching any ``grad``; operations of one's own."""

from collections.abc import Sequence

import numpy as np

from numpy_impl.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from numpy_impl.tensor.gradcheck import GradcheckError, gradcheck
from numpy_impl.tensor.graph import run_backward
from numpy_impl.tensor.rows import SparseRows
from numpy_impl.tensor.tensor import Tensor, TensorLike, check_upstream, refuse_create_graph

__all__ = [
    "GradcheckError",
    "enable_grad",
    "grad",
    "gradcheck",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: TensorLike | Sequence[TensorLike | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` for ``inputs``, without touching any ``grad``.

    Source: https://pytorch.org/docs/stable/generated/torch.autograd.grad.html
    """
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if grad_outputs is None or isinstance(grad_outputs, Tensor | np.ndarray):
        grad_outputs = [grad_outputs] * len(outputs)
    refuse_create_graph(create_graph)
    upstream = [check_upstream(o, g) for o, g in zip(outputs, grad_outputs, strict=True)]
    found = run_backward(outputs, upstream, bool(retain_graph), inputs)
    if not allow_unused:
        for i, value in enumerate(found):
            if value is None:
                raise RuntimeError(
                    f"inputs[{i}] has no part in the outputs: pass allow_unused=True to get None"
                )
    return tuple(
        value if value is None or isinstance(value, SparseRows) else Tensor(value)
        for value in found
    )
