"""What a random network is: a program that runs in either world, and its data."""

from dataclasses import dataclass

import numpy as np

from parity_tests.fuzz.training import Shape


@dataclass(frozen=True)
class Input:
    """One input: its shape, its order in memory, and for integers their number."""

    shape: Shape
    order: str
    below: int = 0

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        if self.below:
            return rng.integers(0, self.below, self.shape)
        return ordered(rng.standard_normal(self.shape), self.order)


def ordered(array: np.ndarray, order: str) -> np.ndarray:
    """The same values in another order in memory."""
    if order == "Fortran":
        return np.asfortranarray(array)
    if order == "channels last" and array.ndim > 2:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)
    if order == "reversed":
        return np.ascontiguousarray(array[::-1, ..., ::-1])[::-1, ..., ::-1]
    if order == "strided":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    return array


@dataclass(frozen=True)
class Network:
    """All that it takes to train it in either world.

    Attributes:
        program: makes ``model`` (the network and its criterion), ``optimizers``, ``schedulers``.
        loss: of the output ``y`` and the target ``t``.
        target: the kind of target, and the shape of the output.
        arrays: called with arrays and ``backward`` by hand; else with Tensors.
        needs_grad: whether the inputs do, if they are Tensors.
        handed: the optimizer's steps are those of the twin's gradients.
        modes: for each step, whether it trains or evaluates.
        clip, zero: what is done to the gradients after and before backward.
    """

    seed: int
    program: str
    inputs: tuple[Input, ...]
    loss: str
    target: tuple[str, Shape]
    arrays: bool
    needs_grad: bool
    handed: bool
    modes: tuple[bool, ...]
    clip: str
    zero: str

    def __str__(self) -> str:
        style = "arrays, backward by hand" if self.arrays else "Tensors"
        given = ", ".join(
            f"{i.shape} {f'integers below {i.below}' if i.below else i.order}" for i in self.inputs
        )
        modes = ", ".join("train" if mode else "eval" for mode in self.modes)
        steps = [self.zero, f"loss = {self.loss}, weighted", "backward", self.clip, "step"]
        return (
            f"# seed {self.seed}: {style}; inputs {given}; a target of {self.target[0]}\n"
            f"{self.program}# steps in {modes}: {'; '.join(filter(None, steps))}\n"
        )
