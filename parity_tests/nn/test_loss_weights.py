"""Weights of losses, which have a gradient or must not require one; and what losses warn of."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import functional


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "huber_loss"])
def test_weights_of_functions_have_gradients(name, reduction) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((3, 4)), rng.standard_normal((3, 4)), rng.random((3, 4))]
    ours = [numpy_impl.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.from_numpy(a).requires_grad_() for a in arrays]
    loss = getattr(functional, name)(*ours[:2], weight=ours[2], reduction=reduction)
    twin = getattr(torch.nn.functional, name)(*theirs[:2], weight=theirs[2], reduction=reduction)
    np.testing.assert_allclose(loss.data, twin.detach().numpy(), rtol=1e-12)
    upstream = np.asarray(rng.standard_normal(twin.shape))
    loss.backward(upstream)
    twin.backward(torch.from_numpy(upstream))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-12)
    plain = getattr(functional, name)(*arrays[:2], weight=arrays[2], reduction=reduction)
    np.testing.assert_array_equal(plain, loss.data)
    grads = getattr(functional, f"{name}_backward")(
        upstream, *arrays[:2], weight=arrays[2], reduction=reduction
    )
    for grad, a in zip(grads, ours, strict=True):
        np.testing.assert_array_equal(grad, a.grad)
    with pytest.raises(ValueError, match=r"weight must have input's shape \(3, 4\), got \(4,\)"):
        getattr(functional, name)(*arrays[:2], weight=arrays[2][0])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "shape", "options"),
    [
        ("cross_entropy", (3, 4), {"label_smoothing": 0.3}),
        ("cross_entropy", (2, 4, 3), {}),
        ("cross_entropy", (4,), {}),
        ("multilabel_soft_margin_loss", (3, 4), {}),
        ("multilabel_soft_margin_loss", (4,), {}),
        ("multilabel_soft_margin_loss", (2, 3, 4), {}),
    ],
    ids=str,
)
def test_weights_of_classes_have_gradients(name, shape, options, reduction) -> None:
    """Where torch gives one: beside probabilities."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape), rng.random(shape), rng.random(4)]
    ours = [numpy_impl.tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.from_numpy(a).requires_grad_() for a in arrays]
    options = {**options, "reduction": reduction}
    loss = getattr(functional, name)(*ours, **options)
    twin = getattr(torch.nn.functional, name)(*theirs, **options)
    np.testing.assert_allclose(loss.data, twin.detach().numpy(), rtol=1e-12)
    upstream = np.asarray(rng.standard_normal(twin.shape))
    loss.backward(upstream)
    twin.backward(torch.from_numpy(upstream))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-9, atol=1e-12)
    # the weight alone as a Tensor
    ours[2].grad = None
    getattr(functional, name)(*arrays[:2], ours[2], **options).backward(upstream)
    np.testing.assert_allclose(ours[2].grad, theirs[2].grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "is_index", "argument"),
    [
        ("cross_entropy", True, "weight"),
        ("nll_loss", True, "weight"),
        ("multi_margin_loss", True, "weight"),
        ("binary_cross_entropy", False, "weight"),
        ("binary_cross_entropy_with_logits", False, "weight"),
        ("binary_cross_entropy_with_logits", False, "pos_weight"),
    ],
)
def test_weights_without_a_derivative_must_not_require_grad(name, is_index, argument) -> None:
    """As in torch a RuntimeError, and none under no_grad(); no gradient is lost silently."""
    x, weight = np.full((3, 4), 0.5), np.ones(4)
    target = np.array([0, 2, 1]) if is_index else x
    for world in (numpy_impl, torch):
        function = getattr(world.nn.functional, name)
        given = [world.tensor(x, requires_grad=True), world.tensor(target)]
        constant = {argument: world.tensor(weight, requires_grad=True)}
        with pytest.raises(RuntimeError, match=argument):
            function(*given, **constant)
        with world.no_grad():
            function(*given, **constant)
    arrays = functional.__dict__[f"{name}_backward"](
        np.float64(1.0), x, target, **{argument: weight}
    )
    assert arrays[-1] is None
    with pytest.raises(RuntimeError, match="weight must not require grad"):
        nn.CrossEntropyLoss(numpy_impl.tensor(weight, requires_grad=True))


ROWS = {
    **{
        name: (function, {}, (4,), "they are broadcast")
        for name, function in (
            ("L1Loss", "l1_loss"),
            ("MSELoss", "mse_loss"),
            ("SmoothL1Loss", "smooth_l1_loss"),
            ("HuberLoss", "huber_loss"),
        )
    },
    "KLDivLoss": ("kl_div", {}, (1,), "'batchmean' is the divergence"),
    "SoftMarginLoss": ("soft_margin_loss", {"reduce": True}, (1,), "reduce are deprecated"),
}


@pytest.mark.parametrize("wrap", [np.asarray, numpy_impl.tensor], ids=["arrays", "tensors"])
@pytest.mark.parametrize("name", ROWS)
def test_warnings_are_torch_s_and_point_at_the_caller_s_line(name, wrap) -> None:
    """Through functions, modules and hooks."""
    function, flags, shape, says = ROWS[name]
    x, y = np.full((2, 3, 1), 0.5), np.full(shape, 0.25)

    def with_a_hook(*inputs):
        loss = getattr(nn, name)(**flags)
        loss.register_forward_hook(lambda *_: None)
        return loss(*inputs)

    for call in (
        lambda *inputs: getattr(functional, function)(*inputs, **flags),
        lambda *inputs: getattr(nn, name)(**flags)(*inputs),
        lambda input, target: getattr(nn, name)(**flags)(input, target=target),
        with_a_hook,
    ):
        with pytest.warns(UserWarning, match=says) as caught:
            loss = call(wrap(x), wrap(y))
        assert [record.filename for record in caught] == [__file__]
    with pytest.warns(UserWarning, match="batchmean|target size|reduce"):
        twin = getattr(torch.nn.functional, function)(torch.tensor(x), torch.tensor(y), **flags)
    assert float(loss) == pytest.approx(twin.item())


@pytest.mark.parametrize("name", ["l1_loss", "mse_loss", "huber_loss"])
def test_weighted_functions_warn_in_the_same_way(name) -> None:
    x = np.ones((4, 1))
    with pytest.warns(UserWarning, match="they are broadcast") as caught:
        getattr(functional, name)(x, np.ones(4), weight=x)
    assert [record.filename for record in caught] == [__file__]
