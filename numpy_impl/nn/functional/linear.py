"""linear."""

from typing import Any

from numpy_impl.nn import linear as _linear
from numpy_impl.nn.checks import check_array, names_itself
from numpy_impl.nn.functional.calls import backward_of, by_pair
from numpy_impl.tensor.tensor import to_array


@names_itself
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    r""":math:`y = x W^\top + b`; see :class:`~numpy_impl.nn.Linear`."""
    x, w = to_array(input), check_array(to_array(weight), "weight")
    check_array(x, "input", w.dtype)
    if x.shape[-1:] != w.shape[1:]:
        raise ValueError(f"input's last axis must be that of weight {w.shape}, got {x.shape}")
    return by_pair(_linear.linear, _linear.linear_backward, (input, weight, bias))


linear_backward = backward_of(linear)
