"""Values between the two worlds; the only file that moves them."""

from typing import Any

import numpy as np
import torch

import numpy_impl.nn


def to_torch(value: Any) -> Any:
    """A torch copy of an array (same dtype, own memory); tuples by part, None stays."""
    if isinstance(value, tuple | list):
        return tuple(to_torch(part) for part in value)
    # order="C": torch's convolutions pick their algorithm, and round, by memory layout
    return None if value is None else torch.from_numpy(np.array(value, order="C"))


def to_numpy(value: Any) -> Any:
    """A NumPy copy of a tensor; tuples by part, None stays."""
    if isinstance(value, tuple | list):
        return tuple(to_numpy(part) for part in value)
    return None if value is None else value.detach().cpu().numpy().copy()


def copy_weights(source: Any, target: Any) -> None:
    """Load the parameters and buffers of one module into its twin, in either direction."""
    state = source.state_dict()
    if isinstance(source, numpy_impl.nn.Module) != isinstance(target, numpy_impl.nn.Module):
        move = to_torch if isinstance(source, numpy_impl.nn.Module) else to_numpy
        state = {key: move(value) for key, value in state.items()}
    target.load_state_dict(state)
