"""The gallery of examples/check: mistakes are found and named, what is right is not accused."""

import sys
from pathlib import Path

import pytest

from torch_ref.checking.check import check_candidate, load
from torch_ref.checking.drivers import find_drivers

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
]


@pytest.mark.parametrize(("stem", "name", "verdict", "key"), TABLE, ids=lambda v: str(v))
def test_gallery(stem, name, verdict, key, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (candidate,) = find_drivers(load(str(GALLERY / f"{stem}.py")), name)
    found = check_candidate(candidate)
    assert found.verdict == verdict, found
    assert (key in found.keys) if key else not found.keys
