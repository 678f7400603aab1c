"""Real people's L4 and L5 from CT, with a disc put between the bodies. All nine: scripts/measure_foramina.py shapes."""

import os
from pathlib import Path

import numpy as np
import pytest
from foramina.shapes import TRIAL, person_case
from scipy import ndimage

from livf.lib.foramen import measure

DATA = Path(os.environ.get("LIVF_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "anatomy"
pytestmark = pytest.mark.skipif(not (DATA / "verse005_mask.nii.gz").exists(), reason="the anatomy data is not here")


@pytest.fixture(scope="module")
def cases():
    return {name: person_case(DATA, name) for name in ("verse005", "totalseg_s0327", "totalseg_s0328", "versep001")}


@pytest.fixture(scope="module")
def measured(cases):
    return {name: measure(case.label, case.affine) for name, case in cases.items()}


@pytest.mark.parametrize("name", ["verse005", "totalseg_s0327", "versep001"])
def test_the_disc_fills_the_space_between_the_bodies_and_no_more(cases, name):
    case = cases[name]
    disc = case.label == 2
    voxel = abs(np.linalg.det(case.affine[:3, :3]))
    assert 4000 < disc.sum() * voxel < 22000
    assert ndimage.label(disc)[1] == 1
    above, below = (ndimage.binary_dilation(case.label == value, iterations=2) for value in (1, 3))
    assert (disc & above).sum() * voxel > 1000 and (disc & below).sum() * voxel > 1000


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("name", ["verse005", "totalseg_s0328"])
def test_near_an_independent_implementation(measured, name, side):
    foramen, trial = measured[name].foramina[("left", "right")[side]], TRIAL[name][side]
    assert foramen.measured, foramen.reasons
    assert foramen.numbers.area_mm2 == pytest.approx(trial[0], rel=0.12)
    assert foramen.numbers.height_mm == pytest.approx(trial[1], rel=0.06)


def test_a_foramen_that_bone_divides_is_refused_and_its_other_side_measured(measured):
    left, right = (measured["totalseg_s0327"].foramina[side] for side in ("left", "right"))
    assert left.status == "refused" and left.numbers is None and left.reasons
    assert right.measured, right.reasons


def test_winged_transverse_processes_do_not_close_it(measured):
    for foramen in measured["versep001"].foramina.values():
        assert foramen.measured and foramen.numbers.width_mm is not None
