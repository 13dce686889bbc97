"""Optimizers over dicts, lists, objects, and as functions."""

import numpy as np


class SGD:
    def __init__(self, lr=0.01):
        self.lr = lr

    def update(self, params, grads):
        for key in params:
            params[key] -= self.lr * grads[key]


class Adam:
    def __init__(self, params, lr=0.001, betas=(0.9, 0.999), eps=1e-8):
        self.params, self.lr, self.eps = params, lr, eps
        self.b1, self.b2 = betas
        self.m = [np.zeros_like(p.data) for p in params]
        self.v = [np.zeros_like(p.data) for p in params]
        self.t = 0

    def step(self):
        self.t += 1
        for i, p in enumerate(self.params):
            self.m[i] = self.b1 * self.m[i] + (1 - self.b1) * p.grad
            self.v[i] = self.b2 * self.v[i] + (1 - self.b2) * p.grad**2
            m = self.m[i] / (1 - self.b1**self.t)
            v = self.v[i] / (1 - self.b2**self.t)
            p.data -= self.lr * m / (np.sqrt(v) + self.eps)


class AdamDict:
    correct = True

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.m, self.v, self.t = {}, {}, 0

    def update(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            self.m[k] = self.beta1 * self.m.get(k, 0) + (1 - self.beta1) * g
            self.v[k] = self.beta2 * self.v.get(k, 0) + (1 - self.beta2) * g**2
            m, v = self.corrected(self.m[k], self.v[k])
            params[k] -= self.lr * m / (np.sqrt(v) + self.eps)

    def corrected(self, m, v):
        return m / (1 - self.beta1**self.t), v / (1 - self.beta2**self.t)


class AdamNoCorrection(AdamDict):
    def corrected(self, m, v):
        return m, v


class AdamBetaForPower(AdamDict):
    def corrected(self, m, v):
        return m / (1 - self.beta1), v / (1 - self.beta2)


class AdamCounter(AdamDict):
    def update(self, params, grads):
        for k, g in grads.items():
            self.t += 1
            self.m[k] = self.beta1 * self.m.get(k, 0) + (1 - self.beta1) * g
            self.v[k] = self.beta2 * self.v.get(k, 0) + (1 - self.beta2) * g**2
            m, v = self.corrected(self.m[k], self.v[k])
            params[k] -= self.lr * m / (np.sqrt(v) + self.eps)


class Momentum:
    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, None

    def update(self, params, grads):
        if self.v is None:
            self.v = {k: np.zeros_like(p) for k, p in params.items()}
        for k in params:
            self.v[k] = self.momentum * self.v[k] - self.lr * grads[k]
            params[k] += self.v[k]


class MomentumNotStored(Momentum):
    def update(self, params, grads):
        if self.v is None:
            self.v = {k: np.zeros_like(p) for k, p in params.items()}
        for k in params:
            v = self.momentum * self.v[k] - self.lr * grads[k]
            params[k] += v


def sgd_momentum(w, dw, config):
    v = config.get("velocity", np.zeros_like(w))
    v = config["momentum"] * v - config["learning_rate"] * dw
    config["velocity"] = v
    return w + v, config


def initialize_velocity(parameters):
    return {f"d{key}": np.zeros_like(value) for key, value in parameters.items()}


def update_with_momentum(parameters, grads, v, beta, learning_rate):
    for key in parameters:
        v[f"d{key}"] = beta * v[f"d{key}"] + (1 - beta) * grads[f"d{key}"]
        parameters[key] = parameters[key] - learning_rate * v[f"d{key}"]
    return parameters, v


class SGDLayers:
    def __init__(self, model, lr=0.01, momentum=0.0, weight_decay=0.0):
        self.model, self.lr, self.momentum, self.decay = model, lr, momentum, weight_decay
        self.v = {}

    def shrinking(self, w):
        return self.decay * w

    def step(self):
        for i, layer in enumerate(self.model.layers):
            for name, w in layer.params.items():
                g = layer.grads[name] + self.shrinking(w)
                self.v[i, name] = self.momentum * self.v.get((i, name), 0) + g
                layer.params[name] = w - self.lr * self.v[i, name]


class SGDDecayHalved(SGDLayers):
    def shrinking(self, w):
        return 0.5 * self.decay * w


class SGDSlower:
    def __init__(self, lr=0.01, decay=0.01):
        self.lr, self.decay, self.t = lr, decay, 0

    def update(self, layers):
        lr = self.lr / (1 + self.decay * self.t)
        self.t += 1
        for layer in layers:
            layer.W -= lr * layer.dW
            layer.b -= lr * layer.db


class SGDNeverMoves:
    def __init__(self, params, lr=0.01):
        self.params, self.lr = params, lr

    def step(self):
        for p in self.params:
            w = p.data
            w = w - self.lr * p.grad


class MomentumShared:
    def __init__(self, lr=0.01, momentum=0.9):
        self.lr, self.momentum, self.v = lr, momentum, 0.0

    def update(self, params, grads):
        for k in params:
            self.v = self.momentum * self.v + grads[k]
            params[k] = params[k] - self.lr * self.v


class NesterovNewVelocity(Momentum):
    def update(self, params, grads):
        if self.v is None:
            self.v = {k: np.zeros_like(p) for k, p in params.items()}
        for k in params:
            self.v[k] = self.momentum * self.v[k] - self.lr * grads[k]
            params[k] += self.momentum**2 * self.v[k] - (1 + self.momentum) * self.lr * grads[k]


class MomentumLooksAhead(Momentum):
    def update(self, params, grads):
        if self.v is None:
            self.v = {k: np.zeros_like(p) for k, p in params.items()}
        for k in params:
            before = self.v[k]
            self.v[k] = self.momentum * before - self.lr * grads[k]
            params[k] += (1 + self.momentum) * self.v[k] - self.momentum * before


class Adagrad:
    def __init__(self, lr=0.01):
        self.lr, self.h = lr, {}

    def update(self, params, grads):
        for k in params:
            self.h[k] = self.h.get(k, 0) + grads[k] ** 2
            params[k] -= self.lr * grads[k] / (np.sqrt(self.h[k]) + 1e-7)


class RMSpropLayer:
    def __init__(self, learning_rate=0.001, rho=0.9, epsilon=1e-7):
        self.learning_rate, self.rho, self.epsilon = learning_rate, rho, epsilon

    def update_params(self, layer):
        for name in ("weights", "biases"):
            g, cache = getattr(layer, f"d{name}"), getattr(layer, f"{name}_cache", 0)
            cache = self.rho * cache + (1 - self.rho) * g**2
            setattr(layer, f"{name}_cache", cache)
            step = self.learning_rate * g / (np.sqrt(cache) + self.epsilon)
            setattr(layer, name, self.moved(getattr(layer, name), step))

    def moved(self, w, step):
        return w - step


class RMSpropUphill(RMSpropLayer):
    def moved(self, w, step):
        return w + step


class Adadelta:
    def __init__(self, rho=0.95, eps=1e-6):
        self.rho, self.eps, self.s, self.d = rho, eps, 0, 0

    def update(self, w, dw):
        self.s = self.rho * self.s + (1 - self.rho) * dw**2
        step = np.sqrt(self.d + self.eps) / np.sqrt(self.s + self.eps) * dw
        self.d = self.rho * self.d + (1 - self.rho) * step**2
        return w - step


def make_adam(lr=1e-3, b1=0.9, b2=0.999, eps=1e-8):
    def init(params):
        zeros = [np.zeros_like(p) for p in params]
        return {"m": zeros, "v": zeros, "t": 0}

    def update(grads, state):
        t = state["t"] + 1
        m = [b1 * m + (1 - b1) * g for m, g in zip(state["m"], grads, strict=True)]
        v = [b2 * v + (1 - b2) * g**2 for v, g in zip(state["v"], grads, strict=True)]
        rate = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
        steps = [-rate * a / (np.sqrt(b) + eps) for a, b in zip(m, v, strict=True)]
        return steps, {"m": m, "v": v, "t": t}

    return init, update


class AdamW(Adam):
    def __init__(self, params, lr=0.001, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, lr, betas, eps)
        self.weight_decay = weight_decay

    def step(self):
        for p in self.params:
            p.data -= self.lr * self.weight_decay * p.data
        super().step()


class AdamWCoupled(AdamW):
    def step(self):
        for p in self.params:
            p.grad = p.grad + self.weight_decay * p.data
        Adam.step(self)


class AdamBetasSwapped(Adam):
    def __init__(self, params, lr=0.001, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(params, lr, betas, eps)
        self.b2, self.b1 = betas


class AdamRootMultiplied(Adam):
    def step(self):
        self.t += 1
        for i, p in enumerate(self.params):
            self.m[i] = self.b1 * self.m[i] + (1 - self.b1) * p.grad
            self.v[i] = self.b2 * self.v[i] + (1 - self.b2) * p.grad**2
            m = self.m[i] / (1 - self.b1**self.t)
            v = self.v[i] / (1 - self.b2**self.t)
            p.data -= self.lr * m * (np.sqrt(v) + self.eps)


class AdamInverted(AdamDict):
    def update(self, params, grads):
        self.t += 1
        for k, g in grads.items():
            self.m[k] = (1 - self.beta1) * self.m.get(k, 0) + self.beta1 * g
            self.v[k] = (1 - self.beta2) * self.v.get(k, 0) + self.beta2 * g**2
            m, v = self.corrected(self.m[k], self.v[k])
            params[k] -= self.lr * m / (np.sqrt(v) + self.eps)


def adam(w, dw, config):
    config["t"] = config.get("t", 0) + 1
    beta1, beta2 = config["beta1"], config["beta2"]
    config["m"] = beta1 * config.get("m", 0) + (1 - beta1) * dw
    config["v"] = beta2 * config.get("v", 0) + (1 - beta2) * dw**2
    step = config["learning_rate"] * config["m"] / (np.sqrt(config["v"]) + config["epsilon"])
    return w - step, config
