"""L2-L3 and L3-L4 called L4, disc and L5: the engine knows no level. All people: scripts/measure_foramina.py levels."""

import os
from pathlib import Path

import pytest
from foramina.shapes import other_levels, person_case

from livf.lib.foramen import measure

DATA = Path(os.environ.get("LIVF_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "anatomy"
pytestmark = pytest.mark.skipif(not (DATA / "verse004_mask.nii.gz").exists(), reason="the anatomy data is not here")


@pytest.fixture(scope="module")
def measured():
    return {
        (name, upper): measure(case.label, case.affine)
        for name, upper, case in other_levels(DATA, ("verse004", "totalseg_s0328"))
    }


@pytest.mark.parametrize("name", ["verse004", "totalseg_s0328"])
@pytest.mark.parametrize("upper", [2, 3])
def test_both_sides_are_measured(measured, name, upper):
    for foramen in measured[name, upper].foramina.values():
        assert foramen.measured, foramen.reasons
        numbers = foramen.numbers
        assert 60 < numbers.area_mm2 < 230 and 13 < numbers.height_mm < 24 and 2.5 < numbers.width_mm < 10
        assert numbers.min_width_mm < 1.2 * numbers.width_mm


def test_foramina_grow_upwards(measured):
    """L2-L3 is larger than L3-L4 in both people."""
    for name in ("verse004", "totalseg_s0328"):
        for side in ("left", "right"):
            upper, lower = (measured[name, level].foramina[side].numbers for level in (2, 3))
            assert upper.area_mm2 > lower.area_mm2


def test_a_scan_without_the_level_says_so():
    with pytest.raises(ValueError, match="does not hold L4 and L5"):
        person_case(DATA, "verse007")
