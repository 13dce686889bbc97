"""Work on several cores: slices of one operation, each in a thread with a single-threaded BLAS.

NumPy releases the interpreter lock inside its loops and inside BLAS, so threads run them at the
same time. How many is BLAS's own number: OPENBLAS_NUM_THREADS, OMP_NUM_THREADS, threadpoolctl and
:func:`set_num_threads` all decide it. Slices share no sum, so slicing changes no bit of any
result. Where BLAS does not tell its number (MKL, Accelerate) nothing is sliced.
"""

import contextvars
import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numpy as np

Array = np.ndarray
# elements of a slice: a few arrays of this size stay in the cache
_PIECE = 128 * 1024
# how many sums of their own large reductions are made of
PARTS = 8
# multiplications of a matrix product: up to the one BLAS itself stays on one thread, from the
# other on its threads save more than their spinning costs afterwards
_TINY_PRODUCT, _LARGE_PRODUCT = 2**13, 2**25


def _blas() -> tuple[Any, Any] | None:
    """OpenBLAS's functions that set and get its number of threads, as NumPy's builds name them."""
    try:
        # symbols of a library's dependencies are found through it
        library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    for prefix in ("scipy_openblas", "openblas"):
        for suffix in ("64_", ""):
            try:
                setter = getattr(library, f"{prefix}_set_num_threads{suffix}")
                getter = getattr(library, f"{prefix}_get_num_threads{suffix}")
            except AttributeError:
                continue
            setter.argtypes, setter.restype = [ctypes.c_int], None
            getter.argtypes, getter.restype = [], ctypes.c_int
            return setter, getter
    return None


_BLAS = _blas()


def get_num_threads() -> int:
    """How many threads an operation may use: BLAS's number; 1 if it does not tell."""
    return 1 if _BLAS is None else int(_BLAS[1]())


def set_num_threads(num: int) -> None:
    """Let operations use up to ``num`` threads: sets BLAS's number, for the whole process.

    Raises:
        ValueError: if ``num`` is no int of at least 1.
    """
    if not isinstance(num, int) or isinstance(num, bool) or num < 1:
        raise ValueError(f"num must be an int of at least 1, got {num!r}")
    if _BLAS is not None:
        _BLAS[0](num)


class _Helper:
    """A thread that waits for work; a plain queue wakes it twice as fast as an executor."""

    def __init__(self) -> None:
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._outbox: SimpleQueue[BaseException | None] = SimpleQueue()
        threading.Thread(target=self._serve, name="numpy_impl", daemon=True).start()

    def _serve(self) -> None:
        while True:
            work = self._inbox.get()
            try:
                work()
            except BaseException as error:
                self._outbox.put(error)
            else:
                self._outbox.put(None)

    def start(self, work: Callable[[], None]) -> None:
        self._inbox.put(work)

    def finish(self) -> None:
        """Wait for the work, and raise what it raised."""
        error = self._outbox.get()
        if error is not None:
            raise error


# those that have nothing to do; popping and appending are atomic
_idle: list[_Helper] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # in a forked child the threads are gone


def _run(tasks: Sequence[Callable[[], object]], threads: int) -> None:
    """Call each task, on that many threads, the caller's among them; more than one."""
    assert _BLAS is not None  # else there is one thread
    remaining = iter(tasks)  # next() on it is atomic

    def work() -> None:
        for task in remaining:
            task()

    set_blas, _ = _BLAS
    # a multi-threaded BLAS under several threads would fight for the cores
    set_blas(1)
    helpers: list[_Helper] = []
    try:
        for _ in range(threads - 1):
            try:
                helper = _idle.pop()
            except IndexError:
                helper = _Helper()
            # each in its own copy of the context: np.errstate holds in the threads too
            helper.start(partial(contextvars.copy_context().run, work))
            helpers.append(helper)
        work()
    finally:
        errors = []
        for helper in helpers:
            try:
                helper.finish()
            except BaseException as error:
                errors.append(error)
            _idle.append(helper)
        set_blas(threads)
        if errors:
            raise errors[0]


def run_each(function: Callable[[Any], object], items: Sequence[Any]) -> None:
    """Call ``function`` on each item; the calls may run at the same time."""
    threads = get_num_threads()
    if threads == 1:
        for item in items:
            function(item)
    elif len(items) == 1:
        with_one_blas_thread(partial(function, items[0]))
    else:
        _run([partial(function, item) for item in items], min(threads, len(items)))


def pieces(length: int, size: int) -> list[slice]:
    """Slices that make up ``range(length)``, of ``size`` elements a step; for any threads the same.

    So each may be a matrix product: those of other slices would have other last bits.
    """
    step = max(1, _PIECE // max(1, size))
    return [slice(i, i + step) for i in range(0, length, step)]


def over_slices(function: Callable[[slice], object], length: int, size: int) -> None:
    """Call ``function`` on slices that make up ``range(length)``.

    One thread gets slices that stay in the cache; several get one each, because every operation
    on a slice costs them a turn at the interpreter lock.

    Args:
        function: works on one slice of the first axis, and writes nothing outside it.
        length: of that axis.
        size: elements in all.
    """
    count = min(length, size // _PIECE)
    if count > 1:
        threads = get_num_threads()
        count = count if threads == 1 else min(threads, length)
    _over(function, length, count)


def on_slices(function: Callable[..., object], *arrays: Array) -> None:
    """Call ``function`` on slices of the arrays along their first axis, as large as the first's.

    Args:
        function: takes a slice of each array, some of which it fills.
        arrays: of equal length.
    """
    first = arrays[0]
    if first.size < 2 * _PIECE:  # slicing does not pay
        function(*arrays)
    else:
        over_slices(lambda s: function(*(array[s] for array in arrays)), len(first), first.size)


def over_parts(function: Callable[[slice], object], length: int, size: int) -> None:
    """The same for slices that make sums: as many whatever the number of threads.

    So the sums, and every bit that follows from them, are the same.
    """
    _over(function, length, min(length, PARTS, size // (2 * _PIECE)))


def _over(function: Callable[[slice], object], length: int, count: int) -> None:
    if count <= 1:
        function(slice(0, length))
        return
    bounds = [length * i // count for i in range(count + 1)]
    run_each(function, [slice(low, high) for low, high in pairwise(bounds)])


def matmul(a: Array, b: Array) -> Array:
    """``a @ b``, on one thread unless it is large.

    BLAS's own threads spin for a while after their work, and would take the cores from whatever
    is sliced next. Its product's last bits may differ with their number; so would those of a
    product made from slices.
    """
    # dot starts in half the time of @
    product = a.dot if a.ndim == b.ndim == 2 else a.__matmul__
    # a single row, as in inference, is best left to BLAS
    if len(a) == 1 or not _TINY_PRODUCT < a.size * b.shape[-1] < _LARGE_PRODUCT:
        return product(b)
    return with_one_blas_thread(partial(product, b))


def with_one_blas_thread(function: Callable[[], Any]) -> Any:
    """What ``function`` returns, called while BLAS has one thread."""
    threads = get_num_threads()
    if threads == 1 or _BLAS is None:
        return function()
    _BLAS[0](1)
    try:
        return function()
    finally:
        _BLAS[0](threads)
