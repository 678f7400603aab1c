"""How unsure a segmentation is of the outline's place, from its probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.anatomy import CHANNELS
from livf.lib.errors import InputError
from livf.lib.foramen.outline import Contour
from livf.lib.foramen.result import Frame, Points, Side, side_sign
from livf.lib.values import Affine, to_index

#: Half the way between these probabilities of background is one SD of a normal boundary (0.16 to 0.84).
_BETWEEN: Final = (0.16, 0.84)
#: Looked at from this far outside the outline to as far inside, mm.
_REACH_MM: Final = 3.0
_STEP_MM: Final = 0.25
#: Share of the spread that moves the whole outline at once; the rest averages out along it. [own] not calibrated yet on
#: labels of the shipped network.
SHARED: Final = 0.25


@dataclass(frozen=True, eq=False)
class Boundary:
    """Probability of background on the image's grid."""

    background: npt.NDArray[np.float32]
    affine: Affine

    def spread_mm(self, frame: Frame, side: Side, borders: tuple[float, float], contour: Contour) -> float:
        """SD of the outline's place as a whole, mm: from how slowly the background's probability rises across it."""
        offsets = np.arange(-_REACH_MM, _REACH_MM + _STEP_MM / 2, _STEP_MM)
        depth = side_sign(side) * np.linspace(*borders, 16)
        points = contour.points[::4] - offsets[:, None, None] * contour.normals[::4]
        grid = np.empty((depth.size, *points.shape[:-1], 3))
        grid[..., 0] = depth[:, None, None]
        grid[..., 1:] = points
        index = np.moveaxis(to_index(self.affine, frame.to_ras(grid)), -1, 0)
        free = ndimage.map_coordinates(self.background, index, order=1, mode="nearest").min(axis=0)
        widths = _rise(free) * _STEP_MM
        return SHARED * float(np.median(widths)) / 2


def _rise(free: Points) -> Points:
    """Samples between the two probabilities, ``(n offsets, n points)`` to ``(n points,)``."""
    rising = np.maximum.accumulate(free, axis=0)
    return np.asarray(((rising > _BETWEEN[0]) & (rising < _BETWEEN[1])).sum(axis=0))


def boundary_of(probabilities: npt.ArrayLike, shape: tuple[int, ...], affine: npt.ArrayLike) -> Boundary:
    """Check and keep what is needed of a network's probabilities.

    Raises:
        InputError: Not one map a channel on the label's grid, or not finite.
    """
    array = np.asarray(probabilities)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if array.shape != (CHANNELS, *shape):
        raise InputError(
            f"the probabilities have the shape {array.shape}, not {(CHANNELS, *shape)}",
            remedy="give those that were made with this label",
        )
    background = array[0].astype(np.float32)
    if not np.isfinite(background).all():
        raise InputError("the probabilities are not finite", remedy="segment the image again")
    return Boundary(background, np.asarray(affine, dtype=np.float64))
