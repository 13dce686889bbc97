"""RNN, LSTM and GRU: layers of recurrences, whose math is in rnnstep.py."""

from typing import Any, NamedTuple

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.call import summary
from numpy_impl.nn.checks import check_array, check_int, float_dtype, warn
from numpy_impl.nn.dropout import Dropout
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Parameter
from numpy_impl.nn.rnncell import draw_uniform
from numpy_impl.nn.rnnstep import ALONG_TIME, STEPS, Weights, recurrence, recurrence_backward
from numpy_impl.nn.utils.rnn import PackedSequence

Array = np.ndarray
_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")


class RNNBase(Module):
    r"""Base of RNN, LSTM and GRU: their parameters. It has no forward.

    Args:
        mode: "RNN_TANH", "RNN_RELU", "LSTM" or "GRU".
        input_size: size of each element of a sequence.
        hidden_size: size of each row of the state.
        num_layers: how many recurrences, each over the outputs of the one before.
        bias: False leaves the biases out.
        batch_first: True for (N, T, C) instead of (T, N, C).
        dropout: in training the probability of dropping a value of any layer's output but the
            last's.
        bidirectional: True for a second recurrence in each layer, from the end to the beginning,
            whose outputs stand beside those of the first.
        proj_size: above 0, the LSTM's h is projected to that size.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        for layer k: weight_ih_l[k] (G, C), weight_hh_l[k] (G, H), bias_ih_l[k] and bias_hh_l[k]
        (G,), G a multiple of H, 1 for an RNN, 3 for a GRU, 4 for an LSTM; with proj_size also
        weight_hr_l[k] (proj_size, H), and weight_hh_l[k] is (G, proj_size). The names of the other
        direction end in _reverse.

    All parameters start from :math:`U(-1/\sqrt{hidden}, 1/\sqrt{hidden})`.

    Raises:
        ValueError: if a size, ``dropout`` or ``mode`` is out of range.
        TypeError: if an argument has another type.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.modules.rnn.RNNBase.html
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if mode not in STEPS:
            raise ValueError(f"mode must be one of {', '.join(STEPS)}, got {mode!r}")
        for name, flag in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name} must be a bool, got {flag!r}")
        is_number = isinstance(dropout, int | float | np.number) and not isinstance(dropout, bool)
        if not is_number or not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be a number in [0, 1], got {dropout!r}")
        self.mode = mode
        self.input_size = check_int(input_size, "input_size", 1)
        self.hidden_size = check_int(hidden_size, "hidden_size", 1)
        self.num_layers = check_int(num_layers, "num_layers", 1)
        self.bias, self.batch_first = bias, batch_first
        self.dropout, self.bidirectional = float(dropout), bidirectional
        self.proj_size = check_int(proj_size, "proj_size", 0)
        if proj_size >= hidden_size:
            raise ValueError(
                f"proj_size must be smaller than hidden_size={hidden_size}, got {proj_size}"
            )
        if dropout > 0 and num_layers == 1:
            warn(
                f"{type(self).__name__}: dropout={dropout} has no effect with num_layers=1: the "
                "last layer's output is never dropped"
            )
        dtype, gates = float_dtype(dtype, device), STEPS[mode].gates * hidden_size
        size, directions = proj_size or hidden_size, 2 if bidirectional else 1
        shapes = Weights(None, (gates, size), (gates,), (gates,), (proj_size, hidden_size))
        if not bias:
            shapes = shapes._replace(b_ih=None, b_hh=None)
        if not proj_size:
            shapes = shapes._replace(hr=None)
        self._all_weights: list[Weights] = []  # names, for each layer and direction
        for k in range(num_layers * directions):
            layer, is_reverse = divmod(k, directions)
            end = f"l{layer}_reverse" if is_reverse else f"l{layer}"
            names = Weights(*(f"{kind}_{end}" for kind in _KINDS))
            columns = input_size if layer == 0 else size * directions
            for name, shape in zip(names, shapes._replace(ih=(gates, columns)), strict=True):
                if shape is not None:
                    setattr(self, name, Parameter(np.empty(shape, dtype)))
            self._all_weights.append(names)
        self.reset_parameters()

    def _parameters_of(self, k: int) -> list[Parameter | None]:
        return [getattr(self, name, None) for name in self._all_weights[k]]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction, in torch's order."""
        count = len(self._all_weights)
        return [[p for p in self._parameters_of(k) if p is not None] for k in range(count)]

    def flatten_parameters(self) -> None:
        """Nothing, as in torch on the CPU: on a GPU this would move all weights side by side."""

    def reset_parameters(self) -> None:
        """Draw all parameters anew, in torch's order."""
        draw_uniform(self, self.hidden_size)

    def extra_repr(self) -> str:
        names = ("proj_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
        values = [(name, getattr(self, name)) for name in names]
        defaults = (0, 1, True, False, 0, False)
        given = [f"{n}={v}" for (n, v), d in zip(values, defaults, strict=True) if v != d]
        return ", ".join([str(self.input_size), str(self.hidden_size), *given])


class _Form(NamedTuple):
    """How the caller's sequences are laid out: packed, or (T, N, C), (N, T, C) or (T, C)."""

    packed: PackedSequence | None
    is_single: bool
    batch_first: bool
    batch_sizes: list[int]  # of each step

    def to_rows(self, values: Any) -> Array:
        """-> (M, C)"""
        if self.packed is not None:
            return values[0]
        if self.batch_first and not self.is_single:
            values = values.swapaxes(0, 1)
        return values.reshape(sum(self.batch_sizes), values.shape[-1])

    def from_rows(self, rows: Array) -> Any:
        """(M, C) -> as the caller has it."""
        if self.packed is not None:
            return PackedSequence(rows, *self.packed[1:])
        if self.is_single:
            return rows
        values = rows.reshape(len(self.batch_sizes), self.batch_sizes[0], rows.shape[1])
        return values.swapaxes(0, 1) if self.batch_first else values

    def gradient(self, dx: Array | None) -> Any:
        """The same for the input's gradient: None for integers, and where none was needed."""
        if self.packed is not None:
            return dx, None, None, None
        return None if dx is None else self.from_rows(dx)

    def steps(self) -> list[slice]:
        """The rows of each step."""
        ends = np.cumsum(self.batch_sizes).tolist()
        return [slice(end - n, end) for end, n in zip(ends, self.batch_sizes, strict=True)]

    def sort(self, state: Array) -> Array:
        """(K, N, H): from the caller's order of sequences to that of their lengths."""
        if self.is_single:
            return state[:, None]
        return state if self.packed is None else _in_order(state, self.packed.sorted_indices)

    def unsort(self, state: Array) -> Array:
        """And back."""
        if self.is_single:
            return state[:, 0]
        return state if self.packed is None else _in_order(state, self.packed.unsorted_indices)


def _in_order(state: Array, order: Any) -> Array:
    return state if order is None else state[:, order]


class _Recurrent(RNNBase):
    """The call: layer after layer, each in one or both directions."""

    @silently
    def forward(self, input: Any, hx: Any = None) -> Any:
        form, step, states = self._form(input), ALONG_TIME[self.mode], self._state_sizes()
        state = self._state(hx, form, states)
        x, rows, directions = form.to_rows(input), form.steps(), 2 if self.bidirectional else 1
        kept, noises, after = [], [], []
        dropout = Dropout(self.dropout).train(self.training)
        for layer in range(self.num_layers):
            outputs = []
            for k in range(layer * directions, (layer + 1) * directions):
                w = Weights(*(None if p is None else p.data for p in self._parameters_of(k)))
                order = rows[::-1] if k % directions else rows
                y, last, saved = recurrence(step, x, [s[k] for s in state], order, w)
                outputs.append(y)
                after.append(last)
                kept.append(saved)
            x = outputs[0] if directions == 1 else np.concatenate(outputs, axis=1)
            if layer < self.num_layers - 1:
                noises.append(dropout._noise(x)[0])
                x = x * noises[-1]
        last_state = tuple([form.unsort(np.stack(s)) for s in zip(*after, strict=True)])
        output = form.from_rows(x), last_state if len(states) > 1 else last_state[0]
        self.save_for_backward(output, form, hx is not None, kept, noises)
        return output

    @silently
    def backward(self, grad_output: Any) -> Any:
        (grad, dstate), form, has_state, kept, noises = self.saved_for_backward(grad_output)
        step, rows, directions = ALONG_TIME[self.mode], form.steps(), 2 if self.bidirectional else 1
        dstate = [form.sort(d) for d in (dstate if isinstance(dstate, tuple) else (dstate,))]
        dy, before = form.to_rows(grad), [np.empty_like(d) for d in dstate]
        for layer in reversed(range(self.num_layers)):
            if layer < self.num_layers - 1:
                dy = dy * noises[layer]
            halves, total = np.split(dy, directions, axis=1), None
            for k, half in enumerate(halves, layer * directions):
                parameters = self._parameters_of(k)
                needs = Weights(*(p is not None and p.requires_grad for p in parameters))
                w = Weights(*(None if p is None else p.data for p in parameters))
                order = rows[::-1] if k % directions else rows
                needs_x = layer > 0 or self.needs_grad()
                dx, first, dw = recurrence_backward(
                    step, half, [d[k] for d in dstate], order, w, needs_x, needs, kept[k]
                )
                total = dx if total is None else total + dx
                for whole, d in zip(before, first, strict=True):
                    whole[k] = d
                for parameter, grad in zip(parameters, dw, strict=True):
                    if parameter is not None and grad is not None:
                        parameter.accumulate_grad(grad)
            dy = total
        grad_input = form.gradient(dy)
        if not has_state:
            return grad_input
        dhx = tuple([form.unsort(d) for d in before])
        return grad_input, dhx if len(dhx) > 1 else dhx[0]

    def _form(self, input: Any) -> _Form:
        """The input's layout; its shape is checked."""
        packed = input if isinstance(input, PackedSequence) else None
        values = input if packed is None else packed.data
        values = check_array(
            values, "input", self.weight_ih_l0.dtype, (2, 3) if packed is None else ()
        )
        if packed is not None and values.ndim != 2:
            raise RuntimeError(
                f"{type(self).__name__}: a packed input must be 2-d, got shape {values.shape}"
            )
        if values.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{type(self).__name__}: input's last axis must be input_size={self.input_size}, "
                f"got shape {values.shape}"
            )
        if packed is not None:
            return _Form(packed, False, False, np.asarray(packed.batch_sizes).tolist())
        if values.ndim == 2:
            times, n = len(values), 1
        else:
            times, n = values.shape[:2][:: -1 if self.batch_first else 1]
        if not times:
            raise RuntimeError(
                f"{type(self).__name__}: input must have one time step at least, "
                f"got shape {values.shape}"
            )
        return _Form(None, values.ndim == 2, self.batch_first, [n] * times)

    def _state_sizes(self) -> tuple[int, ...]:
        """The size of a row of each array of the state."""
        return (self.proj_size or self.hidden_size, self.hidden_size)[: STEPS[self.mode].states]

    def _state(self, hx: Any, form: _Form, sizes: tuple[int, ...]) -> list[Array]:
        """The given state, checked, as (K, N, H) arrays, or zeros; K: of layers and directions."""
        count = len(self._all_weights)
        dtype, n = self.weight_ih_l0.dtype, form.batch_sizes[0]
        if hx is None:
            return [np.zeros((count, n, size), dtype) for size in sizes]
        if len(sizes) > 1 and (not isinstance(hx, tuple | list) or len(hx) != len(sizes)):
            raise TypeError(f"hx must be a tuple of {len(sizes)} arrays, got {summary(hx)}")
        state = []
        for i, value in enumerate(hx if len(sizes) > 1 else (hx,)):
            name = f"hx[{i}]" if len(sizes) > 1 else "hx"
            value = check_array(value, name, dtype)
            wanted = (count, sizes[i]) if form.is_single else (count, n, sizes[i])
            if value.shape != wanted:
                raise RuntimeError(
                    f"{type(self).__name__}: {name} must have shape {wanted}, got {value.shape}"
                )
            state.append(form.sort(value))
        return state


class RNN(_Recurrent):
    r"""An Elman network along sequences.

    :math:`h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})`

    Args:
        input_size: size of each element of a sequence, C.
        hidden_size: size of each row of the state, H.
        num_layers: how many recurrences, each over the outputs of the one before, K.
        nonlinearity: "tanh", or "relu" in its place.
        bias: False leaves the biases out.
        batch_first: True for (N, T, C) instead of (T, N, C).
        dropout: in training the probability of dropping a value of any layer's output but the
            last's; the masks are torch's under the same seed.
        bidirectional: True for a second recurrence in each layer, from the end to the beginning,
            whose outputs stand beside those of the first (D = 2, else 1).
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        input (T, N, C), (T, C) or a PackedSequence, and hx (D * K, N, H) or (D * K, H), zeros
        unless given -> the last layer's h of all steps, (T, N, D * H), (T, D * H) or a
        PackedSequence, and each layer's and direction's last one, as hx. Parameters: see
        :class:`RNNBase`.

    All parameters start from :math:`U(-1/\sqrt{hidden}, 1/\sqrt{hidden})`.

    Raises:
        ValueError: if an argument is out of range, or the input neither 2-d nor 3-d.
        RuntimeError: if the sizes of the input or of hx do not fit, or there is no time step.
        TypeError: if a dtype is not the parameters'.

    Source: Elman 1990, https://doi.org/10.1207/s15516709cog1402_1;
    https://pytorch.org/docs/stable/generated/torch.nn.RNN.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, *options)
        self.nonlinearity = nonlinearity


class LSTM(_Recurrent):
    r"""A long short-term memory along sequences.

    .. math::
        i, f, o = \sigma(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh}),\quad
        g = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh}),\quad
        c_t = f c_{t-1} + i g,\quad h_t = o \tanh(c_t)

    with a part of the weights for each gate, which lie in the order i, f, g, o.

    Args:
        input_size: size of each element of a sequence, C.
        hidden_size: size of each row of the state, H.
        num_layers: how many recurrences, each over the outputs of the one before, K.
        bias: False leaves the biases out.
        batch_first: True for (N, T, C) instead of (T, N, C).
        dropout: in training the probability of dropping a value of any layer's output but the
            last's; the masks are torch's under the same seed.
        bidirectional: True for a second recurrence in each layer, from the end to the beginning,
            whose outputs stand beside those of the first (D = 2, else 1).
        proj_size: above 0, h is projected to that size, P: :math:`h_t = W_{hr} (o \tanh(c_t))`.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        input (T, N, C), (T, C) or a PackedSequence, and hx = (h, c), (D * K, N, H) or (D * K, H),
        zeros unless given -> the last layer's h of all steps, (T, N, D * H), (T, D * H) or a
        PackedSequence, and each layer's and direction's last (h, c), as hx. With proj_size all h
        have P in place of H. Parameters: see :class:`RNNBase`.

    All parameters start from :math:`U(-1/\sqrt{hidden}, 1/\sqrt{hidden})`.

    Raises:
        ValueError: if an argument is out of range, or the input neither 2-d nor 3-d.
        RuntimeError: if the sizes of the input or of hx do not fit, or there is no time step.
        TypeError: if a dtype is not the parameters', or hx no tuple of two.

    Source: Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735;
    https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__("LSTM", input_size, hidden_size, *options)


class GRU(_Recurrent):
    r"""A gated recurrent unit along sequences.

    .. math::
        r, z = \sigma(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh}),\quad
        n = \tanh(W_{ih} x_t + b_{ih} + r (W_{hh} h_{t-1} + b_{hh})),\quad
        h_t = (1 - z) n + z h_{t-1}

    with a part of the weights for each gate, which lie in the order r, z, n. (In the paper r comes
    before the product: :math:`W_{hh} (r h)`.)

    Args:
        input_size: size of each element of a sequence, C.
        hidden_size: size of each row of the state, H.
        num_layers: how many recurrences, each over the outputs of the one before, K.
        bias: False leaves the biases out.
        batch_first: True for (N, T, C) instead of (T, N, C).
        dropout: in training the probability of dropping a value of any layer's output but the
            last's; the masks are torch's under the same seed.
        bidirectional: True for a second recurrence in each layer, from the end to the beginning,
            whose outputs stand beside those of the first (D = 2, else 1).
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        input (T, N, C), (T, C) or a PackedSequence, and hx (D * K, N, H) or (D * K, H), zeros
        unless given -> the last layer's h of all steps, (T, N, D * H), (T, D * H) or a
        PackedSequence, and each layer's and direction's last one, as hx. Parameters: see
        :class:`RNNBase`.

    All parameters start from :math:`U(-1/\sqrt{hidden}, 1/\sqrt{hidden})`.

    Raises:
        ValueError: if an argument is out of range, or the input neither 2-d nor 3-d.
        RuntimeError: if the sizes of the input or of hx do not fit, or there is no time step.
        TypeError: if a dtype is not the parameters'.

    Source: Cho et al. 2014, https://arxiv.org/abs/1406.1078;
    https://pytorch.org/docs/stable/generated/torch.nn.GRU.html
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__("GRU", input_size, hidden_size, *options)
