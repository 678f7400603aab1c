"""How unsure a boundary is, read off probabilities that are known functions."""

import numpy as np
import pytest
from scipy.special import ndtr

from livf.lib.errors import InputError
from livf.lib.foramen.outline import Contour, outward_normals
from livf.lib.foramen.probabilities import OF_LENGTH, Spread, boundary_of
from livf.lib.foramen.result import Frame

FRAME = Frame(np.zeros(3), np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))


def circle(radius=6.0):
    angle = -np.arange(0, 2 * np.pi, 0.04)
    points = radius * np.column_stack([np.sin(-angle), np.cos(angle)])
    return Contour(points, outward_normals(points), np.zeros(len(points), dtype=int), 0.0)


def softly(deviation, spacing=0.5, radius=6.0):
    """Background inside a tube along L, its boundary normally distributed with a deviation in mm."""
    axis = np.arange(-12, 12.1, spacing)
    _, a, s = np.meshgrid(axis, axis, axis, indexing="ij")
    background = ndtr((radius - np.hypot(a, s)) / deviation)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -12
    return np.stack([background, 1 - background, 0 * background, 0 * background]), affine


@pytest.mark.parametrize("deviation", [0.6, 1.0])
def test_the_spread_is_the_boundary_s_deviation(deviation):
    maps, affine = softly(deviation)
    spread = boundary_of(maps, maps.shape[1:], affine).spread(FRAME, "left", (-4.0, 4.0), circle())
    assert spread.typical == pytest.approx(deviation, rel=0.12, abs=0.03)


def test_a_boundary_sharper_than_the_grid_is_as_unsure_as_the_grid():
    maps, affine = softly(0.05)
    spread = boundary_of(maps, maps.shape[1:], affine).spread(FRAME, "left", (-4.0, 4.0), circle())
    assert 0 < spread.typical < 0.4


def test_a_length_is_as_unsure_as_its_own_ends():
    points = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0]])
    spread = Spread(points, np.array([0.3, 0.4, 5.0]))
    expected = OF_LENGTH["width_mm"] * 0.5
    assert spread.of_length("width_mm", ((0.5, 0.0), (10.5, 0.0))) == pytest.approx(expected)
    assert spread.near((100.0, 0.0)) == spread.typical == 0.4


@pytest.mark.parametrize("damage", ["shape", "nan"])
def test_what_is_no_probability_is_refused(damage):
    maps, affine = softly(0.5)
    if damage == "nan":
        maps[0, 3, 3, 3] = np.nan
    with pytest.raises(InputError):
        boundary_of(maps[:, 1:] if damage == "shape" else maps, maps.shape[1:], affine)
