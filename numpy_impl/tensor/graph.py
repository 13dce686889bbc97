"""The graph of calls, and the walk back through it.

A :class:`Node` is one call: of a layer, or of an operation on Tensors. It knows the Tensors that
went in and a function from the gradients of what came out to theirs. ``backward`` visits nodes from
the newest to the oldest, so that a node has all its gradients when its turn comes, adds them up
where a Tensor was used several times, and hands each leaf its sum at the end.

Nothing points from a node to its outputs: what a step made is freed when its names go.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy_impl.tensor.tensor import Tensor

Array = np.ndarray
Gradients = Sequence[Array | None]


class Spec(NamedTuple):
    """What a gradient of an output must look like."""

    shape: tuple[int, ...]
    dtype: np.dtype


class Origin:
    """Where in the graph a Tensor came from when it was used.

    Not the Tensor itself: changed in place later, it comes from somewhere else (and its array can
    go before the graph does).
    """

    __slots__ = ("_index", "_node")

    def __init__(self, node: "Node", index: int) -> None:
        self._node, self._index = node, index


_numbers = count()  # next() on it is atomic


class Node:
    """One call in the graph.

    Args:
        name: of the layer or operation, for messages.
        inputs: the Tensors whose gradients ``backward`` returns, in that order.
        outputs: shape and dtype of each output.
        backward: from the gradients of the outputs (None: zero) and whether the graph is kept, to
            those of the inputs.
        is_layer: whether it is a layer's call, whose outputs nothing else holds.
    """

    __slots__ = ("backward", "hooks", "inputs", "is_layer", "name", "number", "outputs")

    def __init__(
        self,
        name: str,
        inputs: "tuple[Tensor, ...]",
        outputs: Sequence[Spec],
        backward: Callable[[list[Array | None], bool], Gradients],
        is_layer: bool = False,
    ) -> None:
        self.name, self.outputs, self.is_layer = name, outputs, is_layer
        self.inputs: tuple[Tensor | Origin, ...] = tuple(
            leaf if leaf._node is None else Origin(leaf._node, leaf._index) for leaf in inputs
        )
        self.backward: Callable[[list[Array | None], bool], Gradients] | None = backward
        self.number = next(_numbers)
        self.hooks: list[tuple[int, Callable[[Array], Array | None]]] = []

    def run(
        self, grads: list[Array | None], retain_graph: bool
    ) -> "Iterable[tuple[Tensor | Origin, Any]]":
        """The inputs, each with its gradient; unless the graph is kept, the node forgets all."""
        if self.backward is None:
            raise RuntimeError(
                f"backward went through {self.name} before: what its forward kept has been "
                "released; call forward again, or pass retain_graph=True the first time"
            )
        for index, hook in self.hooks:
            grads[index] = apply_hook(hook, grads[index])
        inputs, backward = self.inputs, self.backward
        if not retain_graph:
            self.backward, self.inputs = None, ()
        return zip(inputs, backward(grads, retain_graph), strict=True)

    def __repr__(self) -> str:
        return f"<{self.name} backward>"


def apply_hook(hook: Callable[[Array], Array | None], grad: Array | None) -> Array | None:
    """What a gradient becomes by a hook, which may return None to leave it alone."""
    if grad is None:
        return None
    replaced = hook(grad)
    return grad if replaced is None else replaced


class _Leaves:
    """The sums for the leaves of one walk: handed over at its end, whole or not at all."""

    def __init__(self) -> None:
        self.sums: dict[int, tuple[Tensor, Array, bool]] = {}

    def add(self, leaf: "Tensor", grad: Array, owned: bool) -> None:
        """``owned``: nobody else holds ``grad``, so that it may be kept and added to."""
        if id(leaf) not in self.sums:
            self.sums[id(leaf)] = leaf, grad, owned
            return
        _, total, own = self.sums[id(leaf)]
        if own:
            total += grad
        else:
            total = np.asarray(total + grad)
        self.sums[id(leaf)] = leaf, total, True


class _Collecting(threading.local):
    leaves: _Leaves | None = None


_collecting = _Collecting()


def hand_over(leaf: "Tensor", grad: Array, owned: bool) -> None:
    """A gradient that reached ``leaf``: to the walk that is under way, or to the leaf at once."""
    if _collecting.leaves is None:
        leaf._add_grad(grad, owned)
    else:
        _collecting.leaves.add(leaf, grad, owned)


@np.errstate(all="ignore")  # what overflows becomes inf or NaN silently, as in torch
def run_backward(
    outputs: "Sequence[Tensor]",
    grads: Sequence[Array],
    retain_graph: bool = False,
    wanted: "Sequence[Tensor] | None" = None,
) -> list[Array | None]:
    """Go back from ``outputs`` with these gradients.

    Args:
        outputs: where to start.
        grads: of each, of its shape and dtype.
        retain_graph: keep what forward kept, for another walk.
        wanted: if given, the gradients of these Tensors are returned and nothing is added to any
            ``grad``; otherwise every leaf's is.
    """
    pending: dict[Node, list[Array | None]] = {}
    order: list[tuple[int, Node]] = []  # a heap: the newest node first
    # gradients of wanted Tensors that are no leaves, as they pass
    passing: dict[tuple[Node, int], Array | None] = {
        (tensor._node, tensor._index): None for tensor in wanted or () if tensor._node is not None
    }

    def arrive(tensor: "Tensor | Origin", grad: Array | None) -> None:
        if grad is None:
            return
        node, index = tensor._node, tensor._index
        if node is None:
            assert not isinstance(tensor, Origin)
            if tensor._requires_grad:
                hand_over(tensor, grad, owned=False)
            return
        slots = pending.get(node)
        if slots is None:
            pending[node] = slots = [None] * len(node.outputs)
            heappush(order, (-node.number, node))
        before = slots[index]
        # a new array: the old one may be somebody else's, too
        slots[index] = grad if before is None else np.asarray(before + grad)

    outer, _collecting.leaves = _collecting.leaves, _Leaves()
    try:
        for output, grad in zip(outputs, grads, strict=True):
            arrive(output, grad)
        while order:
            _, node = heappop(order)
            slots = pending.pop(node)
            inputs = node.run(slots, retain_graph)
            for i in range(len(slots)) if passing else ():
                if (node, i) in passing:
                    passing[node, i] = slots[i]
            for tensor, grad in inputs:
                arrive(tensor, grad)
        sums = _collecting.leaves.sums
    finally:
        _collecting.leaves = outer
    if wanted is None:
        for leaf, grad, owned in sums.values():
            leaf._add_grad(grad, owned)
        return []
    return [
        sums[id(tensor)][1] if id(tensor) in sums else passing.get((tensor._node, tensor._index))  # type: ignore[arg-type]
        for tensor in wanted
    ]
