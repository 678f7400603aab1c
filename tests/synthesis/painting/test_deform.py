import numpy as np
import pytest

from livf.lib.synthesis.painting.deform import Warp, Window, bend, interpolate, rotation

WINDOW = Window((20, 25, 31), 1.0)


def at(warp, offset=(0.0, 0.0, 0.0), focus=(0.0, 0.0, 0.0), seed=0):
    nodes = warp.at_nodes(WINDOW, np.array(focus), np.array(offset), np.random.default_rng(seed))
    return WINDOW.between(nodes, WINDOW.whole)


def grid():
    affine = WINDOW.affine()
    return np.stack(np.meshgrid(*[affine[a, 3] + np.arange(n) for a, n in enumerate(WINDOW.shape)], indexing="ij"))


def test_without_change_a_voxel_shows_its_own_place():
    np.testing.assert_allclose(at(Warp()), grid(), atol=1e-4)


def test_the_focus_lies_at_the_offset():
    points = at(Warp(scale=1.1, turn_degrees=(10, 5, -7)), offset=(2.5, -3.0, 4.0), focus=(50.0, 60.0, 70.0))
    centre = (np.array(WINDOW.shape) - 1) / 2 + [2.5, -3.0, 4.0]
    assert np.allclose(np.mod(centre, 1), 0)
    i, j, k = centre.astype(int)
    np.testing.assert_allclose(points[:, i, j, k], (50, 60, 70), atol=1e-3)


def test_mirroring_exchanges_left_and_right_only():
    plain, mirrored = at(Warp()), at(Warp(mirror=True))
    np.testing.assert_allclose(mirrored[0], -plain[0], atol=1e-4)
    np.testing.assert_allclose(mirrored[1:], plain[1:], atol=1e-4)


def test_scale_spreads_the_points_less():
    np.testing.assert_allclose(at(Warp(scale=1.25)) * 1.25, grid(), atol=1e-3)


def test_a_bend_is_of_the_asked_size_smooth_and_folds_nothing():
    field = bend((40, 40, 40), 4.0, 20.0, np.random.default_rng(1))
    assert field.std() == pytest.approx(1.0, abs=0.25)
    assert abs(field.mean()) < 0.5
    steepest = max(np.abs(np.diff(field * 2.2, axis=a)).max() / 4.0 for a in (1, 2, 3))
    assert steepest < 0.5  # a displacement that grows by less than its distance keeps the order of points


def test_rotation_is_one():
    turn = rotation((12.0, -7.0, 33.0))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)


def test_interpolation_is_exact_for_what_is_linear():
    values = np.fromfunction(lambda c, i, j, k: 1 + c + 2 * i - 3 * j + 0.5 * k, (2, 4, 5, 6))
    places = [np.array([0.0, 1.25, 3.0]), np.array([0.5, 4.0]), np.array([2.75])]
    expected = [
        [[[1 + c + 2 * i - 3 * j + 0.5 * k for k in places[2]] for j in places[1]] for i in places[0]] for c in (0, 1)
    ]
    np.testing.assert_allclose(interpolate(values, places), expected, rtol=1e-6)
