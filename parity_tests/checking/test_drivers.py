"""People's code in its styles: what is right is driven right, and what is wrong arrives wrong."""

import importlib.util
from pathlib import Path

import pytest

from torch_ref.checking.check import _offered as offered
from torch_ref.checking.drivers import CannotDrive, Failed, drive, find_drivers
from torch_ref.checking.explain import error
from torch_ref.checking.kinds import KINDS
from torch_ref.checking.probe import answer

STYLES = Path(__file__).parent / "styles"

RIGHT = [
    ("attributes", "Linear", "Linear"),
    ("attributes", "DenseDicts", "Linear"),
    ("attributes", "DenseUpdating", "Linear"),
    ("attributes", "DenseOneColumn", "Linear"),
    ("attributes", "DenseColumns", "Linear"),
    ("attributes", "DenseKeras", "Linear"),
    ("attributes", "LinearParameter", "Linear"),
    ("attributes", "DenseNnfs", "Linear"),
    ("attributes", "DenseOptimizer", "Linear"),
    ("attributes", "ReLU", "ReLU"),
    ("attributes", "ReLUInPlace", "ReLU"),
    ("attributes", "BatchNorm", "BatchNorm1d"),
    ("attributes", "MaxPool2D", "MaxPool2d"),
    ("attributes", "Conv2D", "Conv2d"),
    ("functions", "affine_forward", "Linear"),
    ("functions", "linear_forward", "Linear"),
    ("functions", "relu", "ReLU"),
    ("functions", "sigmoid", "Sigmoid"),
    ("functions", "tanh", "Tanh"),
    ("functions", "mse", "MSELoss"),
    ("functions", "softmax_loss", "CrossEntropyLoss"),
    ("functions", "CategoricalCrossEntropy", "ProbabilityLoss"),
    ("optimizers", "AdamDict", "Adam"),
    ("optimizers", "SGDTorch", "SGD"),
    ("optimizers", "MomentumOne", "Momentum"),
    ("optimizers", "AdagradLayer", "Adagrad"),
    ("optimizers", "SGDZip", "SGD"),
    ("optimizers", "rmsprop", "RMSprop"),
    ("optimizers", "momentum", "Momentum"),
]
WRONG = [
    ("attributes", "LinearWrong", "Linear", "grad weight"),
    ("functions", "MSEWrong", "MSELoss", "grad input"),
    ("optimizers", "AdamNoCorrection", "Adam", "step 1"),
]


def load(stem):
    spec = importlib.util.spec_from_file_location(f"styles_{stem}", STYLES / f"{stem}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def deviating(stem, name, like):
    """The parts that differ from the twin's, over all configurations and experiments."""
    (candidate,) = find_drivers(load(stem), name, like)
    kind, parts = KINDS[like], set()
    every = [((), kind.configurations[0][1])] if kind.role == "optimizer" else offered(candidate)
    for args, kwargs in every:
        driver = drive(candidate, args, kwargs)
        probes = [p for p in kind.draw(*args, **kwargs) if p.note != "extremes"]
        for probe in probes:
            found = driver.run(probe)
            for part, value in answer(kind, probe).items():
                if part == "num_batches_tracked":
                    continue
                if part not in found or error(found[part], value) > 1e-7:
                    parts.add(part)
    return parts


@pytest.mark.parametrize(("stem", "name", "like"), RIGHT, ids=lambda v: v)
def test_right_code_is_driven_right(stem, name, like):
    assert deviating(stem, name, like) == set()


@pytest.mark.parametrize(("stem", "name", "like", "part"), WRONG, ids=lambda v: v)
def test_a_wrong_value_arrives(stem, name, like, part):
    assert part in deviating(stem, name, like)


def test_names_tell_the_kind():
    found = {c.name: c.kind.like for c in find_drivers(load("functions"))}
    assert found == {
        "affine_forward": "Linear",
        "linear_forward": "Linear",
        "relu": "ReLU",
        "sigmoid": "Sigmoid",
        "tanh": "Tanh",
        "mse": "MSELoss",
        "softmax_loss": "CrossEntropyLoss",
        "CategoricalCrossEntropy": "ProbabilityLoss",
        "MSEWrong": "MSELoss",
    }


def test_an_exception_of_theirs_has_its_place():
    (candidate,) = find_drivers(load("attributes"), "LinearCrash", "Linear")
    with pytest.raises(Failed, match="no attribute 'V'") as caught:
        drive(candidate)
    assert caught.value.source == "return x @ self.V"
    assert caught.value.file.endswith("attributes.py")


def test_in_place_changes_are_noted():
    (candidate,) = find_drivers(load("attributes"), "ReLUInPlace", "ReLU")
    driver = drive(candidate)
    driver.run(KINDS["ReLU"].draw()[0])
    assert "forward changes its input in place" in driver.notes
    assert "backward changes the upstream gradient in place" in driver.notes


def test_parameter_objects_may_add_up():
    (candidate,) = find_drivers(load("attributes"), "LinearParameter", "Linear")
    assert drive(candidate).can_clear
    (candidate,) = find_drivers(load("attributes"), "Linear", "Linear")
    assert not drive(candidate).can_clear


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(CannotDrive, match="affine_forward"):
        find_drivers(load("functions"), "nothing")
