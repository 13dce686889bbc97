"""Activations, as classes and as functions with their derivatives."""

import numpy as np


class ReLU:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class ReLUNegativeOutput:
    def forward(self, x):
        self.out = np.maximum(x, 0)
        return self.out

    def backward(self, dout):
        dx = dout.copy()
        dx[self.out < 0] = 0
        return dx


class ReLUInPlace:
    def forward(self, x):
        self.x = x
        return np.maximum(x, 0)

    def backward(self, dout):
        dout[self.x <= 0] = 0
        return dout


class ReLUForgotUpstream(ReLU):
    def backward(self, dout):
        return self.mask.astype(float)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_prime(x):
    return sigmoid(x) * (1 - sigmoid(x))


def tanh(x, derivative=False):
    return 1 - np.tanh(x) ** 2 if derivative else np.tanh(x)


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def backward(self, dout):
        return self.p * (dout - (dout * self.p).sum(axis=1, keepdims=True))


class SoftmaxDiagonal(Softmax):
    def backward(self, dout):
        return dout * self.p * (1 - self.p)


class SoftmaxWholeArray(Softmax):
    def forward(self, x):
        e = np.exp(x - x.max())
        self.p = e / e.sum()
        return self.p


class Dropout:
    def __init__(self, p=0.5):
        self.p, self.training = p, True

    def forward(self, x):
        if not self.training:
            return x
        self.mask = (np.random.rand(*x.shape) >= self.p) / (1 - self.p)
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class DropoutNoScale(Dropout):
    def forward(self, x):
        if not self.training:
            return x
        self.mask = np.random.rand(*x.shape) >= self.p
        return x * self.mask


class DropoutNoMask(Dropout):
    def backward(self, dout):
        return dout


class DropoutInEvaluation(Dropout):
    def forward(self, x):
        self.mask = (np.random.rand(*x.shape) >= self.p) / (1 - self.p)
        return x * self.mask


class ReLUReturnsInput(ReLU):
    def backward(self, dout):
        return dout * self.mask * self.x

    def forward(self, x):
        self.x = x
        return super().forward(x)


def relu(x):
    return np.maximum(x, 0)


def relu_derivative(x):
    return np.maximum(x, 0)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))


def elu_derivative(y):
    return np.where(y > 0, 1, y + 1)


class ReLUForwardInPlace:
    def forward(self, x):
        self.mask = x <= 0
        x[self.mask] = 0
        return x

    def backward(self, dout):
        return np.where(self.mask, 0, dout)


class LeakyReLU:
    def __init__(self, alpha=0.2):
        self.alpha = alpha

    def __call__(self, x):
        return np.where(x >= 0, x, self.alpha * x)

    def gradient(self, x):
        return np.where(x >= 0, 1, self.alpha)


class SigmoidOfInput:
    def forward(self, x):
        self.x = x
        return 1 / (1 + np.exp(-x))

    def backward(self, dout):
        return dout * self.x * (1 - self.x)


class Softplus:
    def forward(self, x):
        self.x = x
        return np.log(1 + np.exp(x))

    def backward(self, dout):
        return dout / (1 + np.exp(-self.x))


class GELU:
    def forward(self, x):
        self.x = x
        self.t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
        return 0.5 * x * (1 + self.t)

    def backward(self, dout):
        slope = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * self.x**2)
        return dout * (0.5 * (1 + self.t) + 0.5 * self.x * (1 - self.t**2) * slope)


class SiLUProductRule:
    def forward(self, x):
        self.s = 1 / (1 + np.exp(-x))
        return x * self.s

    def backward(self, dout):
        return dout * self.s


class LeakyReLUContext:
    @staticmethod
    def forward(ctx, x, negative_slope=0.01):
        ctx.save_for_backward(x)
        ctx.slope = negative_slope
        return np.where(x > 0, x, negative_slope * x)

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * np.where(x > 0, 1, ctx.slope)


class SoftmaxOverBatch:
    def forward(self, x):
        e = np.exp(x - x.max(axis=0))
        self.p = e / e.sum(axis=0)
        return self.p

    def backward(self, dout):
        return self.p * (dout - (dout * self.p).sum(axis=0))


class SoftmaxLeftToTheLoss(Softmax):
    def backward(self, dout):
        return dout


class SoftmaxOneColumn:
    def forward(self, x):
        e = np.exp(x - np.max(x))
        self.p = e / np.sum(e)
        return self.p

    def backward(self, dout):
        n = np.size(self.p)
        return ((np.identity(n) - self.p.T) * self.p) @ dout


def softmax_rows(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class CausalAttention:
    def weights(self, scores):
        mask = np.tril(np.ones(scores.shape[1:]))
        return softmax_rows(np.where(mask == 0, -1e9, scores))

    def forward(self, q, k, v):
        self.q, self.k, self.v = q, k, v
        self.p = self.weights(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]))
        return self.p @ v

    def backward(self, dy):
        dp = dy @ self.v.swapaxes(1, 2)
        ds = self.p * (dp - (dp * self.p).sum(axis=-1, keepdims=True))
        ds = ds / np.sqrt(self.q.shape[-1])
        return ds @ self.k, ds.swapaxes(1, 2) @ self.q, self.p.swapaxes(1, 2) @ dy


class CausalAttentionReversed(CausalAttention):
    def weights(self, scores):
        mask = np.tril(np.ones(scores.shape[1:]))
        return softmax_rows(np.where(mask == 1, -1e9, scores))
