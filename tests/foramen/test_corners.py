"""Corners drawn sharp between flat faces, and only there."""

import numpy as np
import pytest
from scipy import ndimage

from livf.lib.foramen.constants import OUTLINE_STEP_MM
from livf.lib.foramen.corners import sharpened
from livf.lib.foramen.outline import Contour, outward_normals


def contour(corners, rounding_mm=0.6):
    """The outline of a polygon (clockwise), its corners rounded off as a smoothed surface rounds them."""
    corners = np.asarray(corners, dtype=float)
    pieces = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        count = round(np.linalg.norm(end - start) / OUTLINE_STEP_MM)
        pieces.append(start + np.arange(count)[:, None] / count * (end - start))
    ring = ndimage.gaussian_filter1d(np.concatenate(pieces), rounding_mm / OUTLINE_STEP_MM, axis=0, mode="wrap")
    return Contour(ring, outward_normals(ring), np.zeros(len(ring), dtype=int), 0.0)


def area(ring):
    x, y = ring.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def turned(points, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray(points) @ [[c, s], [-s, c]]


RECTANGLE = [(0, 0), (0, 16), (8, 16), (8, 0)]


@pytest.mark.parametrize("degrees", [0, 17, -31])
def test_a_rectangle_gets_its_corners_back(degrees):
    rounded = contour(turned(RECTANGLE, degrees))
    assert area(rounded.points) < 127.5
    sharp = sharpened(rounded)
    assert area(sharp.points) == pytest.approx(128, abs=0.1)
    assert len(sharp.points) == len(rounded.points)
    assert (sharp.parts == rounded.parts).all()


def test_a_corner_of_bone_that_stands_into_the_opening_stays():
    step = [(0, 0), (0, 16), (5, 16), (5, 8), (10, 8), (10, 0)]
    rounded, at = contour(step), np.array([5.0, 8.0])
    sharp = sharpened(rounded)
    beside = np.linalg.norm(rounded.points - at, axis=1) < 1.0
    np.testing.assert_array_equal(sharp.points[beside], rounded.points[beside])


def test_an_oval_stays():
    angle = -np.arange(0, 2 * np.pi, OUTLINE_STEP_MM / 6)
    ring = np.stack([4 * np.cos(angle), 8 * np.sin(angle)], axis=1)
    oval = Contour(ring, outward_normals(ring), np.zeros(len(ring), dtype=int), 0.0)
    np.testing.assert_array_equal(sharpened(oval).points, ring)


def test_a_corner_between_curved_faces_stays():
    angle = np.radians(np.linspace(60, -60, 40))
    bow = 7 * np.stack([0.5 - np.cos(angle), -np.sin(angle)], axis=1)
    lens = contour(np.concatenate([bow, -bow])[::2], rounding_mm=0.5)
    np.testing.assert_array_equal(sharpened(lens).points, lens.points)


def test_a_wide_rounding_stays():
    """An edge rounded over more than smoothing does is anatomy."""
    rounded = contour(RECTANGLE, rounding_mm=1.5)
    np.testing.assert_array_equal(sharpened(rounded).points, rounded.points)


def test_a_tiny_outline_is_left_alone():
    tiny = contour([(0, 0), (0, 2), (2, 2), (2, 0)], rounding_mm=0.1)
    assert sharpened(tiny) is tiny
