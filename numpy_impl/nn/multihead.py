"""MultiheadAttention, and its pair: attention by several heads, between linear maps.

The heads' own attention is the kernel's, ``kernels/attention.py``; masks are ``dotproduct.py``'s.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from numpy_impl.kernels import attention as kernels
from numpy_impl.nn import init
from numpy_impl.nn.checks import check_array, check_int, float_dtype
from numpy_impl.nn.dotproduct import (
    Ints,
    Three,
    additive,
    causal,
    check_mask,
    dropout_noise,
    warn_if_mixed,
)
from numpy_impl.nn.linear import Linear, linear, linear_backward
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Parameter
from numpy_impl.types import Array, DType

# -- the pair --------------------------------------------------------------------------------------


_BATCHED = "query", "key", "value", "key_padding_mask"


class Operands(NamedTuple):
    """The arrays of a multi-head attention, in the order of torch's function; and gradients.

    Either one weight of 3 E rows projects query, key and value, or each has its own.
    """

    query: Any
    key: Any
    value: Any
    in_proj_weight: Any = None
    in_proj_bias: Any = None
    bias_k: Any = None
    bias_v: Any = None
    out_proj_weight: Any = None
    out_proj_bias: Any = None
    key_padding_mask: Any = None
    attn_mask: Any = None
    q_proj_weight: Any = None
    k_proj_weight: Any = None
    v_proj_weight: Any = None
    static_k: Any = None
    static_v: Any = None

    def with_batch(self) -> "Operands":
        """Inputs without a batch, as a batch of one."""
        given = {name: getattr(self, name) for name in _BATCHED}
        return self._replace(**{n: v[None] for n, v in given.items() if v is not None})

    def projections(self) -> tuple[list[Array], list[Array | None]]:
        """Weights and biases of query, key and value."""
        packed, bias = self.in_proj_weight, self.in_proj_bias
        weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        return (
            weights if packed is None else np.split(packed, 3),
            [None] * 3 if bias is None else list(np.split(bias, 3)),
        )


@dataclass(frozen=True)
class Options:
    """How a multi-head attention works; the names are torch's."""

    num_heads: int
    dropout_p: float = 0.0
    need_weights: bool = True
    average_attn_weights: bool = True
    is_causal: bool = False
    add_zero_attn: bool = False
    batch_first: bool = False

    def heads(self, x: Array) -> Array:
        """(L, N, H D), or (N, L, H D), seen as (N, H, L, D)."""
        split = x.reshape(*x.shape[:2], self.num_heads, x.shape[2] // self.num_heads)
        return split.transpose(0, 2, 1, 3) if self.batch_first else split.transpose(1, 2, 0, 3)

    def rows(self, heads: Array) -> Array:
        """The way back: (N, H, L, D) as (L, N, H D), or (N, L, H D)."""
        split = heads.transpose((0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
        return split.reshape(*split.shape[:2], split.shape[2] * split.shape[3])


class Saved(NamedTuple):
    """What the forward keeps: its arrays, the heads of q, k, v, their means, softmax and noise."""

    operands: Operands
    options: Options
    heads: Three
    means: Array
    weights: Array
    noise: Array | None
    is_single: bool


def multi_head_attention(given: Operands, options: Options) -> tuple[Array, Array | None, Saved]:
    r"""Several attentions side by side, between linear maps; (L, N, E) -> (L, N, E).

    :math:`y = [A_1 V_1, \dots, A_H V_H]\,W_o^\top + b_o`, :math:`A_h = \mathrm{softmax}
    (Q_h K_h^\top / \sqrt{D} + m)`, with :math:`Q_h` the h-th D columns of the query's
    :math:`x W_q^\top + b_q`, and K, V alike.

    Returns:
        y, the weights A (after dropout) if wanted, what :func:`multi_head_attention_backward`
        needs.
    """
    is_single = given.query.ndim == 2
    if is_single:
        given, options = given.with_batch(), replace(options, batch_first=True)
    dtype = given.query.dtype
    heads = _heads(given, options, 0), _heads(given, options, 1), _heads(given, options, 2)
    scale = dtype.type(1 / math.sqrt(heads[0].shape[-1]))
    np.multiply(heads[0], scale, out=heads[0])
    shape = (*heads[0].shape[:3], heads[1].shape[2])  # (N, H, L, S)
    noise = dropout_noise(shape, options.dropout_p, dtype)
    means = np.empty((*given.query.shape[:2], heads[0].shape[1] * heads[2].shape[3]), dtype)
    # torch's two ways differ for a query that sees no key: NaN where the weights are wanted, else 0
    is_safe = not options.need_weights
    masks = _masks(given, options, shape)
    weights = kernels.attend(*heads, options.heads(means), masks, noise, is_safe)
    output = linear(means, given.out_proj_weight, given.out_proj_bias)
    saved = Saved(given, options, heads, means, weights, noise, is_single)
    shown = _shown(weights, noise, options)
    if is_single:
        return output[0], None if shown is None else shown[0], saved
    return output, shown, saved


def multi_head_attention_backward(
    dy: Array, dweights: Array | None, saved: Saved, needs: Operands
) -> Operands:
    """Gradients for all arrays; ``needs`` says which (None for the others).

    Those of the linear maps, around that of attention itself, the kernel's.
    """
    given, options, heads, means, weights, noise, is_single = saved
    if is_single:
        dy, dweights = dy[None], None if dweights is None else dweights[None]
    if dweights is not None and options.average_attn_weights:
        dweights = dweights[:, None] / dweights.dtype.type(options.num_heads)  # (N, 1, L, S)
    of_output = True, needs.out_proj_weight, needs.out_proj_bias
    dmeans, *of_map = linear_backward(dy, means, given.out_proj_weight, of_output)
    assert dmeans is not None
    # in their layout
    dheads = np.empty_like(heads[0]), np.empty_like(heads[1]), np.empty_like(heads[2])
    dscores = kernels.attend_backward(
        options.heads(dmeans),
        dweights,
        weights,
        heads,
        noise,
        dheads,
        keeps_scores=bool(needs.key_padding_mask or needs.attn_mask),
    )
    scale = dy.dtype.type(1 / math.sqrt(heads[0].shape[-1]))
    np.multiply(dheads[0], scale, out=dheads[0])
    grads: dict[str, Any] = dict(zip(("out_proj_weight", "out_proj_bias"), of_map, strict=True))
    grads |= _projection_grads(given, options, dheads, needs)
    if dscores is not None:
        grads |= _mask_grads(given, options, dscores)
    if is_single:
        grads |= {n: grads[n][0] for n in _BATCHED if grads.get(n) is not None}
    return Operands(**{"query": None, "key": None, "value": None, **grads})


def _heads(given: Operands, options: Options, i: int) -> Array:
    """(N, H, L, D): the heads of query, key or value, with what is put behind the last two."""
    static, extra = (None, *given[14:16])[i], (None, given.bias_k, given.bias_v)[i]
    h = options.num_heads
    if static is not None:
        heads = static.reshape(len(static) // h, h, *static.shape[1:])
    else:
        maps, biases = given.projections()
        heads = options.heads(linear(given[i], maps[i], biases[i]))
    row = (*heads.shape[:2], 1, heads.shape[3])
    behind = [] if extra is None else [np.broadcast_to(extra.reshape(1, h, 1, -1), row)]
    if options.add_zero_attn and i:
        behind.append(np.zeros(row, heads.dtype))
    return np.concatenate([heads, *behind], 2) if behind else heads


def _masks(given: Operands, options: Options, shape: Ints) -> list[Array]:
    """What is added to the scores (N, H, L, S), with 0 for what was put behind the keys."""
    n, h, length, sources = shape
    dtype, masks = given.query.dtype, []
    if options.is_causal:  # the hint that the mask is this one
        masks.append(causal(length, sources, dtype))
    elif given.attn_mask is not None:
        mask = additive(given.attn_mask, dtype)
        masks.append(mask if mask.ndim == 2 else mask.reshape(n, h, *mask.shape[1:]))
    if given.key_padding_mask is not None:
        masks.append(additive(given.key_padding_mask, dtype)[:, None, None])
    missing = sources - masks[0].shape[-1] if masks else 0
    behind = [(0, missing)]
    return [np.pad(m, [(0, 0)] * (m.ndim - 1) + behind) for m in masks] if missing else masks


def _shown(weights: Array, noise: Array | None, options: Options) -> Array | None:
    """The weights as they are returned: (N, L, S), the mean over heads, or (N, H, L, S)."""
    if not options.need_weights:
        return None
    used = weights if noise is None else weights * noise
    if options.average_attn_weights:
        return np.asarray(used.mean(1))
    return used.copy() if used is weights else used


def _projection_grads(
    given: Operands, options: Options, dheads: Sequence[Array], needs: Operands
) -> dict[str, Any]:
    """From the gradients of the heads to those of inputs, maps, and what was put behind keys."""
    maps, _ = given.projections()
    needs_map = needs[11:14] if given.in_proj_weight is None else [needs.in_proj_weight] * 3
    grads: dict[str, Any] = {}
    of_maps: list[Sequence[Array | None]] = []
    for i, name in enumerate(("query", "key", "value")):
        static, extra = f"static_{name[0]}", f"bias_{name[0]}"
        is_static, has_extra = (getattr(given, part, None) is not None for part in (static, extra))
        length = dheads[i].shape[2] - has_extra - (options.add_zero_attn and i > 0)
        if has_extra:
            grads[extra] = dheads[i][:, :, length].sum(0).reshape(1, 1, -1)
        of_input = dheads[i][:, :, :length]
        if is_static:
            grads[static] = of_input.reshape(getattr(given, static).shape)
            of_maps.append((np.zeros_like(maps[i]), np.zeros(len(maps[i]), maps[i].dtype)))
            continue
        wanted = needs[i], needs_map[i], needs.in_proj_bias
        grads[name], *of_map = linear_backward(options.rows(of_input), given[i], maps[i], wanted)
        of_maps.append(of_map)
    dmaps, dbiases = zip(*of_maps, strict=True)
    if given.in_proj_weight is None:
        grads |= zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), dmaps, strict=True)
    elif needs.in_proj_weight:
        grads["in_proj_weight"] = np.concatenate(dmaps)
    if needs.in_proj_bias:
        grads["in_proj_bias"] = np.concatenate(dbiases)
    return grads


def _mask_grads(given: Operands, options: Options, dscores: Array) -> dict[str, Any]:
    """What the masks get of the scores' gradient (N, H, L, S): its sum over what they cover."""
    grads: dict[str, Any] = {}
    if given.attn_mask is not None and not options.is_causal:
        shape = given.attn_mask.shape
        of_keys = dscores[..., : shape[-1]]
        of_mask = of_keys.sum((0, 1)) if len(shape) == 2 else np.ascontiguousarray(of_keys)
        grads["attn_mask"] = of_mask.reshape(shape)
    if given.key_padding_mask is not None:
        shape = given.key_padding_mask.shape
        grads["key_padding_mask"] = dscores[..., : shape[-1]].sum((1, 2))
    return grads


# -- what goes in ----------------------------------------------------------------------------------


def checked(given: Operands, options: Options) -> Options:
    """The options for these arrays, which are checked.

    The causal hint holds where torch follows it: without padding, and without the weights.
    """
    dtype, h = given.out_proj_weight.dtype, options.num_heads
    embed_dim = given.out_proj_weight.shape[1]
    query = check_array(given.query, "query", dtype, (2, 3))
    key, value = (check_array(given[i], ("key", "value")[i - 1], dtype) for i in (1, 2))
    maps, _ = given.projections()
    for x, name, w in zip((query, key, value), ("query", "key", "value"), maps, strict=True):
        if x.ndim != query.ndim or x.shape[-1] != w.shape[1]:
            raise ValueError(
                f"{name} must be {query.ndim}-d, as the query, its last axis {w.shape[1]}, "
                f"got shape {x.shape}"
            )
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            f"value must have the key's axes but the last, {key.shape[:-1]}, got {value.shape}"
        )
    batch = 1 - options.batch_first
    n = query.shape[batch] if query.ndim == 3 else 1
    if query.ndim == 3 and key.shape[batch] != n:
        raise ValueError(f"key must have the query's batch of {n}, got shape {key.shape}")
    length, sources = (x.shape[0 if x.ndim == 2 else 1 - batch] for x in (query, key))
    for name, static in zip(("static_k", "static_v"), given[14:16], strict=True):
        if static is not None:
            sources = check_array(static, name, dtype, (3,)).shape[1]
            if static.shape != (n * h, sources, embed_dim // h):
                raise ValueError(
                    f"{name} must have shape ({n * h}, S, {embed_dim // h}), got {static.shape}"
                )
    padding, mask = given.key_padding_mask, given.attn_mask
    if padding is not None:
        wanted = (n, sources) if query.ndim == 3 else (sources,)
        check_mask(padding, "key_padding_mask", dtype, [wanted])
    if mask is not None:
        check_mask(mask, "attn_mask", dtype, [(length, sources), (n * h, length, sources)])
    elif options.is_causal:
        raise ValueError("attn_mask must be given where is_causal says that it is causal")
    follows = options.is_causal and padding is None and not options.need_weights
    return replace(options, is_causal=follows)


# -- the module ------------------------------------------------------------------------------------


_MAPS = "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"


# the parameters that the output depends on, but not the weights
_BEHIND_WEIGHTS = {"v_proj_weight", "bias_v", "out_proj_weight", "out_proj_bias"}


class NonDynamicallyQuantizableLinear(Linear):
    """A Linear, under the name that torch's has within MultiheadAttention.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Linear.html
    """


class MultiheadAttention(Module):
    r"""Each query's mean of the values, weighted by how well their keys fit, by several heads.

    .. math::
        y = [A_1 V_1, \dots, A_H V_H]\,W_o^\top + b_o,\quad
        A_h = \mathrm{softmax}\Big(\frac{Q_h K_h^\top}{\sqrt{D}} + m\Big)

    with :math:`Q = x_q W_q^\top + b_q`, of which head h has the h-th D = E / H columns, and K and V
    alike of key and value; m is the sum of the masks, -inf where a mask of booleans is True.

    Args:
        embed_dim: E, of query and output.
        num_heads: H, a divisor of E.
        dropout: probability of dropping a weight in training.
        bias: False leaves all b out.
        add_bias_kv: True puts a learned key and value behind the others.
        add_zero_attn: True puts a key and value of zeros behind them.
        kdim, vdim: of key and value; E unless given.
        batch_first: whether inputs are (N, L, E) instead of (L, N, E).
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    The call takes query, key, value, and

    - ``key_padding_mask`` (N, S): True for a key that nobody may see, or what to add to its scores;
    - ``need_weights``: whether the weights are returned, else None;
    - ``attn_mask`` (L, S) or (N H, L, S): True where a query may not see a key, or what to add;
    - ``average_attn_weights``: whether the weights are means over the heads;
    - ``is_causal``: the hint that ``attn_mask`` is causal. As in torch it replaces the mask where
      there is no padding and no weights are needed.

    Shape:
        query (L, N, E), key (S, N, kdim), value (S, N, vdim) -> (L, N, E) and (N, L, S), or
        (N, H, L, S); all without N, too. in_proj_weight (3E, E), or q_proj_weight (E, E),
        k_proj_weight (E, kdim), v_proj_weight (E, vdim); in_proj_bias (3E,); out_proj.weight
        (E, E); bias_k, bias_v (1, 1, E).

    The projections start from Glorot's uniform, their biases at 0. The weights come back as
    dropout left them. A query that may see no key gets NaN; without ``need_weights`` 0. (torch has
    a faster way in evaluation without gradients, in which that, too, is NaN; here both are one.)

    With ``batch_first`` torch's output is a view of (L, N, E), and dropout right behind it draws in
    that order. Here it draws in the order of the axes: transpose before and after it for the same
    masks, as the layers of the Transformer do.

    Raises:
        ValueError: if H does not divide E, or shapes do not fit.
        TypeError: if the dtype of an input or a mask is another than the parameters'.

    Source: https://arxiv.org/abs/1706.03762
    (https://pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html)
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: DType = None,
    ) -> None:
        super().__init__()
        self.embed_dim = check_int(embed_dim, "embed_dim", 1)
        self.num_heads = check_int(num_heads, "num_heads", 1)
        self.kdim = embed_dim if kdim is None else check_int(kdim, "kdim", 0)
        self.vdim = embed_dim if vdim is None else check_int(vdim, "vdim", 0)
        if embed_dim % num_heads:
            raise ValueError(f"num_heads must divide embed_dim={embed_dim}, got {num_heads}")
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn
        checked_dtype = float_dtype(dtype, device)

        def parameter(*shape: int, wanted: bool = True) -> Parameter | None:
            return Parameter(np.empty(shape, checked_dtype)) if wanted else None

        packed = self.kdim == self.vdim == embed_dim
        for letter, size in zip("qkv", (embed_dim, self.kdim, self.vdim), strict=True):
            own = parameter(embed_dim, size, wanted=not packed)
            self.register_parameter(f"{letter}_proj_weight", own)
        self.register_parameter(
            "in_proj_weight", parameter(3 * embed_dim, embed_dim, wanted=packed)
        )
        self.register_parameter("in_proj_bias", parameter(3 * embed_dim, wanted=bias))
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, parameter(1, 1, embed_dim, wanted=add_bias_kv))
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name in _MAPS:
            if getattr(self, name) is not None:
                init.xavier_uniform_(getattr(self, name))
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def _of_operands(self) -> dict[str, Parameter]:
        """The parameters by their names in :class:`Operands`."""
        found = {n: getattr(self, n) for n in (*_MAPS, "in_proj_bias", "bias_k", "bias_v")}
        found |= {"out_proj_weight": self.out_proj.weight, "out_proj_bias": self.out_proj.bias}
        return {name: parameter for name, parameter in found.items() if parameter is not None}

    def forward(
        self,
        query: Array,
        key: Array,
        value: Array,
        key_padding_mask: Array | None = None,
        need_weights: bool = True,
        attn_mask: Array | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Array, Array | None]:
        given = Operands(
            query,
            key,
            value,
            key_padding_mask=key_padding_mask,
            attn_mask=attn_mask,
            **{name: parameter.data for name, parameter in self._of_operands().items()},
        )
        options = Options(
            self.num_heads,
            self.dropout if self.training else 0.0,
            need_weights,
            average_attn_weights,
            is_causal,
            self.add_zero_attn,
            self.batch_first,
        )
        options = checked(given, options)
        warn_if_mixed(key_padding_mask, "key_padding_mask", attn_mask, "attn_mask")
        output, weights, saved = multi_head_attention(given, options)
        self.save_for_backward((output, weights), saved)
        return output, weights

    def backward(self, grad_output: Any) -> tuple[Array | None, ...]:
        is_pair = isinstance(grad_output, tuple | list) and len(grad_output) == 2
        uses_weights = is_pair and grad_output[1] is not None
        (dy, dweights), saved = self.saved_for_backward(grad_output)
        given, parameters = saved.operands, self._of_operands()
        inputs = [
            name
            for name in ("query", "key", "value", "key_padding_mask", "attn_mask")
            if getattr(given, name) is not None
        ]
        needs = {name: parameter.requires_grad for name, parameter in parameters.items()}
        if is_pair and grad_output[0] is None:  # only the weights were used: these had no part
            needs |= dict.fromkeys(_BEHIND_WEIGHTS & needs.keys(), False)
        for i, name in enumerate(inputs):
            needs[name] = self.needs_grad(i) and getattr(given, name).dtype.kind == "f"
        wanted = Operands(*(needs.get(name, False) for name in Operands._fields))
        grads = multi_head_attention_backward(dy, dweights if uses_weights else None, saved, wanted)
        for name, parameter in parameters.items():
            if needs[name]:
                parameter.accumulate_grad(getattr(grads, name))
        return tuple(getattr(grads, name) if needs[name] else None for name in inputs)
