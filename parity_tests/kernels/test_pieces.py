"""Pieces of arrays: a formula on each equals the formula on the whole."""

import numpy as np
import pytest

from numpy_impl.kernels.pieces import _SIZE, laid_out_like, pieces


def fortran(array):
    return np.array(array, order="F")


def channels_last(array):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def with_gaps(array):
    if not array.shape:
        return np.array(array)
    wide = np.zeros((*array.shape[:-1], array.shape[-1] + 1), array.dtype)
    wide[..., :-1] = array
    return wide[..., :-1]


def backwards(array):
    return np.ascontiguousarray(array[::-1])[::-1]


@pytest.mark.parametrize(
    "shape", [(), (0,), (3, 0, 2), (7,), (_SIZE,), (_SIZE + 1,), (2, 3, 90, 400)]
)
@pytest.mark.parametrize("second", [np.array, fortran, with_gaps])
@pytest.mark.parametrize("first", [np.array, fortran, with_gaps, backwards, channels_last])
def test_an_update_by_pieces_equals_the_update_of_the_whole(first, second, shape) -> None:
    if (first is channels_last and len(shape) < 2) or (first is backwards and shape == ()):
        first = np.array
    rng = np.random.default_rng(0)
    a = first(np.asarray(rng.standard_normal(shape)))
    b = second(np.asarray(rng.standard_normal(shape)))

    def update(w, g, nothing) -> None:
        assert nothing is None
        w *= 0.9
        w -= g * g
        g += w

    expected_a, expected_b = a.copy(), b.copy()
    update(expected_a, expected_b, None)
    for piece in pieces(a, b, None):
        update(*piece)
    np.testing.assert_array_equal(a, expected_a)
    np.testing.assert_array_equal(b, expected_b)


@pytest.mark.parametrize("layout", [np.array, fortran, channels_last])
def test_dense_arrays_of_one_layout_are_cut_small(layout) -> None:
    a = layout(np.zeros((3, 5, 70, 311)))
    sizes = [piece[0].size for piece in pieces(a, np.zeros_like(a), None)]
    assert sizes == [_SIZE] * (a.size // _SIZE) + [a.size % _SIZE]
    masks = [piece[1] for piece in pieces(a, np.zeros_like(a, np.bool_))]
    assert [mask.size for mask in masks] == sizes


@pytest.mark.parametrize("layout", [np.array, fortran, channels_last, with_gaps])
def test_laid_out_like_keeps_values_and_takes_the_layout(layout) -> None:
    rng = np.random.default_rng(0)
    array = rng.standard_normal((3, 4, 5))
    model = layout(np.zeros((3, 4, 5)))
    found = laid_out_like(array, model)
    np.testing.assert_array_equal(found, array)
    assert found.strides == np.empty_like(model).strides
    assert laid_out_like(model, model) is model
