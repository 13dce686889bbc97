"""Files of a run, data and pictures as no run leaves them: an error in one line, or none at all."""

import io
import json
import struct
import subprocess

import numpy as np
import pytest
import safetensors
import torch
from PIL import Image

from experiments import checkpoint, data, lock, pictures, run
from experiments.config import Config
from experiments.errors import Damaged, UserError
from parity_tests.io.test_files import torch_file

DEEP = {depth: "[" * depth + "]" * depth for depth in (150, 400, 900, 10**5)}


@pytest.mark.parametrize("depth", DEEP)
def test_json_that_is_nested_deeply(tmp_path, depth) -> None:
    """To show the value in the error could overflow the stack."""
    file = tmp_path / "config.json"
    for text in (DEEP[depth], f'{{"hidden": {DEEP[depth]}}}', f'{{"config": {DEEP[depth]}}}'):
        file.write_text(text)
        for read in (run.saved_values, run._read_config):
            with pytest.raises(UserError, match="nested too deeply"):
                read(file)
    assert lock._read(file) == {}


@pytest.mark.parametrize("depth", DEEP)
def test_a_checkpoint_that_is_nested_deeply(tmp_path, depth) -> None:
    file = tmp_path / "checkpoint"
    text = f'{{"state": {DEEP[depth]}}}'
    file.write_bytes(safetensors.numpy.save({"0": np.zeros(1)}, {"json": text}))
    with pytest.raises(Damaged, match="nested too deeply"):
        checkpoint.load_state(file)


def test_a_recorded_path_that_no_file_can_have() -> None:
    for path in ("a" * 5000, "a\0b", "\ud800", ""):
        assert data.recorded_path({"path": path}) is None


def test_a_system_s_error_is_no_damage(tmp_path, monkeypatch) -> None:
    """A damaged checkpoint is replaced by the one before: not so one that was out of reach."""
    file = tmp_path / "weights"
    checkpoint.save_arrays(file, {"a": np.ones(2)}, {})

    def broken(*_, **__):
        raise OSError("Input/output error (os error 5)")

    monkeypatch.setattr(safetensors, "safe_open", broken)
    with pytest.raises(UserError, match=r"can't be read .Input/output error") as caught:
        checkpoint.load_arrays(file)
    assert not isinstance(caught.value, Damaged)


def test_own_data_that_is_a_view_of_any_size(tmp_path) -> None:
    """Of PyTorch's format, which knows views; the suffix does not tell."""
    huge = torch.zeros(1, 1, 1, dtype=torch.uint8).expand(2**40, 28, 28)
    few = torch.zeros(6, dtype=torch.uint8)
    arrays = {"x_train": huge, "y_train": few, "x_test": huge, "y_test": few}
    file = tmp_path / "own.npz"
    file.write_bytes(torch_file(arrays).getvalue())
    with pytest.raises(UserError, match="x_train: has more bytes than its file can hold"):
        data.load("own", file)


def test_postscript_is_not_handed_to_another_program(tmp_path, monkeypatch) -> None:
    file = io.BytesIO()
    Image.new("L", (12, 12)).save(file, "EPS")
    (tmp_path / "a.png").write_bytes(file.getvalue())

    def started(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "check_call", started)
    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    with pytest.raises(UserError, match="cannot identify image file"):
        pictures.read(tmp_path / "a.png", (28, 28), "mnist")


def test_a_state_whose_numbers_are_none(tmp_path) -> None:
    """An IndexError of the code that takes it would be no answer."""

    class Odd:
        def resume(self, state):
            raise IndexError("only integers are valid indices")

    with pytest.raises(UserError, match=r"does not fit this run .only integers"):
        run._take(Odd(), tmp_path / "checkpoint", {})


def test_the_depth_that_a_run_s_own_files_have(tmp_path) -> None:
    file = tmp_path / "config.json"
    values = Config().as_dict()
    file.write_text(json.dumps({"config": values, "data": {"path": [[[[struct.calcsize("I")]]]]}}))
    assert run.saved_values(file) == (values, None)
