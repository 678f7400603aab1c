import itertools

import nibabel as nib
import numpy as np
import pytest
from skimage import measure as skm

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.errors import InputError
from livf.lib.foramen.level import indicator, prepare

CODES = ["".join(c) for p in itertools.permutations(("RL", "AP", "SI")) for c in itertools.product(*p)]


def reoriented(label, affine, code):
    image = nib.Nifti1Image(label, affine)
    start = nib.orientations.io_orientation(affine)
    turn = nib.orientations.ornt_transform(start, nib.orientations.axcodes2ornt(code))
    turned = image.as_reoriented(turn)
    return np.asarray(turned.dataobj), turned.affine


def test_all_48_orientations_give_the_same_level(plain):
    label, affine, _ = plain
    ours = prepare(label, affine)
    assert len(set(CODES)) == 48
    for code in CODES:
        other = prepare(*reoriented(label, affine, code))
        assert np.array_equal(other.label, ours.label)
        assert np.allclose(other.affine, ours.affine, atol=1e-9)
        assert np.array_equal(other.low, ours.low) and np.array_equal(other.high, ours.high)
        assert np.array_equal(other.union, ours.union)


def test_crop_keeps_the_world(plain):
    label, affine, _ = plain
    level = prepare(label, affine)
    for structure in (L4, DISC, L5):
        whole = np.argwhere(label == structure.value) @ affine[:3, :3].T + affine[:3, 3]
        assert level.centres(structure).mean(axis=0) == pytest.approx(whole.mean(axis=0), abs=1e-9)


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.float32, np.uint16])
def test_dtype_and_trailing_axis_do_not_matter(plain, dtype):
    label, affine, _ = plain
    assert np.array_equal(prepare(label.astype(dtype)[..., None], affine).label, prepare(label, affine).label)


def test_islands_are_left_out_and_large_parts_kept_apart(plain):
    label, affine, _ = plain
    dirty = label.copy()
    dirty[2:4, 2:4, 2:4] = L4.value
    ours, other = prepare(label, affine), prepare(dirty, affine)
    assert np.array_equal(other.union, ours.union)
    assert np.allclose(other.affine, ours.affine, atol=1e-9)
    assert other.parts == ()
    torn = label.copy()
    torn[:, label.shape[1] // 2 - 14 : label.shape[1] // 2 - 10] = 0
    assert {structure.name for structure, _ in prepare(torn, affine).parts} & {L4.name, L5.name}


def test_flat_surface_at_any_angle_is_where_it_was_sampled_from():
    """The treatment of partial voxels: no half-voxel bias, 0.05 voxel on the average."""
    rng = np.random.default_rng(0)
    index = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij"), axis=-1)
    offsets = []
    for _ in range(12):
        normal = rng.normal(size=3)
        normal /= np.linalg.norm(normal)
        place = (index - 19.5) @ normal - rng.uniform(-1, 1)
        vertices = skm.marching_cubes(indicator(place < 0), 0.0)[0]
        inner = vertices[(np.abs(vertices - 19.5) < 12).all(axis=1)]
        true_offset = place[0, 0, 0] - (index[0, 0, 0] - 19.5) @ normal
        offsets.append(float(((inner - 19.5) @ normal + true_offset).mean()))
    assert abs(np.mean(offsets)) < 0.02
    assert np.max(np.abs(offsets)) < 0.1


@pytest.mark.parametrize(
    ("label", "affine", "words"),
    [
        (np.zeros((4, 4)), np.eye(4), "three axes"),
        (np.zeros((4, 4, 4, 2)), np.eye(4), "three axes"),
        (np.zeros((0, 4, 4)), np.eye(4), "three axes"),
        (np.full((4, 4, 4), np.nan), np.eye(4), "finite"),
        (np.zeros((4, 4, 4), dtype=complex), np.eye(4), "numbers"),
        (np.zeros((4, 4, 4)), np.eye(3), "4x4"),
        (np.zeros((4, 4, 4)), np.zeros((4, 4)), "singular"),
        (np.zeros((4, 4, 4)), np.diag([1.0, np.inf, 1.0, 1.0]), "finite"),
    ],
)
def test_what_is_no_label_is_said(label, affine, words):
    with pytest.raises(InputError, match=words):
        prepare(label, affine)


def test_nothing_is_changed_in_place(plain):
    label, affine, _ = plain
    before, matrix = label.copy(), affine.copy()
    prepare(label, affine)
    assert np.array_equal(label, before) and np.array_equal(affine, matrix)
