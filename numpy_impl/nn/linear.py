"""Identity, Linear, Bilinear."""

import math
from typing import Any

import numpy as np

from numpy_impl.kernels.memory import aligned_empty
from numpy_impl.kernels.products import matmul, sum_products, sum_rows
from numpy_impl.nn import init
from numpy_impl.nn.checks import check_array, check_int, float_dtype
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Parameter
from numpy_impl.tensor.tensor import to_array

Array = np.ndarray


def linear(input: Array, weight: Array, bias: Array | None = None) -> Array:
    r""":math:`y = x W^\top + b`; input (\*, in), weight (out, in), bias (out,) -> (\*, out)."""
    if input.ndim == 2 and 1 < len(input) < len(weight):
        # fewer rows than features: the transposed product, (out, M) in memory, is faster
        transposed = matmul(weight, input.T)
        if bias is not None:
            transposed += bias[:, None]
        return transposed.T
    output = matmul(_rows(input), weight.T)  # (*, in) -> (M, in): one GEMM
    if bias is not None:
        output += bias[None]  # for a single row nothing is broadcast: half the time of that
    return output if input.ndim == 2 else output.reshape(*input.shape[:-1], weight.shape[0])


def linear_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    r"""Gradients for input, weight and bias; ``needs`` says which (None for the others).

    :math:`dx = dy\,W,\quad dW = dy^\top x,\quad db = \sum dy`
    """
    dy, x = _rows(grad_output), _rows(input)  # (M, out), (M, in)
    dx = None
    if needs[0]:
        # in the memory layout of x, which whatever made x finds faster to work on
        is_transposed = x.flags.f_contiguous and not x.flags.c_contiguous
        dx = matmul(weight.T, dy.T).T if is_transposed else matmul(dy, weight)
        dx = dx.reshape(input.shape)
    return (
        dx,
        sum_products(dy, x) if needs[1] else None,
        sum_rows(dy) if needs[2] else None,
    )


def bilinear(x1: Array, x2: Array, weight: Array, bias: Array | None = None) -> Array:
    r""":math:`y_k = x_1^\top A_k\,x_2 + b_k`; x1 (\*, I), x2 (\*, J), A (O, I, J) -> (\*, O)."""
    left, right = _rows(x1), _rows(x2)  # (M, I), (M, J)
    output = np.empty((len(left), len(weight)), x1.dtype)
    for k, a in enumerate(weight):  # all at once they would take (M, O, J) of memory
        output[:, k] = np.einsum("mj,mj->m", matmul(left, a), right)
    if bias is not None:
        output += bias
    return output.reshape(*x1.shape[:-1], len(weight))


def bilinear_backward(
    grad_output: Array,
    x1: Array,
    x2: Array,
    weight: Array,
    needs: tuple[bool, ...] = (True, True, True, True),
) -> tuple[Array | None, ...]:
    r"""Gradients for x1, x2, weight and bias; ``needs`` says which (None for the others).

    :math:`dx_1 = \sum_k dy_k\,A_k x_2,\quad dx_2 = \sum_k dy_k\,A_k^\top x_1,\quad
    dA_k = dy_k\,x_1 x_2^\top,\quad db = \sum dy`
    """
    dy, left, right = _rows(grad_output), _rows(x1), _rows(x2)  # (M, O), (M, I), (M, J)
    d1, d2, da = np.zeros_like(left), np.zeros_like(right), np.empty_like(weight)
    for k, a in enumerate(weight):
        dy_k = dy[:, k, None]  # (M, 1)
        if needs[0]:
            d1 += matmul(dy_k * right, a.T)
        if needs[1] or needs[2]:
            scaled = dy_k * left
        if needs[1]:
            d2 += matmul(scaled, a)
        if needs[2]:
            da[k] = sum_products(scaled, right)
    return (
        d1.reshape(x1.shape) if needs[0] else None,
        d2.reshape(x2.shape) if needs[1] else None,
        da if needs[2] else None,
        sum_rows(dy) if needs[3] else None,
    )


def check_bilinear(x1: Any, x2: Any, weight: Array) -> tuple[Array, Array]:
    """Both inputs, which must fit one another and the weight, (O, I, J)."""
    x1 = check_array(x1, "input1", weight.dtype)
    x2 = check_array(x2, "input2", weight.dtype)
    for x, name, size in zip((x1, x2), ("input1", "input2"), weight.shape[1:], strict=True):
        if x.shape[-1:] != (size,):
            raise ValueError(f"{name}'s last axis must be {size}, got shape {x.shape}")
    if x1.shape[:-1] != x2.shape[:-1]:
        raise ValueError(
            f"input2 must have input1's axes but the last, {x1.shape[:-1]}, got shape {x2.shape}"
        )
    return x1, x2


def _rows(array: Array) -> Array:
    if array.ndim == 2:
        return array
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


class Identity(Module):
    """Returns its input (a copy: results share no memory with inputs); takes any arguments.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Identity.html
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Array) -> Array:
        output = np.copy(check_array(input, "input", integers=True), order="K")
        self.save_for_backward(output)
        return output

    def backward(self, grad_output: Array) -> Array:
        (grad_output,) = self.saved_for_backward(grad_output)
        return np.copy(grad_output, order="K")


class Linear(Module):
    r"""An affine map of the last axis: :math:`y = x W^\top + b`.

    Args:
        in_features: size of each input row.
        out_features: size of each output row.
        bias: False leaves :math:`b` out.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        input (\*, in_features) -> (\*, out_features); weight (out_features, in_features),
        bias (out_features,).

    Both start from :math:`U(-1/\sqrt{in}, 1/\sqrt{in})`.

    Raises:
        ValueError: if a size is negative or the input's last axis is not ``in_features``.
        TypeError: if the input's dtype is not the parameters'.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Linear.html
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = check_int(in_features, "in_features", 0)
        self.out_features = check_int(out_features, "out_features", 0)
        dtype = float_dtype(dtype, device)
        self.weight = Parameter(aligned_empty((out_features, in_features), dtype))
        if bias:
            self.bias = Parameter(np.empty(out_features, dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, in torch's order."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # the same as U(-1/√in, 1/√in)
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Array) -> Array:
        weight = self.weight.data
        input = check_array(input, "input", weight.dtype)
        if input.shape[-1:] != weight.shape[1:]:
            raise ValueError(
                f"input's last axis must be in_features={self.in_features}, got shape {input.shape}"
            )
        output = linear(input, weight, to_array(self.bias))
        self.save_for_backward(output, input)
        return output

    def backward(self, grad_output: Array) -> Array | None:
        grad_output, input = self.saved_for_backward(grad_output)
        needs = self.needs_grads("weight", "bias")
        grads = linear_backward(grad_output, input, self.weight.data, needs)
        return self.accumulate_grads(grads, "weight", "bias")

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    r"""A bilinear map of the last axes of two inputs: :math:`y_k = x_1^\top A_k\,x_2 + b_k`.

    Args:
        in1_features: size of each row of the first input.
        in2_features: size of each row of the second.
        out_features: size of each output row.
        bias: False leaves :math:`b` out.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        input1 (\*, in1_features) and input2 (\*, in2_features) -> (\*, out_features); weight
        (out_features, in1_features, in2_features), bias (out_features,).

    Both start from :math:`U(-1/\sqrt{in_1}, 1/\sqrt{in_1})`.

    Raises:
        ValueError: if in1_features is not positive, another size negative, or shapes do not fit.
        TypeError: if an input's dtype is not the parameters'.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Bilinear.html
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features = check_int(in1_features, "in1_features", 1)
        self.in2_features = check_int(in2_features, "in2_features", 0)
        self.out_features = check_int(out_features, "out_features", 0)
        dtype = float_dtype(dtype, device)
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(aligned_empty(shape, dtype))
        if bias:
            self.bias = Parameter(np.empty(out_features, dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, in torch's order."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Array, input2: Array) -> Array:
        x1, x2 = check_bilinear(input1, input2, self.weight.data)
        output = bilinear(x1, x2, self.weight.data, to_array(self.bias))
        self.save_for_backward(output, x1, x2)
        return output

    def backward(self, grad_output: Array) -> tuple[Array | None, Array | None]:
        grad_output, x1, x2 = self.saved_for_backward(grad_output)
        first, *others = self.needs_grads("weight", "bias")
        needs = (first, self.needs_grad(1), *others)
        grad1, *grads = bilinear_backward(grad_output, x1, x2, self.weight.data, needs)
        return grad1, self.accumulate_grads(grads, "weight", "bias")

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )
