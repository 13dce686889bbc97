"""What a component is asked, and what comes out of it.

A :class:`Probe` is one experiment; :data:`Parts` are its results by name, all in torch's layouts.
The twin answers it (:func:`answer`), and so does people's own code, through a driver.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

Array = np.ndarray
Parts = dict[str, Array]
"""Results by name, in torch's layouts, float64 wherever a twin computes:

a layer's ``output``, ``grad input``, ``grad NAME`` of each parameter, and its buffers after the
call;
a loss's ``loss`` and ``grad input``; an optimizer's ``step 1``, ``step 2`` ...: all parameters
after
that step, flattened, one after the other.
"""


@dataclass(frozen=True)
class Probe:
    """One experiment.

    Attributes:
        args, kwargs: the twin's constructor's.
        inputs: a layer's arrays, batch first, NCHW; a loss's prediction and target (class indices
            or values, as the twin takes them); none for an optimizer.
        parameters: by torch's name; for an optimizer the initial values, "0", "1" ...
        upstream: the gradient for the output; None for a loss, which has 1.
        gradients: an optimizer's, one list of arrays for each step.
        buffers: a layer's state before the call, by torch's name.
        training: the mode.
        note: what the experiment is for, in words that go on "with ...": "padding 0".
        is_extra: an input that a right component need not be made for, such as one more axis.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Array, ...] = ()
    parameters: Mapping[str, Array] = field(default_factory=dict)
    upstream: Array | None = None
    gradients: tuple[tuple[Array, ...], ...] = ()
    buffers: Mapping[str, Array] = field(default_factory=dict)
    training: bool = True
    note: str = ""
    is_extra: bool = False

    @property
    def rows(self) -> int:
        """The batch size."""
        return len(self.inputs[0]) if self.inputs and self.inputs[0].ndim else 1


@dataclass(frozen=True)
class Kind:
    """What a component can be, by the name of its twin.

    Attributes:
        like: torch's class.
        role: "layer", "loss" or "optimizer".
        aliases: what people call it: lower case, without underscores; the name of a class or
            function
            that contains the longest of these is taken for it.
        configurations: constructor arguments (args, kwargs) to try when none are given.
        draw: the experiments with one configuration. The first is the plainest, to find out by it
            how
            the code is driven.
        spellings: what people call the constructor's arguments, by torch's name.
        twin: makes the twin; torch's own class if None.
        optional: parts that a component need not offer.
        more_inputs: the names of the inputs after the first: "hidden".
    """

    like: str
    role: str
    aliases: tuple[str, ...]
    configurations: tuple[tuple[tuple[Any, ...], Mapping[str, Any]], ...]
    draw: Callable[..., list[Probe]]
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    twin: Callable[..., Any] | None = None
    optional: tuple[str, ...] = ()
    more_inputs: tuple[str, ...] = ()

    def make(self, *args: Any, **kwargs: Any) -> Any:
        """The twin, float64; for an optimizer from its parameters first."""
        make = self.twin or getattr(
            torch.optim if self.role == "optimizer" else torch.nn, self.like
        )
        made = make(*args, **kwargs)
        return made.double() if isinstance(made, torch.nn.Module) else made


def answer(kind: Kind, probe: Probe) -> Parts:
    """What the twin makes of a probe."""
    return _trajectory(kind, probe) if kind.role == "optimizer" else _forward_backward(kind, probe)


def _forward_backward(kind: Kind, probe: Probe) -> Parts:
    twin = kind.make(*probe.args, **probe.kwargs)
    twin.train(probe.training)
    state = {**probe.parameters, **probe.buffers}
    with torch.no_grad():
        for name, value in [*twin.named_parameters(), *twin.named_buffers()]:
            if name in state:
                value.copy_(torch.from_numpy(np.array(state[name])))
    inputs = [torch.from_numpy(np.array(value)) for value in probe.inputs]
    named = dict(zip(("input", *kind.more_inputs), inputs, strict=False))
    for value in named.values():
        value.requires_grad_(value.is_floating_point())
    output = twin(*inputs)
    output = output[0] if isinstance(output, tuple) else output
    is_loss = kind.role == "loss"
    upstream = torch.ones_like(output) if is_loss else torch.from_numpy(np.array(probe.upstream))
    output.backward(upstream)
    parts = {"loss" if is_loss else "output": output.detach().numpy()}
    for name, value in named.items():
        if value.grad is not None:
            parts[f"grad {name}"] = value.grad.numpy()
    for name, parameter in twin.named_parameters():
        if parameter.grad is not None:
            parts[f"grad {name}"] = parameter.grad.numpy()
    parts |= {name: value.numpy().copy() for name, value in twin.named_buffers()}
    return parts


def _trajectory(kind: Kind, probe: Probe) -> Parts:
    parameters = [
        torch.nn.Parameter(torch.from_numpy(np.array(value))) for value in probe.parameters.values()
    ]
    optimizer = kind.make(parameters, *probe.args, **probe.kwargs)
    parts = {}
    for step, gradients in enumerate(probe.gradients, 1):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.from_numpy(np.array(gradient))
        optimizer.step()
        values = [parameter.detach().numpy().ravel() for parameter in parameters]
        parts[f"step {step}"] = np.concatenate(values)
    return parts
