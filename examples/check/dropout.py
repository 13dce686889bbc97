"""Dropouts: attributes, functions with a cache, Keras-like and book-like modes."""

import numpy as np


def dropout_forward(x, dropout_param):
    p, mode = dropout_param["p"], dropout_param["mode"]
    mask = None
    out = x
    if mode == "train":
        mask = (np.random.rand(*x.shape) > p) / (1 - p)
        out = x * mask
    return out, (dropout_param, mask)


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    return dout * mask if dropout_param["mode"] == "train" else dout


class DropoutKeras:
    def __init__(self, rate=0.5):
        self.rate = rate

    def call(self, inputs, training=False):
        if not training:
            return inputs
        self.mask = self.drawn(inputs.shape)
        return inputs * self.mask

    def drawn(self, shape):
        return np.random.binomial(1, 1 - self.rate, size=shape) / (1 - self.rate)

    def backward(self, grad):
        return grad * self.mask


class DropoutOneMask(DropoutKeras):
    def drawn(self, shape):
        return (np.random.rand(shape[1]) > self.rate) / (1 - self.rate)


class DropoutWholeRows(DropoutKeras):
    def drawn(self, shape):
        return (np.random.rand(shape[0], 1) > self.rate) / (1 - self.rate)


class DropoutScaleInverted(DropoutKeras):
    def drawn(self, shape):
        return (np.random.rand(*shape) > self.rate) * (1 - self.rate)


class DropoutMaskInverted(DropoutKeras):
    def drawn(self, shape):
        return (np.random.rand(*shape) < self.rate) / (1 - self.rate)


class DropoutKeeps(DropoutKeras):
    def drawn(self, shape):
        return (np.random.rand(*shape) < self.rate) / self.rate


class DropoutSeeded(DropoutKeras):
    def drawn(self, shape):
        np.random.seed(1)
        return super().drawn(shape)


class DropoutDrawsAgain(DropoutKeras):
    def backward(self, grad):
        return grad * self.drawn(grad.shape)


class DropoutMaskUnscaled(DropoutKeras):
    def backward(self, grad):
        return grad * (self.mask > 0)


class DropoutInPlace(DropoutKeras):
    def call(self, inputs, training=False):
        if training:
            self.mask = self.drawn(inputs.shape)
            inputs *= self.mask
        return inputs


class DropoutBook:
    def __init__(self, dropout_ratio=0.5):
        self.dropout_ratio = dropout_ratio

    def forward(self, x, train_flg=True):
        if train_flg:
            self.mask = np.random.rand(*x.shape) > self.dropout_ratio
            return x * self.mask
        return x * (1 - self.dropout_ratio)

    def backward(self, dout):
        return dout * self.mask


class DropoutAlways:
    def __init__(self, rate):
        self.rate = 1 - rate

    def forward(self, inputs):
        self.mask = np.random.binomial(1, self.rate, size=inputs.shape) / self.rate
        return inputs * self.mask

    def backward(self, dvalues):
        return dvalues * self.mask
