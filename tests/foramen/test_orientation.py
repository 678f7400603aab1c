"""How a label is stored, and how its grid lies, must not move a number. All 48 codes: scripts/measure_foramina.py."""

import numpy as np
import pytest
from foramina.orientation import OBLIQUE, all_numbers, compared, largest_difference, stored
from foramina.synthetic import Person, Sampling

from livf.lib.foramen import measure

#: Every order of the axes, every direction of each.
CODES = ("LPS", "ARI", "SLA", "RIP", "PSR", "ILA")


@pytest.fixture(scope="module")
def person():
    return Person.of(3)


@pytest.fixture(scope="module")
def case(person):
    return person.case()


@pytest.fixture(scope="module")
def straight(case):
    return measure(case.label, case.affine)


def test_there_are_48_ways_and_they_hold_the_same_voxels(case):
    found = dict(stored(case))
    assert len(found) == 48 and set(CODES) < set(found)
    voxel = (70, 80, 60)
    for turned in found.values():
        assert (turned.label > 0).sum() == (case.label > 0).sum()
    place = case.affine[:3, :3] @ voxel + case.affine[:3, 3]
    other = found["SLA"]
    index = np.rint(np.linalg.solve(other.affine[:3, :3], place - other.affine[:3, 3])).astype(int)
    assert other.label[tuple(index)] == case.label[voxel]


@pytest.mark.parametrize("code", CODES)
def test_every_number_is_the_same(case, straight, code):
    turned = dict(stored(case))[code]
    difference, where = largest_difference(all_numbers(straight), all_numbers(measure(turned.label, turned.affine)))
    assert difference < 1e-6, where


def test_oblique_grids_agree_with_the_straight_one(person, straight):
    """Drawn anew on each grid: a voxel's share of a boundary differs, so the agreement is that of the SDs."""
    rows = []
    for sampling in OBLIQUE[:2]:
        case = person.case(sampling)
        rows += compared(straight, measure(case.label, case.affine))
    for row in rows:
        assert row["d_area_mm2"] == pytest.approx(0, abs=2.0), row
        assert row["d_height_mm"] == pytest.approx(0, abs=0.25), row
        assert row["d_width_mm"] == pytest.approx(0, abs=0.35), row
    assert abs(sum(row["d_area_mm2"] for row in rows)) / len(rows) < 1.0


def test_a_turned_grid_shows_the_same_person(person, case):
    turned = person.case(Sampling(angles=(0.0, 0.0, 1e-6)))
    assert (turned.label != case.label).mean() < 1e-5
