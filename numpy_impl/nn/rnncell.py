"""RNNCell, LSTMCell and GRUCell: one step of a recurrence, whose math is in rnnstep.py."""

import math
from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.products import matmul, sum_rows
from numpy_impl.nn import init
from numpy_impl.nn.call import summary
from numpy_impl.nn.checks import check_array, check_int, float_dtype
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Parameter
from numpy_impl.nn.rnnstep import STEPS, affine

Array = np.ndarray


def draw_uniform(module: Module, hidden_size: int) -> None:
    """Draw all parameters anew, in torch's order."""
    bound = 1 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


class RNNCellBase(Module):
    r"""Base of the cells: two weights, two biases, and the call of a step.

    Args:
        input_size: size of each input row.
        hidden_size: size of each row of the state.
        bias: False leaves both biases out.
        num_chunks: how many gates there are.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        weight_ih (num_chunks * hidden_size, input_size), weight_hh (num_chunks * hidden_size,
        hidden_size), bias_ih and bias_hh (num_chunks * hidden_size,).

    All start from :math:`U(-1/\sqrt{hidden}, 1/\sqrt{hidden})`.

    Raises:
        ValueError: if a size is negative.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.RNNCell.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = check_int(input_size, "input_size", 0)
        self.hidden_size = check_int(hidden_size, "hidden_size", 0)
        self.bias = bias
        dtype, gates = float_dtype(dtype, device), num_chunks * hidden_size
        self.weight_ih = Parameter(np.empty((gates, input_size), dtype))
        self.weight_hh = Parameter(np.empty((gates, hidden_size), dtype))
        if bias:
            self.bias_ih = Parameter(np.empty(gates, dtype))
            self.bias_hh = Parameter(np.empty(gates, dtype))
        else:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, in torch's order."""
        draw_uniform(self, self.hidden_size)

    def extra_repr(self) -> str:
        extra = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            extra += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            extra += f", nonlinearity={self.nonlinearity}"
        return extra


_BIASES = "bias_ih", "bias_hh"
_WEIGHTS = "weight_ih", "weight_hh"


class _Cell(RNNCellBase):
    """The call of a step."""

    @property
    def _mode(self) -> str:
        return type(self).__name__.removesuffix("Cell")

    @silently
    def forward(self, input: Array, hx: Any = None) -> Any:
        step, dtype = STEPS[self._mode], self.weight_ih.dtype
        input = check_array(input, "input", dtype, (1, 2))
        is_single, has_state = input.ndim == 1, hx is not None
        x = input[None] if is_single else input
        state = self._state(hx, x, is_single, step.states)
        if x.shape[1] != self.input_size:
            raise RuntimeError(
                f"{type(self).__name__}: input's last axis must be input_size={self.input_size}, "
                f"got shape {input.shape}"
            )
        b_ih, b_hh = (None if b is None else b.data for b in (self.bias_ih, self.bias_hh))
        a_x = affine(x, self.weight_ih.data, b_ih)
        a_h = affine(state[0], self.weight_hh.data, b_hh)
        after, saved = step.forward(a_x, a_h, *state)
        # (a copy: what is kept must not be what is returned)
        outputs = tuple([np.array(s[0] if is_single else s) for s in after])
        output = outputs if step.states > 1 else outputs[0]
        self.save_for_backward(output, x, state[0], saved, is_single, has_state)
        return output

    def _state(self, hx: Any, x: Array, is_single: bool, count: int) -> list[Array]:
        """The given state as (N, H) arrays, or zeros."""
        if hx is None:
            return [np.zeros((len(x), self.hidden_size), x.dtype)] * count
        if count > 1 and (not isinstance(hx, tuple | list) or len(hx) != count):
            raise TypeError(f"hx must be a tuple of {count} arrays, got {summary(hx)}")
        state = []
        for i, value in enumerate(hx if count > 1 else (hx,)):
            name = f"hx[{i}]" if count > 1 else "hx"
            value = check_array(value, name, x.dtype, (1, 2))
            wanted = (self.hidden_size,) if is_single else (len(x), self.hidden_size)
            if value.shape != wanted:
                raise RuntimeError(
                    f"{type(self).__name__}: {name} must have shape {wanted}, got {value.shape}"
                )
            state.append(value.reshape(len(x), self.hidden_size))
        return state

    @silently
    def backward(self, grad_output: Any) -> Any:
        grad_output, x, h, saved, is_single, has_state = self.saved_for_backward(grad_output)
        step = STEPS[self._mode]
        upstream = grad_output if step.states > 1 else (grad_output,)
        upstream = [grad[None] if is_single else grad for grad in upstream]
        da_x, da_h, direct, *others = step.backward(*upstream, *saved)
        needs_x, *needs = self.needs_grads(*_WEIGHTS, *_BIASES)
        grads = (
            matmul(da_x, self.weight_ih.data) if needs_x else None,
            matmul(da_x.T, x) if needs[0] else None,
            matmul(da_h.T, h) if needs[1] else None,
            sum_rows(da_x) if needs[2] else None,
            sum_rows(da_h) if needs[3] else None,
        )
        dx = self.accumulate_grads(grads, *_WEIGHTS, *_BIASES)
        if dx is not None and is_single:
            dx = dx[0]
        if not has_state:
            return dx
        dh = matmul(da_h, self.weight_hh.data)
        if direct is not None:
            dh += direct
        states = tuple([grad[0] if is_single else grad for grad in (dh, *others)])
        return dx, states if step.states > 1 else states[0]


class RNNCell(_Cell):
    r"""One step of an Elman network: :math:`h' = \tanh(W_{ih} x + b_{ih} + W_{hh} h + b_{hh})`.

    Args:
        input_size: size of each input row.
        hidden_size: size of each row of the state.
        bias: False leaves both biases out.
        nonlinearity: "tanh", or "relu" in its place.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        input (N, input_size) and hx (N, hidden_size), zeros unless given -> (N, hidden_size); or
        all without N. weight_ih (hidden_size, input_size), weight_hh (hidden_size, hidden_size),
        bias_ih and bias_hh (hidden_size,).

    All parameters start from :math:`U(-1/\sqrt{hidden}, 1/\sqrt{hidden})`.

    Raises:
        RuntimeError: if the shapes of input and hx do not fit, or for another nonlinearity.
        ValueError: if a size is negative, or input or hx is neither 1-d nor 2-d.
        TypeError: if a dtype is not the parameters'.

    Source: Elman 1990, https://doi.org/10.1207/s15516709cog1402_1;
    https://pytorch.org/docs/stable/generated/torch.nn.RNNCell.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    @property
    def _mode(self) -> str:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(
                f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {self.nonlinearity!r}"
            )
        return f"RNN_{self.nonlinearity.upper()}"


class LSTMCell(_Cell):
    r"""One step of a long short-term memory.

    .. math::
        i, f, o = \sigma(W_{ih} x + b_{ih} + W_{hh} h + b_{hh}),\quad
        g = \tanh(W_{ih} x + b_{ih} + W_{hh} h + b_{hh}),\quad
        c' = f c + i g,\quad h' = o \tanh(c')

    with a part of the weights for each gate, which lie in the order i, f, g, o.

    Args:
        input_size: size of each input row.
        hidden_size: size of each row of h and c.
        bias: False leaves both biases out.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        input (N, input_size) and hx = (h, c), (N, hidden_size) each, zeros unless given ->
        (h', c'); or all without N. weight_ih (4 * hidden_size, input_size), weight_hh
        (4 * hidden_size, hidden_size), bias_ih and bias_hh (4 * hidden_size,).

    All parameters start from :math:`U(-1/\sqrt{hidden}, 1/\sqrt{hidden})`.

    Raises:
        RuntimeError: if the shapes of input and hx do not fit.
        ValueError: if a size is negative, or input, h or c is neither 1-d nor 2-d.
        TypeError: if a dtype is not the parameters', or hx no tuple of two.

    Source: Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735;
    https://pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)


class GRUCell(_Cell):
    r"""One step of a gated recurrent unit.

    .. math::
        r, z = \sigma(W_{ih} x + b_{ih} + W_{hh} h + b_{hh}),\quad
        n = \tanh(W_{ih} x + b_{ih} + r (W_{hh} h + b_{hh})),\quad h' = (1 - z) n + z h

    with a part of the weights for each gate, which lie in the order r, z, n. (In the paper r comes
    before the product: :math:`W_{hh} (r h)`.)

    Args:
        input_size: size of each input row.
        hidden_size: size of each row of the state.
        bias: False leaves both biases out.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        input (N, input_size) and hx (N, hidden_size), zeros unless given -> (N, hidden_size); or
        all without N. weight_ih (3 * hidden_size, input_size), weight_hh (3 * hidden_size,
        hidden_size), bias_ih and bias_hh (3 * hidden_size,).

    All parameters start from :math:`U(-1/\sqrt{hidden}, 1/\sqrt{hidden})`.

    Raises:
        RuntimeError: if the shapes of input and hx do not fit.
        ValueError: if a size is negative, or input or hx is neither 1-d nor 2-d.
        TypeError: if a dtype is not the parameters'.

    Source: Cho et al. 2014, https://arxiv.org/abs/1406.1078;
    https://pytorch.org/docs/stable/generated/torch.nn.GRUCell.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)
