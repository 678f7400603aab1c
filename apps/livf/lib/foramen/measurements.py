"""The numbers of one foramen, from its outline and the slab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage import measure

from livf.lib.foramen import result as parts_of
from livf.lib.foramen.constants import (
    HEIGHT_SMOOTHING_MM,
    LARGEST_GAP_MM,
    OUTLINE_STEP_MM,
    POSTERIOR_NORMAL,
    VIEW_STEP_MM,
    WIDTH_HEIGHTS,
)
from livf.lib.foramen.outline import Contour, Projection, signed_area
from livf.lib.foramen.result import PARTS, Numbers, Points, Section, Segment

#: Heights between which the narrowest antero-posterior width is looked for, share of FH: at the ends it is 0. [own]
_NARROW_BETWEEN: Final = (0.25, 0.75)
#: A segment that runs along the outline by less than this outside still lies inside, mm.
_TOLERANCE: Final = 0.15
#: How far along a wall to either side a cubic is laid through it, mm: the first that it follows closely enough.
_WALL_REACHES: Final = (3.0, 2.0, 1.5, 1.0)
#: What the cubic may smooth away, mm (root of the mean square): more is shape. [own] the outline's own noise.
_WALL_NOISE_MM: Final = 0.08
#: Samples of a volume that hang together in one plane.
_IN_PLANE: Final = np.array([np.zeros((3, 3)), [[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.zeros((3, 3))], dtype=bool)


@dataclass(frozen=True, eq=False)
class Main:
    """The three numbers and where they were measured."""

    area: float
    height: float
    width: float | None
    width_segment: Segment | None
    top: Points
    bottom: Points


def main_numbers(contour: Contour) -> Main:
    """FA, FH and FW of an outline."""
    points = contour.points
    along = ndimage.gaussian_filter1d(points[:, 1], HEIGHT_SMOOTHING_MM / OUTLINE_STEP_MM, mode="wrap")
    top = np.array([points[along.argmax(), 0], along.max()])
    bottom = np.array([points[along.argmin(), 0], along.min()])
    segment = width_segment(contour)
    return Main(
        abs(signed_area(points)),
        float(top[1] - bottom[1]),
        segment.length_mm if segment else None,
        segment,
        top,
        bottom,
    )


def corner(contour: Contour) -> int | None:
    """Index of the corner: the last point bounded by the upper vertebra going down the front."""
    front = np.isin(contour.parts, (parts_of.DISC_EDGE, parts_of.LOWER_WALL, parts_of.LOWER_PEDICLE, parts_of.FACET))
    starts = np.flatnonzero(front)
    return int(starts[0]) - 1 if starts.size and starts[0] > 0 else None


def width_segment(contour: Contour) -> Segment | None:
    """FW: the shortest segment inside the outline from the corner to the articular processes.

    The least of many distances, each unsure by a tenth of a millimetre, is too short: it picks a crest. So the wall
    round the nearest point is first laid on a cubic.
    """
    at = corner(contour)
    if at is None:
        return None
    start = contour.points[at]
    articular = np.isin(contour.parts, (parts_of.FACET, parts_of.UPPER_ARCH))
    ends = np.flatnonzero(articular & (-contour.normals[:, 0] > POSTERIOR_NORMAL))
    order = ends[np.argsort(np.linalg.norm(contour.points[ends] - start, axis=1), kind="stable")]
    for end in order:
        if _inside(contour.points, start, contour.points[end]):
            return Segment(_pair(start), _pair(_on_smooth_wall(contour.points, start, int(end), articular, ends)))
    return None


def _on_smooth_wall(ring: Points, start: Points, end: int, wall: np.ndarray, ends: np.ndarray) -> Points:
    """The point nearest to ``start`` on the cubic through a wall near its point ``end``.

    Args:
        ring: ``(N, 2)`` outline.
        start: ``(2,)`` where the segment begins.
        end: The wall's point that is nearest as it stands.
        wall: ``(N,)`` which points belong to the wall.
        ends: Indices of the points that the segment may end at.
    """
    count = len(ring)
    for reach in _WALL_REACHES:
        span = np.arange(-round(reach / OUTLINE_STEP_MM), round(reach / OUTLINE_STEP_MM) + 1)
        near = _run_round(end + span, wall, count)
        if len(near) < 8:
            continue
        tangent = np.linalg.svd(ring[near] - ring[near].mean(axis=0))[2][0]
        normal = np.array([-tangent[1], tangent[0]])
        along, off = (ring[near] - ring[end]) @ tangent, (ring[near] - ring[end]) @ normal
        shape = np.polynomial.Polynomial.fit(along, off, 3)
        if np.sqrt(np.mean((shape(along) - off) ** 2)) <= _WALL_NOISE_MM:
            allowed = along[np.isin(near, ends)]
            fine = np.arange(allowed.min(), allowed.max() + 0.01, 0.02)
            curve = ring[end] + fine[:, None] * tangent + shape(fine)[:, None] * normal
            return np.asarray(curve[np.linalg.norm(curve - start, axis=1).argmin()])
    return np.asarray(ring[end])


def _run_round(index: np.ndarray, wall: np.ndarray, count: int) -> np.ndarray:
    """Those of consecutive indices of a ring that hang together with the middle one on the wall."""
    there = wall[index % count]
    middle = len(index) // 2
    gaps = np.flatnonzero(~there)
    first = int(gaps[gaps < middle].max(initial=-1)) + 1
    last = int(gaps[gaps > middle].min(initial=len(index)))
    return np.asarray(index[first:last] % count)


def _inside(ring: Points, start: Points, end: Points) -> bool:
    """Whether the segment between two points of a ring lies inside it, but for rounding."""
    share = np.linspace(0.03, 0.97, 40)[:, None]
    between = start + share * (end - start)
    outside = ~measure.points_in_poly(between, ring)
    if not outside.any():
        return True
    off, _ = cKDTree(ring).query(between[outside])
    return bool(off.max() < _TOLERANCE)


def _pair(point: Points) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _chords(ring: Points, height: float) -> list[tuple[float, float]]:
    """Where a ring crosses S = height: (back, front) of each stretch inside it."""
    a, s = ring[:, 0], ring[:, 1] - height
    following = np.roll(s, -1)
    crossing = (s > 0) != (following > 0)
    at = np.sort(a[crossing] + (np.roll(a, -1) - a)[crossing] * (s[crossing] / (s - following)[crossing]))
    return [(float(at[k]), float(at[k + 1])) for k in range(0, len(at) - 1, 2)]


def horizontal_width(ring: Points, height: float) -> Segment | None:
    """Antero-posterior width at a height: the longest stretch inside the outline, from front to back."""
    chords = _chords(ring, height)
    if not chords:
        return None
    back, front = max(chords, key=lambda c: c[1] - c[0])
    return Segment((front, height), (back, height))


def channel(ring: Points) -> tuple[float, tuple[float, float]]:
    """Diameter and centre of the largest circle inside an outline, to 0.02 mm."""
    tree = cKDTree(ring)
    low, high = ring.min(axis=0), ring.max(axis=0)
    centre, radius, step = (low + high) / 2, -1.0, 0.5
    reach = (high - low) / 2
    while step > 0.01:
        axes = [np.arange(c - r, c + r + step / 2, step) for c, r in zip(centre, reach, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        grid = grid[measure.points_in_poly(grid, ring)]
        if not len(grid):
            break
        distance, _ = tree.query(grid)
        best = int(distance.argmax())
        if distance[best] > radius:
            centre, radius = grid[best], float(distance[best])
        reach, step = np.array([2 * step, 2 * step]), step / 4
    return 2 * max(radius, 0.0), _pair(centre)


def sections(projection: Projection, ring: Points) -> list[float | None]:
    """Area of the free space that contains the opening, in each plane of the slab; None where it is open.

    A gap of at most the joint's counts as closed, as in the outline.
    """
    volume = projection.volume
    joint = LARGEST_GAP_MM / 2 / VIEW_STEP_MM
    room = ~_grown(volume >= 0, joint)
    regions, count = ndimage.label(room, _IN_PLANE)
    opening = np.zeros(count + 1, dtype=bool)
    opening[regions[:, _inside_ring(projection, ring)]] = True
    opening[0] = False
    own = opening[regions]
    edge = np.ones(own.shape[1:], dtype=bool)
    edge[2:-2, 2:-2] = False
    closed = own.any(axis=(1, 2)) & ~own[:, edge].any(axis=1)
    areas: list[float | None] = [None] * len(own)
    if not closed.any():
        return areas
    # What follows is needed round the openings only.
    margin = int(joint) + 3
    window = tuple(
        slice(max(int(there[0]) - margin, 0), int(there[-1]) + margin + 1)
        for there in (np.flatnonzero(own[closed].any(axis=(0, other))) for other in (2, 1))
    )
    value = volume[closed][(slice(None), *window)]
    slope = np.maximum(np.hypot(*np.gradient(value, axis=(1, 2))), 1e-3)
    share = np.where(_grown(own[closed][(slice(None), *window)], joint + 1), np.clip(0.5 - value / slope, 0, 1), 0)
    whole = np.zeros(own.shape[1:], dtype=share.dtype)
    for plane, part in zip(np.flatnonzero(closed), share, strict=True):
        whole[window] = part
        areas[plane] = float(whole.sum()) * VIEW_STEP_MM**2
    return areas


def _grown(mask: np.ndarray, radius: float) -> np.ndarray:
    """Each plane of a mask ``(n, nA, nS)`` grown by a disc, its radius in samples."""
    reach = int(radius)
    _, rows, columns = mask.shape
    padded = np.pad(mask, ((0, 0), (reach, reach), (reach, reach)))
    grown = np.zeros_like(mask)
    for i in range(2 * reach + 1):
        half = int(np.sqrt(radius**2 - (i - reach) ** 2))
        for j in range(reach - half, reach + half + 1):
            grown |= padded[:, i : i + rows, j : j + columns]
    return grown


def _inside_ring(projection: Projection, ring: Points) -> np.ndarray:
    """Which samples of the view lie inside an outline."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    axes = (projection.anterior, projection.superior)
    near = [(axis >= a) & (axis <= b) for axis, a, b in zip(axes, low, high, strict=True)]
    grid = np.stack(np.meshgrid(*(axis[n] for axis, n in zip(axes, near, strict=True)), indexing="ij"), axis=-1)
    inside = np.zeros([axis.size for axis in axes], dtype=bool)
    inside[np.ix_(*near)] = measure.points_in_poly(grid.reshape(-1, 2), ring).reshape(grid.shape[:2])
    return inside


def all_numbers(projection: Projection, contour: Contour, main: Main, borders: tuple[float, float]) -> Numbers:
    """Every number of DESIGN 4."""
    ring = contour.points
    bottom, height = float(main.bottom[1]), main.height
    heights = bottom + np.arange(_NARROW_BETWEEN[0] * height, _NARROW_BETWEEN[1] * height, 0.25)
    widths = [w for s in heights if (w := horizontal_width(ring, float(s)))]
    narrow = min(widths, key=lambda w: w.length_mm) if widths else None
    bounded = None
    if narrow:
        front = np.linalg.norm(ring - np.asarray(narrow.start), axis=1)
        bounded = PARTS[int(contour.parts[front.argmin()])]
    at = {
        name: (w.length_mm if (w := horizontal_width(ring, bottom + share * height)) else None)
        for name, share in WIDTH_HEIGHTS.items()
    }
    planes = sections(projection, ring)
    closed = [
        Section(area, float(depth)) for area, depth in zip(planes, projection.depth, strict=True) if area is not None
    ]
    half = len(planes) // 2
    diameter, centre = channel(ring)
    return Numbers(
        area_mm2=main.area,
        height_mm=height,
        width_mm=main.width,
        min_width_mm=narrow.length_mm if narrow else None,
        min_width_position_mm=narrow.start[1] if narrow else None,
        min_width_bounded_by=bounded,
        widths_mm=at,
        section=min(closed, key=lambda c: c.area_mm2) if closed else None,
        section_entry=_section(planes[-1], projection.depth[-1]),
        section_mid_zone=_section(planes[half], projection.depth[half]),
        channel_diameter_mm=diameter,
        channel_centre=centre,
        closed_gap_mm=contour.gap,
        slab_mm=borders,
        width_segment=main.width_segment,
        min_width_segment=narrow,
    )


def _section(area: float | None, depth: float) -> Section | None:
    return None if area is None else Section(area, float(depth))
