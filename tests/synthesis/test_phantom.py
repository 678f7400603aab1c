"""A whole phantom: reproducible, on the paper's grid, with a label that fits its anatomy."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.anatomy import BY_VALUE, DISC, L4, L5, TRAINED
from livf.lib.synthesis.morphometry import GROUP_COUNTS, GROUPS
from livf.lib.synthesis.phantom import IN_PLANE, SLICES, SPACING_MM, Grid, Phantom, draw_group, make_phantom
from livf.lib.values import to_world

SMALL = Grid((150, 150, 100), spacing=1.0, centre=(0.0, -8.0, 0.0))


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(11, grid=SMALL)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(phantom: Phantom) -> None:
    again, other = make_phantom(11, grid=SMALL), make_phantom(12, grid=SMALL)
    assert phantom.image.array.tobytes() == again.image.array.tobytes()
    assert phantom.label.tobytes() == again.label.tobytes()
    assert phantom.parameters == again.parameters
    assert phantom.image.array.tobytes() != other.image.array.tobytes()


def test_the_default_grid_is_the_papers() -> None:
    whole = make_phantom(3)
    assert whole.image.shape[:2] == (IN_PLANE, IN_PLANE)
    assert SLICES[0] <= whole.image.shape[2] <= SLICES[1]
    np.testing.assert_allclose(whole.image.spacing, SPACING_MM)
    # The paper's crop must hold both vertebrae whole.
    kept = whole.label[70:250, 60:240]
    assert np.count_nonzero(kept) == np.count_nonzero(whole.label)


def test_another_grid_shows_the_same_person(phantom: Phantom) -> None:
    fine = make_phantom(11, grid=Grid((75, 75, 50), spacing=2.0, centre=(0.5, -7.5, 0.5)))
    # Every voxel centre of the coarse grid that is also one of the other grid has the same label.
    coarse_in_small = np.rint(
        (to_world(fine.affine, np.argwhere(fine.label > 0)) - phantom.affine[:3, 3]) / phantom.image.spacing
    ).astype(int)
    world = to_world(phantom.affine, coarse_in_small)
    np.testing.assert_allclose(world, to_world(fine.affine, np.argwhere(fine.label > 0)), atol=1e-6)
    assert (phantom.label[tuple(coarse_in_small.T)] == fine.label[fine.label > 0]).all()


def test_the_label_has_the_three_structures_in_order(phantom: Phantom) -> None:
    assert set(np.unique(phantom.label)) == {0, *(s.value for s in TRAINED)}
    centre = {
        value: to_world(phantom.affine, np.argwhere(phantom.label == value)).mean(axis=0)
        for value in BY_VALUE
        if (phantom.label == value).any()
    }
    assert centre[L4.value][2] > centre[DISC.value][2] > centre[L5.value][2]


def test_volumes_are_those_of_people(phantom: Phantom) -> None:
    """Whole lower lumbar vertebrae are about 50 to 90 ml, the L4-5 disc 8 to 30 ml."""
    litre = float(np.prod(phantom.image.spacing)) / 1000
    for structure, low, high in ((L4, 40, 95), (L5, 40, 100), (DISC, 6, 30)):
        assert low < np.count_nonzero(phantom.label == structure.value) * litre < high


def test_contrast_is_that_of_t2(phantom: Phantom) -> None:
    """Cerebrospinal fluid and fat are brighter than marrow, marrow than cortex; noise is there."""
    image = phantom.image.array
    bone = phantom.label == L4.value
    assert image[bone].mean() < np.percentile(image, 97)
    frame, size = phantom.spine.frame, phantom.spine.anatomy.vertebrae[L4.name]
    sac = frame.origin - frame.anterior * (size.depth / 2 + size.canal_depth / 2 + 2)
    index = np.rint((sac - phantom.affine[:3, 3]) / phantom.image.spacing).astype(int)
    around = image[tuple(slice(i - 2, i + 3) for i in index)]
    assert around.mean() > 1.5 * image[bone].mean()
    assert image.std() > 0


def test_groups_are_drawn_as_often_as_in_the_paper() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_group(rng) for _ in range(4000)]
    for group in GROUPS:
        assert drawn.count(group) / 40 == pytest.approx(GROUP_COUNTS[group], abs=3)


def test_a_group_can_be_asked_for() -> None:
    stenosis = make_phantom(21, group="stenosis", grid=Grid((30, 30, 30), spacing=3.0))
    assert stenosis.group == stenosis.parameters["group"] == "stenosis"
