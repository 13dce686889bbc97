"""The twins of ``numpy_impl.optim``: torch's own, and MomentGD written for torch."""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import (
    ASGD,
    LBFGS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Muon,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
    SparseAdam,
    lr_scheduler,
    swa_utils,
)

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "MomentGD",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]


class MomentGD(Optimizer):
    """The lab's heavy ball, v = mu v - lr g, w += v; see ``numpy_impl.optim.MomentGD``."""

    def __init__(
        self,
        params: Any,
        lr: float = 0.01,
        mu: float = 0.9,
        lr_decay: float = 1.0,
        mu_decay: float = 1.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "mu": mu, "lr_decay": lr_decay, "mu_decay": mu_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["step"], state["velocity"] = torch.tensor(0.0), torch.zeros_like(param)
                t = state["step"].item()
                lr = group["lr"] * group["lr_decay"] ** t
                mu = group["mu"] * group["mu_decay"] ** t
                state["velocity"].mul_(mu).add_(param.grad, alpha=-lr)
                param.add_(state["velocity"])
                state["step"] += 1
        return loss
