"""cosine_similarity, pairwise_distance, pdist."""

from typing import Any

from numpy_impl.nn import distance as _distance
from numpy_impl.nn.checks import check_array, names_itself
from numpy_impl.nn.distance import CosineSimilarity, PairwiseDistance, check_p
from numpy_impl.nn.functional.calls import backward_of, by_layer
from numpy_impl.tensor.tensor import Tensor, record, to_array


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle; see :class:`~numpy_impl.nn.CosineSimilarity`."""
    return by_layer(CosineSimilarity(dim, eps), x1, x2)


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """The p-norm of the difference; see :class:`~numpy_impl.nn.PairwiseDistance`."""
    return by_layer(PairwiseDistance(p, eps, keepdim), x1, x2)


@names_itself
def pdist(input: Any, p: float = 2) -> Any:
    """The p-norms of the differences of all pairs of rows; (N, M) -> (N (N - 1) / 2,)."""
    x, order = check_array(to_array(input), "input", ndim=(2,)), check_p(p, 0)
    output = _distance.pdist(x, order)
    if not isinstance(input, Tensor):
        return output
    kept = output.copy()
    return record(output, "pdist", (input, lambda g: _distance.pdist_backward(g, x, kept, order)))


cosine_similarity_backward = backward_of(cosine_similarity)
pairwise_distance_backward = backward_of(pairwise_distance)
pdist_backward = backward_of(pdist)
