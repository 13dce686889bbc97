"""One run shared out among processes: each takes some rows of every batch, and the numbers are
those of a single process.

Whatever is drawn at random is drawn for the whole batch by every process, which then takes its
rows. A process's gradients are scaled by its share of the rows and summed over all. BatchNorm
sums its statistics. Nothing else is exchanged: what starts alike and is moved alike stays alike.

The NumPy backend sums with MPI (mpi4py), the torch backend with torch.distributed (gloo).
"""

import hashlib
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np

from experiments.errors import Lost, UserError
from experiments.launch import LAUNCH, Launch

Array = np.ndarray
# seconds between two looks at a sum that is under way, once it takes long
_PAUSE = 1e-4


class Group:
    """The processes of a run; this class itself is a single one.

    Attributes:
        rank: this process's number; 0 alone prints and writes.
        size: how many there are.
        total: the rows of the batch at hand.
        own: this process's slice of them, which may be empty.
    """

    rank, size = 0, 1
    total, own = 0, slice(0, 0)

    def part(self, count: int) -> slice:
        """This process's part of ``count`` things; parts differ by one at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def share(self, rows: int) -> slice:
        """Go on to a batch of so many rows; this process's."""
        self.total, self.own = rows, self.part(rows)
        return self.own

    def sum(self, array: Array) -> Array:
        """The sum of all processes' arrays, of one shape and dtype: the same in each.

        Raises:
            Lost: if another process is gone, or does not answer in time.
        """
        return array

    def sum_in_place(self, arrays: Iterable[Array]) -> None:
        """:meth:`sum` of each, in one exchange."""
        arrays = list(arrays)
        if self.size == 1 or not arrays:
            return
        flat = self.sum(np.concatenate([array.reshape(-1) for array in arrays]))
        start = 0
        for array in arrays:
            array[...] = flat[start : start + array.size].reshape(array.shape)
            start += array.size

    def joined(self, rows: Array, start: int, total: int) -> Array:
        """All processes' rows together, of which this one's begin at ``start``."""
        if self.size == 1:
            return rows
        every = np.zeros((total, *rows.shape[1:]), rows.dtype)
        every[start : start + len(rows)] = rows
        return self.sum(every)

    def agree(self, what: str, values: Iterable[Array | str]) -> None:
        """See that all processes hold the same.

        Raises:
            UserError: if they do not.
        """
        if self.size == 1:
            return
        digest = hashlib.sha256()
        for value in values:
            digest.update(value.encode() if isinstance(value, str) else value.tobytes())
        found = self.joined(np.frombuffer(digest.digest(), np.int64)[None], self.rank, self.size)
        different = [rank for rank in range(self.size) if (found[rank] != found[0]).any()]
        if different:
            raise UserError(
                f"processes {', '.join(map(str, different))} have other {what} than process 0"
            )

    def told(self, line: str) -> str:
        """What process 0 says, a short line, in all of them."""
        letters = line.encode() if self.rank == 0 else b""
        sent = np.zeros(4096, np.uint8)
        sent[: len(letters)] = np.frombuffer(letters, np.uint8)
        return self.sum(sent).tobytes().rstrip(b"\0").decode()

    def wait(self) -> None:
        """Until all have come here."""
        self.sum(np.zeros(1))

    def close(self) -> None:
        """The end of a run that went well, once all have come here."""


class MPIGroup(Group):
    """Processes started by mpiexec."""

    def __init__(self, launch: Launch, timeout: float) -> None:
        self._mpi = _mpi4py()
        self._world = self._mpi.COMM_WORLD
        self.rank, self.size = self._world.rank, self._world.size
        self._timeout = timeout
        if self.size != launch.size:
            library = self._mpi.Get_library_version().splitlines()[0].strip()
            raise UserError(
                f"mpiexec started {launch.size} processes, of which mpi4py sees {self.size}: it "
                f"stands on another MPI ({library}); start them with that one's mpiexec"
            )

    def sum(self, array: Array) -> Array:
        array, total = np.ascontiguousarray(array), np.empty_like(array, order="C")
        request = self._world.Iallreduce(array, total, self._mpi.SUM)
        started = time.monotonic()
        while not request.Test():
            passed = time.monotonic() - started
            if passed > self._timeout:
                raise Lost(_unheard(self._timeout))
            time.sleep(_PAUSE if passed > 100 * _PAUSE else 0)
        return total


class TorchGroup(Group):
    """Processes started by torchrun."""

    def __init__(self, launch: Launch, timeout: float) -> None:
        import torch
        from torch import distributed

        self._torch, self._distributed, self._timeout = torch, distributed, timeout
        self.rank, self.size = launch.rank, launch.size
        self._others: list[int] = []
        with self._heard():
            distributed.init_process_group("gloo", timeout=timedelta(seconds=timeout))
        if launch.local == launch.size:
            ids = self.joined(np.array([os.getpid()]), self.rank, self.size).tolist()
            self._others = ids[: self.rank] + ids[self.rank + 1 :]

    def sum(self, array: Array) -> Array:
        total = self._torch.from_numpy(np.array(array, order="C"))
        with self._heard():
            self._distributed.all_reduce(total)
        result: Array = total.numpy()
        return result

    def close(self) -> None:
        self.wait()
        self._distributed.destroy_process_group()

    @contextmanager
    def _heard(self) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        except RuntimeError as error:
            if time.monotonic() - started >= self._timeout:
                raise Lost(_unheard(self._timeout), self._others) from None
            # "[file:line] Connection closed by peer. This is typically caused by ..."
            said = re.sub(r"^\[.*?\] ", "", str(error).splitlines()[0]).partition(". ")[0]
            raise Lost(f"another process is gone ({said})") from None


def make_group(backend: str, timeout: float, launch: Launch = LAUNCH) -> Group:
    """The group of the processes that were started, this one alone or several.

    Args:
        backend: "numpy" or "torch".
        timeout: seconds to wait for the others.
        launch: who started them.

    Raises:
        UserError: if they were started by the other backend's launcher, or MPI is missing.
        Lost: if the others do not come.
    """
    if launch.size == 1:
        return Group()
    if backend == "numpy" and launch.by == "torchrun":
        raise UserError(
            "torchrun starts the torch backend alone; for --backend numpy: "
            f"mpiexec -n {launch.size} python train.py --backend numpy"
        )
    if backend == "torch" and launch.by == "mpiexec":
        raise UserError(
            "mpiexec starts the numpy backend alone; for --backend torch: "
            f"torchrun --nproc-per-node {launch.local} train.py --backend torch"
        )
    return (MPIGroup if backend == "numpy" else TorchGroup)(launch, timeout)


def _mpi4py() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if LAUNCH.rank:
            sys.exit(2)  # nobody would end this process before it said the same
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"several processes of --backend numpy need mpi4py and an MPI ({said}): "
            "pip install mpi4py mpich"
        ) from None
    return MPI


def _unheard(timeout: float) -> str:
    return f"another process has not been heard of for {timeout:g} s (--timeout)"


# layers that multiply by what they draw, so that it can be drawn for rows of ones
_MASKS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d")
# layers that draw in another way, or gather what the rows are like, if the attribute is set
_OF_ITS_ROWS = {
    **dict.fromkeys(("AlphaDropout", "FeatureAlphaDropout"), "p"),
    **dict.fromkeys(("RReLU",), "upper"),
    **dict.fromkeys(("FractionalMaxPool2d", "FractionalMaxPool3d"), "kernel_size"),
    **dict.fromkeys(("RNN", "LSTM", "GRU", "MultiheadAttention"), "dropout"),
    **dict.fromkeys((f"InstanceNorm{n}d" for n in (1, 2, 3)), "track_running_stats"),
}


def share_model(nn: Any, model: Any, group: Group) -> Any:
    """The model with those layers replaced that look at the whole batch: of a batch's rows it
    makes what it would make of them among all.

    Args:
        nn: of the backend.
        model: changed in place, unless it is such a layer itself.
        group: the processes.

    Raises:
        UserError: for a layer that can't be shared out.
    """
    if group.size == 1:
        return model

    class SharedDropout(nn.Module):
        """Draws the mask of the whole batch, and takes its own rows of it."""

        def __init__(self, layer: Any) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Any) -> Any:
            if not self.training:
                return x
            rows = group.own.stop - group.own.start
            if len(x) != rows:
                raise ValueError(
                    "among several processes dropout takes tensors whose first axis is the "
                    f"batch, of {rows} rows here, got shape {tuple(x.shape)}"
                )
            mask = self.layer(x.new_ones((group.total, *x.shape[1:])))
            return x * mask[group.own]

    made: dict[Any, Any] = {}  # a layer that stands at several places stays one

    def replaced(module: Any) -> Any:
        if module in made:
            return made[module]
        kind = type(module).__name__
        option = _OF_ITS_ROWS.get(kind, "")
        if value := getattr(module, option, 0):
            raise UserError(
                f"{kind} with {option}={value} hangs on which rows it sees: it can't be shared "
                "out among processes"
            )
        children = [(name, child) for name, child in module._modules.items() if child is not None]
        for name, child in children:
            setattr(module, name, replaced(child))
        new = module
        if kind in _MASKS:
            new = SharedDropout(module)
        elif not children:
            new = nn.SyncBatchNorm.convert_sync_batchnorm(module, group)
        return made.setdefault(module, new)

    return replaced(model)
