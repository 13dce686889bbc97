"""Finished runs that several of this folder's files read."""

import time
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

from experiments.data import load
from experiments.errors import UserError
from experiments.lock import Lock
from parity_tests.experiments.calls import call
from reports import accuracy, runs
from reports.runs import Store

ROW = "momentum-5ep"


@pytest.fixture(autouse=True, scope="session")
def _code_stays_as_it_is() -> Iterator[None]:
    """While the tests run: its digest, of a second, is taken once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "code_version", cache(runs.code_version))
        yield


class Called:
    """``train.py`` called in this process, in the place of one that first imports torch."""

    def __init__(self, command: list[str], **_: Any) -> None:
        self.returncode = call(*command[2:])

    def communicate(self) -> tuple[None, str]:
        return None, ""


@pytest.fixture(scope="session")
def store(tmp_path_factory, worker_id) -> Store:
    """The runs of one row on the digits, one seed; the workers of a session share them."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "runs"
    shared.mkdir(exist_ok=True)
    while True:
        try:
            lock = Lock(shared)
            break
        except UserError:  # another worker trains them
            time.sleep(0.2)
    store = Store(shared / "digits", load("digits").checksum, ["--dataset", "digits"])
    planned = accuracy.plan([ROW], [0])
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runs, "subprocess", SimpleNamespace(Popen=Called, DEVNULL=0, PIPE=0))
            for run in planned:
                if run.backend == "torch" and not store.has(run):
                    store.make(run)
        store.make_missing(planned, jobs=2)
    finally:
        lock.release()
    return store
