"""Mutated files in the suite; more of them by hand, see parity_tests/fuzz/readers.py."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from parity_tests.fuzz import guard, readers


@pytest.fixture(scope="module")
def fuzz():
    return readers.Fuzz()


def test_mutated_files_are_read_or_refused(fuzz):
    found = fuzz.run(2000, seed=0)
    assert not found.failures, found.failures[:5]
    assert found.read.total() > 200
    assert found.refused.total() > 1000


def test_the_inputs_repeat(fuzz):
    inputs = [fuzz.input(seed) for seed in range(50)]
    assert inputs == [fuzz.input(seed) for seed in range(50)]
    assert len({given.data for given in inputs}) > 45


def failure(fuzz, monkeypatch, reader) -> str:
    """What is said of a reader that does this."""
    for name in fuzz.readers:
        monkeypatch.setitem(fuzz.readers, name, reader)
    (said,) = fuzz.run(1, seed=0).failures
    return said


def test_another_exception_is_a_failure(fuzz, monkeypatch):
    assert "KeyError" in failure(fuzz, monkeypatch, lambda path: {}[path])


@pytest.mark.parametrize(("limit", "seconds"), [("DEADLINE", None), ("WAITING", 1)])
def test_a_hang_is_a_failure(fuzz, monkeypatch, limit, seconds):
    def hanging(path):
        while True:
            with contextlib.suppress(Exception):
                time.sleep(seconds) if seconds else sum(range(1000))

    monkeypatch.setattr(guard, limit, 0.1)
    assert "takes too long" in failure(fuzz, monkeypatch, hanging)


@pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux keeps account")
def test_memory_beyond_the_bound_is_a_failure(fuzz, monkeypatch):
    assert "MemoryError" in failure(fuzz, monkeypatch, lambda path: bytes(2 * guard.MEMORY))


def swallowing(path) -> None:
    with contextlib.suppress(Exception):
        os.system("true")


COMPILED = compile("1", "a", "eval")
RUN = {
    "os.system": swallowing,
    "subprocess.Popen": lambda path: subprocess.run(["true"], check=True),
    "compiles": lambda path: eval("1"),
    "exec": lambda path: eval(COMPILED),
    "import": lambda path: __import__("no_such_module"),
    "os.remove": lambda path: path.unlink(),
    "opens": lambda path: path.write_bytes(b""),
    "opens '/dev/null'": lambda path: Path("/dev/null").read_bytes(),
}


@pytest.mark.parametrize("said", RUN)
def test_code_that_runs_is_a_failure(fuzz, monkeypatch, said):
    assert said in failure(fuzz, monkeypatch, RUN[said])
