"""A sample of the mutants of numpy_impl's math: what changes a result is found."""

import ast
import inspect
import itertools

import pytest

from numpy_impl.nn.loss import regression
from parity_tests.checking.mutants import Mutant, every, parts, run, with_further
from torch_ref.checking.kinds import KINDS

SAMPLE = ("ELU", "Linear", "MSELoss", "LSTMCell")


def test_a_sample_is_found():
    mutants = list(every(SAMPLE))
    assert len(mutants) >= 60
    some = itertools.islice(mutants, 0, None, len(mutants) // 20)
    verdicts = [(mutant.text, verdict) for mutant, verdict in run(some, jobs=1)]
    assert {v for _, v in verdicts} <= {"wrong", "unusable", "right by a convention", "equivalent"}
    assert sum(v == "wrong" for _, v in verdicts) >= 8, verdicts


@pytest.mark.parametrize(
    ("factor", "verdict"), [("1", "equivalent"), ("(1 + 1e-9)", "missed"), ("2", "wrong")]
)
def test_what_is_missed_and_what_changes_nothing(factor, verdict):
    kind = with_further(KINDS["MSELoss"])
    function = inspect.unwrap(regression.mse_loss_backward)
    tree = ast.parse(inspect.getsource(function))
    (returned,) = [node for node in ast.walk(tree) if isinstance(node, ast.Return)]
    assert returned.value is not None
    returned.value = ast.parse(f"({ast.unparse(returned.value)}) * {factor}", mode="eval").body
    mutant = Mutant(kind, function, factor, tree, parts(kind))
    assert [v for _, v in run([mutant], jobs=1)] == [verdict]
