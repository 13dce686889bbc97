"""Warnings point at the caller's own line, through whichever of our layers they come."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest

import numpy_impl
import numpy_impl.nn.functional as F
from numpy_impl import nn

X = np.ones((2, 3, 4), np.float32)
CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "Softmax": (lambda: nn.Softmax()(X), "dim was not given"),
    "in a Sequential": (lambda: nn.Sequential(nn.LogSoftmax())(X), "dim was not given"),
    "softmax": (lambda: F.softmax(numpy_impl.tensor(X)), "dim was not given"),
    "Dropout2d": (lambda: nn.Dropout2d()(X), "use Dropout1d"),
    "dropout2d": (lambda: F.dropout2d(numpy_impl.tensor(X)), "use Dropout1d"),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(5)(X), "num_features=5"),
    "gumbel_softmax": (lambda: F.gumbel_softmax(X, eps=1e-3), "eps is deprecated"),
    "Hardtanh": (lambda: nn.Hardtanh(min_value=-2.0), "use min_val"),
}


@pytest.mark.parametrize("name", CALLS)
def test_warnings_point_at_the_caller_s_line(name) -> None:
    call, message = CALLS[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert [record.filename for record in caught] == [__file__]
    assert message in str(caught[0].message)
