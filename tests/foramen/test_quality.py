"""What is refused and what is warned of, one check at a time."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.foramen import measure, quality
from livf.lib.foramen.constants import LARGEST_DISC_OFFSET_MM, LARGEST_HOLES, LEAST_JOINT_MM2, SMALL_JOINT_MM2
from livf.lib.foramen.frame import find_frame
from livf.lib.foramen.level import prepare
from livf.lib.foramen.measurements import Main, main_numbers
from livf.lib.foramen.outline import find_contour, project, slab
from livf.lib.foramen.reasons import RefusedError


@pytest.fixture(scope="module")
def place(plain):
    """M (of the left), A and S of every voxel of the plain scene."""
    label, affine, _ = plain
    frame = find_frame(prepare(label, affine)).frame
    index = np.stack(np.meshgrid(*(np.arange(n) for n in label.shape), indexing="ij"), axis=-1)
    return np.moveaxis(frame.to_frame(index @ affine[:3, :3].T + affine[:3, 3]), -1, 0)


@pytest.fixture(scope="module")
def parts(plain):
    """Level, landmarks, slab and contour of the plain scene's left side."""
    level = prepare(plain[0], plain[1])
    marks = find_frame(level)
    borders = slab(marks, "left")
    return level, marks, borders, find_contour(level, marks, project(level, marks, "left", borders))


def codes(label, affine, **settings):
    measurement = measure(label, affine, uncertainty=False, **settings)
    return {side: f.reasons[0] if not f.measured else None for side, f in measurement.foramina.items()}


def test_a_whole_level_passes(parts):
    level, marks, borders, contour = parts
    assert not quality.incomplete(level, marks)
    quality.check_region(level, marks, "left", borders)
    quality.check_outline(level, marks, "left", borders, contour)
    quality.check_size(main_numbers(contour))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_a_porous_label_is_refused(plain, share):
    label, affine, _ = plain
    dropped = np.where(np.random.default_rng(0).random(label.shape) < share, 0, label)
    assert prepare(dropped, affine).holes > LARGEST_HOLES > 20 * prepare(label, affine).holes
    assert codes(dropped, affine) == {"left": "incomplete_structure", "right": "incomplete_structure"}


def test_few_dropped_voxels_do_not_matter(plain):
    label, affine, _ = plain
    dropped = np.where(np.random.default_rng(0).random(label.shape) < 0.003, 0, label)
    one, other = (measure(x, affine, uncertainty=False) for x in (label, dropped))
    for side, foramen in other.foramina.items():
        assert foramen.numbers.area_mm2 == pytest.approx(one.foramina[side].numbers.area_mm2, rel=0.02)


@pytest.mark.parametrize("at", [-4.0, 0.0, 5.0])
def test_half_a_disc_carries_no_frame(plain, place, at):
    label, affine, _ = plain
    half = np.where((label == DISC.value) & (place[0] > at), 0, label)
    assert codes(half, affine) == {"left": "incomplete_structure", "right": "incomplete_structure"}


@pytest.mark.parametrize("sides", [(-1,), (1,), (-1, 1)])
def test_a_disc_cut_on_its_side_carries_no_frame(plain, place, sides):
    """Cut 14 mm from the middle, on one side or on both; at 20 mm it does not matter."""
    label, affine, _ = plain
    for at, whole in ((14.0, False), (20.0, True)):
        cut = np.zeros(label.shape, dtype=bool)
        for side in sides:
            cut |= side * place[0] > at
        level = prepare(np.where(cut & (label == DISC.value), 0, label), affine)
        assert quality.incomplete(level, find_frame(level)) != whole


def test_pedicles_that_disagree_carry_no_frame(parts):
    level, marks, _, _ = parts
    for degrees, whole in ((10.0, True), (-10.0, True), (25.0, False)):
        turned = {
            key: replace(p, centre=p.centre + np.array([0.0, p.centre[0] * np.tan(np.radians(degrees)), 0.0]))
            if key[0] == L4.value
            else p
            for key, p in marks.pedicles.items()
        }
        assert quality.incomplete(level, replace(marks, pedicles=turned)) != whole


def test_the_middle_of_the_pedicles_is_looked_at_where_a_vertebra_has_both(parts):
    level, marks, _, _ = parts
    moved = {
        key: replace(p, centre=p.centre + np.array([1.5 * LARGEST_DISC_OFFSET_MM, 0.0, 0.0]))
        for key, p in marks.pedicles.items()
    }
    assert quality.incomplete(level, replace(marks, pedicles=moved))
    lefts = {key: p for key, p in moved.items() if key[1] == "left"}
    assert not quality.incomplete(level, replace(marks, pedicles=lefts))


def test_without_the_back_of_the_disc_the_outline_runs_into_its_space(plain, place):
    label, affine, _ = plain
    for lost in (5.0, 8.0, 15.0):
        cut = np.where((label == DISC.value) & (place[1] < -17.0 + lost), 0, label)
        for code in codes(cut, affine).values():
            assert code in ("incomplete_structure", "outline_open", "outline_split"), lost


@pytest.mark.parametrize(("deep", "whole"), [(6.0, True), (10.0, True), (15.0, False)])
def test_a_disc_without_its_back_in_the_middle_is_not_whole(plain, place, deep, whole):
    """Its sides still reach the walls, so that the outlines themselves look well."""
    label, affine, _ = plain
    hollow = (label == DISC.value) & (np.abs(place[0]) < 9.0) & (place[1] < -17.0 + deep)
    level = prepare(np.where(hollow, 0, label), affine)
    assert quality.incomplete(level, find_frame(level)) != whole


@pytest.mark.parametrize(("at", "measured"), [(18.0, False), (24.0, False), (31.0, True)])
def test_a_label_that_ends_in_a_pedicle(plain, place, at, measured):
    """Within a larger image: no edge of the image tells it."""
    label, affine, _ = plain
    found = codes(np.where(place[0] > at, 0, label), affine)
    assert (found["left"] is None) == measured
    assert measured or found["left"] in ("truncated_pedicle", "pedicle_not_found")
    assert found["right"] is None


def test_a_loose_part_beside_the_slab_is_refused(parts):
    level, marks, borders, _ = parts
    centres = marks.frame.to_ras(np.stack(np.meshgrid(*[np.arange(-4.0, 4.0, 0.9)] * 3), axis=-1).reshape(-1, 3))
    near = marks.frame.to_ras([18.0, -28.0, 2.0]) - marks.frame.origin
    beside = replace(level, parts=((L4, centres + near),))
    with pytest.raises(RefusedError, match="disconnected_structure"):
        quality.check_region(beside, marks, "left", borders)
    quality.check_region(beside, marks, "right", slab(marks, "right"))
    far = marks.frame.to_ras([18.0, -28.0, 60.0]) - marks.frame.origin
    quality.check_region(replace(level, parts=((L4, centres + far),)), marks, "left", borders)


def test_an_outline_at_the_images_edge_is_refused(parts):
    level, marks, borders, contour = parts
    low = level.low.copy()
    low[1] = level.index(marks.frame, marks.frame.axes[0] * 0 + [18.0, contour.points[:, 0].min() + 2.0, 0.0])[1]
    with pytest.raises(RefusedError, match="truncated_pedicle"):
        quality.check_outline(replace(level, low=low), marks, "left", borders, contour)


def test_the_uncovered_top_of_a_cut_process_is_refused(plain, place):
    """The scene's process is cut just below its joint: the outline's lower half is still bounded by what is left."""
    label, affine, _ = plain
    m, a, s = place
    for top in (5.0, 3.5):
        cut = np.where((label == L5.value) & (m > 6) & (a < -24.0) & (s > top), 0, label)
        found = codes(cut, affine)
        assert found["left"] in ("truncated_posterior_elements", "outline_open")
        assert found["right"] is None


def test_a_process_drawn_too_thin_is_refused(plain, place):
    """By 3 mm all round above its pedicle: its joint is wide, and it stays closed further back."""
    label, affine, _ = plain
    m, a, s = place
    thin = ndimage.binary_erosion(label == L5.value, iterations=3)
    worn = np.where((label == L5.value) & ~thin & (m > 4) & (a < -23.0) & (s > -6.0), 0, label)
    found = codes(worn, affine)
    assert found["left"] in ("truncated_posterior_elements", "outline_open")
    assert found["right"] is None


def test_a_joint_wide_on_both_sides_is_anatomy(parts, monkeypatch):
    level, marks, borders, _ = parts
    between = (LEAST_JOINT_MM2 + SMALL_JOINT_MM2) / 2
    for own, other, small in (
        (LEAST_JOINT_MM2 - 1, 60.0, True),
        (between, between, False),
        (between, 2 * between, True),
        (SMALL_JOINT_MM2 + 1, 300.0, False),
    ):
        monkeypatch.setattr(quality, "joint_mm2", lambda *given, a=own, b=other: a if given[2] == "left" else b)
        assert quality._joint_is_small(level, marks, "left", borders) == small
    lefts = {key: p for key, p in marks.pedicles.items() if key[1] == "left"}
    monkeypatch.setattr(quality, "joint_mm2", lambda *given: between)
    assert not quality._joint_is_small(level, replace(marks, pedicles=lefts), "left", borders)


def test_a_bite_out_of_the_pedicle_is_refused(plain, place):
    label, affine, scene = plain
    off = np.linalg.norm(place - np.array([18.0, -21.0, scene.left.top + 1.0])[:, None, None, None], axis=0)
    found = codes(np.where((label == L4.value) & (off < 6.0), 0, label), affine)
    assert found == {"left": "incomplete_structure", "right": None}


@pytest.mark.parametrize(
    ("area", "height", "possible"),
    [(100.0, 15.0, True), (2.0, 15.0, False), (501.0, 15.0, False), (100.0, 2.5, False), (100.0, 46.0, False)],
)
def test_impossible_sizes(area, height, possible):
    main = Main(area, height, None, None, np.zeros(2), np.zeros(2))
    if possible:
        quality.check_size(main)
    else:
        with pytest.raises(RefusedError, match="implausible_geometry"):
            quality.check_size(main)


@pytest.fixture(scope="module")
def numbers(plain):
    return measure(plain[0], plain[1], uncertainty=False).left.numbers


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ()),
        ({"width_mm": None}, ("corner_not_found",)),
        ({"area_mm2": 39.0}, ("unusual_value",)),
        ({"area_mm2": 221.0}, ("unusual_value",)),
        ({"height_mm": 9.9}, ("unusual_value",)),
        ({"width_mm": 12.1}, ("unusual_value",)),
        ({"width_mm": None, "height_mm": 27.0}, ("corner_not_found", "unusual_value")),
    ],
)
def test_warnings_of_numbers(numbers, change, expected):
    assert quality.number_warnings(replace(numbers, **change)) == expected


def test_sides_that_differ(numbers):
    assert not quality.sides_differ(numbers, None)
    assert not quality.sides_differ(numbers, replace(numbers, area_mm2=numbers.area_mm2 * 1.3))
    assert quality.sides_differ(numbers, replace(numbers, area_mm2=numbers.area_mm2 * 1.6))
    assert quality.sides_differ(replace(numbers, width_mm=1.5 * numbers.width_mm + 1), numbers)
    assert not quality.sides_differ(replace(numbers, width_mm=None), numbers)


def test_a_warning_is_added_once_and_to_measured_sides_only(plain):
    measurement = measure(plain[0], plain[1], uncertainty=False)
    warned = quality.with_warning(measurement.left, "unusual_value")
    assert warned.status == "warning" and warned.reasons == ("unusual_value",)
    assert quality.with_warning(warned, "unusual_value") is warned
    refused = measure(np.zeros((3, 3, 3)), np.eye(4)).left
    assert quality.with_warning(refused, "unusual_value") is refused


def test_warnings_of_a_level(parts):
    level = parts[0]
    assert quality.level_warnings(level, 1.0, 0.5) == ()
    assert quality.level_warnings(level, 6.0, -3.5) == ("frame_unstable", "spondylolisthesis")
    thick = replace(level, affine=level.affine @ np.diag([4.0, 1.0, 1.0, 1.0]))
    assert quality.level_warnings(thick, 0.0, 0.0) == ("slices_too_thick",)
