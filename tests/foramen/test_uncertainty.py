"""Standard deviations: what makes them larger, and the answers they turn into "borderline"."""

from dataclasses import replace

import numpy as np
import pytest

from livf.lib.foramen import measure
from livf.lib.foramen.frame import Frame
from livf.lib.foramen.uncertainty import foraminoplasty, turned

NAMES = ("area_mm2", "height_mm", "width_mm")


@pytest.fixture(scope="module")
def fine_and_coarse(scenes):
    return [measure(*scenes["plain"].voxels(spacing, (6.0, -5.0, 8.0))) for spacing in (0.7, 1.2)]


@pytest.mark.parametrize("name", NAMES)
def test_larger_voxels_are_less_sure(fine_and_coarse, name):
    fine, coarse = fine_and_coarse
    for side in ("left", "right"):
        assert 0 < fine.foramina[side].sd[name] < coarse.foramina[side].sd[name]


def test_they_can_be_left_out(plain):
    label, affine, _ = plain
    with_them, without = measure(label, affine), measure(label, affine, uncertainty=False)
    for side in ("left", "right"):
        one, other = with_them.foramina[side], without.foramina[side]
        assert other.sd == {} and other.foraminoplasty is None
        assert all(getattr(one.numbers, name) == getattr(other.numbers, name) for name in NAMES)


def test_soft_probabilities_widen_them(plain):
    label, affine, _ = plain
    maps = np.stack([np.where(label == value, 0.7, 0.1) for value in range(4)])
    sharp, soft = measure(label, affine), measure(label, affine, probabilities=maps)
    for side in ("left", "right"):
        assert all(soft.foramina[side].sd[name] > sharp.foramina[side].sd[name] for name in NAMES)


@pytest.mark.parametrize(
    ("height", "width", "met"),
    [
        (12.0, 10.0, "yes"),
        (19.0, 5.0, "yes"),
        (19.0, 10.0, "no"),
        (15.1, 10.0, "borderline"),
        (19.0, None, "borderline"),
    ],
)
def test_thresholds_within_two_deviations_are_borderline(fine_and_coarse, height, width, met):
    numbers = replace(fine_and_coarse[0].left.numbers, height_mm=height, width_mm=width)
    assert foraminoplasty(numbers, {"height_mm": 0.1, "width_mm": 0.2}).criteria_met == met


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turned_frame_is_still_one(axis):
    frame = Frame(np.zeros(3), np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))
    axes = turned(frame, axis, 3.0).axes
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-12)
    assert axes[axis] == pytest.approx(frame.axes[axis])
    assert np.degrees(np.arccos((np.trace(axes @ frame.axes.T) - 1) / 2)) == pytest.approx(3.0)
