"""linear, bilinear."""

from typing import Any

from numpy_impl.nn import linear as _linear
from numpy_impl.nn.checks import check_array, names_itself
from numpy_impl.nn.functional.calls import backward_of, by_pair
from numpy_impl.tensor.tensor import Tensor, record, to_array


@names_itself
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    r""":math:`y = x W^\top + b`; see :class:`~numpy_impl.nn.Linear`."""
    x, w = to_array(input), check_array(to_array(weight), "weight")
    check_array(x, "input", w.dtype)
    if x.shape[-1:] != w.shape[1:]:
        raise ValueError(f"input's last axis must be that of weight {w.shape}, got {x.shape}")
    return by_pair(_linear.linear, _linear.linear_backward, (input, weight, bias))


@names_itself
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    r""":math:`y_k = x_1^\top A_k\,x_2 + b_k`; see :class:`~numpy_impl.nn.Bilinear`."""
    given = (input1, input2, weight, bias)
    w, b = check_array(to_array(weight), "weight", ndim=(3,)), to_array(bias)
    x1, x2 = _linear.check_bilinear(to_array(input1), to_array(input2), w)
    if b is not None and check_array(b, "bias", w.dtype).shape != w.shape[:1]:
        raise ValueError(f"bias must have shape {w.shape[:1]}, got {b.shape}")
    output = _linear.bilinear(x1, x2, w, b)
    if not any(isinstance(value, Tensor) for value in given):
        return output

    def way(i: int) -> Any:
        needs = tuple(i == k for k in range(4))
        return lambda g: _linear.bilinear_backward(g, x1, x2, w, needs)[i]

    return record(output, "bilinear", *((value, way(i)) for i, value in enumerate(given)))


linear_backward = backward_of(linear)
bilinear_backward = backward_of(bilinear)
