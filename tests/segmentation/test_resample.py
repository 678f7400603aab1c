"""Resampling along one axis."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from livf.lib.segmentation import resample


@given(st.integers(2, 40), st.floats(0.1, 6.0), st.floats(-3, 3), st.integers(1, 40))
def test_a_constant_stays_constant(length, step, start, count):
    matrix = resample.weights(start + step * np.arange(count), step, length)
    assert matrix.shape == (count, length)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-5)


@given(st.integers(6, 40), st.floats(0.1, 3.0))
def test_a_ramp_stays_a_ramp_away_from_the_ends(length, step):
    at = np.arange(2, length - 3, step)
    matrix = resample.weights(at, step, length)
    inner = (at - step / 2 >= 0) & (at + step / 2 <= length - 1)
    # Exact when refining; the mean over a voxel that cuts input voxels is a step function's, at most 1/8 off.
    off = np.abs(matrix @ np.arange(length, dtype=np.float32) - at)[inner]
    assert (off < (1e-4 if step <= 1 else 0.13)).all()


def test_equal_grids_are_the_identity_and_cost_nothing():
    matrix = resample.weights(np.arange(7) + 1e-9, 1.0, 7)
    np.testing.assert_array_equal(matrix, np.eye(7))
    array = np.ones((2, 7), dtype=np.float32)
    assert resample.apply(matrix, array, 1) is array


def test_coarsening_takes_the_mean_so_that_nothing_aliases():
    matrix = resample.weights(np.asarray([1.0, 4.0]), 3.0, 6)
    np.testing.assert_allclose(matrix @ np.asarray([0, 3, 6, 9, 0, 0], dtype=np.float32), [3, 3], rtol=1e-6)
    stripes = np.tile([0.0, 1.0], 32).astype(np.float32)  # the finest pattern there is: nearest or linear would alias
    fine = resample.weights((np.arange(16) + 0.5) * 4 - 0.5, 4.0, 64) @ stripes
    np.testing.assert_allclose(fine, 0.5, atol=1e-6)


def test_beyond_the_ends_the_end_counts():
    matrix = resample.weights(np.asarray([-2.0, 9.0]), 1.0, 4)
    np.testing.assert_array_equal(matrix, [[1, 0, 0, 0], [0, 0, 0, 1]])


def test_apply_works_along_any_axis():
    array = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    matrix = resample.weights(np.asarray([0.5, 1.5]), 1.0, 4)
    np.testing.assert_allclose(resample.apply(matrix, array, 1), np.einsum("oi,aib->aob", matrix, array), rtol=1e-5)
