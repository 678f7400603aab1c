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
#: Share of the spread that moves the whole outline at once (FA); the rest averages out along it. And the share that
#: each end of a length is off by: FW begins in the groove between wall and disc, which a network rounds off. [own]
#: calibrated on the shipped network's labels of phantoms (``docs/foramen.md``).
SHARED: Final = 0.20
OF_LENGTH: Final = {"height_mm": 0.4, "width_mm": 1.1}
OF_OTHER_LENGTH: Final = 0.5
#: The ends of a length are as unsure as the boundary within this distance of them, mm.
_NEAR_MM: Final = 2.0


@dataclass(frozen=True, eq=False)
class Spread:
    """SD of the boundary's place at points of an outline, mm.

    Attributes:
        points: ``(N, 2)`` (A, S) mm.
        sd: ``(N,)`` mm.
    """

    points: Points
    sd: Points

    @property
    def typical(self) -> float:
        """Median along the outline, mm."""
        return float(np.median(self.sd))

    def near(self, place: tuple[float, float]) -> float:
        """Mean round a place, mm; the typical one where no point is near."""
        close = np.linalg.norm(self.points - np.asarray(place), axis=1) < _NEAR_MM
        return float(self.sd[close].mean()) if close.any() else self.typical

    def of_length(self, name: str, ends: tuple[tuple[float, float], tuple[float, float]]) -> float:
        """SD of a length between two places of the outline, mm."""
        return OF_LENGTH[name] * float(np.hypot(self.near(ends[0]), self.near(ends[1])))


@dataclass(frozen=True, eq=False)
class Boundary:
    """Probability of background on the image's grid."""

    background: npt.NDArray[np.float32]
    affine: Affine

    def spread(self, frame: Frame, side: Side, borders: tuple[float, float], contour: Contour) -> Spread:
        """SD of the outline's place at every fourth point: from how slowly background rises across it."""
        offsets = np.arange(-_REACH_MM, _REACH_MM + _STEP_MM / 2, _STEP_MM)
        depth = side_sign(side) * np.linspace(*borders, 16)
        at = contour.points[::4]
        points = at - offsets[:, None, None] * contour.normals[::4]
        grid = np.empty((depth.size, *points.shape[:-1], 3))
        grid[..., 0] = depth[:, None, None]
        grid[..., 1:] = points
        index = np.moveaxis(to_index(self.affine, frame.to_ras(grid)), -1, 0)
        free = ndimage.map_coordinates(self.background, index, order=1, mode="nearest").min(axis=0)
        return Spread(at, _rise(free) * _STEP_MM / 2)


def _rise(free: Points) -> Points:
    """Samples between the two probabilities, ``(n offsets, n points)`` to ``(n points,)``, linear between samples."""
    rising = np.maximum.accumulate(free, axis=0)
    steps = np.diff(rising, axis=0)
    low, high = _BETWEEN
    between = np.clip(rising[1:], low, high) - np.clip(rising[:-1], low, high)
    return np.asarray(
        np.where(steps > 0, between / np.maximum(steps, 1e-9), (rising[1:] > low) & (rising[1:] < high)).sum(axis=0)
    )


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
