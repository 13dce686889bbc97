"""Finished runs that several of this folder's files read."""

import time

import pytest

from experiments.data import load
from experiments.errors import UserError
from experiments.lock import Lock
from reports import accuracy
from reports.runs import Store

ROW = "momentum-5ep"


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
    try:
        store.make_missing(accuracy.plan([ROW], [0]), jobs=2)
    finally:
        lock.release()
    return store
