"""A described network, trained in one of the two worlds: everything that can be seen of it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

import numpy_impl
import torch_ref.nn
import torch_ref.optim
from numpy_impl.tensor.rows import dense
from parity_tests.fuzz.plan import Network
from parity_tests.fuzz.training import target_of
from parity_tests.optim.cases import without_bfloat16
from torch_ref.compare import Direction
from torch_ref.convert import to_numpy, to_torch

Seen = dict[str, tuple[Direction, np.ndarray | None]]


class _Hardsigmoid(torch.nn.Module):
    """By its equation: torch's own gradient takes a sixth in float32, in float64 too."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.relu6(input + 3) / 6


def _in_logical_order(layer: type[Any]) -> type[Any]:
    """torch draws in the order of the input's memory, numpy_impl in that of its indices."""

    class Layer(layer):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input.contiguous())

    return Layer


_TWINS = {
    **{name: _in_logical_order(getattr(torch.nn, name)) for name in ("Dropout", "AlphaDropout")},
    "RReLU": _in_logical_order(torch.nn.RReLU),
    "Hardsigmoid": _Hardsigmoid,
}


class World(NamedTuple):
    """A namespace, and what differs between the two."""

    names: dict[str, Any]
    seed: Callable[[int], Any]
    tensor: Callable[[np.ndarray], Any]
    array: Callable[[Any], Any]
    no_grad: Any
    utils: Any


def _array(value: Any) -> Any:
    return np.array(value.data if isinstance(value, numpy_impl.Tensor) else dense(value))


OURS = World(
    {
        "torch": numpy_impl,
        "nn": numpy_impl.nn,
        "F": numpy_impl.nn.functional,
        "optim": numpy_impl.optim,
        "float64": numpy_impl.float64,
    },
    numpy_impl.manual_seed,
    numpy_impl.from_numpy,
    _array,
    numpy_impl.no_grad,
    numpy_impl.nn.utils,
)
TORCH = World(
    {
        "torch": torch,
        "nn": SimpleNamespace(**{**vars(torch_ref.nn), **_TWINS}),
        "F": torch.nn.functional,
        "optim": torch_ref.optim,
        "float64": torch.float64,
    },
    torch.default_generator.manual_seed,  # torch.manual_seed notes the call's whole stack for GPUs
    to_torch,
    lambda value: dense(to_numpy(value)),
    torch.no_grad,
    torch.nn.utils,
)


def trained(
    network: Network,
    world: World,
    steps: int | None = None,
    nudge: float | None = None,
    twin: Seen | None = None,
) -> Seen:
    """Make the network from its seed, train it, and say what was seen, by name.

    Args:
        network: what to make.
        world: ``OURS`` or ``TORCH``.
        steps: how many, all if None.
        nudge: how large random changes to parameters, inputs and upstream are; None: none.
        twin: what the other world saw, whose gradients are handed to the optimizer.
    """
    return _Run(network, world, nudge, twin).all(steps)


class _Run:
    """One training, in either world."""

    def __init__(
        self, network: Network, world: World, nudge: float | None, twin: Seen | None
    ) -> None:
        self.network, self.world, self.twin, self.seen = network, world, twin, Seen()
        self.rng = np.random.default_rng(network.seed)
        self.size, self.nudge = nudge, None if nudge is None else np.random.default_rng(0)
        world.seed(network.seed)
        made = dict(world.names)
        program = network.program
        if "Lazy" in program:  # parameters appear in a first call
            before, _, after = program.partition("criterion = ")
            exec(before, made)
            with world.no_grad():
                made["network"].eval()(*self._inputs(np.random.default_rng(0)))
            exec("criterion = " + after, made)
        else:
            exec(program, made)
        self.model, self.made = made["model"], made
        self.optimizers, self.schedulers = made["optimizers"], made.get("schedulers", [])

    def all(self, steps: int | None) -> Seen:
        self._state("initial", "forward")
        if self.nudge:
            with self.world.no_grad():
                for parameter in self.model.parameters():
                    value = self.world.array(parameter)
                    parameter.copy_(self.world.tensor(self._nudged(value)))
        for step, mode in enumerate(self.network.modes[:steps]):
            self.model.train(mode)
            self._step(f"step {step}")
        self.model.eval()
        with self.world.no_grad():
            y = self.made["network"](*self._inputs(self.rng))
        self._note("output in evaluation", "forward", y)
        self._state("final", "step")
        return self.seen

    def _inputs(self, rng: np.random.Generator) -> list[Any]:
        arrays = [self._nudged(given.draw(rng)) for given in self.network.inputs]
        if self.network.arrays and self.world is OURS:
            return arrays
        return [self.world.tensor(array) for array in arrays]

    def _nudged(self, array: np.ndarray) -> np.ndarray:
        if self.nudge is None or array.dtype.kind != "f":
            return array
        return array + self.size * (1 + np.abs(array)) * self.nudge.standard_normal(array.shape)

    def _note(self, name: str, direction: Direction, value: Any) -> None:
        array = None if value is None else self.world.array(value)
        self.seen[name] = direction, None if array is None else np.asarray(array)

    def _state(self, when: str, direction: Direction) -> None:
        for key, value in self.model.state_dict().items():
            self._note(f"{when} {key}", direction, value)

    def _step(self, when: str) -> None:
        inputs = self._inputs(self.rng)
        target = target_of(*self.network.target, self.rng)
        weights = np.random.default_rng(self.rng.integers(2**32))
        for optimizer in self.optimizers if self.network.zero else ():
            eval(f"optimizer.{self.network.zero}", {"optimizer": optimizer})

        def closure() -> Any:
            return self._backward(inputs, target, weights)

        state = weights.bit_generator.state
        y, loss, grads = closure()
        self._note(f"{when} output", "forward", y)
        self._note(f"{when} loss", "forward", loss)
        for i, grad in enumerate(grads):
            self._note(f"{when} grad of input {i}", "input_grad", grad)
        for name, parameter in self.model.named_parameters():
            self._note(f"{when} grad of {name}", "param_grad", parameter.grad)
        if self.network.handed and self.twin is not None:
            for name, parameter in self.model.named_parameters():
                grad = self.twin[f"{when} grad of {name}"][1]
                parameter.grad = None if grad is None else grad.copy()
        if self.network.clip:
            scope = {"utils": self.world.utils, "model": self.model}
            norm = eval(f"utils.{self.network.clip}", scope)
            if norm is not None:
                self._note(f"{when} norm of the gradients", "param_grad", norm)

        def again() -> Any:  # for an optimizer that looks at the loss elsewhere
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            weights.bit_generator.state = state
            return closure()[1].sum()

        with without_bfloat16():
            for optimizer in self.optimizers:
                optimizer.step(again) if "LBFGS" in self.network.program else optimizer.step()
        for scheduler in self.schedulers:
            by_loss = type(scheduler).__name__ == "ReduceLROnPlateau"
            scheduler.step(*[float(self.world.array(loss).mean())] * by_loss)
        for i, optimizer in enumerate(self.optimizers):
            rates = [float(group["lr"]) for group in optimizer.param_groups]
            self.seen[f"{when} rates of {i}"] = "step", np.array(rates)
        self._state(when, "step")

    def _backward(
        self, inputs: list[Any], target: np.ndarray, weights: np.random.Generator
    ) -> tuple[Any, Any, list[Any]]:
        """The output, the loss, and the gradients of the inputs."""
        network, criterion = self.made["network"], self.made["criterion"]
        if self.network.arrays and self.world is OURS:
            y = network(*inputs)
            loss = criterion(y, target)
            found = network.backward(criterion.backward(weights.uniform(0.5, 1.5, np.shape(loss))))
            return y, loss, list(found) if len(inputs) > 1 else [found]
        leaves = []
        for value, given in zip(inputs, self.network.inputs, strict=True):
            leaf = value.detach()
            wanted = (self.network.needs_grad or self.network.arrays) and not given.below
            leaves.append(leaf.requires_grad_(bool(wanted)))
        y = network(*leaves)
        scope = {"criterion": criterion, "y": y, "t": self.world.tensor(target)}
        loss = eval(self.network.loss, scope)
        weight = self._nudged(np.asarray(weights.uniform(0.5, 1.5, tuple(loss.shape))))
        (loss * self.world.tensor(weight)).sum().backward()
        grads = [leaf.grad for leaf in leaves]
        if self.network.arrays:  # of an array that reaches nothing, ours is an array too
            grads = [
                torch.zeros_like(leaf) if leaf.requires_grad and grad is None else grad
                for leaf, grad in zip(leaves, grads, strict=True)
            ]
        return y, loss, grads
