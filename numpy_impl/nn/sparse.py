"""Embedding, EmbeddingBag: rows of a table, picked by index.

Letters in shape comments: V rows in the table, F features; M indices in B bags.
"""

from typing import Any, Self

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.memory import aligned_empty
from numpy_impl.kernels.segments import reduce_runs, sum_by_index
from numpy_impl.nn import init
from numpy_impl.nn.checks import check_array, check_int, float_dtype
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Parameter
from numpy_impl.tensor.rows import SparseRows
from numpy_impl.tensor.tensor import to_array
from numpy_impl.tensor.views import arrays_changed

Array = np.ndarray
MODES = ("sum", "mean", "max")


def embedding(indices: Array, weight: Array) -> Array:
    """:math:`y_n = W_{i_n}`; indices (...) of integers, weight (V, F) -> (..., F)."""
    return weight.take(indices, 0)


@silently
def embedding_backward(
    grad_output: Array,
    indices: Array,
    weight: Array,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Array | SparseRows:
    r"""The gradient for weight, :math:`dW_v = \sum_{n: i_n = v} dy_n`; 0 in the padding's row.

    With ``scale_grad_by_freq`` it is the mean of these terms, not their sum; with ``sparse`` the
    terms themselves, each with its row's number.
    """
    index = indices.reshape(-1)  # (M,)
    rows = grad_output.reshape(index.size, weight.shape[1])
    if sparse:
        if scale_grad_by_freq:
            raise RuntimeError("scale_grad_by_freq must be False with sparse=True, got True")
        counted = index != (-1 if padding_idx is None else padding_idx)
        return SparseRows(index[counted], rows[counted], weight.shape)
    grad = sum_by_index(rows, index, len(weight))
    if scale_grad_by_freq:
        counts = np.bincount(index, minlength=len(weight))
        grad /= np.maximum(counts, 1).astype(grad.dtype)[:, None]
    if padding_idx is not None:
        grad[padding_idx] = 0
    return grad


@silently
def renormalize_(weight: Array, indices: Array, max_norm: float, norm_type: float) -> None:
    """Scale those rows of the table down to ``max_norm`` that are used and larger, in place."""
    used = np.unique(indices)
    rows = weight[used]
    norms = np.linalg.norm(rows, norm_type, axis=1).astype(np.float64)
    scale = np.where(norms > max_norm, max_norm / (norms + 1e-7), 1)
    weight[used] = rows * scale.astype(weight.dtype)[:, None]
    arrays_changed()


@silently
def embedding_bag(
    index: Array, sizes: Array, weight: Array, mode: str, sample_weights: Array | None = None
) -> tuple[Array, Array | None]:
    """The sum, mean or maximum of the rows in each bag, 0 for an empty one.

    Args:
        index: (M,), bag after bag.
        sizes: of the bags, (B,).
        weight: the table, (V, F).
        mode: one of ``MODES``.
        sample_weights: (M,), factors of the rows.

    Returns:
        The output, (B, F), and for ``"max"`` which of the M has it: the first among equals.
    """
    rows = weight.take(index, 0)  # (M, F)
    if mode == "max":
        output = reduce_runs(np.maximum, rows, sizes)
        has_it = (rows == np.repeat(output, sizes, axis=0)) | np.isnan(rows)
        places = np.where(has_it, np.arange(len(rows))[:, None], len(rows))
        return output, reduce_runs(np.minimum, places, sizes)
    if sample_weights is not None:
        rows *= sample_weights[:, None]
    output = reduce_runs(np.add, rows, sizes)
    if mode == "mean":
        output /= np.maximum(sizes, 1).astype(output.dtype)[:, None]
    return output, None


@silently
def embedding_bag_backward(
    grad_output: Array,
    index: Array,
    sizes: Array,
    weight: Array,
    mode: str,
    sample_weights: Array | None = None,
    winners: Array | None = None,
) -> tuple[Array, Array | None]:
    """Gradients for each of the M rows, (M, F), and for their factors, (M,).

    :func:`embedding_backward` makes the table's of the former.
    """
    if winners is not None:
        grad = np.zeros((len(index), weight.shape[1]), grad_output.dtype)
        grad[winners[sizes > 0], np.arange(weight.shape[1])] = grad_output[sizes > 0]
        return grad, None
    if mode == "mean":
        grad_output = grad_output / np.maximum(sizes, 1).astype(grad_output.dtype)[:, None]
    grad = np.repeat(grad_output, sizes, axis=0)  # (B, F) -> (M, F)
    if sample_weights is None:
        return grad, None
    grad_weights = np.einsum("mf,mf->m", grad, weight.take(index, 0))
    return grad * sample_weights[:, None], grad_weights


class _Table(Module):
    """What Embedding and EmbeddingBag share: the table."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
        sparse: bool,
        weight: Any,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        self.num_embeddings = check_int(num_embeddings, "num_embeddings", 0)
        self.embedding_dim = check_int(embedding_dim, "embedding_dim", 0)
        self.padding_idx = _padding_idx(padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        shape = (num_embeddings, embedding_dim)
        dtype = float_dtype(dtype, device)
        if weight is None:
            self.weight = Parameter(aligned_empty(shape, dtype))
            self.reset_parameters()
            return
        self.weight = Parameter(weight)
        if self.weight.shape != shape:
            raise ValueError(f"_weight must have shape {shape}, got {self.weight.shape}")

    def reset_parameters(self) -> None:
        """Draw the table anew from N(0, 1); the padding's row is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0
            arrays_changed()

    def _check(self, input: Any) -> Array:
        """The indices; rows that they use are renormalised."""
        index = _integers(input, "input")
        rows = len(self.weight.data)
        if index.size and not 0 <= index.min() <= index.max() < rows:
            wrong = index[(index < 0) | (index >= rows)][0]
            raise IndexError(
                f"{type(self).__name__}: input must hold indices 0..{rows - 1}, got {wrong}"
            )
        if self.max_norm is not None:
            renormalize_(self.weight.data, index, self.max_norm, self.norm_type)
        return index

    def _grads(self, grad_output: Array, *saved: Any) -> list[Any]:
        """The gradients for the table, and for each array input."""
        raise NotImplementedError

    def backward(self, grad_output: Array) -> Any:
        grad, *grads = self._grads(*self.saved_for_backward(grad_output))
        if grad is not None:
            self.weight.accumulate_grad(grad)
        return grads[0] if len(grads) == 1 else tuple(grads)

    def extra_repr(self) -> str:
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *self._options()])

    def _options(self) -> list[str]:
        return []

    def _renormalizing(self) -> list[str]:
        shown = {"max_norm": self.max_norm is not None, "norm_type": self.norm_type != 2}
        shown["scale_grad_by_freq"] = self.scale_grad_by_freq is not False
        return [f"{name}={getattr(self, name)}" for name, is_shown in shown.items() if is_shown]


def _padding_idx(value: int | None, rows: int) -> int | None:
    """The row that is padding, counted from the start."""
    if value is None:
        return None
    if not -rows <= check_int(value, "padding_idx", -rows) < max(rows, 1):
        raise ValueError(f"padding_idx must lie within -{rows}..{rows - 1}, got {value}")
    return value + rows if value < 0 else value


def _integers(value: Any, name: str) -> Array:
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in "iu":
        found = getattr(value, "dtype", type(value).__name__)
        raise TypeError(f"{name} must be an array of integers, got {found}")
    return np.asarray(value)


def _rows_of(embeddings: Any) -> tuple[int, int]:
    shape = to_array(embeddings).shape
    if len(shape) != 2:
        raise ValueError(f"embeddings must be 2-d, got shape {shape}")
    return shape


class Embedding(_Table):
    r"""A table of vectors, looked up by index: :math:`y_n = W_{i_n}`.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of each.
        padding_idx: a row that starts as 0 and gets no gradient; negative counts from the end.
        max_norm: rows that are used and have a larger norm are scaled down to this, in the table
            itself, before each look-up. Not differentiated, as in torch.
        norm_type: the p of that norm.
        scale_grad_by_freq: divide each row's gradient by the number of its uses in the batch.
        sparse: give weight a gradient of the rows that were used, :class:`SparseRows`, which SGD,
            Adagrad and SparseAdam take; not with scale_grad_by_freq.
        _weight: the table, kept as it is.
        _freeze: whether it needs no gradient.
        device: None or "cpu".
        dtype: of the table; float32 unless given.

    Shape:
        input (...) of integers -> (..., embedding_dim); weight (num_embeddings, embedding_dim),
        drawn from N(0, 1).

    Raises:
        ValueError: if a size is negative, or padding_idx is no row.
        TypeError: if the input holds no integers.
        IndexError: if one of them is no row.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Embedding.html
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
        super().__init__(num_embeddings, embedding_dim, *options, _weight, device, dtype)
        self.weight.requires_grad = not _freeze

    def forward(self, input: Array) -> Array:
        index = self._check(input)
        output = embedding(index, self.weight.data)
        self.save_for_backward(output, index)
        return output

    def _grads(self, grad_output: Array, index: Array) -> list[Any]:
        if not self.weight.requires_grad:
            return [None, None]
        options = self.padding_idx, self.scale_grad_by_freq, self.sparse
        return [embedding_backward(grad_output, index, self.weight.data, *options), None]

    def _options(self) -> list[str]:
        padding = [] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"]
        return padding + self._renormalizing() + ["sparse=True"] * bool(self.sparse)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A layer with the table ``embeddings``, (V, F), which is kept as it is.

        Args:
            embeddings: an array or a Tensor.
            freeze: whether it needs no gradient.
            padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse: the constructor's.
        """
        return cls(
            *_rows_of(embeddings),
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            _weight=embeddings,
            _freeze=freeze,
        )


class EmbeddingBag(_Table):
    r"""Sums, means or maxima of bags of rows: :math:`y_b = \sum_{n \in b} s_n W_{i_n}`.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of each.
        max_norm, norm_type, scale_grad_by_freq: as for :class:`Embedding`.
        mode: ``"sum"``, ``"mean"`` or ``"max"``.
        sparse: as for :class:`Embedding`; not for ``"max"``.
        _weight: the table, kept as it is.
        include_last_offset: whether offsets end with the input's length, where the last bag ends.
        padding_idx: a row that starts as 0, gets no gradient, and counts in no bag.
        device: None or "cpu".
        dtype: of the table; float32 unless given.

    Shape:
        input (B, n) of integers: B bags of n; or (M,) with offsets (B,) of integers, where the bags
        start. per_sample_weights, for ``"sum"`` alone, like the input: the factors :math:`s`.
        Output (B, embedding_dim), 0 for an empty bag.

    Where torch differs: of several NaN it sees the first in a bag alone, as a maximum; with
    ``scale_grad_by_freq`` it divides by the number of uses of another row (2.13, on the CPU).

    Raises:
        ValueError: if a size is negative, padding_idx is no row, ``"max"`` is combined with an
            option it can't have, or shapes or offsets do not fit.
        TypeError: for arrays of a wrong dtype.
        IndexError: if an index is no row.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.EmbeddingBag.html
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
        super().__init__(num_embeddings, embedding_dim, *options, _weight, device, dtype)
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        if mode == "max" and (scale_grad_by_freq or sparse):
            raise ValueError("mode 'max' has neither scale_grad_by_freq nor sparse")
        self.mode = mode
        self.include_last_offset = include_last_offset

    def forward(
        self,
        input: Array,
        offsets: Array | None = None,
        per_sample_weights: Array | None = None,
    ) -> Array:
        sizes = _sizes(_integers(input, "input"), offsets, self.include_last_offset)
        factors = self._factors(input, per_sample_weights)
        index, counted = self._check(input).reshape(-1), None
        factors = None if factors is None else factors.reshape(-1)
        if self.padding_idx is not None:
            counted = np.flatnonzero(index != self.padding_idx)
            bags = np.repeat(np.arange(len(sizes)), sizes)[counted]
            index, sizes = index[counted], np.bincount(bags, minlength=len(sizes))
            factors = None if factors is None else factors[counted]
        weight = self.weight.data
        output, winners = embedding_bag(index, sizes, weight, self.mode, factors)
        inputs = [v for v in (input, offsets, per_sample_weights) if v is not None]
        saved = (index, sizes, weight, self.mode, factors, winners)
        self.save_for_backward(output, counted, [v.shape for v in inputs], *saved)
        return output

    def _grads(
        self, grad_output: Array, counted: Array | None, shapes: list[Any], *saved: Any
    ) -> list[Any]:
        index, _, weight, _, factors, _ = saved
        grad_rows, grad_factors = embedding_bag_backward(grad_output, *saved)
        grads: list[Any] = [None] * (1 + len(shapes))
        if self.weight.requires_grad:
            options = None, self.scale_grad_by_freq, self.sparse
            grads[0] = embedding_backward(grad_rows, index, weight, *options)
        if factors is not None:
            full = np.zeros(shapes[-1], factors.dtype)  # those that count in no bag have none
            full.reshape(-1)[np.arange(index.size) if counted is None else counted] = grad_factors
            grads[-1] = full
        return grads

    def _factors(self, input: Array, value: Any) -> Array | None:
        if value is None:
            return None
        value = check_array(value, "per_sample_weights", self.weight.dtype)
        if self.mode != "sum":
            raise ValueError(f"per_sample_weights are for mode 'sum' alone, got {self.mode!r}")
        if value.shape != input.shape:
            raise ValueError(
                f"per_sample_weights must have input's shape {input.shape}, got {value.shape}"
            )
        return value

    def _options(self) -> list[str]:
        padding = [] if self.padding_idx is None else [f"padding_idx={self.padding_idx}"]
        return [*self._renormalizing(), f"mode={self.mode!r}", *padding]

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A layer with the table ``embeddings``, (V, F), which is kept as it is.

        Args:
            embeddings: an array or a Tensor.
            freeze: whether it needs no gradient.
            max_norm, norm_type, scale_grad_by_freq, mode, sparse, include_last_offset,
                padding_idx: the constructor's.
        """
        layer = cls(
            *_rows_of(embeddings),
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            _weight=embeddings,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )
        layer.weight.requires_grad = not freeze
        return layer


def _sizes(input: Array, offsets: Any, include_last_offset: bool) -> Array:
    """How many indices each bag has, (B,)."""
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError("offsets must be None where input is 2-d, whose rows are the bags")
        if input.shape[1] == 0:
            raise ValueError(f"input must have an index in each bag, got shape {input.shape}")
        return np.full(len(input), input.shape[1])
    if input.ndim != 1:
        raise ValueError(f"input must be 1-d or 2-d, got shape {input.shape}")
    if offsets is None:
        raise ValueError("offsets must be given where input is 1-d, got None")
    starts = _integers(offsets, "offsets")
    if starts.ndim != 1 or (include_last_offset and not starts.size):
        raise ValueError(f"offsets must be 1-d, with at least one, got shape {starts.shape}")
    if not starts.size and not len(input):
        return np.zeros(0, int)  # no bags
    sizes = np.diff(starts) if include_last_offset else np.diff(starts, append=len(input))
    if (sizes < 0).any() or (starts[:1] != 0).any() or sizes.sum() != len(input):
        end = "end with" if include_last_offset else "stay below"
        raise ValueError(
            f"offsets must start with 0, not fall, and {end} input's length {len(input)}, "
            f"got {starts}"
        )
    return sizes
