"""Layers that keep their gradients as attributes, and a few that keep them elsewhere."""

import numpy as np


class Linear:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out)
        self.b = np.zeros((1, n_out))

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0, keepdims=True)
        return dout @ self.W.T


class LinearWrong(Linear):
    def backward(self, dout):
        dx = super().backward(dout)
        self.dW = -self.dW
        return dx


class DenseDicts:
    def __init__(self, input_size, output_size):
        self.params = {"W": np.random.randn(output_size, input_size), "b": np.zeros(output_size)}
        self.grads = {}

    def __call__(self, x, training=True):
        self.x = x
        return x @ self.params["W"].T + self.params["b"]

    def backward(self, dout):
        self.grads["W"] = dout.T @ self.x
        self.grads["b"] = dout.sum(0)
        return dout @ self.params["W"]


class DenseUpdating:
    def __init__(self, input_size, output_size):
        self.weights = np.random.randn(input_size, output_size)
        self.bias = np.zeros((1, output_size))

    def forward_propagation(self, input_data):
        self.input = input_data
        return input_data @ self.weights + self.bias

    def backward_propagation(self, output_error, learning_rate):
        back = output_error @ self.weights.T
        self.weights -= learning_rate * self.input.T @ output_error
        self.bias -= learning_rate * output_error.sum(0, keepdims=True)
        return back


class DenseOneColumn:
    def __init__(self, input_size, output_size):
        self.weights = np.random.randn(output_size, input_size)
        self.bias = np.zeros((output_size, 1))

    def forward(self, x):
        assert x.shape[1] == 1
        self.x = x
        return self.weights @ x + self.bias

    def backward(self, grad, learning_rate):
        self.dweights = grad @ self.x.T
        self.dbias = grad
        return self.weights.T @ grad


class DenseColumns:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_out, n_in)
        self.b = np.zeros((n_out, 1))

    def forward(self, A):
        self.A = A
        return self.W @ A + self.b

    def backward(self, dZ):
        self.dW = dZ @ self.A.T
        self.db = dZ.sum(1, keepdims=True)
        return self.W.T @ dZ


class DenseKeras:
    def __init__(self, units):
        self.units = units
        self.W = None

    def build(self, input_shape):
        self.W = np.random.randn(input_shape[-1], self.units)
        self.b = np.zeros(self.units)

    def forward(self, x):
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, dy):
        return dy @ self.W.T, self.x.T @ dy, dy.sum(0)


class Parameter:
    def __init__(self, data):
        self.data = data
        self.grad = np.zeros_like(data)


class LinearParameter:
    def __init__(self, in_features, out_features):
        self.weight = Parameter(np.random.randn(out_features, in_features))
        self.bias = Parameter(np.zeros(out_features))

    def forward(self, x):
        self.x = x
        return x @ self.weight.data.T + self.bias.data

    def backward(self, dy):
        self.weight.grad += dy.T @ self.x
        self.bias.grad += dy.sum(0)
        return dy @ self.weight.data


class DenseNnfs:
    def __init__(self, n_inputs, n_neurons):
        self.weights = 0.01 * np.random.randn(n_inputs, n_neurons)
        self.biases = np.zeros((1, n_neurons))

    def forward(self, inputs, training):
        self.inputs = inputs
        self.output = inputs @ self.weights + self.biases

    def backward(self, dvalues):
        self.dweights = self.inputs.T @ dvalues
        self.dbiases = dvalues.sum(0, keepdims=True)
        self.dinputs = dvalues @ self.weights.T


class DenseOptimizer:
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out)
        self.b = np.zeros(n_out)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy, optimizer):
        dx = dy @ self.W.T
        self.W = optimizer.update(self.W, self.x.T @ dy)
        self.b = optimizer.update(self.b, dy.sum(0))
        return dx


class ReLU:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class ReLUInPlace:
    def forward(self, x):
        self.mask = x <= 0
        x[self.mask] = 0
        return x

    def backward(self, dout):
        dout[self.mask] = 0
        return dout


class BatchNorm:
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.eps, self.momentum, self.training = eps, momentum, True

    def forward(self, x):
        if self.training:
            n = len(x)
            mu, var = x.mean(0), x.var(0)
            m = self.momentum
            self.running_mean = (1 - m) * self.running_mean + m * mu
            self.running_var = (1 - m) * self.running_var + m * var * n / (n - 1)
        else:
            mu, var = self.running_mean, self.running_var
        self.std = np.sqrt(var + self.eps)
        self.hat = (x - mu) / self.std
        return self.gamma * self.hat + self.beta

    def backward(self, dy):
        self.dgamma, self.dbeta = (dy * self.hat).sum(0), dy.sum(0)
        d = dy * self.gamma
        if not self.training:
            return d / self.std
        return (d - d.mean(0) - self.hat * (d * self.hat).mean(0)) / self.std


class MaxPool2D:
    def __init__(self, pool_size, stride):
        self.k, self.stride = pool_size, stride

    def forward(self, x):
        self.x = x
        n, h, w, c = x.shape
        k, s = self.k, self.stride
        ho, wo = (h - k) // s + 1, (w - k) // s + 1
        out = np.zeros((n, ho, wo, c))
        for i in range(ho):
            for j in range(wo):
                out[:, i, j] = x[:, i * s : i * s + k, j * s : j * s + k].max((1, 2))
        return out

    def backward(self, dy):
        dx = np.zeros_like(self.x)
        n, ho, wo, c = dy.shape
        k, s = self.k, self.stride
        for b, i, j, ch in np.ndindex(n, ho, wo, c):
            window = self.x[b, i * s : i * s + k, j * s : j * s + k, ch]
            at = np.unravel_index(window.argmax(), window.shape)
            dx[b, i * s + at[0], j * s + at[1], ch] += dy[b, i, j, ch]
        return dx


class Conv2D:
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        self.W = np.random.randn(out_channels, in_channels, kernel_size, kernel_size)
        self.b = np.zeros(out_channels)
        self.k, self.s, self.p = kernel_size, stride, padding

    def forward(self, x):
        p, s, k = self.p, self.s, self.k
        self.xp = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        ho, wo = (self.xp.shape[2] - k) // s + 1, (self.xp.shape[3] - k) // s + 1
        y = np.zeros((len(x), len(self.W), ho, wo))
        for i in range(ho):
            for j in range(wo):
                window = self.xp[:, :, i * s : i * s + k, j * s : j * s + k]
                y[:, :, i, j] = np.tensordot(window, self.W, ((1, 2, 3), (1, 2, 3))) + self.b
        return y

    def backward(self, dy):
        p, s, k = self.p, self.s, self.k
        self.dW, self.db = np.zeros_like(self.W), dy.sum((0, 2, 3))
        dx = np.zeros_like(self.xp)
        for i in range(dy.shape[2]):
            for j in range(dy.shape[3]):
                at = np.s_[:, :, i * s : i * s + k, j * s : j * s + k]
                self.dW += np.tensordot(dy[:, :, i, j], self.xp[at], (0, 0))
                dx[at] += np.tensordot(dy[:, :, i, j], self.W, (1, 0))
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]


class LinearCrash:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.random.randn(n_in, n_out), np.zeros(n_out)

    def forward(self, x):
        return self.product(x)

    def product(self, x):
        return x @ self.V
