"""Every case of every table: what the tests run, test_api counts, and the report's ledger measures.

A case has a ``name``, ``measure(dtype)`` giving ``torch_ref.compare.Result``s, and
``tolerance(dtype, result)``.
"""

import importlib
import pkgutil
from typing import Any

import parity_tests.nn
from parity_tests.optim import cases as optim_cases
from parity_tests.optim import test_lbfgs
from parity_tests.optim.schedules import SCHEDULES


def tables() -> dict[str, list[Any]]:
    """The tables by the module that holds them."""
    found: dict[str, list[Any]] = {}
    for info in pkgutil.iter_modules(parity_tests.nn.__path__, parity_tests.nn.__name__ + "."):
        module = importlib.import_module(info.name)
        if hasattr(module, "CASES"):
            found[info.name] = module.CASES
    found["parity_tests.optim.cases"] = optim_cases.CASES
    found["parity_tests.optim.test_lbfgs"] = test_lbfgs.CASES
    found["parity_tests.optim.schedules"] = SCHEDULES
    return found
