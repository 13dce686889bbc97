"""embedding, embedding_bag, and one_hot (integers have no gradient)."""

from typing import Any

import numpy as np

from numpy_impl.nn.functional.calls import backward_of, by_table
from numpy_impl.nn.sparse import Embedding, EmbeddingBag
from numpy_impl.tensor.tensor import Tensor, to_array
from numpy_impl.tensor.views import written


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows of ``weight``; see :class:`~numpy_impl.nn.Embedding`."""
    options = padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
    layer = Embedding.from_pretrained(to_array(weight), False, *options)
    output = by_table(layer, weight, input)
    if max_norm is not None:
        written(weight)
    return output


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Sums, means or maxima of bags of rows; see :class:`~numpy_impl.nn.EmbeddingBag`."""
    layer = EmbeddingBag.from_pretrained(
        to_array(weight),
        False,
        max_norm,
        norm_type,
        scale_grad_by_freq,
        mode,
        sparse,
        include_last_offset,
        padding_idx,
    )
    output = by_table(layer, weight, input, offsets, per_sample_weights)
    if max_norm is not None:
        written(weight)
    return output


embedding_backward = backward_of(embedding)
embedding_bag_backward = backward_of(embedding_bag)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """1 at each index, 0 elsewhere: (\\*) of integers -> (\\*, num_classes)."""
    index = to_array(tensor)
    if index.dtype.kind not in "iu":
        raise TypeError(f"tensor must hold integers, got {index.dtype}")
    classes = int(index.max(initial=-1)) + 1 if num_classes == -1 else num_classes
    if index.size and not 0 <= index.min() <= index.max() < classes:
        raise ValueError(
            f"tensor must hold classes 0..{classes - 1}, got {index.min()} to {index.max()}"
        )
    output = (index[..., None] == np.arange(classes)).astype(np.int64)
    return Tensor(output) if isinstance(tensor, Tensor) else output
