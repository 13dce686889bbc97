"""Parametrises the property classes, and pins torch's threads for repeatable rounding."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

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
def _one_thread() -> None:
    torch.set_num_threads(1)
