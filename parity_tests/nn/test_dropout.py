"""Dropout: the same mask as torch's under the same seed."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity

CASES = [
    Case("Dropout", "", (6, 50), elementwise=True),
    Case("Dropout", "0.2", (3, 4, 5, 6), "4-d", elementwise=True),
    Case("Dropout", "p=0.9, inplace=True", (40,), elementwise=True),
    Case("Dropout", "0.0", (6, 5), "keeps all", elementwise=True),
    Case("Dropout", "1.0", (6, 5), "drops all", elementwise=True),
    Case("Dropout", "0.5", (0, 5), "empty", elementwise=True),
    Case("Dropout", "1.0", (0, 5), "empty", elementwise=True),
    Case("Dropout", "0.5", (), "0-d", elementwise=True),
    Case("Dropout", "0.5", (6, 5), train=False, elementwise=True),
    *[
        Case(name, args, shape, note, train=train, elementwise=True)
        for name, shape in (
            ("Dropout1d", (4, 5, 3)),
            ("Dropout2d", (4, 5, 3, 2)),
            ("Dropout3d", (4, 5, 3, 2, 2)),
            ("AlphaDropout", (6, 20)),
            ("FeatureAlphaDropout", (4, 5, 3)),
        )
        for args, note, train in (
            ("", "", True),
            ("", "", False),
            ("p=0.2, inplace=True", "", True),
            ("0.0", "keeps all", True),
            ("1.0", "drops all", True),
        )
    ],
    Case("Dropout1d", "0.4", (5, 3), "no batch", elementwise=True),
    Case("Dropout1d", "0.4", (0, 5, 3), "empty", elementwise=True),
    Case("Dropout2d", "0.4", (2, 0, 3, 3), "no channels", elementwise=True),
    Case("Dropout3d", "0.4", (5, 3, 2, 2), "no batch", elementwise=True),
    Case("AlphaDropout", "0.4", (), "0-d", elementwise=True),
    Case("AlphaDropout", "0.4", (0, 3), "empty", elementwise=True),
    Case("FeatureAlphaDropout", "0.4", (6, 5), "no positions", elementwise=True),
    Case("FeatureAlphaDropout", "0.4", (3, 4, 2, 2, 2), "three axes", elementwise=True),
]
KINDS = ["Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"]


class TestDropout(ModuleParity):
    cases = CASES


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.2, 0.5, 1.0])
def test_bit_for_bit_and_in_step_with_torch_s_stream(p, dtype) -> None:
    numpy_impl.manual_seed(1)
    torch.manual_seed(1)
    ours, twin = nn.Dropout(p), torch.nn.Dropout(p)
    for shape in ((7,), (128, 60), (2, 3, 4, 5)):
        x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
        np.testing.assert_array_equal(ours(x), twin(torch.from_numpy(x)).numpy())
    ours.eval()(x)
    np.testing.assert_array_equal(numpy_impl.rand(5), torch.rand(5).numpy())


@pytest.mark.parametrize("p", [-0.1, 1.5])
@pytest.mark.parametrize("name", ["Dropout", *KINDS])
def test_a_probability_out_of_range(name, p) -> None:
    with pytest.raises(ValueError, match=rf"{name}: p must lie in \[0, 1\], got"):
        getattr(nn, name)(p)


@pytest.mark.filterwarnings("ignore:[dD]ropout[23]d. :UserWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KINDS)
def test_kinds_bit_for_bit_with_any_number_of_axes(name, dtype) -> None:
    numpy_impl.manual_seed(1)
    torch.manual_seed(1)
    rng, refused = np.random.default_rng(0), 0
    for p in (0.1, 0.3, 0.5):
        ours, twin = getattr(nn, name)(p), getattr(torch.nn, name)(p)
        for ndim in range(7):
            x = rng.standard_normal((4, 3, 2, 3, 2, 2)[:ndim]).astype(dtype)
            try:
                expected = twin(torch.from_numpy(x)).numpy()
            except RuntimeError:
                refused += 1
                with pytest.raises(ValueError, match=f"{name}: input must"):
                    ours(x)
                continue
            np.testing.assert_array_equal(ours(x), expected)
    assert (refused > 0) == (name != "AlphaDropout")
    np.testing.assert_array_equal(numpy_impl.rand(5), torch.rand(5).numpy())


@pytest.mark.parametrize("name", ["Dropout2d", "Dropout3d"])
def test_shapes_that_torch_warns_of(name) -> None:
    for ndim in (2, 3, 6):
        x = np.ones((2,) * ndim, "f")
        with pytest.warns(UserWarning, match="dropout[23]d: Received a"):
            getattr(torch.nn, name)()(torch.from_numpy(x))
        with pytest.warns(UserWarning, match=f"{name}: ") as caught:
            getattr(nn, name)()(x)
        assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=r"taken as \(N, C, L\)") as caught:
        nn.Dropout2d()(np.ones((2, 3, 4), "f"))
    assert caught[0].filename == __file__


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_infinities_that_are_dropped_are_nan_as_in_torch(p) -> None:
    numpy_impl.manual_seed(1)
    torch.manual_seed(1)
    x = np.array([np.inf, -np.inf, np.nan, 1.0] * 5)
    ours, twin, leaf = nn.Dropout(p), torch.nn.Dropout(p), torch.from_numpy(x).requires_grad_()
    expected = twin(leaf)
    expected.backward(torch.from_numpy(x))
    np.testing.assert_array_equal(ours(x), expected.detach().numpy())
    np.testing.assert_array_equal(ours.backward(x), leaf.grad.numpy())
