"""Experiments: inputs, random parameters and random upstream gradients for a configuration."""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from torch_ref.checking.probe import Array, Probe

Draw = Callable[[np.random.Generator], Array]


def normal(*shape: int) -> Draw:
    return lambda rng: rng.standard_normal(shape)


def tied(*shape: int) -> Draw:
    """So few values that windows and rows have several maxima, and zeros."""
    return lambda rng: rng.integers(-1, 2, shape).astype(float)


def large(*shape: int) -> Draw:
    return lambda rng: 300 * rng.standard_normal(shape)


def integers(high: int, *shape: int) -> Draw:
    return lambda rng: rng.integers(0, high, shape)


def generator(*about: Any) -> np.random.Generator:
    """The same draws for the same experiment in every process."""
    return np.random.default_rng(zlib.crc32(repr(about).encode()))


def layer_probes(
    like: str,
    inputs: Sequence[tuple[Draw, str]],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    training: Sequence[bool] = (True,),
    make: Callable[..., Any] | None = None,
    extra: Sequence[str] = (),
) -> list[Probe]:
    """An experiment for each input and mode, with random parameters and buffers.

    Args:
        like: torch's class.
        inputs: how to draw one, and what it is for.
        args, kwargs: of the class.
        training: the modes.
        make: makes the twin, if it is not the class.
        extra: the notes of inputs that a right component need not be made for.
    """
    probes = []
    for i, (draw, note) in enumerate(inputs):
        for mode in training:
            rng = generator(like, args, sorted(kwargs.items()), i)
            twin = (make or getattr(torch.nn, like))(*args, **kwargs).double()
            parameters = {
                name: _parameter(rng, name, tuple(value.shape))
                for name, value in twin.named_parameters()
            }
            buffers = {
                name: _buffer(rng, name, tuple(value.shape))
                for name, value in twin.named_buffers()
                if value.is_floating_point()
            }
            x = draw(rng)
            twin.train(mode)
            with torch.no_grad():
                output = twin(torch.from_numpy(np.array(x)))
            output = output[0] if isinstance(output, tuple) else output
            probes.append(
                Probe(
                    args,
                    kwargs,
                    (x,),
                    parameters,
                    rng.standard_normal(tuple(output.shape)),
                    buffers=buffers,
                    training=mode,
                    note=note if mode else f"{note}, in evaluation".lstrip(", "),
                    is_extra=note in extra,
                )
            )
    return probes


def _parameter(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    """Never 1 or 0, under which mistakes hide; of the size of usual initial values."""
    if len(shape) == 1:
        return rng.standard_normal(shape) * 0.5 + (1.0 if name == "weight" else 0.3)
    return rng.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))


def _buffer(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    values = rng.standard_normal(shape) * 0.5
    return np.exp(values) if "var" in name else values
