"""A random network's loss, optimizers, schedules: text, as all of it."""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Loss:
    """How a loss is made and called, and what its output and target are.

    Attributes:
        options: some constructor arguments, one of which is drawn.
        target: the kind, see ``target_of``.
        head: the network's last lines, on its output ``y``.
        call: with ``y`` and the target ``t``; losses that are called otherwise need Tensors.
    """

    options: tuple[str, ...]
    target: str
    head: tuple[str, ...] = ()
    call: str = "criterion(y, t)"


FLAT = ("y = y.flatten(1)",)  # (N, C)
REDUCTIONS = ("", "reduction='sum'", "reduction='none'")

LOSSES: dict[str, Loss] = {
    "MSELoss": Loss(REDUCTIONS, "values"),
    "L1Loss": Loss(REDUCTIONS, "values"),
    "SmoothL1Loss": Loss((*REDUCTIONS, "beta=0.3"), "values"),
    "HuberLoss": Loss((*REDUCTIONS, "delta=0.3"), "values"),
    "PoissonNLLLoss": Loss(("", "full=True", "reduction='none'"), "counts", ("y = y.tanh()",)),
    "SoftMarginLoss": Loss(REDUCTIONS, "signs"),
    "HingeEmbeddingLoss": Loss((*REDUCTIONS, "margin=0.5"), "signs"),
    "BCEWithLogitsLoss": Loss(REDUCTIONS, "shares"),
    "BCELoss": Loss(REDUCTIONS, "shares", ("y = torch.sigmoid(y)",)),
    "KLDivLoss": Loss(("", "reduction='batchmean'", "log_target=True"), "shares"),
    "GaussianNLLLoss": Loss(
        (*REDUCTIONS, "full=True"), "values", (), "criterion(y, t, t * t + 0.5)"
    ),
    "MultiLabelSoftMarginLoss": Loss(REDUCTIONS, "bits", FLAT),
    "MultiLabelMarginLoss": Loss(REDUCTIONS, "labels", FLAT),
    "MultiMarginLoss": Loss((*REDUCTIONS, "p=2", "margin=0.5"), "classes", FLAT),
    "CrossEntropyLoss": Loss((*REDUCTIONS, "label_smoothing=0.1"), "classes"),
    "NLLLoss": Loss(REDUCTIONS, "classes"),
    "CTCLoss": Loss(
        ("", "reduction='sum'", "zero_infinity=True"),
        "words",
        ("y = y.flatten(1)", "y = torch.stack([y, 0.5 * y, y.tanh()]).log_softmax(-1)"),
        "criterion(y, t, (3,) * y.shape[1], (1,) * y.shape[1])",
    ),
    "MarginRankingLoss": Loss(
        (*REDUCTIONS, "margin=0.3"), "signs", (), "criterion(y, y.flip(0), t)"
    ),
    "CosineEmbeddingLoss": Loss(
        (*REDUCTIONS, "margin=0.3"), "sign", FLAT, "criterion(y, y.roll(1, 1), t)"
    ),
    "TripletMarginLoss": Loss(
        (*REDUCTIONS, "swap=True", "p=1.5"), "values", FLAT, "criterion(y, t, y.roll(1, 1))"
    ),
    "TripletMarginWithDistanceLoss": Loss(
        REDUCTIONS, "values", FLAT, "criterion(y, t, y.roll(1, 1))"
    ),
    "AdaptiveLogSoftmaxWithLoss": Loss(("",), "few", FLAT, "criterion(y, t).loss"),
    "LinearCrossEntropyLoss": Loss((*REDUCTIONS, "label_smoothing=0.1"), "few", FLAT),
}


def criterion(name: str, rng: random.Random, shape: Shape) -> str:
    """The text that makes the loss of an output of this shape."""
    given = rng.choice(LOSSES[name].options)
    if name == "AdaptiveLogSoftmaxWithLoss":
        given = f"{shape[1]}, 6, [2, 4], div_value=1.5, dtype=float64"
    if name == "LinearCrossEntropyLoss":
        given = ", ".join([f"{shape[1]}, 4", *[given] * bool(given), "dtype=float64"])
    return f"nn.{name}({given})"


def target_of(kind: str, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """A random target for an output of this shape."""
    batch = shape[:1]
    classes = shape[1] if len(shape) > 1 else 1
    made: dict[str, Any] = {
        "values": lambda: rng.standard_normal(shape),
        "counts": lambda: rng.poisson(2.0, shape).astype(float),
        "signs": lambda: rng.choice([-1.0, 1.0], shape),
        "sign": lambda: rng.choice([-1.0, 1.0], batch),
        "shares": lambda: rng.uniform(0, 1, shape),
        "bits": lambda: rng.integers(0, 2, shape).astype(float),
        "labels": lambda: rng.integers(-1, classes, shape),
        "classes": lambda: rng.integers(0, classes, (*batch, *shape[2:])),
        "few": lambda: rng.integers(0, 4, batch),
        "words": lambda: rng.integers(1, shape[-1], (shape[1], 1)),  # 0 is the blank
    }
    return np.asarray(made[kind]())


# eps is large where a gradient is divided by its own size: that of a bias before a norm is nothing
# but rounding, and so would be its step
OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "SGD": ("lr=0.05", "lr=0.05, momentum=0.9, nesterov=True", "lr=0.1, weight_decay=0.1"),
    "MomentGD": ("lr=0.05, mu=0.5, lr_decay=0.9",),
    "Adagrad": ("lr=0.02, eps=1e-3", "lr=0.02, initial_accumulator_value=0.5"),
    "Adam": ("lr=0.01, eps=1e-3", "lr=0.01, eps=1e-3, amsgrad=True, weight_decay=0.1"),
    "AdamW": ("lr=0.01, eps=1e-3, betas=(0.5, 0.9)",),
    "RMSprop": ("lr=0.01, eps=1e-2", "lr=0.01, eps=1e-2, momentum=0.9, centered=True"),
    "Adadelta": ("lr=0.5, eps=1e-3",),
    "Adamax": ("lr=0.01, eps=1e-3",),
    "NAdam": ("lr=0.01, eps=1e-3",),
    "RAdam": ("lr=0.01, eps=1e-3", "lr=0.01, eps=1e-3, betas=(0.5, 0.7)"),
    "ASGD": ("lr=0.05, t0=1",),
    "LBFGS": ("lr=0.05, max_iter=2",),
    "Rprop": ("lr=0.01",),
    "Adafactor": ("lr=0.01",),
    "Muon": ("lr=0.01", "lr=0.01, nesterov=False, weight_decay=0.0"),
}
# a step as large for a gradient of nothing but rounding as for any: these are handed the twin's
# gradients after ours were compared
OF_SIGNS = ("Rprop", "Adafactor", "Muon")

_TWO = "[optim.lr_scheduler.ConstantLR(o, 0.1, 2), optim.lr_scheduler.ExponentialLR(o, 0.9)]"
SCHEDULERS = (
    "StepLR(o, 2, 0.5)",
    "MultiStepLR(o, [1, 2], 0.5)",
    "ExponentialLR(o, 0.8)",
    "CosineAnnealingLR(o, 3)",
    "CosineAnnealingWarmRestarts(o, 2)",
    "LambdaLR(o, lambda step: 1 / (1 + step))",
    "MultiplicativeLR(o, lambda step: 0.9)",
    "ConstantLR(o, 0.5, 2)",
    "LinearLR(o, 0.3, 1.0, 3)",
    "PolynomialLR(o, 4, 2.0)",
    "OneCycleLR(o, 0.05, 10, cycle_momentum=False)",
    "CyclicLR(o, 0.01, 0.05, 2, cycle_momentum=False)",
    "ReduceLROnPlateau(o, patience=0, threshold=0.5)",
    f"SequentialLR(o, {_TWO}, [1])",
    f"ChainedScheduler({_TWO})",
)
CLIPPING = ("clip_grad_norm_(model.parameters(), 0.5)", "clip_grad_value_(model.parameters(), 0.1)")


def optimizers(rng: random.Random, is_sparse: bool) -> tuple[str, bool]:
    """The lines that make them, and whether a step is as large for a gradient of rounding alone."""
    name = rng.choice(["SGD", "Adagrad"] if is_sparse else list(OPTIMIZERS))
    args = OPTIMIZERS[name][0] if is_sparse else rng.choice(OPTIMIZERS[name])
    lines = ""
    if name == "Muon" or (is_sparse and rng.random() < 0.7):
        first, args = ("SparseAdam", "lr=0.01, eps=1e-3") if is_sparse else ("Muon", args)
        is_its = "id(p) in sparse" if is_sparse else "p.ndim == 2"
        if is_sparse:
            lines += 'sparse = {id(m.weight) for m in model.modules() if getattr(m, "sparse", 0)}\n'
        lines += (
            f"its = [p for p in model.parameters() if {is_its}]\n"
            f"rest = [p for p in model.parameters() if not ({is_its})]\n"
            f"optimizers = [optim.{first}(its, {args})] if its else []\n"
            "optimizers += [optim.SGD(rest, lr=0.05)] if rest else []\n"
        )
    elif name != "LBFGS" and rng.random() < 0.3:
        lines += (
            "first, *rest = model.parameters()\n"
            f'groups = [{{"params": [first], "lr": 0.02}}, {{"params": rest}}]\n'
            f"optimizers = [optim.{name}(groups, {args})]\n"
        )
    else:
        lines += f"optimizers = [optim.{name}(model.parameters(), {args})]\n"
    made = f"optim.lr_scheduler.{rng.choice(SCHEDULERS)}"
    lines += f"schedulers = [{made} for o in optimizers]\n" if rng.random() < 0.5 else ""
    return lines, name in OF_SIGNS
