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
