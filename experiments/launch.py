"""Which of several processes this is, as whoever started them says.

Nothing here may import NumPy: the number of BLAS threads is to be set before.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """Attributes:
    by: "torchrun", "mpiexec" or, for a single process, "".
    rank: this process's number.
    size: how many there are.
    local: how many of them on this machine.
    """

    by: str = ""
    rank: int = 0
    size: int = 1
    local: int = 1

    @property
    def threads(self) -> int | None:
        """A process's share of this machine's cores; None for a single process: all of them."""
        return None if self.size == 1 else max(1, cores() // self.local)


def cores() -> int:
    """How many this process may use; macOS and Windows only know how many there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


# rank, number, and number on this machine: of torchrun, MPICH (and Intel's), Open MPI
_VARIABLES = (
    ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    ("mpiexec", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"),
    ("mpiexec", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
)


def launched(environment: Mapping[str, str]) -> Launch:
    """What the environment says; a single process if it says nothing."""
    for by, rank, size, local in _VARIABLES:
        if by == "torchrun" and "TORCHELASTIC_RUN_ID" not in environment:
            continue
        if rank in environment and size in environment:
            of_all = int(environment[size])
            here = int(environment.get(local, of_all))
            return Launch(by, int(environment[rank]), of_all, here)
    return Launch()


LAUNCH = launched(os.environ)
