"""Convolution, pooling, batch norm."""

import numpy as np


class Conv2d:
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        self.k, self.s, self.p = kernel_size, stride, padding
        self.W = np.random.randn(out_channels, in_channels, kernel_size, kernel_size)
        self.b = np.zeros(out_channels)

    def windows(self, x):
        h = (x.shape[2] - self.k) // self.s + 1
        w = (x.shape[3] - self.k) // self.s + 1
        for i in range(h):
            for j in range(w):
                rows = slice(i * self.s, i * self.s + self.k)
                yield i, j, rows, slice(j * self.s, j * self.s + self.k)

    def forward(self, x):
        p = self.p
        self.x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        h = (self.x.shape[2] - self.k) // self.s + 1
        w = (self.x.shape[3] - self.k) // self.s + 1
        out = np.zeros((len(x), len(self.W), h, w))
        for i, j, rows, columns in self.windows(self.x):
            out[:, :, i, j] = np.einsum("nchw,fchw->nf", self.x[:, :, rows, columns], self.W)
        return out + self.b[:, None, None]

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        self.db = dout.sum(axis=(0, 2, 3))
        dx = np.zeros_like(self.x)
        for i, j, rows, columns in self.windows(self.x):
            self.dW += np.einsum("nf,nchw->fchw", dout[:, :, i, j], self.x[:, :, rows, columns])
            self.spread(dx, np.einsum("nf,fchw->nchw", dout[:, :, i, j], self.W), rows, columns)
        return self.cut(dx)

    def spread(self, dx, part, rows, columns):
        dx[:, :, rows, columns] += part

    def cut(self, dx):
        p = self.p
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]


class Conv2dCutZero(Conv2d):
    def cut(self, dx):
        return dx[:, :, self.p : -self.p, self.p : -self.p]


class Conv2dAssigned(Conv2d):
    def spread(self, dx, part, rows, columns):
        dx[:, :, rows, columns] = part


class MaxPool2d:
    def __init__(self, kernel_size, stride=None):
        self.k, self.s = kernel_size, stride or kernel_size

    def forward(self, x):
        self.x = x
        n, c, h, w = x.shape
        out = np.zeros((n, c, (h - self.k) // self.s + 1, (w - self.k) // self.s + 1))
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                a, b = i * self.s, j * self.s
                out[:, :, i, j] = x[:, :, a : a + self.k, b : b + self.k].max(axis=(2, 3))
        return out

    def backward(self, dout):
        dx = np.zeros_like(self.x)
        for n, c, i, j in np.ndindex(dout.shape):
            a, b = i * self.s, j * self.s
            window = self.x[n, c, a : a + self.k, b : b + self.k]
            p, q = np.unravel_index(window.argmax(), window.shape)
            dx[n, c, a + p, b + q] += dout[n, c, i, j]
        return dx


class MaxPool2dEveryTie(MaxPool2d):
    def backward(self, dout):
        dx = np.zeros_like(self.x)
        for n, c, i, j in np.ndindex(dout.shape):
            a, b = i * self.s, j * self.s
            window = self.x[n, c, a : a + self.k, b : b + self.k]
            dx[n, c, a : a + self.k, b : b + self.k] += (window == window.max()) * dout[n, c, i, j]
        return dx


class BatchNorm1d:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.eps, self.momentum, self.training = eps, momentum, True
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)

    def forward(self, x):
        if self.training:
            mean, var = x.mean(axis=0), x.var(axis=0)
            unbiased = var * len(x) / (len(x) - 1)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * unbiased
        else:
            mean, var = self.running_mean, self.running_var
        self.std = np.sqrt(var + self.eps)
        self.xhat = (x - mean) / self.std
        self.out = self.gamma * self.xhat + self.beta
        return self.out

    def backward(self, dout):
        self.dgamma = (dout * self.xhat).sum(axis=0)
        self.dbeta = dout.sum(axis=0)
        d = dout * self.gamma
        if not self.training:
            return d / self.std
        return (d - d.mean(axis=0) - self.xhat * (d * self.xhat).mean(axis=0)) / self.std


class BatchNorm1dGammaFromOutput(BatchNorm1d):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dgamma = (dout * self.out).sum(axis=0)
        return dx


class Conv2dFlipped(Conv2d):
    """A convolution as mathematicians write it; its weight's gradient is not."""

    def forward(self, x):
        kernel, self.W = self.W, self.W[:, :, ::-1, ::-1]
        out = super().forward(x)
        self.W = kernel
        return out

    def backward(self, dout):
        kernel, self.W = self.W, self.W[:, :, ::-1, ::-1]
        dx = super().backward(dout)
        self.W = kernel
        return dx


class Conv2dStrideBack(Conv2d):
    def backward(self, dout):
        stride = self.s
        super().backward(dout)
        dx = np.zeros_like(self.x)
        for i, j in np.ndindex(dout.shape[2:]):
            part = np.einsum("nf,fchw->nchw", dout[:, :, i, j], self.W)
            dx[:, :, i : i + self.k, j : j + self.k] += part
        self.s = stride
        return self.cut(dx)


class Conv2dPaddingKept(Conv2d):
    def cut(self, dx):
        return dx


class Conv2dBiasPerPosition(Conv2d):
    def backward(self, dout):
        dx = super().backward(dout)
        self.db = dout.sum(axis=0)
        return dx


class Conv2dKernelFlippedBack(Conv2d):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW = self.dW[:, :, ::-1, ::-1]
        return dx


class MaxPool2dSharedTies(MaxPool2d):
    def backward(self, dout):
        dx = np.zeros_like(self.x)
        for n, c, i, j in np.ndindex(dout.shape):
            a, b = i * self.s, j * self.s
            window = self.x[n, c, a : a + self.k, b : b + self.k]
            hot = window == window.max()
            dx[n, c, a : a + self.k, b : b + self.k] += hot * dout[n, c, i, j] / hot.sum()
        return dx


class MaxPool2dAveraged(MaxPool2d):
    def backward(self, dout):
        dx, count = super().backward(dout), np.zeros_like(self.x)
        for i, j in np.ndindex(dout.shape[2:]):
            a, b = i * self.s, j * self.s
            count[:, :, a : a + self.k, b : b + self.k] += 1
        return dx / np.maximum(count, 1)


class MaxPool2dPaddedByZero(MaxPool2d):
    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__(kernel_size, stride)
        self.p = padding

    def forward(self, x):
        self.size = x.shape
        p = self.p
        return super().forward(np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))))

    def backward(self, dout):
        dx, p = super().backward(dout), self.p
        return dx[:, :, p : p + self.size[2], p : p + self.size[3]]


class AvgPool2d(MaxPool2d):
    def forward(self, x):
        self.x = x
        n, c, h, w = x.shape
        out = np.zeros((n, c, (h - self.k) // self.s + 1, (w - self.k) // self.s + 1))
        for i, j in np.ndindex(out.shape[2:]):
            a, b = i * self.s, j * self.s
            out[:, :, i, j] = x[:, :, a : a + self.k, b : b + self.k].mean(axis=(2, 3))
        return out

    def backward(self, dout):
        dx = np.zeros_like(self.x)
        for i, j in np.ndindex(dout.shape[2:]):
            a, b = i * self.s, j * self.s
            dx[:, :, a : a + self.k, b : b + self.k] += self.share(dout[:, :, i, j, None, None])
        return dx

    def share(self, dy):
        return dy / self.k**2


class AvgPool2dNotDivided(AvgPool2d):
    def share(self, dy):
        return dy


class BatchNorm1dNoPathThroughVariance(BatchNorm1d):
    def backward(self, dout):
        super().backward(dout)
        d = dout * self.gamma
        return (d - d.mean(axis=0)) / self.std


class BatchNorm1dGammaOutside(BatchNorm1d):
    def backward(self, dout):
        super().backward(dout)
        d, z = dout, self.xhat
        return (d * self.gamma - d.mean(axis=0) - z * (d * z).mean(axis=0)) / self.std


class BatchNorm1dBiased(BatchNorm1d):
    """cs231n's: momentum is the weight of the old value, the variance kept is the biased one."""

    def __init__(self, num_features, eps=1e-5, momentum=0.9):
        super().__init__(num_features, eps, momentum)

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        mean, var = self.running_mean, self.running_var
        out = super().forward(x)
        self.running_mean = self.momentum * mean + (1 - self.momentum) * x.mean(axis=0)
        self.running_var = self.momentum * var + (1 - self.momentum) * x.var(axis=0)
        return out


class BatchNorm1dMovesInEvaluation(BatchNorm1d):
    def forward(self, x):
        out = super().forward(x)
        if not self.training:
            m = self.momentum
            self.running_mean = (1 - m) * self.running_mean + m * x.mean(axis=0)
        return out


class BatchNorm1dEps(BatchNorm1d):
    def __init__(self, num_features):
        super().__init__(num_features, eps=1e-8)


class LayerNorm:
    def __init__(self, dim, eps=1e-5):
        self.eps = eps
        self.gamma, self.beta = np.ones(dim), np.zeros(dim)

    def forward(self, x):
        self.std = np.sqrt(x.var(axis=-1, keepdims=True) + self.eps)
        self.z = (x - x.mean(axis=-1, keepdims=True)) / self.std
        return self.gamma * self.z + self.beta

    def backward(self, dy):
        axes = tuple(range(dy.ndim - 1))
        self.dgamma, self.dbeta = (dy * self.z).sum(axis=axes), dy.sum(axis=axes)
        return self.back(dy * self.gamma)

    def back(self, d):
        mean = d.mean(axis=-1, keepdims=True)
        return (d - mean - self.z * (d * self.z).mean(axis=-1, keepdims=True)) / self.std


class LayerNormConstants(LayerNorm):
    def back(self, d):
        return d / self.std


class Conv2dPaddedTwice(Conv2d):
    def forward(self, x):
        p = self.p
        return super().forward(np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))))

    def cut(self, dx):
        p = 2 * self.p
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]
