"""ConstantPad, ZeroPad, ReflectionPad, ReplicationPad, CircularPad of 1 to 3 axes; F.pad."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import functional
from parity_tests.cases import Case, ModuleParity, relayouts
from torch_ref.convert import to_numpy, to_torch

KINDS = {"Zero": "constant", "Reflection": "reflect", "Replication": "replicate"}
KINDS["Circular"] = "circular"
CASES = [
    Case("ConstantPad1d", "2, 3.5", (2, 3, 4), elementwise=True),
    Case("ConstantPad1d", "(1, 0), -1", (3, 4), "unbatched", elementwise=True),
    Case("ConstantPad2d", "(1, 2, 0, 3), value=0.5", (2, 3, 4, 5), elementwise=True),
    Case("ConstantPad2d", "[-1, 2, 1, -2], 0.5", (2, 3, 4, 5), "crops", elementwise=True),
    Case("ConstantPad2d", "(9, 8, 7, 6), 2", (1, 1, 2, 3), "more than there is", elementwise=True),
    Case("ConstantPad2d", "1, 2", (4, 5), "no batch, no channels", elementwise=True),
    Case("ConstantPad2d", "(-2, 3, -4, 4), 2", (1, 2, 4, 2), "all cropped", elementwise=True),
    Case("ConstantPad2d", "1, 0.25", (2, 0, 3, 0), "of nothing", elementwise=True),
    Case("ConstantPad3d", "(1, 0, -1, 2, 0, 1), float('inf')", (2, 2, 3, 2, 2), kinks=True),
    Case("ConstantPad3d", "1, 2", (1, 2, 2, 3, 2, 2), "six axes", elementwise=True),
] + [
    Case(f"{kind}Pad{n}d", args, shape[: 2 + n] if batched else shape[1 : 2 + n], note)
    for kind in KINDS
    for n, args, shape, batched, note in [
        (1, "2", (2, 3, 4), True, ""),
        (1, "(0, 3)", (2, 3, 4), False, "unbatched"),
        (1, "[-1, 2]", (2, 3, 5), True, "crops"),
        (2, "1", (2, 3, 4, 5), True, ""),
        (2, "(4, 1, 0, 3)", (2, 3, 4, 5), False, "unbatched"),
        (2, "(-1, 2, 1, -2)", (2, 3, 4, 4), True, "crops"),
        (2, "0", (2, 3, 4, 4), True, "nothing to do"),
        (2, "(1, 2, 0, 1)", (0, 3, 4, 5), True, "empty batch"),
        (3, "1", (2, 2, 2, 3, 4), True, ""),
        (3, "(3, 0, 1, 2, -1, 1)", (2, 2, 3, 3, 4), False, "unbatched, crops"),
    ]
]


class TestPadding(ModuleParity):
    cases = CASES


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    data=st.data(),
    n=st.integers(1, 3),
    mode=st.sampled_from(["constant", *KINDS.values()]),
    layout=st.integers(0, 3),
)
def test_any_geometry(data, n, mode, layout) -> None:
    """Where torch pads we do, with its gradients; where it refuses so do we."""
    sizes = data.draw(st.tuples(*[st.integers(1, 4)] * n))
    numbers = data.draw(st.tuples(*[st.integers(-3, 4)] * 2 * n))
    others = data.draw(st.sampled_from([(2, 3), (2,)]))
    x = np.random.default_rng(0).standard_normal((*others, *sizes))
    layouts = [x, *relayouts(x)]
    x = layouts[layout % len(layouts)]
    # going round more than cropping left: torch copies from memory that it never wrote
    pairs = zip(reversed(sizes), numbers[::2], numbers[1::2], strict=True)
    unsound = mode == "circular" and any(
        max(a, b) > max(0, size + min(a, 0) + min(b, 0)) for size, a, b in pairs
    )
    twin = to_torch(x).requires_grad_()
    try:
        if unsound:
            raise RuntimeError
        wanted = torch.nn.functional.pad(twin, numbers, mode)
    except RuntimeError:
        with pytest.raises(ValueError, match="pad: padding must"):
            functional.pad(x, numbers, mode)
        return
    found = functional.pad(x, numbers, mode)
    np.testing.assert_array_equal(found, to_numpy(wanted))
    upstream = np.random.default_rng(1).standard_normal(found.shape)
    wanted.backward(to_torch(upstream))
    grad = functional.pad_backward(upstream, x, numbers, mode)
    np.testing.assert_allclose(grad, to_numpy(twin.grad), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["int64", "float32"])
@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_any_dtype(mode, dtype) -> None:
    x = np.arange(12).reshape(1, 3, 4).astype(dtype)
    found = functional.pad(x, (1, 2), mode)
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found, torch.nn.functional.pad(to_torch(x), (1, 2), mode))


def test_a_constant_pads_any_number_of_axes() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 2, 1, 2))
    for numbers in [(), (1, 2), (1, 0, 0, 1, 2, -1, -1, 1, 1, 1)]:
        wanted = torch.nn.functional.pad(to_torch(x), numbers, value=7)
        np.testing.assert_array_equal(functional.pad(x, numbers, value=7), wanted)


def test_infinite_gradients_add_up_silently() -> None:
    layer = nn.CircularPad1d(1)
    layer(np.zeros((1, 1, 2), "f"))
    grad = layer.backward(np.array([[[np.inf, 1, -np.inf, np.inf]]], "f"))
    np.testing.assert_array_equal(grad, [[[np.inf, np.nan]]])


def test_one_node_of_the_graph() -> None:
    x = numpy_impl.tensor(np.ones((1, 2, 3), "f"), requires_grad=True)
    y = functional.pad(x, (1, 1), "reflect")
    assert y.grad_fn.name == "pad"
    y.sum().backward()
    np.testing.assert_array_equal(x.grad[0, 0], [1, 3, 1])


def test_memory_order_is_kept() -> None:
    """So that what pads a convolution's channels-last input costs it no copy."""
    x = np.moveaxis(np.ones((2, 4, 5, 3), "f"), -1, 1)
    for mode in ("constant", *KINDS.values()):
        assert np.moveaxis(nn.padding.pad(x, [(1, 1), (1, 1)], mode), 1, -1).flags.c_contiguous


@pytest.mark.parametrize("kind", ["Constant", *KINDS])
def test_attributes_set_afterwards_have_effect(kind) -> None:
    args = (1, 5.0) if kind == "Constant" else (1,)
    ours, theirs = (getattr(world, f"{kind}Pad2d")(*args) for world in (nn, torch.nn))
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    upstream = np.ones_like(ours(x))
    wanted = ours.backward(upstream, retain_graph=True)
    for module in (ours, theirs):
        module.padding = (2, 0, -1, 1)
    if kind == "Constant":
        ours.value = theirs.value = 3.0
    np.testing.assert_array_equal(ours.backward(upstream), wanted)
    np.testing.assert_array_equal(ours(x), theirs(to_torch(x)))


X = np.zeros((2, 3, 4), "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: nn.ZeroPad2d(1.5),
            TypeError,
            "padding must be an int or a tuple of 4",
        ),
        (lambda: nn.ZeroPad2d((1, 2)), ValueError, "tuple of 4 ints"),
        (lambda: nn.ConstantPad1d((1, 2, 3), 0), ValueError, "tuple of 2 ints"),
        (lambda: nn.ZeroPad3d(1)(X[0]), ValueError, "ZeroPad3d: pad must be pairs for at most 2"),
        (
            lambda: nn.ZeroPad1d(-3)(X),
            ValueError,
            "must leave something of an axis of 4",
        ),
        (
            lambda: nn.ZeroPad1d(1)(X.astype(complex)),
            TypeError,
            "input must be float32, ",
        ),
        (lambda: nn.ReflectionPad1d(4)(X), ValueError, "padding must be at most 3"),
        (lambda: nn.ReflectionPad2d(1)(X[0]), ValueError, "got .* for an input of 2 axes"),
        (lambda: nn.ReflectionPad1d(1)(X[None]), ValueError, "for an input of 4 axes"),
        (lambda: nn.ReplicationPad1d(1)(X[..., :0]), ValueError, "leave something of an axis of 0"),
        (lambda: nn.ReplicationPad1d(-2)(X), ValueError, "leave something of an axis of 4"),
        (lambda: nn.ReplicationPad3d(1)(X), ValueError, "for an input of 3 axes"),
        (lambda: nn.CircularPad1d(5)(X), ValueError, "padding must be at most 4"),
        (lambda: nn.CircularPad1d((-2, 3))(X), ValueError, "padding must be at most 2"),
        (lambda: nn.CircularPad2d(1)(X[0]), ValueError, "for an input of 2 axes"),
        (lambda: functional.pad(X, (1,)), ValueError, "pad: pad must be pairs for at most 3 axes"),
        (lambda: functional.pad(X, (1,) * 8), ValueError, "pairs for at most 3 axes"),
        (lambda: functional.pad(X, (1, 1.5)), TypeError, "pad must be an int or a tuple of 2"),
        (
            lambda: functional.pad(X, (1, 1), "zeros"),
            ValueError,
            "mode must be one of const",
        ),
        (lambda: functional.pad(X, (), "reflect"), ValueError, "for an input of 3 axes"),
        (lambda: functional.pad(X, (1, 1), "reflect", 1.0), ValueError, "value must be None or 0"),
        (lambda: functional.pad(X, (-3, -2)), ValueError, "must leave something of an axis of 4"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
