"""Training needs no more memory the longer it lasts: ``python -m parity_tests.memory`` for long."""

import gc
import tracemalloc

import pytest

from parity_tests.memory import steps


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_memory_stays_flat(backend) -> None:
    """What Python and NumPy hold (torch's own memory: the command) grows by less than 20 KB.

    One array kept from each of the 200 steps, however small, would be more; their images, 800 KB.
    """
    held = {}
    tracemalloc.start()
    try:
        for step in steps(backend, 300):
            if step in (100, 300):
                gc.collect()
                held[step] = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held[300] - held[100] < 20_000
