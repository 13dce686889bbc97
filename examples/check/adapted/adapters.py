"""Adapters of odd.py: the skeletons that check.py prints, their blanks filled in."""

import numpy as np
from odd import Augmented, Funnel, FunnelSign, SquaredGap, Standardiser, heavy_ball


class FunnelAdapter:
    like = "Linear"

    def make(self, in_features, out_features):
        return Funnel(wide=in_features, narrow=out_features)

    def set(self, it, weight, bias):
        it.knobs = (weight.T, bias)

    def forward(self, it, x):
        return it.push(x)

    def backward(self, it, dy):
        return it.pull(dy)

    def gradients(self, it):
        return {
            "weight": it.slopes[0].T,
            "bias": it.slopes[1],
        }


class FunnelSignAdapter(FunnelAdapter):
    def make(self, in_features, out_features):
        return FunnelSign(wide=in_features, narrow=out_features)


class AugmentedAdapter:
    like = "Linear"

    def make(self, in_features, out_features):
        return Augmented(n_in=in_features, n_out=out_features)

    def set(self, it, weight, bias):
        it.matrix[:-1] = weight.T
        it.matrix[-1] = bias

    def forward(self, it, x):
        return it.forward(x)

    def backward(self, it, dy):
        return it.backward(dy)

    def gradients(self, it):
        return {
            "weight": it.slope[:-1].T,
            "bias": it.slope[-1],
        }


class StandardiserAdapter:
    like = "BatchNorm1d"

    def make(self, num_features):
        return Standardiser(width=num_features)

    def set(self, it, weight, bias, running_mean, running_var):
        it.stretch[0] = weight
        it.stretch[1] = bias
        it.moments[0] = running_mean
        it.moments[1] = running_var

    def forward(self, it, x):
        return it.forward(x, it.phase)

    def backward(self, it, dy):
        return it.backward(dy)

    def gradients(self, it):
        return {
            "weight": it.slope[0],
            "bias": it.slope[1],
        }

    def mode(self, it, training):
        it.phase = "learn" if training else "use"

    def state(self, it):
        return {
            "running_mean": it.moments[0],
            "running_var": it.moments[1],
        }


class SquaredGapAdapter:
    like = "MSELoss"

    def make(self):
        return SquaredGap()

    def forward(self, it, x, target):
        return it.measure(np.stack([x, target]))["cost"]

    def backward(self, it, x, target):
        return it.measure(np.stack([x, target]))["slope"]


class heavy_ballAdapter:
    like = "Momentum"

    def make(self, parameters, lr, momentum):
        return heavy_ball(rate=lr, friction=momentum)

    def step(self, it, parameters, gradients):
        it.send(None)
        change = it.send(dict(enumerate(gradients)))
        return [parameter - change[i] for i, parameter in enumerate(parameters)]
