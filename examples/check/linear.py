"""Linear layers in several styles."""

import numpy as np


class LinearAttributes:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out) * 0.1
        self.b = np.zeros((1, n_out))

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0, keepdims=True)
        return dout @ self.W.T


class LinearBatchMean(LinearAttributes):
    def backward(self, dout):
        n = len(dout)
        self.dW = self.x.T @ dout / n
        self.db = dout.sum(axis=0, keepdims=True) / n
        return dout @ self.W.T


class LinearWeightMeanOnly(LinearAttributes):
    def backward(self, dout):
        self.dW = self.x.T @ dout / len(dout)
        self.db = dout.sum(axis=0, keepdims=True)
        return dout @ self.W.T


class LinearBiasNotSummed(LinearAttributes):
    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout
        return dout @ self.W.T


class LinearSign(LinearAttributes):
    def backward(self, dout):
        self.dW = -(self.x.T @ dout)
        self.db = dout.sum(axis=0, keepdims=True)
        return dout @ self.W.T


class LinearTwice(LinearAttributes):
    def backward(self, dout):
        n = len(dout)
        self.dW = self.x.T @ dout / n / n
        self.db = dout.sum(axis=0, keepdims=True) / n / n
        return dout @ self.W.T


class LinearNeverCleared(LinearAttributes):
    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        self.dW = np.zeros_like(self.W)
        self.db = np.zeros_like(self.b)

    def backward(self, dout):
        self.dW += self.x.T @ dout
        self.db += dout.sum(axis=0, keepdims=True)
        return dout @ self.W.T


class DenseParams:
    def __init__(self, inputs, units):
        self.params = {"W": np.random.randn(inputs, units), "b": np.zeros(units)}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x.dot(self.params["W"]) + self.params["b"]

    def backward(self, grad):
        self.grads["W"] = self.x.T.dot(grad)
        self.grads["b"] = grad.sum(0)
        return grad.dot(self.params["W"].T)


class DenseColumns:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_out, n_in)
        self.b = np.zeros((n_out, 1))

    def forward(self, A):
        self.A = A
        return self.W @ A + self.b

    def backward(self, dZ):
        self.dW = dZ @ self.A.T
        self.db = dZ.sum(axis=1, keepdims=True)
        return self.W.T @ dZ


class DenseUpdates:
    def __init__(self, n_in, n_out):
        self.weights = np.random.randn(n_in, n_out)
        self.bias = np.zeros((1, n_out))

    def forward(self, x):
        self.input = x
        return np.dot(x, self.weights) + self.bias

    def backward(self, output_error, learning_rate):
        input_error = np.dot(output_error, self.weights.T)
        self.weights -= learning_rate * np.dot(self.input.T, output_error)
        self.bias -= learning_rate * output_error.sum(axis=0, keepdims=True)
        return input_error


class DenseUpdatesTooEarly(DenseUpdates):
    def backward(self, output_error, learning_rate):
        self.weights -= learning_rate * np.dot(self.input.T, output_error)
        self.bias -= learning_rate * output_error.sum(axis=0, keepdims=True)
        return np.dot(output_error, self.weights.T)


class LinearStub(LinearAttributes):
    def backward(self, dout):
        raise NotImplementedError("to do")


def affine_forward(x, w, b):
    return x @ w + b, (x, w, b)


def affine_backward(dout, cache):
    x, w, _ = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


def affine_transposed_forward(x, w, b):
    return x @ w + b, (x, w, b)


def affine_transposed_backward(dout, cache):
    x, w, _ = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=1)
