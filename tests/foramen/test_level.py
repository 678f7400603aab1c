import itertools

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from skimage import measure as skm

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.errors import InputError
from livf.lib.foramen.frame import find_frame
from livf.lib.foramen.level import Field, indicator, prepare

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
        assert np.array_equal(other.union.values, ours.union.values)


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
    assert np.array_equal(other.union.values, ours.union.values)
    assert np.allclose(other.affine, ours.affine, atol=1e-9)
    assert other.parts == ()
    torn = label.copy()
    torn[:, label.shape[1] // 2 - 14 : label.shape[1] // 2 - 10] = 0
    assert {structure.name for structure, _ in prepare(torn, affine).parts} & {L4.name, L5.name}


def test_values_of_no_structure_are_background(plain):
    label, affine, _ = plain
    odd = label.astype(np.int16)
    odd[:2, :3, :3] = [[[7, -3, 259], [4, 5, 1000], [-255, 257, 9]], [[8] * 3] * 3]
    ours, other = prepare(label, affine), prepare(odd, affine)
    assert np.array_equal(other.label, ours.label) and np.array_equal(other.low, ours.low)
    half = label.astype(np.float32)
    half[0, 0, :3] = [1.5, -0.5, 1e6]
    assert np.array_equal(prepare(half, affine).label, ours.label)


def test_a_grid_is_sampled_as_if_the_fields_were_whole(plain):
    """A field is kept and looked at only where it is not free; that must not be seen, not by a bit."""
    level = prepare(plain[0], plain[1])
    frame = find_frame(level).frame
    vectors = (np.arange(-60.0, 61.0, 3.0), np.arange(30.0, -61.0, -1.7), np.arange(-50.0, 51.0, 1.3))
    points = np.stack(np.meshgrid(*vectors, indexing="ij"), axis=-1)
    for structure in (L4, DISC, L5):
        whole = Field(indicator(level.label == structure.value), np.zeros(3, dtype=np.int64))
        field = level.fields[structure.value]
        assert field.values.size < 0.7 * whole.values.size
        index = level.grid_index(frame, *vectors)
        expected = ndimage.map_coordinates(whole.values, index, order=1, mode="nearest")
        assert np.array_equal(level.grid(field, frame, *vectors), expected)
        assert level.sample(field, frame, points) == pytest.approx(expected, abs=1e-6)
    away = np.arange(200.0, 210.0)
    assert (level.grid(level.fields[DISC.value], frame, away, away, away) == -0.5).all()


def test_the_nearest_voxel_is_background_beyond_the_image(plain):
    level = prepare(plain[0], plain[1])
    inside = np.argwhere(level.label == DISC.value)[::50]
    assert (level.nearest(inside.T + np.array([[0.4], [-0.4], [0.3]])) == DISC.value).all()
    assert (level.nearest(np.array([[-9.0, 1e4, 20.0], [20.0, 20.0, -3.0], [20.0, 20.0, 20.0]])) == 0).all()


def test_a_structure_that_is_not_there_has_no_centres_and_no_field(plain):
    label, affine, _ = plain
    level = prepare(np.where(label == DISC.value, 0, label), affine)
    assert level.missing == (DISC,)
    assert level.centres(DISC).shape == (0, 3)
    assert (level.fields[DISC.value].values == -0.5).all()
    empty = prepare(np.zeros((3, 4, 5)), np.eye(4))
    assert empty.missing == (L4, DISC, L5) and not empty.label.any()


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
