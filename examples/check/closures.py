"""Layers as closures: a function that returns the way there and the way back."""

import numpy as np


def dense(w, b):
    x = None

    def forward(inputs):
        nonlocal x
        x = inputs
        return x @ w + b

    def backward(dy):
        return dy @ w.T, x.T @ dy, dy.sum(axis=0)

    return forward, backward


def dense_bias_mean(n_in, n_out):
    weights = np.random.randn(n_in, n_out)
    bias = np.zeros(n_out)
    cache, grads = {}, {}

    def forward(x):
        cache["x"] = x
        return x @ weights + bias

    def backward(dy):
        grads["weights"] = cache["x"].T @ dy
        grads["bias"] = dy.mean(axis=0)
        return dy @ weights.T

    return {"forward": forward, "backward": backward, "grads": grads}


def leaky_relu(alpha=0.01):
    memory = {}

    def forward(x):
        memory["mask"] = x > 0
        return np.where(memory["mask"], x, alpha * x)

    def backward(dy):
        return np.where(memory["mask"], dy, 0)

    return forward, backward
