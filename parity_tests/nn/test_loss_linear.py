"""Losses with a linear layer in them: LinearCrossEntropyLoss, AdaptiveLogSoftmaxWithLoss."""

import dataclasses

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import functional
from parity_tests.cases import Case, LossParity, ModuleParity
from torch_ref.convert import copy_weights, to_torch


def classes(*shape: int, ignored: bool = False):
    def draw(rng: np.random.Generator) -> np.ndarray:
        target = np.asarray(rng.integers(0, 4, shape))
        return np.where(rng.random(shape) < 0.3, -100, target) if ignored else target

    return draw


def probabilities(*shape: int):
    return lambda rng: np.asarray(rng.random(shape))


WEIGHT = "weight=tensor([0.5, 2.0, 0.0, 1.5])"
CHUNKS = "options=nn.LinearCrossEntropyOptions(batch_chunk_size=3)"
LINEAR = [
    Case("LinearCrossEntropyLoss", f"3, 4{args and ', '}{args}", shape, note, targets=[target])
    for args, note, shape, target in (
        ("", "", (7, 3), classes(7)),
        ("bias=True", "", (7, 3), classes(7)),
        ("", "one row", (3,), classes()),
        ("reduction='none', bias=True", "", (7, 3), classes(7, ignored=True)),
        (f"reduction='sum', {WEIGHT}, label_smoothing=0.2", "", (7, 3), classes(7)),
        ("ignore_index=2", "", (7, 3), classes(7)),
        (WEIGHT, "probabilities", (7, 3), probabilities(7, 4)),
        ("label_smoothing=0.2", "probabilities", (3,), probabilities(4)),
        ("out_features=(2, 5), bias=True", "", (6, 3), classes(6, 2, 5)),
        ("out_features=(2,), reduction='none'", "probabilities", (6, 3), probabilities(6, 4, 2)),
        (CHUNKS, "", (7, 3), classes(7, ignored=True)),
        (f"{CHUNKS}, bias=True, reduction='none', {WEIGHT}", "", (7, 3), classes(7)),
        (f"{CHUNKS}, reduction='sum', ignore_index=1", "", (7, 3), classes(7)),
        (f"{CHUNKS}, bias=True", "one row", (3,), classes()),
        ("options=nn.LinearCrossEntropyOptions()", "", (7, 3), classes(7)),
        ("reduction='sum'", "empty", (0, 3), classes(0)),
        (f"{CHUNKS}, reduction='sum'", "empty", (0, 3), classes(0)),
    )
]


def words(*values: int):
    return lambda rng: np.array(values)


ADAPTIVE = [
    Case("AdaptiveLogSoftmaxWithLoss", args, [shape, target], note)
    for args, note, shape, target in (
        ("32, 20, [4, 10]", "all clusters", (6, 32), words(0, 12, 5, 3, 19, 4)),
        ("32, 20, [4, 10], head_bias=True", "", (4, 32), words(2, 9, 4, 11)),
        ("16, 20, [4, 10, 15], div_value=2.0", "", (5, 16), words(2, 9, 4, 11, 17)),
        ("8, 5, [1]", "one rare cluster", (4, 8), words(0, 1, 4, 0)),
    )
]
CASES = LINEAR + ADAPTIVE


class TestLinearCrossEntropyLoss(LossParity):
    cases = LINEAR


class TestAdaptiveLogSoftmaxWithLoss(ModuleParity):
    cases = ADAPTIVE


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("bias", [False, True])
def test_chunks_change_no_number(bias, reduction) -> None:
    """Also with a parameter that is frozen, and a second backward."""
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((50, 6)), rng.integers(0, 30, 50)
    whole, parts = (
        nn.LinearCrossEntropyLoss(6, 30, bias=bias, dtype="float64", reduction=reduction, options=o)
        for o in (None, nn.LinearCrossEntropyOptions(chunking_method="aspect_ratio:4"))
    )
    parts.load_state_dict(whole.state_dict())
    assert parts.options.rows(50, 6, 30) == 4
    np.testing.assert_allclose(parts(x, target), whole(x, target), rtol=1e-12)
    upstream = rng.standard_normal(whole(x, target).shape)
    grad = whole.backward(upstream)
    np.testing.assert_allclose(parts.backward(upstream, retain_graph=True), grad, rtol=1e-9)
    for a, b in zip(parts.parameters(), whole.parameters(), strict=True):
        np.testing.assert_allclose(a.grad, b.grad, rtol=1e-9, atol=1e-12)
    parts.linear.weight.requires_grad = False
    parts.zero_grad()
    np.testing.assert_allclose(parts.backward(upstream), grad, rtol=1e-9)
    assert parts.linear.weight.grad is None
    assert not bias or parts.linear.bias.grad is not None


@pytest.mark.parametrize(
    "sizes", [(50, 6, 30), (8, 5, 4), (1, 8, 4), (1000, 3, 7), (33, 4, 4), (0, 4, 9), (7, 9, 100)]
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_chunk_size": 5},
        *({"chunking_method": f"aspect_ratio{n}"} for n in ("", ":2", ":3")),
    ],
)
def test_as_many_rows_at_a_time_as_in_torch(options, sizes) -> None:
    theirs = torch.nn.LinearCrossEntropyOptions(**options)._adjust(*sizes, torch.float32)
    assert nn.LinearCrossEntropyOptions(**options).rows(*sizes) == theirs.batch_chunk_size


def test_options_that_do_not_apply_are_left_aside_with_a_warning() -> None:
    loss = nn.LinearCrossEntropyLoss(
        3, 4, label_smoothing=0.1, options=nn.LinearCrossEntropyOptions()
    )
    with pytest.warns(UserWarning, match="options are for int64 targets") as caught:
        found = loss(np.ones((2, 3), "f"), np.array([1, 2]))
    assert caught[0].filename == __file__
    loss.options = None
    assert found == loss(np.ones((2, 3), "f"), np.array([1, 2]))
    with pytest.warns(UserWarning, match="options are for int64 targets") as caught:
        functional.linear_cross_entropy(X, X, T.astype(np.int32), options=CHUNKED)
    assert caught[0].filename == __file__
    options = nn.LinearCrossEntropyOptions(False, 2, "aspect_ratio")
    with pytest.raises(ValueError, match="batch_chunk_size=2 and chunking_method='aspect_ratio'"):
        functional.linear_cross_entropy(X, X, T, options=options)


@pytest.mark.parametrize("target", ["indices", "probabilities"])
@pytest.mark.parametrize("more", [(), (2, 3)])
def test_the_function_agrees_with_torch(more, target) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((5, 3)), rng.standard_normal((4, *more, 3))]
    bias = rng.standard_normal((4, *more))
    labels = rng.integers(0, 4, (5, *more)) if target == "indices" else rng.random((5, 4, *more))
    ours = [numpy_impl.tensor(a, requires_grad=True) for a in (*arrays, bias)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (*arrays, bias)]
    loss = functional.linear_cross_entropy(*ours[:2], labels, linear_bias=ours[2])
    twin = torch.nn.functional.linear_cross_entropy(
        *theirs[:2], to_torch(labels), linear_bias=theirs[2]
    )
    assert loss.item() == pytest.approx(twin.item(), rel=1e-12)
    loss.backward()
    twin.backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-9, atol=1e-12)
    plain = functional.linear_cross_entropy(*arrays, labels, linear_bias=bias)
    assert plain == loss.item()


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 0.0, 1.5]])
@pytest.mark.parametrize("shape", [(7, 3), (3,)], ids=str)
def test_the_function_works_on_some_rows_at_a_time(shape, weight, reduction, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in (shape, (4, 3), (4,))]
    labels = np.asarray(rng.integers(0, 4, shape[:-1]))
    losses, grads, seen = [], [], []
    whole = numpy_impl.nn.loss.linear.linear
    monkeypatch.setattr(
        numpy_impl.nn.loss.linear, "linear", lambda x, *rest: seen.append(len(x)) or whole(x, *rest)
    )
    for world, wrap in ((numpy_impl, numpy_impl.tensor), (torch, torch.tensor)):
        leaves = [wrap(a, requires_grad=True) for a in arrays]
        loss = world.nn.functional.linear_cross_entropy(
            *leaves[:2],
            wrap(labels),
            linear_bias=leaves[2],
            weight=None if weight is None else wrap(np.array(weight)),
            reduction=reduction,
            options=world.nn.LinearCrossEntropyOptions(batch_chunk_size=3),
        )
        loss.sum().backward()
        losses.append(loss.detach().numpy())
        grads.append([np.asarray(leaf.grad) for leaf in leaves])
    np.testing.assert_allclose(*losses, rtol=1e-12)
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert seen == [3, 3, 1] * 2 or (seen == [1] * 2 and len(shape) == 1)
    leaf = numpy_impl.tensor(arrays[0], requires_grad=True)  # what needs no gradient gets none
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=3)
    functional.linear_cross_entropy(leaf, arrays[1], labels, options=options).backward()
    assert leaf.grad.shape == shape


@pytest.mark.parametrize("target", [[0, 3, 2], [10, 19, 12], [0, 5, 3], 7, 1])
def test_clusters_that_no_target_is_in_have_no_gradient(target) -> None:
    """As in torch: None. With a batch and without."""
    target = np.array(target)
    ours = nn.AdaptiveLogSoftmaxWithLoss(32, 20, [4, 10], dtype="float64")
    twin = torch.nn.AdaptiveLogSoftmaxWithLoss(32, 20, [4, 10], dtype=torch.float64)
    copy_weights(ours, twin)
    x = np.random.default_rng(0).standard_normal((*target.shape, 32))
    leaf, upstream = (
        torch.tensor(x, requires_grad=True),
        np.random.default_rng(1).random(target.shape),
    )
    found, expected = ours(x, target), twin(leaf, torch.tensor(target))
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-9)
    torch.autograd.backward(
        expected, [torch.tensor(upstream), torch.tensor(0.7, dtype=torch.float64)]
    )
    grad, none = ours.backward((np.asarray(upstream), np.asarray(0.7)))
    assert none is None
    np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=1e-9, atol=1e-12)
    theirs = dict(twin.named_parameters())
    for name, parameter in ours.named_parameters():
        assert (parameter.grad is None) == (theirs[name].grad is None), name
        if parameter.grad is not None:
            np.testing.assert_allclose(
                parameter.grad, theirs[name].grad.numpy(), rtol=1e-9, atol=1e-12
            )


def test_log_prob_and_predict() -> None:
    rng = np.random.default_rng(0)
    ours = nn.AdaptiveLogSoftmaxWithLoss(32, 20, [4, 10], dtype="float64")
    twin = torch.nn.AdaptiveLogSoftmaxWithLoss(32, 20, [4, 10], dtype=torch.float64)
    copy_weights(ours, twin)
    x = 5 * rng.standard_normal((40, 32))
    expected = twin.log_prob(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours.log_prob(x), expected, rtol=1e-9)
    np.testing.assert_allclose(np.exp(ours.log_prob(x)).sum(1), 1)
    every = ours.predict(x)
    rare = every >= 4
    assert rare.any()
    assert not rare.all()
    for rows in (x, x[rare], x[~rare]):
        wanted = twin.predict(torch.from_numpy(rows)).numpy()
        np.testing.assert_array_equal(ours.predict(rows), wanted)
        assert isinstance(ours.predict(numpy_impl.tensor(rows)), numpy_impl.Tensor)
    leaf, twins_leaf = numpy_impl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    upstream = rng.standard_normal((40, 20))
    ours.log_prob(leaf).backward(upstream)
    twin.log_prob(twins_leaf).backward(torch.from_numpy(upstream))
    np.testing.assert_allclose(leaf.grad, twins_leaf.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_a_named_tuple() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(32, 20, [4, 10])
    found = layer(np.ones((3, 32), "f"), np.array([1, 5, 15]))
    assert found.output.shape == (3,)
    assert found.loss == pytest.approx(-found.output.mean())
    found = layer(numpy_impl.tensor(np.ones((3, 32), "f")), numpy_impl.tensor([1, 5, 15]))
    found.loss.backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_parameters_are_drawn_anew() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(32, 20, [4, 10])
    before = [parameter.data.copy() for parameter in layer.parameters()]
    layer.reset_parameters()
    for parameter, old in zip(layer.parameters(), before, strict=True):
        assert (parameter.data != old).any()


def test_options_have_torch_s_fields() -> None:
    ours, theirs = (
        {field.name: field.default for field in dataclasses.fields(world.LinearCrossEntropyOptions)}
        for world in (nn, torch.nn)
    )
    assert ours == theirs


X, Y, T = np.ones((3, 8), "f"), np.ones((3, 32), "f"), np.array([0, 1, 2])
CHUNKED = nn.LinearCrossEntropyOptions(batch_chunk_size=2)


def adaptive(cutoffs=(4, 10)) -> nn.AdaptiveLogSoftmaxWithLoss:
    return nn.AdaptiveLogSoftmaxWithLoss(32, 20, cutoffs)


def linear(**options) -> nn.LinearCrossEntropyLoss:
    return nn.LinearCrossEntropyLoss(8, 4, **options)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        *[
            (
                lambda cutoffs=cutoffs: adaptive(cutoffs),
                ValueError,
                "must be one or more increasing",
            )
            for cutoffs in ([], [10, 4], [4, 4], [0, 4], [4, 20], [-1], [4.5])
        ],
        (lambda: adaptive()(Y, T + 18), ValueError, "target must hold classes 0..19, got 18 to 20"),
        (lambda: adaptive()(Y, T - 1), ValueError, "target must hold classes 0..19, got -1 to 1"),
        (lambda: adaptive()(Y, T[:2]), ValueError, r"must have shape \(N, in_features\) and targ"),
        (
            lambda: adaptive()(Y, X[:, 0]),
            TypeError,
            "target must be an array of integers, got floa",
        ),
        (lambda: linear(weight=X[0]), ValueError, r"weight must have shape \(4,\), got \(8,\)"),
        (lambda: linear(label_smoothing=2), ValueError, r"label_smoothing must lie in \[0, 1\]"),
        (lambda: linear()(X, T + 2), ValueError, "target must hold classes 0..3 .* got 4 at"),
        (lambda: linear()(X[None], T), ValueError, "input must be 1-d or 2-d, got shape"),
        (
            lambda: linear(ignore_index=1)(X, X[:, :4]),
            ValueError,
            "ignore_index must be None where",
        ),
        (lambda: linear(out_features=(2,))(X[0], T[:2]), ValueError, "must be 2-d beside out_feat"),
        (
            lambda: nn.LinearCrossEntropyOptions(acc_policy="best"),
            ValueError,
            "acc_policy must be one of accurate, balanced, compact, auto, got 'best'",
        ),
        (
            lambda: nn.LinearCrossEntropyOptions(chunking_method="aspect_ratio:0"),
            ValueError,
            "chunking_method must be 'auto', .* got 'aspect_ratio:0'",
        ),
        (
            lambda: nn.LinearCrossEntropyOptions(batch_chunk_size=0),
            ValueError,
            "batch_chunk_size must be a positive int or None, got 0",
        ),
        (
            lambda: nn.LinearCrossEntropyOptions(False, 5, "aspect_ratio").rows(50, 6, 30),
            ValueError,
            "batch_chunk_size=5 and chunking_method='aspect_ratio', which gives 16 rows, differ",
        ),
        (
            lambda: functional.linear_cross_entropy(X, X[:, :4], T),
            ValueError,
            r"linear_cross_entropy: input must have shape \(N, 4\) or \(4,\), got \(3, 8\)",
        ),
        (
            lambda: functional.linear_cross_entropy(X, X, T, linear_bias=X[0]),
            ValueError,
            r"linear_bias must have shape \(3,\), got \(8,\)",
        ),
        (
            lambda: functional.linear_cross_entropy(X, X, X[:, :3], ignore_index=1),
            ValueError,
            "ignore_index must be None where target holds probabilities, got 1",
        ),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
