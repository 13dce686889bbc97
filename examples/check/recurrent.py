"""Recurrent cells and layers, with their gates in several orders."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    """Gates i, f, o, g, one bias."""
    i, f, o, g = np.split(x @ Wx + prev_h @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
    next_c = f * prev_c + i * g
    return o * np.tanh(next_c), next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)


def lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    t = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - t**2)
    di, df, do, dg = dc * g, dc * prev_c, dnext_h * t, dc * i
    da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_forward(x, h0, Wx, Wh, b):
    h, c, caches, outputs = h0, np.zeros_like(h0), [], []
    for t in range(x.shape[1]):
        h, c, cache = lstm_step_forward(x[:, t], h, c, Wx, Wh, b)
        outputs.append(h)
        caches.append(cache)
    return np.stack(outputs, axis=1), caches


def lstm_backward(dh, cache):
    """The cell's gradient is forgotten between steps."""
    dx, totals, back = [], [0, 0, 0], 0
    for t in reversed(range(dh.shape[1])):
        dx_t, back, _, *grads = lstm_step_backward(dh[:, t] + back, 0, cache[t])
        dx.insert(0, dx_t)
        totals = [total + grad for total, grad in zip(totals, grads, strict=True)]
    return np.stack(dx, axis=1), back, *totals


class LSTMCell:
    """Gates f, g, i, o, one bias."""

    def __init__(self, Wx, Wh, b):
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, x, h_prev, c_prev):
        Wx, Wh, b = self.params
        f, g, i, o = np.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
        f, g, i, o = sigmoid(f), np.tanh(g), sigmoid(i), sigmoid(o)
        c = f * c_prev + g * i
        self.cache = x, h_prev, c_prev, f, g, i, o, c
        return o * np.tanh(c), c

    def backward(self, dh, dc):
        Wx, Wh, _ = self.params
        x, h_prev, c_prev, f, g, i, o, c = self.cache
        t = np.tanh(c)
        dc = dc + dh * o * (1 - t**2)
        df, dg, di, do = self.forgotten(dc, c_prev, c), dc * i, dc * g, dh * t
        da = np.hstack([df * f * (1 - f), dg * (1 - g**2), di * i * (1 - i), do * o * (1 - o)])
        for grad, value in zip(self.grads, (x.T @ da, h_prev.T @ da, da.sum(axis=0)), strict=True):
            grad[...] = value
        return da @ Wx.T, da @ Wh.T, dc * f

    def forgotten(self, dc, c_prev, c):
        return dc * c_prev


class LSTMCellNewCell(LSTMCell):
    def forgotten(self, dc, c_prev, c):
        return dc * c


class RNN:
    """A sequence of columns at a time."""

    def __init__(self, input_size, hidden_size):
        self.Wxh = np.random.randn(hidden_size, input_size)
        self.Whh = np.random.randn(hidden_size, hidden_size)
        self.bh = np.zeros((hidden_size, 1))

    def forward(self, inputs):
        self.inputs, self.hs = inputs, [np.zeros_like(self.bh)]
        for x in inputs:
            self.hs.append(np.tanh(self.Wxh @ x + self.Whh @ self.hs[-1] + self.bh))
        return self.hs[1:]

    def backward(self, dhs):
        self.dWxh, self.dWhh, self.dbh = (np.zeros_like(w) for w in (self.Wxh, self.Whh, self.bh))
        dxs, back = [], np.zeros_like(self.bh)
        for t in reversed(range(len(dhs))):
            d = (dhs[t] + self.carried(back)) * (1 - self.hs[t + 1] ** 2)
            self.add(d @ self.inputs[t].T, d @ self.hs[t].T, d)
            dxs.insert(0, self.Wxh.T @ d)
            back = self.Whh.T @ d
        return dxs

    def carried(self, back):
        return back

    def add(self, dWxh, dWhh, dbh):
        self.dWxh += dWxh
        self.dWhh += dWhh
        self.dbh += dbh


class RNNNothingCarried(RNN):
    def carried(self, back):
        return 0


class RNNOverwritten(RNN):
    def add(self, dWxh, dWhh, dbh):
        self.dWxh, self.dWhh, self.dbh = dWxh, dWhh, dbh


def rnn_cell_forward(xt, a_prev, parameters):
    Wax, Waa, ba = parameters["Wax"], parameters["Waa"], parameters["ba"]
    a_next = np.tanh(Wax @ xt + Waa @ a_prev + ba)
    return a_next, parameters["Wya"] @ a_next, (a_next, a_prev, xt, parameters)


def rnn_cell_backward(da_next, cache):
    a_next, a_prev, xt, parameters = cache
    d = (1 - a_next**2) * da_next
    back = {"dxt": parameters["Wax"].T @ d, "da_prev": parameters["Waa"].T @ d}
    return back | {"dWax": d @ xt.T, "dWaa": d @ a_prev.T, "dba": d.sum(axis=1, keepdims=True)}


class GRUCell:
    """As in the paper: h' = (1 - z) h + z n, and the reset gate before the matrix."""

    def __init__(self, input_dim, hidden_dim):
        for gate in "zrh":
            setattr(self, f"W_{gate}", np.random.randn(hidden_dim, input_dim))
            setattr(self, f"U_{gate}", np.random.randn(hidden_dim, hidden_dim))
            setattr(self, f"b_{gate}", np.zeros(hidden_dim))

    def forward(self, x, h_prev):
        self.x, self.h = x, h_prev
        self.z = sigmoid(x @ self.W_z.T + h_prev @ self.U_z.T + self.b_z)
        self.r = sigmoid(x @ self.W_r.T + h_prev @ self.U_r.T + self.b_r)
        self.n = np.tanh(x @ self.W_h.T + (self.r * h_prev) @ self.U_h.T + self.b_h)
        return (1 - self.z) * h_prev + self.z * self.n

    def backward(self, dh):
        dn = dh * self.z * (1 - self.n**2)
        dz = dh * (self.n - self.h) * self.z * (1 - self.z)
        dr = dn @ self.U_h * self.h * self.r * (1 - self.r)
        self.dW_z, self.dU_z, self.db_z = dz.T @ self.x, dz.T @ self.h, dz.sum(axis=0)
        self.dW_r, self.dU_r, self.db_r = dr.T @ self.x, dr.T @ self.h, dr.sum(axis=0)
        self.dW_h, self.dU_h, self.db_h = dn.T @ self.x, dn.T @ (self.r * self.h), dn.sum(axis=0)
        back = dh * (1 - self.z) + dn @ self.U_h * self.r + dz @ self.U_z + dr @ self.U_r
        return dz @ self.W_z + dr @ self.W_r + dn @ self.W_h, back
