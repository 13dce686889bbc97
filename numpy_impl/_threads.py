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
    _one_blas_thread.set_number(num)


class _OneBlasThread:
    """BLAS has one thread while anybody is between :meth:`enter` and :meth:`leave`.

    Callers overlap (user threads, helpers): the first one in takes BLAS's number, the last one out
    puts it back, in whatever order they leave. (No context manager: that would take longer.)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = 0
        self._found = 1

    def enter(self) -> int:
        """Return how many threads BLAS had."""
        if _BLAS is None:
            return 1
        set_blas, get_blas = _BLAS
        with self._lock:
            threads: int = get_blas()
            if threads != 1:
                set_blas(1)
            if not self.inside:
                self._found = threads
            self.inside += 1
        return threads

    def leave(self) -> None:
        if _BLAS is None:
            return
        with self._lock:
            self.inside -= 1
            if not self.inside and self._found != 1:
                _BLAS[0](self._found)

    def set_number(self, num: int) -> None:
        """Of BLAS's threads: now, or when the last one leaves."""
        if _BLAS is None:
            return
        with self._lock:
            if self.inside:
                self._found = num
            else:
                _BLAS[0](num)

    def before_fork(self) -> None:
        """No fork while somebody enters or leaves: the child could never open the lock."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Whoever was inside stayed behind in the parent: put the number back for them."""
        if self.inside and _BLAS is not None:
            _BLAS[0](self._found)
        self.inside = 0
        self._lock.release()


_one_blas_thread = _OneBlasThread()


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

    def finish(self) -> BaseException | None:
        """Wait for the work, and return what it raised."""
        return self._outbox.get()


# those that have nothing to do; popping and appending are atomic
_idle: list[_Helper] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # in a forked child the threads are gone
    os.register_at_fork(
        before=_one_blas_thread.before_fork,
        after_in_parent=_one_blas_thread.after_fork_in_parent,
        after_in_child=_one_blas_thread.after_fork_in_child,
    )


def _run(tasks: Sequence[Callable[[], object]], threads: int) -> None:
    """Call each task, on that many threads, the caller's among them; BLAS has one inside."""
    remaining = iter(tasks)  # next() on it is atomic

    def work() -> None:
        for task in remaining:
            task()

    helpers: list[_Helper] = []
    errors: list[BaseException] = []
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
        for helper in helpers:
            error = helper.finish()
            # (not where the wait itself was interrupted: its answer is still to come)
            _idle.append(helper)
            if error is not None:
                errors.append(error)
    if errors:
        raise errors[0]


def run_each(function: Callable[[Any], object], items: Sequence[Any]) -> None:
    """Call ``function`` on each item; the calls may run at the same time."""
    # a multi-threaded BLAS under several threads would fight for the cores
    threads = min(_one_blas_thread.enter(), len(items))
    try:
        if threads > 1:
            _run([partial(function, item) for item in items], threads)
        else:
            for item in items:
                function(item)
    finally:
        _one_blas_thread.leave()


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
    if _BLAS is None or (not _one_blas_thread.inside and _BLAS[1]() == 1):
        return function()  # it has one anyway
    _one_blas_thread.enter()
    try:
        return function()
    finally:
        _one_blas_thread.leave()
