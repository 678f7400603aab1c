"""Bringing an image's axes into one order: (superior, right, anterior), by turning the array, never by interpolation.

An oblique image keeps its own axes; each goes to the nearest of the three. The paper's crop is then exact on the
paper's grid, and all 48 orders of one image become the same array, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from livf.lib.values import Affine, Volume

Voxel = TypeVar("Voxel", bound=np.generic)
#: World axis (R, A, S = 0, 1, 2) of each axis of the network's grid.
_WORLD = (2, 0, 1)


@dataclass(frozen=True)
class Orientation:
    """How the array of an image is turned into network order.

    Attributes:
        axes: Axis of the image that becomes each axis (superior, right, anterior).
        flipped: Whether it runs the other way round there.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @classmethod
    def of(cls, affine: Affine) -> Orientation:
        """The turning that brings the axes of an affine nearest to (superior, right, anterior)."""
        from nibabel import orientations

        library: Any = orientations  # has no types
        found = library.io_orientation(affine)  # for each image axis: world axis, direction
        axes = [int(np.flatnonzero(found[:, 0] == world)[0]) for world in _WORLD]
        flips = [bool(found[axis, 1] < 0) for axis in axes]
        return cls((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))

    def turn(self, array: npt.NDArray[Voxel]) -> npt.NDArray[Voxel]:
        """A view of an image's array (its last three axes) in network order."""
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.axes))
        return np.flip(turned, self._flipped_axes(lead))

    def back(self, array: npt.NDArray[Voxel]) -> npt.NDArray[Voxel]:
        """The inverse of :meth:`turn`, as a contiguous array."""
        lead = array.ndim - 3
        straight = np.flip(array, self._flipped_axes(lead))
        inverse = np.argsort(self.axes)
        return np.ascontiguousarray(straight.transpose(*range(lead), *(lead + axis for axis in inverse)))

    def _flipped_axes(self, lead: int) -> tuple[int, ...]:
        return tuple(lead + axis for axis, flip in enumerate(self.flipped) if flip)

    def turn_affine(self, affine: Affine, shape: tuple[int, int, int]) -> Affine:
        """The affine of the turned array of an image of ``shape``."""
        turned = affine.copy()
        for column, (axis, flip) in enumerate(zip(self.axes, self.flipped, strict=True)):
            turned[:3, column] = -affine[:3, axis] if flip else affine[:3, axis]
            if flip:
                turned[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
        return turned


def canonical(volume: Volume) -> tuple[Volume, Orientation]:
    """An image in network order (a view of the same voxels), and how it was turned."""
    orientation = Orientation.of(volume.affine)
    turned = orientation.turn(volume.array)
    return Volume(turned, orientation.turn_affine(volume.affine, volume.shape), volume.source), orientation
