"""Tensor: an array in the graph of calls."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, overload
from weakref import ref

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.tensor.graph import Node, Operation, RemovableHandle, run_backward
from numpy_impl.tensor.rows import SparseRows, copied
from numpy_impl.types import Array, ArrayLike, DType

if TYPE_CHECKING:
    from numpy_impl.tensor.methods import Methods
    from numpy_impl.tensor.views import View
else:
    Methods = object  # that module needs this class: it puts its own into it

_UFUNC_OPERATORS: dict[Any, Callable[..., Any]] = {}
_Value = TypeVar("_Value")


class Tensor(Methods):
    """A NumPy array that remembers from which call it came.

    Made by :func:`~numpy_impl.tensor`, ``from_numpy``, ``zeros``, ``randn`` ..., by operations on
    Tensors, and by layers that are given Tensors. The operators, methods and functions are torch's;
    each has its backward by hand.

    Args:
        data: the values; an array is kept as it is, not copied, a list becomes float32.
        requires_grad: True makes it a leaf whose ``grad`` is wanted.

    Attributes:
        data: the ``np.ndarray``.
        grad: ``None``, or for leaves after ``backward()`` the sum of the gradients, an
            ``np.ndarray`` of ``data``'s shape and dtype (the one deliberate difference from torch);
            of tables with ``sparse=True`` :class:`~numpy_impl.tensor.rows.SparseRows`.
        requires_grad: whether a gradient is wanted for it, or for something it was made from.

    Changing a Tensor in place (``x += y``, ``x[i] = y``, ``x.mul_(y)``) gives it a new array, so
    that nothing which was computed from the old one becomes wrong; what it is a part of, as
    ``x[0]`` is of ``x``, changes too. A leaf that requires grad may only be changed under
    ``no_grad()``; its array is then updated in place, as optimizers do.

    NumPy functions on a Tensor that requires grad raise, since they would lose the gradient:
    ``detach()`` or ``data`` is the way out.

    Source: https://pytorch.org/docs/stable/tensors.html
    """

    __slots__ = (
        "__weakref__",
        "_data",
        "_grad",
        "_hooks",
        "_index",
        "_node",
        "_requires_grad",
        "_view",
    )

    def __init__(self, data: "Tensor | ArrayLike", requires_grad: bool = False) -> None:
        self._data: Array = data if type(data) is np.ndarray else _as_array(data)
        self._grad: Array | None = None
        self._node: Node | None = None
        self._index = 0
        self._hooks: list[Callable[[Tensor], TensorLike | None]] | None = None
        self._view: View | None = None
        self._requires_grad = False
        if requires_grad:
            if not isinstance(requires_grad, bool | np.bool_):
                raise TypeError(f"requires_grad must be a bool, got {requires_grad!r}")
            self.requires_grad = True

    # -- values --------------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        return self._data

    @data.setter
    def data(self, value: "TensorLike") -> None:
        value = to_array(value)
        if not isinstance(value, np.ndarray):
            raise TypeError(f"data must be a NumPy array or a Tensor, got {type(value).__name__}")
        if self._view is not None and value is self._data:
            self._view.written(value)
        else:
            self._data, self._view = value, None  # what was taken of it keeps what it had

    @property
    def grad(self) -> Array | None:
        return self._grad

    @grad.setter
    def grad(self, value: "TensorLike | None") -> None:
        value = to_array(value)
        if value is not None:
            if not isinstance(value, np.ndarray | SparseRows):
                raise TypeError(
                    f"grad must be a NumPy array, a Tensor or None, got {type(value).__name__}"
                )
            if value.shape != self._data.shape:
                raise ValueError(
                    f"grad must have the shape of data {self._data.shape}, got {value.shape}"
                )
        self._grad = value

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._node is not None and not value:
            raise RuntimeError(
                "requires_grad can be set to False for leaves only: use detach() to get a Tensor "
                "that does not"
            )
        if value and self._data.dtype.kind != "f":
            raise RuntimeError(
                f"requires_grad needs a floating-point Tensor, got one of {self._data.dtype}"
            )
        self._requires_grad = bool(value)
        if self._view is not None and self._node is None:
            self._view.become_leaf(self)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad``; returns the Tensor itself."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        return self._node is None

    @property
    def grad_fn(self) -> Node | None:
        return self._node

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @overload
    def size(self, dim: None = None) -> tuple[int, ...]: ...
    @overload
    def size(self, dim: int) -> int: ...
    def size(self, dim: int | None = None) -> tuple[int, ...] | int:
        """The shape, or one of its sizes."""
        return self._data.shape if dim is None else self._data.shape[dim]

    def dim(self) -> int:
        """The number of dimensions."""
        return self._data.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self._data.size

    nelement = numel

    def numpy(self) -> Array:
        """The array itself.

        Raises:
            RuntimeError: if the Tensor requires grad: the array would not; ``detach()`` first.
        """
        if self._requires_grad:
            _refuse("numpy()")
        return self._data

    def item(self) -> Any:
        """The only value, as a Python number."""
        if self._data.size != 1:
            raise ValueError(f"item() needs a Tensor of one element, got shape {self.shape}")
        return self._data.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self._data.tolist()

    def detach_(self) -> Self:
        """Take this Tensor out of the graph, unless it is a part of one that is in it."""
        if self._view is not None and self._view.base is not None:
            raise RuntimeError("a part of a Tensor can't be taken out of the graph: use detach()")
        self._node, self._requires_grad = None, False
        return self

    # -- gradients -----------------------------------------------------------------------------

    def backward(
        self,
        gradient: "TensorLike | None" = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: "Tensor | Sequence[Tensor] | None" = None,
    ) -> None:
        """Add d(self)/d(leaf), applied to ``gradient``, to the ``grad`` of every leaf.

        Args:
            gradient: of the shape of ``self``; may be left out for a single element: 1.
            retain_graph: keep what forward kept, so that backward can go through it again.
            create_graph: must be False: there are no derivatives of derivatives.
            inputs: if given, only their ``grad`` is added to.

        Raises:
            RuntimeError: if nothing requires a gradient, without ``gradient`` for more than one
                element, or if backward went through the graph before.
        """
        upstream = [check_upstream(self, gradient)]
        refuse_create_graph(create_graph)
        if inputs is None:
            run_backward([self], upstream, bool(retain_graph))
            return
        inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        found = run_backward([self], upstream, bool(retain_graph), inputs)
        for leaf, grad in zip(inputs, found, strict=True):
            if grad is not None and not leaf._retains_grad():
                leaf._take_grad(grad, owned=True)

    def _add_grad(self, grad: Array, owned: bool) -> None:
        """Add to ``grad``; with ``owned`` the array is the leaf's from now on."""
        if self._hooks:
            grad, owned = self._hooked(grad), False
        self._take_grad(grad, owned)

    def _take_grad(self, grad: Array, owned: bool) -> None:
        if self._grad is not None:
            self._grad += grad
        elif owned and grad.dtype == self._data.dtype:
            self._grad = grad
        else:
            self._grad = copied(grad, self._data.dtype)

    def _hooked(self, grad: Any) -> Any:
        """What the gradient of a leaf becomes by its hooks."""
        kind = type(grad)
        for hook in tuple(self._hooks or ()):
            # a gradient of few rows is no Tensor's data
            replaced = hook(grad if kind is SparseRows else Tensor(grad))
            grad = grad if replaced is None else to_array(replaced)
            if (type(grad) is SparseRows) is not (kind is SparseRows):
                raise RuntimeError(
                    f"a hook must return a gradient like the one that it got, a {kind.__name__}, "
                    f"got {type(grad).__name__}"
                )
        return grad

    def retain_grad(self) -> None:
        """Let ``backward()`` fill ``grad`` although this is no leaf."""
        if self._node is None or self._retains_grad():
            return
        weak = ref(self)

        def keep(grad: Array) -> None:
            tensor = weak()
            if tensor is not None:
                tensor._take_grad(grad, owned=False)

        hooks, entry = self._node.add_hook(self._index, keep, keeps=True)
        hooks.append(entry)

    def _retains_grad(self) -> bool:
        hooks = None if self._node is None else self._node.hooks
        return any(index == self._index and is_last for index, _, is_last in hooks or ())

    def register_hook(self, hook: Callable[["Tensor"], "TensorLike | None"]) -> RemovableHandle:
        """Call ``hook(grad)`` with the gradient for this Tensor; what it returns replaces it."""
        if not self._requires_grad:
            raise RuntimeError("register_hook needs a Tensor that requires grad")
        if self._node is None:
            self._hooks = self._hooks or []
            return RemovableHandle(self._hooks, hook)

        def on_array(grad: Array) -> Array | None:
            return to_array(hook(Tensor(grad)))

        return RemovableHandle(*self._node.add_hook(self._index, on_array))

    # -- in place ------------------------------------------------------------------------------

    def _check_in_place(self) -> None:
        if self._requires_grad and self._node is None and grad_mode.enabled:
            raise RuntimeError(
                "a leaf that requires grad must not be changed in place outside no_grad(): its "
                "gradient would be lost"
            )

    def _keeps_its_array(self) -> bool:
        """Whether others hold the array, too: an optimizer, a state dict."""
        return self._requires_grad and self._node is None

    # -- other protocols -----------------------------------------------------------------------

    def __array__(self, dtype: DType = None, copy: bool | None = None) -> Array:
        if self._requires_grad:
            _refuse("NumPy's asarray")
        return np.array(self._data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        operator = _UFUNC_OPERATORS.get(ufunc)
        if method == "__call__" and operator is not None and not kwargs:
            return operator(*inputs)
        if any(isinstance(i, Tensor) and i._requires_grad for i in inputs):
            _refuse(f"NumPy's {ufunc.__name__}")
        return getattr(ufunc, method)(*(to_array(i) for i in inputs), **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        def plain(value: Any) -> Any:
            if isinstance(value, Tensor):
                if value._requires_grad:
                    _refuse(f"NumPy's {function.__name__}")
                return value._data
            if isinstance(value, list | tuple) and type(value) in (list, tuple):
                return type(value)(plain(part) for part in value)
            return value

        return function(*plain(args), **{key: plain(value) for key, value in kwargs.items()})

    def __len__(self) -> int:
        if not self._data.ndim:
            raise TypeError("len() of a 0-d Tensor")
        return len(self._data)

    def __iter__(self) -> Iterator["Tensor"]:
        if not self._data.ndim:
            raise TypeError("iteration over a 0-d Tensor")
        return (self[i] for i in range(len(self._data)))

    def __contains__(self, value: Any) -> bool:
        return bool((self._data == to_array(value)).any())

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise RuntimeError(
                f"the truth value of a Tensor of {self._data.size} elements is ambiguous: use "
                "any() or all()"
            )
        return bool(self._data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._data.dtype.kind not in "iub" or self._data.size != 1:
            raise TypeError("only integer Tensors of one element can be an index")
        return int(self._data.item())

    def __hash__(self) -> int:
        return id(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and not self._data.ndim else str(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if self._node is not None:
            raise RuntimeError("only leaves can be deep-copied: use detach() or clone()")
        memo[id(self)] = copy = type(self)(self._data.copy(), self._requires_grad)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        if self._node is not None:
            raise RuntimeError("only leaves can be pickled: use detach()")
        return type(self), (self._data, self._requires_grad)

    def _values(self) -> str:
        text = np.array2string(self._data, separator=", ", prefix="tensor(", threshold=1000)
        default = (np.float32, np.int64, np.bool_)
        return text if self.dtype in default else f"{text}, dtype={self.dtype}"

    def __repr__(self) -> str:
        origin = ""
        if self._node is not None:
            origin = f", grad_fn={self._node!r}"
        elif self._requires_grad:
            origin = ", requires_grad=True"
        return f"tensor({self._values()}{origin})"


def _as_array(data: Any) -> Array:
    """What is no array as one; lists become float32, as in torch."""
    if type(data) in (int, float):
        raise TypeError(
            f"data must be an array or a list, got {data!r}: tensor({data!r}) holds a number, "
            "zeros(2, 3) has sizes"
        )
    return np.asarray(to_array(data), np.float32 if isinstance(data, list | tuple) else None)


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(
        f"{what} on a Tensor that requires grad would lose the gradient: use the method or "
        "function of numpy_impl, or take detach() or data"
    )


def refuse_create_graph(create_graph: bool) -> None:
    if create_graph:
        raise ValueError("create_graph must be False: backward is not differentiable itself")


TensorLike = Tensor | Array
Operand = TensorLike | float | np.generic  # of arithmetic: numbers, too


@overload
def to_array(value: Tensor) -> Array: ...
@overload
def to_array(value: _Value) -> _Value: ...
def to_array(value: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return value._data if isinstance(value, Tensor) else value


def check_upstream(output: Tensor, gradient: Any, name: str = "gradient") -> Array:
    """The gradient to start from, checked: of the output's shape, in its dtype.

    Raises:
        RuntimeError: if the output requires no gradient, or has several elements and ``gradient``
            is None.
        TypeError, ValueError: if ``gradient`` is no array, or of another shape.
    """
    if not output._requires_grad:
        raise RuntimeError(
            "backward needs a Tensor that requires grad: nothing that this one was made from "
            "does, or it was made under no_grad()"
        )
    if gradient is None:
        if output._data.size != 1:
            raise RuntimeError(
                f"{name} may be left out for a single element only, not for shape {output.shape}"
            )
        return np.ones(output.shape, output.dtype)
    grad = to_array(gradient)
    if isinstance(grad, int | float) and not output.shape:
        grad = np.asarray(grad)
    if not isinstance(grad, np.ndarray | np.generic):
        raise TypeError(f"{name} must be an array or a Tensor, got {type(gradient).__name__}")
    if grad.shape != output.shape:
        raise ValueError(f"{name} must have the output's shape {output.shape}, got {grad.shape}")
    return np.asarray(grad, output.dtype)


def record(output: Any, name: str, *pairs: tuple[Any, Callable[[Array], Any]]) -> Tensor:
    """The Tensor of an operation's output, with its way back.

    Args:
        output: the values.
        name: of the operation.
        *pairs: each input with a function from the gradient of the output to its own, before
            broadcasting is undone. Inputs that are no Tensors, or need none, get no gradient.
    """
    result = Tensor(output)
    if grad_mode.enabled and result._data.dtype.kind == "f":
        shape, dtype = result._data.shape, result._data.dtype
        inputs, ways = [], []
        for tensor, way in pairs:
            if isinstance(tensor, Tensor) and tensor._requires_grad:
                x = tensor._data
                inputs.append(tensor)
                # where shapes differ something may have been broadcast, or promoted
                spec = None if x.shape == shape and x.dtype == dtype else (x.shape, x.dtype)
                ways.append(way if spec is None else (way, *spec))
        if inputs:
            result._node = Operation(name, tuple(inputs), tuple(ways))
            result._requires_grad = True
    return result


def attach(outputs: Sequence[Tensor], node: Node) -> None:
    """Make a node of the graph the origin of ``outputs``, which are floating-point."""
    for index, output in enumerate(outputs):
        output._node, output._index, output._requires_grad = node, index, True


__all__ = [
    "Operand",
    "RemovableHandle",
    "Tensor",
    "TensorLike",
    "attach",
    "check_upstream",
    "record",
    "refuse_create_graph",
    "to_array",
]
