"""What flows between the rooms of livf: images, segmentations, and the arithmetic of their affines.

World space is RAS+ in millimetres, as in NIfTI: x grows to the patient's right, y to the front, z to the head. An
affine maps voxel indices ``(i, j, k)`` of an array to that space. Left and right always come from the affine, never
from the order of an array.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Affine = npt.NDArray[np.float64]
LevelStatus = Literal["found", "given", "assumed", "unclear"]


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D image.

    Attributes:
        array: Voxels, shape ``(I, J, K)``, any real dtype, finite.
        affine: 4x4, voxel index to RAS+ mm.
        source: Where it came from (a path, a series), for messages and provenance.
    """

    array: Array
    affine: Affine
    source: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each array axis."""
        i, j, k = self.array.shape
        return i, j, k

    @property
    def spacing(self) -> npt.NDArray[np.float64]:
        """Voxel size along each array axis, mm."""
        return spacing(self.affine)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A label on its image's own grid.

    Attributes:
        label: uint8, shape ``(I, J, K)``, values of :mod:`livf.lib.anatomy`.
        affine: 4x4, voxel index to RAS+ mm; the image's own.
        source: Where the image came from.
        level_status: How sure it is that this is L4-L5 (see the measurement document).
        model: Version of the network, empty for a label drawn by hand.
        probabilities: float16, shape ``(C, I, J, K)`` (background and trained structures), or None when not asked for.
        warnings: Reason codes a reader should know of.
    """

    label: npt.NDArray[np.uint8]
    affine: Affine
    source: str = ""
    level_status: LevelStatus = "given"
    model: str = ""
    probabilities: npt.NDArray[np.float16] | None = None
    warnings: tuple[str, ...] = field(default=())


def spacing(affine: Affine) -> npt.NDArray[np.float64]:
    """Voxel size along each array axis in mm: the lengths of the affine's columns."""
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0), dtype=np.float64)


def voxel_volume(affine: Affine) -> float:
    """Volume of a voxel in mm³."""
    return abs(float(np.linalg.det(affine[:3, :3])))


def to_world(affine: Affine, index: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Map voxel indices, shape ``(..., 3)``, to RAS+ mm."""
    points = np.asarray(index, dtype=np.float64)
    return np.asarray(points @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64)


def to_index(affine: Affine, world: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Map RAS+ mm, shape ``(..., 3)``, to (fractional) voxel indices."""
    points = np.asarray(world, dtype=np.float64) - affine[:3, 3]
    return np.asarray(points @ np.linalg.inv(affine[:3, :3]).T)
