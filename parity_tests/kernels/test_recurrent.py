"""The LSTM's step along time is the step of its definition."""

import numpy as np
import pytest

from numpy_impl.kernels import recurrent
from numpy_impl.nn import rnnstep
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("n", "size"), [(1, 1), (3, 4), (64, 32), (0, 5)])
@np.errstate(over="ignore")
def test_lstm_step(n, size, dtype) -> None:
    a_x, a_h = (RNG.standard_normal((n, 4 * size)).astype(dtype) for _ in range(2))
    h, c, dh, dc = (RNG.standard_normal((n, size)).astype(dtype) for _ in range(4))
    a_x *= 30  # where gates saturate, and the exponential of float32 overflows
    wanted, saved = rnnstep.lstm_step(a_x, a_h, h, c)
    given = [value.copy() for value in (h, c, a_h)]
    found, kept = recurrent.lstm_step(a_x.copy(), a_h, h, c)
    grads = rnnstep.lstm_step_backward(dh, dc, *saved)
    before = [value.copy() for value in (dh, dc, *kept)]
    out = np.empty_like(a_x)
    results = recurrent.lstm_step_backward(dh, dc, *kept, out=out)
    assert results[0] is results[1] is out
    assert results[2] is grads[2] is None
    for ours, theirs in zip((*found, *results), (*wanted, *grads), strict=True):
        if ours is not None:
            Result("lstm_step", "forward", ours, theirs).check(tolerance(dtype, "forward"))
    for value, kept_value in zip((h, c, a_h, dh, dc, *kept), (*given, *before), strict=True):
        np.testing.assert_array_equal(value, kept_value)
