"""From an image to its label: geometry, level status, bad input."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from livf.lib.anatomy import CHANNELS, DISC, L4, L5, TRAINED
from livf.lib.errors import InputError, UsageError
from livf.lib.segmentation import Segmenter
from livf.lib.values import Volume, to_world

ORDERS = [(axes, flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)]


@pytest.fixture(scope="module")
def threshold(threshold_model):
    """A segmenter that finds the known shapes by their brightness."""
    return Segmenter.load(threshold_model, device="cpu")


@pytest.fixture(scope="module")
def random(random_model):
    """A segmenter whose answer depends on every neighbour."""
    return Segmenter.load(random_model, device="cpu")


def dice(one, two):
    """Overlap of each structure."""
    scores = []
    for structure in TRAINED:
        a, b = one == structure.value, two == structure.value
        scores.append(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))
    return scores


def middles(segmentation):
    """World middle of each structure."""
    return [to_world(segmentation.affine, np.argwhere(segmentation.label == s.value)).mean(axis=0) for s in TRAINED]


def test_known_shapes_are_found_exactly(threshold, make_known):
    volume, truth = make_known((60, 58, 38), (1.6, 1.6, 1.6))
    found = threshold(volume)
    np.testing.assert_array_equal(found.label, truth)
    assert found.label.dtype == np.uint8
    assert found.label.flags.c_contiguous
    np.testing.assert_array_equal(found.affine, volume.affine)
    assert found.level_status == "assumed"
    assert found.model == threshold.version
    assert found.probabilities is None
    assert found.warnings == ()


@pytest.mark.parametrize(("axes", "flips"), ORDERS)
def test_every_order_of_the_axes_gives_the_same_physical_label(axes, flips, random, small_volume, reordered):
    expected = reordered(Volume(random(small_volume).label, small_volume.affine), axes, flips)
    assert expected.array.any()
    found = random(reordered(small_volume, axes, flips))
    np.testing.assert_array_equal(found.label, expected.array)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-9)


@pytest.mark.parametrize("mirrored", [False, True])
def test_left_stays_left(mirrored, threshold, make_known, reordered):
    volume, _ = make_known((60, 58, 38), (1.6, 1.6, 1.6))
    found = threshold(reordered(volume, (0, 1, 2), (mirrored, False, False)))
    for middle, (expected, _) in zip(middles(found), ((s.value, s) for s in TRAINED), strict=True):
        side = {L4.value: 3.0, DISC.value: 0.0, L5.value: -4.0}[expected]
        assert abs(middle[0] - side) < 0.3


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((120, 120, 80), (0.8, 0.8, 0.8)),
        ((24, 110, 70), (4.0, 0.9, 0.9)),
        ((90, 90, 16), (1.0, 1.0, 4.0)),
        ((61, 73, 55), (1.5, 1.2, 1.15)),
    ],
)
def test_other_voxel_sizes(shape, sizes, threshold, make_known):
    volume, truth = make_known(shape, sizes)
    found = threshold(volume)
    assert found.label.shape == shape
    assert min(dice(found.label, truth)) > 0.85  # thin shapes, voxels up to 4 mm


def test_an_oblique_image(threshold, make_known):
    turns = []
    for angle, (one, two) in zip(np.radians((20, -15, 10)), ((0, 1), (1, 2), (0, 2)), strict=True):
        turn = np.eye(3)
        turn[[one, one, two, two], [one, two, one, two]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        turns.append(turn)
    turn = turns[0] @ turns[1] @ turns[2]
    straight, _ = make_known((60, 58, 38), (1.6, 1.6, 1.6))
    # Interpolated, the rim of a bright shape has a dimmer one's brightness: this network then errs, its place does not.
    for sizes, least in (((1.6, 1.6, 1.6), 0.99), ((1.2, 1.2, 1.2), 0.75)):
        shape = tuple(int(n * 1.6 / sizes[0]) for n in (60, 58, 38))
        volume, truth = make_known(shape, sizes, turn)
        found = threshold(volume)
        assert min(dice(found.label, truth)) > least
        for here, there in zip(middles(found), middles(threshold(straight)), strict=True):
            assert np.linalg.norm(here - there) < 0.5


def test_probabilities_lie_on_the_images_grid_and_agree_with_the_label(random, make_known):
    volume, _ = make_known((61, 73, 55), (1.5, 1.2, 1.15))
    found = random(volume, probabilities=True)
    assert found.probabilities.shape == (CHANNELS, *volume.shape)
    assert found.probabilities.dtype == np.float16
    np.testing.assert_allclose(found.probabilities.astype(np.float32).sum(axis=0), 1, atol=0.01)
    labelled = found.label > 0
    assert (found.probabilities.argmax(axis=0)[labelled] == found.label[labelled]).mean() > 0.98  # but filled holes


def test_a_point_in_the_disc_places_the_box(threshold, make_known):
    volume, truth = make_known((100, 100, 140), (1.6, 1.6, 1.6))
    found = threshold(volume, level_at=(0.0, 5.0, 0.0))
    assert found.level_status == "given"
    # The known shapes lie behind their usual place in the small box, yet within it.
    assert min(dice(found.label, truth)) > 0.95


def test_a_point_outside_the_image_is_refused(threshold, small_volume):
    for point in ((0, 0, 500), (float("nan"), 0, 0)):
        with pytest.raises(UsageError, match="outside the image"):
            threshold(small_volume, level_at=point)


def test_a_large_field_of_view_is_unclear(threshold, make_known):
    volume, _ = make_known((60, 58, 120), (1.6, 1.6, 1.6))
    assert threshold(volume).level_status == "unclear"


def test_a_field_too_small_is_refused(threshold, make_known):
    volume, _ = make_known((100, 100, 10), (0.8, 0.8, 0.8))
    with pytest.raises(InputError, match="8 mm from top to bottom"):
        threshold(volume)


def test_nothing_found_is_an_empty_label_with_a_reason(threshold, make_known):
    volume, _ = make_known((60, 58, 38), (1.6, 1.6, 1.6))
    dim = Volume(np.where(np.arange(38) < 19, volume.array * 0, 1).astype(np.float32), volume.affine, "half")
    found = threshold(dim)
    assert not found.label.any() or found.warnings
    assert "missing_structure" in found.warnings


def test_progress_is_told_in_order(threshold, small_volume):
    told = []
    threshold(small_volume, progress=lambda stage, share: told.append((stage, share)))
    assert [stage for stage, _ in told] == ["prepare", "network", "restore", "done"]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_the_image_is_not_changed(random, small_volume):
    before = small_volume.array.copy()
    random(small_volume)
    np.testing.assert_array_equal(small_volume.array, before)


@pytest.mark.parametrize("dtype", ["int16", ">i2", "uint8", "float64"])
def test_the_voxel_type_does_not_matter(dtype, threshold, make_known):
    volume, truth = make_known((60, 58, 38), (1.6, 1.6, 1.6))
    array = np.clip(volume.array * 0.8, 0, 255).astype(dtype)
    np.testing.assert_array_equal(threshold(Volume(array, volume.affine)).label, truth)
