"""PyTorch's own samples of its modules, for every class that exists here.

They are what torch's test suite runs its modules on: arguments, shapes with and without a batch,
empty batches, numbers. Each runs forward and backward here and in torch.
"""

import dataclasses
import inspect
import sys
import types
import unittest
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from numpy_impl import nn
from parity_tests.cases import DTYPES, manual_seed
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, Tolerance, run_loss, run_module
from torch_ref.convert import copy_weights, to_numpy

# meaningless here, or the same as none
_OF_DEVICES = ("device", "dtype")
WITHOUT_SAMPLES = {
    "AdaptiveLogSoftmaxWithLoss",
    "ChannelShuffle",
    "CrossMapLRN2d",  # torch has none; test_normalization.py says why that may be
    # torch leaves random modules out
    "AlphaDropout",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FeatureAlphaDropout",
    # and these
    "CosineSimilarity",
    "PairwiseDistance",
    "EmbeddingBag",
    "Flatten",
    "Hardsigmoid",
    "Fold",  # torch has none of these
    "Identity",
    "SyncBatchNorm",
    *("LazyBatchNorm1d", "LazyBatchNorm2d", "LazyBatchNorm3d", "LazyLinear"),
    *("LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d"),
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "RReLU",  # random
    "RNNBase",  # bases, without a forward
    "RNNCellBase",
    "PixelShuffle",
    "PixelUnshuffle",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "TransformerDecoder",
    "Unflatten",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "Unfold",
}
# written down, not asked of torch: its samples take seconds to import, and one worker needs them
WITH_SAMPLES = sorted(
    name
    for name in nn.__all__
    if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module)
    if name not in WITHOUT_SAMPLES
)


# torch draws them from -9 to 9: scores of up to 81 make weights near 0 and 1, whose gradients
# cancel. Seen from float64 torch's are off by up to 6e-6 of the largest, as ours are, and on the
# average by a fifth more
OF_LARGE_SCORES = Tolerance(rtol=1e-5, atol=1e-5, scaled=True)
EXCEPTIONS = {
    # torch's sums of logarithms, of size 100; test_loss_ctc.py compares with float64
    ("CTCLoss", "float32", "input_grad"): Tolerance(rtol=0, atol=5e-5),
    **{
        (name, "float32", direction): OF_LARGE_SCORES
        for name in (
            "MultiheadAttention",
            "Transformer",
            "TransformerDecoderLayer",
            "TransformerEncoder",
            "TransformerEncoderLayer",
        )
        for direction in ("input_grad", "param_grad")
    },
}


@cache
def infos() -> dict[str, Any]:
    """torch's ModuleInfo by the name of its class, of those that ``numpy_impl.nn`` has."""
    if "expecttest" not in sys.modules:
        # torch.testing's TestCase, which nothing here uses, stands on a package of its own
        stub: Any = types.ModuleType("expecttest")
        stub.TestCase = unittest.TestCase
        sys.modules["expecttest"] = stub
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_modules import module_db
    found = {info.module_cls.__name__: info for info in module_db}
    of_torch = {n: i for n, i in found.items() if i.module_cls is getattr(torch.nn, n, None)}
    return {name: info for name, info in of_torch.items() if name in nn.__all__}


@cache
def samples(name: str, dtype: str, training: bool) -> list[Any]:
    """torch's ModuleInputs: arguments of the constructor, and of forward."""
    info = infos()[name]
    torch.manual_seed(0)
    return list(
        info.module_inputs_func(
            info,
            device="cpu",
            dtype=getattr(torch, dtype),
            requires_grad=False,
            training=training,
        )
    )


def arrays(value: Any) -> Any:
    """Arrays for tensors, in whatever structure; our functions and layers for torch's."""
    if isinstance(value, torch.nn.TransformerEncoderLayer):
        return encoder_layer(value)
    if value is getattr(torch.nn.functional, getattr(value, "__name__", ""), value.__class__):
        return getattr(nn.functional, value.__name__)
    if isinstance(value, tuple | list):
        return type(value)(arrays(part) for part in value)
    if isinstance(value, dict):
        return {key: arrays(part) for key, part in value.items()}
    if isinstance(value, torch.nn.LinearCrossEntropyOptions):
        return nn.LinearCrossEntropyOptions(**dataclasses.asdict(value))
    return to_numpy(value) if isinstance(value, torch.Tensor) else value


def encoder_layer(theirs: torch.nn.TransformerEncoderLayer) -> nn.TransformerEncoderLayer:
    """One like torch's, which its samples hand to TransformerEncoder."""
    return nn.TransformerEncoderLayer(
        theirs.linear1.in_features,
        theirs.self_attn.num_heads,
        theirs.linear1.out_features,
        theirs.dropout.p,
        arrays(theirs.activation),
        theirs.norm1.eps,
        theirs.self_attn.batch_first,
        theirs.norm_first,
        theirs.linear1.bias is not None,
    )


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:KLDivLoss. reduction")
@pytest.mark.filterwarnings("ignore:linear_cross_entropy. ``options`` ignored")
@pytest.mark.filterwarnings("ignore:LinearCrossEntropyLoss. options are for int64")
# what both say where nested tensors are of no use
@pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WITH_SAMPLES)
def test_torch_s_samples(name: str, dtype: str) -> None:
    for training in (True, False) if infos()[name].train_and_eval_differ else (True,):
        for i, sample in enumerate(samples(name, dtype, training)):
            check(name, training, dtype, sample, f"sample {i}")


def check(name: str, training: bool, dtype: str, sample: Any, which: str) -> None:
    mode = "" if training else " [eval]"
    for result in measure(name, training, dtype, sample):
        where = f"{name} {which} {sample.desc}{mode} {dtype}"
        usual = tolerance(dtype, result.direction)
        result.check(EXCEPTIONS.get((name, dtype, result.direction), usual), where)


def measure(name: str, training: bool, dtype: str, sample: Any) -> list[Result]:
    args, kwargs = sample.constructor_input.args, dict(sample.constructor_input.kwargs)
    kwargs = {key: value for key, value in kwargs.items() if key not in _OF_DEVICES}
    twin = getattr(torch.nn, name)(*args, **kwargs).to(getattr(torch, dtype)).train(training)
    if "dtype" in inspect.signature(getattr(nn, name)).parameters:
        kwargs["dtype"] = dtype
    ours = getattr(nn, name)(*arrays(args), **arrays(kwargs)).to(dtype).train(training)
    if not name.startswith("Lazy"):  # these draw the same from the same seed
        copy_weights(twin, ours)
    inputs, options = call_arguments(twin, sample)
    manual_seed(7)
    rng = np.random.default_rng(0)
    if name.endswith("Loss"):
        return run_loss(ours, twin, inputs[:1], inputs[1:], rng)  # it knows how many are inputs
    return run_module(ours, twin, inputs, rng, options)


def call_arguments(twin: torch.nn.Module, sample: Any) -> tuple[list[Any], dict[str, Any]]:
    """What a sample calls a module with: its inputs, and masks by name."""
    call = inspect.signature(type(twin).forward).bind(
        twin, *sample.forward_input.args, **sample.forward_input.kwargs
    )
    given = dict(list(call.arguments.items())[1:])
    options = {name: arrays(value) for name, value in given.items() if name.endswith("mask")}
    inputs = [arrays(value) for name, value in given.items() if name not in options]
    return inputs, options


def test_every_class_that_torch_has_samples_of_is_tried() -> None:
    """And each has at least one; what is here without samples is listed, not passed over."""
    assert set(WITH_SAMPLES) == set(infos())
    for name in infos():
        for dtype in DTYPES:
            assert samples(name, dtype, True), name


def test_a_wrong_backward_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = samples("Tanh", "float64", True)[0]
    monkeypatch.setattr(nn.Tanh, "backward", lambda self, grad: 2 * grad)
    with pytest.raises(AssertionError, match="grad of input 0"):
        check("Tanh", True, "float64", sample, "sample 0")
