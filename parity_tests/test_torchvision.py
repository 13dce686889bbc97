"""torchvision's classifiers: its own code, unchanged, executed with numpy_impl in torch's place.

Each beside torch's, from torch's weights, in float64 and training mode: logits, the gradient of
every parameter and of the images, every buffer. Dropout and stochastic depth draw by the same seed.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from torch_ref.redirect import redirected
from torch_ref.vision import import_torchvision

models = import_torchvision().models


def _small_convnext(module: Any) -> Any:
    """torch's float64 depthwise convolutions take 20 s for convnext_tiny."""
    setting = [module.CNBlockConfig(8, 16, 1), module.CNBlockConfig(16, None, 2)]
    return module.ConvNeXt(setting, stochastic_depth_prob=0.3, num_classes=10)


def _small_vit(module: Any) -> Any:
    """Its last layer starts at 0, which would hide everything before it.

    Without dropout: behind attention with the batch first torch draws its mask in the order of
    memory, (L, N, E), which an array here does not have.
    """
    network = module.VisionTransformer(64, 16, 2, 2, 16, 24, num_classes=10)
    for i in range(10):
        network.heads.head.weight.data[i, i] = 1.0
    return network


def _small_maxvit(module: Any) -> Any:
    return module.MaxVit(
        input_size=(64, 64),
        stem_channels=8,
        partition_size=4,
        block_channels=[8, 16],
        block_layers=[1, 2],
        head_dim=4,
        stochastic_depth_prob=0.2,
        num_classes=10,
    )


def _named(name: str, **options: Any) -> Callable[[Any], Any]:
    return lambda module: getattr(module, name)(num_classes=10, **options)


# name: (module, how to build it, images: N, size)
NETWORKS: dict[str, tuple[str, Callable[[Any], Any], int, int]] = {
    "resnet18": ("resnet", _named("resnet18"), 2, 64),
    "resnext50_32x4d": ("resnet", _named("resnext50_32x4d"), 2, 64),
    "vgg11_bn": ("vgg", _named("vgg11_bn"), 2, 64),
    "mobilenet_v2": ("mobilenetv2", _named("mobilenet_v2"), 2, 64),
    "squeezenet1_1": ("squeezenet", _named("squeezenet1_1"), 2, 64),
    "alexnet": ("alexnet", _named("alexnet"), 2, 64),
    "convnext": ("convnext", _small_convnext, 2, 64),
    "densenet121": ("densenet", _named("densenet121"), 2, 64),
    "efficientnet_b0": ("efficientnet", _named("efficientnet_b0"), 2, 64),
    "googlenet": ("googlenet", _named("googlenet", aux_logits=False, init_weights=False), 2, 64),
    # at 128 the last batch norms see enough positions; over two values they are ill-conditioned
    "inception_v3": (
        "inception",
        _named("inception_v3", aux_logits=False, init_weights=False),
        2,
        128,
    ),
    "mnasnet0_5": ("mnasnet", _named("mnasnet0_5"), 2, 64),
    "mobilenet_v3_small": ("mobilenetv3", _named("mobilenet_v3_small"), 4, 64),
    "regnet_y_400mf": ("regnet", _named("regnet_y_400mf"), 2, 64),
    "shufflenet_v2_x0_5": ("shufflenetv2", _named("shufflenet_v2_x0_5"), 2, 64),
    "swin_t": ("swin_transformer", _named("swin_t"), 2, 64),
    "vit": ("vision_transformer", _small_vit, 2, 64),
}


# what needs a buffer or .data to be a tensor; here both are arrays: (module, build, error, reason)
STOPPED: dict[str, tuple[str, Callable[[Any], Any], type[Exception], str]] = {
    "maxvit": ("maxvit", _small_maxvit, TypeError, "Cannot interpret '-1' as a data type"),
    "swin_v2_t": ("swin_transformer", _named("swin_v2_t"), AttributeError, "attribute 'zero_'"),
}


def arrays(tensors: Any) -> dict[str, np.ndarray]:
    """Of torch's tensors by name; they share its memory."""
    return {name: tensor.detach().numpy() for name, tensor in dict(tensors).items()}


def largest(function: Callable[..., np.ndarray], *values: np.ndarray) -> float:
    """The largest value of a function of elements, NaN if one is.

    Piece by piece, in the cache: of vgg's 129 million weights each whole array would be a GB.
    """
    flat = [value.reshape(-1) for value in values]
    starts = range(0, flat[0].size, 2**16)
    found = [function(*(each[i : i + 2**16] for each in flat)).max() for i in starts]
    return float(np.max(found, initial=0))


def assert_near(values: dict[str, Any], expected: dict[str, Any]) -> None:
    """All of a group to 1e-8 of its largest value.

    Of one tensor's largest it would be noise: a convolution's bias before a batch norm has the
    gradient 0, which either library misses by some rounding.
    """
    assert list(values) == list(expected)
    size = max((largest(np.abs, value) for value in expected.values()), default=0)
    for name, value in values.items():
        assert value.shape == expected[name].shape, name
        error = largest(lambda a, b: np.abs(a - b), value, expected[name])
        assert error <= 1e-8 * size, f"{name}: {error / size:.1e} of the largest, {size}"


def beyond(value: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """By how much normal draws, whose last bits differ, leave 1e-7 + 1e-5 of their size."""
    return np.abs(value - expected) - 1e-5 * np.abs(expected) - 1e-7


@pytest.mark.parametrize("name", NETWORKS)
def test_a_classifier(name: str) -> None:
    stem, build, count, size = NETWORKS[name]
    torch.manual_seed(0)
    reference = build(importlib.import_module(f"torchvision.models.{stem}"))
    numpy_impl.manual_seed(0)
    network = build(redirected(f"torchvision.models.{stem}"))
    state = arrays(reference.state_dict())
    for key, value in network.state_dict().items():
        assert value.shape == state[key].shape, key
        assert largest(beyond, value, state[key]) <= 0, key
    network.load_state_dict(state)
    reference.double()
    network.double()

    rng = np.random.default_rng(0)
    images = rng.standard_normal((count, 3, size, size))
    torch.manual_seed(1)
    images_reference = torch.tensor(images, requires_grad=True)
    expected = reference(images_reference)
    upstream = rng.standard_normal(expected.shape)
    expected.backward(torch.tensor(upstream))
    numpy_impl.manual_seed(1)
    images_here = numpy_impl.tensor(images, requires_grad=True)
    logits = network(images_here)
    logits.backward(upstream)

    assert_near({"logits": logits.data}, arrays({"logits": expected}))
    assert_near({"images": images_here.grad}, arrays({"images": images_reference.grad}))
    assert_near(
        {key: value.grad for key, value in network.named_parameters()},
        arrays({key: value.grad for key, value in reference.named_parameters()}),
    )
    assert_near(dict(network.named_buffers()), arrays(reference.named_buffers()))


def test_every_classifier_has_its_family_here() -> None:
    """Whatever torchvision adds fails here, until it is in the table or said to be left out."""
    stems = {
        getattr(models, name).__module__.rsplit(".", 1)[-1] for name in models.list_models(models)
    }
    here = {stem for stem, *_ in [*NETWORKS.values(), *STOPPED.values()]}
    assert stems == here


@pytest.mark.parametrize("name", STOPPED)
def test_what_stops_a_classifier(name: str) -> None:
    """``buffer.view(-1)`` would be a view of another dtype; arrays have no ``zero_()``."""
    stem, build, error, reason = STOPPED[name]
    images = numpy_impl.tensor(np.zeros((2, 3, 64, 64), np.float32))
    with pytest.raises(error, match=reason):
        build(redirected(f"torchvision.models.{stem}"))(images)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(AttributeError, match="numpy_impl has no compile, which torch has"):
        _ = redirected("torchvision.models.resnet").torch.compile
    with pytest.raises(ModuleNotFoundError, match=r"no module named 'torchvision\.models\.none'"):
        redirected("torchvision.models.none")


def test_nothing_of_torch_is_changed() -> None:
    module = redirected("torchvision.models.resnet")
    assert module is not models.resnet
    assert models.resnet.torch is torch
    assert issubclass(models.resnet.ResNet, torch.nn.Module)
    assert issubclass(module.ResNet, numpy_impl.nn.Module)
