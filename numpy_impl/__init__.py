"""torch.nn and torch.optim written out in NumPy, forward and backward by hand."""

from numpy_impl import nn, optim, random
from numpy_impl.grad_mode import is_grad_enabled, no_grad
from numpy_impl.random import (
    Generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    rand,
    randint,
    randn,
    randperm,
    set_rng_state,
)

__all__ = [
    "Generator",
    "get_rng_state",
    "initial_seed",
    "is_grad_enabled",
    "manual_seed",
    "nn",
    "no_grad",
    "optim",
    "rand",
    "randint",
    "randn",
    "random",
    "randperm",
    "set_rng_state",
]
