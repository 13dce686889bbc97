"""Losses by their own protocols."""

import numpy as np


class MSE:
    def forward(self, y_pred, y_true):
        self.d = y_pred - y_true
        return np.mean(self.d**2)

    def backward(self):
        return 2 * self.d / self.d.size


class MSEMissingTwo(MSE):
    def backward(self):
        return self.d / self.d.size


def mse(y_true, y_pred):
    return np.mean((y_true - y_pred) ** 2)


def mse_prime(y_true, y_pred):
    return 2 * (y_pred - y_true) / y_true.size


def softmax_loss(x, y):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    n = len(x)
    loss = -np.log(p[np.arange(n), y]).mean()
    dx = p.copy()
    dx[np.arange(n), y] -= 1
    return loss, dx / n


def softmax_loss_unaveraged(x, y):
    loss, dx = softmax_loss(x, y)
    return loss, dx * len(x)


class CrossEntropyForgotLog:
    def forward(self, logits, labels):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        self.labels = labels
        return -self.p[np.arange(len(labels)), labels].mean()

    def backward(self):
        dx = self.p.copy()
        dx[np.arange(len(dx)), self.labels] -= 1
        return dx / len(dx)


class CrossEntropyNoMaximum(CrossEntropyForgotLog):
    def forward(self, logits, labels):
        e = np.exp(logits)
        self.p = e / e.sum(axis=1, keepdims=True)
        self.labels = labels
        return -np.log(self.p[np.arange(len(labels)), labels]).mean()


class CrossEntropyOverAll:
    def forward(self, logits, onehot):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.p, self.y = e / e.sum(axis=1, keepdims=True), onehot
        return self.reduced(onehot * np.log(self.p + 1e-12))

    def reduced(self, values):
        return -values.mean()

    def backward(self):
        return (self.p - self.y) / len(self.p)


class CrossEntropyForProbabilities(CrossEntropyOverAll):
    def reduced(self, values):
        return -values.sum() / len(values)

    def backward(self):
        return -self.y / self.p / len(self.p)


class CrossEntropyTwiceAveraged(CrossEntropyForProbabilities):
    def backward(self):
        return (self.p - self.y) / len(self.p) ** 2


class CrossEntropyUphill(CrossEntropyForProbabilities):
    def backward(self):
        return (self.y - self.p) / len(self.p)


class CrossEntropyEps(CrossEntropyForProbabilities):
    def forward(self, logits, onehot):
        super().forward(logits, onehot)
        return -(onehot * np.log(self.p + 0.01)).sum() / len(logits)

    def backward(self):
        return (self.p - self.y) / len(self.p)


class CrossEntropyPushes:
    """Keeps the labels, and pushes the gradient into the model."""

    def __init__(self, model):
        self.model = model

    def forward(self, logits, labels):
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.p, self.labels = e / e.sum(axis=1, keepdims=True), labels
        return -np.log(self.p[np.arange(len(labels)), labels]).mean()

    def backward(self):
        gradient = self.p.copy()
        gradient[np.arange(len(gradient)), self.labels] -= 1
        self.model.backward(gradient / len(gradient))


class CategoricalCrossEntropyColumns:
    """Probabilities as columns; the softmax's backward is left to the loss."""

    def forward(self, A, Y):
        self.A, self.Y = A, Y
        return -np.sum(Y * np.log(A + 1e-12)) / A.shape[1]

    def backward(self):
        return self.A - self.Y


class MSELossKeras:
    def call(self, y_true, y_pred):
        return np.square(y_pred - y_true)

    def gradient(self, y_true, y_pred):
        return 2 * (y_pred - y_true)


class MSELossHalfSum:
    def __call__(self, pred, target):
        return 0.5 * np.sum((pred - target) ** 2)

    def backward(self, pred, target):
        return pred - target


class MSEFactorC(MSE):
    def backward(self):
        return 2 * self.d / len(self.d)


class MSEInPlace(MSE):
    def forward(self, y_pred, y_true):
        y_pred -= y_true
        self.d = y_pred
        return np.mean(self.d**2)


def make_mse():
    def forward(prediction, target):
        return np.mean((prediction - target) ** 2)

    def backward(prediction, target):
        return 2 * (prediction - target) / prediction.size

    return forward, backward


class MAE:
    @staticmethod
    def f(y, t):
        return np.abs(y - t).mean()

    @staticmethod
    def df(y, t):
        return np.sign(y - t) / y.size


def cross_entropy_cost(A, Y):
    return -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / A.shape[1]


def cross_entropy_cost_backward(A, Y):
    return -(Y / A - (1 - Y) / (1 - A))


class BCELossHalf:
    def forward(self, p, y):
        self.p, self.y = p, y
        return -np.mean(y * np.log(p + 1e-12))

    def backward(self):
        return -self.y / self.p / self.y.size


class Tensor:
    """A small autograd Tensor."""

    def __init__(self, data, parents=(), back=None):
        self.data, self.parents, self.back = np.asarray(data, float), parents, back
        self.grad = np.zeros_like(self.data)

    def minus(self, other):
        return Tensor(self.data - other.data, (self,), lambda g: g)

    def squared_mean(self):
        return Tensor(np.mean(self.data**2), (self,), lambda g: 2 * self.data * g / self.data.size)

    def backward(self, gradient=1.0):
        self.grad = self.grad + gradient
        for parent in self.parents:
            parent.backward(self.back(gradient))


def mse_of_tensors(prediction, target):
    return prediction.minus(target).squared_mean()
