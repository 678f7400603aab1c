"""Which disc is L4-L5: vertebral bodies counted up from the sacrum along the spinal canal.

A network that is asked for level names learns where things usually lie in an image; asked for kinds of tissue it finds
every body and disc, and the level is a matter of counting. Counting has its own rules, and says when it cannot: without
the sacrum in view there is nothing to count from, and a lowest segment that could belong to either makes every name
above it unsure.

Positions are taken along the canal: a plane across it passes through one body or one disc, however curved the spine.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from livf.lib.anatomy import ANY_BODY, ANY_DISC, CANAL, LUMBAR_UPWARDS, SACRUM
from livf.lib.values import Affine, LevelStatus, to_world, voxel_volume

Points = npt.NDArray[np.float64]

#: The canal must be seen over this height to be followed, mm. [own] less than two vertebrae.
_SHORTEST_CANAL_MM: Final = 40.0
#: A loose piece of canal belongs to it when it lies this near to where the canal would go on, mm.
_CANAL_JOIN_MM: Final = 15.0
#: Step along the canal, and SD of the smoothing of what lies across it, mm.
_STEP_MM: Final = 1.0
_SMOOTH_MM: Final = 1.5
#: The column lies within this distance of the canal's middle: a body reaches 20 + 35 mm in front of it.
_REACH_MM: Final = 60.0
#: A body has at least this section, mm², and at least this height; taller than the second it is two run together, mm.
_LEAST_SECTION_MM2: Final = 250.0
_LOWEST_BODY_MM: Final = 12.0
_TALLEST_BODY_MM: Final = 45.0
#: Less of the sacrum than this is not enough to count from, cm³ and mm along the canal.
_LEAST_SACRUM_CM3: Final = 4.0
_LEAST_SACRUM_MM: Final = 12.0
#: From one body's middle to the next: 27 to 45 mm in adults; beyond this share of the median one was missed between.
_MISSED: Final = 1.5
#: Signs that the lowest "body" is S1 or a transitional vertebra: the gap below it is thinner than this share of the
#: others, the disc there narrower from side to side than this share, and more sacrum than this lies beside it, cm³.
_THIN_GAP: Final = 0.6
_NARROW_DISC: Final = 0.7
_BESIDE_CM3: Final = 3.0
#: Fewer voxels are no disc.
_LEAST_DISC_VOXELS: Final = 20
#: The sacrum begins at most this far below the lowest body, mm.
_SACRUM_BELOW_MM: Final = 20.0
#: A field of view no higher than this that has its middle on a disc was laid for that disc, as in Chen et al. 2022.
_ONE_LEVEL_FIELD_MM: Final = 115.0
_ONE_LEVEL_MIDDLE_MM: Final = 20.0
#: A point given by a user means the disc nearest to it, if that lies within this distance, mm.
_POINT_REACH_MM: Final = 35.0


@dataclass(frozen=True, eq=False)
class Body:
    """A vertebral body.

    Attributes:
        name: "L5", "L4", …; empty where it cannot be counted.
        centre: ``(3,)`` RAS mm.
        along: Top and bottom, mm along the canal from its upper end.
        whole: Whether neither end lies at the border of the image.
    """

    name: str
    centre: Points
    along: tuple[float, float]
    whole: bool

    @property
    def middle(self) -> float:
        """Middle along the canal, mm."""
        return (self.along[0] + self.along[1]) / 2


@dataclass(frozen=True, eq=False)
class Level:
    """A disc between two bodies.

    Attributes:
        name: "L4-L5"; empty where it cannot be counted.
        centre: ``(3,)`` RAS mm, of the disc (of the gap between the bodies where no disc was seen).
        axis: ``(3,)`` unit vector from the lower body's centre to the upper one's, RAS.
        seen: Whether disc tissue was found there.
    """

    name: str
    centre: Points
    axis: Points
    seen: bool


@dataclass(frozen=True, eq=False)
class Count:
    """What was counted.

    Attributes:
        bodies: From the top down.
        levels: From the top down, one between each two neighbouring bodies.
        sacrum: Whether enough of the sacrum was in view to count from.
        confidence: 0 to 1: how clearly sacrum, spacing and discs agree with the count.
        doubts: Why the names are unsure, one sentence each; none: the count stands.
    """

    bodies: tuple[Body, ...]
    levels: tuple[Level, ...]
    sacrum: bool
    confidence: float
    doubts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Choice:
    """The level that is to be segmented.

    Attributes:
        level: Where it lies; its name is empty when unknown.
        status: How sure the name is.
        reason: For a reader, one sentence; empty when the count stands.
    """

    level: Level
    status: LevelStatus
    reason: str = ""


def count_levels(kinds: npt.NDArray[np.uint8], affine: Affine) -> Count:
    """Count vertebral bodies from the sacrum up.

    Args:
        kinds: ``(I, J, K)`` values of :data:`livf.lib.anatomy.KINDS`, 0 elsewhere; voxels of about 1 to 2 mm.
        affine: Voxel index to RAS+ mm.

    Returns:
        The count; without bodies where no canal or no body was found.
    """
    curve = _canal(kinds, affine)
    if curve is None:
        return Count((), (), False, 0.0, ("no spinal canal is seen over 40 mm",))
    profile = _Profile.of(kinds, affine, curve)
    runs = _split(profile)
    bodies = [_body(profile, run) for run in runs]
    if not bodies:
        return Count((), (), False, 0.0, ("no vertebral body is seen in front of the canal",))
    return _named(bodies, profile)


def choose(count: Count, kinds_shape: tuple[int, int, int], affine: Affine, name: str = "L4-L5") -> Choice | None:
    """The level of this name, or the best guess with its status; None where no two bodies were found.

    ``found``: counted from the sacrum without doubt. ``assumed``: no sacrum, but the image shows one level only, with
    its disc in the middle, as a scan laid for that level does. ``unclear``: anything else.
    """
    if not count.levels:
        return None
    by_name = {level.name: level for level in count.levels if level.name}
    if name in by_name and not count.doubts:
        return Choice(by_name[name], "found")
    if count.sacrum and not count.doubts:
        return Choice(count.levels[-1], "unclear", f"{name} is not in the image; its lowest disc is shown")
    corners = to_world(affine, [[-0.5] * 3, [n - 0.5 for n in kinds_shape]])
    low, high = corners.min(axis=0), corners.max(axis=0)
    nearest = min(count.levels, key=lambda v: float(abs(v.centre[2] - (low[2] + high[2]) / 2)))
    off = float(abs(nearest.centre[2] - (low[2] + high[2]) / 2))
    if not count.sacrum and high[2] - low[2] <= _ONE_LEVEL_FIELD_MM and off <= _ONE_LEVEL_MIDDLE_MM:
        return Choice(nearest, "assumed", f"the image shows one level only; its middle disc is taken for {name}")
    guess = by_name.get(name, nearest)
    return Choice(guess, "unclear", "; ".join(count.doubts))


def choose_at(count: Count, point: npt.ArrayLike) -> Choice | None:
    """The level whose disc is nearest to a point a user gave (RAS mm); None where none lies within 35 mm."""
    at = np.asarray(point, dtype=np.float64)
    if not count.levels:
        return None
    nearest = min(count.levels, key=lambda v: float(np.linalg.norm(v.centre - at)))
    return Choice(nearest, "given") if np.linalg.norm(nearest.centre - at) <= _POINT_REACH_MM else None


def _canal(kinds: npt.NDArray[np.uint8], affine: Affine) -> Points | None:
    """Middle line of the canal from the top down, ``(N, 3)`` RAS mm, about 1 mm apart; None: too short.

    The tallest piece is the canal; pieces above and below that go on where it points belong to it.
    """
    pieces, count = cc3d.connected_components(kinds == CANAL.value, connectivity=26, return_N=True)
    lines = []
    for piece in range(1, count + 1):
        points = to_world(affine, np.argwhere(pieces == piece))
        height = np.round(points[:, 2] / 2)
        rows = np.unique(height)
        if len(rows) >= 2:
            lines.append(np.array([points[height == row].mean(axis=0) for row in rows[::-1]]))
    if not lines:
        return None
    lines.sort(key=lambda line: float(line[0, 2] - line[-1, 2]), reverse=True)
    line = lines[0]
    for other in lines[1:]:
        above = bool(other[:, 2].mean() > line[:, 2].mean())
        if (other[-1, 2] <= line[0, 2]) if above else (other[0, 2] >= line[-1, 2]):
            continue
        end, inner = (line[0], line[min(10, len(line) - 1)]) if above else (line[-1], line[max(-11, -len(line))])
        meet = other[-1] if above else other[0]
        slope = (end - inner)[:2] / (end - inner)[2]
        if np.linalg.norm(end[:2] + slope * (meet - end)[2] - meet[:2]) < _CANAL_JOIN_MM:
            line = np.concatenate([other, line] if above else [line, other])
    if line[0, 2] - line[-1, 2] < _SHORTEST_CANAL_MM:
        return None
    smooth = ndimage.gaussian_filter1d(line, 3.0, axis=0, mode="nearest")
    steps = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(smooth, axis=0), axis=1)))
    even = np.arange(0.0, steps[-1], _STEP_MM)
    return np.stack([np.interp(even, steps, smooth[:, axis]) for axis in range(3)], axis=1)


@dataclass(frozen=True, eq=False)
class _Profile:
    """What lies across the canal, at each millimetre along it.

    Attributes:
        body: Section of bodies, mm².
        disc: Section of discs, mm².
        sacrum: Section of the sacrum, mm².
        body_along: Where each body voxel lies along the canal, mm.
        body_points: The same voxels, RAS mm.
        disc_along: As for bodies.
        disc_points: As for bodies.
        sacrum_along: As for bodies.
        voxel_mm3: Volume of a voxel.
        sacrum_cm3: Volume of the sacrum seen.
        ends: Where along the canal the image ends, mm.
    """

    body: Points
    disc: Points
    sacrum: Points
    body_along: Points
    body_points: Points
    disc_along: Points
    disc_points: Points
    sacrum_along: Points
    voxel_mm3: float
    sacrum_cm3: float
    ends: tuple[float, float]

    @classmethod
    def of(cls, kinds: npt.NDArray[np.uint8], affine: Affine, curve: Points) -> _Profile:
        # Straight on beyond both ends, so that what lies above or below the last canal seen has its place too.
        line, before = _longer(curve)
        tree = cKDTree(line)
        voxel = voxel_volume(affine)

        def along(value: int) -> tuple[Points, Points]:
            points = to_world(affine, np.argwhere(kinds == value))
            if not len(points):
                return np.zeros(0), points
            apart, nearest = tree.query(points)
            near = apart < _REACH_MM
            return nearest[near] * _STEP_MM, points[near]

        def section(where: Points) -> Points:
            counts = np.bincount((where / _STEP_MM).astype(int), minlength=len(line)).astype(np.float64)
            return np.asarray(ndimage.gaussian_filter1d(counts * voxel / _STEP_MM, _SMOOTH_MM, mode="constant"))

        body, body_points = along(ANY_BODY.value)
        disc, disc_points = along(ANY_DISC.value)
        sacrum, sacrum_points = along(SACRUM.value)
        shape = np.asarray(kinds.shape)
        inside = ((np.linalg.inv(affine) @ np.c_[line, np.ones(len(line))].T)[:3].T + 0.5) / shape
        seen = np.flatnonzero(((inside > 0) & (inside < 1)).all(axis=1))
        ends = (float(seen[0]), float(seen[-1])) if seen.size else (float(before), float(before + len(curve)))
        return cls(
            section(body), section(disc), section(sacrum), body, body_points, disc, disc_points,
            sacrum, voxel, len(sacrum_points) * voxel / 1000, ends,
        )  # fmt: skip


def _longer(curve: Points, by: int = 80) -> tuple[Points, int]:
    reach = min(30, len(curve) - 1)
    up = (curve[0] - curve[reach]) / np.linalg.norm(curve[0] - curve[reach])
    down = (curve[-1] - curve[-1 - reach]) / np.linalg.norm(curve[-1] - curve[-1 - reach])
    steps = np.arange(1, by + 1)[:, None] * _STEP_MM
    return np.concatenate([(curve[0] + steps * up)[::-1], curve, curve[-1] + steps * down]), by


def _split(profile: _Profile) -> list[tuple[int, int]]:
    """First and last position of each body along the canal, from the top down."""
    own = profile.body > np.maximum(np.maximum(profile.disc, profile.sacrum), _LEAST_SECTION_MM2)
    starts = np.flatnonzero(np.diff(np.append(False, own).astype(int)) == 1)
    stops = np.flatnonzero(np.diff(np.append(own, False).astype(int)) == -1)
    runs: list[tuple[int, int]] = []
    todo = [(int(a), int(b)) for a, b in zip(starts, stops, strict=True)][::-1]
    while todo:
        first, last = todo.pop()
        height = (last - first + 1) * _STEP_MM
        if height > _TALLEST_BODY_MM:
            # Where two run together, the least bone and the most disc is between them.
            quarter = (last - first) // 4
            middle = slice(first + quarter, last - quarter + 1)
            cut = middle.start + int((profile.body - 2 * profile.disc)[middle].argmin())
            todo += [(cut + 1, last), (first, cut - 1)]
        elif height >= _LOWEST_BODY_MM:
            runs.append((first, last))
    return runs


def _body(profile: _Profile, run: tuple[int, int]) -> Body:
    own = (profile.body_along >= run[0]) & (profile.body_along <= run[1])
    whole = run[0] > profile.ends[0] + 2 and run[1] < profile.ends[1] - 2
    return Body("", profile.body_points[own].mean(axis=0), (run[0] * _STEP_MM, run[1] * _STEP_MM), whole)


def _named(bodies: list[Body], profile: _Profile) -> Count:
    """Names counted from the sacrum, and what speaks against them."""
    doubts: list[str] = []
    thick = np.flatnonzero(profile.sacrum > _LEAST_SECTION_MM2)
    below = thick[thick > bodies[-1].middle]
    sacrum = profile.sacrum_cm3 >= _LEAST_SACRUM_CM3 and len(below) * _STEP_MM >= _LEAST_SACRUM_MM
    confidence = 1.0
    if sacrum:
        gap = float(below[0]) * _STEP_MM - bodies[-1].along[1]
        if gap > _SACRUM_BELOW_MM:
            doubts.append(f"{gap:.0f} mm lie between the lowest body and the sacrum: a body may be missed there")
        confidence *= float(np.clip(2 - gap / _SACRUM_BELOW_MM, 0, 1))
        signs = _signs_of_s1(bodies, profile, float(below[0]) * _STEP_MM)
        if len(signs) >= 2:
            doubts.append(f"the lowest body is S1 or a transitional vertebra ({', '.join(signs)})")
            bodies = bodies[:-1]
        elif signs and signs != [_THIN]:
            doubts.append(f"the lowest body could be S1 or a transitional vertebra ({signs[0]})")
    else:
        doubts.append("the sacrum is not in view, so that there is nothing to count from")
    for above, below_ in _neighbours(bodies):
        usual = np.median([b.middle - a.middle for a, b in _neighbours(bodies)])
        if below_.middle - above.middle > _MISSED * usual:
            doubts.append(f"a body may be missed {below_.middle - above.middle:.0f} mm apart from its neighbour")
    names = dict(zip(range(len(bodies) - 1, -1, -1), LUMBAR_UPWARDS, strict=False)) if sacrum else {}
    named = tuple(Body(names.get(i, ""), b.centre, b.along, b.whole) for i, b in enumerate(bodies))
    levels = tuple(_level(above, below_, profile) for above, below_ in _neighbours(list(named)))
    unseen = sum(not level.seen for level in levels[-2:])
    confidence *= 0.7**unseen * 0.5 ** len(doubts) if sacrum else 0.0
    return Count(named, levels, sacrum, float(confidence), tuple(doubts))


_THIN: Final = "a thin gap below it"


def _signs_of_s1(bodies: list[Body], profile: _Profile, sacrum: float) -> list[str]:
    """What speaks for the lowest body being part of the sacrum, wholly or by half.

    A worn lowest disc is thin and as wide as the others, so that a thin gap alone says nothing.
    """
    if len(bodies) < 3:
        return []
    lowest, signs = bodies[-1], []
    gaps = [below.along[0] - above.along[1] for above, below in _neighbours(bodies)]
    if sacrum - lowest.along[1] < _THIN_GAP * np.median(gaps):
        signs.append(_THIN)
    widths = [_disc_width(profile, above.middle, below.middle) for above, below in _neighbours(bodies)]
    own = _disc_width(profile, lowest.middle, sacrum + _LEAST_SACRUM_MM)
    if own and own < _NARROW_DISC * np.median(widths):
        signs.append("a narrow disc below it")
    beside = (profile.sacrum_along > lowest.along[0]) & (profile.sacrum_along < lowest.middle)
    if np.count_nonzero(beside) * profile.voxel_mm3 / 1000 > _BESIDE_CM3:
        signs.append("sacrum beside its upper half")
    return signs


def _disc_width(profile: _Profile, first: float, last: float) -> float:
    """Extent from side to side of the disc between two places along the canal, mm; 0 where none is seen."""
    own = profile.disc_points[(profile.disc_along > first) & (profile.disc_along < last), 0]
    return float(np.subtract(*np.quantile(own, (0.95, 0.05)))) if own.size >= _LEAST_DISC_VOXELS else 0.0


def _neighbours(bodies: list[Body]) -> list[tuple[Body, Body]]:
    return list(pairwise(bodies))


def _level(above: Body, below: Body, profile: _Profile) -> Level:
    between = (profile.disc_along > above.middle) & (profile.disc_along < below.middle)
    seen = int(between.sum()) >= _LEAST_DISC_VOXELS
    middle = (above.centre + below.centre) / 2
    axis = above.centre - below.centre
    name = f"{above.name}-{below.name}" if above.name and below.name else ""
    return Level(name, profile.disc_points[between].mean(axis=0) if seen else middle, axis / np.linalg.norm(axis), seen)


__all__ = ["Body", "Choice", "Count", "Level", "choose", "choose_at", "count_levels"]
