"""Parameters as one vector, and back."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from numpy_impl.nn.call import summary
from numpy_impl.tensor.joining import cat
from numpy_impl.tensor.tensor import Tensor, to_array


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All elements of the parameters in one vector, through which gradients flow to them.

    Args:
        parameters: Parameters, other Tensors or arrays; for arrays alone the vector is one, too.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.parameters_to_vector.html
    """
    given = list(parameters)
    if not any(isinstance(parameter, Tensor) for parameter in given):
        return np.concatenate([array.reshape(-1) for array in given])
    return cat(
        [Tensor(p).reshape(-1) if isinstance(p, np.ndarray) else p.reshape(-1) for p in given]
    )


def vector_to_parameters(vec: Any, parameters: Iterable[Tensor]) -> None:
    """Give the parameters copies of the slices of a vector, one after another.

    Args:
        vec: a Tensor or an array with at least as many elements; those beyond are passed over.
        parameters: what to give them to, with the shapes that they have and the vector's dtype.

    Raises:
        TypeError: if ``vec`` is neither.
        RuntimeError: if it has too few elements.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.utils.vector_to_parameters.html
    """
    if not isinstance(vec, Tensor | np.ndarray):
        raise TypeError(f"vec must be a Tensor or an array, got {summary(vec)}")
    values, start = to_array(vec), 0
    for parameter in parameters:
        end = start + parameter.data.size
        if end > len(values):
            raise RuntimeError(f"vec must have {end} elements or more, got {len(values)}")
        parameter.data = values[start:end].reshape(parameter.shape).copy()
        start = end
