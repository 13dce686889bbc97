"""What layers over (N, C, S...) share: a lone (C, S...) is a batch of one."""

from typing import Any

import numpy as np

from numpy_impl.nn.checks import check_array
from numpy_impl.nn.module import Module

Array = np.ndarray


class Batched(Module):
    """A layer over (N, C, S...), which also takes (C, S...) as torch's do.

    A subclass writes the pair for batches alone; what :meth:`forward_batch` returns behind the
    output is what :meth:`backward_batch` gets behind the upstream gradient.

    Attributes:
        _n: the number of axes S.
    """

    _n: int

    def forward_batch(self, input: Array, *others: Any, **options: Any) -> tuple[Any, ...]:
        """(N, C, S...) -> the output (or a tuple of outputs), and whatever backward needs."""
        raise NotImplementedError(f"{type(self).__name__} has no forward_batch")

    def backward_batch(self, grad_output: Any, *saved: Any) -> Array | None:
        """The upstream gradient, in the output's structure -> the input's."""
        raise NotImplementedError(f"{type(self).__name__} has no backward_batch")

    def forward(self, input: Array, *others: Any, **options: Any) -> Any:
        weight = self.__dict__.get("weight")  # the pooling layers have none
        n = self._n
        input = check_array(
            input, "input", None if weight is None else weight.dtype, (n + 1, n + 2)
        )
        if input.ndim == n + 2:
            output, *saved = self.forward_batch(input, *others, **options)
            self.save_for_backward(output, False, *saved)
            return output
        output, *saved = self.forward_batch(input[None], *map(_with_batch, others), **options)
        output = _without_batch(output)
        self.save_for_backward(output, True, *saved)
        return output

    def backward(self, grad_output: Any) -> Array | None:
        grad_output, is_single, *saved = self.saved_for_backward(grad_output)
        if not is_single:
            return self.backward_batch(grad_output, *saved)
        grad_input = self.backward_batch(_with_batch(grad_output), *saved)
        return None if grad_input is None else grad_input[0]


def _with_batch(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_with_batch, value))
    return value[None] if isinstance(value, np.ndarray) else value


def _without_batch(value: Any) -> Any:
    return tuple(part[0] for part in value) if isinstance(value, tuple) else value[0]
