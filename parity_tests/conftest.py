"""Parametrises the property classes, and what holds for the whole suite: one thread, one heap."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import numpy_impl
from experiments.threads import VARIABLES
from parity_tests import cases


def pytest_generate_tests(metafunc: Any) -> None:
    table = getattr(metafunc.cls, "cases", None)
    if table is not None:
        cases.parametrize(table, metafunc)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Python's collector passes over torch and thousands of tests: they stay to the end."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Rounding repeats, and workers do not wait for one another's threads; nor do their children.

    What depends on the number of threads sets it: kernels/test_threads.
    """
    torch.set_num_threads(1)
    numpy_impl.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for variable in VARIABLES:
            patch.setenv(variable, "1")
        yield
