"""Types that signatures share; ``TensorLike`` and ``Operand`` stand beside Tensor."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, SupportsIndex, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    Array = NDArray[Any]
else:  # to import these takes a fortieth of numpy_impl's own time
    Array, ArrayLike, DTypeLike = np.ndarray, Any, Any

DType = DTypeLike | None  # None: the default, or as it is
Size = SupportsIndex | Sequence[SupportsIndex]
Axes = int | Sequence[int] | None  # None: all

Inputs = ParamSpec("Inputs")
Output = TypeVar("Output", covariant=True)


class Written(Protocol[Inputs, Output]):
    """A module whose class writes this forward."""

    training: bool  # so that mypy does not take each Giving for one of these

    def forward(self, *args: Inputs.args, **kwargs: Inputs.kwargs) -> Output: ...


class Giving(Protocol[Output]):
    """A module whose forward returns this, whatever it takes."""

    def forward(self, *args: Any, **kwargs: Any) -> Output: ...


__all__ = [
    "Array",
    "ArrayLike",
    "Axes",
    "DType",
    "DTypeLike",
    "Giving",
    "Inputs",
    "Output",
    "Size",
    "Written",
]
