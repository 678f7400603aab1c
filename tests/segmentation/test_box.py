"""Placing the box in a large field of view."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from livf.lib.anatomy import CHANNELS, DISC, TRAINED
from livf.lib.segmentation import box
from livf.lib.segmentation.config import PreprocessConfig
from livf.lib.segmentation.orientation import canonical
from livf.lib.values import Volume

PAPER = PreprocessConfig()
DATA = Path(os.environ.get("LIVF_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
#: Middle of L4-L5 (height, depth; voxels) of public T2 images, from their own masks. Images of 1 mm.
LEVELS = {
    "ivd_11": (84, 145),
    "ivd_20": (59, 130),
    "vb2_02": (138, 189),
    "vb2_05": (152, 188),
    "vb2_13": (148, 184),
    "vb2_19": (146, 174),
}


def trunk(seed=0):
    """A trunk in network order at 1.5 mm with a canal whose lordosis is at its height at voxel 90, fat behind it."""
    height, side, depth = np.meshgrid(np.arange(240), np.arange(50), np.arange(200), indexing="ij")
    curve = 90 - 0.004 * (height - 90.0) ** 2
    image = np.random.default_rng(seed).normal(60, 8, height.shape)
    image[np.abs(depth - curve) + np.abs(side - 25) < 7] = 320
    image[(depth > 12) & (depth < 22)] = 500
    affine = np.zeros((4, 4))
    affine[[2, 0, 1, 3], [0, 1, 2, 3]] = (1.5, 1.5, 1.5, 1)
    return Volume(image.astype(np.float32), affine)


def test_the_canals_apex_is_found():
    s, r, a = box.canal_apexes(trunk())[0]
    assert abs(s - 90) < 10
    assert abs(r - 25) < 3
    assert abs(a - 90) < 3


@pytest.mark.parametrize("axis", range(3))
def test_which_axes_are_larger_than_the_papers(axis):
    affine = np.zeros((4, 4))
    affine[[2, 0, 1, 3], [0, 1, 2, 3]] = (0.8, 0.8, 0.8, 1)
    shape = list(PAPER.field_shape)
    assert box.larger_axes(Volume(np.zeros(shape, np.int8), affine), PAPER) == (False, False, False)
    shape[axis] += 8
    larger = box.larger_axes(Volume(np.zeros(shape, np.int8), affine), PAPER)
    assert larger == tuple(other == axis for other in range(3))


def test_axes_within_the_papers_field_keep_their_usual_place():
    volume = trunk()  # 360 x 75 x 300 mm: only left-right is within
    for guess in box.first_guesses(volume, PAPER):
        assert abs(guess[1] - 24.5) < 1
    assert len(box.first_guesses(volume, PAPER)) == 2


def test_the_search_follows_the_disc_that_the_network_sees():
    volume = trunk()
    target = np.asarray((104.0, 25.0, 110.0))  # where a network sees the disc, image voxels
    seen = []

    def predict(array):
        """Certain of three blocks round the target, wherever the box lies: it is known from the canal in the input."""
        seen.append(array)
        return answers[len(seen) - 1]

    answers = []
    starts = []
    guess = box.first_guesses(volume, PAPER)[0]
    for middle in (guess, tuple(target)):
        placement = box.place_at_disc(volume, PAPER, middle)
        starts.append(placement.start)
        at = np.rint((target - placement.start) / placement.step).astype(int)
        probabilities = np.zeros((CHANNELS, *PAPER.box_shape), dtype=np.float32)
        probabilities[0] = 1
        for channel, (low, high) in ((1, (6, 40)), (2, (-6, 6)), (3, (-40, -6))):
            part = tuple(slice(max(0, at[k] + (low, -30, -25)[k]), at[k] + (high, 30, 25)[k]) for k in range(3))
            probabilities[(channel, *part)] = 1
            probabilities[(0, *part)] = 0
        answers.append(probabilities)
    prepared, found = box.search(volume, PAPER, predict)
    assert len(seen) == 2
    assert box.agreement(found, PAPER.spacing_mm) == 1
    np.testing.assert_allclose(prepared.placement.start, starts[1], atol=1)


def test_agreement_needs_enough_of_every_structure():
    probabilities = np.zeros((CHANNELS, 80, 60, 60), dtype=np.float32)
    probabilities[0] = 1
    assert box.agreement(probabilities, 0.8) == 0
    for channel, structure in enumerate(TRAINED, start=1):
        rows = slice(18 * channel, 18 * channel + (6 if structure is DISC else 16))
        probabilities[channel, rows] = 0.9
        probabilities[0, rows] = 0.1
    assert box.agreement(probabilities, 0.8) == pytest.approx(0.9)
    probabilities[2, :, :50] = 0.05
    assert box.agreement(probabilities, 0.8) < 0.3


@pytest.mark.parametrize("name", LEVELS)
def test_real_images_are_guessed_within_a_vertebra(name):
    import nibabel as nib

    path = DATA / "mri" / f"{name}_T2w.nii.gz"
    if not path.exists():
        pytest.skip(f"no test data at {path.name}")
    image = nib.load(path)
    volume, _ = canonical(Volume(np.asarray(image.dataobj), image.affine, name))
    guesses = box.first_guesses(volume, PAPER)
    off = [np.hypot(*(np.asarray((s, a)) - LEVELS[name])) for s, _, a in guesses]
    assert min(off) < 30
