"""The LSTM's step along time, with fewer array operations than its definition."""

import numpy as np

Array = np.ndarray


def lstm_step(
    a_x: Array, a_h: Array, h: Array, c: Array
) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
    """``rnnstep.lstm_step(a_x, a_h, h, c)``, of the state; the gates take a_x's memory.

    One exponential is for all sigmoids: it takes the candidate's quarter along, since a loop over
    all of the memory is faster than one over parts of its rows.
    """
    size = c.shape[1]
    gates = np.add(a_x, a_h, out=a_x)
    g = np.tanh(gates[:, 2 * size : 3 * size])
    np.negative(gates, out=gates)
    np.exp(gates, out=gates)
    gates += 1
    np.reciprocal(gates, out=gates)
    after = gates[:, size : 2 * size] * c
    after += gates[:, :size] * g
    tanh_c = np.tanh(after)
    return (gates[:, 3 * size :] * tanh_c, after), (gates, g, c, tanh_c)


def lstm_step_backward(
    dh: Array, dc: Array, gates: Array, g: Array, c: Array, tanh_c: Array, out: Array
) -> tuple[Array, Array, None, Array]:
    """``rnnstep.lstm_step_backward(dh, dc, i, f, g, o, c, tanh_c)``, of what the step kept.

    The gates' gradient goes into ``out``.
    """
    n, size = c.shape
    i, f, o = gates[:, :size], gates[:, size : 2 * size], gates[:, 3 * size :]
    into_c = tanh_c * tanh_c
    np.subtract(1, into_c, out=into_c)
    into_c *= o
    into_c *= dh
    into_c += dc
    da = np.subtract(1, gates, out=out)  # every sigmoid's slope s (1 - s), times the other factor
    da *= gates
    da_i, da_f, da_g, da_o = (da[:, k * size : (k + 1) * size] for k in range(4))
    da_i *= g
    da_f *= c
    np.multiply(g, g, out=da_g)
    np.subtract(1, da_g, out=da_g)
    da_g *= i
    by_c = da.reshape(n, 4, size)[:, :3]
    by_c *= into_c[:, None]
    da_o *= tanh_c
    da_o *= dh
    into_c *= f
    return da, da, None, into_c
