"""The graph of calls, and the walk back through it.

A :class:`Node` is one call: of a layer, or of an operation on Tensors. It knows the Tensors that
went in and a function from the gradients of what came out to theirs. ``backward`` visits nodes from
the newest to the oldest, so that a node has all its gradients when its turn comes, adds them up
where a Tensor was used several times, and hands each leaf its sum at the end.

Nothing points from a node to its outputs: what a step made is freed when its names go. And a node
does not point to its inputs but to where they came from: a Tensor that is changed in place later
comes from somewhere else.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from numpy_impl.kernels.products import sum_along
from numpy_impl.tensor.rows import copied, dense, summed
from numpy_impl.types import Array

if TYPE_CHECKING:
    from numpy_impl.tensor.tensor import Tensor

Gradients = Sequence[Array | None]
# where a Tensor came from: itself if it is a leaf, its node, or one of that one's several outputs
Origin = Any


def origin(tensor: "Tensor") -> Origin:
    """Where a Tensor comes from now."""
    node, index = tensor._node, tensor._index
    if node is None:
        return tensor
    return (node, index) if index else node


def _place(origin: Origin) -> "tuple[Node | None, int]":
    """The node and the number of its output; no node for a leaf."""
    if isinstance(origin, tuple):
        return origin
    return (origin, 0) if isinstance(origin, Node) else (None, 0)


_numbers = count()  # next() on it is atomic


class Node:
    """One call in the graph.

    Args:
        name: of the layer or operation, for messages.
        inputs: the Tensors whose gradients the way back leads to, in that order; kept is their
            origin.
        way_back: a function from the gradients of the outputs (None: zero) and whether the graph
            is kept to those of the inputs; a subclass may keep something else.
        count: of outputs.
        is_layer: whether it is a layer's call, whose outputs nothing else holds.
    """

    # few objects a node, since Python's collector looks at all of them again and again
    __slots__ = ("count", "hooks", "inputs", "is_layer", "name", "number", "way_back")

    def __init__(
        self,
        name: str,
        inputs: "tuple[Tensor, ...]",
        way_back: Any,
        count: int = 1,
        is_layer: bool = False,
    ) -> None:
        self.name, self.way_back = name, way_back
        self.inputs: tuple[Origin, ...] = tuple([origin(tensor) for tensor in inputs])
        self.count, self.is_layer = count, is_layer
        self.number = next(_numbers)
        # (index of the output, function, whether it only keeps the result: after the others)
        self.hooks: list[tuple[int, Callable[[Array], Array | None], bool]] | None = None

    def input_grads(self, grads: list[Array | None], retain_graph: bool) -> Gradients:
        """From the gradients of the outputs to those of the inputs."""
        found: Gradients = self.way_back(grads, retain_graph)
        return found

    def run(self, grads: list[Array | None], retain_graph: bool) -> "Iterable[tuple[Origin, Any]]":
        """The origins of the inputs, each with its gradient.

        Unless the graph is kept, the node forgets all.
        """
        if self.way_back is None:
            raise RuntimeError(
                f"backward went through {self.name} before: what its forward kept has been "
                "released; call forward again, or pass retain_graph=True the first time"
            )
        pairs = zip(self.inputs, self.input_grads(grads, retain_graph), strict=True)
        if not retain_graph:
            self.way_back, self.inputs = None, ()
        return pairs

    def add_hook(
        self, index: int, hook: Callable[[Array], Array | None], keeps: bool = False
    ) -> tuple[list[Any], Any]:
        """The list of hooks, and the entry to be put there, for an output's gradient."""
        if self.hooks is None:
            self.hooks = []
        return self.hooks, (index, hook, keeps)

    def apply_hooks(self, grads: list[Array | None]) -> None:
        """Let the hooks on the outputs see their gradients, and perhaps replace them."""
        for index, hook, _ in sorted(self.hooks or (), key=lambda entry: entry[2]):
            grads[index] = apply_hook(hook, grads[index])

    def __repr__(self) -> str:
        return f"<{self.name} backward>"


class Operation(Node):
    """A node whose way back is a function for each input, or it and the input's shape and dtype."""

    __slots__ = ()

    def input_grads(self, grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
        (grad,) = grads
        return [
            fitted(way[0](grad), way[1], way[2]) if type(way) is tuple else np.asarray(way(grad))
            for way in self.way_back
        ]


def fitted(grad: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Undo broadcasting and promotion: ``grad`` summed to ``shape``, in ``dtype``."""
    if grad.shape != shape:
        grad = sum_along(grad, tuple(range(grad.ndim - len(shape))))
        stretched = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] != 1)
        grad = sum_along(grad, stretched, True) if stretched else grad
    return np.asarray(grad, dtype)


def apply_hook(hook: Callable[[Array], Array | None], grad: Array | None) -> Array | None:
    """What a gradient becomes by a hook, which may return None to leave it alone."""
    if grad is None:
        return None
    replaced = hook(grad)
    return grad if replaced is None else replaced


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes it away again."""

    def __init__(self, hooks: list[Any], hook: Any, first: bool = False) -> None:
        self._hooks, self._hook = hooks, hook
        hooks.insert(0 if first else len(hooks), hook)

    def remove(self) -> None:
        """Take the hook away."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


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
            total = summed(total, grad)
        self.sums[id(leaf)] = leaf, total, True


class _Collecting(threading.local):
    leaves: _Leaves | None = None


_collecting = _Collecting()


def hand_over(leaf: "Tensor", grad: Any, owned: bool) -> None:
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
    is_part: bool = False,
) -> list[Array | None]:
    """Go back from ``outputs`` with these gradients.

    Args:
        outputs: where to start.
        grads: of each, of its shape and dtype.
        retain_graph: keep what forward kept, for another walk.
        wanted: if given, the gradients of these Tensors are returned, in arrays of their own, and
            nothing is added to any ``grad``; otherwise every leaf's is.
        is_part: with ``wanted``: other leaves get theirs nevertheless, from the walk of which this
            one is a part if there is one.
    """
    pending: dict[Node, list[Array | None]] = {}
    order: list[tuple[int, Node]] = []  # a heap: the newest node first
    # gradients of wanted Tensors that are no leaves, as they pass
    passing: dict[tuple[Node, int], Array | None] = {
        (tensor._node, tensor._index): None for tensor in wanted or () if tensor._node is not None
    }
    needed = None if wanted is None or is_part else _leading_to(outputs, wanted)

    def arrive(where: Origin, grad: Array | None) -> None:
        if grad is None:
            return
        node, index = _place(where)
        if node is None:
            if where._requires_grad:
                hand_over(where, grad, owned=False)
            return
        grad = dense(grad)  # no operation's backward takes few rows
        slots = pending.get(node)
        if slots is None:
            pending[node] = slots = [None] * node.count
            heappush(order, (-node.number, node))
        before = slots[index]
        # a new array: the old one may be somebody else's, too
        slots[index] = grad if before is None else np.asarray(before + grad)

    outer, _collecting.leaves = _collecting.leaves, _Leaves()
    try:
        for output, grad in zip(outputs, grads, strict=True):
            arrive(origin(output), grad)
        while order:
            _, node = heappop(order)
            slots = pending.pop(node)
            if node.hooks:
                node.apply_hooks(slots)
            for i in range(len(slots)) if passing else ():
                if (node, i) in passing:
                    passing[node, i] = slots[i]
            if needed is None or node in needed:
                for where, grad in node.run(slots, retain_graph):
                    arrive(where, grad)
        sums = _collecting.leaves.sums
    finally:
        _collecting.leaves = outer
    found = [_taken(tensor, sums, passing) for tensor in wanted or ()]
    if wanted is None or is_part:
        apart = {id(tensor) for tensor in wanted or ()}
        with changing:  # another thread's walk may end at the same leaves
            for leaf, grad, owned in sums.values():
                if id(leaf) in apart:
                    continue
                if is_part:
                    hand_over(leaf, grad, owned)
                else:
                    leaf._add_grad(grad, owned)
    return found


# whoever adds to gradients, or changes an array that several Tensors lie in
changing = threading.RLock()

if hasattr(os, "register_at_fork"):  # not while another thread adds: a child could never go on
    os.register_at_fork(
        before=changing.acquire, after_in_parent=changing.release, after_in_child=changing.release
    )


def _taken(tensor: "Tensor", sums: Any, passing: Any) -> Any:
    """The gradient of a wanted Tensor, in an array of its own."""
    if id(tensor) not in sums:
        grad = passing.get((tensor._node, tensor._index))
        return None if grad is None else copied(grad)
    _, grad, owned = sums[id(tensor)]
    if tensor._hooks:
        grad, owned = tensor._hooked(grad), False
    return grad if owned else copied(grad)


def _leading_to(outputs: "Sequence[Tensor]", wanted: "Sequence[Tensor]") -> set[Node]:
    """The nodes that gradients for the wanted Tensors come through; no others are used up."""
    nodes: set[Node] = set()
    ahead = [output._node for output in outputs if output._node is not None]
    while ahead:
        node = ahead.pop()
        if node not in nodes:
            nodes.add(node)
            ahead += [found for found, _ in map(_place, node.inputs) if found is not None]
    places = {(tensor._node, tensor._index) for tensor in wanted if tensor._node is not None}
    leaves = {id(tensor) for tensor in wanted if tensor._node is None}
    # a layer hands over its parameters' gradients itself: any layer may
    owned = any(hasattr(tensor, "accumulate_grad") for tensor in wanted)
    needed: set[Node] = set()
    for node in sorted(nodes, key=lambda node: node.number):  # inputs come before
        if (
            (owned and node.is_layer)
            or node.way_back is None  # used up: say so
            or any(
                id(where) in leaves or _place(where)[0] in needed or _place(where) in places
                for where in node.inputs
            )
        ):
            needed.add(node)
    return needed
