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


class LinearBiasMean(LinearAttributes):
    def backward(self, dout):
        dx = super().backward(dout)
        self.db = dout.mean(axis=0, keepdims=True)
        return dx


class LinearBiasStuck(LinearAttributes):
    def backward(self, dout):
        dx = super().backward(dout)
        self.db = np.zeros_like(self.b)
        return dx


class LinearDividesInput(LinearAttributes):
    def backward(self, dout):
        return super().backward(dout) / len(dout)


class LinearTuple(LinearAttributes):
    def backward(self, dout):
        return dout @ self.W.T, self.x.T @ dout, dout.sum(axis=0, keepdims=True)


class LinearNoBias(LinearAttributes):
    def forward(self, x):
        self.x = x
        return x @ self.W


class LinearLists:
    def __init__(self, W, b):
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]

    def forward(self, x):
        W, b = self.params
        self.x = x
        return x @ W + b

    def backward(self, dout):
        self.grads[0][...] = self.x.T @ dout
        self.grads[1][...] = dout.sum(axis=0)
        return dout @ self.params[0].T


class Parameter:
    def __init__(self, data):
        self.data = data
        self.grad = np.zeros_like(data)


class LinearParameters:
    def __init__(self, in_features, out_features):
        self.weight = Parameter(np.random.randn(out_features, in_features))
        self.bias = Parameter(np.zeros(out_features))

    def forward(self, x):
        self.x = x
        return x @ self.weight.data.T + self.bias.data

    def backward(self, dy):
        self.weight.grad += dy.T @ self.x
        self.bias.grad += dy.sum(axis=0)
        return dy @ self.weight.data


class LinearParametersSign(LinearParameters):
    def backward(self, dy):
        self.weight.grad -= dy.T @ self.x
        self.bias.grad += dy.sum(axis=0)
        return dy @ self.weight.data


class DenseOneColumn:
    def __init__(self, input_size, output_size):
        self.weights = np.random.randn(output_size, input_size)
        self.bias = np.random.randn(output_size, 1)

    def forward(self, x):
        assert x.shape[1] == 1, "one column"
        self.x = x
        return self.weights @ x + self.bias

    def backward(self, gradient, learning_rate):
        back = self.weights.T @ gradient
        self.weights -= learning_rate * gradient @ self.x.T
        self.bias -= learning_rate * gradient
        return back


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
        self.b = optimizer.update(self.b, dy.sum(axis=0))
        return dx


class DenseColumnsWrongAxis(DenseColumns):
    def backward(self, dZ):
        dA = super().backward(dZ)
        self.db = np.sum(dZ, keepdims=True) * np.ones_like(self.b)
        return dA


class Embedding:
    def __init__(self, vocab_size, embed_dim):
        self.W = np.random.randn(vocab_size, embed_dim)

    def forward(self, indices):
        self.indices = indices
        return self.W[indices]

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        np.add.at(self.dW, self.indices, dout)


class EmbeddingAssigned(Embedding):
    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        self.dW[self.indices] += dout


class Flatten:
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dout):
        return dout.reshape(self.shape)


def dense_forward(x, w, b):
    return x @ w + b, (x, w)


def dense_backward(dout, cache):
    raise NotImplementedError
