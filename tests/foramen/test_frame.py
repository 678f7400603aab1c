import numpy as np
import pytest

from livf.lib.anatomy import DISC, L4, L5, VERTEBRAE
from livf.lib.foramen.frame import asymmetry_deg, find_frame, slip_mm
from livf.lib.foramen.level import prepare
from livf.lib.foramen.outline import slab


def apart_deg(one, other):
    """Largest angle between the axes of two frames."""
    return float(np.degrees(np.arccos(np.clip(np.einsum("ij,ij->i", one.axes, other.axes), -1, 1))).max())


def turned_axes(turn):
    """Rows L, A, S of a scene turned by a rotation matrix."""
    return np.array([[-1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]) @ turn.T


@pytest.fixture(scope="module")
def marks(plain):
    label, affine, _ = plain
    return find_frame(prepare(label, affine))


def test_frame_is_the_scenes(marks, turn_of):
    off = turned_axes(turn_of((6.0, -5.0, 8.0))) @ marks.frame.axes.T
    assert np.degrees(np.arccos(np.clip(np.diag(off), -1, 1))).max() < 0.5
    assert marks.frame.axes @ marks.frame.axes.T == pytest.approx(np.eye(3), abs=1e-12)


def test_slab_is_the_scenes(marks):
    for side in ("left", "right"):
        assert slab(marks, side) == pytest.approx((12.0, 26.0), abs=0.5)


def test_frame_does_not_see_field_of_view_islands_or_cut_neighbours(plain, marks):
    label, affine, _ = plain
    padded = np.pad(label, 20)
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ np.full(3, 20.0)
    assert apart_deg(find_frame(prepare(padded, moved)).frame, marks.frame) < 1e-6
    dirty = label.copy()
    dirty[1:4, 1:4, 1:4] = DISC.value
    assert apart_deg(find_frame(prepare(dirty, affine)).frame, marks.frame) < 1e-6
    cut = label.copy()
    top = np.argwhere(label == L4.value)[:, 2].max()
    cut[:, :, top - 4 :] = 0
    assert apart_deg(find_frame(prepare(cut, affine)).frame, marks.frame) < 0.3


def test_a_missing_pedicle_leaves_the_frame_to_the_other_vertebra(plain, marks):
    label, affine, _ = plain
    level = prepare(label, affine)
    points = marks.frame.to_frame(np.argwhere(label > 0) @ affine[:3, :3].T + affine[:3, 3])
    index = np.argwhere(label > 0)
    gone = (points[:, 0] > 9) & (points[:, 1] < -17.5) & (points[:, 2] > 0)
    cut = label.copy()
    cut[tuple(index[gone].T)] = 0
    found = find_frame(prepare(cut, affine))
    assert (L4.value, "left") not in found.pedicles
    assert {(v.value, "right") for v in VERTEBRAE} | {(L5.value, "left")} == set(found.pedicles)
    assert apart_deg(found.frame, marks.frame) < 1.0
    assert asymmetry_deg(level, marks.frame) < 2.0


def test_upside_down_is_told(plain):
    label, affine, _ = plain
    swapped = label.copy()
    swapped[label == L4.value], swapped[label == L5.value] = L5.value, L4.value
    assert find_frame(prepare(swapped, affine)) == "wrong_level_order"


def test_a_slip_is_measured(scenes):
    label, affine = scenes["plain"].voxels(0.9)
    level = prepare(label, affine)
    assert slip_mm(find_frame(level).walls) == pytest.approx(0.0, abs=0.4)
    slipped = np.where(label == L4.value, 0, label)
    moved = np.roll(label == L4.value, 6, axis=1)
    slipped[moved] = L4.value
    assert slip_mm(find_frame(prepare(slipped, affine)).walls) == pytest.approx(5.4, abs=0.6)
