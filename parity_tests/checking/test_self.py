"""The checker accuses itself of nothing: numpy_impl's own components, and PyTorch's, are right."""

import pytest

from parity_tests.checking.adapted import check_own
from parity_tests.checking.wrapped import wrapped
from torch_ref.checking.check import check
from torch_ref.checking.kinds import KINDS


@pytest.mark.parametrize("like", KINDS)
def test_torch_itself_is_right(like):
    found = check(wrapped(KINDS[like]), like)
    assert found.verdict == "right", found


@pytest.mark.parametrize("like", [k for k in KINDS if k != "ProbabilityLoss"])
def test_numpy_impl_is_right(like):
    found = check_own(KINDS[like])
    assert found.verdict == "right", found
