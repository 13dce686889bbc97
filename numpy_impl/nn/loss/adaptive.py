"""AdaptiveLogSoftmaxWithLoss: a softmax of very many classes, of which most are rare."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from numpy_impl.grad_mode import no_grad
from numpy_impl.nn.container import ModuleList, Sequential
from numpy_impl.nn.linear import Linear
from numpy_impl.nn.module import Module
from numpy_impl.tensor.joining import cat
from numpy_impl.tensor.reduction import log_softmax
from numpy_impl.tensor.tensor import Tensor, to_array
from numpy_impl.types import Array, DType


class OutputAndLoss(NamedTuple):
    """What AdaptiveLogSoftmaxWithLoss returns."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    r"""Log-probabilities of classes in clusters: the head knows the frequent classes and the
    clusters of the others; within a cluster a tail of its own, of fewer features, decides:
    :math:`\log p(c) = \log p_{head}(\text{cluster}) + \log p_{tail}(c)`.

    Args:
        in_features: size of each input.
        n_classes: how many classes; smaller numbers are the more frequent ones.
        cutoffs: where clusters begin: classes below the first are the head's own.
        div_value: each tail has as many features as the one before over this; the first has
            in_features over this.
        head_bias: whether the head has a bias.
        device: None or ``"cpu"``.
        dtype: of the parameters: float32 (unless given) or float64.

    Shape:
        input (N, in_features), target (N,) of integers; or (in_features,) and (). Returned is a
        named tuple: ``output``, (N,) or (), the targets' log-probabilities, and ``loss``, minus
        their mean.

    Raises:
        ValueError: for cutoffs that are not increasing numbers in 1..n_classes - 1, shapes that do
            not fit, or a class that does not exist.

    Source: Grave et al. 2017, https://arxiv.org/abs/1609.04309;
    https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveLogSoftmaxWithLoss.html
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: DType = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        ends = [0, *cutoffs, n_classes]
        if not cutoffs or ends != sorted({int(end) for end in ends}):
            raise ValueError(
                f"cutoffs must be one or more increasing ints in 1..{n_classes - 1}, got {cutoffs}"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cutoffs[0], len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, head_bias, device, dtype)
        self.tail = ModuleList()
        for i, (start, stop) in enumerate(self._clusters()):
            features = int(in_features // div_value ** (i + 1))
            inner = Linear(in_features, features, False, device, dtype)
            outer = Linear(features, stop - start, False, device, dtype)
            self.tail.append(Sequential(inner, outer))

    def _clusters(self) -> list[tuple[int, int]]:
        """The first class of each tail, and the one behind its last."""
        return list(zip(self.cutoffs[:-1], self.cutoffs[1:], strict=True))

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self.head.reset_parameters()
        for part in (part for tail in self.tail.children() for part in tail.children()):
            part.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> OutputAndLoss:
        classes = self._checked(input, to_array(target))
        x = input if input.ndim == 2 else input.reshape(1, -1)
        place = classes.copy()  # in the head
        tails, rows = [], [np.flatnonzero(classes < self.shortlist_size)]
        for i, (start, stop) in enumerate(self._clusters()):
            there = np.flatnonzero((classes >= start) & (classes < stop))
            if there.size:
                place[there] = self.shortlist_size + i
                log_p = log_softmax(self.tail[i](x[there]), 1)
                tails.append(log_p[np.arange(there.size), classes[there] - start])
                rows.append(there)
        output = log_softmax(self.head(x), 1)[np.arange(len(classes)), place]
        if tails:
            none = Tensor(np.zeros(rows[0].size, output.dtype))
            output = output + cat([none, *tails])[np.argsort(np.concatenate(rows))]
        loss = -output.mean()
        return OutputAndLoss(output if input.ndim == 2 else output.reshape(()), loss)

    def _checked(self, input: Any, target: Any) -> Array:
        """(N,): the targets."""
        if not isinstance(target, np.ndarray | np.generic) or target.dtype.kind not in "iu":
            found = getattr(target, "dtype", type(target).__name__)
            raise TypeError(f"target must be an array of integers, got {found}")
        if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
            raise ValueError(
                "input must have shape (N, in_features) and target (N,), or (in_features,) and (), "
                f"got {input.shape} and {target.shape}"
            )
        classes = np.asarray(target, np.int64).reshape(-1)
        if classes.size and not 0 <= classes.min() <= classes.max() < self.n_classes:
            raise ValueError(
                f"target must hold classes 0..{self.n_classes - 1}, got {classes.min()} to "
                f"{classes.max()}"
            )
        return classes

    def log_prob(self, input: Any) -> Any:
        """The log-probabilities of all classes: (N, in_features) -> (N, n_classes)."""
        if not isinstance(input, Tensor):
            with no_grad():
                return to_array(self.log_prob(Tensor(input)))
        head = log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            at = self.shortlist_size + i
            parts.append(log_softmax(tail(input), 1) + head[:, at : at + 1])
        return cat(parts, 1)

    def predict(self, input: Any) -> Any:
        """The most probable class of each row: (N, in_features) -> (N,).

        The tails are worked out for those rows alone whose most probable place in the head is one
        of them: as in torch, that decides.
        """
        with no_grad():
            x = to_array(input)
            best = to_array(self.head(Tensor(x))).argmax(1)
            (rare,) = (best >= self.shortlist_size).nonzero()
            if rare.size:
                best[rare] = self.log_prob(x[rare]).argmax(1)
        return Tensor(best) if isinstance(input, Tensor) else best
