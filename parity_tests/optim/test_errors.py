"""Wrong options: torch's kind of error, naming the argument, what it must be, and its value."""

import numpy as np
import pytest
import torch

import torch_ref
from numpy_impl import nn, optim

NEGATIVE = {
    "AdamW": ("lr", "eps", "weight_decay"),
    "RMSprop": ("lr", "alpha", "eps", "weight_decay", "momentum"),
    "Adadelta": ("lr", "eps", "weight_decay"),
    "Adamax": ("lr", "eps", "weight_decay"),
    "NAdam": ("lr", "eps", "weight_decay", "momentum_decay"),
    "RAdam": ("lr", "eps", "weight_decay"),
    "Rprop": ("lr",),
    "ASGD": ("lr", "weight_decay"),
    "LBFGS": ("lr",),
    "Adafactor": ("lr", "weight_decay"),
    "Muon": ("lr", "weight_decay", "momentum"),
}
WRONG = [
    (name, {option: -0.5}, f"{option} must be at least 0, got -0.5")
    for name, options in NEGATIVE.items()
    for option in options
]
for name in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam"):
    WRONG += [
        (name, {"betas": (1.0, 0.0)}, r"betas\[0\] must lie in \[0, 1\), got 1.0"),
        (name, {"betas": (0.0, -0.1)}, r"betas\[1\] must lie in \[0, 1\), got -0.1"),
    ]
WRONG += [
    ("Adadelta", {"rho": 1.1}, r"rho must lie in \[0, 1\], got 1.1"),
    ("Rprop", {"etas": (1.0, 1.5)}, r"etas\[0\] must lie in \(0, 1\), got 1.0"),
    ("Rprop", {"etas": (0.0, 1.5)}, r"etas\[0\] must lie in \(0, 1\), got 0.0"),
    ("Rprop", {"etas": (0.5, 1.0)}, r"etas\[1\] must be above 1, got 1.0"),
    ("Adafactor", {"eps": (-1e-30, 1e-3)}, r"eps\[0\] must be None or at least 0, got -1e-30"),
    ("Adafactor", {"eps": (None, -0.1)}, r"eps\[1\] must be at least 0, got -0.1"),
    ("Adafactor", {"d": 0.0}, r"d must be at least 1, got 0.0"),
    ("Adafactor", {"beta2_decay": 0.8}, r"beta2_decay must be at most 0, got 0.8"),
    ("Muon", {"adjust_lr_fn": "arbitrary"}, r"adjust_lr_fn must be one of .*, got 'arbitrary'"),
]


@pytest.mark.parametrize(("name", "options", "message"), WRONG)
def test_options_out_of_range(name, options, message) -> None:
    """In the constructor in both worlds; here for a group, too."""
    twin = torch.nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"(?i)(invalid|should|only|not supported)"):
        getattr(torch_ref.optim, name)([twin], **options)
    ours, other = nn.Parameter(np.ones((2, 2))), nn.Parameter(np.ones((2, 2)))
    with pytest.raises(ValueError, match=message):
        getattr(optim, name)([ours], **options)
    if name != "LBFGS":  # one group alone
        with pytest.raises(ValueError, match=message):
            getattr(optim, name)([{"params": [ours]}, {"params": [other], **options}])


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_lr_is_one_number(name) -> None:
    twin = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        getattr(torch_ref.optim, name)([twin], lr=torch.tensor([0.1, 0.1]))
    with pytest.raises(ValueError, match=r"lr must be at least 0, got array\(\[0.1, 0.1\]\)"):
        getattr(optim, name)([nn.Parameter(np.ones(2))], lr=np.array([0.1, 0.1]))


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_foreach_and_fused_exclude_each_other(name) -> None:
    for world, param in (
        (optim, nn.Parameter(np.ones(2))),
        (torch_ref.optim, torch.nn.Parameter(torch.ones(2))),
    ):
        with pytest.raises(RuntimeError, match=r"fused.* and .*foreach.*True"):
            getattr(world, name)([param], foreach=True, fused=True)
