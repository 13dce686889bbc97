"""The recurrent twins are torch's own layers, step by step."""

import pytest
import torch

from torch_ref.checking.kinds import KINDS


@pytest.mark.parametrize("like", ["RNN", "LSTM", "GRU"])
def test_along_time(like):
    twin = KINDS[like].make(3, 5)
    theirs = getattr(torch.nn, like)(3, 5, batch_first=True).double()
    for name, value in twin.named_parameters():
        value.data = getattr(theirs, f"{name}_l0").data
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(twin(x), theirs(x)[0])


@pytest.mark.parametrize(("like", "states"), [("RNNCell", 1), ("LSTMCell", 2), ("GRUCell", 1)])
def test_cells(like, states):
    twin = KINDS[like].make(3, 5)
    theirs = getattr(torch.nn, like)(3, 5).double()
    for name, value in twin.named_parameters():
        value.data = getattr(theirs, name).data
    x, *state = (torch.randn(2, n, dtype=torch.float64) for n in (3, *(5,) * states))
    if states == 2:
        torch.testing.assert_close(twin(x, *state), torch.cat(theirs(x, tuple(state)), -1))
    else:
        torch.testing.assert_close(twin(x, *state), theirs(x, *state))
