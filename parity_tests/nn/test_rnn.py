"""RNN, LSTM and GRU."""

import copy
import gc
import pickle
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn.utils import rnn as packing
from parity_tests.cases import Case, ModuleParity, manual_seed
from parity_tests.nn.test_attention_any import in_memory_order
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result
from torch_ref.convert import copy_weights, to_numpy, to_torch

NAMES = ("RNN", "LSTM", "GRU")


def state_of(name: str, *shape: int) -> tuple[int, ...] | list[tuple[int, ...]]:
    return [shape, shape] if name == "LSTM" else shape


CASES = [
    case
    for name in NAMES
    for case in (
        Case(name, "3, 4", (5, 2, 3)),
        Case(name, "3, 4", [(5, 2, 3), state_of(name, 1, 2, 4)], "with a state"),
        Case(
            name,
            "3, 4, 2, bidirectional=True",
            [(5, 2, 3), state_of(name, 4, 2, 4)],
            "both directions",
        ),
        Case(name, "3, 4, 2, bias=False, batch_first=True", (2, 5, 3)),
        Case(name, "3, 4", (5, 3), "no batch"),
        Case(
            name,
            "3, 4, 2, batch_first=True, bidirectional=True",
            [(3, 3), state_of(name, 4, 4)],
            "no batch: batch_first means nothing",
        ),
        Case(name, "3, 4, 3, dropout=0.4", (5, 2, 3)),
        Case(name, "3, 4, 2, dropout=0.3, bidirectional=True, batch_first=True", (2, 5, 3)),
        Case(name, "3, 4, 2, dropout=1", (5, 2, 3), "all is dropped"),
        Case(name, "3, 4, 2, dropout=0.4", (5, 2, 3), train=False),
        Case(name, "3, 4, bidirectional=True", [(1, 1, 3), state_of(name, 2, 1, 4)], "one step"),
        Case(name, "3, 4", [(5, 0, 3), state_of(name, 1, 0, 4)], "empty batch"),
        Case(name, "1, 1", (2, 1, 1), "smallest"),
        # (RNNs of many such large weights are chaotic: rounding grows from step to step)
        Case(name, "20, 10", (2 if name == "RNN" else 9, 3, 20), "longer sums"),
    )
] + [
    Case("RNN", "3, 4, 2, 'relu'", [(5, 2, 3), (2, 2, 4)]),
    Case("RNN", "3, 4, nonlinearity='relu', bias=False, bidirectional=True", (5, 3)),
    Case("LSTM", "3, 4, proj_size=2", [(5, 2, 3), [(1, 2, 2), (1, 2, 4)]]),
    Case(
        "LSTM",
        "3, 4, 2, proj_size=3, bias=False, bidirectional=True, batch_first=True",
        [(2, 5, 3), [(4, 2, 3), (4, 2, 4)]],
        "projected, both directions",
    ),
    Case("LSTM", "3, 4, 2, proj_size=1, dropout=0.5", (5, 3), "projected, no batch"),
]


class TestRNN(ModuleParity):
    cases = CASES


def flat(value: Any) -> list[Any]:
    """The floating-point arrays or tensors within; None and integers are passed over."""
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in flat(part)]
    return [] if value is None or "int" in str(value.dtype) else [value]


@st.composite
def configurations(draw: Any) -> tuple[str, dict[str, Any], list[int], bool, bool, int]:
    name = draw(st.sampled_from(NAMES))
    options = {
        "input_size": draw(st.integers(1, 4)),
        "hidden_size": draw(st.integers(1, 4)),
        "num_layers": draw(st.integers(1, 3)),
        **{k: draw(st.booleans()) for k in ("bias", "batch_first", "bidirectional")},
    }
    if name == "LSTM":
        options["proj_size"] = draw(st.integers(0, options["hidden_size"] - 1))
    if name == "RNN":
        options["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if options["num_layers"] > 1:
        options["dropout"] = draw(st.sampled_from([0.0, 0.3]))
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    return (
        name,
        options,
        lengths,
        *draw(st.tuples(st.booleans(), st.booleans())),
        draw(st.integers(0, 2**16)),
    )


@given(configurations())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_configuration_packed_and_padded(configuration) -> None:
    """Outputs, states and all gradients, on arrays and on Tensors."""
    name, options, lengths, is_packed, has_state, seed = configuration
    rng = np.random.default_rng(seed)
    twin = getattr(torch.nn, name)(**options, dtype=torch.float64)
    ours = getattr(nn, name)(**options, dtype="float64")
    copy_weights(twin, ours)
    batch, times = len(lengths), max(lengths)
    first = options["batch_first"]
    shape = (batch, times) if first else (times, batch)
    x = in_memory_order(rng.standard_normal((*shape, options["input_size"])), rng)
    size, count = options["hidden_size"], options["num_layers"] * (1 + options["bidirectional"])
    sizes = (options["proj_size"] or size, size) if name == "LSTM" else (size,)
    states = tuple(in_memory_order(rng.standard_normal((count, batch, s)), rng) for s in sizes)

    def run(world: Any, module: Any, wrap: Any, upstream: Any = None) -> tuple[Any, Any]:
        """Outputs; and the gradients for them, or of Tensors all gradients."""
        utils = world.nn.utils.rnn
        input, state = wrap(x), tuple(map(wrap, states))
        given = utils.pack_padded_sequence(input, lengths, first, False) if is_packed else input
        manual_seed(5)
        hx = (state if len(sizes) > 1 else state[0],) if has_state else ()
        output, after = module(given, *hx)
        padded = utils.pad_packed_sequence(output, first)[0] if is_packed else output
        found = flat((padded, after))
        if upstream is None:
            return found, module
        sum((o * u).sum() for o, u in zip(found, upstream, strict=True)).backward()
        grads = [input.grad, *([s.grad for s in state] if has_state else [])]
        return found, [*grads, *(p.grad for p in module.parameters())]

    outputs, _ = run(numpy_impl, ours, np.array)
    upstream = [rng.standard_normal(o.shape) for o in outputs]
    theirs, wanted = run(
        torch, twin, lambda v: to_torch(v).requires_grad_(), [to_torch(u) for u in upstream]
    )
    tensors, grads = run(
        numpy_impl, ours, lambda v: numpy_impl.tensor(v, requires_grad=True), upstream
    )
    for value in (outputs, [t.data for t in tensors]):
        compare(value, map(to_numpy, theirs), "forward")
    compare(grads, map(to_numpy, wanted), "input_grad")

    # the same on arrays
    ours.zero_grad()
    dy, *dstate = upstream
    if is_packed:
        dy = packing.pack_padded_sequence(dy, lengths, first, False)
    dx = ours.backward((dy, tuple(dstate) if len(sizes) > 1 else dstate[0]))
    dx, dhx = dx if has_state else (dx, ())
    if is_packed:
        data, *others = dx
        assert others == [None] * 3
        packed = packing.PackedSequence(data, *dy[1:])
        dx = packing.pad_packed_sequence(packed, first)[0]
    compare([*flat((dx, dhx)), *(p.grad for p in ours.parameters())], map(to_numpy, wanted))


def compare(ours: Any, theirs: Any, direction: Any = "input_grad") -> None:
    for a, b in zip(ours, theirs, strict=True):
        Result("value", direction, a, b).check(tolerance("float64", direction))


@pytest.mark.parametrize("name", NAMES)
def test_packing_is_running_each_sequence_alone(name) -> None:
    """A property that needs no torch."""
    rng = np.random.default_rng(0)
    layer = getattr(nn, name)(3, 4, 2, bidirectional=True, dtype="float64")
    sequences = [rng.standard_normal((length, 3)) for length in (2, 5, 1, 5)]
    output, last = layer(packing.pack_sequence(sequences, enforce_sorted=False))
    for i, (sequence, found) in enumerate(
        zip(sequences, packing.unpack_sequence(output), strict=True)
    ):
        alone, last_alone = layer(sequence)
        np.testing.assert_allclose(found, alone, rtol=1e-12)
        for one, other in zip(flat((last,)), flat((last_alone,)), strict=True):
            np.testing.assert_allclose(one[:, i], other, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("packed", [False, True])
def test_dropout_draws_what_torch_draws(name, packed) -> None:
    """Bit for bit the same masks, and the stream continues at the same place."""
    ours = getattr(nn, name)(3, 6, 3, dropout=0.5, bidirectional=True, dtype="float64")
    twin = getattr(torch.nn, name)(3, 6, 3, dropout=0.5, bidirectional=True).double()
    copy_weights(twin, ours)
    x = np.random.default_rng(1).standard_normal((4, 3, 3))
    tx = to_torch(x)
    if packed:
        x = packing.pack_padded_sequence(x, [4, 2, 1])
        tx = torch.nn.utils.rnn.pack_padded_sequence(tx, [4, 2, 1])
    manual_seed(11)
    found, wanted = ours(x)[0], twin(tx)[0]
    if packed:
        found, wanted = found.data, wanted.data
    np.testing.assert_allclose(found, to_numpy(wanted), rtol=1e-12)
    np.testing.assert_array_equal(numpy_impl.rand(3), torch.rand(3).numpy())


def test_none_within_the_upstream_gradient_is_zero() -> None:
    layer, x = nn.LSTM(3, 4, dtype="float64"), np.random.default_rng(0).standard_normal((5, 2, 3))
    zero = np.zeros((1, 2, 4))
    output, _ = layer(x)
    full = layer.backward((output, (zero, zero)), retain_graph=True)
    for grad in ((output, None), (output, (None, None)), (output, (zero, None))):
        np.testing.assert_array_equal(layer.backward(grad, retain_graph=True), full)
    of_last = layer.backward((None, (zero + 1, None)), retain_graph=True)
    assert np.abs(of_last).max() > 0
    with pytest.raises(TypeError, match="tuple of 2"):
        layer.backward(None)


def test_gradients_that_nobody_needs_are_not_computed() -> None:
    layer = nn.GRU(3, 4, 2)
    layer.weight_hh_l0.requires_grad_(False)
    layer.bias_ih_l1.requires_grad_(False)
    layer.needs_input_grad_(False)
    output, last = layer(np.ones((5, 2, 3), "f"))
    assert layer.backward((output, last)) is None
    frozen = [name for name, p in layer.named_parameters() if p.grad is None]
    assert frozen == ["weight_hh_l0", "bias_ih_l1"]
    # a state that needs a gradient, in the graph, and an input that needs none
    state = numpy_impl.tensor(np.ones((2, 2, 4), "f"), requires_grad=True)
    layer(numpy_impl.ones(5, 2, 3), state)[0].sum().backward()
    assert state.grad.shape == (2, 2, 4)


def test_a_call_is_one_node() -> None:
    layer = nn.LSTM(3, 4, 2, bidirectional=True)
    output, (h, c) = layer(numpy_impl.ones(5, 2, 3))
    assert output._node is h._node is c._node
    assert output._node.inputs == ()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tensors", [True, False])
def test_nothing_outlives_its_names(name, tensors) -> None:
    gc.disable()
    try:
        layer = getattr(nn, name)(30, 20, 2, bidirectional=True)
        x = np.ones((50, 20, 30), "f")
        sequence = packing.pack_padded_sequence(x, [50] * 10 + [20] * 10)

        def step(layer: nn.Module) -> None:
            if tensors:
                layer(numpy_impl.tensor(x))[0].sum().backward()
                layer(numpy_impl.tensor(x))
            output, last = layer(sequence)
            layer.backward((output, last))
            with numpy_impl.no_grad():
                layer(x)
            layer.zero_grad()

        for _ in range(2):
            step(layer)
        tracemalloc.start()
        step(layer)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3):
            step(layer)
        assert tracemalloc.get_traced_memory()[0] - before < x.nbytes
        tracemalloc.stop()
        fresh = len(pickle.dumps(layer))
        layer(x)
        assert len(pickle.dumps(layer)) < fresh + 200
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            with pytest.raises(RuntimeError, match="without a forward"):
                other.backward(x)
            np.testing.assert_array_equal(other(x)[0], layer(x)[0])
        gone = weakref.ref(layer)
        del layer, other
        assert gone() is None
    finally:
        gc.enable()


def test_looks_and_weights() -> None:
    for options in (
        {},
        {"proj_size": 2, "batch_first": True},
        {"num_layers": 2, "bias": False, "dropout": 0.25, "bidirectional": True},
    ):
        ours, twin = nn.LSTM(3, 4, **options), torch.nn.LSTM(3, 4, **options)
        assert repr(ours) == repr(twin)
        assert list(ours.state_dict()) == list(twin.state_dict())
        shapes = [[tuple(p.shape) for p in some] for some in twin.all_weights]
        assert [[p.shape for p in some] for some in ours.all_weights] == shapes
        assert ours.all_weights[0][0] is ours.weight_ih_l0
        ours.flatten_parameters()
    base, twin = nn.RNNBase("GRU", 3, 4), torch.nn.RNNBase("GRU", 3, 4)
    assert repr(base) == repr(twin)
    assert isinstance(ours, nn.RNNBase)
    with pytest.raises(NotImplementedError, match="RNNBase has no forward"):
        base(np.ones((5, 2, 3), "f"))


def test_dropout_with_one_layer_warns() -> None:
    for make in (lambda: nn.RNN(3, 4, dropout=0.5), lambda: torch.nn.RNN(3, 4, dropout=0.5)):
        with pytest.warns(UserWarning, match="num_layers") as record:
            make()
        assert record[0].filename == __file__ or make.__code__.co_names[0] == "torch"


X = np.ones((5, 2, 3), "f")
H = np.ones((1, 2, 4), "f")
PACKED = packing.pack_padded_sequence(X, [5, 3])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.LSTM(0, 4), ValueError, "LSTM: input_size must be at least 1, got 0"),
        (lambda: nn.LSTM(3, 0), ValueError, "hidden_size must be at least 1, got 0"),
        (lambda: nn.LSTM(3.0, 4), TypeError, "input_size must be an int, got 3.0"),
        (lambda: nn.GRU(3, 4, 0), ValueError, "GRU: num_layers must be at least 1, got 0"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "smaller than hidden_size=4, got 4"),
        (lambda: nn.LSTM(3, 4, proj_size=-1), ValueError, "proj_size must not be negative"),
        (lambda: nn.LSTM(3, 4, bias=1), TypeError, "bias must be a bool, got 1"),
        (lambda: nn.LSTM(3, 4, batch_first=0), TypeError, "batch_first must be a bool, got 0"),
        (lambda: nn.LSTM(3, 4, dropout=2), ValueError, r"dropout must be .* \[0, 1\], got 2"),
        (lambda: nn.LSTM(3, 4, dropout=True), ValueError, "dropout must be a number"),
        (lambda: nn.LSTM(3, 4, dropout="a"), ValueError, "dropout must be a number"),
        (lambda: nn.RNN(3, 4, nonlinearity="x"), ValueError, "RNN: .*'tanh' or 'relu', got 'x'"),
        (lambda: nn.RNNBase("x", 3, 4), ValueError, "RNNBase: mode must be one of RNN_TANH"),
        (lambda: nn.LSTM(3, 4, dtype="int32"), TypeError, "dtype must be float32 or float64"),
        (lambda: nn.LSTM(3, 4)(X[0, 0]), ValueError, "LSTM: input must be 2-d or 3-d, got shape"),
        (lambda: nn.LSTM(3, 4)(X[:0]), RuntimeError, "LSTM: .*one time step at least, got shape"),
        (lambda: nn.LSTM(2, 4)(X), RuntimeError, r"LSTM: .*input_size=2, got shape \(5, 2, 3\)"),
        (lambda: nn.GRU(2, 4)(PACKED), RuntimeError, r"input_size=2, got shape \(8, 3\)"),
        (
            lambda: nn.GRU(3, 4)(packing.PackedSequence(X, [2])),
            RuntimeError,
            "packed input must be 2-d",
        ),
        (lambda: nn.LSTM(3, 4)(X.astype(float)), TypeError, "input must have the parameters'"),
        (lambda: nn.GRU(3, 4)(X, H.astype(float)), TypeError, "hx must have the parameters'"),
        (lambda: nn.GRU(3, 4)(X, H[0]), RuntimeError, r"GRU: hx must have shape \(1, 2, 4\), got"),
        (lambda: nn.GRU(3, 4)(X[:, 0], H), RuntimeError, r"hx must have shape \(1, 4\), got \(1"),
        (lambda: nn.GRU(3, 4, 2)(X, H), RuntimeError, r"hx must have shape \(2, 2, 4\), got"),
        (lambda: nn.GRU(3, 4)(PACKED, H[:, :1]), RuntimeError, r"hx must have shape \(1, 2, 4\)"),
        (lambda: nn.LSTM(3, 4)(X, H), TypeError, "LSTM: hx must be a tuple of 2 arrays, got array"),
        (lambda: nn.LSTM(3, 4)(X, (H,)), TypeError, "must be a tuple of 2 arrays, got tuple of 1"),
        (lambda: nn.LSTM(3, 4)(X, (H, H[:0])), RuntimeError, r"hx\[1\] must have shape"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
