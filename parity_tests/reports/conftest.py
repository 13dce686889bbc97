"""Finished runs that several of this folder's files read."""

import pytest

from experiments.data import load
from reports import accuracy
from reports.runs import Store

ROW = "momentum-5ep"


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Store:
    """The runs of one row on the digits, one seed."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    store = Store(folder, load("digits").checksum, ["--dataset", "digits"])
    store.make_missing(accuracy.plan([ROW], [0]), jobs=2)
    return store
