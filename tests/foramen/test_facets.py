"""The tip of the superior articular process: a ridge, a dome, a section, and a section under the upper vertebra."""

import numpy as np
import pytest

from livf.lib.anatomy import L5
from livf.lib.foramen.constants import LARGEST_PLATEAU_MM, LEAST_JOINT_MM2, SMALL_JOINT_MM2
from livf.lib.foramen.facets import Top, joint_mm2, plateau_mm, process_top
from livf.lib.foramen.frame import find_frame
from livf.lib.foramen.level import prepare
from livf.lib.foramen.outline import slab

LATERAL, ANTERIOR = np.arange(8.0, 30.0, 0.5), np.arange(-40.0, -20.0, 0.5)
M, A = LATERAL[:, None] - 19.0, ANTERIOR[None] + 30.0


def top(height, covered=False):
    height = np.where(height < -8, -np.inf, height)
    return Top(LATERAL, ANTERIOR, height, np.full(height.shape, covered))


def dome(radius=5.0):
    return np.sqrt(np.maximum(radius**2 - M**2 - A**2, 0.0)) - np.where(radius**2 < M**2 + A**2, 20.0, radius)


def ridge(slope=1.0, length=0.3):
    return -slope * np.abs(A) - length * np.abs(M)


WHOLE = {
    "dome": dome(),
    "small dome": dome(4.0),
    "ridge": ridge(),
    "leaning ridge": ridge() + 0.4 * M,
    "cone": -np.hypot(M, A),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_process_has_no_flat(name):
    assert plateau_mm(top(WHOLE[name])) < LARGEST_PLATEAU_MM


@pytest.mark.parametrize("slope", [(0.0, 0.0), (0.3, 0.0), (-0.2, 0.3), (0.1, -0.35)])
@pytest.mark.parametrize("lost", [3.5, 4.5])
@pytest.mark.parametrize("name", ["dome", "ridge", "cone"])
def test_a_section_shows_whichever_way_it_is_tilted(name, lost, slope):
    cut = np.minimum(WHOLE[name], -lost + slope[0] * M + slope[1] * A)
    assert plateau_mm(top(cut)) > LARGEST_PLATEAU_MM


def test_the_more_is_missing_the_wider_the_flat():
    widths = [plateau_mm(top(np.minimum(dome(), -lost))) for lost in (0.0, 1.0, 2.0, 3.5)]
    assert widths == sorted(widths) and widths[-1] > 2 * widths[0]


def test_what_the_upper_vertebra_lies_on_is_a_joint():
    cut = np.minimum(dome(), -3.0)
    assert plateau_mm(top(cut)) > LARGEST_PLATEAU_MM
    assert plateau_mm(top(cut, covered=True)) == 0.0


def test_no_process_at_all():
    assert plateau_mm(top(np.full((LATERAL.size, ANTERIOR.size), -20.0))) == float("inf")


def test_the_top_of_a_scene_is_found_to_a_fraction_of_a_voxel(scenes):
    scene = scenes["plain"]
    level = prepare(*scene.voxels(0.8, (5.0, -4.0, 7.0)))
    marks = find_frame(level)
    for side in ("left", "right"):
        found = process_top(level, marks, side, slab(marks, side))
        block = found.height[(found.lateral > 14) & (found.lateral < 24)][:, np.abs(found.anterior + 30.0) < 1.5]
        assert block == pytest.approx(8.0, abs=0.4)
        assert block.mean() == pytest.approx(8.0, abs=0.15)
        # The upper vertebra's block lies on it: a closed joint.
        assert found.covered[(found.lateral > 14) & (found.lateral < 24)][:, np.abs(found.anterior + 30.0) < 1.5].all()


def joints(label, affine):
    level = prepare(label, affine)
    marks = find_frame(level)
    return {side: joint_mm2(level, marks, side, slab(marks, side)) for side in ("left", "right")}


def test_a_worn_process_does_not_fill_its_joint(scenes):
    """The scene's joint is closed below the upper vertebra's block: an area of 24 by 8 mm and what lies behind."""
    label, affine = scenes["plain"].voxels(0.8)
    whole = joints(label, affine)
    assert min(whole.values()) > SMALL_JOINT_MM2
    index = np.argwhere(label == L5.value)
    place = index @ affine[:3, :3].T + affine[:3, 3]
    worn = index[(place[:, 0] < -6) & (place[:, 1] < -22) & (place[:, 2] > 4.5)]  # RAS: the patient's left
    thin = label.copy()
    thin[tuple(worn.T)] = 0
    found = joints(thin, affine)
    assert found["left"] < LEAST_JOINT_MM2
    assert found["right"] == pytest.approx(whole["right"], abs=2.0)


def test_without_a_process_there_is_no_joint(scenes):
    label, affine = scenes["plain"].voxels(0.8)
    index = np.argwhere(label == L5.value)
    place = index @ affine[:3, :3].T + affine[:3, 3]
    gone = label.copy()
    gone[tuple(index[(np.abs(place[:, 0]) > 6) & (place[:, 1] < -20) & (place[:, 2] > -8)].T)] = 0
    assert max(joints(gone, affine).values()) < LEAST_JOINT_MM2
