"""Recurrent cells, and layers that go along time: (batch, time, features)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from torch_ref.checking.explain import Case, Explanation
from torch_ref.checking.kinds.draws import _parameter, generator
from torch_ref.checking.kinds.linear import INPUTS, OUTPUTS
from torch_ref.checking.probe import Array, Kind, Probe

Tensor = torch.Tensor
State = tuple[Tensor, ...]
Step = Callable[..., State]


def _gates(x: Tensor, h: Tensor, w: dict[str, Tensor], n: int) -> tuple[Any, Any]:
    of_x = torch.nn.functional.linear(x, w["weight_ih"], w["bias_ih"]).chunk(n, -1)
    of_h = torch.nn.functional.linear(h, w["weight_hh"], w["bias_hh"]).chunk(n, -1)
    return of_x, of_h


def _through(function: Any, value: Tensor, is_whole: bool) -> Tensor:
    """A function, or its value with the derivative 1: what forgets its derivative computes."""
    return function(value) if is_whole else value + (function(value) - value).detach()


def rnn_step(x: Tensor, h: Tensor, w: dict[str, Tensor], derivative: bool = True) -> State:
    of_x, of_h = _gates(x, h, w, 1)
    return (_through(torch.tanh, of_x[0] + of_h[0], derivative),)


def lstm_step(
    x: Tensor,
    h: Tensor,
    c: Tensor,
    w: dict[str, Tensor],
    derivative: bool = True,
    gates: bool = True,
    new_cell_in_forget: bool = False,
) -> State:
    of_x, of_h = _gates(x, h, w, 4)
    i, f, g, o = (a + b for a, b in zip(of_x, of_h, strict=True))
    i, f, o = (_through(torch.sigmoid, v, gates) for v in (i, f, o))
    g = _through(torch.tanh, g, gates)
    c_next = f * c + i * g
    if new_cell_in_forget:  # the same value, but df = dc * c_next
        c_next = f.detach() * c + i * g + (f - f.detach()) * c_next.detach()
    return o * _through(torch.tanh, c_next, derivative), c_next


def gru_step(
    x: Tensor,
    h: Tensor,
    w: dict[str, Tensor],
    reset_first: bool = False,
    inverted: bool = False,
    derivative: bool = True,
) -> State:
    of_x, of_h = _gates(x, h, w, 3)
    r, z = torch.sigmoid(of_x[0] + of_h[0]), torch.sigmoid(of_x[1] + of_h[1])
    inner = of_h[2]
    if reset_first:
        inner = torch.nn.functional.linear(
            r * h, w["weight_hh"].chunk(3)[2], w["bias_hh"].chunk(3)[2]
        )
        n = of_x[2] + inner
    else:
        n = of_x[2] + r * inner
    n = _through(torch.tanh, n, derivative)
    return ((1 - z) * h + z * n,) if inverted else ((1 - z) * n + z * h,)


STEPS: dict[str, Step] = {"RNN": rnn_step, "LSTM": lstm_step, "GRU": gru_step}
_GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


class _Twin(torch.nn.Module):
    """torch's cell, once or along time; of a cell with two states both are its output."""

    def __init__(self, family: str, along_time: bool, inputs: int, hidden: int) -> None:
        super().__init__()
        self.family, self.along_time = family, along_time
        rows = _GATES[family] * hidden
        shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, hidden),
                  "bias_ih": (rows,), "bias_hh": (rows,)}  # fmt: skip
        for name, shape in shapes.items():
            self.register_parameter(name, torch.nn.Parameter(torch.zeros(shape)))

    def forward(self, x: Tensor, *state: Tensor) -> Tensor:
        return run(self.family, dict(self.named_parameters()), x, state, self.along_time)


def run(
    family: str,
    w: dict[str, Tensor],
    x: Tensor,
    state: State,
    along_time: bool,
    carried: Callable[[int, Tensor], Tensor] = lambda i, s: s,
    weights_at: Callable[[int], dict[str, Tensor]] | None = None,
    **changes: Any,
) -> Tensor:
    """A cell's new state, or all hidden states.

    ``carried`` is what a step hands on of state i; ``weights_at`` the weights of a step.
    """
    step = STEPS[family]
    if not along_time:
        return torch.cat(step(x, *state, w, **changes), -1)
    zeros = x.new_zeros(len(x), w["weight_hh"].shape[1])
    state = (zeros,) * (2 if family == "LSTM" else 1)
    outputs = []
    for t in range(x.shape[1]):
        state = step(x[:, t], *state, weights_at(t) if weights_at else w, **changes)
        outputs.append(state[0])
        state = tuple(carried(i, s) for i, s in enumerate(state))
    return torch.stack(outputs, 1)


def _draw(family: str, along_time: bool) -> Callable[..., list[Probe]]:
    def draw(*args: Any, **kwargs: Any) -> list[Probe]:
        probes = []
        for rows, note in ((2, ""), (1, "a batch of one")):
            rng = generator(family, along_time, args, sorted(kwargs.items()), rows)
            twin = _Twin(family, along_time, *args, **kwargs).double()
            hidden = twin.get_parameter("weight_hh").shape[1]
            parameters = {
                name: _parameter(rng, name, tuple(value.shape))
                for name, value in twin.named_parameters()
            }
            parameters["bias_hh"] = 0 * parameters["bias_hh"]  # most people have one bias
            inputs = twin.get_parameter("weight_ih").shape[1]
            if along_time:
                given = [rng.standard_normal((rows, 4, inputs))]
            else:
                states = 2 if family == "LSTM" else 1
                given = [rng.standard_normal((rows, inputs))]
                given += [rng.standard_normal((rows, hidden)) for _ in range(states)]
            with torch.no_grad():
                shape = twin(*map(torch.from_numpy, given)).shape
            upstream = rng.standard_normal(tuple(shape))
            probe = Probe(args, kwargs, tuple(given), parameters, upstream, note=note)
            probes.append(probe)
        return probes

    return draw


def _kind(family: str, along_time: bool, *aliases: str) -> Kind:
    like = family if along_time else f"{family}Cell"

    def twin(input_size: int, hidden_size: int) -> torch.nn.Module:
        return _Twin(family, along_time, input_size, hidden_size)

    more = ("hidden", "cell") if family == "LSTM" else ("hidden",)
    return Kind(
        like,
        "layer",
        aliases,
        (((3, 5), {}),),
        _draw(family, along_time),
        {
            "input_size": ("input_size", "d", "x_dim", "vocab_size", *INPUTS),
            "hidden_size": ("hidden_size", "hidden_dim", "h", "h_dim", "num_hiddens", "n_hidden",
                            "hidden_units", "n_h", *OUTPUTS),
        },
        twin,
        ("grad bias_hh", "grad hidden", "grad cell"),
        () if along_time else more,
    )  # fmt: skip


KINDS = (
    _kind(
        "RNN", True, "rnn", "rnnforward", "simplernn", "vanillarnn", "recurrent", "elman", "timernn"
    ),
    _kind("LSTM", True, "lstm", "lstmforward", "timelstm"),
    _kind("GRU", True, "gru", "gruforward", "timegru"),
    _kind("RNN", False, "rnncell", "rnnstep", "rnncellforward", "recurrentcell"),
    _kind("LSTM", False, "lstmcell", "lstmstep", "lstmcellforward", "lstmunit"),
    _kind("GRU", False, "grucell", "grustep", "grucellforward", "gruunit"),
)
LIKES = tuple(kind.like for kind in KINDS)
_TIME = ("RNN", "LSTM", "GRU")


def _variant(**changes: Any) -> Callable[[Case, str], Array | None]:
    """A part of a layer that is changed, by torch's autograd."""

    def value(case: Case, part: str) -> Array | None:
        return changed(case, **changes).get(part)

    return value


def changed(case: Case, last_step: bool = False, only: int | None = None, **changes: Any) -> Any:
    family = _family(case)
    along_time = case.x.ndim == 3
    w = {
        n: torch.from_numpy(np.array(v)).requires_grad_() for n, v in case.probe.parameters.items()
    }
    inputs = [torch.from_numpy(np.array(v)).requires_grad_() for v in case.probe.inputs]
    if only is not None:  # a weight's gradient is that of one step alone
        at = only % inputs[0].shape[1]
        frozen = {n: v.detach() for n, v in w.items()}
        changes["weights_at"] = lambda t: w if t == at else frozen
    output = run(family, w, inputs[0], tuple(inputs[1:]), along_time, **changes)
    upstream = np.array(case.dy)
    if last_step:
        upstream[:, :-1] = 0
    output.backward(torch.from_numpy(upstream))
    parts = {"output": output.detach().numpy()}
    for name, tensor in zip(("input", "hidden", "cell"), inputs, strict=False):
        assert tensor.grad is not None
        parts[f"grad {name}"] = tensor.grad.numpy()
    parts |= {f"grad {n}": v.grad.numpy() for n, v in w.items() if v.grad is not None}
    return parts


def _family(case: Case) -> str:
    rows = case["weight_hh"].shape[0] // case["weight_hh"].shape[1]
    return {1: "RNN", 3: "GRU", 4: "LSTM"}[rows]


def _explanation(
    key: str, likes: str, part: str, says: str, value: Any, **more: Any
) -> Explanation:
    return Explanation(key, part, says, value, tuple(likes.split()), **more)


_NOTHING = (
    "Nothing is carried back from step to step: dh at step t is the upstream's share plus what "
    "step t + 1 hands back through the state."
)
EXPLANATIONS = (
    _explanation(
        "nothing carried back",
        "RNN LSTM GRU",
        "grad *",
        _NOTHING,
        _variant(carried=lambda i, s: s.detach()),
        textbook="lstm_backward",
    ),
    _explanation(
        "cell state not carried back",
        "LSTM",
        "grad *",
        "The cell's gradient is not carried back: dc at step t takes dc * f of step t + 1.",
        _variant(carried=lambda i, s: s.detach() if i else s),
        textbook="lstm_backward",
    ),
    _explanation(
        "hidden state not carried back",
        "LSTM",
        "grad *",
        "The hidden state's gradient is not carried back: dh at step t takes what step t + 1 hands "
        "back through its gates.",
        _variant(carried=lambda i, s: s if i else s.detach()),
        textbook="lstm_backward",
    ),
    _explanation(
        "own step only",
        "RNN LSTM GRU",
        "grad [!i]*",
        "{part} is that of the first step alone: each step overwrites it; add them up, dW += for "
        "dW =.",
        _variant(only=0),
        textbook="lstm_backward",
    ),
    _explanation(
        "own step only",
        "RNN LSTM GRU",
        "grad [!i]*",
        "{part} is that of the last step alone: the steps' gradients must be added up.",
        _variant(only=-1),
        textbook="lstm_backward",
    ),
    _explanation(
        "last output only",
        "RNN LSTM GRU",
        "grad *",
        "Only the last step's upstream gradient is used: each step's own must be added.",
        _variant(last_step=True),
        textbook="lstm_backward",
    ),
    _explanation(
        "tanh's derivative missing",
        "RNN RNNCell LSTM LSTMCell GRU GRUCell",
        "grad *",
        "The derivative of tanh is missing: multiply by 1 - tanh^2.",
        _variant(derivative=False),
    ),
    _explanation(
        "gates' derivatives missing",
        "LSTM LSTMCell",
        "grad *",
        "The derivatives of the gates are missing: s (1 - s) for sigmoids, 1 - g^2 for tanh.",
        _variant(gates=False),
        textbook="lstm_step_backward",
    ),
    _explanation(
        "new cell in the forget gate",
        "LSTM LSTMCell",
        "grad *",
        "The forget gate's gradient takes the new cell state: it is dc * c_prev.",
        _variant(new_cell_in_forget=True),
        textbook="lstm_step_backward",
    ),
    _explanation(
        "reset before the product",
        "GRU GRUCell",
        "*",
        "The reset gate multiplies the state before its matrix, W (r h), as in the paper; "
        "PyTorch's multiplies the product, r (W h).",
        _variant(reset_first=True),
        then="weights are not exchanged with PyTorch's GRU",
    ),
    _explanation(
        "update gate inverted",
        "GRU GRUCell",
        "*",
        "The update gate keeps 1 - z of the state; in PyTorch z.",
        _variant(inverted=True),
        then="the update gate's weights change their sign where you exchange them with PyTorch",
    ),
    _explanation(
        "update gate inverted, reset before the product",
        "GRU GRUCell",
        "*",
        "The update gate keeps 1 - z of the state, and the reset gate multiplies the state before "
        "its matrix, as in the paper; PyTorch has h' = (1 - z) n + z h and r (W h).",
        _variant(inverted=True, reset_first=True),
        then="weights are not exchanged with PyTorch's GRU",
    ),
)
