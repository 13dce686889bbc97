"""Components in styles of their own, which take an adapter (adapters.py) to be driven."""

import numpy as np


class Funnel:
    """A linear layer whose parameters stand in a tuple, under no usual name."""

    def __init__(self, wide, narrow):
        self.knobs = (np.random.randn(wide, narrow), np.zeros(narrow))
        self.slopes = None

    def push(self, rows):
        self.rows = rows
        return rows @ self.knobs[0] + self.knobs[1]

    def pull(self, slope):
        self.slopes = (self.rows.T @ slope, slope.sum(axis=0))
        return slope @ self.knobs[0].T


class FunnelSign(Funnel):
    def pull(self, slope):
        self.slopes = (-(self.rows.T @ slope), slope.sum(axis=0))
        return slope @ self.knobs[0].T


class Augmented:
    """A linear layer with the bias as the last row of its matrix."""

    def __init__(self, n_in, n_out):
        self.matrix = np.random.randn(n_in + 1, n_out)

    def forward(self, x):
        self.x = np.hstack([x, np.ones((len(x), 1))])
        return self.x @ self.matrix

    def backward(self, dout):
        self.slope = self.x.T @ dout
        return dout @ self.matrix[:-1].T


class Standardiser:
    """A batch norm that is told its phase, and keeps its state in one table."""

    def __init__(self, width):
        self.stretch = np.vstack([np.ones(width), np.zeros(width)])
        self.moments = np.vstack([np.zeros(width), np.ones(width)])

    def forward(self, x, phase):
        self.learns = phase == "learn"
        if self.learns:
            now = np.vstack([x.mean(axis=0), x.var(axis=0, ddof=1)])
            self.moments = 0.9 * self.moments + 0.1 * now
        mean, var = (x.mean(axis=0), x.var(axis=0)) if self.learns else self.moments
        self.root = np.sqrt(var + 1e-5)
        self.z = (x - mean) / self.root
        return self.stretch[0] * self.z + self.stretch[1]

    def backward(self, dout):
        self.slope = np.vstack([(dout * self.z).sum(axis=0), dout.sum(axis=0)])
        d = dout * self.stretch[0]
        if self.learns:
            d = d - d.mean(axis=0) - self.z * (d * self.z).mean(axis=0)
        return d / self.root


class SquaredGap:
    """A squared error over pairs in one array, value and slope in one dict."""

    def measure(self, pairs):
        gap = pairs[0] - pairs[1]
        return {"cost": (gap**2).mean(), "slope": 2 * gap / gap.size}


def heavy_ball(rate, friction):
    """Momentum as a generator: send it gradients when it asks, it yields what to subtract."""
    speed = {}
    while True:
        gradients = yield
        for key, gradient in gradients.items():
            speed[key] = friction * speed.get(key, 0) + gradient
        yield {key: rate * value for key, value in speed.items()}
