"""The Transformer and its parts."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn, optim
from parity_tests.cases import Case, ModuleParity, manual_seed
from parity_tests.nn.test_attention import INEXACT
from torch_ref.convert import copy_weights, to_numpy, to_torch

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")
SRC, TGT = (4, 2, 8), (3, 2, 8)
LAYER = "nn.TransformerEncoderLayer(8, 2, 6, 0.0, dtype=dtype)"
DECODER_LAYER = "nn.TransformerDecoderLayer(8, 2, 6, 0.0, 'gelu', dtype=dtype)"
PADDING = {"src_key_padding_mask": np.arange(4) >= np.array([[4], [2]])}
CASES = [
    Case("TransformerEncoderLayer", "8, 2, 6, 0.3, 'gelu'", SRC),
    Case("TransformerEncoderLayer", "8, 2, 6, norm_first=True, bias=False", (4, 8), kinks=True),
    Case("TransformerEncoderLayer", "8, 1, 6, 0.0, nn.Tanh(), 0.1", SRC, options=PADDING),
    # its scores go up to 50, whose rounding the weights magnify
    Case("TransformerDecoderLayer", "8, 2, 6, 0.3, 'gelu'", [TGT, SRC], exceptions=INEXACT),
    Case("TransformerDecoderLayer", "8, 2, 6, norm_first=True", [TGT, SRC], kinks=True),
    Case("TransformerEncoder", f"{LAYER}, 2, nn.LayerNorm(8, dtype=dtype)", SRC, kinks=True),
    Case("TransformerDecoder", f"{DECODER_LAYER}, 2", [TGT, SRC], exceptions=INEXACT),
    Case("Transformer", "8, 2, 1, 1, 6, 0.2, 'gelu'", [SRC, TGT], exceptions=INEXACT),
]


class TestTransformer(ModuleParity):
    cases = CASES


@pytest.mark.parametrize("batch_first", [False, True])
def test_trained_in_lockstep(batch_first) -> None:
    """Encoder and decoder, with dropout and masks, from one seed."""
    rng = np.random.default_rng(0)
    src, tgt, goal = rng.standard_normal((3, 4, 4, 8))
    mask = np.triu(np.ones((4, 4), bool), 1)
    options = {"batch_first": batch_first, "norm_first": not batch_first}
    losses = []
    for world in (numpy_impl, torch):
        world.manual_seed(5)
        model = world.nn.Transformer(8, 2, 2, 2, 12, 0.2, dtype=world.float64, **options)
        make = world.optim.Adam if world is torch else optim.Adam
        optimizer = make(model.parameters(), lr=0.01)
        x, y, z, m = map(world.tensor, (src, tgt, goal, mask))
        for _ in range(4):
            optimizer.zero_grad()
            output = model(x, y, src_mask=m, tgt_mask=m)
            loss = ((output - z) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    np.testing.assert_allclose(losses[:4], losses[4:], rtol=1e-9)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested:UserWarning")
@pytest.mark.parametrize("mask_check", [True, False])
@pytest.mark.parametrize("at_the_end", [True, False])
def test_padding_of_an_encoder_in_evaluation(at_the_end, mask_check) -> None:
    ours, twin = (
        world.nn.TransformerEncoder(
            world.nn.TransformerEncoderLayer(8, 2, 6, batch_first=True, dtype=world.float64),
            2,
            mask_check=mask_check,
        ).eval()
        for world in (numpy_impl, torch)
    )
    copy_weights(ours, twin)
    x = np.random.default_rng(0).standard_normal((2, 4, 8))
    padding = np.array([[False] * 4, [False, False, True, False]])
    padding[1, 3] = at_the_end
    with numpy_impl.no_grad(), torch.no_grad():
        found = ours(x, src_key_padding_mask=padding)
        theirs = twin(to_torch(x), src_key_padding_mask=to_torch(padding))
    np.testing.assert_allclose(found, to_numpy(theirs), rtol=1e-9, atol=1e-11)
    assert (found[1, 3] == 0).all() == (at_the_end or not mask_check)


LATER = np.triu(np.ones((4, 4), bool), 1)
MASKS: dict[str, dict[str, Any]] = {
    "booleans": {
        "src_mask": np.eye(5, k=1, dtype=bool),
        "tgt_mask": LATER,
        "memory_mask": np.eye(4, 5, k=2, dtype=bool),
        "src_key_padding_mask": np.arange(5) >= np.array([[5], [4], [3]]),
        "tgt_key_padding_mask": np.arange(4) >= np.array([[4], [2], [3]]),
        "memory_key_padding_mask": np.arange(5) >= np.array([[3], [5], [4]]),
    },
    "numbers": {
        name: np.random.default_rng(i).standard_normal(shape)
        for i, (name, shape) in enumerate(
            {
                "src_mask": (6, 5, 5),
                "tgt_mask": (4, 4),
                "memory_mask": (6, 4, 5),
                "src_key_padding_mask": (3, 5),
                "tgt_key_padding_mask": (3, 4),
                "memory_key_padding_mask": (3, 5),
            }.items()
        )
    },
    "hints": {
        "src_mask": np.triu(np.ones((5, 5), bool), 1),
        "tgt_mask": np.where(LATER, -np.inf, 0.0),
        "memory_mask": np.triu(np.ones((4, 5), bool), 1),
        "src_is_causal": True,
        "tgt_is_causal": True,
        "memory_is_causal": True,
    },
    "hints that are taken at their word": {
        "tgt_mask": ~LATER,
        "tgt_is_causal": True,
        "memory_mask": np.eye(4, 5, dtype=bool),
        "memory_is_causal": True,
    },
    "a hint that is denied": {"tgt_mask": LATER, "src_is_causal": False, "tgt_is_causal": False},
}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("kind", MASKS)
def test_masks_and_hints_of_a_transformer(kind, train, batch_first) -> None:
    """Outputs, and gradients for inputs, masks of numbers and parameters; on arrays the same."""
    rng, options = np.random.default_rng(0), MASKS[kind]
    src, tgt, upstream = (rng.standard_normal((3, n, 8)) for n in (5, 4, 4))
    if not batch_first:
        src, tgt, upstream = (x.swapaxes(0, 1) for x in (src, tgt, upstream))
    found = []
    models = []
    for world in (torch, numpy_impl):
        world.manual_seed(5)
        model = world.nn.Transformer(
            8, 2, 2, 2, 12, 0.2, "gelu", batch_first=batch_first, dtype=world.float64
        ).train(train)
        models.append(model)
        leaves = {
            name: world.tensor(value) if isinstance(value, np.ndarray) else value
            for name, value in {"src": src, "tgt": tgt, **options}.items()
        }
        needed = [v for v in leaves.values() if "float" in str(getattr(v, "dtype", ""))]
        for leaf in needed:
            leaf.requires_grad = True
        manual_seed(1)
        output = model(**leaves)
        output.backward(world.tensor(upstream))
        grads = [leaf.grad for leaf in (*needed, *model.parameters())]
        found.append((output.detach().numpy(), grads))
    (wanted, others), (output, grads) = found
    np.testing.assert_allclose(output, wanted, rtol=1e-9, atol=1e-11)
    for grad, other in zip(grads, others, strict=True):
        if other is None:  # of the mask that a hint replaces
            assert grad is None or not grad.any()
        else:
            np.testing.assert_allclose(grad, other.numpy(), rtol=1e-9, atol=1e-11)
    ours = models[1]
    ours.zero_grad()
    manual_seed(1)
    np.testing.assert_array_equal(ours(src, tgt, **options), output)
    on_arrays = [*ours.backward(upstream), *(p.grad for p in ours.parameters())]
    for grad, other in zip(filled(on_arrays), filled(grads), strict=True):
        np.testing.assert_array_equal(grad, other)


def filled(grads: list[Any]) -> list[np.ndarray]:
    """Those that are there: masks of booleans and replaced ones have none, or zeros."""
    return [grad for grad in grads if grad is not None and grad.any()]


def test_an_encoder_and_a_decoder_of_one_s_own() -> None:
    """They get what torch's get, and may be any modules."""
    rng, seen = np.random.default_rng(0), []
    src, tgt = rng.standard_normal((2, 4, 3, 8))
    losses = []
    for world in (numpy_impl, torch):

        class Own(world.nn.Module):
            def __init__(self, layer: Any) -> None:
                super().__init__()
                self.layer = layer

            def forward(self, *inputs: Any, **options: Any) -> Any:
                seen.append(sorted(options))
                return self.layer(sum(inputs[1:], inputs[0]))

        world.manual_seed(3)
        linear = Own(world.nn.Linear(8, 8, dtype=world.float64))
        norm = world.nn.LayerNorm(8, dtype=world.float64)
        layer = world.nn.TransformerDecoderLayer(8, 2, 6, 0.0, dtype=world.float64)
        for parts in (
            {"custom_encoder": linear},
            {"custom_decoder": linear},
            {"custom_encoder": linear, "custom_decoder": linear},
            {"custom_decoder": world.nn.TransformerDecoder(layer, 1, norm)},
        ):
            model = world.nn.Transformer(8, 2, 1, 1, 6, 0.0, **parts, dtype=world.float64)
            model.zero_grad()
            loss = (model(world.tensor(src), world.tensor(tgt)) ** 3).sum()
            loss.backward()
            first = next(iter(model.parameters()))
            losses += [loss.item(), float(abs(first.grad).sum())]
    np.testing.assert_allclose(losses[:8], losses[8:], rtol=1e-9)
    assert seen[:4] == seen[4:]
    assert len(seen[0]) == 3
    assert len(seen[1]) == 6


X = np.ones((4, 2, 8), "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda n, x: n.Transformer(8, 2, 1, 1, 6)(x, x[:, :1]), ValueError, "tgt must have src's"),
        (lambda n, x: n.Transformer(8, 2, 1, 1, 6)(x[..., :4], x), ValueError, "src's last axis"),
        (lambda n, x: n.Transformer(8, 2, 1, 1, 6)(x, x[..., :4]), ValueError, "tgt's last axis"),
        (
            lambda n, x: n.Transformer(8, 2, 1, 1, 6)(x, x, src_is_causal=True),
            ValueError,
            "attn_mask must be given where is_causal",
        ),
        (
            lambda n, x: n.Transformer(8, 2, 1, 1, 6)(x, x, tgt_mask=x[:3, 0, :4] > 0),
            ValueError,
            r"attn_mask must have shape \(4, 4\) or \(4, 4, 4\), got \(3, 4\)",
        ),
    ],
)
def test_wrong_use(make, error, message) -> None:
    """What torch refuses, too."""
    for value in (X, numpy_impl.tensor(X)):
        with pytest.raises(error, match=message):
            make(nn, value)
    with pytest.raises((RuntimeError, AssertionError)):
        make(torch.nn, torch.tensor(X))


def test_masks_of_two_dtypes_are_warned_of_as_in_torch() -> None:
    """As often as by torch, at the caller's own line."""
    padding, mask = np.zeros((2, 4), bool), np.zeros((4, 4), "f")
    layer = "TransformerEncoderLayer", "TransformerDecoderLayer"
    calls = {
        "MultiheadAttention": lambda n: n.MultiheadAttention(8, 2),
        layer[0]: lambda n: getattr(n, layer[0])(8, 2, 6),
        "TransformerEncoder": lambda n: n.TransformerEncoder(getattr(n, layer[0])(8, 2, 6), 2),
        layer[1]: lambda n: getattr(n, layer[1])(8, 2, 6),
        "TransformerDecoder": lambda n: n.TransformerDecoder(getattr(n, layer[1])(8, 2, 6), 2),
    }
    for name, make in calls.items():
        counts = []
        for world in (nn, torch.nn):
            module = make(world)
            wrap = numpy_impl.tensor if world is nn else torch.tensor
            x, m, p = map(wrap, (X, mask, padding))
            options = {"tgt_mask": m, "tgt_key_padding_mask": p}
            if "Encoder" in name:
                options = {"mask" if name.endswith("er") and "Layer" not in name else "src_mask": m,
                           "src_key_padding_mask": p}  # fmt: skip
            elif name == "MultiheadAttention":
                options = {"attn_mask": m, "key_padding_mask": p}
            inputs = (x, x, x) if name == "MultiheadAttention" else (x, x)[: 1 + ("De" in name)]
            with pytest.warns(UserWarning, match="key_padding_mask and") as caught:
                module(*inputs, **options)
            counts.append(len(caught))
            if world is nn:
                assert {record.filename for record in caught} == {__file__}
        assert counts[0] == counts[1], name


def test_the_causal_mask() -> None:
    found = nn.Transformer.generate_square_subsequent_mask(4)
    theirs = torch.nn.Transformer.generate_square_subsequent_mask(4)
    np.testing.assert_array_equal(found.data, to_numpy(theirs))


def test_unknown_activation() -> None:
    with pytest.raises(ValueError, match="activation must be 'relu', 'gelu' or a callable"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
