"""Parameter: a Tensor that is trained; and Buffer."""

from typing import Any

import numpy as np

from numpy_impl.tensor.graph import hand_over
from numpy_impl.tensor.tensor import Tensor, to_array


class Parameter(Tensor):
    """A Tensor that a Module owns and an optimizer updates; a leaf of the graph.

    Args:
        data: the values, an array or a Tensor; kept as they are, not copied.
        requires_grad: False freezes it: backward leaves ``grad`` alone, optimizers skip it.

    Attributes:
        data: ``np.ndarray``, updated in place by optimizers.
        grad: ``None`` until the first backward, then an array of ``data``'s shape and dtype to
            which every later backward adds, until ``zero_grad()``.

    Copies and pickles hold the values, not the gradient.

    Raises:
        TypeError: if ``data`` is no floating-point array.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html
    """

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        data = to_array(data)
        if not isinstance(data, np.ndarray) or data.dtype.kind != "f":
            found = f"array of {data.dtype}" if isinstance(data, np.ndarray) else repr(data)
            raise TypeError(f"data must be a floating-point NumPy array or Tensor, got {found}")
        super().__init__(data, requires_grad)

    def accumulate_grad(self, grad: np.ndarray) -> None:
        """Add ``grad`` to ``self.grad``; the array now belongs to this parameter.

        The caller hands over an array of its own that nobody else holds: the first one is kept,
        not copied. Nothing happens where ``requires_grad`` is False.
        """
        if not self._requires_grad:
            return
        if type(grad) is not np.ndarray:
            grad = np.array(to_array(grad))
        if grad.shape != self._data.shape:
            raise ValueError(
                f"grad must have the parameter's shape {self._data.shape}, got {grad.shape}"
            )
        hand_over(self, grad, owned=True)

    def zero_grad(self) -> None:
        """Forget the gradient: ``grad`` is ``None`` until the next backward."""
        self._grad = None

    def _keeps_its_array(self) -> bool:
        return self._node is None

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer:
    """State that is not trained: assigned to a module's attribute, its array becomes a buffer.

    Args:
        data: the array, or a Tensor; kept as it is.
        persistent: False leaves it out of ``state_dict()``.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.parameter.Buffer.html
    """

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        self.data, self.persistent = to_array(data), persistent
