"""The outline: a closed contour on known shapes, and its parts."""

import numpy as np
import pytest

from livf.lib.foramen import result as parts_of
from livf.lib.foramen.frame import find_frame
from livf.lib.foramen.level import prepare
from livf.lib.foramen.outline import find_contour, outward_normals, project, signed_area, slab


@pytest.fixture(scope="module")
def contour(plain):
    label, affine, _ = plain
    level = prepare(label, affine)
    marks = find_frame(level)
    return find_contour(level, marks, project(level, marks, "left", slab(marks, "left")))


def test_area_has_the_sign_of_the_way_round():
    square = np.array([[0.0, 0], [2, 0], [2, 3], [0, 3]])
    assert signed_area(square) == 6.0
    assert signed_area(square[::-1]) == -6.0


def test_normals_of_a_clockwise_circle_point_outwards():
    angle = -np.arange(0, 2 * np.pi, 0.05)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    assert outward_normals(circle) == pytest.approx(circle, abs=0.02)


def test_it_is_closed_and_goes_down_the_front(contour):
    points = contour.points
    assert np.linalg.norm(points[0] - points[-1]) < 0.5
    assert signed_area(points) < 0
    disc = contour.parts == parts_of.DISC_EDGE
    assert points[disc, 0].mean() > points[contour.parts == parts_of.FACET, 0].mean()
    assert np.flatnonzero(disc)[0] < np.flatnonzero(contour.parts == parts_of.FACET)[0]


def test_the_slab_is_that_of_the_outermost_pedicles(plain):
    label, affine, scene = plain
    marks = find_frame(prepare(label, affine))
    for side, own in scene.sides().items():
        medial = min(own.upper_pedicle[0], own.lower_pedicle[0])
        lateral = max(own.upper_pedicle[1], own.lower_pedicle[1])
        assert slab(marks, side) == pytest.approx((medial, lateral), abs=0.5)
