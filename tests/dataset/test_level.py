"""Grids, posterior elements and end plates, in any orientation of the array and on real vertebrae."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.dataset.geometry import grid_difference, posterior_elements
from livf.lib.dataset.level import absorb_plates, level_fault, posterior_fault
from livf.lib.numberings import NUMBERINGS
from livf.lib.values import Volume

DATA = Path(os.environ.get("LIVF_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "anatomy"
REAL = ["verse004", "verse005", "verse006", "totalseg_s0327", "totalseg_s0328", "totalseg_x"]
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def tilted(degrees: float) -> np.ndarray:
    """The affine turned about the axis from left to right, as a lordotic or flexed spine lies."""
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ AFFINE


@pytest.mark.parametrize("degrees", [-25, 0, 25])
@pytest.mark.parametrize("flip", [(), (0,), (1,), (0, 1, 2)])
def test_arches_are_told_from_bodies_however_the_array_lies(spine, degrees, flip) -> None:
    label = spine()
    affine = tilted(degrees)
    for axis in flip:
        label = np.flip(label, axis)
        mirror = np.eye(4)
        mirror[axis, axis], mirror[axis, 3] = -1, label.shape[axis] - 1
        affine = affine @ mirror
    assert posterior_fault(label, affine) is None
    # 40 x 34 x 14 mm of bone, of which 12 mm are too near the disc.
    found = posterior_elements(label, affine, L4.value, DISC.value)
    assert found.volume == pytest.approx(40 * 22 * 14, rel=0.2)
    assert found.left == pytest.approx(found.right, rel=0.1)
    assert found.left == pytest.approx(14 * 22 * 14, rel=0.25)


@pytest.mark.parametrize("degrees", [-25, 0, 25])
def test_bodies_alone_have_no_posterior_elements(spine, degrees) -> None:
    bodies = spine(arches=False)
    assert posterior_elements(bodies, tilted(degrees), L5.value, DISC.value).volume < 600
    assert "posterior elements of L4" in str(posterior_fault(bodies, tilted(degrees)))


def test_one_side_is_not_enough(spine) -> None:
    label = spine()
    middle = label.shape[0] // 2
    label[middle:, :20][label[middle:, :20] == L5.value] = 0
    assert "posterior elements of L5 are not labelled, or not whole" in str(posterior_fault(label, AFFINE))


@pytest.mark.parametrize("name", REAL)
def test_real_arches_and_real_bodies(name) -> None:
    path = DATA / f"{name}_mask.nii.gz"
    if not path.exists():
        pytest.skip("the anatomy data is not here")
    image = nib.as_closest_canonical(nib.load(path))
    mask, affine = np.asarray(image.dataobj), image.affine
    sizes = np.abs(np.diag(affine)[:3])
    # A body is what is within reach of a core thicker than any process; the disc an ellipse half way between two.
    bodies = {}
    for value in (23, 24):
        cores, _ = ndimage.label(ndimage.distance_transform_edt(mask == value, sampling=sizes) > 7)
        core = cores == 1 + np.argmax(np.bincount(cores.ravel())[1:])
        bodies[value] = (mask == value) & (ndimage.distance_transform_edt(~core, sampling=sizes) < 9)
    upper, lower = (np.argwhere(bodies[value]).mean(axis=0) * sizes for value in (23, 24))
    axis = (upper - lower) / np.linalg.norm(upper - lower)
    points = np.moveaxis(np.indices(mask.shape), 0, -1) * sizes - (upper + lower) / 2
    along = points @ axis
    across = points - along[..., None] * axis
    disc = (abs(along) < 4) & ((across[..., 0] / 22) ** 2 + (across[..., 1] / 16) ** 2 < 1)
    for whole in (True, False):
        label = np.zeros(mask.shape, dtype=np.uint8)
        label[(mask == 23) if whole else bodies[23]] = L4.value
        label[(mask == 24) if whole else bodies[24]] = L5.value
        label[disc] = DISC.value
        assert (posterior_fault(label, affine) is None) == whole


def test_grids_are_compared_where_they_matter(spine) -> None:
    image = Volume(spine(), AFFINE)
    assert not grid_difference(image, Volume(spine(), AFFINE + 1e-5))
    moved = AFFINE.copy()
    moved[0, 3] = 0.2
    assert grid_difference(image, Volume(spine(), moved)) == "up to 0.2 mm apart"
    mirrored = np.diag([-2.0, 2.0, 2.0, 1.0])
    assert grid_difference(image, Volume(spine(), mirrored)).endswith("mm apart")
    assert "voxels" in grid_difference(image, Volume(spine()[1:], AFFINE))


def test_a_numbering_that_holds_this_level_alone_is_taken_at_its_word(spine) -> None:
    assert level_fault(spine(), AFFINE, NUMBERINGS["livf"]) is None
    assert (
        level_fault(spine(), AFFINE, NUMBERINGS["totalsegmentator"])
        == "lacks L4 vertebra and L4-L5 disc and L5 vertebra"
    )


def test_stray_plates_belong_to_nobody(spine) -> None:
    numbering = NUMBERINGS["spineps"]
    label = spine({"L4": 23, "disc_L4_5": 123, "L5": 24})
    label[0, 0, 0] = 223
    assert absorb_plates(label, AFFINE, numbering)[0, 0, 0] == 223
    assert numbering.to_ours(absorb_plates(label, AFFINE, numbering))[0, 0, 0] == 0
    assert absorb_plates(label, AFFINE, NUMBERINGS["spider"]) is label
