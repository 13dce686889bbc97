"""Mutated files in the suite; more of them by hand, see parity_tests/fuzz/readers.py."""

import pytest

from parity_tests.fuzz import readers


def test_mutated_files_are_read_or_refused():
    refused, failures = readers.fuzz(2000, seed=0)
    assert not failures, failures[:5]
    assert 200 < refused < 2000


def test_another_exception_is_a_failure(monkeypatch):
    def broken(name, path):
        raise KeyError(name)

    monkeypatch.setattr(readers, "read", broken)
    assert len(readers.fuzz(3, seed=0)[1]) == 3


@pytest.mark.parametrize("seconds", [1])
def test_a_hang_is_a_failure(monkeypatch, seconds):
    def hanging(name, path):
        while True:
            pass

    monkeypatch.setattr(readers, "DEADLINE", seconds)
    monkeypatch.setattr(readers, "read", hanging)
    assert "TimeoutError" in readers.fuzz(1, seed=0)[1][0]


@pytest.mark.parametrize("seed", [1969, 1982])
def test_an_archive_that_points_before_its_start_is_damaged(seed):
    """On disk such a seek is an OSError, in memory a ValueError."""
    assert readers.fuzz(1, seed) == (1, [])
