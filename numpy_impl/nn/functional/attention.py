"""scaled_dot_product_attention, multi_head_attention_forward."""

import math
from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn import dotproduct, multihead
from numpy_impl.nn.checks import check_array, names_itself
from numpy_impl.nn.functional.calls import attached, backward_of
from numpy_impl.nn.multihead import Operands, Options
from numpy_impl.tensor.graph import Node
from numpy_impl.tensor.tensor import Tensor, attach, to_array
from numpy_impl.types import Array


@names_itself
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    r""":math:`\mathrm{softmax}(s\,q k^\top + m)\,v`, s = 1 / sqrt(E); (..., L, E) -> (..., L, V).

    Args:
        query, key, value: (..., L, E), (..., S, E), (..., S, V); what is before that broadcasts.
        attn_mask: broadcasts to (..., L, S); True where a query sees a key (the opposite of
            MultiheadAttention's), or m. A query that sees none gets 0.
        dropout_p: the probability of dropping a weight, whatever the mode.
        is_causal: query l sees the keys up to l; not together with a mask.
        scale: s.
        enable_gqa: whether each head of key and value (the third axis from behind) serves several
            heads of the query.

    Source: https://arxiv.org/abs/1706.03762
    (https://pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html)
    """
    q = check_array(to_array(query), "query")
    k, v = (check_array(to_array(x), n, q.dtype) for x, n in ((key, "key"), (value, "value")))
    for x, name in ((q, "query"), (k, "key"), (v, "value")):
        if x.ndim < 2 + enable_gqa:
            raise ValueError(f"{name} must be at least {2 + enable_gqa}-d, got shape {x.shape}")
    if k.shape[-1] != q.shape[-1]:
        raise ValueError(f"key's last axis must be the query's, {q.shape[-1]}, got {k.shape}")
    if v.shape[-2] != k.shape[-2]:
        raise ValueError(f"value must have the key's {k.shape[-2]} rows, got shape {v.shape}")
    many = [_served(q, x, n) if enable_gqa else 1 for x, n in ((k, "key"), (v, "value"))]
    keys, values = (np.repeat(x, n, -3) if n > 1 else x for x, n in zip((k, v), many, strict=True))
    mask = to_array(attn_mask)
    added = _added(mask, is_causal, (q, keys, values))
    scale = 1 / math.sqrt(q.shape[-1] or 1) if scale is None else scale
    output, saved = dotproduct.attention(q, keys, values, added, scale, dropout_p)
    inputs = query, key, value, attn_mask

    def backward(dy: Array, needs: tuple[bool, ...]) -> list[Array | None]:
        dq, dk, dv, dm = dotproduct.attention_backward(dy, saved, mask if needs[3] else None)
        of_keys = [_summed(grad, n) for grad, n in zip((dk, dv), many, strict=True)]
        return [dq, *of_keys, dm]

    return attached("scaled_dot_product_attention", output, inputs, backward)


def _served(q: Array, x: Array, name: str) -> int:
    """How many heads of the query share one of the key's or value's."""
    if x.shape[-3] == q.shape[-3]:
        return 1
    if not x.shape[-3] or q.shape[-3] % x.shape[-3]:
        raise ValueError(f"{name}'s heads must divide the query's {q.shape[-3]}, got {x.shape}")
    return q.shape[-3] // x.shape[-3]


def _summed(grad: Array, many: int) -> Array:
    """The gradient of each head, over those that shared it."""
    if many == 1:
        return grad
    *outer, heads, rows, size = grad.shape
    return np.asarray(grad.reshape(*outer, heads // many, many, rows, size).sum(-3))


def _added(mask: Array | None, is_causal: bool, parts: tuple[Array, Array, Array]) -> Array | None:
    """What is added to the scores; it and the parts are checked to fit one another."""
    q, k, v = parts
    try:
        outer = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
        np.broadcast_shapes(outer, v.shape[:-2])
    except ValueError:
        raise ValueError(
            "key and value must broadcast with the query but for their last two axes, got shapes "
            f"{k.shape} and {v.shape} for {q.shape}"
        ) from None
    sizes = q.shape[-2], k.shape[-2]
    if is_causal:
        if mask is not None:
            raise ValueError("attn_mask must be None where is_causal is True")
        return dotproduct.causal(*sizes, q.dtype)
    if mask is None:
        return None
    allowed = (np.bool_, np.float32, q.dtype)
    if not isinstance(mask, np.ndarray) or mask.dtype not in allowed:
        found = getattr(mask, "dtype", type(mask).__name__)
        raise TypeError(f"attn_mask must be an array of bool, float32 or {q.dtype}, got {found}")
    shape = (*outer, *sizes)
    fits = 2 <= mask.ndim <= len(shape) and all(
        n in (1, m) for n, m in zip(mask.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ValueError(
            f"attn_mask must have 2 axes or more that broadcast to {shape}, got {mask.shape}"
        )
    return dotproduct.additive(~mask if mask.dtype == np.bool_ else mask, q.dtype)


@names_itself
def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Any:
    """Several attentions between linear maps; see :class:`~numpy_impl.nn.MultiheadAttention`.

    Args:
        query, key, value: (L, N, E), (S, N, E), (S, N, E), or without N.
        embed_dim_to_check: E.
        use_separate_proj_weight: whether ``q_proj_weight``, ``k_proj_weight`` and
            ``v_proj_weight`` do what ``in_proj_weight`` would.
        static_k, static_v: (N H, S, E / H), heads of keys and values in place of projected ones.
    """
    own = q_proj_weight, k_proj_weight, v_proj_weight
    if use_separate_proj_weight:
        in_proj_weight = None
    else:
        own = None, None, None
    of_maps = in_proj_weight, in_proj_bias, bias_k, bias_v, out_proj_weight, out_proj_bias
    masks = key_padding_mask, attn_mask
    inputs = Operands(query, key, value, *of_maps, *masks, *own, static_k, static_v)
    given = Operands(*map(to_array, inputs))
    if given.query.shape[-1] != embed_dim_to_check:
        raise ValueError(f"query's last axis must be {embed_dim_to_check}, got {given.query.shape}")
    p = dropout_p if training else 0.0
    options = Options(num_heads, p, need_weights, average_attn_weights, is_causal, add_zero_attn)
    options = multihead.checked(given, options)
    dotproduct.warn_if_mixed(masks[0], "key_padding_mask", masks[1], "attn_mask")
    output, weights, saved = multihead.multi_head_attention(given, options)
    if not any(isinstance(value, Tensor) for value in inputs):
        return output, weights
    results = [Tensor(array) for array in (output, weights) if array is not None]
    needs = Operands(*(isinstance(value, Tensor) and value.requires_grad for value in inputs))
    if grad_mode.enabled and any(needs):

        def way_back(grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
            dy, *dweights = grads
            dy = np.zeros(output.shape, output.dtype) if dy is None else dy
            of_weights = dweights[0] if dweights else None
            found = multihead.multi_head_attention_backward(dy, of_weights, saved, needs)
            return [grad for grad, needed in zip(found, needs, strict=True) if needed]

        tracked = tuple(value for value, needed in zip(inputs, needs, strict=True) if needed)
        node = Node("multi_head_attention_forward", tracked, way_back, len(results), is_layer=True)
        attach(results, node)
    return results[0], results[1] if weights is not None else None


scaled_dot_product_attention_backward = backward_of(scaled_dot_product_attention)
multi_head_attention_forward_backward = backward_of(multi_head_attention_forward)
