"""Parametrizations: a parameter that is computed from others, each time it is asked for.

A parametrized module is of a class of its own, a subclass of the one that it was. The parameter is
no attribute any more but found by ``__getattr__``, as a Tensor in the graph; what it is computed
from is in ``module.parametrizations``.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NoReturn

import numpy as np

from numpy_impl.grad_mode import no_grad
from numpy_impl.nn.call import current_call, leaves, summary
from numpy_impl.nn.container import ModuleDict, ModuleList
from numpy_impl.nn.layer import OF_EVERY_MODULE
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Parameter
from numpy_impl.nn.state import State
from numpy_impl.tensor.rows import dense
from numpy_impl.tensor.tensor import Tensor, to_array
from numpy_impl.types import Array

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
]


class _Cache:
    """What parametrized tensors were within :func:`cached`, by module and name."""

    depth = 0
    values: dict[tuple[int, str], Any] = {}  # noqa: RUF012 (there is one for all)


@contextmanager
def cached() -> Iterator[None]:
    """Within it each parametrized tensor is computed once, however often it is asked for.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.cached.html
    """
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.values = {}


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in their order, and what they start from.

    That is ``original``; or ``original0``, ``original1`` ... if the first one's ``right_inverse``
    gives several. :func:`register_parametrization` makes it.

    Args:
        modules: the parametrizations.
        original: the parameter or buffer.
        unsafe: let them change the dtype or the shape.

    Raises:
        ValueError: if there are none, or one gives something that does not fit.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.ParametrizationList.html
    """

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False) -> None:
        if not len(modules):
            raise ValueError("modules must hold one or more parametrizations, got none")
        super().__init__(modules)
        self.unsafe = unsafe
        like = Tensor(to_array(original))
        new = self._inverted(like, first=True)
        self.is_tensor = isinstance(new, Tensor | np.ndarray)
        if not self.is_tensor and not isinstance(new, Sequence):
            raise ValueError(f"right_inverse must return Tensors, got {summary(new)}")
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor and new.dtype != like.dtype:
            raise ValueError(
                f"right_inverse must keep the dtype {like.dtype} if it returns one Tensor, "
                f"got {new.dtype}"
            )
        for i, value in enumerate([new] if self.is_tensor else new):
            if not isinstance(value, Tensor | np.ndarray):
                raise ValueError(f"right_inverse must return Tensors, got {summary(value)} at {i}")
            array = to_array(value)
            if array is not like.data or not self.is_tensor:
                array = array.copy()
            name = self._names()[i]
            if not isinstance(original, Parameter):
                self.register_buffer(name, array)
            elif self.is_tensor:  # the same object: an optimizer may have it
                original.data = array
                self.register_parameter(name, original)
            else:
                self.register_parameter(name, Parameter(array, original.requires_grad))
        if not unsafe:
            _check_like(self(), like, "a parametrization")

    def _names(self) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(self.ntensors)]

    @no_grad()
    def _inverted(self, value: Any, first: bool = False) -> Any:
        """What ``value`` is computed from; at first a parametrization without inverse keeps it."""
        for module in reversed(list(self)):
            if hasattr(module, "right_inverse"):
                try:
                    value = module.right_inverse(value)
                except NotImplementedError:
                    if not first:
                        raise
            elif not first:
                raise RuntimeError(f"{type(module).__name__} must have a right_inverse")
        return value

    def right_inverse(self, value: Any) -> None:
        """Set what the parametrizations start from, so that they give ``value``.

        Raises:
            RuntimeError: if one has no ``right_inverse``.
            ValueError: if one returns something else than at first.
        """
        new = self._inverted(Tensor(to_array(value)))
        values = [new] if self.is_tensor else new
        if not isinstance(values, Sequence) or len(values) != self.ntensors:
            raise ValueError(
                f"right_inverse must return {self.ntensors} Tensors, got {summary(new)}"
            )
        for name, one in zip(self._names(), values, strict=True):
            own = getattr(self, name)
            if not isinstance(one, Tensor | np.ndarray) or one.dtype != own.dtype:
                raise ValueError(
                    f"right_inverse must return a Tensor of {own.dtype} for {name}, "
                    f"got {summary(one)}"
                )
            array = to_array(one).copy()
            if isinstance(own, Parameter):
                own.data = array
            else:
                setattr(self, name, array)

    def forward(self) -> Any:
        """The parametrized tensor."""
        first, *others = self
        found = [getattr(self, name) for name in self._names()]
        value = first(*[Tensor(own) if isinstance(own, np.ndarray) else own for own in found])
        for module in others:
            value = module(value)
        return value


def _check_like(value: Any, like: Tensor, what: str) -> None:
    """Raise ValueError unless it is a Tensor of that dtype and shape."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{what} must return a Tensor, got {summary(value)}")
    if value.dtype != like.dtype:
        raise ValueError(
            f"{what} must keep the dtype {like.dtype} unless unsafe=True, got {value.dtype}"
        )
    if value.shape != like.shape:
        raise ValueError(
            f"{what} must keep the shape {like.shape} unless unsafe=True, got {value.shape}"
        )


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    r"""Have a parameter or buffer computed by ``parametrization``, from what it is now.

    ``module.weight`` is then ``parametrization(original)``, a Tensor in the graph. To be assigned
    to, a parametrization needs a method ``right_inverse``, which gives the ``original``, or a tuple
    of several, from a value. Another parametrization of the same tensor comes after the first.

    Args:
        module: whose tensor it is.
        tensor_name: the name of a parameter or buffer.
        parametrization: a module from Tensors to a Tensor.
        unsafe: let it change the dtype or the shape, which is not checked then.

    Returns:
        The module.

    Raises:
        ValueError: if there is no such tensor, or the parametrization does not fit it.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.register_parametrization.html
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        own: Any = module.parametrizations[tensor_name]
        if not unsafe:
            _check_further(parametrization, own())
        own.append(parametrization)
        own.unsafe |= unsafe
        return module
    kind = module._members.get(tensor_name)
    if kind not in ("parameter", "buffer"):
        raise ValueError(
            f"tensor_name must name a parameter or buffer of {type(module).__name__}, "
            f"got {tensor_name!r}"
        )
    own = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        cls: Any = type(module)
        module.__class__ = _parametrized(cls)
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = own
    return module


def _check_further(parametrization: Any, before: Tensor) -> None:
    """A parametrization of what is parametrized: from such Tensors to such Tensors."""
    after = parametrization(before)
    _check_like(after, before, "a parametrization")
    if hasattr(parametrization, "right_inverse"):
        try:
            inverse = parametrization.right_inverse(after)
        except NotImplementedError:
            return
        _check_like(inverse, before, "right_inverse")


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the tensor of that name is parametrized, or any if there is no name.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.is_parametrized.html
    """
    own = vars(module).get("parametrizations")
    if not isinstance(own, ModuleDict):
        return False
    return len(own) > 0 if tensor_name is None else tensor_name in own


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make a parametrized tensor a parameter or buffer again.

    Args:
        module: whose tensor it is.
        tensor_name: its name.
        leave_parametrized: leave it the value that it has; False gives it the ``original``.

    Returns:
        The module.

    Raises:
        ValueError: if it is not parametrized; or there is no ``original``, but several.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.parametrize.remove_parametrizations.html
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"tensor_name must name a parametrized tensor, got {tensor_name!r}")
    own: Any = module.parametrizations[tensor_name]
    if not own.is_tensor and not leave_parametrized:
        raise ValueError(
            f"leave_parametrized must be True: {tensor_name} is computed from {own.ntensors} "
            "tensors, none of which it could be"
        )
    original = own.original if own.is_tensor else None
    if leave_parametrized:
        value = getattr(module, tensor_name)
        array = to_array(value).copy()
        if isinstance(original, Parameter):  # the same object: an optimizer may have it
            original.data = array
        else:
            is_trained = not own.is_tensor and isinstance(value, Tensor) and value.requires_grad
            original = Parameter(array) if is_trained else array
    del module.parametrizations[tensor_name]
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    if isinstance(original, Parameter):
        module.register_parameter(tensor_name, original)
    else:
        module.register_buffer(tensor_name, original)
    return module


def _value(module: Any, name: str) -> Any:
    """The parametrized tensor: a Tensor, or for a buffer without gradient an array."""
    own = module.parametrizations[name]
    key = id(module), name
    value = _Cache.values.get(key) if _Cache.depth else None
    if value is None:
        value = own()
        if _Cache.depth:
            _Cache.values[key] = value
    is_buffer = own._members[own._names()[0]] == "buffer"
    return value.data if is_buffer and not value.requires_grad else value


@functools.cache
def _parametrized(cls: Any) -> Any:
    """The subclass that finds parametrized tensors, and may be assigned to them."""

    def get(self: Any, name: str) -> Any:
        if is_parametrized(self, name):
            return _value(self, name)
        return cls.__getattr__(self, name)

    def set_(self: Any, name: str, value: Any) -> None:
        if "parametrizations" in vars(self) and is_parametrized(self, name):
            self.parametrizations[name].right_inverse(value)
        else:
            cls.__setattr__(self, name, value)

    def copy(self: Any, memo: dict[int, Any]) -> Any:
        memo[id(self)] = other = object.__new__(type(self))
        other.__dict__.update(deepcopy(State.__getstate__(self), memo))
        return other

    def refuse(self: Any) -> NoReturn:
        raise RuntimeError(
            "a parametrized module can be copied but not pickled, since its class has no name: "
            "save its state_dict()"
        )

    body = {
        "__module__": cls.__module__,
        "__getattr__": get,
        "__setattr__": set_,
        "__deepcopy__": copy,
        "__getstate__": refuse,
    }
    if cls._is_layer:  # it is written for arrays
        body["forward"] = functools.partialmethod(_forward_of_layer, cls)
    return type(f"Parametrized{cls.__name__}", (cls,), body)


def _forward_of_layer(self: Any, cls: Any, *inputs: Any, **kwargs: Any) -> Any:
    """A layer's forward in the graph, with gradients for its parametrized tensors, too."""
    plain = object.__new__(cls)
    own = plain.__dict__
    own.update(vars(self), _call=None, _members=dict(self._members))
    del own["parametrizations"], own["_members"]["parametrizations"]
    tensors, parameters = [], []
    for name in self.parametrizations:
        value = getattr(self, name)
        if isinstance(value, Tensor):
            tensors.append(value)
            value = _Leaf(value.data, value.requires_grad)
            parameters.append(value)
        plain._own(name, value, "parameter" if isinstance(value, Parameter) else "buffer")
    output = _Layer(plain, parameters)(tuple(tensors), *inputs, **kwargs)
    for name, value in own.items():  # what forward left on the layer
        if name not in OF_EVERY_MODULE and name not in self.parametrizations:
            vars(self)[name] = value
    return output


class _Leaf(Parameter):
    """A parametrized tensor as its layer sees it in one call: it gathers its gradient by itself."""

    gathered: Array | None = None

    def accumulate_grad(self, grad: Any) -> None:
        if self._requires_grad:
            grad = dense(grad)
            self.gathered = grad if self.gathered is None else self.gathered + grad


class _Layer(Module):
    """One call of a layer whose first inputs are its parametrized tensors.

    Args:
        plain: the layer, with parameters in their place.
        leaves: these parameters.
    """

    def __init__(self, plain: Module, leaves: list[_Leaf]) -> None:
        super().__init__()
        self.plain = plain
        self.leaves = tuple(leaves)

    def forward(self, tensors: tuple[Array, ...], *inputs: Any, **kwargs: Any) -> Any:
        output = self.plain.forward(*inputs, **kwargs)
        self.save_for_backward(output, sum(1 for _ in leaves((inputs, kwargs))))
        return output

    def backward(self, grad_output: Any) -> tuple[Any, ...]:
        grad_output, count = self.saved_for_backward(grad_output)
        call, inner = current_call(self), current_call(self.plain)
        if call is not None and call.needs is not None and inner is not None:
            inner.needs = call.needs[len(self.leaves) :]
        grads = list(leaves(self.plain.backward(grad_output)))
        grads += [None] * (count - len(grads) if len(grads) == 1 else 0)
        found = [leaf.gathered for leaf in self.leaves]
        for leaf in self.leaves:
            leaf.gathered = None
        return (*found, *grads)
