"""Optimizers over dicts, lists, layers, objects, and as functions."""

import numpy as np


class AdamDict:
    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.b1, self.b2, self.eps = lr, beta1, beta2, eps
        self.t, self.m, self.v = 0, {}, {}

    def update(self, params, grads):
        self.t += 1
        for k in params:
            self.m[k] = self.b1 * self.m.get(k, 0) + (1 - self.b1) * grads[k]
            self.v[k] = self.b2 * self.v.get(k, 0) + (1 - self.b2) * grads[k] ** 2
            mh = self.m[k] / (1 - self.b1**self.t)
            vh = self.v[k] / (1 - self.b2**self.t)
            params[k] -= self.lr * mh / (np.sqrt(vh) + self.eps)


class AdamNoCorrection(AdamDict):
    def update(self, params, grads):
        for k in params:
            self.m[k] = self.b1 * self.m.get(k, 0) + (1 - self.b1) * grads[k]
            self.v[k] = self.b2 * self.v.get(k, 0) + (1 - self.b2) * grads[k] ** 2
            params[k] -= self.lr * self.m[k] / (np.sqrt(self.v[k]) + self.eps)


class SGDTorch:
    def __init__(self, params, lr=0.01):
        self.params, self.lr = params, lr

    def step(self):
        for p in self.params:
            p.data -= self.lr * p.grad


class MomentumOne:
    def __init__(self, lr, momentum):
        self.lr, self.momentum, self.v = lr, momentum, None

    def update(self, w, dw):
        if self.v is None:
            self.v = np.zeros_like(w)
        self.v = self.momentum * self.v + dw
        return w - self.lr * self.v


class AdagradLayer:
    def __init__(self, learning_rate=1.0, decay=0.0, epsilon=1e-7):
        self.lr, self.epsilon = learning_rate, epsilon

    def pre_update_params(self):
        pass

    def update_params(self, layer):
        if not hasattr(layer, "weight_cache"):
            layer.weight_cache = np.zeros_like(layer.weights)
            layer.bias_cache = np.zeros_like(layer.biases)
        layer.weight_cache += layer.dweights**2
        layer.bias_cache += layer.dbiases**2
        layer.weights += -self.lr * layer.dweights / (np.sqrt(layer.weight_cache) + self.epsilon)
        layer.biases += -self.lr * layer.dbiases / (np.sqrt(layer.bias_cache) + self.epsilon)

    def post_update_params(self):
        pass


class SGDZip:
    def __init__(self, learning_rate=0.01):
        self.learning_rate = learning_rate

    def apply_gradients(self, grads_and_vars):
        for g, v in grads_and_vars:
            v -= self.learning_rate * g


def rmsprop(w, dw, config=None):
    config.setdefault("cache", np.zeros_like(w))
    rho = config["decay_rate"]
    config["cache"] = rho * config["cache"] + (1 - rho) * dw**2
    return w - config["learning_rate"] * dw / (np.sqrt(config["cache"]) + config["epsilon"]), config


def momentum(w, dw, v=None, lr=0.01, mu=0.9):
    v = np.zeros_like(w) if v is None else v
    v = mu * v + dw
    return w - lr * v, v
