"""Where a foramen lies along L: the pedicles of L4 and L5, found in sections behind the posterior walls.

Part of the exact truth (:mod:`livf.lib.synthesis.truth`), on implicit structures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.anatomy import DISC, L4, L5

Side = Literal["left", "right"]
Vector = npt.NDArray[np.float64]
#: Distances of the sections behind the posterior wall, mm.
SECTIONS_MM: Final = (1.0, 2.0, 3.0, 4.0, 5.0)
_SECTION_STEP_MM: Final = 0.4
_HEIGHT_SHARE: Final = 0.6
_MAX_SLAB_MM: Final = 14.0


class Axes(Protocol):
    """Origin and unit vectors, RAS mm: a level's frame or a vertebra's wall."""

    @property
    def origin(self) -> Vector: ...
    @property
    def left(self) -> Vector: ...
    @property
    def anterior(self) -> Vector: ...
    @property
    def superior(self) -> Vector: ...


class Scene(Protocol):
    """What truth is computed from: a :class:`livf.lib.synthesis.spine.Spine`, or a test's boxes."""

    @property
    def frame(self) -> Axes: ...
    @property
    def walls(self) -> Mapping[str, Axes]: ...
    def distance(self, structure: str, points: npt.ArrayLike) -> Vector: ...


class RefusedError(Exception):
    """Carries a reason code to where truth is answered; never leaves the computation."""


@dataclass(frozen=True)
class Pedicle:
    """A pedicle: its borders along L, its middle as (A, S), and its upper and lower edge in the vertebra's frame."""

    medial: float
    lateral: float
    middle: tuple[float, float]
    top: float
    bottom: float


class View:
    """A scene seen from one side: coordinates (outwards along L, A, S) of the level's frame."""

    def __init__(self, scene: Scene, side: Side) -> None:
        frame = scene.frame
        self.scene = scene
        self.origin = frame.origin
        self.axes = np.stack(((1 if side == "left" else -1) * frame.left, frame.anterior, frame.superior))

    def to_world(self, points: npt.ArrayLike) -> Vector:
        return np.asarray(self.origin + np.asarray(points, dtype=np.float64) @ self.axes)

    def to_frame(self, world: Vector) -> Vector:
        return np.asarray((world - self.origin) @ self.axes.T)

    def distances(self, points: npt.ArrayLike) -> Vector:
        """L4, disc and L5 at frame points, a new last axis."""
        world = self.to_world(points)
        return np.stack([self.scene.distance(s.name, world) for s in (L4, DISC, L5)], axis=-1)

    def pedicle(self, name: str) -> Pedicle:
        """Borders and edges of a pedicle, from the sections behind its wall."""
        wall = self.scene.walls[name]
        start = float(self.to_frame(wall.origin)[0])
        outwards = np.arange(start + 2, start + 36, _SECTION_STEP_MM)
        heights = np.arange(-18, 18 + _SECTION_STEP_MM / 2, _SECTION_STEP_MM)
        runs = np.stack([_runs(self._section(name, behind, outwards, heights), heights) for behind in SECTIONS_MM])
        profile = (runs[..., 1] - runs[..., 0]).mean(axis=0)
        peak = int(profile.argmax())
        threshold = _HEIGHT_SHARE * profile[peak]
        if threshold <= 0:
            raise RefusedError("pedicle_not_found")
        above = profile >= threshold
        first = int(above.argmax())
        if first == 0:
            raise RefusedError("pedicle_not_found")  # no medial edge: the canal is not where it should be
        medial = self._crossing(name, outwards[first - 1], outwards[first], heights, threshold, rising=True)
        beyond = np.flatnonzero(~above[first:])
        lateral = medial + _MAX_SLAB_MM
        if beyond.size:
            last = first + int(beyond[0])
            found = self._crossing(name, outwards[last - 1], outwards[last], heights, threshold, rising=False)
            lateral = min(lateral, found)
        # The superior articular process may reach into the rearmost sections, above the pedicle: the tightest edges
        # of all sections, within the borders, are the pedicle's own.
        inside = (outwards > medial) & (outwards < lateral)
        column = int(np.flatnonzero(inside)[profile[inside].argmax()]) if inside.any() else peak
        bone = runs[:, column][runs[:, column, 1] > runs[:, column, 0]]
        bottom, top = float(bone[:, 0].max()), float(bone[:, 1].min())
        middle = self.to_frame(self._plane(wall, 3.0, np.array([outwards[column]]), np.array([(top + bottom) / 2])))
        return Pedicle(float(medial), float(lateral), (float(middle[0, 0, 1]), float(middle[0, 0, 2])), top, bottom)

    def _plane(self, wall: Axes, behind: float, outwards: Vector, heights: Vector) -> Vector:
        """World points of a section: rows of constant L (of the level), columns of constant height above the wall."""
        across = np.cross(wall.anterior, np.cross(self.axes[0], wall.anterior))
        across /= np.linalg.norm(across)
        up = np.cross(wall.anterior, across)
        up *= np.sign(up @ wall.superior)
        base = wall.origin - behind * wall.anterior
        share = (outwards - (base - self.origin) @ self.axes[0]) / (across @ self.axes[0])
        return np.asarray(base + share[:, None, None] * across + heights[None, :, None] * up)

    def _section(self, name: str, behind: float, outwards: Vector, heights: Vector) -> Vector:
        return self.scene.distance(name, self._plane(self.scene.walls[name], behind, outwards, heights))

    def _crossing(
        self, name: str, low: float, high: float, heights: Vector, threshold: float, *, rising: bool
    ) -> float:
        """Where between two columns the height crosses the threshold, by bisection."""
        for _ in range(6):
            middle = (low + high) / 2
            spans = [_longest(self._section(name, b, np.array([middle]), heights)[0], heights) for b in SECTIONS_MM]
            reached = float(np.mean([span[1] - span[0] for span in spans])) >= threshold
            low, high = (low, middle) if reached == rising else (middle, high)
        return (low + high) / 2


def _runs(section: Vector, heights: Vector) -> Vector:
    """Lower and upper end of the pedicle in each column of a section, ``(columns, 2)``; equal where there is none."""
    pieces, count = ndimage.label(section < 0)
    if not count:
        return np.zeros((len(section), 2))
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    section = np.where((pieces == largest) | (section >= 0), section, -section)
    return np.asarray([_longest(column, heights) for column in section])


def _longest(column: Vector, heights: Vector) -> tuple[float, float]:
    """Ends of the longest stretch below zero, by linear interpolation."""
    inside = np.concatenate(([False], column < 0, [False]))
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    best = (0.0, 0.0)
    for first, beyond in zip(edges[::2], edges[1::2], strict=True):
        low = heights[0] if first == 0 else _zero(column, heights, first - 1)
        high = heights[-1] if beyond == len(column) else _zero(column, heights, beyond - 1)
        if high - low > best[1] - best[0]:
            best = float(low), float(high)
    return best


def _zero(column: Vector, heights: Vector, at: int) -> float:
    one, two = column[at], column[at + 1]
    return float(heights[at] + (heights[at + 1] - heights[at]) * one / (one - two))
