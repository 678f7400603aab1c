"""Ways in which a label can be wrong, each one function: what annotators, networks, scanners and files do to it.

A damage takes a level with its landmarks and a generator, and gives the damaged label and its affine. Places are in the
level's own frame on one side: M away from the middle, A forwards, S upwards, mm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.anatomy import BACKGROUND, DISC, L4, L5, TRAINED, Structure
from livf.lib.foramen import Side
from livf.lib.foramen.frame import Landmarks, find_frame
from livf.lib.foramen.level import prepare
from livf.lib.foramen.result import side_sign

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Damaged = tuple[npt.NDArray[Any], Floats]


@dataclass(frozen=True, eq=False)
class Target:
    """A level to be damaged on one side.

    Attributes:
        label: ``(I, J, K)`` uint8.
        affine: 4x4.
        side: The side that is damaged.
        marks: Landmarks of the undamaged level.
        place: ``(3, I, J, K)`` M, A and S of each voxel, mm; M is positive on the damaged side.
    """

    label: npt.NDArray[np.uint8]
    affine: Floats
    side: Side
    marks: Landmarks
    place: npt.NDArray[np.float32]

    @classmethod
    def of(cls, label: npt.NDArray[np.uint8], affine: Floats, side: Side) -> Target:
        """Find the landmarks.

        Raises:
            ValueError: The level has none, or lacks a pedicle on this side.
        """
        marks = find_frame(prepare(label, affine))
        if isinstance(marks, str) or any((v.value, side) not in marks.pedicles for v in (L4, L5)):
            raise ValueError(f"no landmarks on the {side}")
        index = np.stack(np.meshgrid(*(np.arange(n) for n in label.shape), indexing="ij"), axis=-1)
        place = marks.frame.to_frame(index @ affine[:3, :3].T + affine[:3, 3])
        place[..., 0] *= side_sign(side)
        return cls(label, affine, side, marks, np.moveaxis(place, -1, 0).astype(np.float32))

    def without(self, mask: Bools) -> Damaged:
        return np.where(mask, np.uint8(BACKGROUND), self.label), self.affine

    def behind(self, vertebra: Structure) -> npt.NDArray[np.float32]:
        """How far each voxel lies behind a vertebra's posterior wall, mm."""
        m, a, s = self.place
        return np.asarray(self.marks.walls[vertebra.value].anterior(side_sign(self.side) * m, s) - a, dtype=np.float32)

    def view(self, keep: Bools) -> Damaged:
        """The image cut to the box of what is kept, along its own axes."""
        boxes = ndimage.find_objects(keep.astype(np.uint8))
        if not boxes:
            return self.label[:1, :1, :1], self.affine
        moved = self.affine.copy()
        moved[:3, 3] += self.affine[:3, :3] @ np.array([part.start for part in boxes[0]])
        return self.label[boxes[0]], moved


Damage = Callable[[Target, np.random.Generator], Damaged]


# --- the superior articular process of the lower vertebra ------------------------------------------------------------
def _process(target: Target) -> tuple[Bools, float, float]:
    """The process, the S of its base (the pedicle's upper border) and of its tip."""
    m, _, s = target.place
    pedicle = target.marks.pedicles[(L5.value, target.side)]
    own = (target.label == L5.value) & (m > 4) & (m < pedicle.lateral + 8) & (target.behind(L5) > 4)
    own &= s > pedicle.high - 1
    return own, pedicle.high - 1, float(np.quantile(s[own], 0.998)) if own.any() else pedicle.high


def without_process(target: Target, share: float, slope: tuple[float, float] = (0.0, 0.0)) -> Damaged:
    """The upper ``share`` of the process is cut off by a plane; ``slope``: its rise along M and A."""
    own, base, tip = _process(target)
    if not own.any():
        return target.label, target.affine
    m, a, s = target.place
    height = s - slope[0] * (m - m[own].mean()) - slope[1] * (a - a[own].mean())
    return target.without(own & (height > np.quantile(height[own], 0.998) - share * (tip - base)))


def process_gone(target: Target, rng: np.random.Generator) -> Damaged:
    """The whole process is missing."""
    return without_process(target, 1.0)


def process_upper_half_gone(target: Target, rng: np.random.Generator) -> Damaged:
    """The process's upper half is cut off, by a plane tilted by up to 20 degrees."""
    return without_process(target, rng.uniform(0.45, 0.75), tuple(rng.uniform(-0.36, 0.36, 2)))


def process_upper_quarter_gone(target: Target, rng: np.random.Generator) -> Damaged:
    """The process's upper quarter is cut off, by a plane tilted by up to 20 degrees."""
    return without_process(target, rng.uniform(0.2, 0.35), tuple(rng.uniform(-0.36, 0.36, 2)))


def process_tip_bitten(target: Target, rng: np.random.Generator) -> Damaged:
    """A ball is missing from the process, round a point in its upper half."""
    own, base, tip = _process(target)
    high = np.argwhere(own & (target.place[2] > (base + tip) / 2))
    if not len(high):
        return target.label, target.affine
    centre = target.place[(slice(None), *high[rng.integers(len(high))])]
    off = np.linalg.norm(target.place - centre[:, None, None, None], axis=0)
    return target.without(own & (off < rng.uniform(4.0, 8.0)))


def process_worn(target: Target, rng: np.random.Generator) -> Damaged:
    """The process is eroded from all sides, as a network that is unsure of it draws it."""
    own, _, _ = _process(target)
    thin = ndimage.binary_erosion(target.label == L5.value, iterations=int(rng.integers(2, 4)))
    return target.without(own & ~thin)


# --- the other structures that bound the foramen ---------------------------------------------------------------------
def pedicle_gone(target: Target, rng: np.random.Generator) -> Damaged:
    """A pedicle is missing: that of the upper or the lower vertebra."""
    vertebra = (L4, L5)[rng.integers(2)]
    m, _, s = target.place
    pedicle, behind = target.marks.pedicles[(vertebra.value, target.side)], target.behind(vertebra)
    own = (target.label == vertebra.value) & (m > pedicle.medial - 2) & (behind > 0) & (behind < 8)
    return target.without(own & (s > pedicle.low - 3) & (s < pedicle.high + 3))


def upper_arch_gone(target: Target, rng: np.random.Generator) -> Damaged:
    """The upper vertebra's isthmus and inferior articular process are missing."""
    own = (target.label == L4.value) & (target.place[0] > 4) & (target.behind(L4) > rng.uniform(6, 10))
    return target.without(own)


def wall_gone(target: Target, rng: np.random.Generator) -> Damaged:
    """The back of a vertebra's body is missing on one side, or on both."""
    vertebra = (L4, L5)[rng.integers(2)]
    behind = target.behind(vertebra)
    wall = target.marks.walls[vertebra.value]
    own = (target.label == vertebra.value) & (behind > -rng.uniform(3, 10)) & (behind < 0.5)
    own &= (target.place[2] > wall.low - 3) & (target.place[2] < wall.high + 3)
    return target.without(own & ((target.place[0] > 0) | (rng.random() < 0.5)))


def disc_back_gone(target: Target, rng: np.random.Generator) -> Damaged:
    """The back of the disc is missing."""
    own = target.label == DISC.value
    a = target.place[1]
    return target.without(own & (a < np.quantile(a[own], rng.uniform(0.1, 0.6))))


def disc_half_gone(target: Target, rng: np.random.Generator) -> Damaged:
    """The disc's half on one side is missing."""
    return target.without((target.label == DISC.value) & (target.place[0] > rng.uniform(-5, 12)))


def side_gone(target: Target, rng: np.random.Generator) -> Damaged:
    """Everything on one side of a sagittal plane is missing."""
    return target.without(target.place[0] > rng.uniform(-2, 24))


def torn(target: Target, rng: np.random.Generator) -> Damaged:
    """A vertebra is torn in two parts by a crack."""
    vertebra = (L4, L5)[rng.integers(2)]
    at, axis = rng.uniform(2, 14), int(rng.integers(2))
    depth = (target.behind(vertebra), target.place[0])[axis]
    own = (target.label == vertebra.value) & (np.abs(depth - at) < rng.uniform(0.8, 2.0)) & (target.place[0] > 0)
    return target.without(own)


# --- anything, anywhere ----------------------------------------------------------------------------------------------
def voxels_dropped(target: Target, rng: np.random.Generator) -> Damaged:
    """Single voxels are missing, one in a hundred to every other one."""
    return target.without(rng.random(target.label.shape) < rng.uniform(0.01, 0.5))


def bite_near_the_foramen(target: Target, rng: np.random.Generator) -> Damaged:
    """A ball is missing somewhere round the foramen."""
    wall = target.marks.walls[L5.value].anterior(0.0, 0.0)
    centre = np.array([rng.uniform(8, 26), wall + rng.uniform(-14, 4), rng.uniform(-16, 18)])
    off = np.linalg.norm(target.place - centre[:, None, None, None], axis=0)
    return target.without(off < rng.uniform(3, 9))


def box_cut_out(target: Target, rng: np.random.Generator) -> Damaged:
    """A box is missing somewhere."""
    low = [int(rng.integers(0, n - 1)) for n in target.label.shape]
    high = [int(rng.integers(a + 1, n + 1)) for a, n in zip(low, target.label.shape, strict=True)]
    mask = np.zeros(target.label.shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return target.without(mask)


def structure_gone(target: Target, rng: np.random.Generator) -> Damaged:
    """A whole structure is missing."""
    return target.without(target.label == TRAINED[rng.integers(len(TRAINED))].value)


def slices_blank(target: Target, rng: np.random.Generator) -> Damaged:
    """Some neighbouring slices are blank."""
    axis = int(rng.integers(3))
    used = np.flatnonzero(target.label.any(axis=tuple(k for k in range(3) if k != axis)))
    start = int(rng.choice(used))
    mask = np.zeros(target.label.shape, dtype=bool)
    np.moveaxis(mask, axis, 0)[start : start + int(rng.integers(1, 6))] = True
    return target.without(mask)


# --- the field of view -----------------------------------------------------------------------------------------------
def view_ends_in_a_pedicle(target: Target, rng: np.random.Generator) -> Damaged:
    """The image ends between the pedicles' medial and lateral borders."""
    pedicles = [target.marks.pedicles[(v.value, target.side)] for v in (L4, L5)]
    at = rng.uniform(min(p.medial for p in pedicles), max(p.lateral for p in pedicles) - 1)
    return target.view(target.place[0] < at)


def view_ends_in_the_process(target: Target, rng: np.random.Generator) -> Damaged:
    """The image ends behind within the superior articular process."""
    own, _, _ = _process(target)
    if not own.any():
        return target.label, target.affine
    a = target.place[1]
    return target.view(a > np.quantile(a[own], rng.uniform(0.1, 0.95)))


def view_ends_below(target: Target, rng: np.random.Generator) -> Damaged:
    """The image ends above or within the lower vertebra's pedicle."""
    pedicle = target.marks.pedicles[(L5.value, target.side)]
    return target.view(target.place[2] > rng.uniform(pedicle.low, pedicle.high + 6))


def view_ends_above(target: Target, rng: np.random.Generator) -> Damaged:
    """The image ends below or within the upper vertebra's pedicle."""
    pedicle = target.marks.pedicles[(L4.value, target.side)]
    return target.view(target.place[2] < rng.uniform(pedicle.low - 6, pedicle.high))


def view_cut(target: Target, rng: np.random.Generator) -> Damaged:
    """The image is any box of the whole one."""
    low = [int(rng.integers(0, n // 2)) for n in target.label.shape]
    high = [int(rng.integers(n // 2 + 1, n + 1)) for n in target.label.shape]
    keep = np.zeros(target.label.shape, dtype=bool)
    keep[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return target.view(keep)


# --- values and files ------------------------------------------------------------------------------------------------
def islands_added(target: Target, rng: np.random.Generator) -> Damaged:
    """Small islands of each structure lie far from the foramina."""
    label = np.pad(target.label, 12)
    moved = target.affine.copy()
    moved[:3, 3] -= target.affine[:3, :3] @ np.full(3, 12.0)
    for _ in range(int(rng.integers(1, 8))):
        corner = [int(rng.integers(0, 8)), int(rng.integers(0, label.shape[1] - 4)), int(rng.integers(0, 8))]
        label[tuple(slice(c, c + int(rng.integers(1, 4))) for c in corner)] = TRAINED[rng.integers(3)].value
    return label, moved


def labels_swapped(target: Target, rng: np.random.Generator) -> Damaged:
    """The structures' values are mixed up."""
    own = [BACKGROUND, *(s.value for s in TRAINED)]
    while True:
        order = [BACKGROUND, *(int(v) for v in rng.permutation(own[1:]))]
        if order != own:
            return np.array(order, dtype=np.uint8)[target.label], target.affine


def one_vertebra_called_the_other(target: Target, rng: np.random.Generator) -> Damaged:
    """Both vertebrae have the same value."""
    one, other = rng.permutation([L4.value, L5.value])
    return np.where(target.label == one, np.uint8(other), target.label), target.affine


def wrong_values(target: Target, rng: np.random.Generator) -> Damaged:
    """Values that mean nothing here."""
    match rng.integers(4):
        case 0:
            return target.label.astype(np.int32) * 10, target.affine
        case 1:
            return target.label.astype(np.float64) + 0.3 * (target.label > 0), target.affine
        case 2:
            return -target.label.astype(np.int16), target.affine
        case _:
            value = TRAINED[rng.integers(len(TRAINED))].value
            return np.where(target.label == value, np.uint8(rng.integers(6, 255)), target.label), target.affine


def other_type(target: Target, rng: np.random.Generator) -> Damaged:
    """The same values in another type."""
    types = (np.int8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64)
    return target.label.astype(types[rng.integers(len(types))]), target.affine


def four_axes(target: Target, rng: np.random.Generator) -> Damaged:
    """A fourth axis of length one."""
    return target.label[..., None], target.affine


def empty(target: Target, rng: np.random.Generator) -> Damaged:
    """Nothing is labelled, or there is a voxel only."""
    label = np.zeros_like(target.label)
    if rng.random() < 0.5:
        label[tuple(n // 2 for n in label.shape)] = L4.value
    return label, target.affine


def no_label(target: Target, rng: np.random.Generator) -> Damaged:
    """Not a label at all: values that are not finite, an affine that is none, two axes, several volumes."""
    match rng.integers(4):
        case 0:
            return np.where(target.label == L4.value, np.nan, target.label), target.affine
        case 1:
            return target.label, np.zeros((4, 4))
        case 2:
            return target.label[0], target.affine
        case _:
            return np.stack([target.label] * 2, axis=-1), target.affine


DAMAGES: Final[tuple[Damage, ...]] = (
    process_gone, process_upper_half_gone, process_upper_quarter_gone, process_tip_bitten, process_worn,
    pedicle_gone, upper_arch_gone, wall_gone, disc_back_gone, disc_half_gone, side_gone, torn,
    voxels_dropped, bite_near_the_foramen, box_cut_out, structure_gone, slices_blank,
    view_ends_in_a_pedicle, view_ends_in_the_process, view_ends_below, view_ends_above, view_cut,
    islands_added, labels_swapped, one_vertebra_called_the_other, wrong_values, other_type, four_axes, empty, no_label,
)  # fmt: skip
