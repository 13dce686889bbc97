"""Limiting the threads of both backends."""

import os

from experiments.errors import UserError

# what the BLAS libraries behind NumPy and torch read, once, when they are loaded
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MOST = 1024  # far above it the libraries fail, each in its own way


def set_threads(threads: int | None) -> None:
    """Limit both backends to ``threads``; to be called before NumPy or torch is imported.

    Raises:
        UserError: outside 1..MOST.
    """
    if threads is None:
        return
    if not 1 <= threads <= MOST:
        must = "at least 1" if threads < 1 else f"at most {MOST}"
        raise UserError(f"--threads must be {must}, got {threads}")
    for variable in VARIABLES:
        os.environ[variable] = str(threads)
