"""What parts of a Tensor keep alive, how much, and in several threads."""

import gc
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl

X = np.random.default_rng(0).standard_normal((2, 3, 4))


@pytest.fixture
def switching() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def at_once(work: Callable[[int], object], count: int = 4) -> None:
    """``work(i)``, each in a thread of its own; what one raises is raised."""
    barrier = threading.Barrier(count)

    def wait(i: int) -> None:
        barrier.wait()
        work(i)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(wait, range(count)))


def test_parts_are_taken_in_many_threads(switching: None) -> None:
    for _ in range(60):
        y, parts = numpy_impl.zeros(4), []
        at_once(lambda i, y=y, parts=parts: parts.append(y[i : i + 1]))
        y.add_(1)
        assert [part.item() for part in parts] == [1] * 4


def test_parts_are_changed_in_many_threads(switching: None) -> None:
    y = numpy_impl.zeros(4, 50)
    at_once(lambda i: [y[i].add_(1) for _ in range(100)])
    assert (y == 100).all()


def test_parts_are_read_in_many_threads(switching: None) -> None:
    p = numpy_impl.tensor(X, requires_grad=True)

    def read(part: Any) -> None:
        (grad,) = numpy_impl.autograd.grad((part * 3).sum(), [p], retain_graph=True)
        assert np.all(grad.data[1:] == 6)
        np.testing.assert_array_equal(part.data, X[1:] * 2)

    for _ in range(60):
        x = p * 1
        part = x[1:]
        x.mul_(2)
        at_once(lambda _, part=part: read(part))


def test_parts_that_are_gone_are_forgotten() -> None:
    y = numpy_impl.zeros(3)
    for _ in range(1000):
        y[0]
    assert y._view is not None
    assert len(y._view.memory.copies) < 40


def test_parts_hold_no_old_arrays() -> None:
    y = numpy_impl.zeros(200, 10_000)
    rows = y.unbind(0)
    tracemalloc.start()
    for i, row in enumerate(rows):
        row.fill_(i)
        assert rows[0][0] == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert y.sum() == 10_000 * sum(range(200))
    assert peak < 6 * y.data.nbytes


def test_what_is_detached_does_not_hold_a_graph_that_came_later() -> None:
    gc.collect()
    gc.disable()
    try:
        y = numpy_impl.zeros(3)
        values = y.detach()
        w = numpy_impl.ones(3, requires_grad=True)
        leaf = weakref.ref(w)
        y.add_(w)
        del y, w
        assert leaf() is None
        assert values.tolist() == [1, 1, 1]
    finally:
        gc.enable()


def test_a_part_keeps_its_graph_only_and_makes_no_cycle() -> None:
    gc.collect()
    gc.disable()
    try:
        x = numpy_impl.tensor(X, requires_grad=True)
        y = x * 1
        dead, leaf = weakref.ref(y), weakref.ref(x)
        part, values = y[0][1:], y.detach()[0]
        part.mul_(2)
        del x, y
        part.add_(1)
        assert dead() is not None
        np.testing.assert_array_equal(part.detach().numpy(), X[0][1:] * 2 + 1)
        np.testing.assert_array_equal(values.numpy(), [X[0, 0], *(X[0, 1:] * 2 + 1)])
        del part
        assert dead() is None
        assert leaf() is None  # what is detached holds values only
        dead = weakref.ref(values)
        del values
        assert dead() is None
    finally:
        gc.enable()


def test_parts_of_parts_for_ever() -> None:
    def looped(world: Any) -> Any:
        y = x = world.zeros(2, 3)
        for step in range(2001):
            y = y.t() if step % 3 else y.detach()
            y[0] += 1
            y[0][1] = step
        return x, y

    for ours, twin in zip(looped(numpy_impl), looped(torch), strict=True):
        np.testing.assert_array_equal(ours.numpy(), twin.numpy())
