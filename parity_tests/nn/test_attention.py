"""MultiheadAttention, and scaled_dot_product_attention."""

import numpy as np
import pytest
import torch

import numpy_impl
import torch_ref
from numpy_impl import nn, textbook
from numpy_impl.kernels import attention as kernels
from numpy_impl.nn import functional
from parity_tests.cases import Case, ModuleParity, manual_seed
from torch_ref.compare import Tolerance
from torch_ref.convert import to_numpy, to_torch

QUERY, KEY = (4, 3, 8), (5, 3, 8)
SEEN = {"need_weights": False}
PADDING = np.arange(5) >= np.array([[5], [3], [1]])  # (N, S)
CAUSAL = np.triu(np.ones((4, 5), bool), 1)


# seen from float64 both sides are off by up to 2e-6 of the largest value, torch's as well as ours;
# the gradient of a key's bias is 0 but for rounding
INEXACT = {
    ("float32", way): Tolerance(rtol=1e-5, atol=4e-6, scaled=True)
    for way in ("input_grad", "param_grad")
}
CASES = [
    Case("MultiheadAttention", "8, 2", [QUERY, KEY, KEY], exceptions=INEXACT),
    Case("MultiheadAttention", "8, 4", [QUERY, KEY, KEY], "no weights", options=SEEN),
    Case("MultiheadAttention", "8, 1, bias=False", [(4, 8), (5, 8), (5, 8)], "no batch"),
    Case("MultiheadAttention", "8, 2, 0.4", [QUERY, KEY, KEY], "dropout"),
    Case("MultiheadAttention", "8, 2, 0.4", [QUERY, KEY, KEY], "dropped, seen", options=SEEN),
    Case("MultiheadAttention", "8, 2, 1.0", [QUERY, KEY, KEY], "all dropped"),
    Case("MultiheadAttention", "8, 2, 0.4", [QUERY, KEY, KEY], train=False),
    Case(
        "MultiheadAttention",
        "8, 2, add_bias_kv=True, add_zero_attn=True",
        [QUERY, KEY, KEY],
        options={"key_padding_mask": PADDING, "attn_mask": CAUSAL, "average_attn_weights": False},
    ),
    Case(
        "MultiheadAttention",
        "8, 2, kdim=3, vdim=6, batch_first=True",
        [(3, 4, 8), (3, 5, 3), (3, 5, 6)],
        options={"attn_mask": CAUSAL, "need_weights": False},
    ),
]


class TestAttention(ModuleParity):
    cases = CASES

    def test_same_seed_same_weights(self, case: Case, dtype: str) -> None:
        """bias_k and bias_v are normal values: to the last digits."""
        manual_seed(3)
        ours, twin = case.build(nn, dtype), case.build(torch_ref.nn, dtype)
        for name, value in twin.state_dict().items():
            allowed = 4 if name in ("bias_k", "bias_v") else 0
            np.testing.assert_array_max_ulp(ours.state_dict()[name], to_numpy(value), allowed)


@pytest.mark.parametrize("is_causal", [False, True])
def test_the_kernel_is_the_textbook_s_attention(is_causal) -> None:
    rng = np.random.default_rng(0)
    q, k, v, dy = (rng.standard_normal((2, 3, 4, 5)) for _ in range(4))
    mask = np.where(np.tri(4, dtype=bool), 0.0, -np.inf)
    out, masks = np.empty_like(q), [mask] * is_causal
    weights = kernels.attend(q / np.sqrt(5), k, v, out, masks)
    np.testing.assert_allclose(out, textbook.attention(q, k, v, None, is_causal), rtol=1e-12)
    grads = np.empty_like(q), np.empty_like(k), np.empty_like(v)
    kernels.attend_backward(dy, None, weights, (q / np.sqrt(5), k, v), None, grads)
    wanted = textbook.attention_backward(dy, q, k, v, None, is_causal)
    for found, other in zip((grads[0] / np.sqrt(5), *grads[1:]), wanted, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("need_weights", [True, False])
def test_a_query_that_sees_no_key(need_weights) -> None:
    ours = nn.MultiheadAttention(4, 2, dtype="float64")
    twin = torch.nn.MultiheadAttention(4, 2, dtype=torch.float64)
    twin.load_state_dict({key: to_torch(value) for key, value in ours.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((3, 2, 4))
    padding = np.array([[False, False, True], [True] * 3])
    found = ours(x, x, x, padding, need_weights)[0]
    theirs = twin(*[to_torch(x)] * 3, to_torch(padding), need_weights)[0]
    np.testing.assert_allclose(found, to_numpy(theirs), rtol=1e-9, atol=1e-11)
    assert np.isnan(found[:, 1]).all() == need_weights


@pytest.mark.parametrize("widths", [{}, {"kdim": 3, "vdim": 2}])
def test_of_weights_alone_the_output_s_map_has_no_gradient(widths) -> None:
    """Optimizers pass over parameters without one: zeros would decay the weights."""
    found = []
    for world in (numpy_impl, torch):
        world.manual_seed(0)
        layer = world.nn.MultiheadAttention(4, 2, add_bias_kv=True, **widths)
        sizes = 4, widths.get("kdim", 4), widths.get("vdim", 4)
        _, weights = layer(*(world.ones(3, 2, size) for size in sizes))
        weights.square().sum().backward()
        found.append({name: p.grad is None for name, p in layer.named_parameters()})
    assert found[0] == found[1]
    assert found[0]["out_proj.weight"]
    assert not all(found[0].values())


@pytest.mark.parametrize("need_weights", [True, False])
def test_masks_of_numbers_have_gradients(need_weights) -> None:
    rng = np.random.default_rng(0)
    ours = nn.MultiheadAttention(8, 2, dtype="float64")
    twin = torch.nn.MultiheadAttention(8, 2, dtype=torch.float64)
    twin.load_state_dict({key: to_torch(value) for key, value in ours.state_dict().items()})
    x, padding, mask = (rng.standard_normal(s) for s in ((4, 3, 8), (3, 4), (4, 4)))
    y, _ = ours(x, x, x, padding, need_weights, mask)
    grads = ours.backward((y, None))
    leaves = [to_torch(value).requires_grad_() for value in (x, padding, mask)]
    theirs, _ = twin(leaves[0], leaves[0], leaves[0], leaves[1], need_weights, leaves[2])
    theirs.backward(to_torch(y))
    found = sum(grads[:3]), *grads[3:]
    for grad, leaf in zip(found, leaves, strict=True):
        np.testing.assert_allclose(grad, to_numpy(leaf.grad), rtol=1e-9, atol=1e-11)


X = np.ones((4, 3, 8), "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.MultiheadAttention(8, 3), ValueError, "num_heads must divide embed_dim=8"),
        (lambda: nn.MultiheadAttention(0, 1), ValueError, "embed_dim must be at least 1"),
        (lambda: nn.MultiheadAttention(8, 2)(X, X, X[:2]), ValueError, "value must have the key's"),
        (lambda: nn.MultiheadAttention(8, 2)(X, X[..., :2], X), ValueError, "key must be 3-d"),
        (
            lambda: nn.MultiheadAttention(8, 2)(X, X, X, is_causal=True),
            ValueError,
            "attn_mask must be given",
        ),
        (
            lambda: nn.MultiheadAttention(8, 2)(X, X, X, X[0, 0] > 0),
            ValueError,
            r"key_padding_mask must have shape \(3, 4\)",
        ),
        (
            lambda: functional.scaled_dot_product_attention(X, X, X, X[0] > 0, is_causal=True),
            ValueError,
            "attn_mask must be None where is_causal",
        ),
        (
            lambda: functional.scaled_dot_product_attention(X, X, X[:, :2]),
            ValueError,
            "value must have the key's 3 rows",
        ),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def test_dropout_behind_an_attention_whose_batch_is_first() -> None:
    """torch draws in the order (L, N, E) there, in which its output lies in memory."""
    x, found = np.random.default_rng(0).standard_normal((3, 4, 8)), []
    for world in (numpy_impl, torch):
        world.manual_seed(2)
        layer = world.nn.MultiheadAttention(8, 2, batch_first=True, dtype=world.float64)
        y, _ = layer(*[world.tensor(x)] * 3, need_weights=False)
        dropout = world.nn.Dropout(0.5)
        if world is torch:
            found.append(to_numpy(dropout(y)))
        else:
            found.append(dropout(y.transpose(0, 1)).transpose(0, 1).detach().numpy())
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-11)


def test_dropout_of_dot_products_is_torch_s() -> None:
    q, k, v = np.random.default_rng(0).standard_normal((3, 2, 3, 4, 5))
    numpy_impl.manual_seed(3)
    found = functional.scaled_dot_product_attention(q, k, v, dropout_p=0.4)
    torch.manual_seed(3)
    theirs = torch.nn.functional.scaled_dot_product_attention(
        *map(to_torch, (q, k, v)), dropout_p=0.4
    )
    np.testing.assert_allclose(found, to_numpy(theirs), rtol=1e-9, atol=1e-11)
