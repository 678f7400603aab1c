"""Implicit solids: signs, distances and frames."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.synthesis.implicit import FAR, Part, Pose, Solid, rod, smooth_max, smooth_min

UPRIGHT = Pose(np.zeros(3), np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))


def test_local_and_world_are_inverse() -> None:
    pose = UPRIGHT.moved((3, -7, 11)).turned(about_left=13, about_anterior=-4, about_superior=9)
    points = np.random.default_rng(0).normal(0, 30, (50, 3))
    local = np.stack(pose.to_local(*points.T), axis=-1)
    np.testing.assert_allclose(pose.to_world(local), points, atol=1e-9)
    np.testing.assert_allclose(pose.axes @ pose.axes.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    ("turn", "axis", "towards"),
    [
        ({"about_left": 10}, "superior", "anterior"),
        ({"about_anterior": 10}, "superior", "left"),
        ({"about_superior": 10}, "anterior", "left"),
    ],
)
def test_turns_go_the_documented_way(turn: dict[str, float], axis: str, towards: str) -> None:
    turned = UPRIGHT.turned(**turn)
    lean = float(getattr(turned, axis) @ getattr(UPRIGHT, towards))
    expected = np.sin(np.radians(10)) * (-1 if "about_left" in turn else 1)
    assert lean == pytest.approx(expected)


def test_a_rod_is_zero_on_its_surface_and_exact_beside_a_round_one() -> None:
    part = rod((0, 0, 0), (0, 0, 20), (4, 2))
    on_surface = np.array([[4.0, 0, 10], [0, 2, 10], [-4, 0, 3], [0, 0, 22]])
    np.testing.assert_allclose(part.function(*on_surface.T), 0, atol=1e-6)
    round_rod = rod((0, 0, 0), (0, 0, 20), (3, 3))
    beside = np.array([[5.0, 0, 10], [0, 4, 10], [1, 0, 10]])
    np.testing.assert_allclose(round_rod.function(*beside.T), [2, 1, -2], atol=1e-6)


def test_a_rod_along_its_own_cross_section_is_refused() -> None:
    with pytest.raises(ValueError, match="along the rod"):
        rod((0, 0, 0), (5, 0, 0), (2, 1))


def test_smooth_union_never_exceeds_the_plain_one_and_meets_it_outside_its_radius() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.normal(0, 3, (2, 1000))
    blended = smooth_min(one, two, 2.0)
    assert (blended <= np.minimum(one, two) + 1e-12).all()
    apart = np.abs(one - two) > 2
    np.testing.assert_array_equal(blended[apart], np.minimum(one, two)[apart])
    np.testing.assert_allclose(smooth_max(one, two, 2.0), -smooth_min(-one, -two, 2.0))


def test_a_part_is_cut_away() -> None:
    ball = rod((0, 0, -0.01), (0, 0, 0.01), (10, 10), blend=0)
    hole = rod((0, 0, -20), (0, 0, 20), (3, 3), blend=0)
    solid = Solid(UPRIGHT, (ball, Part(hole.function, hole.low, hole.high, 0.0, cut=True)))
    x = np.array([0.0, 5.0, 12.0])
    assert list(np.sign(solid.distance(x, np.zeros(3), np.zeros(3)))) == [1, -1, 1]


def test_parts_are_skipped_only_where_they_cannot_matter() -> None:
    """Values on a grid equal those at single points, and are clipped to FAR."""
    solid = Solid(UPRIGHT, (rod((0, 0, 0), (0, 0, 20), (4, 2)), rod((15, 0, 0), (15, 5, 9), (3, 3))))
    axis = np.linspace(-30, 30, 13)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    grid = solid.distance(x, y, z)
    single = [float(solid.distance(*(np.array([v]) for v in p))[0]) for p in zip(x.flat, y.flat, z.flat, strict=True)]
    np.testing.assert_allclose(grid.ravel(), single)
    assert grid.max() == FAR
    low, high = solid.bounds()
    outside = (x < low[0]) | (x > high[0]) | (y < low[1]) | (y > high[1]) | (z < low[2]) | (z > high[2])
    assert (grid[outside] > 0).all()
