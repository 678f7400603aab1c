"""The label made ready: canonical orientation, cropped, without islands, as smooth functions to sample.

Partial voxels. A voxel belongs to a structure when its centre does, so the surface lies anywhere between the last
centre inside and the first outside. A structure's indicator (1 inside, 0 outside) is smoothed with a Gaussian of a
fraction of a voxel, and its surface is where the smoothed indicator is one half: a flat surface at any angle then
lies, on the average over its voxel steps, where it was sampled from, with no half-voxel bias. What the steps and the
smoothing still do to a projection is mended where the outline is known (:mod:`livf.lib.foramen.refine`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.anatomy import BACKGROUND, TRAINED, Structure
from livf.lib.errors import InputError
from livf.lib.foramen.constants import ISLAND_SHARE, SMALLEST_STRUCTURE_MM3, SMOOTHING_VOXELS
from livf.lib.foramen.result import Frame, Points
from livf.lib.values import Affine, to_world, voxel_volume
from livf.lib.values import spacing as spacing_of

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

#: Voxels kept round the structures, so that smoothing does not meet the crop's edge.
_MARGIN: Final = 4


@dataclass(frozen=True, eq=False)
class Level:
    """A label ready to be measured.

    Attributes:
        label: uint8, cropped, axes nearest to RAS, islands removed.
        affine: Its affine.
        low: Index of the first voxel that the image really has, in the crop (the crop is padded beyond the image).
        high: Index of the last one.
        fields: Smooth indicator minus one half of each structure by value: positive inside.
        union: The same for all structures together.
        missing: Structures that are not there.
        holes: Voxels of background with at most one neighbour of background, as a share of the structures' voxels.
        parts: Large separate parts of a structure, removed from the label: structure and voxel centres RAS mm.
    """

    label: npt.NDArray[np.uint8]
    affine: Affine
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    fields: dict[int, Floats]
    union: Floats
    missing: tuple[Structure, ...]
    holes: float
    parts: tuple[tuple[Structure, Points], ...]

    @property
    def spacing(self) -> Points:
        """Voxel size along the axes nearest to R, A and S, mm."""
        return spacing_of(self.affine)

    def centres(self, structure: Structure) -> Points:
        """RAS mm of a structure's voxel centres, ``(N, 3)``."""
        return to_world(self.affine, np.argwhere(self.label == structure.value))

    def index(self, frame: Frame, las: npt.ArrayLike) -> Points:
        """Fractional voxel indices ``(..., 3)`` of frame coordinates ``(L, A, S)``."""
        turn, base = self._to_index(frame)
        return np.asarray(np.asarray(las, dtype=np.float64) @ turn.T + base)

    def _to_index(self, frame: Frame) -> tuple[Points, Points]:
        """Matrix and offset from frame coordinates to voxel indices: one product for the many points of a level."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        return inverse @ frame.axes.T, inverse @ (frame.origin - self.affine[:3, 3])

    def sample(self, field: Floats, frame: Frame, las: npt.ArrayLike) -> Floats:
        """A field at frame coordinates ``(..., 3)``, linear between voxels."""
        index = self.index(frame, las)
        return np.asarray(ndimage.map_coordinates(field, np.moveaxis(index, -1, 0), order=1, mode="nearest"))

    def grid(self, field: Floats, frame: Frame, left: Points, anterior: Points, superior: Points) -> Floats:
        """A field on the grid of three coordinate vectors, ``(nL, nA, nS)``, linear between voxels."""
        turn, base = self._to_index(frame)
        index = (
            base[:, None, None, None]
            + turn[:, 0, None, None, None] * left[:, None, None]
            + turn[:, 1, None, None, None] * anterior[:, None]
            + turn[:, 2, None, None, None] * superior
        )
        return np.asarray(ndimage.map_coordinates(field, index, order=1, mode="nearest"))

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
    cropped, where, low, high = _crop(array, turned)
    cropped, missing, parts = _without_islands(cropped, where)
    # Again, since far islands are gone: the crop must not depend on them.
    cropped, where, start, _ = _crop(cropped, where)
    fields = {}
    union = np.full(cropped.shape, -0.5, dtype=np.float32)
    for structure in TRAINED:
        fields[structure.value] = indicator(cropped == structure.value)
        union += fields[structure.value] + np.float32(0.5)
    return Level(cropped, where, low + start, high + start, fields, union, missing, _holes(cropped > 0), parts)


def _checked(label: npt.ArrayLike, affine: npt.ArrayLike) -> tuple[npt.NDArray[np.uint8], Affine]:
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
    clean = np.full(array.shape, BACKGROUND, dtype=np.uint8)
    for structure in TRAINED:
        clean[array == structure.value] = structure.value
    return clean, matrix


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


def _crop(
    array: npt.NDArray[np.uint8], affine: Affine
) -> tuple[npt.NDArray[np.uint8], Affine, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The structures' box with a margin, padded with background where the image ends."""
    shape = np.asarray(array.shape)
    if not array.any():
        start, stop = np.zeros(3, dtype=np.int64), np.ones(3, dtype=np.int64)
    else:
        found = ndimage.find_objects((array > 0).astype(np.uint8))[0]
        start = np.array([part.start for part in found]) - _MARGIN
        stop = np.array([part.stop for part in found]) + _MARGIN
    inner_start, inner_stop = np.maximum(start, 0), np.minimum(stop, shape)
    inner = array[tuple(slice(a, b) for a, b in zip(inner_start, inner_stop, strict=True))]
    padded = np.pad(inner, list(zip(inner_start - start, stop - inner_stop, strict=True)))
    moved = affine.copy()
    moved[:3, 3] = to_world(affine, start)
    return padded, moved, -start, shape - 1 - start


def _without_islands(
    label: npt.NDArray[np.uint8], affine: Affine
) -> tuple[npt.NDArray[np.uint8], tuple[Structure, ...], tuple[tuple[Structure, Points], ...]]:
    """Each structure's largest part; what is missing; and the other parts that are too large for islands."""
    voxel = voxel_volume(affine)
    label = label.copy()
    missing: list[Structure] = []
    parts: list[tuple[Structure, Points]] = []
    for structure in TRAINED:
        mask = label == structure.value
        regions, count = ndimage.label(mask)
        sizes = np.bincount(regions.ravel(), minlength=count + 1)[1:]
        if not count or sizes.max() * voxel < SMALLEST_STRUCTURE_MM3:
            missing.append(structure)
            label[mask] = BACKGROUND
            continue
        keep = int(sizes.argmax()) + 1
        for region in np.flatnonzero(sizes >= ISLAND_SHARE * sizes.max()) + 1:
            if region != keep:
                parts.append((structure, to_world(affine, np.argwhere(regions == region))))
        label[mask & (regions != keep)] = BACKGROUND
    return label, tuple(missing), tuple(parts)


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
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), SMOOTHING_VOXELS, truncate=3.0, mode="nearest")
    return np.asarray(smooth - np.float32(0.5))
