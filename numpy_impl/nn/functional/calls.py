"""What makes a function of a layer, of a pair, and of a function its other half."""

import functools
import inspect
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from numpy_impl.grad_mode import enable_grad, grad_mode, no_grad
from numpy_impl.nn.call import check_grad, describe, leaves, mapped
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.module import Module
from numpy_impl.tensor.graph import Node, run_backward
from numpy_impl.tensor.tensor import Tensor, attach, to_array

Array = np.ndarray


def by_layer(layer: Module, *inputs: Any) -> Any:
    """What a new layer makes of the inputs; of arrays without keeping anything for backward."""
    if any(isinstance(value, Tensor) for value in inputs):
        return layer(*inputs)
    with no_grad():
        return layer(*inputs)


def by_pair(
    forward: Callable[..., Array],
    backward: Callable[..., Sequence[Array | None]],
    inputs: tuple[Any, ...],
    *options: Any,
    features: int | None = None,
) -> Any:
    """A pair of functions of input, weight and perhaps bias as one call of the graph.

    ``features`` is how many values the bias has: the weight's length unless given.
    """
    x, weight, *others = arrays = tuple(to_array(value) for value in inputs)
    shape = weight.shape[:1] if features is None else (features,)
    for bias in others:
        if bias is not None and check_array(bias, "bias", weight.dtype).shape != shape:
            raise ValueError(f"bias must have shape {shape}, got {bias.shape}")
    output = forward(*arrays, *options)
    return attached(
        forward.__name__,
        output,
        inputs,
        lambda dy, needs: backward(dy, x, weight, *options, needs),
    )


def attached(
    name: str,
    output: Array,
    inputs: Sequence[Any],
    backward: Callable[[Any, tuple[bool, ...]], Sequence[Array | None]],
) -> Any:
    """The output as one call of the graph, if a Tensor is among the inputs.

    ``backward(dy, needs)`` gives the inputs' gradients; ``needs`` says which.
    """
    if not any(isinstance(value, Tensor) for value in inputs):
        return output
    result = Tensor(output)
    needs = tuple(isinstance(v, Tensor) and v.requires_grad for v in inputs)
    if grad_mode.enabled and any(needs):

        def way_back(grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
            found = backward(grads[0], needs)
            return [grad for grad, needed in zip(found, needs, strict=True) if needed]

        tracked = tuple(value for value, needed in zip(inputs, needs, strict=True) if needed)
        attach([result], Node(name, tracked, way_back, is_layer=True))
    return result


def by_table(layer: Any, weight: Any, *inputs: Any) -> Any:
    """A call of a layer that holds the given ``weight``, which is one of the graph's inputs."""
    given = (weight, *inputs)
    if not any(isinstance(value, Tensor) for value in given):
        with no_grad():
            return layer(*inputs)
    needs = [isinstance(value, Tensor) and value.requires_grad for value in given]
    layer.weight.requires_grad = needs[0]
    result = Tensor(layer(*map(to_array, inputs)))
    if grad_mode.enabled and any(needs):
        saved = layer._call.saved

        def way_back(grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
            found = iter(layer._grads(grads[0], *saved))
            grads = [None if value is None else next(found) for value in given]
            return [grad for grad, needed in zip(grads, needs, strict=True) if needed]

        tracked = tuple(value for value, needed in zip(given, needs, strict=True) if needed)
        attach([result], Node(type(layer).__name__, tracked, way_back, is_layer=True))
    return result


def backward_of(function: Callable[..., Any], *constants: str) -> Callable[..., Any]:
    """``f_backward``, by the rule above: through the layer's or the operations' own backward.

    ``constants`` are the names of arguments that have no gradient.
    """
    name = f"{function.__name__}_backward"
    names = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def backward(grad_output: Any, *args: Any, **kwargs: Any) -> Any:
        tensors: list[Tensor] = []

        def wrapped(argument: str, value: Any) -> Any:
            def wrap(array: Array) -> Any:
                if array.dtype.kind != "f":
                    return array
                tensors.append(Tensor(array, argument not in constants))
                return tensors[-1]

            return mapped(value, wrap)

        given = [wrapped(*pair) for pair in zip_longest(names[: len(args)], args)]
        options = {key: wrapped(key, value) for key, value in kwargs.items()}
        with enable_grad():
            output = function(*given, **options)
        outputs = [t for t in leaves(output) if isinstance(t, Tensor) and t.requires_grad]
        grad = check_grad(grad_output, describe(outputs[0]), f"{name}: grad_output")
        run_backward(outputs[:1], [grad])
        grads = tuple(tensor.grad for tensor in tensors)
        return grads[0] if len(grads) == 1 else grads

    backward.__name__ = backward.__qualname__ = name
    backward.__doc__ = (
        f"Gradients for the floating-point arrays among the arguments of "
        f":func:`{function.__name__}`, from that of its output; None for constants."
    )
    return backward
