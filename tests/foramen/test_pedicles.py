"""Walls and pedicles where the scene says they are, whichever way it is turned."""

import numpy as np
import pytest

from livf.lib.anatomy import L4, L5, VERTEBRAE
from livf.lib.foramen.frame import find_frame
from livf.lib.foramen.level import prepare
from livf.lib.foramen.pedicles import find_pedicle, find_wall

TURNS = ((0.0, 0.0, 0.0), (6.0, -5.0, 12.0), (-9.0, 4.0, -14.0))


def found(scene, spacing, angles):
    level = prepare(*scene.voxels(spacing, angles, (0.3, 0.1, 0.2)))
    return level, find_frame(level)


@pytest.mark.parametrize("angles", TURNS)
@pytest.mark.parametrize("name", ["plain", "pedicles apart"])
def test_borders(scenes, name, angles):
    scene = scenes[name]
    _, marks = found(scene, 0.8, angles)
    for side, drawn in scene.sides().items():
        for vertebra, (medial, lateral) in ((L4, drawn.upper_pedicle), (L5, drawn.lower_pedicle)):
            pedicle = marks.pedicles[(vertebra.value, side)]
            assert pedicle.medial == pytest.approx(medial, abs=0.6)
            assert pedicle.lateral == pytest.approx(min(lateral, medial + 14.0), abs=0.6)
            assert not pedicle.cut


@pytest.mark.parametrize("angles", TURNS)
def test_walls_are_where_the_bodies_end(scenes, angles):
    scene = scenes["plain"]
    _, marks = found(scene, 0.8, angles)
    for vertebra in VERTEBRAE:
        wall = marks.walls[vertebra.value]
        place = wall.anterior(0.0, wall.height)
        # The disc's centroid lies half its depth in front of the wall, which is drawn at A = -17 to +17.
        assert float(place) == pytest.approx(-17.0, abs=0.5)
        assert abs(wall.by_superior) < 0.05
        assert abs(wall.by_left) < 0.05


def test_a_transverse_process_does_not_move_the_lateral_border(scenes):
    scene = scenes["transverse process"]
    _, marks = found(scene, 0.8, TURNS[1])
    one, other = (marks.pedicles[(L5.value, side)] for side in ("left", "right"))
    assert one.lateral <= one.medial + 14.0 + 1e-9
    assert abs(one.lateral - other.lateral) < 1.2


def test_without_a_pedicle_there_is_none_on_that_side_only(scenes):
    level, marks = found(scenes["plain"], 0.9, TURNS[0])
    label, affine = level.label.copy(), level.affine
    index = np.stack(np.meshgrid(*(np.arange(n) for n in label.shape), indexing="ij"), axis=-1)
    m, a, _ = np.moveaxis(marks.frame.to_frame(index @ affine[:3, :3].T + affine[:3, 3]), -1, 0)
    label[(label == L4.value) & (m > 8) & (a < -17.5)] = 0
    cut = prepare(label, affine)
    wall = find_wall(cut, marks.frame, L4)
    assert find_pedicle(cut, marks.frame, L4, wall, "left") is None
    assert find_pedicle(cut, marks.frame, L4, wall, "right") is not None


def test_a_pedicle_at_the_images_edge_is_cut(scenes):
    label, affine = scenes["plain"].voxels(0.8)
    marks = find_frame(prepare(label, affine))
    x = affine[0, 0] * np.arange(label.shape[0]) + affine[0, 3]
    keep = x > marks.frame.origin[0] - 20.0
    moved = affine.copy()
    moved[0, 3] = x[keep][0]
    level = prepare(label[keep], moved)
    wall = find_wall(level, marks.frame, L5)
    assert find_pedicle(level, marks.frame, L5, wall, "left").cut
    assert not find_pedicle(level, marks.frame, L5, wall, "right").cut


def test_no_body_no_wall(scenes):
    level, marks = found(scenes["plain"], 0.9, TURNS[0])
    label = level.label.copy()
    label[label == L5.value] = 0
    label[: label.shape[0] // 5] = L5.value
    assert find_wall(prepare(label, level.affine), marks.frame, L5) is None


@pytest.mark.parametrize(("lost", "cut"), [(2.0, False), (5.0, True), (6.5, True)])
def test_an_image_that_ends_in_a_pedicle_away_from_the_disc(scenes, lost, cut):
    """The upper pedicle is 13 mm high: what bounds the foramen is its lower border."""
    label, affine = scenes["plain"].voxels(0.8)
    marks = find_frame(prepare(label, affine))
    z = affine[2, 2] * np.arange(label.shape[2]) + affine[2, 3]
    level = prepare(label[:, :, z < marks.frame.origin[2] + 25.0 - lost], affine)
    wall = marks.walls[L4.value]
    assert find_pedicle(level, marks.frame, L4, wall, "left").cut == cut


def test_an_image_that_ends_in_a_pedicle_at_the_foramen(scenes):
    label, affine = scenes["plain"].voxels(0.8)
    marks = find_frame(prepare(label, affine))
    z = affine[2, 2] * np.arange(label.shape[2]) + affine[2, 3]
    level = prepare(label[:, :, z < marks.frame.origin[2] - 8.5], affine)
    assert find_pedicle(level, marks.frame, L5, marks.walls[L5.value], "left").cut
