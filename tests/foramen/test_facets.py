"""The tip of the superior articular process: a ridge, a dome, a section, and a section under the upper vertebra."""

import numpy as np
import pytest

from livf.lib.foramen.constants import LARGEST_PLATEAU_MM
from livf.lib.foramen.facets import Top, plateau_mm, process_top
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
