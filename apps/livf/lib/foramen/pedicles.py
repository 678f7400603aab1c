"""Posterior wall and pedicles of one vertebra, and the slab between the pedicles' borders.

All in frame coordinates. The pedicle is looked at in sections parallel to the vertebra's own posterior wall: sections
at a constant A would not see that the vertebra is turned about its axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from livf.lib.anatomy import L4, Structure
from livf.lib.foramen.constants import (
    LEAST_CUT_PEDICLE_MM,
    LOWEST_PEDICLE_MM,
    PEDICLE_SHARE,
    SECTIONS_BEHIND_WALL_MM,
    WALL_HALF_WIDTH_MM,
    WIDEST_PEDICLE_MM,
)
from livf.lib.foramen.level import Level
from livf.lib.foramen.result import Frame, Points, Side, side_sign

#: Grid of the search for the wall: L and A mm.
_WALL_ACROSS: Final = np.arange(-WALL_HALF_WIDTH_MM, WALL_HALF_WIDTH_MM + 0.1, 1.0)
_WALL_STEP: Final = 0.5
_WALL_REACH: Final = (6.0, -34.0)
#: Heights looked at, from the disc: a body is at most 40 mm high.
_HEIGHT_MM: Final = 46.0
#: A gap this long behind the body is the canal, not a vessel's foramen, mm.
_CANAL_MM: Final = 4.0
#: A wall of fewer points than this is none.
_FEWEST_POINTS: Final = 20
#: Grid of the pedicle's sections, mm.
_SECTION_STEP: Final = 1.0
#: Smoothing leans the pedicle's ends: the indicator is steepened again, so that a height of 60 % is where it was.
_SHARP: Final = 4.0
_ACROSS: Final = np.arange(3.0, 45.0, 0.5)


@dataclass(frozen=True, eq=False)
class Wall:
    """The posterior wall of a body as a plane: A = at + by_left * L + by_superior * (S - height).

    Attributes:
        at: A of the wall in its middle, mm.
        by_left: Change of A with L.
        by_superior: Change of A with S.
        height: S of the body's middle, mm.
        low: S of the body's lower rim behind, mm.
        high: S of the upper one.
    """

    at: float
    by_left: float
    by_superior: float
    height: float
    low: float
    high: float

    def anterior(self, left: Points | float, superior: Points | float) -> Points:
        """A of the wall at L and S."""
        return np.asarray(self.at + self.by_left * np.asarray(left) + self.by_superior * (superior - self.height))


@dataclass(frozen=True, eq=False)
class Pedicle:
    """One pedicle.

    Attributes:
        medial: M of its medial border, mm.
        lateral: M of its lateral border, mm.
        height: Its greatest height, mm.
        centre: Its centroid, (L, A, S) mm.
        low: S of its lower border in the middle, mm.
        high: S of its upper border.
        cut: Whether the image ends in it, at the foramen or so that less than most of it is there.
    """

    medial: float
    lateral: float
    height: float
    centre: Points
    low: float
    high: float
    cut: bool


def find_wall(level: Level, frame: Frame, vertebra: Structure) -> Wall | None:
    """Fit the posterior wall of a vertebra's body; None where no body with a canal behind it is found."""
    upwards = 1.0 if vertebra is L4 else -1.0
    heights = upwards * np.arange(-4.0, _HEIGHT_MM, 1.0)
    depths = np.arange(_WALL_REACH[0], _WALL_REACH[1], -_WALL_STEP)
    field = level.fields[vertebra.value]
    # Rows through the body: bone at its middle in most of the strip, in one run of heights.
    middle = int((_WALL_REACH[0] - 0.0) / _WALL_STEP)
    inside = level.grid(field, frame, _WALL_ACROSS, depths[: middle + 1], heights) > 0
    rows = inside.any(axis=1).mean(axis=0) > 0.6
    runs, count = ndimage.label(rows)
    if not count:
        return None
    run = np.flatnonzero(runs == int(np.bincount(runs)[1:].argmax()) + 1)
    # The rims' rounding and osteophytes are not the wall.
    inner = run[3:-3] if run.size > 12 else run
    value = level.grid(field, frame, _WALL_ACROSS, depths, heights[inner]).transpose(0, 2, 1)
    bone = value > 0
    # The wall is the first end of bone, going back from the middle, behind which the canal is free.
    canal = int(_CANAL_MM / _WALL_STEP)
    before = np.cumsum(bone, axis=2)
    ends = bone[:, :, :-canal] & (before[:, :, canal:] == before[:, :, :-canal])
    i, j = np.nonzero(bone[:, :, : middle + 1].any(axis=2) & ends.any(axis=2))
    if i.size < _FEWEST_POINTS:
        return None
    end = ends[i, j].argmax(axis=1)
    above, below = (value[i, j, k].astype(np.float64) for k in (end, end + 1))
    anterior = depths[end] - _WALL_STEP * above / np.maximum(above - below, 1e-6)
    low, high = sorted((float(heights[run[0]]), float(heights[run[-1]])))
    return _fit(_WALL_ACROSS[i], heights[inner][j], anterior, (low, high))


def _fit(left: Points, superior: Points, anterior: Points, rims: tuple[float, float]) -> Wall | None:
    """Robust plane: least squares, four times, each time without what lies far off."""
    height = (rims[0] + rims[1]) / 2
    keep = np.abs(anterior - np.median(anterior)) < 5
    design = np.stack([np.ones_like(left), left, superior - height], axis=1)
    solution: Points = np.zeros(3)
    for _ in range(4):
        if keep.sum() < _FEWEST_POINTS:
            return None
        solution = np.asarray(np.linalg.lstsq(design[keep], anterior[keep], rcond=None)[0])
        rest = anterior - design @ solution
        keep = np.abs(rest) < max(2.5 * float(np.median(np.abs(rest[keep]))) * 1.48, 0.5)
    return Wall(float(solution[0]), float(solution[1]), float(solution[2]), height, *rims)


def find_pedicle(level: Level, frame: Frame, vertebra: Structure, wall: Wall, side: Side) -> Pedicle | None:
    """Find one pedicle; None where the sections behind the wall hold none."""
    sign = side_sign(side)
    behind = np.arange(SECTIONS_BEHIND_WALL_MM[0], SECTIONS_BEHIND_WALL_MM[1] + 0.1, _SECTION_STEP)
    heights = np.arange(wall.low - 6.0, wall.high + 8.0, 0.5)
    across, superior = np.meshgrid(_ACROSS, heights, indexing="ij")
    slope = np.sqrt(1 + wall.by_left**2 + wall.by_superior**2)
    anterior = wall.anterior(sign * across, superior)
    grid = np.stack([np.stack([sign * across, anterior - depth * slope, superior], axis=-1) for depth in behind])
    value = level.sample(level.fields[vertebra.value], frame, grid)
    bone = value > 0
    regions, count = ndimage.label(bone)
    if not count:
        return None
    # The pedicle is the part that reaches through most sections; the arch's lower end may show in the last ones.
    near = regions[:, : int((30 - _ACROSS[0]) / 0.5)]
    sizes = np.bincount(near.ravel(), minlength=count + 1)[1:]
    own = regions == int(sizes.argmax()) + 1
    for length in ((1, 5, 1), (1, 1, 5)):
        own = ndimage.binary_dilation(own, np.ones(length, dtype=bool))
    amount = np.where(own, np.clip(_SHARP * value + 0.5, 0, 1), 0)
    height = amount.sum(axis=2).mean(axis=0) * 0.5
    borders = _borders(height)
    if borders is None:
        return None
    medial, lateral, greatest = borders
    inside = (medial <= _ACROSS) & (lateral >= _ACROSS)
    weight = amount * inside[None, :, None]
    held = weight > 0
    centre = np.asarray((weight[held][:, None] * grid[held]).sum(axis=0) / weight.sum())
    middle = weight.sum(axis=(0, 1))
    filled = heights[middle > 0.5 * middle.max()]
    mine = grid[own & inside[None, :, None] & bone]
    beyond = mine[~level.in_image(frame, mine)]
    # The end away from the disc bounds no foramen: the image may cut it where most of the pedicle is there.
    upwards = 1.0 if vertebra is L4 else -1.0
    away = upwards * (beyond[:, 2] - centre[2]) > 0
    cut = bool((~away).any() or (beyond.size and greatest < LEAST_CUT_PEDICLE_MM))
    return Pedicle(medial, lateral, greatest, centre, float(filled[0]), float(filled[-1]), cut)


def _borders(height: Points) -> tuple[float, float, float] | None:
    """Medial border, lateral border and greatest height of a pedicle, from its height at each M."""
    reach = round(WIDEST_PEDICLE_MM / 0.5)
    begins = np.flatnonzero(height > 0.5 * LOWEST_PEDICLE_MM)
    if not begins.size:
        return None
    greatest = float(height[begins[0] : begins[0] + reach + 1].max())
    if greatest < LOWEST_PEDICLE_MM:
        return None
    limit = PEDICLE_SHARE * greatest
    first = int(np.flatnonzero(height >= limit)[0])
    medial = _crossing(height, first - 1, limit) if first else float(_ACROSS[0])
    below = np.flatnonzero(height[first:] < limit)
    lateral = _crossing(height, first + int(below[0]) - 1, limit) if below.size else float(_ACROSS[-1])
    return medial, min(lateral, medial + WIDEST_PEDICLE_MM), greatest


def _crossing(height: Points, index: int, limit: float) -> float:
    """M between samples ``index`` and ``index + 1`` where the height is ``limit``."""
    a, b = float(height[index]), float(height[index + 1])
    return float(_ACROSS[index] + 0.5 * (limit - a) / (b - a if b != a else 1.0))
