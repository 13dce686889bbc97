"""The definitions: each layer whose fast path hides its math, in the fewest plain lines of NumPy.

Start here. Every layer is a pair of pure functions. ``f_backward`` takes the gradient of f's output
(for several outputs a tuple) and then f's own arguments; it returns the gradient of each array
among them, in their order: a tuple where there are several. Class indices and probabilities, masks
and given statistics are constants and have none. b=None is a bias of zeros, and has one.

x is the input, w the weight, b the bias, y the output, and dx, dw, db, dy the loss's gradients for
them. Letters in shape comments: N batch, C channels, F filters or features, G groups, S... sizes
of the input, P... padded, K... of the kernel, O... of the output. In equations, which show one
axis of any number: o output position, k kernel position (tap), s stride, p padding, d dilation.
"""

import numpy as np


def linear(x, w, b=None):
    """A matrix product: x (..., C), w (F, C) -> y (..., F).

    y = x W^T + b
    Source: https://pytorch.org/docs/stable/generated/torch.nn.Linear.html
    """
    return x @ w.T + (0 if b is None else b)


def linear_backward(dy, x, w, b=None):
    """dx = dy W, dW = dy^T x, db = sum of dy, over all rows."""
    rows = tuple(range(x.ndim - 1))
    return dy @ w, np.tensordot(dy, x, (rows, rows)), dy.sum(rows)


def embedding(indices, w):
    """Rows of a table: indices (...), w (V, F) -> y (..., F).

    y[n] = w[indices[n]]
    Source: https://pytorch.org/docs/stable/generated/torch.nn.Embedding.html
    """
    return w[indices]


def embedding_backward(dy, indices, w):
    """dw[indices[n]] += dy[n] for all n."""
    dw = np.zeros_like(w)
    np.add.at(dw, indices, dy)  # (dw[indices] += dy would count a row once that is used twice)
    return dw


# -- convolution and pooling -----------------------------------------------------------------------


class Windows:
    """Where windows lie: output o sees, through tap k, the input at s o + d k - p.

    O = (S + 2 p - d (K - 1) - 1) // s + 1 of them fit.
    """

    def __init__(self, sizes, kernel, stride, padding, dilation=1):
        # each an array with a number for every axis
        options = np.broadcast_arrays(sizes, kernel, stride, padding, dilation)
        self.sizes, self.kernel, self.stride, self.padding, self.dilation = options
        room = self.sizes + 2 * self.padding - self.dilation * (self.kernel - 1) - 1
        self.outputs = room // self.stride + 1

    def pad(self, x, value=0):
        """(..., S...) -> (..., P...)"""
        others = [0] * (x.ndim - len(self.padding))
        return np.pad(x, [(p, p) for p in (*others, *self.padding)], constant_values=value)

    def crop(self, padded):
        """(..., P...) -> (..., S...)"""
        return padded[(..., *map(slice, self.padding, self.padding + self.sizes))]

    def taps(self, *padded):
        """For each tap k, in C order: k, and the view (..., O...) of each array that it sees."""
        for k in np.ndindex(*self.kernel):
            first = self.dilation * k
            view = (..., *map(slice, first, first + self.stride * self.outputs, self.stride))
            yield k, *(array[view] for array in padded)


def split(x, axis, groups):
    """(..., C, ...) -> (..., G, C/G, ...)"""
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])


def per_channel(values, x):
    """(C,) -> (C, 1, ...), which broadcasts with x (N, C, S...)"""
    return values.reshape(len(values), *[1] * (x.ndim - 2))


def sum_to_channels(x):
    """(N, C, S...) -> (C,)"""
    return x.sum((0, *range(2, x.ndim)))


def conv(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolution (cross-correlation): x (N, C, S...), w (F, C/G, K...) -> y (N, F, O...).

    y[n, f, o] = b[f] + sum over c, k of w[f, c, k] x[n, c, s o + d k - p], c in f's group
    Source: https://pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
    """
    windows = Windows(x.shape[2:], w.shape[2:], stride, padding, dilation)
    o = "uvwxyz"[: x.ndim - 2]  # the axes O... in einsum's letters
    x_g = split(windows.pad(x), 1, groups)  # (N, G, C/G, P...)
    w_g = split(w, 0, groups)  # (G, F/G, C/G, K...)
    y = sum(np.einsum(f"ngc{o},gfc->ngf{o}", x_k, w_g[(..., *k)]) for k, x_k in windows.taps(x_g))
    y = y.reshape(len(x), len(w), *windows.outputs)
    return y if b is None else y + per_channel(b, y)


def conv_backward(dy, x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """Every product w x that :func:`conv` adds to y takes y's gradient back to both its factors.

    dw[f, c, k] = sum over n, o of dy[n, f, o] x[n, c, s o + d k - p]
    dx[n, c, s o + d k - p] += sum over f of dy[n, f, o] w[f, c, k], for all o, k
    """
    windows = Windows(x.shape[2:], w.shape[2:], stride, padding, dilation)
    windows.outputs = dy.shape[2:]  # all that fit; conv_transpose may have fewer
    o = "uvwxyz"[: x.ndim - 2]
    dy_g, x_g, w_g = split(dy, 1, groups), split(windows.pad(x), 1, groups), split(w, 0, groups)
    dx, dw = np.zeros_like(x_g), np.zeros_like(w_g)
    for k, x_k, dx_k in windows.taps(x_g, dx):
        dw[(..., *k)] = np.einsum(f"ngf{o},ngc{o}->gfc", dy_g, x_k)
        dx_k += np.einsum(f"ngf{o},gfc->ngc{o}", dy_g, w_g[(..., *k)])
    return windows.crop(dx).reshape(x.shape), dw.reshape(w.shape), sum_to_channels(dy)


def conv_transpose(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Transposed convolution: conv's way back to its input as a way forward; w (C, F/G, K...).

    y[n, f, s i + d k - p] += sum over c of x[n, c, i] w[c, f, k], for all i, k; then + b[f]
    Source: https://pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html
    """
    options = stride, padding, output_padding, dilation
    i, k, s, p, extra, d = np.broadcast_arrays(x.shape[2:], w.shape[2:], *options)
    sizes = (i - 1) * s - 2 * p + d * (k - 1) + 1 + extra
    y = np.zeros((len(x), groups * w.shape[1], *sizes), x.dtype)
    y = conv_backward(x, y, w, None, stride, padding, dilation, groups)[0]
    return y if b is None else y + per_channel(b, y)


def conv_transpose_backward(
    dy, x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """The way back of the way back is :func:`conv` itself; for dw, dy and x change places.

    dx[n, c, i] = sum over f, k of w[c, f, k] dy[n, f, s i + d k - p]
    dw[c, f, k] = sum over n, i of x[n, c, i] dy[n, f, s i + d k - p]
    """
    options = stride, padding, dilation, groups
    dx = conv(dy, w, None, *options)
    dx = dx[(..., *map(slice, x.shape[2:]))]  # a large output_padding has room for more windows
    _, dw, _ = conv_backward(x, dy, w, None, *options)
    return dx, dw, sum_to_channels(dy)


def max_pool(x, kernel_size, stride=None, padding=0, dilation=1):
    """The largest of each window, among -infinity in the padding: (N, C, S...) -> (N, C, O...).

    y[n, c, o] = max over k of x[n, c, s o + d k - p]
    Source: https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html
    """
    windows = Windows(x.shape[2:], kernel_size, stride or kernel_size, padding, dilation)
    return np.max([x_k for _, x_k in windows.taps(windows.pad(x, -np.inf))], axis=0)


def max_pool_backward(dy, x, kernel_size, stride=None, padding=0, dilation=1):
    """All of dy goes to the winner: the first of the largest, or the last NaN, as in torch.

    dx[n, c, s o + d k - p] += dy[n, c, o], for all o and the k that wins there
    """
    windows = Windows(x.shape[2:], kernel_size, stride or kernel_size, padding, dilation)
    padded = windows.pad(x, -np.inf)
    largest, winner = np.full(dy.shape, -np.inf), np.zeros(dy.shape, int)
    for number, (_, x_k) in enumerate(windows.taps(padded)):
        wins = (x_k > largest) | np.isnan(x_k)
        largest[wins], winner[wins] = x_k[wins], number
    dx = np.zeros_like(padded)
    for number, (_, dx_k) in enumerate(windows.taps(dx)):
        dx_k += np.where(winner == number, dy, 0)
    return windows.crop(dx)


def window_counts(windows, dtype, count_include_pad):
    """D (O...): how many elements each window averages, the same sum over ones."""
    ones = windows.pad(np.ones(windows.sizes, dtype), float(count_include_pad))
    return sum(ones_k for _, ones_k in windows.taps(ones))


def avg_pool(x, kernel_size, stride=None, padding=0, count_include_pad=True, divisor_override=None):
    """The mean of each window: (N, C, S...) -> (N, C, O...).

    y[n, c, o] = sum over k of x[n, c, s o + k - p] / D[o], D the number of elements
    Source: https://pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html
    """
    windows = Windows(x.shape[2:], kernel_size, stride or kernel_size, padding)
    divisor = divisor_override or window_counts(windows, x.dtype, count_include_pad)
    return sum(x_k for _, x_k in windows.taps(windows.pad(x))) / divisor


def avg_pool_backward(
    dy, x, kernel_size, stride=None, padding=0, count_include_pad=True, divisor_override=None
):
    """dx[n, c, s o + k - p] += dy[n, c, o] / D[o], for all o, k: the same share to each element."""
    windows = Windows(x.shape[2:], kernel_size, stride or kernel_size, padding)
    divisor = divisor_override or window_counts(windows, x.dtype, count_include_pad)
    dx = windows.pad(np.zeros_like(x))
    for _, dx_k in windows.taps(dx):
        dx_k += dy / divisor
    return windows.crop(dx)


# -- normalisation ---------------------------------------------------------------------------------


def normalize(x, axes, eps):
    """z = (x - mean(x)) / sqrt(var(x) + eps) over ``axes``; var is biased: the sum / the count."""
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def normalize_backward(dz, x, axes, eps):
    """dx = (dz - mean(dz) - z mean(dz z)) / sqrt(var(x) + eps): mean and variance can't move."""
    z = normalize(x, axes, eps)
    dx = dz - dz.mean(axes, keepdims=True) - z * (dz * z).mean(axes, keepdims=True)
    return dx / np.sqrt(x.var(axes, keepdims=True) + eps)


def batch_norm(x, w, b, eps=1e-5):
    """In training: each channel normalised over the batch and positions; x (N, C, S...), w (C,).

    y = w z + b, z = normalize(x) over N, S...
    Source: https://arxiv.org/abs/1502.03167
    """
    return per_channel(w, x) * normalize(x, (0, *range(2, x.ndim)), eps) + per_channel(b, x)


def batch_norm_backward(dy, x, w, b, eps=1e-5):
    """dz = w dy, on through normalize; dw = sum of dy z and db = sum of dy, over N, S..."""
    axes = (0, *range(2, x.ndim))
    dx = normalize_backward(per_channel(w, x) * dy, x, axes, eps)
    return dx, sum_to_channels(dy * normalize(x, axes, eps)), sum_to_channels(dy)


def batch_norm_evaluation(x, mean, var, w, b, eps=1e-5):
    """In evaluation: the statistics are given, (C,), and a channel's values lie on a line.

    y = w z + b, z = (x - mean) / sqrt(var + eps)
    Source: https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
    """
    z = (x - per_channel(mean, x)) / np.sqrt(per_channel(var, x) + eps)
    return per_channel(w, x) * z + per_channel(b, x)


def batch_norm_evaluation_backward(dy, x, mean, var, w, b, eps=1e-5):
    """dx = w dy / sqrt(var + eps); dw = sum of dy z and db = sum of dy, over N, S..."""
    std = np.sqrt(per_channel(var, x) + eps)
    dw = sum_to_channels(dy * (x - per_channel(mean, x)) / std)
    return per_channel(w, x) * dy / std, dw, sum_to_channels(dy)


def layer_norm(x, w, b, eps=1e-5):
    """Each sample normalised over its features: x (..., F...), w (F...).

    y = w z + b, z = normalize(x) over F...
    Source: https://arxiv.org/abs/1607.06450
    """
    return w * normalize(x, tuple(range(-w.ndim, 0)), eps) + b


def layer_norm_backward(dy, x, w, b, eps=1e-5):
    """dz = w dy, on through normalize; dw = sum of dy z and db = sum of dy, over the samples."""
    axes, samples = tuple(range(-w.ndim, 0)), tuple(range(x.ndim - w.ndim))
    dx = normalize_backward(w * dy, x, axes, eps)
    return dx, (dy * normalize(x, axes, eps)).sum(samples), dy.sum(samples)


def group_norm(x, groups, w, b, eps=1e-5):
    """Each sample's groups of channels normalised: x (N, C, S...), w (C,). G = C: instance norm.

    y = w z + b, z = normalize(x) over C/G, S...
    Source: https://arxiv.org/abs/1803.08494
    """
    z = normalize(split(x, 1, groups), tuple(range(2, x.ndim + 1)), eps).reshape(x.shape)
    return per_channel(w, x) * z + per_channel(b, x)


def group_norm_backward(dy, x, groups, w, b, eps=1e-5):
    """dz = w dy, on through normalize; dw = sum of dy z and db = sum of dy, over N, S..."""
    axes, x_g = tuple(range(2, x.ndim + 1)), split(x, 1, groups)  # (N, G, C/G, S...)
    dz = split(per_channel(w, x) * dy, 1, groups)
    dx = normalize_backward(dz, x_g, axes, eps).reshape(x.shape)
    z = normalize(x_g, axes, eps).reshape(x.shape)
    return dx, sum_to_channels(dy * z), sum_to_channels(dy)


# -- softmax, cross-entropy, attention -------------------------------------------------------------


def softmax(x, axis=-1):
    """Numbers into probabilities. (Taking off the largest changes nothing: exp can't overflow.)

    y[i] = exp(x[i]) / sum over j of exp(x[j])
    Source: https://pytorch.org/docs/stable/generated/torch.nn.Softmax.html
    """
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def softmax_backward(dy, x, axis=-1):
    """dx[i] = y[i] (dy[i] - sum over j of dy[j] y[j])"""
    y = softmax(x, axis)
    return y * (dy - (dy * y).sum(axis, keepdims=True))


def log_softmax(x, axis=-1):
    """The logarithm of softmax, without the quotient that could underflow.

    y[i] = x[i] - log(sum over j of exp(x[j]))
    Source: https://pytorch.org/docs/stable/generated/torch.nn.LogSoftmax.html
    """
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def log_softmax_backward(dy, x, axis=-1):
    """dx[i] = dy[i] - softmax(x)[i] (sum over j of dy[j])"""
    return dy - softmax(x, axis) * dy.sum(axis, keepdims=True)


def weighted_targets(x, target, weight, ignore_index, label_smoothing):
    """w q (N, C, S...), as in :func:`cross_entropy`, and what its mean divides by."""
    classes = x.shape[1]
    w = per_channel(np.ones(classes, x.dtype) if weight is None else weight, x)
    if target.dtype.kind == "f":
        q, counted, divisor = target, True, target.size / classes
    else:
        target = np.expand_dims(target, 1)  # (N, 1, S...)
        counted = target != ignore_index
        q = (counted & (target == per_channel(np.arange(classes), x))).astype(x.dtype)
        divisor = (w * q).sum()
    q = (1 - label_smoothing) * q + label_smoothing / classes
    return w * q * counted, divisor


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """How far softmax(x) is from the target: logits x (N, C, S...), finite; target (N, S...).

    loss = -sum over c of w[c] q[c] log_softmax(x)[c], q one-hot, smoothed: (1 - a) q + a / C
    The mean of rows is weighted by the w of their classes, but a plain one if target is q itself.
    Source: https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html
    """
    wq, divisor = weighted_targets(x, target, weight, ignore_index, label_smoothing)
    loss = -(wq * log_softmax(x, 1)).sum(1)
    loss = loss if reduction == "none" else loss.sum()
    return loss / divisor if reduction == "mean" else loss


def cross_entropy_backward(
    dy, x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    """-w q dy, on through log_softmax: dx = (softmax(x) sum(w q) - w q) dy."""
    wq, divisor = weighted_targets(x, target, weight, ignore_index, label_smoothing)
    dy = np.expand_dims(dy, 1) if reduction == "none" else dy
    dy = dy / divisor if reduction == "mean" else dy
    return log_softmax_backward(-wq * dy, x, 1)


def attention_weights(q, k, mask, is_causal):
    """A (..., L, S): how much each query takes of each key."""
    scores = q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5
    seen = np.tril(np.ones(scores.shape[-2:], bool)) if is_causal else mask
    return softmax(scores if seen is None else np.where(seen, scores, -np.inf))


def attention(q, k, v, mask=None, is_causal=False):
    """Means of v, weighted by how well k fits q: q (..., L, E), k (..., S, E), v (..., S, V).

    y = A v, A = softmax(q k^T / sqrt(E)), 0 where the mask is False; causal: query l sees keys <= l
    Source: https://arxiv.org/abs/1706.03762
    """
    return attention_weights(q, k, mask, is_causal) @ v


def attention_backward(dy, q, k, v, mask=None, is_causal=False):
    """dv = A^T dy, dA = dy v^T; ds = A (dA - sum(dA A)) / sqrt(E), dq = ds k, dk = ds^T q."""
    a, da = attention_weights(q, k, mask, is_causal), dy @ v.swapaxes(-1, -2)
    ds = a * (da - (da * a).sum(-1, keepdims=True)) * q.shape[-1] ** -0.5
    return ds @ k, ds.swapaxes(-1, -2) @ q, a.swapaxes(-1, -2) @ dy


# -- recurrence ------------------------------------------------------------------------------------


def sigmoid(z):
    """1 / (1 + exp(-z)), by a tanh that cannot overflow."""
    return 0.5 + 0.5 * np.tanh(z / 2)


def lstm_gates(x, h, w_ih, w_hh, b_ih, b_hh):
    """i, f, g, o (N, H) each: input gate, forget gate, candidate, output gate."""
    i, f, g, o = np.split(linear(x, w_ih, b_ih) + linear(h, w_hh, b_hh), 4, axis=-1)
    return sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)


def lstm_step(x, h, c, w_ih, w_hh, b_ih, b_hh):
    """A step of an LSTM: x (N, C), h and c (N, H), w_ih (4H, C), w_hh (4H, H) -> h', c'.

    c' = f c + i g, h' = o tanh(c'); i, f, o sigmoids, g a tanh of a linear layer of x and h each
    Source: https://pytorch.org/docs/stable/generated/torch.nn.LSTMCell.html
    """
    i, f, g, o = lstm_gates(x, h, w_ih, w_hh, b_ih, b_hh)
    c = f * c + i * g
    return o * np.tanh(c), c


def lstm_step_backward(dy, x, h, c, w_ih, w_hh, b_ih, b_hh):
    """dy = dh', dc'. The loss sees c' in two ways: dc' + dh' o (1 - tanh(c')^2) reaches it."""
    i, f, g, o = lstm_gates(x, h, w_ih, w_hh, b_ih, b_hh)
    tanh_c = np.tanh(f * c + i * g)
    dh, dc = dy
    dc = dc + dh * o * (1 - tanh_c**2)
    di, df, dg, do = dc * g, dc * c, dc * i, dh * tanh_c
    # through sigmoids and tanh, (N, 4H)
    dz = np.hstack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
    dx, dw_ih, db = linear_backward(dz, x, w_ih)
    dh, dw_hh, _ = linear_backward(dz, h, w_hh)
    return dx, dh, dc * f, dw_ih, dw_hh, db, db


def lstm(x, h, c, *weights):
    """The step along time: x (T, N, C) -> all h (T, N, H), the last h and c; weights as there.

    h[t], c[t] = lstm_step(x[t], h[t - 1], c[t - 1])
    Source: https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html
    """
    outputs = []
    for x_t in x:
        h, c = lstm_step(x_t, h, c, *weights)
        outputs.append(h)
    return np.stack(outputs), h, c


def lstm_backward(dy, x, h, c, *weights):
    """Back through time: dh[t] is dy[t] and what step t + 1 hands back; dw are sums over steps."""
    states = [(h, c)]
    for x_t in x:
        states.append(lstm_step(x_t, *states[-1], *weights))
    dy, dh, dc = dy
    dx, totals = np.zeros_like(x), [np.zeros_like(w) for w in weights]
    for t in reversed(range(len(x))):
        dx[t], dh, dc, *grads = lstm_step_backward((dh + dy[t], dc), x[t], *states[t], *weights)
        totals = [total + grad for total, grad in zip(totals, grads, strict=True)]
    return dx, dh, dc, *totals


def gru_gates(x, h, w_ih, w_hh, b_ih, b_hh):
    """r, z, n (N, H) each: reset gate, update gate, candidate; and what r scales in n."""
    r_x, z_x, n_x = np.split(linear(x, w_ih, b_ih), 3, axis=-1)
    r_h, z_h, n_h = np.split(linear(h, w_hh, b_hh), 3, axis=-1)
    r = sigmoid(r_x + r_h)
    return r, sigmoid(z_x + z_h), np.tanh(n_x + r * n_h), n_h


def gru_step(x, h, w_ih, w_hh, b_ih, b_hh):
    """A step of a GRU: x (N, C), h (N, H), w_ih (3H, C), w_hh (3H, H) -> h'.

    h' = (1 - z) n + z h; r, z sigmoids of a linear layer of x and h each, n = tanh(x's + r h's)
    Source: https://pytorch.org/docs/stable/generated/torch.nn.GRUCell.html
    """
    _, z, n, _ = gru_gates(x, h, w_ih, w_hh, b_ih, b_hh)
    return (1 - z) * n + z * h


def gru_step_backward(dy, x, h, w_ih, w_hh, b_ih, b_hh):
    """Through the mean of n and h; n's tanh, where h's share is behind r; then both sigmoids."""
    r, z, n, n_h = gru_gates(x, h, w_ih, w_hh, b_ih, b_hh)
    dn, dz = dy * (1 - z) * (1 - n**2), dy * (h - n) * z * (1 - z)
    dr = dn * n_h * r * (1 - r)
    dx, dw_ih, db_ih = linear_backward(np.hstack([dr, dz, dn]), x, w_ih)
    dh, dw_hh, db_hh = linear_backward(np.hstack([dr, dz, dn * r]), h, w_hh)
    return dx, dh + dy * z, dw_ih, dw_hh, db_ih, db_hh
