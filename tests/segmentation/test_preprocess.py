"""To the network's grid and back."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.anatomy import CHANNELS
from livf.lib.errors import InputError
from livf.lib.segmentation import preprocess
from livf.lib.segmentation.config import PreprocessConfig
from livf.lib.segmentation.orientation import canonical
from livf.lib.values import Volume, to_world

PAPER = PreprocessConfig()


def axial(shape, spacing=(0.8, 0.8, 0.8), seed=0):
    """A random image, already in network order."""
    array = np.random.default_rng(seed).normal(500, 100, shape).astype(np.float32)
    affine = np.zeros((4, 4))
    affine[[2, 0, 1, 3], [0, 1, 2, 3]] = (*spacing, 1)
    affine[:3, 3] = (-100, -120, 30)
    return Volume(array, affine)


def one_hot(label):
    """Certain probabilities of a label of channels."""
    return np.stack([label == channel for channel in range(CHANNELS)]).astype(np.float32)


@pytest.mark.parametrize("slices", [88, 101, 128])
def test_on_the_papers_grid_it_is_the_papers_crop_bit_for_bit(slices):
    volume = axial((slices, 320, 320))
    prepared = preprocess.prepare(volume, PAPER, preprocess.place_by_field(volume, PAPER))
    height = width = 320
    crop = volume.array[:, height // 4 - 10 : 3 * height // 4 + 10, width // 4 - 20 : 3 * width // 4]
    scored = (crop - crop.mean(dtype=np.float64)) / crop.std(dtype=np.float64)
    missing = 128 - slices
    expected = np.pad(scored, ((missing - missing // 2, missing // 2), (0, 0), (0, 0)))
    assert prepared.array.shape == (128, 180, 180)
    assert prepared.array.dtype == np.float32
    np.testing.assert_allclose(prepared.array, expected, atol=2e-5)


def test_single_precision_spacing_counts_as_the_papers():
    volume = axial((90, 320, 320), spacing=tuple(float(np.float32(0.8)) for _ in range(3)))
    placement = preprocess.place_by_field(volume, PAPER)
    assert placement.step == (1, 1, 1)
    assert placement.start[1:] == (70, 60)


def test_round_trip_on_the_papers_grid_is_exact():
    volume = axial((100, 320, 320))
    label = np.zeros(volume.shape, dtype=np.uint8)
    label[:, 70:250, 60:240] = np.random.default_rng(1).integers(0, CHANNELS, (100, 180, 180))
    prepared = preprocess.prepare(volume, PAPER, preprocess.place_by_field(volume, PAPER))
    given = np.zeros(PAPER.box_shape, dtype=np.uint8)
    given[14:114] = label[:, 70:250, 60:240]
    part, region = preprocess.restore(one_hot(given), prepared)
    whole = np.zeros_like(label)
    whole[region] = part
    np.testing.assert_array_equal(whole, label)
    probable = preprocess.restore_probabilities(one_hot(given), prepared)
    np.testing.assert_array_equal(probable.argmax(axis=0), label)
    np.testing.assert_array_equal(probable.sum(axis=0), 1)


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((300, 300, 300), (0.5, 0.5, 0.5)),
        ((220, 16, 220), (1.0, 4.0, 1.0)),
        ((40, 256, 256), (4.0, 0.7, 0.7)),
        ((150, 150, 150), (1.1, 1.3, 1.7)),
    ],
)
def test_round_trip_on_other_grids_keeps_shape_and_place(shape, spacing):
    volume = axial(shape, spacing)
    prepared = preprocess.prepare(volume, PAPER, preprocess.place_by_field(volume, PAPER))

    def ball(shape, affine):
        index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
        middle = to_world(prepared.affine, (np.asarray(PAPER.box_shape) - 1) / 2)
        return np.linalg.norm(to_world(affine, index) - middle, axis=-1) < 24

    given = ball(PAPER.box_shape, prepared.affine).astype(np.uint8) * 3
    part, region = preprocess.restore(one_hot(given), prepared)
    label = np.zeros(shape, dtype=np.uint8)
    label[region] = part
    expected = ball(shape, volume.affine)
    assert set(np.unique(label)) == {0, 3}
    overlap = 2 * np.count_nonzero((label > 0) & expected) / (np.count_nonzero(label) + np.count_nonzero(expected))
    # Voxels of 4 mm cut a ball of 24 mm radius coarsely: the truth there is the middle's, the label's the majority's.
    assert overlap > (0.96 if max(spacing) >= 4 else 0.985)


def test_the_grids_affine_says_where_its_voxels_are():
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
    shape = (90, 80, 70)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag((1.1, 0.9, 1.4)), (12, -30, 55)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    direction = np.asarray([0.3, -0.5, 0.8])
    image, _ = canonical(Volume((to_world(affine, index) @ direction).astype(np.float32), affine))
    config = PreprocessConfig(spacing_mm=1.0, box_shape=(40, 40, 40))
    prepared = preprocess.prepare(image, config, preprocess.place_by_field(image, config))
    # The image is a ramp in the world, so the input is one too: same direction, whatever the scale.
    points = to_world(prepared.affine, np.argwhere(np.ones(config.box_shape, bool)))
    ramp = points @ direction
    slope, offset = np.polyfit(ramp, prepared.array.ravel(), 1)
    assert slope > 0
    np.testing.assert_allclose(prepared.array.ravel(), slope * ramp + offset, atol=0.01)


def test_z_score_is_over_what_the_image_covers_and_padding_is_zero():
    volume = axial((60, 100, 400))
    prepared = preprocess.prepare(volume, PAPER, preprocess.place_by_field(volume, PAPER))
    covered = prepared.array[prepared.inside]
    assert covered.shape == (60, 100, 180)
    assert abs(covered.mean()) < 1e-4
    assert abs(covered.std() - 1) < 1e-4
    outside = np.ones(PAPER.box_shape, bool)
    outside[prepared.inside] = False
    assert (prepared.array[outside] == 0).all()


def test_nothing_of_the_image_is_changed():
    volume = axial((60, 100, 100), spacing=(1, 1, 1))
    before = volume.array.copy()
    preprocess.prepare(volume, PAPER, preprocess.place_by_field(volume, PAPER))
    np.testing.assert_array_equal(volume.array, before)


def test_the_disc_gets_its_usual_place_in_the_box():
    volume = axial((300, 300, 300), spacing=(1.0, 1.0, 1.0))
    placement = preprocess.place_at_disc(volume, PAPER, (200.0, 140.0, 170.0))
    middle = np.asarray(placement.start) + (np.asarray(placement.shape) - 1) / 2 * placement.step
    np.testing.assert_allclose(middle, np.asarray((200, 140, 170)) - PAPER.disc_offset_mm, atol=1e-9)


@pytest.mark.parametrize(
    ("shape", "spacing", "words"),
    [
        ((10, 320, 320), (0.8, 0.8, 0.8), "top to bottom"),
        ((300, 4, 300), (0.8, 4.0, 0.8), "left to right"),
        ((300, 60, 60), (0.8, 0.8, 0.8), "front to back"),
    ],
)
def test_a_field_that_cannot_hold_the_level_is_refused(shape, spacing, words):
    with pytest.raises(InputError, match=words):
        preprocess.check_field(axial(shape, spacing))


def test_ten_slices_of_four_millimetres_are_enough():
    preprocess.check_field(axial((300, 10, 300), (0.8, 4.0, 0.8)))


def test_a_constant_region_is_refused():
    volume = axial((100, 320, 320))
    volume.array[:, 60:260, 50:250] = 7
    with pytest.raises(InputError, match="same value"):
        preprocess.prepare(volume, PAPER, preprocess.place_by_field(volume, PAPER))


def test_a_large_offset_does_not_spoil_the_z_score():
    noise = np.random.default_rng(0).normal(0, 50, (20, 30, 40))
    scored = preprocess.normalise((noise + 30000).astype(np.float32))
    np.testing.assert_allclose(scored, (noise - noise.mean()) / noise.std(), atol=1e-3)
