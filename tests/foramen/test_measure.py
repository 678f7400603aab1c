"""The whole engine: what must not matter, what must be refused, and what comes with the numbers."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.errors import InputError
from livf.lib.foramen import SENTENCES, measure
from livf.lib.foramen.frame import find_frame
from livf.lib.foramen.level import prepare
from livf.lib.foramen.reasons import REFUSALS

NUMBERS = ("area_mm2", "height_mm", "width_mm", "min_width_mm", "channel_diameter_mm", "section_area_mm2")


def numbers(measurement):
    return {
        side: {name: getattr(foramen.numbers, name) for name in NUMBERS}
        for side, foramen in measurement.foramina.items()
        if foramen.measured
    }


def same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for side in one:
        for name in NUMBERS:
            if one[side][name] is None:
                assert other[side][name] is None
            else:
                assert other[side][name] == pytest.approx(one[side][name], **tolerance), (side, name)


@pytest.fixture(scope="module")
def measured(plain):
    return measure(plain[0], plain[1])


@pytest.fixture(scope="module")
def place(plain):
    """(M, A, S) of every voxel of the plain scene, by side."""
    label, affine, _ = plain
    frame = find_frame(prepare(label, affine)).frame
    index = np.stack(np.meshgrid(*(np.arange(n) for n in label.shape), indexing="ij"), axis=-1)
    las = frame.to_frame(index @ affine[:3, :3].T + affine[:3, 3])
    return {"left": las, "right": las * [-1.0, 1.0, 1.0]}


def test_both_sides_have_everything(measured):
    for foramen in measured.foramina.values():
        assert foramen.status == "ok" and foramen.reasons == ()
        assert set(foramen.sd) >= {"area_mm2", "height_mm", "width_mm"}
        assert all(value > 0 for value in foramen.sd.values())
        assert set(foramen.landmarks_ras_mm) == {"superior", "inferior", "posteroinferior_corner", "facet"}
        assert foramen.outline.points.shape[1] == 2
        gaps = np.linalg.norm(np.diff(foramen.outline.points, axis=0), axis=1)
        assert gaps.max() < 0.9 and np.median(gaps) < 0.5
        assert foramen.view.image.shape == foramen.view.structure.shape
        back = measured.frame.to_frame(foramen.outline.ras)
        assert back[:, 1:] == pytest.approx(foramen.outline.points, abs=1e-9)
        assert foramen.foraminoplasty.height_le_15_mm == "no"
    assert measured.disc_height_mm.middle == pytest.approx(10.0, abs=0.3)
    left, right = (measured.foramina[s].numbers for s in ("left", "right"))
    assert measured.differences["area_mm2"] == pytest.approx(left.area_mm2 - right.area_mm2)


def test_channel_and_widths(measured, plain):
    scene = plain[2]
    for side, foramen in measured.foramina.items():
        width = scene.sides()[side].width
        assert foramen.numbers.channel_diameter_mm == pytest.approx(width, abs=0.4)
        assert foramen.numbers.min_width_mm == pytest.approx(width, abs=0.4)
        for value in foramen.numbers.widths_mm.values():
            assert value == pytest.approx(width, abs=0.4)
        # Bone and disc run straight through this slab: every section is the opening.
        assert foramen.numbers.section_area_mm2 == pytest.approx(foramen.numbers.area_mm2, rel=0.08)


def test_solid_is_the_opening_times_the_slab(measured):
    for foramen in measured.foramina.values():
        solid = foramen.solid
        edge = np.ones(solid.values.shape, dtype=bool)
        edge[1:-1, 1:-1, 1:-1] = False
        assert (solid.values[edge] < 0).all()
        volume = (solid.values > 0).sum() * np.prod(solid.step)
        medial, lateral = foramen.numbers.slab_mm
        assert volume == pytest.approx(foramen.numbers.area_mm2 * (lateral - medial), rel=0.12)


@pytest.mark.parametrize("code", ["LPS", "SAR", "IRP", "AIL"])
def test_storage_does_not_matter(plain, measured, code):
    label, affine, _ = plain
    turn = nib.orientations.ornt_transform(nib.orientations.io_orientation(affine), nib.orientations.axcodes2ornt(code))
    turned = nib.Nifti1Image(label, affine).as_reoriented(turn)
    same(numbers(measured), numbers(measure(np.asarray(turned.dataobj), turned.affine)), abs=1e-6)


def test_mirroring_swaps_the_sides(plain, measured):
    label, affine, _ = plain
    mirrored = np.diag([-1.0, 1, 1, 1]) @ affine
    ours, other = numbers(measured), numbers(measure(label, mirrored))
    same({"left": ours["right"], "right": ours["left"]}, other, rel=1e-6)


def test_a_move_in_space_changes_nothing(plain, measured, turn_of):
    label, affine, _ = plain
    move = np.eye(4)
    move[:3, :3] = turn_of((10.0, -6.0, 14.0))
    move[:3, 3] = (120.0, -40.0, 900.0)
    same(numbers(measured), numbers(measure(label, move @ affine)), rel=1e-6)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scale=st.floats(0.9, 1.1))
def test_scaling(plain, scale):
    label, affine, _ = plain
    grown = np.diag([scale, scale, scale, 1.0]) @ affine
    one, other = numbers(measure(label, affine)), numbers(measure(label, grown))
    for side in one:
        assert other[side]["height_mm"] == pytest.approx(scale * one[side]["height_mm"], rel=0.015)
        assert other[side]["area_mm2"] == pytest.approx(scale**2 * one[side]["area_mm2"], rel=0.03)


def test_an_oblique_grid(scenes, measured):
    label, affine = scenes["plain"].voxels(0.85, (-8.0, 11.0, -9.0), (0.4, 0.1, 0.3))
    other = numbers(measure(label, affine))
    for side, mine in numbers(measured).items():
        assert other[side]["area_mm2"] == pytest.approx(mine["area_mm2"], rel=0.03)
        assert other[side]["height_mm"] == pytest.approx(mine["height_mm"], abs=0.35)


def refused(measurement, side, code):
    foramen = measurement.foramina[side]
    assert foramen.status == "refused" and foramen.reasons == (code,), foramen.reasons
    assert foramen.numbers is None and foramen.outline is None and foramen.solid is None
    assert foramen.sd == {} and foramen.landmarks_ras_mm == {} and foramen.foraminoplasty is None


@pytest.mark.parametrize("structure", [L4, DISC, L5])
def test_a_missing_structure_refuses_both(plain, structure):
    label, affine, _ = plain
    measurement = measure(np.where(label == structure.value, 0, label), affine)
    for side in ("left", "right"):
        refused(measurement, side, "missing_structure")
    assert measurement.frame is None and measurement.differences == {}


def test_an_unclear_level_is_not_measured(plain):
    label, affine, _ = plain
    refused(measure(label, affine, level_status="unclear"), "left", "level_unclear")


def test_without_the_superior_articular_process_there_is_no_number(plain, place):
    label, affine, _ = plain
    m, a, s = np.moveaxis(place["left"], -1, 0)
    for above in (-6.0, -1.0, 1.0):
        cut = label.copy()
        cut[(label == L5.value) & (m > 7) & (a < -24.0) & (a > -34.0) & (s > above)] = 0
        measurement = measure(cut, affine)
        assert not measurement.left.measured, above
        assert measurement.right.measured


def test_an_image_that_ends_in_a_pedicle(scenes):
    label, affine = scenes["plain"].voxels(0.9)
    frame = find_frame(prepare(label, affine)).frame
    x = affine[0, 0] * np.arange(label.shape[0]) + affine[0, 3]
    keep = x > frame.origin[0] - 22.0
    moved = affine.copy()
    moved[0, 3] = x[keep][0]
    measurement = measure(label[keep], moved)
    assert measurement.left.status == "refused"
    assert measurement.left.reasons[0] in ("truncated_pedicle", "pedicle_not_found")
    assert measurement.right.measured


def test_a_torn_arch_refuses_its_side(plain, place):
    label, affine, _ = plain
    las = place["left"]
    cut = label.copy()
    # The left facet joint's block of the upper vertebra, cut free from pedicle and lamina.
    m, a, _ = np.moveaxis(las, -1, 0)
    cut[(label == L4.value) & (np.abs(a + 28.0) < 9.5) & (m > 6) & (m < 11)] = 0
    cut[(label == L4.value) & (a < -22) & (a > -25) & (m > 6)] = 0
    measurement = measure(cut, affine)
    assert not measurement.left.measured


def test_thick_slices_are_told(scenes):
    label, affine = scenes["plain"].voxels((3.2, 0.8, 0.8))
    measurement = measure(label, affine)
    assert "slices_too_thick" in measurement.warnings
    for foramen in measurement.foramina.values():
        if foramen.measured:
            assert foramen.status == "warning"
            assert foramen.sd["area_mm2"] >= 0.05 * foramen.numbers.area_mm2 - 1e-9


def test_an_open_joint_is_closed_up_to_two_millimetres(scenes, change):
    scene = scenes["plain"]
    label, affine = scene.voxels(0.6)
    z = affine[2, 2] * np.arange(label.shape[2]) + affine[2, 3]
    y = affine[1, 1] * np.arange(label.shape[1]) + affine[1, 3]
    x = affine[0, 0] * np.arange(label.shape[0]) + affine[0, 3]
    for gap, closes in ((1.5, True), (3.6, False)):
        cut = label.copy()
        block = np.ix_(np.abs(x) > 6, y < -17.5, (z > 8.0) & (z < 8.0 + gap))
        cut[block] = 0
        foramen = measure(cut, affine).left
        assert foramen.measured == closes, foramen.reasons
        if closes:
            assert foramen.numbers.closed_gap_mm == pytest.approx(gap, abs=0.5)
            assert foramen.numbers.area_mm2 == pytest.approx(scene.truth("left")[0], rel=0.05)
            assert "joint" in [name for name, _ in foramen.outline.named()]


def test_probabilities_widen_the_deviations(plain, measured):
    label, affine, _ = plain
    from scipy.ndimage import gaussian_filter

    hard = np.stack([(label == value) for value in range(4)]).astype(np.float32)
    soft = np.stack([gaussian_filter(channel, 2.0) for channel in hard])
    wide = measure(label, affine, probabilities=soft)
    for side, foramen in wide.foramina.items():
        assert foramen.sd["area_mm2"] > 1.2 * measured.foramina[side].sd["area_mm2"]
        assert foramen.numbers.area_mm2 == measured.foramina[side].numbers.area_mm2
    with pytest.raises(InputError, match="shape"):
        measure(label, affine, probabilities=soft[:2])


def test_every_reason_has_a_sentence():
    assert all(sentence.endswith(".") and len(sentence) > 20 for sentence in SENTENCES.values())
    assert set(REFUSALS) < set(SENTENCES)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_removing_anything_never_crashes(plain, data):
    """Cut a box out, drop voxels, or swap values: a measurement comes back, and what is refused has no number."""
    label, affine, _ = plain
    damaged = label.copy()
    low = [data.draw(st.integers(0, n - 2)) for n in label.shape]
    high = [data.draw(st.integers(a + 1, n)) for a, n in zip(low, label.shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    match data.draw(st.sampled_from(["cut", "crop", "drop", "swap"])):
        case "cut":
            damaged[box] = 0
        case "crop":
            damaged = damaged[box]
        case "drop":
            rng = np.random.default_rng(data.draw(st.integers(0, 9)))
            damaged[rng.random(label.shape) < data.draw(st.floats(0, 0.5))] = 0
        case "swap":
            order = data.draw(st.permutations(range(4)))
            damaged = np.array(order, dtype=np.uint8)[label]
    measurement = measure(damaged, affine)
    for foramen in measurement.foramina.values():
        assert foramen.measured == (foramen.status != "refused")
        assert foramen.measured == (foramen.outline is not None) == bool(foramen.sd)
        assert all(code in SENTENCES for code in foramen.reasons)


def test_an_empty_label_is_refused():
    for shape in ((3, 3, 3), (1, 1, 1), (40, 40, 40)):
        refused(measure(np.zeros(shape, dtype=np.uint8), np.eye(4)), "left", "missing_structure")
