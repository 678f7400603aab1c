"""Counting bodies from the sacrum on columns of cylinders, with everything that makes it hard."""

import numpy as np
import pytest

from livf.lib.anatomy import ANY_ARCH, ANY_BODY, ANY_DISC, CANAL, KINDS, LUMBAR_UPWARDS, SACRUM
from livf.lib.segmentation.counting import choose, choose_at, count_levels

STEP = 1.6
BODY_MM, DISC_MM, S1_MM = 26.0, 9.0, 80.0


class Column:
    """A lordotic column on a grid: from the bottom up sacrum, then bodies with a disc below each.

    Positions along the spine (mm above the sacrum's upper end) map to a circle of 170 mm radius that is hollow behind.
    """

    def __init__(self, bodies=6, discs=None, sacrum_mm=S1_MM, heights=None):
        self.parts = []
        if sacrum_mm:
            self.parts.append((SACRUM.value, -sacrum_mm, 0.0))
        at = 0.0
        for number in range(bodies):
            disc = (discs or {}).get(number, DISC_MM)
            body = (heights or {}).get(number, BODY_MM)
            self.parts.append((ANY_DISC.value, at, at + disc))
            self.parts.append((ANY_BODY.value, at + disc, at + disc + body))
            at += disc + body
        self.top = at

    def middle(self, number):
        """RAS mm of the middle of the disc below body ``number``."""
        discs = [p for p in self.parts if p[0] == ANY_DISC.value]
        along = (discs[number][1] + discs[number][2]) / 2
        angle = (along - 60) / 170
        return np.array([0.0, 170 * np.cos(angle) - 170, 170 * np.sin(angle)])

    def draw(self, low=None, high=None, missing=()):
        """Values of the localiser's label and the affine; the field of view from ``low`` to ``high`` (z, mm)."""
        low, high = -140.0 if low is None else low, self.top if high is None else high
        x = np.arange(-45, 45, STEP)
        y = np.arange(-80, 40, STEP)
        z = np.arange(low, high, STEP)
        ex, wy, zz = np.meshgrid(x, y, z, indexing="ij")
        radius, angle = np.hypot(wy + 170, zz), np.arctan2(zz, wy + 170)
        along, depth = 60 + 170 * angle, radius - 170
        kinds = np.zeros(ex.shape, np.uint8)
        solid = (ex / 24) ** 2 + (depth / 17) ** 2 < 1
        for value, first, last in self.parts:
            kinds[solid & (along >= first) & (along < last)] = value
        inside = (along > -60) & (along < self.top + 30)
        kinds[(np.hypot(ex, depth + 27) < 8) & inside] = CANAL.value
        kinds[(np.abs(ex) < 4) & (depth < -38) & (depth > -60) & inside & (np.sin(along / 5) > 0)] = ANY_ARCH.value
        for value in missing:
            kinds[kinds == value] = 0
        affine = np.diag([STEP, STEP, STEP, 1.0])
        affine[:3, 3] = x[0], y[0], z[0]
        return kinds, affine


def names(count):
    return [body.name for body in count.bodies]


def test_kinds_are_numbered_in_order():
    assert [kind.value for kind in KINDS] == list(range(1, len(KINDS) + 1))


def test_bodies_are_counted_from_the_sacrum():
    column = Column(6)
    count = count_levels(*column.draw())
    assert names(count) == ["", "L1", "L2", "L3", "L4", "L5"]
    assert not count.doubts
    assert count.sacrum
    assert count.confidence > 0.8
    assert [level.name for level in count.levels][-1] == "L4-L5"
    np.testing.assert_allclose(count.levels[-1].centre, column.middle(1), atol=2.5)


def test_the_level_is_found():
    kinds, affine = Column(6).draw()
    choice = choose(count_levels(kinds, affine), kinds.shape, affine)
    assert (choice.status, choice.level.name, choice.reason) == ("found", "L4-L5", "")
    assert choice.level.axis[2] > 0.9


@pytest.mark.parametrize("flip", [(), (0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_storage_does_not_matter(flip, order):
    kinds, affine = Column(5).draw()
    want = count_levels(kinds, affine)
    for axis in flip:
        kinds = np.flip(kinds, axis)
        step = affine[:3, axis].copy()
        affine = affine.copy()
        affine[:3, 3] += step * (kinds.shape[axis] - 1)
        affine[:3, axis] = -step
    kinds, affine = kinds.transpose(order), affine[:, [*order, 3]]
    found = count_levels(kinds, affine)
    assert names(found) == names(want)
    np.testing.assert_allclose([v.centre for v in found.levels], [v.centre for v in want.levels], atol=0.5)


def test_without_the_sacrum_nothing_is_named():
    kinds, affine = Column(6).draw(missing=[SACRUM.value])
    count = count_levels(kinds, affine)
    assert set(names(count)) == {""}
    assert count.confidence == 0
    choice = choose(count, kinds.shape, affine)
    assert choice.status == "unclear"
    assert "sacrum" in choice.reason


def test_a_sliver_of_the_sacrum_is_not_enough():
    column = Column(6, sacrum_mm=5)
    kinds, affine = column.draw()
    assert choose(count_levels(kinds, affine), kinds.shape, affine).status == "unclear"


def test_a_field_laid_for_one_level_is_assumed():
    column = Column(5, sacrum_mm=0)
    centre = column.middle(1)[2]
    kinds, affine = column.draw(low=centre - 45, high=centre + 45)
    choice = choose(count_levels(kinds, affine), kinds.shape, affine)
    assert choice.status == "assumed"
    np.testing.assert_allclose(choice.level.centre, column.middle(1), atol=2.5)


def test_a_field_for_one_level_that_is_off_is_unclear():
    column = Column(5, sacrum_mm=0)
    centre = (column.middle(1)[2] + column.middle(2)[2]) / 2 + 3
    kinds, affine = column.draw(low=centre - 60, high=centre + 60)
    assert choose(count_levels(kinds, affine), kinds.shape, affine).status == "unclear"


@pytest.mark.parametrize("thin", [2, 3])
def test_a_thin_disc_keeps_the_count(thin):
    count = count_levels(*Column(6, discs={thin - 1: 3.5}).draw())
    assert names(count)[-2:] == ["L4", "L5"]


def test_a_fused_level_is_still_two_bodies():
    """No disc seen at all between two bodies: the tall run is cut in the middle."""
    column = Column(6, discs={2: 0.0})
    count = count_levels(*column.draw())
    assert names(count)[-3:] == ["L3", "L4", "L5"]


def test_s1_above_a_remnant_disc_is_not_l5_and_is_told():
    """A lowest segment with a thin, narrow disc below it: S1 seen as a body, or a transitional vertebra."""
    column = Column(7, discs={0: 3.5})
    kinds, affine = column.draw()
    remnant = column.middle(0)
    x = affine[0, 3] + STEP * np.arange(kinds.shape[0])
    z = affine[2, 3] + STEP * np.arange(kinds.shape[2])
    rows = np.abs(z - remnant[2]) < 14
    aside = np.abs(x) > 11
    part = kinds[np.ix_(aside, np.ones(kinds.shape[1], bool), rows)]
    part[part == ANY_DISC.value] = SACRUM.value
    kinds[np.ix_(aside, np.ones(kinds.shape[1], bool), rows)] = part
    count = count_levels(kinds, affine)
    choice = choose(count, kinds.shape, affine)
    assert choice.status == "unclear"
    assert "S1" in choice.reason
    assert choice.level.name == "L4-L5"
    np.testing.assert_allclose(choice.level.centre, column.middle(2), atol=2.5)


@pytest.mark.parametrize("worn", [0, 1])
def test_a_worn_lowest_disc_is_not_s1(worn):
    count = count_levels(*Column(6, discs={worn: 4.0}).draw())
    assert names(count)[-1] == "L5"
    assert not count.doubts


def test_wings_of_the_sacrum_beside_the_lowest_body_are_told():
    column = Column(6)
    kinds, affine = column.draw()
    x = affine[0, 3] + STEP * np.arange(kinds.shape[0])
    z = affine[2, 3] + STEP * np.arange(kinds.shape[2])
    y = affine[1, 3] + STEP * np.arange(kinds.shape[1])
    low = (column.middle(0) + column.middle(1))[2] / 2
    wings = np.ix_(np.abs(x) > 30, np.abs(y - column.middle(1)[1]) < 12, (z > low - 4) & (z < low + 14))
    kinds[wings] = SACRUM.value
    choice = choose(count_levels(kinds, affine), kinds.shape, affine)
    assert choice.status == "unclear"
    assert "transitional" in choice.reason


def test_a_missed_body_is_noticed():
    column = Column(6)
    kinds, affine = column.draw()
    lost = column.middle(2)[2]
    z = affine[2, 3] + STEP * np.arange(kinds.shape[2])
    rows = (z > lost + 2) & (z < lost + 32)
    kinds[:, :, rows] = np.where(np.isin(kinds[:, :, rows], [ANY_BODY.value, ANY_DISC.value]), 0, kinds[:, :, rows])
    count = count_levels(kinds, affine)
    assert any("missed" in doubt for doubt in count.doubts)
    assert choose(count, kinds.shape, affine).status == "unclear"


def test_the_lowest_body_missed_above_the_sacrum_is_noticed():
    column = Column(6)
    kinds, affine = column.draw()
    z = affine[2, 3] + STEP * np.arange(kinds.shape[2])
    bottom, top = column.middle(0)[2] - 3, column.middle(1)[2] + 5
    rows = (z > bottom) & (z < top)
    kinds[:, :, rows] = np.where(np.isin(kinds[:, :, rows], [ANY_BODY.value, ANY_DISC.value]), 0, kinds[:, :, rows])
    assert choose(count_levels(kinds, affine), kinds.shape, affine).status == "unclear"


def test_blobs_elsewhere_do_not_matter():
    kinds, affine = Column(6).draw()
    want = names(count_levels(kinds, affine))
    kinds[2:8, -10:-4, 30:36] = ANY_BODY.value
    kinds[2:5, 60:64, 40:46] = CANAL.value
    assert names(count_levels(kinds, affine)) == want


def test_a_broken_canal_is_joined():
    kinds, affine = Column(6).draw()
    want = names(count_levels(kinds, affine))
    height = kinds.shape[2] // 2
    part = kinds[:, :, height : height + 7]
    part[part == CANAL.value] = 0
    assert names(count_levels(kinds, affine)) == want


def test_a_point_chooses_the_level_nearest_to_it():
    column = Column(6, sacrum_mm=0)
    count = count_levels(*column.draw())
    choice = choose_at(count, column.middle(3) + np.array([4, -6, 5]))
    assert choice.status == "given"
    np.testing.assert_allclose(choice.level.centre, column.middle(3), atol=2.5)
    assert choose_at(count, [200, 0, 0]) is None


@pytest.mark.parametrize("value", [0, ANY_BODY.value, CANAL.value, SACRUM.value])
def test_labels_without_a_spine_give_nothing(value):
    kinds = np.full((20, 20, 20), value, np.uint8)
    affine = np.diag([STEP, STEP, STEP, 1.0])
    count = count_levels(kinds, affine)
    assert not count.bodies
    assert count.doubts
    assert choose(count, kinds.shape, affine) is None
    assert choose_at(count, [0, 0, 0]) is None


def test_the_lowest_level_of_a_high_field_is_told():
    """L4-L5 is asked for but no body above L5 is seen."""
    column = Column(2)
    kinds, affine = column.draw(high=column.middle(1)[2] - 2)
    choice = choose(count_levels(kinds, affine), kinds.shape, affine)
    assert choice is None or choice.status == "unclear"


def test_names_go_no_higher_than_l1():
    column = Column(8, discs=dict.fromkeys(range(8), 6.0), heights=dict.fromkeys(range(8), 20.0))
    assert names(count_levels(*column.draw())) == ["", "", "", *reversed(LUMBAR_UPWARDS)]
