"""The Transformer, its encoder and decoder, and their layers: made of calls of other layers.

They have their backward from the calls that forward made (``composed.py``).
torch has a faster way for evaluation without gradients; here there is one way, and what torch
documents of the other holds: with ``enable_nested_tensor`` the encoder's output is 0 at padding.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn import init
from numpy_impl.nn.activation import GELU, ReLU
from numpy_impl.nn.checks import check_int, float_dtype, warn
from numpy_impl.nn.container import ModuleList
from numpy_impl.nn.dotproduct import additive, causal, warn_if_mixed
from numpy_impl.nn.dropout import Dropout
from numpy_impl.nn.functional.activation import gelu, relu
from numpy_impl.nn.linear import Linear
from numpy_impl.nn.module import Module
from numpy_impl.nn.multihead import MultiheadAttention
from numpy_impl.nn.normalization import LayerNorm
from numpy_impl.tensor.creation import check_device
from numpy_impl.tensor.tensor import Tensor
from numpy_impl.types import Array, DType

Activation = str | Callable[[Any], Any]
Mask = Tensor | None


def _added(mask: Mask, dtype: np.dtype) -> Mask:
    """A mask of booleans as what is added to the scores; the layers within share it."""
    return Tensor(additive(mask.data, dtype)) if mask is not None and mask.dtype == bool else mask


def _is_causal(mask: Mask, hint: bool | None, length: int) -> bool:
    """The hint; None asks the mask itself, (L, L)."""
    if hint is not None or mask is None:
        return hint is True
    values = additive(mask.data, np.dtype(np.float32))
    return values.shape == (length, length) and np.array_equal(
        values, causal(length, length, values.dtype)
    )


def _length(x: Tensor, batch_first: bool) -> int:
    """L of (L, E), and of (N, L, E) or (L, N, E)."""
    return x.shape[1 if batch_first and x.ndim == 3 else 0]


def _dropped(dropout: Module, attention: Module, inputs: tuple[Tensor, ...], masks: Any) -> Tensor:
    """Attention, then dropout, whose numbers torch draws in the order (L, N, E)."""
    output: Any = attention(*inputs, need_weights=False, **masks)[0]
    swaps = attention.batch_first and output.ndim == 3
    result: Any = dropout(output.transpose(0, 1) if swaps else output)
    dropped: Tensor = result.transpose(0, 1) if swaps else result
    return dropped


class _Layer(Module):
    """What both layers have: parts under torch's names, in torch's order; the blocks of forward."""

    _attentions: tuple[str, ...] = ("self_attn",)

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: DType = None,
    ) -> None:
        super().__init__()
        own: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        for name in self._attentions:
            attention = MultiheadAttention(d_model, nhead, dropout, batch_first=batch_first, **own)
            self.add_module(name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, **own)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, **own)
        self.norm_first = norm_first
        count = len(self._attentions) + 1
        for i in range(1, count + 1):
            self.add_module(f"norm{i}", LayerNorm(d_model, layer_norm_eps, **own))
        for i in range(1, count + 1):
            self.add_module(f"dropout{i}", Dropout(dropout))
        known: dict[Any, Any] = {"relu": relu, "gelu": gelu}
        if isinstance(activation, str) and activation not in known:
            raise ValueError(f"activation must be 'relu', 'gelu' or a callable, got {activation!r}")
        self.activation = known.get(activation, activation)

    def _added_up(self, x: Tensor, *blocks: Callable[[Tensor], Tensor]) -> Tensor:
        """x + block(x), one block after the other, normalised before or after each."""
        for i, block in enumerate(blocks, 1):
            norm = getattr(self, f"norm{i}")
            x = x + block(norm(x)) if self.norm_first else norm(x + block(x))
        return x

    def _sa_block(self, x: Tensor, mask: Mask, padding: Mask, is_causal: bool) -> Tensor:
        masks = {"attn_mask": mask, "key_padding_mask": padding, "is_causal": is_causal}
        return _dropped(self.dropout1, self.self_attn, (x, x, x), masks)

    def _ff_block(self, x: Tensor) -> Tensor:
        last = getattr(self, f"dropout{len(self._attentions) + 1}")
        output: Tensor = last(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return output


class TransformerEncoderLayer(_Layer):
    r"""Attention of a sequence to itself, then two linear maps at each position.

    .. math::
        x' = \mathrm{LN}(x + \mathrm{attention}(x, x, x)),\quad
        y = \mathrm{LN}(x' + W_2\,f(W_1 x' + b_1) + b_2)

    with dropout on the weights of attention, behind f, and on what is added to x. With
    ``norm_first`` :math:`x + \mathrm{attention}(\mathrm{LN}(x))`, and so on.

    Args:
        d_model: E, the size of each position.
        nhead: heads of the attention, a divisor of E.
        dim_feedforward: the size between the linear maps.
        dropout: the probability, for all of it.
        activation: f: "relu", "gelu", or a callable.
        layer_norm_eps: added to the variances.
        batch_first: whether inputs are (N, L, E) instead of (L, N, E).
        norm_first: whether norms stand before the blocks.
        bias: False leaves all b out.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    The call takes src, ``src_mask``, ``src_key_padding_mask`` and ``is_causal``, which are
    ``attn_mask`` and so on of :class:`MultiheadAttention`. A position that may see none attends to
    zeros (torch's faster way in evaluation has NaN for it, and for every mask of numbers).

    Shape:
        src (L, N, E), or (L, E), kept; masks (L, L) or (N H, L, L), and (N, L).

    Raises:
        ValueError: if H does not divide E, the activation is unknown, or shapes do not fit.
        TypeError: if the dtype of an input or a mask is another than the parameters'.

    Source: https://arxiv.org/abs/1706.03762
    (https://pytorch.org/docs/stable/generated/torch.nn.TransformerEncoderLayer.html)
    """

    def forward(
        self,
        src: Tensor,
        src_mask: Mask = None,
        src_key_padding_mask: Mask = None,
        is_causal: bool = False,
    ) -> Tensor:
        names = "src_key_padding_mask", "src_mask"
        warn_if_mixed(src_key_padding_mask, names[0], src_mask, names[1])
        mask, padding = (_added(m, src.dtype) for m in (src_mask, src_key_padding_mask))
        return self._added_up(
            src, lambda x: self._sa_block(x, mask, padding, is_causal), self._ff_block
        )


class TransformerDecoderLayer(_Layer):
    r"""Attention of a sequence to itself and to a memory, then two linear maps at each position.

    .. math::
        x' = \mathrm{LN}(x + \mathrm{attention}(x, x, x)),\;
        x'' = \mathrm{LN}(x' + \mathrm{attention}(x', m, m)),\;
        y = \mathrm{LN}(x'' + W_2\,f(W_1 x'' + b_1) + b_2)

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
        norm_first, bias, device, dtype: as of :class:`TransformerEncoderLayer`.

    The call takes tgt, memory, ``tgt_mask``, ``memory_mask``, ``tgt_key_padding_mask``,
    ``memory_key_padding_mask``, ``tgt_is_causal`` and ``memory_is_causal``: those of either
    attention.

    Shape:
        tgt (T, N, E), memory (S, N, E), or without N, -> (T, N, E); masks (T, T) and (T, S), or
        with N H before; (N, T), (N, S).

    Raises:
        ValueError: if H does not divide E, the activation is unknown, or shapes do not fit.
        TypeError: if the dtype of an input or a mask is another than the parameters'.

    Source: https://arxiv.org/abs/1706.03762
    (https://pytorch.org/docs/stable/generated/torch.nn.TransformerDecoderLayer.html)
    """

    _attentions = ("self_attn", "multihead_attn")

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        of_memory = memory_mask, memory_key_padding_mask, memory_is_causal
        return self._added_up(
            tgt,
            lambda x: self._sa_block(x, tgt_mask, tgt_key_padding_mask, tgt_is_causal),
            lambda x: self._mha_block(x, memory, *of_memory),
            self._ff_block,
        )

    def _mha_block(
        self, x: Tensor, memory: Tensor, mask: Mask, padding: Mask, is_causal: bool
    ) -> Tensor:
        masks = {"attn_mask": mask, "key_padding_mask": padding, "is_causal": is_causal}
        return _dropped(self.dropout2, self.multihead_attn, (x, memory, memory), masks)


class _Stack(Module):
    """Copies of a layer, one after the other, and a norm at the end."""

    def __init__(self, layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        check_int(num_layers, "num_layers", 1)
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    @property
    def _batch_first(self) -> bool:
        return bool(self.layers[0].self_attn.batch_first)

    def _normed(self, output: Tensor) -> Tensor:
        return output if self.norm is None else self.norm(output)


class TransformerEncoder(_Stack):
    r"""Encoder layers in a row: :math:`y = \mathrm{norm}(f_n(\dots f_1(x)))`.

    Args:
        encoder_layer: a layer, of which each f is a copy, weights and all.
        num_layers: n.
        norm: a module for the end.
        enable_nested_tensor: whether in evaluation, where no gradient is wanted and there is
            padding and no mask, padded positions are left out: the last layer's output is 0 there.
        mask_check: whether that is done only where the padding is at the end of each sequence;
            if not, it is taken to be.

    The call takes src, ``mask``, ``src_key_padding_mask`` and ``is_causal``, as the layers'; for
    None as the last the mask is looked at.

    Warns:
        UserWarning: where ``enable_nested_tensor`` can have no effect, because the layer is
            another class, has ``norm_first``, no bias, another activation than ReLU and GELU, norms
            with two eps, an odd number of heads, or its batch is not first.

    Source: https://arxiv.org/abs/1706.03762
    (https://pytorch.org/docs/stable/generated/torch.nn.TransformerEncoder.html)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__(encoder_layer, num_layers, norm)
        self.enable_nested_tensor = enable_nested_tensor
        self.use_nested_tensor = enable_nested_tensor
        self.mask_check = mask_check
        why = _why_not_nested(encoder_layer)
        if enable_nested_tensor and why:
            warn(f"enable_nested_tensor has no effect, because encoder_layer {why}")
            self.use_nested_tensor = False

    def forward(
        self,
        src: Tensor,
        mask: Mask = None,
        src_key_padding_mask: Mask = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        warn_if_mixed(src_key_padding_mask, "src_key_padding_mask", mask, "mask")
        mask, padding = (_added(m, src.dtype) for m in (mask, src_key_padding_mask))
        is_padded = self._left_out(src, mask, padding)
        if is_padded is not None:
            padding = _added(Tensor(is_padded), src.dtype)
        causal_hint = _is_causal(mask, is_causal, _length(src, self._batch_first))
        output = src
        for layer in self.layers:
            output = layer(
                output, src_mask=mask, is_causal=causal_hint, src_key_padding_mask=padding
            )
        if is_padded is not None:
            output = output.masked_fill(Tensor(is_padded[..., None]), 0.0)
        return self._normed(output)

    def _left_out(self, src: Tensor, mask: Mask, padding: Mask) -> Array | None:
        """(N, L): True at positions whose output is 0, where torch takes nested tensors."""
        first = self.layers[0]
        if not self.use_nested_tensor or first.training or src.ndim != 3:
            return None
        if padding is None or mask is not None:
            return None
        owned = (src, *first.parameters())
        if grad_mode.enabled and any(tensor.requires_grad for tensor in owned):
            return None
        is_padded = padding.data != 0
        lengths = (~is_padded).sum(1, keepdims=True)
        at_the_end = np.arange(is_padded.shape[1]) >= lengths
        if self.mask_check and not np.array_equal(is_padded, at_the_end):
            return None
        return at_the_end


def _why_not_nested(layer: Module) -> str:
    """Why a layer is none of which torch makes use of nested tensors; "" if it is one."""
    if not isinstance(layer, TransformerEncoderLayer):
        return "is no TransformerEncoderLayer"
    attention, activation = layer.self_attn, layer.activation
    if layer.norm_first:
        return "has norm_first=True"
    if not attention.batch_first:
        return "has batch_first=False"
    if attention.in_proj_bias is None:
        return "has bias=False"
    if activation not in (relu, gelu) and not isinstance(activation, ReLU | GELU):
        return "has another activation than ReLU and GELU"
    if layer.norm1.eps != layer.norm2.eps:
        return "has norms with two eps"
    return "has an odd number of heads" if attention.num_heads % 2 else ""


class TransformerDecoder(_Stack):
    r"""Decoder layers in a row: :math:`y = \mathrm{norm}(f_n(\dots f_1(x, m), m))`.

    Args:
        decoder_layer: a layer, of which each f is a copy, weights and all.
        num_layers: n.
        norm: a module for the end.

    The call takes what the layers' takes; for ``tgt_is_causal=None`` the mask is looked at.

    Source: https://arxiv.org/abs/1706.03762
    (https://pytorch.org/docs/stable/generated/torch.nn.TransformerDecoder.html)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        output = tgt
        for layer in self.layers:
            output = layer(
                output,
                memory,
                tgt_mask=tgt_mask,
                memory_mask=memory_mask,
                tgt_key_padding_mask=tgt_key_padding_mask,
                memory_key_padding_mask=memory_key_padding_mask,
                tgt_is_causal=_is_causal(tgt_mask, tgt_is_causal, _length(tgt, self._batch_first)),
                memory_is_causal=memory_is_causal,
            )
        return self._normed(output)


class Transformer(Module):
    r"""Encoder and decoder: :math:`y = \mathrm{decoder}(tgt, \mathrm{encoder}(src))`.

    Args:
        d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
        norm_first, bias, device, dtype: as of :class:`TransformerEncoderLayer`, for all layers.
        num_encoder_layers, num_decoder_layers: how many there are.
        custom_encoder, custom_decoder: modules in place of them.

    The call takes src, tgt, and ``mask``, ``key_padding_mask``, ``is_causal`` of all three.

    Shape:
        src (S, N, E), tgt (T, N, E), or without N, -> (T, N, E).

    Every weight starts from Glorot's uniform.

    Raises:
        ValueError: if batches or sizes of src and tgt do not fit.

    Source: https://arxiv.org/abs/1706.03762
    (https://pytorch.org/docs/stable/generated/torch.nn.Transformer.html)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = relu,
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: DType = None,
    ) -> None:
        super().__init__()
        own: dict[str, Any] = {"bias": bias, "device": device, "dtype": dtype}
        sizes: tuple[Any, ...] = (d_model, nhead, dim_feedforward, dropout, activation)
        sizes += (layer_norm_eps, batch_first, norm_first)
        if custom_encoder is None:
            encoder_layer = TransformerEncoderLayer(*sizes, **own)
            norm = LayerNorm(d_model, layer_norm_eps, **own)
            custom_encoder = TransformerEncoder(encoder_layer, num_encoder_layers, norm)
        if custom_decoder is None:
            decoder_layer = TransformerDecoderLayer(*sizes, **own)
            norm = LayerNorm(d_model, layer_norm_eps, **own)
            custom_decoder = TransformerDecoder(decoder_layer, num_decoder_layers, norm)
        self.encoder, self.decoder = custom_encoder, custom_decoder
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Mask = None,
        tgt_mask: Mask = None,
        memory_mask: Mask = None,
        src_key_padding_mask: Mask = None,
        tgt_key_padding_mask: Mask = None,
        memory_key_padding_mask: Mask = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        batch = 0 if self.batch_first else 1
        if src.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise ValueError(f"tgt must have src's batch, {src.shape[batch]}, got {tgt.shape}")
        for x, name in ((src, "src"), (tgt, "tgt")):
            if x.shape[-1] != self.d_model:
                raise ValueError(
                    f"{name}'s last axis must be d_model={self.d_model}, got {x.shape}"
                )
        memory = self.encoder(
            src, mask=src_mask, src_key_padding_mask=src_key_padding_mask, is_causal=src_is_causal
        )
        output: Tensor = self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
        return output

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: DType = None) -> Tensor:
        """(sz, sz): 0 where a position may see another (itself, and those before it), else -inf.

        A Tensor, as torch's; next to arrays take its ``data``.
        """
        check_device(device)
        return Tensor(causal(sz, sz, float_dtype(dtype)))
