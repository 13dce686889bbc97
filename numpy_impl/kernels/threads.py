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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numpy as np

Array = np.ndarray
# elements of a slice: a few arrays of this size stay in the cache
_SLICE = 128 * 1024
IN_CACHE = 2 * _SLICE  # smaller arrays are worked on as a whole
# how many sums of their own large reductions are made of
_SUMS = 8


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


def for_each(function: Callable[[Any], object], items: Sequence[Any]) -> None:
    """``for item in items: function(item)``; the calls may run at the same time."""
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


def once_a_thread(make: Callable[[], Any]) -> Callable[[], Any]:
    """``make``, called by each thread once: what it gives then is what it gives again."""
    made: dict[int, Any] = {}

    def own() -> Any:
        thread = threading.get_ident()
        if thread not in made:
            made[thread] = make()
        return made[thread]

    return own


def cache_slices(length: int, size: int) -> list[slice]:
    """Slices that make up ``range(length)``, short enough for the cache; for any threads the same.

    So each may be a matrix product: those of other slices would have other last bits.

    Args:
        length: of the first axis.
        size: elements in a step along it.
    """
    step = max(1, _SLICE // max(1, size))
    return [slice(i, i + step) for i in range(0, length, step)]


def for_each_slice(function: Callable[[slice], object], length: int, size: int) -> None:
    """``function(slice(0, length))``, in slices.

    One thread gets slices that stay in the cache; several get one each, because every operation
    on a slice costs them a turn at the interpreter lock.

    Args:
        function: works on one slice of the first axis, and writes nothing outside it.
        length: of that axis.
        size: elements in all.
    """
    count = min(length, size // _SLICE)
    if count > 1:
        threads = get_num_threads()
        count = count if threads == 1 else min(threads, length)
    if count > 1:
        for_each(function, _equal_slices(length, count))
    else:
        function(slice(0, length))


def slicewise(function: Callable[..., object], *arrays: Array) -> None:
    """``function(*arrays)``, in slices along their first axis, as large as the first's.

    Args:
        function: takes a slice of each array, some of which it fills.
        arrays: of equal length.
    """
    first = arrays[0]
    if first.size < IN_CACHE:
        function(*arrays)
    else:
        for_each_slice(lambda s: function(*(a[s] for a in arrays)), len(first), first.size)


def sum_each(function: Callable[[Any], Sequence[Array]], items: Sequence[Any]) -> Sequence[Array]:
    """``[sum(parts) for parts in zip(*map(function, items))]``.

    The sums are made of as many sums of their own, whatever the number of threads: every bit that
    follows from them is the same.

    Args:
        function: gives new arrays, as many for every item; the calls may run at the same time.
        items: at least one.
    """
    runs = [items[i::_SUMS] for i in range(min(_SUMS, len(items)))]
    sums: list[Sequence[Array]] = [()] * len(runs)

    def accumulate(run: int) -> None:
        sums[run] = _added(map(function, runs[run]))

    for_each(accumulate, range(len(runs)))
    return _added(iter(sums))


def sum_slices(
    function: Callable[[slice], Sequence[Array]], length: int, size: int
) -> Sequence[Array]:
    """``function(slice(0, length))``, whose arrays are sums over that axis; arguments as above."""
    count = min(length, _SUMS, size // IN_CACHE)
    return (
        sum_each(function, _equal_slices(length, count))
        if count > 1
        else function(slice(0, length))
    )


def _added(terms: Iterator[Sequence[Array]]) -> Sequence[Array]:
    """The first term, with each of the others added to it in place."""
    totals = next(terms)
    for term in terms:
        for total, summand in zip(totals, term, strict=True):
            total += summand
    return totals


def _equal_slices(length: int, count: int) -> list[slice]:
    bounds = [length * i // count for i in range(count + 1)]
    return [slice(low, high) for low, high in pairwise(bounds)]


def with_one_blas_thread(function: Callable[[], Any]) -> Any:
    """``function()``, called while BLAS has one thread."""
    if _BLAS is None or (not _one_blas_thread.inside and _BLAS[1]() == 1):
        return function()  # it has one anyway
    _one_blas_thread.enter()
    try:
        return function()
    finally:
        _one_blas_thread.leave()
