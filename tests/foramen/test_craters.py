"""Bowls: surfaces that are hollow in both directions."""

import numpy as np
import pytest

from livf.lib.anatomy import L4
from livf.lib.foramen.constants import BOWL_RADIUS_MM, LARGEST_BOWLS
from livf.lib.foramen.craters import bowl_mm2, least_curvature, surface
from livf.lib.foramen.frame import find_frame
from livf.lib.foramen.level import prepare
from livf.lib.foramen.outline import find_contour, project, slab

STEP = 0.5
X, Y, Z = np.meshgrid(*[np.arange(-10.0, 10.1, STEP)] * 3, indexing="ij")
SHAPES = {
    "inside of a ball": (np.sqrt(X**2 + Y**2 + Z**2) - 7.0, 1 / 7.0),
    "ball": (7.0 - np.sqrt(X**2 + Y**2 + Z**2), -1 / 7.0),
    "groove": (np.sqrt(X**2 + (Y - 0.3 * Z) ** 2 / 1.09) - 7.0, 0.0),
    "plane": (0.4 * X - 0.2 * Y + Z, 0.0),
    "saddle": (Z - X * Y / 10.0, -1 / 10.0),
}


@pytest.mark.parametrize("name", SHAPES)
def test_curvatures_of_known_surfaces(name):
    value, expected = SHAPES[name]
    near = surface(value > 0) & (np.abs(value) < 1.0) & (np.hypot(X, Y) + np.abs(Z) < 9.0)
    found = least_curvature(value.astype(np.float32), near, STEP)
    if name == "saddle":  # only at its middle
        found = found[np.hypot(X[near], Y[near]) < 1.0]
    assert found.size and np.median(found) == pytest.approx(expected, abs=0.02)


def test_the_surface_is_one_sample_thick():
    ball = surface(np.sqrt(X**2 + Y**2 + Z**2) < 7.0)
    assert np.sqrt(X**2 + Y**2 + Z**2)[ball].min() > 7.0 - STEP * np.sqrt(3) and not ball[0].any()


def bowls(label, affine, side):
    """Share of each limit."""
    level = prepare(label, affine)
    marks = find_frame(level)
    borders = slab(marks, side)
    contour = find_contour(level, marks, project(level, marks, side, borders))
    return [bowl_mm2(level, marks, side, borders, contour, smooth) / most for smooth, most in LARGEST_BOWLS]


@pytest.mark.parametrize("radius", [4.0, 6.0])
def test_a_bite_beside_the_foramen_leaves_a_bowl(plain, radius):
    """Out of the underside of the upper vertebra's pedicle."""
    label, affine, scene = plain
    frame = find_frame(prepare(label, affine)).frame
    index = np.stack(np.meshgrid(*(np.arange(n) for n in label.shape), indexing="ij"), axis=-1)
    place = frame.to_frame(index @ affine[:3, :3].T + affine[:3, 3])
    off = np.linalg.norm(place - [18.0, -21.0, scene.left.top + 1.0], axis=-1)
    bitten = np.where((label == L4.value) & (off < radius), 0, label)
    assert all(min(bowls(label, affine, side)) < 1 for side in ("left", "right"))
    assert min(bowls(bitten, affine, "left")) > 1 > min(bowls(bitten, affine, "right"))
    assert radius < BOWL_RADIUS_MM


@pytest.mark.parametrize("name", ["plain", "leaning facet", "round facet", "recess"])
def test_voxel_steps_of_flat_walls_are_no_bowl(scenes, name):
    label, affine = scenes[name].voxels(1.0, (5.0, 7.0, -6.0))
    assert all(min(bowls(label, affine, side)) < 0.9 for side in ("left", "right"))
