"""The Transformer and its parts."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn, optim
from parity_tests.cases import Case, ModuleParity
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
    Case("TransformerDecoderLayer", "8, 2, 6, 0.3, 'gelu'", [TGT, SRC]),
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


def test_the_causal_mask() -> None:
    found = nn.Transformer.generate_square_subsequent_mask(4)
    theirs = torch.nn.Transformer.generate_square_subsequent_mask(4)
    np.testing.assert_array_equal(found.data, to_numpy(theirs))


def test_unknown_activation() -> None:
    with pytest.raises(ValueError, match="activation must be 'relu', 'gelu' or a callable"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
