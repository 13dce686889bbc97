"""Training needs no more memory the longer it lasts: ``python -m parity_tests.memory`` for long."""

import gc
import tracemalloc

import pytest

from parity_tests.memory import steps


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_memory_stays_flat(backend) -> None:
    """What Python and NumPy hold after 300 steps is what they held after 100, to 20 KB.

    An array kept from each step, of a bias of the smallest layer even, would be 13 KB and its
    headers 20 KB; of the images, 800 KB.
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
