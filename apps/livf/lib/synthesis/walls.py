"""The posterior wall of an implicit vertebra: the plane that fits the back of its body's bone.

A body has a waist, so its bone lies in front of the plane that its rims define. Sections "behind the posterior wall"
are behind bone, as a surgeon or a label sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.synthesis.implicit import Pose

Vector = npt.NDArray[np.float64]

#: Half-size of the part of the wall that is fitted: inside any canal, and clear of the rims, mm.
_HALF_WIDTH_MM: Final = 8.0
_HALF_HEIGHT_MM: Final = 9.0
_STEP_MM: Final = 1.0
#: How far behind and in front of the nominal wall bone is looked for, and how finely, mm.
_BEHIND_MM: Final = 6.0
_FRONT_MM: Final = 8.0
_FINE_MM: Final = 0.25
#: Points further than this from the plane, or than so many robust SD, are no wall (the arch's root, a spur).
_FARTHEST_MM: Final = 0.5
_ROBUST_SD: Final = 2.5
_ROUNDS: Final = 4


def posterior_wall(distance: Callable[[Vector], Vector], nominal: Pose) -> Pose:
    """Fit the plane of a body's posterior wall.

    Args:
        distance: The vertebra's signed function at RAS mm points ``(..., 3)``, negative inside.
        nominal: Where the wall should be: origin on it, at mid-height; anterior into the body.

    Returns:
        The frame of the fitted plane, its origin straight in front of or behind the nominal one.
    """
    across = np.arange(-_HALF_WIDTH_MM, _HALF_WIDTH_MM + _STEP_MM / 2, _STEP_MM)
    up = np.arange(-_HALF_HEIGHT_MM, _HALF_HEIGHT_MM + _STEP_MM / 2, _STEP_MM)
    left, height = (axis.ravel() for axis in np.meshgrid(across, up, indexing="ij"))
    # From inside the body backwards: the first free sample ends the body, whatever of the arch lies behind it.
    depth = np.arange(_FRONT_MM, -_BEHIND_MM - _FINE_MM / 2, -_FINE_MM)
    points = nominal.to_world(np.stack(np.broadcast_arrays(left[:, None], depth, height[:, None]), axis=-1))
    value = distance(points)
    ends = (value[:, :-1] < 0) & (value[:, 1:] >= 0)
    rows = np.flatnonzero(ends.any(axis=1))
    first = ends[rows].argmax(axis=1)
    inside, outside = value[rows, first], value[rows, first + 1]
    wall = depth[first] - _FINE_MM * inside / (inside - outside)
    plane = np.stack([np.ones(rows.size), left[rows], height[rows]], axis=1)
    kept = np.abs(wall - np.median(wall)) < _FARTHEST_MM * 8
    for _ in range(_ROUNDS):
        fit = np.linalg.lstsq(plane[kept], wall[kept], rcond=None)[0]
        off = np.abs(wall - plane @ fit)
        kept = off < max(_ROBUST_SD * 1.4826 * float(np.median(off[kept])), _FARTHEST_MM)
    anterior = nominal.anterior - fit[1] * nominal.left - fit[2] * nominal.superior
    anterior = anterior / np.linalg.norm(anterior)
    sideways = nominal.left - (nominal.left @ anterior) * anterior
    sideways = sideways / np.linalg.norm(sideways)
    superior = nominal.superior - (nominal.superior @ anterior) * anterior - (nominal.superior @ sideways) * sideways
    return Pose(nominal.origin + fit[0] * nominal.anterior, sideways, anterior, superior / np.linalg.norm(superior))
