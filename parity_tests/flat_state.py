"""A recurrent layer called as the textbook's pair is: with one tuple of arrays, flat."""

from typing import Any

import numpy as np

Array = np.ndarray


class FlatState:
    """The layer for the arguments of a textbook's pair: x, the state, two weights, two biases.

    It is called with x and holds the state; outputs and gradients are flat tuples, without the
    axis of layers that a state along time has.
    """

    def __init__(self, kind: Any, x: Array, *arguments: Array) -> None:
        *state, _, _, _, _ = arguments
        self.layer = kind(x.shape[-1], state[0].shape[-1], dtype=x.dtype)
        self.layer.load_state_dict(dict(zip(self.layer.state_dict(), arguments[-4:], strict=True)))
        self.parameters = self.layer.parameters
        self.along_time = x.ndim == 3
        self.state = self._nested(state)

    def _nested(self, state: Any) -> Any:
        state = tuple(s[None] if self.along_time else s for s in state)
        return state if len(state) > 1 else state[0]

    def _flat(self, state: Any) -> tuple[Array, ...]:
        state = state if isinstance(state, tuple) else (state,)
        return tuple(s[0] if self.along_time else s for s in state)

    def __call__(self, x: Array) -> tuple[Array, ...]:
        output = self.layer(x, self.state)
        return (output[0], *self._flat(output[1])) if self.along_time else self._flat(output)

    def backward(self, dy: Any) -> tuple[Array, ...]:
        dy = dy if isinstance(dy, tuple) else (dy,)
        dx, dstate = self.layer.backward(
            (dy[0], self._nested(dy[1:])) if self.along_time else self._nested(dy)
        )
        return dx, *self._flat(dstate)
