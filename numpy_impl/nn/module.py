"""Module: the forward/backward protocol of every layer, loss and model."""

from collections.abc import Callable, Sequence
from typing import Any, Self, overload

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn.call import (
    Call,
    check_grad,
    current_call,
    describe,
    no_forward,
    running,
    set_call,
)
from numpy_impl.nn.checks import names_itself
from numpy_impl.nn.composed import backward_of_calls, call_of_calls
from numpy_impl.nn.hooks import Hooks, call_with_hooks
from numpy_impl.nn.layer import layer_backward, layer_call
from numpy_impl.nn.state import State
from numpy_impl.tensor.tensor import RemovableHandle, Tensor
from numpy_impl.types import Array, Giving, Inputs, Output, Written


def _with_any_arguments(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method itself, which a type checker lets others with other arguments override."""
    return method


class Module(State):
    """Base of every layer, loss and model.

    A model is made of calls: it writes ``forward`` alone, and has its backward from the layers and
    operations that forward called. A layer writes both, for arrays::

        class Square(nn.Module):
            def forward(self, input):
                output = input * input
                self.save_for_backward(output, input)
                return output

            def backward(self, grad_output):
                grad_output, input = self.saved_for_backward(grad_output)
                return 2 * input * grad_output

    ``forward`` hands :meth:`save_for_backward` its output (of which shape and dtype alone are
    kept, to check the upstream gradient) and whatever backward needs. ``backward(grad_output)``
    returns d(own output)/d(own input) applied to ``grad_output``, one array for each array input
    of forward, and adds parameter gradients with ``Parameter.accumulate_grad``.

    Either can be called with arrays, and then goes back by ``module.backward(grad_output)``,
    through its last call; or with Tensors, any number of times, and then goes back by
    ``loss.backward()``.
    A constructor starts with ``super().__init__()``.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Module.html
    """

    training: bool
    _is_layer = False
    # whether the class is of this library, whose layers keep what backward needs by
    # save_for_backward alone, and call no modules but their parts
    _is_ours = True
    _starts_plain = True
    # what stands for an upstream gradient that was not given: a loss's is 1
    _own_upstream: float | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make a class that writes its own backward a layer, one that writes forward alone not."""
        super().__init_subclass__(**kwargs)
        is_ours = cls.__module__.startswith("numpy_impl.")
        if is_ours and "__init__" in vars(cls):
            cls.__init__ = names_itself(cls.__init__)  # type: ignore[method-assign]
        forward, backward, call = (_owner(cls, n) for n in ("forward", "backward", "__call__"))
        if forward is backward is call is not cls:
            return  # all inherited
        if forward is Module:
            return  # a base of layers, whose subclasses write the forward
        own_call = "__call__" in cls.__dict__
        cls._is_ours = is_ours
        overrides = any(getattr(base, "_is_layer", False) for base in cls.__mro__[1:])
        cls._starts_plain = cls._is_ours or not overrides
        # a backward written for another forward is not this one's
        its_forward = next((c for c in backward.__mro__ if "forward" in c.__dict__), Module)
        cls._is_layer = backward is not Module and its_forward in (Module, forward)
        if cls._is_layer:
            plain = getattr(cls.forward, "_of_layer", cls.forward)
            back = getattr(cls.backward, "_of_layer", cls.backward)
            cls.backward = layer_backward(back, overrides)  # type: ignore[method-assign]
            cls.forward = layer_call(plain, cls.backward, False, cls._is_ours)  # type: ignore[method-assign]
            if not own_call:
                cls.__call__ = layer_call(plain, cls.backward, True, cls._is_ours)  # type: ignore[method-assign]
        else:
            cls.backward = Module.backward  # type: ignore[method-assign]
            if not own_call:
                cls.__call__ = Module.__call__  # type: ignore[method-assign]

    def __init__(self) -> None:
        own = self.__dict__  # __setattr__ below needs these to exist
        own["_members"], own["_non_persistent"] = {}, set()
        own["_hooks"] = own["_call"] = None
        # _is_plain: no parts and no hooks, so that a layer's call need not look for them
        own["_is_plain"], own["_wants_grad"], own["training"] = self._starts_plain, True, True

    # -- forward and backward ------------------------------------------------------------------

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    @_with_any_arguments  # a layer's own takes the gradient of its output alone
    def backward(self, grad_output: Any = None, retain_graph: bool = False) -> Any:
        """Go back through the last call, which was with arrays.

        Args:
            grad_output: the gradient of what forward returned, in its structure; a number stands
                for every element.
            retain_graph: keep what forward kept, so that another backward can follow.

        Returns:
            The gradient for the array inputs, in the structure in which they were passed; ``None``
            for integer inputs.

        Raises:
            RuntimeError: if there was no forward, or another backward has used it up.
        """
        return backward_of_calls(self, grad_output, retain_graph)

    @overload  # as forward is written
    def __call__(
        self: Written[Inputs, Output], *inputs: Inputs.args, **kwargs: Inputs.kwargs
    ) -> Output: ...
    @overload  # a layer, written for arrays, in a graph
    def __call__(self: Giving[Array], input: Tensor, /, *inputs: Any, **kwargs: Any) -> Tensor: ...
    @overload  # a model, written for Tensors, without one
    def __call__(self: Giving[Tensor], *inputs: Array, **kwargs: Array) -> Array: ...
    @overload
    def __call__(self, *inputs: Any, **kwargs: Any) -> Any: ...
    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        if self._hooks is not None:
            return call_with_hooks(self, inputs, kwargs)
        return call_of_calls(self, inputs, kwargs)

    @property
    def _call(self) -> Call | None:
        """The call that backward goes through."""
        return current_call(self)

    def save_for_backward(self, output: Any, *saved: Any) -> None:
        """Keep ``saved`` for backward, and the output's shape and dtype; nothing under no_grad."""
        if grad_mode.enabled:
            call = Call()
            call.output, call.saved = describe(output), saved
            if running:
                set_call(self, call)
            else:
                self.__dict__["_call"] = call  # past __setattr__: this runs for every layer

    def saved_for_backward(self, grad_output: Any) -> tuple[Any, ...]:
        """The checked upstream gradient, followed by what forward saved.

        ``grad_output`` must have the structure and shapes of forward's output; a ``None`` inside
        a tuple stands for zeros. It comes back in the output's dtype.

        Raises:
            RuntimeError: if there was no forward, it ran under ``no_grad()``, or gave integers.
            TypeError: if ``grad_output`` is no array (or tuple of arrays).
            ValueError: if a shape differs from the output's.
        """
        call = current_call(self) if running else self.__dict__["_call"]
        if call is None:
            raise RuntimeError(no_forward(self))
        if call.output is None:
            raise RuntimeError(f"{type(self).__name__}: forward gave no floating-point output")
        grad = check_grad(grad_output, call.output, f"{type(self).__name__}: grad_output")
        return (grad, *call.saved)

    def needs_grad(self, index: int = 0) -> bool:
        """In a layer's backward: whether an array input of its forward needs a gradient.

        Args:
            index: of the input, counting arrays only.
        """
        call = current_call(self)
        needs = None if call is None else call.needs
        return self._wants_grad if needs is None else index < len(needs) and needs[index]

    def needs_grads(self, *names: str) -> tuple[bool, ...]:
        """In a layer's backward: what needs a gradient, the first input and each named parameter.

        One that is ``None`` or frozen needs none, and should cost none.
        """
        needs = [self.needs_grad()]
        for name in names:
            parameter = getattr(self, name)
            needs.append(parameter is not None and parameter.requires_grad)
        return tuple(needs)

    def accumulate_grads(self, grads: Sequence[Array | None], *names: str) -> Array | None:
        """End a layer's backward: add each parameter's gradient to it, and return the input's.

        Args:
            grads: those of the first input and of the named parameters; None: there is none.
            names: as for :meth:`needs_grads`; the arrays now belong to the parameters.
        """
        grad_input, *others = grads
        for name, grad in zip(names, others, strict=True):
            if grad is not None:
                getattr(self, name).accumulate_grad(grad)
        return grad_input

    def needs_input_grad_(self, needed: bool = True) -> Self:
        """Say whether ``backward`` computes the gradient for array inputs (default: yes).

        A training loop on arrays has no use for the gradient of the images: with
        ``model.needs_input_grad_(False)`` the first layer saves that work, and ``backward``
        returns ``None``. (A Tensor says so itself, by ``requires_grad``.)
        """
        self._wants_grad = needed
        return self

    # -- hooks ---------------------------------------------------------------------------------

    def _with_hooks(self) -> Hooks:
        if self._hooks is None:
            self.__dict__.update(_hooks=Hooks(), _is_plain=False)
        return self._hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, inputs)`` before forward; what it returns replaces the inputs."""
        return RemovableHandle(self._with_hooks().forward_pre, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, inputs, output)`` after forward; what it returns replaces it."""
        return RemovableHandle(self._with_hooks().forward, (hook, with_kwargs), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` before backward; what it returns replaces it."""
        return RemovableHandle(self._with_hooks().backward_pre, hook, prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` after backward.

        Both are tuples of Tensors; what the hook returns replaces ``grad_input``.
        """
        return RemovableHandle(self._with_hooks().backward, hook, prepend)

    # -- looks ---------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The arguments that ``repr`` shows."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [
            f"({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self._of_kind("module")
        ]
        if not children and "\n" not in extra:
            return f"{self._get_name()}({extra})"
        lines = extra.splitlines() + children
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"

    def _get_name(self) -> str:
        return type(self).__name__


def _owner(cls: type, name: str) -> type:
    """The class in whose body the attribute is."""
    return next(c for c in cls.__mro__ if name in c.__dict__)
