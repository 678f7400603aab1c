"""The label made ready: canonical orientation, cropped, without islands, as smooth functions to sample.

Partial voxels. A voxel belongs to a structure when its centre does, so the surface lies anywhere between the last
centre inside and the first outside. A structure's indicator (1 inside, 0 outside) is smoothed with a Gaussian of a
fraction of a voxel, and its surface is where the smoothed indicator is one half: a flat surface at any angle then
lies, on the average over its voxel steps, where it was sampled from, with no half-voxel bias. What the steps and the
smoothing still do to a projection is mended where the outline is known (:mod:`livf.lib.foramen.refine`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.anatomy import BACKGROUND, TRAINED, Structure
from livf.lib.errors import InputError
from livf.lib.foramen.constants import ISLAND_SHARE, SMALLEST_STRUCTURE_MM3, SMOOTHING_VOXELS
from livf.lib.foramen.result import Frame, Points
from livf.lib.values import Affine, Array, to_world, voxel_volume
from livf.lib.values import spacing as spacing_of

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]
Box = tuple[slice, ...]

#: Smoothing reaches this many SD.
_TRUNCATE: Final = 3.0
#: Voxels that a smooth indicator reaches beyond its structure, and one more that is free for certain.
_REACH: Final = int(_TRUNCATE * SMOOTHING_VOXELS + 0.5) + 1
#: Voxels kept round the structures, so that smoothing does not meet the crop's edge.
_MARGIN: Final = _REACH + 1
#: Value of a smooth indicator where there is nothing.
_FREE: Final = np.float32(-0.5)


@dataclass(frozen=True, eq=False)
class Field:
    """A smooth indicator minus one half: positive inside, zero on the surface, -0.5 far off.

    Attributes:
        values: The part of the level's crop that is not free for certain; its outermost voxels are free.
        start: Index of its first voxel in the crop.
    """

    values: Floats
    start: Index


@dataclass(frozen=True, eq=False)
class Level:
    """A label ready to be measured.

    Attributes:
        label: uint8, cropped, axes nearest to RAS, islands removed.
        affine: Its affine.
        low: Index of the first voxel that the image really has, in the crop (the crop is padded beyond the image).
        high: Index of the last one.
        fields: Smooth indicator of each structure by value.
        union: The same for all structures together.
        missing: Structures that are not there.
        holes: Voxels of background with at most one neighbour of background, as a share of the structures' voxels.
        parts: Large separate parts of a structure, removed from the label: structure and voxel centres RAS mm.
    """

    label: npt.NDArray[np.uint8]
    affine: Affine
    low: Index
    high: Index
    fields: dict[int, Field]
    union: Field
    missing: tuple[Structure, ...]
    holes: float
    parts: tuple[tuple[Structure, Points], ...]

    @property
    def spacing(self) -> Points:
        """Voxel size along the axes nearest to R, A and S, mm."""
        return spacing_of(self.affine)

    def centres(self, structure: Structure) -> Points:
        """RAS mm of a structure's voxel centres, ``(N, 3)``."""
        return self._centres[structure.value]

    @cached_property
    def _centres(self) -> dict[int, Points]:
        """By label value; asked for many times, found once."""
        found = {}
        for structure in TRAINED:
            # Nothing of a structure lies outside its field.
            field = self.fields[structure.value]
            box = tuple(slice(a, a + n) for a, n in zip(field.start, field.values.shape, strict=True))
            index = np.argwhere(self.label[box] == structure.value) + field.start
            found[structure.value] = to_world(self.affine, index)
        return found

    def index(self, frame: Frame, las: npt.ArrayLike) -> Points:
        """Fractional voxel indices ``(..., 3)`` of frame coordinates ``(L, A, S)``."""
        turn, base = self.to_index(frame)
        return np.asarray(np.asarray(las, dtype=np.float64) @ turn.T + base)

    def to_index(self, frame: Frame) -> tuple[Points, Points]:
        """Matrix and offset from frame coordinates to voxel indices: one product for the many points of a level."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        return inverse @ frame.axes.T, inverse @ (frame.origin - self.affine[:3, 3])

    def grid_index(self, frame: Frame, left: Points, anterior: Points, superior: Points) -> Points:
        """Fractional voxel indices ``(3, nL, nA, nS)`` of the grid of three coordinate vectors."""
        turn, base = self.to_index(frame)
        return np.asarray(
            base[:, None, None, None]
            + turn[:, 0, None, None, None] * left[:, None, None]
            + turn[:, 1, None, None, None] * anterior[:, None]
            + turn[:, 2, None, None, None] * superior
        )

    def sample(self, field: Field, frame: Frame, las: npt.ArrayLike) -> Floats:
        """A field at frame coordinates ``(..., 3)``, linear between voxels."""
        index = self.index(frame, las) - field.start
        return np.asarray(ndimage.map_coordinates(field.values, np.moveaxis(index, -1, 0), order=1, mode="nearest"))

    def grid(self, field: Field, frame: Frame, left: Points, anterior: Points, superior: Points) -> Floats:
        """A field on the grid of three coordinate vectors, ``(nL, nA, nS)``, linear between voxels."""
        vectors = (left, anterior, superior)
        box = self._within(field, frame, vectors)
        index = self.grid_index(frame, *(vector[part] for vector, part in zip(vectors, box, strict=True)))
        index -= field.start[:, None, None, None]
        value = np.full([len(vector) for vector in vectors], _FREE)
        ndimage.map_coordinates(field.values, index, output=value[box], order=1, mode="nearest")
        return value

    def _within(self, field: Field, frame: Frame, vectors: tuple[Points, Points, Points]) -> Box:
        """The part of a grid of frame coordinates outside which a field is free."""
        last = field.start + field.values.shape - 1
        corners = np.array(list(product(*zip(field.start, last, strict=True))))
        las = frame.to_frame(to_world(self.affine, corners))
        box = []
        for vector, low, high in zip(vectors, las.min(axis=0), las.max(axis=0), strict=True):
            inside = np.flatnonzero((vector >= low) & (vector <= high))
            box.append(slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0))
        return tuple(box)

    def nearest(self, index: Points) -> npt.NDArray[np.uint8]:
        """The label at fractional voxel indices ``(3, ...)``; background beyond the crop."""
        # The crop's outermost voxels are background, and so is what lies beyond them.
        i, j, k = (np.clip(np.rint(part), 0, n - 1) for part, n in zip(index, self.label.shape, strict=True))
        _, rows, columns = self.label.shape
        return np.asarray(self.label.ravel()[((i * rows + j) * columns + k).astype(np.intp)])

    def in_image(self, frame: Frame, las: npt.ArrayLike) -> Bools:
        """Which frame coordinates lie in the image, one voxel or more from its edge."""
        index = self.index(frame, las)
        return np.asarray(((index >= self.low + 1) & (index <= self.high - 1)).all(axis=-1))


def prepare(label: npt.ArrayLike, affine: npt.ArrayLike) -> Level:
    """Bring a label to canonical orientation, crop it and smooth it.

    Args:
        label: ``(I, J, K)`` or with one trailing axis of length 1; any real dtype. Values of no trained structure
            count as background.
        affine: 4x4, voxel index to RAS mm.

    Raises:
        InputError: Not a 3D label, not finite numbers, or an affine that is none.
    """
    array, matrix = _checked(label, affine)
    order, flips = _to_ras(matrix)
    array = np.transpose(array, order)
    turned = matrix.copy()
    turned[:3, :3] = matrix[:3, order]
    for axis, flip in enumerate(flips):
        if flip:
            array = np.flip(array, axis)
            turned[:3, 3] += turned[:3, axis] * (array.shape[axis] - 1)
            turned[:3, axis] *= -1
    clean, at = _structures(array)
    cropped, where, start = _crop(clean, turned, at)
    cropped, missing, parts = _without_islands(cropped, where)
    # Again, since far islands are gone: the crop must not depend on them.
    cropped, where, further = _crop(cropped, where, np.zeros(3, dtype=np.int64))
    start = start + further
    fields, union = _fields(cropped)
    low, high = -start, np.asarray(array.shape) - 1 - start
    return Level(cropped, where, low, high, fields, union, missing, _holes(cropped > 0), parts)


def _checked(label: npt.ArrayLike, affine: npt.ArrayLike) -> tuple[Array, Affine]:
    array = np.asarray(label)
    if array.dtype.kind not in "buif":
        raise InputError("the label holds no numbers", remedy="give a label map with integer values")
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(f"the label has the shape {array.shape}, not three axes", remedy="give one 3D label map")
    try:
        matrix = np.array(affine, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("the affine holds no numbers", remedy="give a 4x4 matrix, voxel index to RAS mm") from error
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError("the affine is no 4x4 matrix of finite numbers", remedy="give voxel index to RAS mm")
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-6 * np.prod(np.maximum(spacing_of(matrix), 1e-9)) or not np.all(
        spacing_of(matrix) > 0
    ):
        raise InputError("the affine is singular", remedy="check the image's orientation and voxel size")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError("the label holds values that are not finite", remedy="give a label map with integer values")
    return array, matrix


def _to_ras(affine: Affine) -> tuple[list[int], list[bool]]:
    """Which array axis runs nearest to R, A and S, and whether against it."""
    directions = affine[:3, :3] / spacing_of(affine)
    best, order = -1.0, [0, 1, 2]
    for permutation in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]):
        fit = float(sum(abs(directions[world, axis]) for world, axis in enumerate(permutation)))
        # The margin keeps 45 degree ties from depending on rounding.
        if fit > best + 1e-9:
            best, order = fit, permutation
    return order, [bool(directions[world, axis] < 0) for world, axis in enumerate(order)]


def _structures(array: Array) -> tuple[npt.NDArray[np.uint8], Index]:
    """The structures of an array of any dtype, in the box of what it holds; and the index of the box's first voxel."""
    box = _box(array != BACKGROUND)
    inner = array[box]
    clean = np.full(inner.shape, BACKGROUND, dtype=np.uint8)
    for structure in TRAINED:
        clean[inner == structure.value] = structure.value
    return clean, np.array([part.start for part in box])


def _box(mask: Bools) -> Box:
    """The box of what is in a mask; the first voxel where there is nothing."""
    box: list[slice] = []
    for axis in range(3):
        inside = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        part = slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 1)
        box.append(part)
        mask = mask[(slice(None),) * axis + (part,)]
    return tuple(box)


def _boxes(label: npt.NDArray[np.uint8]) -> dict[Structure, Box]:
    """The box of each structure that is there."""
    found = ndimage.find_objects(label, max_label=max(structure.value for structure in TRAINED))
    return {structure: box for structure in TRAINED if (box := found[structure.value - 1]) is not None}


def _grown(box: Box, by: int) -> Box:
    return tuple(slice(part.start - by, part.stop + by) for part in box)


def _crop(array: npt.NDArray[np.uint8], affine: Affine, at: Index) -> tuple[npt.NDArray[np.uint8], Affine, Index]:
    """The structures' box with a margin of background.

    Args:
        array: What is cropped.
        affine: Of the grid that ``array`` lies on.
        at: Index of its first voxel there.

    Returns:
        The crop, its affine, and the index of its first voxel on the grid (negative where the image ends).
    """
    box = _box(array > BACKGROUND)
    start = at + [part.start for part in box] - _MARGIN
    moved = affine.copy()
    moved[:3, 3] = to_world(affine, start)
    return np.pad(array[box], _MARGIN, constant_values=BACKGROUND), moved, start


def _without_islands(
    label: npt.NDArray[np.uint8], affine: Affine
) -> tuple[npt.NDArray[np.uint8], tuple[Structure, ...], tuple[tuple[Structure, Points], ...]]:
    """Each structure's largest part; what is missing; and the other parts that are too large for islands."""
    voxel = voxel_volume(affine)
    label = label.copy()
    missing = set(TRAINED)
    parts: list[tuple[Structure, Points]] = []
    for structure, box in _boxes(label).items():
        regions, sizes = _regions(label[box] == structure.value)
        keep = int(sizes.argmax())
        if sizes[keep] * voxel < SMALLEST_STRUCTURE_MM3:
            label[box][regions > 0] = BACKGROUND
            continue
        missing.remove(structure)
        start = [part.start for part in box]
        for region in np.flatnonzero(sizes >= ISLAND_SHARE * sizes[keep]):
            if region != keep:
                parts.append((structure, to_world(affine, np.argwhere(regions == region + 1) + start)))
        if sizes.size > 1:
            label[box][(regions > 0) & (regions != keep + 1)] = BACKGROUND
    return label, tuple(structure for structure in TRAINED if structure in missing), tuple(parts)


def _regions(mask: Bools) -> tuple[npt.NDArray[np.int32], Index]:
    """The parts of a mask, counted from 1, and how many voxels each has."""
    regions, _ = ndimage.label(mask)
    return regions, np.bincount(regions[mask])[1:]


def _fields(label: npt.NDArray[np.uint8]) -> tuple[dict[int, Field], Field]:
    """The smooth indicators of a crop's structures, and of all together."""
    nowhere = np.zeros(3, dtype=np.int64)
    fields = {structure.value: Field(np.full((1, 1, 1), _FREE), nowhere) for structure in TRAINED}
    union = np.full(label.shape, _FREE)
    for structure, own in _boxes(label).items():
        box = _grown(own, _REACH)
        values = indicator(label[box] == structure.value)
        union[box] += values - _FREE
        fields[structure.value] = Field(values, np.array([part.start for part in box]))
    return fields, Field(union, nowhere)


def _holes(mask: Bools) -> float:
    """Voxels outside a mask with five or six of their six neighbours in it, as a share of its voxels."""
    inside = mask.astype(np.uint8)
    neighbours = np.zeros(mask.shape, dtype=np.uint8)
    for axis in range(3):
        along, count = np.moveaxis(inside, axis, 0), np.moveaxis(neighbours, axis, 0)
        count[1:] += along[:-1]
        count[:-1] += along[1:]
    return float(((neighbours >= 5) & ~mask).sum() / max(int(mask.sum()), 1))


def indicator(mask: Bools) -> Floats:
    """Smoothed indicator minus one half: positive inside, zero on the surface."""
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), SMOOTHING_VOXELS, truncate=_TRUNCATE, mode="nearest")
    return np.asarray(smooth + _FREE)
