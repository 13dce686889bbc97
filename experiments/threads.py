"""Limiting the threads of both backends."""

import os

# what the BLAS libraries behind NumPy and torch read, once, when they are loaded
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def set_threads(threads: int | None) -> None:
    """Limit both backends to ``threads``; to be called before NumPy or torch is imported."""
    if threads is not None:
        for variable in VARIABLES:
            os.environ[variable] = str(threads)
