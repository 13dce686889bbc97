"""torch.nn and torch.optim written out in NumPy, forward and backward by hand."""

import numpy as np

from numpy_impl import nn, optim, random
from numpy_impl._threads import get_num_threads, set_num_threads
from numpy_impl.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
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

# glibc returns freed arrays to the kernel and fetches them again, page by page, at every training
# step (a tenth of the CNN's time), until a large one has been freed: from then on it keeps as
# much. This is one, and no page of it is touched; 32 MiB is the most that glibc takes note of.
np.empty(32 * 2**20 - 2**16, np.uint8)

__all__ = [
    "Generator",
    "enable_grad",
    "get_num_threads",
    "get_rng_state",
    "inference_mode",
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
    "set_grad_enabled",
    "set_num_threads",
    "set_rng_state",
]
