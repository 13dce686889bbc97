"""The math of the recurrent layers: a step of each, and a recurrence along time.

A step is a pair. ``f(a_x, a_h, h, ...)`` takes what the input and the state before contribute to
the gates, a_x = W_ih x + b_ih and a_h = W_hh h + b_hh, both (N, G), G a multiple of H; and the
state before, (N, H) arrays. It returns the state after, and what backward needs. ``f_backward``
takes the gradients for the state after, and what f kept; it returns those for a_x, a_h and the
state before, for h only the part that does not come through a_h (None: there is none).

Along time sequences are rows: all elements of the first step, then those of the second, (M, C). A
step has n of them, at most as many as the one before; with equal lengths it is always the whole
batch N. So packed sequences need nothing of their own: a state whose sequence has ended, or going
backwards has not begun, stays as it is. The product with the input, and those for the weights'
gradients, are one for all steps.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from numpy_impl.kernels import memory, recurrent
from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.products import matmul, sum_rows
from numpy_impl.kernels.special import logistic

Array = np.ndarray
State = tuple[Array, ...]


def tanh_step(a_x: Array, a_h: Array, h: Array) -> tuple[State, State]:
    """h' = tanh(a_x + a_h)"""
    h = a_x + a_h
    # NumPy's tanh of float32 is off by more than a last place, which 1 - h'^2 magnifies near 0
    np.tanh(h, out=h, dtype=np.float64, casting="same_kind")
    return (h,), (h,)


def tanh_step_backward(dh: Array, h: Array) -> tuple[Array | None, ...]:
    """da = dh' (1 - h'^2)"""
    da = dh * (1 - h * h)
    return da, da, None


def relu_step(a_x: Array, a_h: Array, h: Array) -> tuple[State, State]:
    """h' = max(a_x + a_h, 0)"""
    h = np.maximum(a_x + a_h, 0)
    return (h,), (h,)


def relu_step_backward(dh: Array, h: Array) -> tuple[Array | None, ...]:
    """da = dh' where h' > 0; as in torch also where it is NaN"""
    da = np.where(h <= 0, dh.dtype.type(0), dh)
    return da, da, None


@silently
def lstm_step(a_x: Array, a_h: Array, h: Array, c: Array) -> tuple[State, State]:
    """c' = f c + i g, h' = o tanh(c'); i, f, o sigmoids and g the tanh of a_x + a_h"""
    a_i, a_f, a_g, a_o = _gates(a_x + a_h, 4)
    i, f, g, o = logistic(a_i), logistic(a_f), np.tanh(a_g), logistic(a_o)
    c_after = f * c + i * g
    tanh_c = np.tanh(c_after)
    return (o * tanh_c, c_after), (i, f, g, o, c, tanh_c)


def lstm_step_backward(
    dh: Array, dc: Array, i: Array, f: Array, g: Array, o: Array, c: Array, tanh_c: Array
) -> tuple[Array | None, ...]:
    """The loss sees c' in two ways: dc' + dh' o (1 - tanh(c')^2) reaches it."""
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    di, df, dg, do = dc * g, dc * c, dc * i, dh * tanh_c
    da_i, da_f, da_o = di * i * (1 - i), df * f * (1 - f), do * o * (1 - o)
    da = np.concatenate((da_i, da_f, dg * (1 - g * g), da_o), axis=1)
    return da, da, None, dc * f


@silently
def gru_step(a_x: Array, a_h: Array, h: Array) -> tuple[State, State]:
    """h' = (1 - z) n + z h, n = tanh(a_x + r a_h); r, z sigmoids of a_x + a_h"""
    r_x, z_x, n_x = _gates(a_x, 3)
    r_h, z_h, n_h = _gates(a_h, 3)
    r, z = logistic(r_x + r_h), logistic(z_x + z_h)
    n = np.tanh(n_x + r * n_h)
    return ((1 - z) * n + z * h,), (r, z, n, n_h, h)


def gru_step_backward(
    dh: Array, r: Array, z: Array, n: Array, n_h: Array, h: Array
) -> tuple[Array | None, ...]:
    """Gradients for n, z and r through tanh and sigmoids; n's a_h is behind r."""
    da_n = dh * (1 - z) * (1 - n * n)
    da_z = dh * (h - n) * z * (1 - z)
    da_r = da_n * n_h * r * (1 - r)
    da_x = np.concatenate((da_r, da_z, da_n), axis=1)
    da_h = np.concatenate((da_r, da_z, da_n * r), axis=1)
    return da_x, da_h, dh * z


def _gates(a: Array, count: int) -> list[Array]:
    """(N, G) -> (N, H) views."""
    size = a.shape[1] // count
    return [a[:, i * size : (i + 1) * size] for i in range(count)]


class Step(NamedTuple):
    """A pair, and how many gates and arrays of state it has."""

    forward: Callable[..., tuple[State, State]]
    backward: Callable[..., tuple[Any, ...]]
    gates: int
    states: int


STEPS = {
    "RNN_TANH": Step(tanh_step, tanh_step_backward, 1, 1),
    "RNN_RELU": Step(relu_step, relu_step_backward, 1, 1),
    "LSTM": Step(lstm_step, lstm_step_backward, 4, 2),
    "GRU": Step(gru_step, gru_step_backward, 3, 1),
}


def _into(backward: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """A step's backward that puts its first gradient, a_x's, into ``out``."""

    def wrapped(*arguments: Array, out: Array) -> tuple[Any, ...]:
        grads = backward(*arguments)
        out[...] = grads[0]
        return grads

    return wrapped


# along time the LSTM's step is a kernel
ALONG_TIME = {mode: step._replace(backward=_into(step.backward)) for mode, step in STEPS.items()}
ALONG_TIME["LSTM"] = Step(recurrent.lstm_step, recurrent.lstm_step_backward, 4, 2)


# -- along time ------------------------------------------------------------------------------------


def affine(x: Array, weight: Array, bias: Array | None) -> Array:
    """x W^T + b: (M, C) -> (M, G)"""
    output = matmul(x, weight.T, memory.empty((len(x), len(weight)), x.dtype))
    if bias is not None:
        output += bias
    return output


class Weights(NamedTuple):
    """Of one layer in one direction: arrays in forward, in backward whether each needs a gradient.

    G is H times the number of gates.
    """

    ih: Any  # (G, C)
    hh: Any  # (G, H), or (G, P)
    b_ih: Any  # (G,) or None
    b_hh: Any
    hr: Any  # (P, H) or None


def recurrence(
    step: Step, x: Array, state: Sequence[Array], rows: Sequence[slice], w: Weights
) -> tuple[Array, State, tuple[Any, ...]]:
    """x (M, C) and the state before, (N, H) each -> all h (M, H), the state after, what is kept.

    h[t], ... = step(x[t], h[t - 1], ...), the time steps in the order of their ``rows``
    """
    together = step.gates != 3  # the gates get the sum a_x + a_h; the GRU's n gets a_h apart
    has_bias = w.b_ih is not None
    a_x = affine(x, w.ih, w.b_ih + w.b_hh if together and has_bias else w.b_ih)  # (M, G)
    w_hh = np.ascontiguousarray(w.hh.T)  # in the order in which each product reads it
    y = np.empty((len(x), state[0].shape[1]), x.dtype)
    before = np.empty_like(y)
    unprojected = None if w.hr is None else np.empty((len(x), w.hr.shape[1]), x.dtype)
    state, kept = tuple(state), []
    # what comes from the state goes with the sum; the GRU keeps a part of it
    scratch = memory.empty((len(state[0]), len(w.hh)), x.dtype) if together else None
    for t in rows:
        now = tuple([s[: t.stop - t.start] for s in state])
        before[t] = now[0]
        a_h = matmul(now[0], w_hh, None if scratch is None else scratch[: t.stop - t.start])
        if not together and has_bias:
            a_h += w.b_hh
        now, saved = step.forward(a_x[t], a_h, *now)
        if unprojected is not None:
            unprojected[t] = now[0]
            now = (matmul(now[0], w.hr.T), *now[1:])
        y[t] = now[0]
        kept.append(saved)
        state = _replaced(state, now)
    return y, state, (x, before, unprojected, kept)


def recurrence_backward(
    step: Step,
    dy: Array,
    dstate: Sequence[Array],
    rows: Sequence[slice],
    w: Weights,
    needs_x: bool,
    needs: Weights,
    saved: tuple[Any, ...],
) -> tuple[Array | None, State, Weights]:
    """Gradients for x, the state before and the weights.

    dh[t] is dy[t] and what step t + 1 hands back; a weight's gradient is a sum over all steps.
    """
    x, before, unprojected, kept = saved
    da_x = memory.empty((len(x), len(w.ih)), x.dtype)
    da_h = np.empty_like(da_x) if step.gates == 3 else da_x
    projected = None if unprojected is None else np.empty((len(x), len(w.hr)), x.dtype)
    dstate = tuple(dstate)
    for t, of_step in zip(reversed(rows), reversed(kept), strict=True):
        dh, *others = (d[: t.stop - t.start] for d in dstate)
        dh = dh + dy[t]
        if projected is not None:
            projected[t] = dh
            dh = matmul(dh, w.hr)
        _, da_h_t, direct, *others = step.backward(dh, *others, *of_step, out=da_x[t])
        if da_h is not da_x:
            da_h[t] = da_h_t
        dh = matmul(da_h_t, w.hh)
        if direct is not None:
            dh += direct
        dstate = _replaced(dstate, (dh, *others))
    dx = matmul(da_x, w.ih) if needs_x else None
    dw = Weights(
        matmul(da_x.T, x) if needs.ih else None,
        matmul(da_h.T, before) if needs.hh else None,
        sum_rows(da_x) if needs.b_ih else None,
        sum_rows(da_h) if needs.b_hh else None,
        None if projected is None or not needs.hr else matmul(projected.T, unprojected),
    )
    return dx, dstate, dw


def _replaced(state: State, first: State) -> State:
    """The state with its first n rows replaced, in other memory."""
    return tuple(
        [
            new if len(new) == len(old) else np.concatenate((new, old[len(new) :]))
            for new, old in zip(first, state, strict=True)
        ]
    )
