"""The examples of torch's own documentation, run with numpy_impl in torch's place.

They are read from the docstrings of the torch that is installed: every Tensor that an example
makes must have the same values in both. Where torch itself can't run one to its end (a name that
stands for the reader's own, a GPU), what came before counts.
"""

import contextlib
import doctest
import inspect
import io
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl

SPACES = {
    "nn": (torch.nn, numpy_impl.nn),
    "nn.functional": (torch.nn.functional, numpy_impl.nn.functional),
    "nn.init": (torch.nn.init, numpy_impl.nn.init),
    "nn.utils": (torch.nn.utils, numpy_impl.nn.utils),
    "optim": (torch.optim, numpy_impl.optim),
    "optim.lr_scheduler": (torch.optim.lr_scheduler, numpy_impl.optim.lr_scheduler),
    "torch": (torch, numpy_impl),
    "Tensor": (torch.Tensor, numpy_impl.Tensor),
}
# what does not run here, and why
DIFFERENT = {
    "nn.Fold": "names what the reader has to fill in",
    "nn.Unfold": "names what the reader has to fill in",
    "nn.Threshold": "activations take floating-point arrays",
    "optim.lr_scheduler.OneCycleLR": "torch.utils.data has no twin",
    "torch.is_floating_point": "no float16",
    "torch.kthvalue": "resize_, which gives memory another shape",
    "torch.logical_and": "no out=",
    "torch.logical_not": "no out=",
    "torch.logical_or": "no out=",
    "torch.logical_xor": "no out=",
    "torch.sgn": "complex numbers",
    "torch.vdot": "complex numbers",
    "Tensor.scatter_": "reduce=, which torch deprecates",
    "Tensor.to": "one device",
    "Tensor.view": "complex numbers",
}
# of any values: what torch found in memory; the places of equal elements in an unstable sort
OPEN = {
    "nn.functional.pad",
    "torch.empty",
    "torch.empty_like",
    "torch.ones_like",
    "torch.sort",
    "torch.zeros_like",
    "Tensor.new_empty",
    "Tensor.size",
}


_FIVE_AXES = re.compile(r"(randn\()\d\d, (?=\d+, \d+, \d+, \d+\))")


def examples() -> Iterator[tuple[str, list[str]]]:
    """Each name that both have, and the lines of its examples."""
    for space, (theirs, ours) in SPACES.items():
        for name in dir(theirs):
            value = getattr(theirs, name)
            if name.startswith("_") or not callable(value) or not hasattr(ours, name):
                continue
            found = doctest.DocTestParser().get_examples(inspect.getdoc(value) or "")
            if found:
                # of a large batch of volumes one is enough
                lines = [_FIVE_AXES.sub(r"\g<1>1, ", example.source) for example in found]
                yield f"{space}.{name}", lines


ALL = dict(examples())


def run(world: Any, lines: list[str]) -> tuple[dict[str, Any], int, BaseException | None]:
    """What the names stand for after the lines, how many ran, and what stopped the next.

    What a line shows, as at Python's prompt, stands under the line itself.
    """
    world.manual_seed(0)
    names = {"torch": world, "nn": world.nn, "F": world.nn.functional, "np": np}
    names |= {"numpy": np, "optim": world.optim}
    shown: list[Any] = []
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(action="ignore"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "displayhook", shown.append)
        for done, example in enumerate(lines):
            line = example
            if world is numpy_impl:
                line = line.replace("from torch", "from numpy_impl")
            try:
                exec(compile(line, "<example>", "single"), names)
            except Exception as error:
                return names, done, error
            for value in shown:
                names[f"{done}: {example}"] = value
            shown.clear()
    return names, len(lines), None


def tensors_in(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in tensors_in(part)]
    return [value] if isinstance(value, torch.Tensor) and not value.is_sparse else []


def like(ours: Any, twin: Any) -> list[Any]:
    """The parts of ours in the places of the other's Tensors."""
    if isinstance(twin, tuple | list):
        assert len(ours) == len(twin)
        return [found for o, t in zip(ours, twin, strict=True) for found in like(o, t)]
    return [ours] if tensors_in(twin) else []


def array(value: Any) -> Any:
    return value.detach().numpy() if isinstance(value, torch.Tensor | numpy_impl.Tensor) else value


@pytest.fixture(autouse=True)
def grad_mode_as_before() -> Iterator[None]:
    """Some examples switch gradients off for good."""
    with torch.enable_grad(), numpy_impl.enable_grad():
        yield


@pytest.mark.parametrize("name", [name for name in ALL if name not in DIFFERENT])
def test_example(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # some save what they make
    expected, done, _ = run(torch, ALL[name])
    found, ran, error = run(numpy_impl, ALL[name][:done])
    assert ran == done, f"{ALL[name][ran]}: {error!r}"
    for key, twin in expected.items():
        if key.startswith("__"):  # Python's own
            continue
        for ours, theirs in zip(like(found[key], twin), tensors_in(twin), strict=True):
            ours, theirs = array(ours), array(theirs)
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), key
            if name not in OPEN:
                np.testing.assert_allclose(ours, theirs, 1e-4, 1e-5, err_msg=key)


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_does_not_run_still_does_not(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, ran, error = run(numpy_impl, ALL[name])
    assert ran < len(ALL[name]), f"it runs: take it off the list of {DIFFERENT[name]!r}"
    assert error is not None


def test_examples_are_found() -> None:
    assert len(ALL) > 400
    assert {"nn.LSTM", "nn.CrossEntropyLoss", "nn.functional.conv2d", "torch.einsum"} <= ALL.keys()


def test_an_example_with_another_result_is_seen(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(numpy_impl, "abs", numpy_impl.neg)
    with pytest.raises(AssertionError, match=r"0: torch\.abs"):
        test_example("torch.abs", tmp_path, monkeypatch)
    monkeypatch.setattr(numpy_impl.nn, "ReLU", numpy_impl.nn.Identity)
    with pytest.raises(AssertionError, match="output"):
        test_example("nn.ReLU", tmp_path, monkeypatch)
    monkeypatch.delattr(numpy_impl.nn, "ReLU6")
    with pytest.raises(AssertionError, match="ReLU6"):
        test_example("nn.ReLU6", tmp_path, monkeypatch)
