"""The gallery of examples/check: mistakes are found and named, what is right is not accused."""

import functools
import sys
from pathlib import Path

import pytest

from torch_ref.checking import render
from torch_ref.checking.check import check_candidate, load
from torch_ref.checking.drivers import find_drivers, styles
from torch_ref.checking.verdict import Verdict

GALLERY = Path(__file__).parents[2] / "examples" / "check"
R, C, W, U = "right", "right by a convention", "wrong", "unusable"

# file, component, verdict, key
TABLE = [
    ("linear", "LinearAttributes", R, ""),
    ("linear", "LinearBatchMean", C, "batch mean"),
    ("linear", "LinearWeightMeanOnly", W, "batch mean for some only"),
    ("linear", "LinearBiasNotSummed", W, "bias gradient not summed"),
    ("linear", "LinearSign", W, "sign"),
    ("linear", "LinearTwice", W, "division by the batch twice"),
    ("linear", "LinearNeverCleared", W, "gradients never cleared"),
    ("linear", "DenseParams", R, ""),
    ("linear", "DenseColumns", R, ""),
    ("linear", "DenseUpdates", R, ""),
    ("linear", "DenseUpdatesTooEarly", W, "weight updated too early"),
    ("linear", "LinearStub", U, "does not run"),
    ("linear", "affine_forward", R, ""),
    ("linear", "affine_transposed_forward", W, "bias gradient over the wrong axis"),
    ("activations", "ReLU", R, ""),
    ("activations", "ReLUNegativeOutput", W, "relu mask missing"),
    ("activations", "ReLUInPlace", W, "changed in place"),
    ("activations", "ReLUForgotUpstream", W, "upstream ignored"),
    ("activations", "sigmoid", R, ""),
    ("activations", "tanh", R, ""),
    ("activations", "Softmax", R, ""),
    ("activations", "SoftmaxDiagonal", W, "diagonal of the Jacobian"),
    ("activations", "SoftmaxWholeArray", W, "whole array"),
    ("activations", "Dropout", R, ""),
    ("activations", "DropoutNoScale", W, "scale missing"),
    ("activations", "DropoutNoMask", W, "mask missing in backward"),
    ("activations", "DropoutInEvaluation", W, "mask in evaluation"),
    ("dropout", "dropout_forward", R, ""),
    ("dropout", "DropoutKeras", R, ""),
    ("dropout", "DropoutOneMask", W, "one mask for the batch"),
    ("dropout", "DropoutWholeRows", W, "whole samples dropped"),
    ("dropout", "DropoutScaleInverted", W, "scale inverted"),
    ("dropout", "DropoutMaskInverted", W, "mask inverted"),
    ("dropout", "DropoutKeeps", C, "p is kept"),
    ("dropout", "DropoutSeeded", W, "same mask at every call"),
    ("dropout", "DropoutDrawsAgain", W, "another mask"),
    ("dropout", "DropoutMaskUnscaled", W, "mask unscaled"),
    ("dropout", "DropoutInPlace", W, "changed in place"),
    ("dropout", "DropoutBook", C, "scaled in evaluation"),
    ("dropout", "DropoutAlways", C, "no mode"),
    ("losses", "MSE", R, ""),
    ("losses", "MSEMissingTwo", W, "missing 2"),
    ("losses", "mse", R, ""),
    ("losses", "softmax_loss", R, ""),
    ("losses", "softmax_loss_unaveraged", C, "unaveraged gradient"),
    ("losses", "CrossEntropyForgotLog", W, "log forgotten"),
    ("losses", "CrossEntropyNoMaximum", W, "overflow"),
    ("losses", "CrossEntropyOverAll", W, "loss and gradient disagree"),
    ("losses", "CrossEntropyForProbabilities", W, "gradient for the probabilities"),
    ("losses", "CrossEntropyTwiceAveraged", W, "division by the batch twice"),
    ("losses", "CrossEntropyUphill", W, "sign"),
    ("losses", "CrossEntropyEps", W, "clipping"),
    ("losses", "CrossEntropyPushes", R, ""),
    ("losses", "CategoricalCrossEntropyColumns", C, "gradient for the logits"),
    ("losses", "MSELossKeras", C, "reduction"),
    ("losses", "MSELossHalfSum", C, "reduction"),
    ("losses", "MSEFactorC", W, "loss and gradient disagree"),
    ("losses", "MSEInPlace", W, "changed in place"),
    ("losses", "make_mse", R, ""),
    ("losses", "MAE", R, ""),
    ("losses", "mse_of_tensors", R, ""),
    ("optimizers", "SGD", R, ""),
    ("optimizers", "Adam", R, ""),
    ("optimizers", "AdamDict", R, ""),
    ("optimizers", "AdamNoCorrection", W, "no bias correction"),
    ("optimizers", "AdamBetaForPower", W, "beta for beta**t"),
    ("optimizers", "AdamCounter", W, "counter raised per parameter"),
    ("optimizers", "Momentum", R, ""),
    ("optimizers", "MomentumNotStored", W, "velocity not stored"),
    ("optimizers", "sgd_momentum", R, ""),
    ("optimizers", "update_with_momentum", C, "averaged velocity"),
    ("optimizers", "SGDLayers", R, ""),
    ("optimizers", "SGDDecayHalved", W, "decay halved"),
    ("optimizers", "SGDSlower", C, "decay in the call"),
    ("optimizers", "SGDNeverMoves", W, "a parameter that never moves"),
    ("optimizers", "MomentumShared", W, "state shared between parameters"),
    ("optimizers", "NesterovNewVelocity", W, "Nesterov from the new velocity"),
    ("optimizers", "MomentumLooksAhead", C, "another optimizer"),
    ("optimizers", "Adagrad", C, "another eps"),
    ("optimizers", "RMSpropLayer", R, ""),
    ("optimizers", "RMSpropUphill", W, "sign"),
    ("optimizers", "Adadelta", R, ""),
    ("optimizers", "make_adam", C, "eps-hat"),
    ("optimizers", "AdamW", R, ""),
    ("optimizers", "AdamWCoupled", W, "decay coupled"),
    ("images", "Conv2d", R, ""),
    ("images", "Conv2dCutZero", W, "[p:-p] at p = 0"),
    ("images", "Conv2dAssigned", W, "overlaps assigned"),
    ("images", "MaxPool2d", R, ""),
    ("images", "MaxPool2dEveryTie", W, "gradient to every tie"),
    ("images", "BatchNorm1d", R, ""),
    ("images", "BatchNorm1dGammaFromOutput", W, "gamma's gradient from the output"),
    ("linear", "LinearBiasMean", W, "batch mean for some only"),
    ("linear", "LinearBiasStuck", W, "never computed"),
    ("linear", "LinearDividesInput", W, "input gradient divided"),
    ("linear", "LinearTuple", R, ""),
    ("linear", "LinearNoBias", W, "bias missing"),
    ("linear", "LinearLists", R, ""),
    ("linear", "LinearParameters", R, ""),
    ("linear", "LinearParametersSign", W, "sign"),
    ("linear", "DenseOneColumn", R, ""),
    ("linear", "DenseOptimizer", R, ""),
    ("linear", "DenseColumnsWrongAxis", W, "bias gradient over everything"),
    ("linear", "Embedding", R, ""),
    ("linear", "EmbeddingAssigned", W, "assigned, not added"),
    ("linear", "Flatten", R, ""),
    ("keras_like", "Dense", R, ""),
    ("keras_like", "DenseAtFirstCall", W, "transposed"),
    ("keras_like", "Conv2D", R, ""),
    ("keras_like", "Conv2DBias", W, "one sample only"),
    ("closures", "dense", R, ""),
    ("closures", "dense_bias_mean", W, "batch mean for some only"),
    ("closures", "leaky_relu", W, "slope missing"),
    ("autograd", "Linear", R, ""),
    ("autograd", "relu", R, ""),
    ("autograd", "silu", W, "product rule"),
    ("autograd", "LinearUnregistered", W, "parameters not registered"),
    ("activations", "ReLUReturnsInput", W, "relu returns x for 1"),
    ("activations", "relu", W, "relu returns x for 1"),
    ("activations", "elu", R, ""),
    ("activations", "ReLUForwardInPlace", W, "changed in place"),
    ("activations", "LeakyReLU", C, "derivative at 0"),
    ("activations", "SigmoidOfInput", W, "derivative of the input"),
    ("activations", "Softplus", W, "overflow"),
    ("activations", "GELU", C, "tanh approximation"),
    ("activations", "SiLUProductRule", W, "product rule"),
    ("activations", "LeakyReLUContext", R, ""),
    ("activations", "SoftmaxOverBatch", W, "wrong axis"),
    ("activations", "SoftmaxLeftToTheLoss", C, "left to the loss"),
    ("activations", "SoftmaxOneColumn", R, ""),
    ("activations", "CausalAttention", R, ""),
    ("activations", "CausalAttentionReversed", W, "masked_fill reversed"),
    ("images", "Conv2dFlipped", W, "kernel flipped"),
    ("images", "Conv2dStrideBack", W, "stride ignored on the way back"),
    ("images", "Conv2dPaddingKept", W, "padding not removed"),
    ("images", "Conv2dBiasPerPosition", W, "bias gradient not summed"),
    ("images", "Conv2dKernelFlippedBack", W, "kernel flipped"),
    ("images", "MaxPool2dSharedTies", C, "ties share"),
    ("images", "MaxPool2dAveraged", W, "overlaps averaged"),
    ("images", "MaxPool2dPaddedByZero", W, "padded by 0"),
    ("images", "AvgPool2d", R, ""),
    ("images", "AvgPool2dNotDivided", W, "not divided"),
    ("images", "BatchNorm1dNoPathThroughVariance", W, "path through the variance missing"),
    ("images", "BatchNorm1dGammaOutside", W, "gamma outside the sums"),
    ("images", "BatchNorm1dBiased", C, "momentum on the old value"),
    ("images", "BatchNorm1dMovesInEvaluation", W, "state moves in evaluation"),
    ("images", "BatchNorm1dEps", C, "another eps"),
    ("images", "LayerNorm", R, ""),
    ("images", "LayerNormConstants", W, "paths through mean and variance missing"),
    ("recurrent", "lstm_step_forward", R, ""),
    ("recurrent", "lstm_forward", W, "cell state not carried back"),
    ("recurrent", "LSTMCell", R, ""),
    ("recurrent", "LSTMCellNewCell", W, "new cell in the forget gate"),
    ("recurrent", "RNN", R, ""),
    ("recurrent", "RNNNothingCarried", W, "nothing carried back"),
    ("recurrent", "RNNOverwritten", W, "own step only"),
    ("recurrent", "rnn_cell_forward", R, ""),
    ("recurrent", "GRUCell", C, "update gate inverted, reset before the product"),
    ("linear", "dense_forward", U, "does not run"),
    ("images", "Conv2dPaddedTwice", W, "padding twice"),
    ("optimizers", "AdamBetasSwapped", W, "betas swapped"),
    ("optimizers", "AdamRootMultiplied", W, "root multiplied"),
    ("optimizers", "AdamInverted", W, "momentum inverted"),
    ("optimizers", "adam", W, "no bias correction"),
]


@functools.cache
def verdict_on(stem: str, name: str) -> Verdict:
    """A component's, once for all tests."""
    before = list(sys.path)
    try:
        (candidate,) = find_drivers(load(str(GALLERY / f"{stem}.py")), name)
        return check_candidate(candidate)
    finally:
        sys.path[:] = before


@pytest.mark.parametrize(("stem", "name", "verdict", "key"), TABLE, ids=lambda v: str(v))
def test_gallery(stem, name, verdict, key):
    found = verdict_on(stem, name)
    assert found.verdict == verdict, found
    assert (key in found.keys) if key else not found.keys


# what people get wrong, most frequent first: a mistake, its keys, in how many components at least
MISTAKES = [
    ("does not run or stub", ["does not run"], 2),
    ("Adam without bias correction", ["no bias correction"], 2),
    ("Adam's beta for beta**t", ["beta for beta**t"], 1),
    ("Adam's counter", ["counter raised per parameter"], 1),
    ("Adam's betas swapped", ["betas swapped"], 1),
    ("loss and gradient disagree", ["loss and gradient disagree"], 2),
    ("a missing 2", ["missing 2"], 1),
    ("changed in place", ["changed in place"], 4),
    ("division by the batch twice", ["division by the batch twice"], 2),
    ("division of W but not b", ["batch mean for some only"], 3),
    ("dropout's scale", ["scale missing", "scale inverted"], 2),
    ("dropout's mask missing", ["mask missing in backward"], 1),
    ("dropout in evaluation", ["mask in evaluation"], 1),
    ("one mask for the batch", ["one mask for the batch"], 1),
    ("ReLU's mask", ["relu mask missing"], 1),
    ("ReLU returns x for 1", ["relu returns x for 1"], 2),
    ("max gradient to every tie", ["gradient to every tie"], 1),
    ("windows assigned", ["overlaps assigned"], 1),
    ("windows averaged", ["overlaps averaged"], 1),
    ("bias gradient not summed", ["bias gradient not summed"], 2),
    ("bias over the wrong axis",
     ["bias gradient over the wrong axis", "bias gradient over everything"], 2),
    ("gamma from the output", ["gamma's gradient from the output"], 1),
    ("gamma outside the sums", ["gamma outside the sums"], 1),
    ("a path through the variance", ["path through the variance missing"], 1),
    ("[p:-p]", ["[p:-p] at p = 0"], 1),
    ("padding twice", ["padding twice"], 1),
    ("0 for -inf", ["padded by 0"], 1),
    ("padding kept", ["padding not removed"], 1),
    ("velocity not stored", ["velocity not stored"], 1),
    ("Nesterov from the new velocity", ["Nesterov from the new velocity"], 1),
    ("nothing carried back", ["nothing carried back", "cell state not carried back"], 2),
    ("own step only", ["own step only"], 1),
    ("softmax over the wrong axis", ["wrong axis"], 1),
    ("softmax over the whole array", ["whole array"], 1),
    ("stride on the way back", ["stride ignored on the way back"], 1),
    ("softmax's diagonal", ["diagonal of the Jacobian"], 1),
    ("kernel flipped", ["kernel flipped"], 2),
    ("sign", ["sign"], 3),
    ("transposed", ["transposed"], 1),
    ("mean for sum", ["batch mean", "batch mean for some only"], 3),
    ("mask unscaled", ["mask unscaled"], 1),
    ("eps's place", ["eps-hat", "another eps"], 2),
    ("accumulate or assign", ["assigned, not added"], 1),
    ("state overwritten by evaluation", ["state moves in evaluation"], 1),
    ("a parameter that never moves", ["a parameter that never moves"], 1),
    ("log forgotten", ["log forgotten"], 1),
    ("root multiplied", ["root multiplied"], 1),
    ("momentum inverted", ["momentum inverted"], 1),
    ("decay halved", ["decay halved"], 1),
    ("masked_fill reversed", ["masked_fill reversed"], 1),
    ("parameters not registered", ["parameters not registered"], 1),
    ("gradients never cleared", ["gradients never cleared"], 1),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "keys", "least"), MISTAKES, ids=lambda v: str(v))
def test_every_mistake_is_in_the_gallery(mistake, keys, least):
    assert sum(key in keys for *_, key in TABLE) >= least


# the styles of layers, one component for each; losses and optimizers have their own
STYLES = [
    ("linear", "LinearAttributes", styles.ATTRIBUTES),
    ("linear", "DenseParams", styles.CONTAINERS),
    ("linear", "LinearLists", styles.CONTAINERS),
    ("linear", "affine_forward", styles.CACHES),
    ("activations", "sigmoid", styles.DERIVATIVES),
    ("linear", "LinearParameters", styles.PARAMETERS),
    ("linear", "DenseUpdates", styles.UPDATING),
    ("linear", "DenseOptimizer", styles.UPDATING),
    ("linear", "DenseOneColumn", styles.SINGLE),
    ("linear", "DenseColumns", styles.COLUMNS),
    ("losses", "MSE", styles.LOSS),
    ("optimizers", "SGD", styles.OPTIMIZER),
    ("keras_like", "Dense", styles.BUILT),
    ("closures", "dense", styles.CLOSURES),
    ("autograd", "Linear", styles.TENSORS),
]


def test_every_style_is_in_the_gallery():
    assert {style for _, _, style in STYLES} == set(styles.STYLES)


@pytest.mark.parametrize(("stem", "name", "style"), STYLES, ids=lambda v: str(v))
def test_styles_are_named(stem, name, style):
    assert verdict_on(stem, name).style.startswith(style)


def test_the_gallery_is_large_and_read_without_adapters():
    # whatever has a verdict other than unusable was driven, as test_gallery holds
    assert len(TABLE) >= 60
    assert sum(verdict != U for _, _, verdict, _ in TABLE) >= 45


def test_nothing_is_wider_than_the_screen(monkeypatch):
    verdicts = [verdict_on(stem, name) for stem, name, *_ in TABLE[::7]]
    for width in (80, 100):
        monkeypatch.setenv("COLUMNS", str(width))
        for shown in (verdicts, *([v] for v in verdicts)):
            said = [n for n in render.as_text(shown).splitlines() if not n.startswith("    ")]
            assert max(map(len, said)) <= width
