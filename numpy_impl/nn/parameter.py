"""Parameter: a Tensor that is trained; Buffer; and both of a shape that is not known yet."""

from typing import Any, NoReturn

import numpy as np

from numpy_impl.tensor.creation import check_device
from numpy_impl.tensor.graph import hand_over
from numpy_impl.tensor.rows import SparseRows
from numpy_impl.tensor.tensor import Tensor, to_array
from numpy_impl.types import DType, Size


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

    def accumulate_grad(self, grad: np.ndarray | SparseRows) -> None:
        """Add ``grad`` to ``self.grad``; the array now belongs to this parameter.

        The caller hands over an array of its own that nobody else holds: the first one is kept,
        not copied. Nothing happens where ``requires_grad`` is False.
        """
        if not self._requires_grad:
            return
        if type(grad) not in (np.ndarray, SparseRows):
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


class UninitializedBuffer(np.ndarray):
    """A buffer of a lazy module before its first forward: a dtype, and neither shape nor values.

    Whatever needs them raises. (In torch it turns into the buffer; an array cannot, so the module
    puts another in its place.)

    Args:
        requires_grad: buffers have no gradient: ignored.
        device: None or "cpu".
        dtype: of the buffer to come; float32 unless given.
        persistent: for :class:`Buffer`'s sake; ``register_buffer`` decides.

    Raises:
        RuntimeError: when asked for its shape.
        ValueError: when computed with.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.parameter.UninitializedBuffer.html
    """

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: DType = None,
        persistent: bool = True,
    ) -> "UninitializedBuffer":
        check_device(device)
        return super().__new__(cls, 0, np.dtype(np.float32 if dtype is None else dtype))

    @property  # type: ignore[misc]
    def shape(self) -> NoReturn:  # type: ignore[override]
        raise RuntimeError(
            "a parameter or buffer of a lazy module has no shape before the module's first "
            "forward, or before a state dict with values is loaded"
        )

    size = shape

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ValueError(
            "a parameter or buffer of a lazy module has no values before the module's first "
            "forward: call the module with a batch first"
        )

    __array_function__ = __len__ = __getitem__ = __setitem__ = __array_ufunc__

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (False, None, self.dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class UninitializedParameter(Parameter):
    """A parameter of a lazy module before its first forward, which turns it into a Parameter.

    It is the same object afterwards: an optimizer may be given it before.

    Args:
        requires_grad: that of the parameter to come.
        device: None or "cpu".
        dtype: of the parameter to come; float32 unless given.

    Raises:
        RuntimeError: when asked for its shape.
        ValueError: when computed with.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.parameter.UninitializedParameter.html
    """

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: DType = None) -> None:
        placeholder = UninitializedBuffer(device=device, dtype=dtype)
        super().__init__(placeholder, requires_grad)
        self._data = placeholder

    @property
    def data(self) -> np.ndarray:
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self._data, self._view = to_array(value), None
        if not is_lazy(self._data):
            self.__class__ = Parameter  # type: ignore[assignment]

    def materialize(self, shape: Size, device: Any = None, dtype: DType = None) -> None:
        """Become a Parameter of that shape, its values not yet set."""
        check_device(device)
        self.data = np.empty(shape, self.dtype if dtype is None else dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> "UninitializedParameter":
        memo[id(self)] = copy = type(self)(self._requires_grad, None, self.dtype)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._requires_grad, None, self.dtype)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def is_lazy(param: Any) -> bool:
    """Whether it is an UninitializedParameter or an UninitializedBuffer."""
    return isinstance(param, UninitializedParameter | UninitializedBuffer)
