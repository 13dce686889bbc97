"""LinearCrossEntropyLoss, LinearCrossEntropyOptions: a linear layer and its loss in one."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.activation import log_softmax
from numpy_impl.nn.checks import check_array, warn
from numpy_impl.nn.linear import Linear, linear, linear_backward
from numpy_impl.nn.loss.base import reduced, unreduced
from numpy_impl.nn.loss.classification import SoftmaxLoss, picked, row_scale
from numpy_impl.types import Array, DType


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How many rows LinearCrossEntropyLoss works on at a time: its numbers stay the same.

    The logits of those rows alone are in memory, and are computed again in backward.

    Args:
        allow_retain_graph: torch's leave for a second backward, which needs none here.
        batch_chunk_size: how many rows; None: all.
        chunking_method: ``"aspect_ratio"``: as many as have logits of the size of the whole input
            (a power of two), ``"aspect_ratio:n"`` for an n-th of that, ``"auto"`` for
            ``"aspect_ratio:2"`` unless the size is given, None for the size.
        acc_policy: torch's choice of precision for half floats, which there are none of here.
        acc_dtype: likewise.

    Raises:
        ValueError: for another policy or method, or a size that is not positive.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LinearCrossEntropyLoss.html
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: Literal["accurate", "balanced", "compact", "auto"] = "auto"
    acc_dtype: DType = None

    def __post_init__(self) -> None:
        policies, size = ("accurate", "balanced", "compact", "auto"), self.batch_chunk_size
        if self.acc_policy not in policies:
            raise ValueError(
                f"acc_policy must be one of {', '.join(policies)}, got {self.acc_policy!r}"
            )
        if self.chunking_method not in (None, "auto"):
            self._parts(str(self.chunking_method))
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"batch_chunk_size must be a positive int or None, got {size!r}")

    @staticmethod
    def _parts(method: str) -> int:
        """n of ``"aspect_ratio:n"``."""
        name, colon, parts = method.partition(":")
        if name != "aspect_ratio" or (colon and not (parts.isdigit() and int(parts) > 0)):
            raise ValueError(
                "chunking_method must be 'auto', 'aspect_ratio', 'aspect_ratio:n' or None, got "
                f"{method!r}"
            )
        return int(parts or 1)

    def rows(self, count: int, in_features: int, classes: int) -> int:
        """How many of ``count`` rows to take at a time.

        Raises:
            ValueError: if size and method are both given and differ.
        """
        method, size = self.chunking_method, self.batch_chunk_size
        if method == "auto":
            method = "aspect_ratio:2" if size is None else None
        found = count if size is None else min(size, count)
        if method is not None:
            wanted = -(-count // -(-classes // in_features))
            found = min(2 ** max(wanted - 1, 0).bit_length() // self._parts(method), count)
            if size is not None and size != found:
                raise ValueError(
                    f"batch_chunk_size={size} and chunking_method={method!r}, which gives {found} "
                    "rows, differ: pass one of them"
                )
        return max(found, 1)


class LinearCrossEntropyLoss(SoftmaxLoss):
    r"""CrossEntropyLoss of a linear layer's outputs, :math:`x W^\top + b`.

    Args:
        in_features: size of each input.
        num_classes: C.
        out_features: (d...), where each input has a class for each of several positions.
        bias: whether the layer has one.
        device: None or ``"cpu"``.
        dtype: of the parameters: float32 (unless given) or float64.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        weight: (C,), of each class.
        ignore_index: target indices of this value count for nothing; None: -100.
        label_smoothing: epsilon, in [0, 1].
        options: how many rows to work on at a time; None: all. For class indices without
            smoothing or ``out_features``: elsewhere it is left aside, with a warning.

    Shape:
        input (N, in_features) or (in_features,); target of integers (N, d...) or (), or
        probabilities (N, C, d...) or (C,). The loss is 0-d, or has one value for each index.

    Raises:
        ValueError: for shapes that do not fit, or a class that does not exist.
        TypeError: for a target of another dtype.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LinearCrossEntropyLoss.html
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: DType = None,
        reduction: str = "mean",
        weight: Array | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ) -> None:
        super().__init__(weight, None, ignore_index, None, reduction)
        if weight is not None and weight.shape != (num_classes,):
            raise ValueError(f"weight must have shape ({num_classes},), got {weight.shape}")
        self._check_smoothing(label_smoothing)
        self.num_classes, self.out_features = num_classes, out_features
        outputs = math.prod(out_features, start=num_classes)
        self.linear = Linear(in_features, outputs, bias=bias, device=device, dtype=dtype)
        self.options = options

    @silently
    def forward(self, input: Array, target: Array) -> Array:
        input = check_array(input, "input", self.linear.weight.dtype, ndim=(1, 2))
        if self.out_features and input.ndim == 1:
            raise ValueError(f"input must be 2-d beside out_features, got shape {input.shape}")
        shape = (*input.shape[:-1], self.num_classes, *self.out_features)
        is_float = getattr(target, "dtype", np.dtype(int)).kind == "f"
        if is_float and self.ignore_index is not None:
            raise ValueError(
                f"ignore_index must be None where target holds probabilities, got "
                f"{self.ignore_index}"
            )
        rows = rows_at_a_time(
            self.options,
            input,
            target,
            self.num_classes,
            self.label_smoothing,
            self.out_features,
        )
        if rows is not None:
            weight, bias = self.linear.weight.data, self.linear.bias
            of_layer = weight, None if bias is None else bias.data
            output, chunks = in_chunks(self, input, *of_layer, target, rows)
            self.save_for_backward(output, chunks, None)
            return output
        logits = self._check(self.linear(input).reshape(shape))
        output, saved = self.cross_entropy(logits, target)
        self.save_for_backward(output, None, saved)
        return output

    @silently
    def backward(self, grad_output: Any = 1.0) -> Any:
        grad, chunks, saved = self._upstream(grad_output)
        if chunks is not None:
            needs = (True, *self.linear.needs_grads("weight", "bias")[1:])
            found = in_chunks_backward(grad, chunks, needs)
            self.linear.accumulate_grads(found, "weight", "bias")
            dx = found[0]
        else:
            dlogits = self.cross_entropy_backward(grad, *saved)
            batch = dlogits.shape[: dlogits.ndim - 1 - len(self.out_features)]
            dx = self.linear.backward(dlogits.reshape(*batch, self.linear.out_features))
        return self._grads(lambda i: self.cross_entropy_target_backward(grad, *saved) if i else dx)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.linear.in_features}, num_classes={self.num_classes}, "
            f"out_features={self.out_features}, bias={self.linear.bias is not None}, "
            f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
            f"label_smoothing={self.label_smoothing}, options={self.options}"
        )


# -- some rows at a time ---------------------------------------------------------------------------


class Chunks(NamedTuple):
    """What the forward keeps: no logits. ``of_rows``: the weight of each row, and which count."""

    input: Array
    weight: Array
    bias: Array | None
    indices: Array
    of_rows: tuple[Array | None, Array | None]
    divisor: Any
    reduction: str
    rows: int

    def log_p(self) -> Iterator[tuple[slice, Array]]:
        """Slices of the rows of the input, each with its log-probabilities."""
        x = np.atleast_2d(self.input)
        for start in range(0, max(len(x), 1), self.rows):
            part = slice(start, start + self.rows)
            yield part, log_softmax(linear(x[part], self.weight, self.bias), 1)


def rows_at_a_time(
    options: LinearCrossEntropyOptions | None,
    input: Array,
    target: Array,
    classes: int,
    label_smoothing: float,
    out_features: Sequence[int],
) -> int | None:
    """What the options say; None for all, where they do not apply, with a warning."""
    if options is None:
        return None
    if label_smoothing or out_features or target.dtype != np.int64:
        warn(
            "LinearCrossEntropyLoss: options are for int64 targets, without label_smoothing "
            f"({label_smoothing}) and out_features ({tuple(out_features)}): left aside"
        )
        return None
    return options.rows(len(input) if input.ndim == 2 else 1, input.shape[-1], classes)


@silently
def in_chunks(
    loss: SoftmaxLoss, input: Array, weight: Array, bias: Array | None, target: Array, rows: int
) -> tuple[Array, Chunks]:
    """``loss(linear(input, weight, bias), target)``, some rows at a time."""
    x, classes = np.atleast_2d(input), len(weight)
    logits = np.broadcast_to(x.dtype.type(0), (*input.shape[:-1], classes))  # for its shape alone
    index, counted = loss._indices(loss._check(logits), target)
    weights = loss._row_weights(index, counted, x.dtype)
    divisor = len(x) if weights is None else weights.sum()
    saved = Chunks(input, weight, bias, index, (weights, counted), divisor, loss.reduction, rows)
    values = np.empty(len(x), x.dtype)
    for part, log_p in saved.log_p():
        values[part] = picked(log_p, index[part], _at(weights, part), _at(counted, part))
    return reduced(values.reshape(np.shape(target)), loss.reduction, divisor), saved


@silently
def in_chunks_backward(
    grad: Array, saved: Chunks, needs: tuple[bool, ...]
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients for input, weight and bias; ``needs`` says which (None for the others)."""
    x, index = np.atleast_2d(saved.input), saved.indices
    scale = row_scale(*saved.of_rows, unreduced(grad, saved.reduction, saved.divisor))
    scale = np.broadcast_to(scale, index.shape)
    dx = np.empty_like(x) if needs[0] else None
    sums: list[Array | None] = [None, None]  # of weight and bias
    for part, p in saved.log_p():
        np.exp(p, out=p)
        p *= scale[part, None]
        p[np.arange(len(p)), index[part]] -= scale[part]
        found, *more = linear_backward(p, x[part], saved.weight, needs)
        if dx is not None:
            dx[part] = found
        sums = [m if s is None else s + m for s, m in zip(sums, more, strict=True)]
    return None if dx is None else dx.reshape(saved.input.shape), sums[0], sums[1]


def _at(values: Array | None, part: slice) -> Array | None:
    return None if values is None else values[part]
