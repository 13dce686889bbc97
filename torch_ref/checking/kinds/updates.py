"""The optimizers' rules, each with switches for what is usually got wrong in it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from torch_ref.checking.probe import Array, Probe

Options = Mapping[str, Any]
# of a parameter: (its memory, its gradient, its value, the step's number, the options) -> a step
Rule = Callable[[dict[str, Any], Array, Array, int, Options], Any]


def simulate(
    probe: Probe, rule: Rule, options: Options, counted: str = "step", shared: bool = False
) -> list[Array]:
    """All parameters after each step.

    Args:
        probe: the values and gradients.
        rule: what is subtracted.
        options: the twin's.
        counted: "step", or what raises the number of the step: "parameter", "layer" (two of them).
        shared: whether the parameters have one memory.
    """
    values = [np.array(value) for value in probe.parameters.values()]
    memories: list[dict[str, Any]] = [{} for _ in values]
    trajectory, calls = [], 0
    for step, gradients in enumerate(probe.gradients, 1):
        for i, gradient in enumerate(gradients):
            calls += 1
            t = {"step": step, "parameter": calls, "layer": (calls + 1) // 2}[counted]
            memory = memories[0 if shared else i]
            try:
                values[i] = values[i] - rule(memory, gradient, values[i], t, options)
            except ValueError:  # shapes that can't share a memory
                values[i] = np.full_like(values[i], np.nan)
        trajectory.append(np.concatenate([value.ravel() for value in values]))
    return trajectory


def adam(
    correct: str = "both",
    power: bool = True,
    later: int = 0,
    betas: str = "12",
    eps: str = "outside",
    root: str = "divided",
    square: str = "g",
    shares: str = "right",
    stored: str = "moments",
    mean: bool = True,
    decay: str = "",
) -> Rule:
    """Adam, or Adam with one thing changed.

    Args:
        correct: which moments are: "both", "first", "second", "none".
        power: beta**t, or beta.
        later: how much t is ahead.
        betas: which of the two each moment takes: "12"; "21" swapped.
        eps: "outside" the root, "inside", "hat" (before the correction), "hat inside", "none".
        root: "divided" by, "missing", "multiplied".
        square: of "g"; "none"; of "m".
        shares: "right", "inverted" (1 - beta kept), "sum" (1 - beta is left out), "sum first",
            "sum second".
        stored: "moments"; "corrected", the corrected ones; "nothing".
        mean: whether the numerator is the first moment, not the gradient.
        decay: of the weights: "" none, "coupled", "decoupled", "after", "no lr", "half", "twice".
    """

    def rule(memory: dict[str, Any], g: Array, p: Array, t: int, o: Options) -> Any:
        g = g + o["weight_decay"] * p if decay == "coupled" else g
        b1, b2 = (o[f"beta{i}"] for i in betas)
        k1, k2 = (1 - b1, 1 - b2) if shares == "inverted" else (b1, b2)
        a1 = 1 if shares in ("sum", "sum first") else 1 - k1
        a2 = 1 if shares in ("sum", "sum second") else 1 - k2
        m = k1 * memory.get("m", 0) + a1 * g
        v = k2 * memory.get("v", 0) + a2 * {"g": g * g, "none": g, "m": m * m}[square]
        if stored == "moments":
            memory["m"], memory["v"] = m, v
        n = t + later if power else 1
        c1 = 1 - b1**n if correct in ("both", "first") else 1
        c2 = 1 - b2**n if correct in ("both", "second") else 1
        m_hat, v_hat = m / c1, v / c2
        if stored == "corrected":
            memory["m"], memory["v"] = m_hat, v_hat
        e = o["eps"]
        bottom = {
            "outside": np.sqrt(v_hat) + e,
            "inside": np.sqrt(v_hat + e),
            "hat": (np.sqrt(v) + e) / np.sqrt(c2),
            "hat inside": np.sqrt(v + e) / np.sqrt(c2),
            "none": np.sqrt(v_hat),
        }[eps]
        if root != "divided":
            bottom = v_hat + e if root == "missing" else 1 / bottom
        step = o["lr"] * (m_hat if mean else g) / bottom
        wd = o.get("weight_decay", 0)
        if decay in ("decoupled", "half", "twice"):
            step = step + {"decoupled": 1, "half": 0.5, "twice": 2}[decay] * o["lr"] * wd * p
        if decay == "after":
            step = step + o["lr"] * wd * (p - step)
        return step + wd * p if decay == "no lr" else step

    return rule


def momentum(
    stored: bool = True,
    share: str = "sum",
    nesterov: str = "",
    inverted: bool = False,
    decay: str = "coupled",
    minus: bool = False,
) -> Rule:
    """Gradient descent with momentum, or that with one thing changed.

    Args:
        stored: whether the velocity is kept.
        share: "sum" v = mu v + g, "average" v = mu v + (1 - mu) g, "corrected" for its start.
        nesterov: "torch", "twice" from the new velocity, "new" in place of the old, "old" added.
        inverted: mu and 1 - mu swapped.
        decay: "coupled" into the gradient, "half", "decoupled", "after" the velocity, "none".
        minus: whether the gradient is subtracted from the old velocity, then all is subtracted.
    """

    def rule(memory: dict[str, Any], g: Array, p: Array, t: int, o: Options) -> Any:
        wd = o.get("weight_decay", 0)
        g = g + {"coupled": wd, "half": wd / 2, "twice": 2 * wd}.get(decay, 0) * p
        mu = 1 - o["momentum"] if inverted else o["momentum"]
        before = memory.get("v", 0)
        v = mu * before + (g if share == "sum" else (1 - mu) * g)
        if minus:
            v = mu * before - g
        memory["v"] = v if stored else 0
        if share == "corrected":
            v = v / (1 - mu**t)
        if nesterov == "torch":
            v = g + mu * v
        if nesterov == "twice":  # looks ahead with the new velocity, twice over
            v = mu * v + v
        if nesterov == "new":
            v = (1 + mu) * g + mu * mu * v
        if nesterov == "old":
            v = mu * before + mu * v + g
        step = o["lr"] * v
        return step + o["lr"] * wd * p if decay == "decoupled" else step

    return rule


def squares(
    eps: str = "outside",
    root: str = "divided",
    decay: str = "",
    square: bool = True,
    share: bool = True,
    stored: bool = True,
) -> Rule:
    """Adagrad (``decay`` is "") or RMSprop ("alpha", "inverted"), or those with a thing changed."""

    def rule(memory: dict[str, Any], g: Array, p: Array, t: int, o: Options) -> Any:
        alpha = o.get("alpha", 0.9)
        keep = {"": 1.0, "alpha": alpha, "inverted": 1 - alpha}[decay]
        add = 1.0 if decay == "" or not share else 1 - keep
        s = keep * memory.get("s", 0) + add * (g * g if square else g)
        memory["s"] = s if stored else 0
        bottom = np.sqrt(s) + o["eps"]
        if eps == "inside":
            bottom = np.sqrt(s + o["eps"])
        if eps == "none":
            bottom = np.sqrt(s)
        if root != "divided":
            bottom = s + o["eps"] if root == "missing" else 1 / bottom
        return o["lr"] * g / bottom

    return rule


def adadelta(
    root: bool = True,
    order: str = "right",
    eps: bool = True,
    inverted: bool = False,
    outside: bool = False,
    of: str = "step",
) -> Rule:
    """Adadelta, or that with one thing changed."""

    def rule(memory: dict[str, Any], g: Array, p: Array, t: int, o: Options) -> Any:
        rho = 1 - o["rho"] if inverted else o["rho"]
        e = o["eps"] if eps else 0
        s = memory["s"] = rho * memory.get("s", 0) + (1 - rho) * g * g
        d = memory.get("d", np.zeros_like(g))
        if outside:
            step = (np.sqrt(d) + e) / (np.sqrt(s) + e) * g
        else:
            step = (np.sqrt(d + e) / np.sqrt(s + e) if root else (d + e) / (s + e)) * g
        memory["d"] = rho * d + (1 - rho) * (step**2 if of == "step" else g**2)
        return o["lr"] * step

    return rule


BASE: dict[str, Rule] = {
    "SGD": momentum(),
    "Momentum": momentum(),
    "Nesterov": momentum(nesterov="torch"),
    "Adagrad": squares(),
    "RMSprop": squares(decay="alpha"),
    "Adadelta": adadelta(),
    "Adam": adam(decay="coupled"),
    "AdamW": adam(decay="decoupled"),
}
