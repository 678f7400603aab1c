"""Heights of the disc between the endplates."""

from __future__ import annotations

from typing import Final

import numpy as np

from livf.lib.anatomy import DISC
from livf.lib.foramen.frame import Landmarks
from livf.lib.foramen.level import Level
from livf.lib.foramen.result import DiscHeight

#: Half-width of the strip in the middle where heights are read, and its step, mm. [own]
_HALF_WIDTH: Final = 6.0
_STEP: Final = 0.5
#: Where front, middle and back lie: share of the disc's depth from behind. The rims themselves are rounded. [own]
_SHARES: Final = {"anterior": 0.85, "middle": 0.5, "posterior": 0.15}
#: Heights are means over this depth, mm.
_DEPTH: Final = 2.0


def disc_height(level: Level, marks: Landmarks) -> DiscHeight:
    """Height along S at 85, 50 and 15 % of the disc's depth, in the middle 12 mm of its width."""
    across = np.arange(-_HALF_WIDTH, _HALF_WIDTH + _STEP / 2, 1.0)
    anterior, superior = np.arange(-36.0, 36.0, _STEP), np.arange(-15.0, 15.0, _STEP)
    amount = level.grid(level.fields[DISC.value], marks.frame, across, anterior, superior) + 0.5
    height = np.clip(amount, 0, 1).sum(axis=2).mean(axis=0) * _STEP
    there = height > 1.0
    if there.sum() < 4:
        return DiscHeight(None, None, None)
    filled = np.flatnonzero(height > 0.5 * float(np.median(height[there])))
    back, front = float(anterior[filled[0]]), float(anterior[filled[-1]])
    read = {}
    for name, share in _SHARES.items():
        near = np.abs(anterior - (back + share * (front - back))) <= _DEPTH / 2
        read[name] = float(height[near].mean())
    return DiscHeight(read["anterior"], read["middle"], read["posterior"])
