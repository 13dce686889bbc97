"""Attention of any shapes, masks, options and memory orders, beside torch's."""

import warnings
from typing import Any

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import manual_seed
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result
from torch_ref.convert import copy_weights, to_numpy, to_torch

Array = np.ndarray


def in_memory_order(array: Array, rng: np.random.Generator) -> Array:
    """The same values, their axes in any order in memory."""
    order = rng.permutation(array.ndim)
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


def compare(ours: Any, theirs: Any, direction: Any, of: Any) -> None:
    """Values of both sides; the gradient None stands for 0."""
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert (a is None) <= (b is None), f"{direction} {i} of {of}"
        if b is None:
            assert a is None or not a.any()
        else:
            result = Result(f"{direction} {i}", direction, np.asarray(a), to_numpy(b))
            result.check(tolerance(str(result.twin.dtype), direction), str(of))


@st.composite
def dot_products(draw: Any) -> dict[str, Any]:
    size = st.integers(draw(st.integers(0, 4)) != 4, 4)  # seldom 0
    outer = draw(st.lists(size, max_size=3))
    length, sources, features, values = (draw(size) for _ in range(4))
    # of nothing torch takes the query's shape, without broadcasting
    is_whole = 0 in (*outer, length, sources, features, values)

    def leading(shape: list[int]) -> tuple[int, ...]:
        """It, or what broadcasts to it."""
        cut = [1 if not is_whole and draw(st.integers(0, 4)) == 4 else n for n in shape]
        return tuple(
            cut[0 if is_whole or draw(st.booleans()) else draw(st.integers(0, len(cut))) :]
        )

    gqa = bool(outer) and draw(st.integers(0, 2)) == 2
    heads = [leading(outer) for _ in range(3)] if not gqa else [tuple(outer)] * 3
    if gqa:
        many = draw(st.integers(1, 3))
        heads[0] = (*outer[:-1], outer[-1] * many)
    kind = draw(st.sampled_from(["none", "causal", "bool", "number", "float32"]))
    mask = leading(list(heads[0] if gqa else np.broadcast_shapes(*heads[:2])))
    mask += tuple(1 if draw(st.integers(0, 4)) == 4 else n for n in (length, sources))
    return {
        "shapes": [(*heads[0], length, features), (*heads[1], sources, features),
                   (*heads[2], sources, values)],
        "kind": kind,
        "mask": mask,
        "gqa": gqa,
        "scale": draw(st.sampled_from([None, -0.5, 1.5])),
        "dropout": draw(st.sampled_from([0.0, 0.0, 0.4, 1.0])),
        "seed": draw(st.integers(0, 2**16)),
    }  # fmt: skip


def dot_product(*shapes: tuple[int, ...], **others: Any) -> dict[str, Any]:
    usual = {"kind": "none", "mask": (), "gqa": False, "scale": None, "dropout": 0.0, "seed": 0}
    return {"shapes": list(shapes), **usual, **others}


@example(dot_product((1, 1), (4, 1), (2, 4, 1), dropout=0.4))  # drawn before values broadcast
@example(dot_product((2, 3, 0), (2, 5, 0), (2, 5, 2)))  # no features: means of all values
@example(dot_product((2, 6, 3, 2), (2, 2, 4, 2), (2, 2, 4, 1), gqa=True))
@example(dot_product((2, 0, 3, 2), (2, 0, 4, 2), (2, 0, 4, 1), gqa=True))
@given(dot_products())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_dot_products(case) -> None:
    """Outputs, and the gradients for q, k, v and the mask."""
    rng = np.random.default_rng(case["seed"])
    arrays = [in_memory_order(rng.standard_normal(shape), rng) for shape in case["shapes"]]
    mask = None
    if case["kind"] == "bool":
        mask = rng.random(case["mask"]) < 0.6
    elif case["kind"] in ("number", "float32"):
        mask = rng.standard_normal(case["mask"])
        mask[rng.random(case["mask"]) < 0.3] = -np.inf
        mask = mask.astype("f") if case["kind"] == "float32" else mask
    options = {
        "is_causal": case["kind"] == "causal",
        "dropout_p": case["dropout"],
        "scale": case["scale"],
        "enable_gqa": case["gqa"],
    }
    found = []
    for world, wrap in ((numpy_impl, numpy_impl.tensor), (torch, to_torch)):
        leaves = [wrap(a) for a in (*arrays, *([] if mask is None else [mask]))]
        for leaf in leaves:
            leaf.requires_grad = "float" in str(leaf.dtype)
        manual_seed(1)
        output = world.nn.functional.scaled_dot_product_attention(*leaves, **options)
        upstream = np.random.default_rng(2).standard_normal(tuple(output.shape))
        output.backward(wrap(in_memory_order(upstream, rng)))
        found.append((output.detach().numpy(), [leaf.grad for leaf in leaves]))
    (ours, grads), (theirs, wanted) = found
    compare([ours], [torch.tensor(theirs)], "forward", case)
    compare(grads, wanted, "input_grad", case)
    manual_seed(1)
    plain = nn.functional.scaled_dot_product_attention(*arrays, mask, **options)
    np.testing.assert_array_equal(plain, ours)


@st.composite
def heads(draw: Any) -> dict[str, Any]:
    count = draw(st.integers(1, 3))
    embed_dim = count * draw(st.integers(1, 3))
    options = {name: draw(st.booleans()) for name in
               ("bias", "add_bias_kv", "add_zero_attn", "batch_first")}  # fmt: skip
    options["dropout"] = draw(st.sampled_from([0.0, 0.0, 0.4]))
    for name in ("kdim", "vdim"):
        options[name] = draw(st.sampled_from([None, None, 1, embed_dim, 4]))
    batch = draw(st.integers(0, 3))
    kinds = ("none", "bool", "number") if batch else ("none",)  # torch can't reshape empty ones
    return {
        "sizes": (embed_dim, count),
        "options": options,
        "shape": (draw(st.integers(1, 4)), draw(st.integers(1, 4)), batch),
        "is_single": draw(st.integers(0, 3)) == 3,
        "train": draw(st.booleans()),
        "need_weights": draw(st.booleans()),
        "average_attn_weights": draw(st.booleans()),
        "padding": draw(st.sampled_from(kinds)),
        "mask": draw(st.sampled_from([*kinds, "causal"])),
        "of_each_head": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**16)),
    }


def a_mask(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array | None:
    """None, of booleans, or of numbers, some of them -inf."""
    if kind == "none":
        return None
    if kind == "causal":
        return ~np.tri(*shape[-2:], dtype=bool)
    hidden = rng.random(shape) < 0.3
    return hidden if kind == "bool" else np.where(hidden, -np.inf, rng.standard_normal(shape))


@given(heads())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_heads(case) -> None:
    """Outputs, weights, gradients for inputs, masks and parameters; on Tensors and on arrays."""
    rng, options = np.random.default_rng(case["seed"]), case["options"]
    twin = torch.nn.MultiheadAttention(*case["sizes"], **options, dtype=torch.float64)
    ours = nn.MultiheadAttention(*case["sizes"], **options, dtype="float64")
    for parameter in twin.parameters():  # the biases, too
        torch.nn.init.normal_(parameter)
    copy_weights(twin, ours)
    embed_dim, count = case["sizes"]
    length, sources, batch = case["shape"]
    batch = 1 if case["is_single"] else batch

    def shape(length: int, size: int) -> tuple[int, ...]:
        if case["is_single"]:
            return length, size
        return (batch, length, size) if options["batch_first"] else (length, batch, size)

    own = options["kdim"] or embed_dim, options["vdim"] or embed_dim
    shapes = shape(length, embed_dim), shape(sources, own[0]), shape(sources, own[1])
    inputs = [in_memory_order(rng.standard_normal(s), rng) for s in shapes]
    of_keys = (sources,) if case["is_single"] else (batch, sources)
    sizes = (batch * count, length, sources) if case["of_each_head"] else (length, sources)
    masks = {
        "key_padding_mask": a_mask(case["padding"], of_keys, rng),
        "attn_mask": a_mask(case["mask"], sizes if case["mask"] != "causal" else sizes[-2:], rng),
    }
    masks = {name: mask for name, mask in masks.items() if mask is not None}
    call = {name: case[name] for name in ("need_weights", "average_attn_weights")}
    call["is_causal"] = case["mask"] == "causal" and bool(case["seed"] % 2)
    found: list[Any] = []
    upstream: Any = None
    for module, wrap in ((ours, numpy_impl.tensor), (twin, to_torch)):
        leaves = [wrap(a) for a in (*inputs, *masks.values())]
        for leaf in leaves:
            leaf.requires_grad = "float" in str(leaf.dtype)
        manual_seed(1)
        module.train(case["train"])
        with warnings.catch_warnings():  # of masks of two dtypes
            warnings.simplefilter("ignore")
            outputs = module(*leaves[:3], **dict(zip(masks, leaves[3:], strict=True)), **call)
        upstream = upstream or [
            None if o is None else rng.standard_normal(tuple(o.shape)) for o in outputs
        ]
        sum((o * wrap(u)).sum() for o, u in zip(outputs, upstream, strict=True) if o is not None
            ).backward()  # fmt: skip
        grads = [leaf.grad for leaf in leaves]
        own_grads = [p.grad for p in module.parameters()]
        values = [None if o is None else o.detach().numpy() for o in outputs]
        found.append((values, grads, own_grads))
    (values, *grads), (wanted, *others) = found
    compare(values, [None if w is None else torch.tensor(w) for w in wanted], "forward", case)
    compare(grads[0], others[0], "input_grad", case)
    compare(grads[1], others[1], "param_grad", case)
    # the same on arrays
    ours.zero_grad()
    manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = ours(*inputs, **masks, **call)
    np.testing.assert_equal(plain, tuple(values))
    for one, other in zip(ours.backward(tuple(upstream)), grads[0], strict=True):
        np.testing.assert_equal(one, other)
    np.testing.assert_equal([p.grad for p in ours.parameters()], grads[1])
