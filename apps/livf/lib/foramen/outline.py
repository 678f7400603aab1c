"""The opening of one side in the lateral view, and its closed outline with every part named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage import measure

from livf.lib.anatomy import BACKGROUND, L4, L5, TRAINED
from livf.lib.foramen import result as parts_of
from livf.lib.foramen.constants import (
    DEPTH_STEP_MM,
    LARGEST_GAP_MM,
    LARGEST_SECOND_PART_MM2,
    OUTLINE_STEP_MM,
    PEDICLE_DEPTH_MM,
    POSTERIOR_NORMAL,
    SHORTEST_RUN_MM,
    VIEW_MM,
    VIEW_STEP_MM,
    WALL_DEPTH_MM,
)
from livf.lib.foramen.frame import Landmarks
from livf.lib.foramen.level import Floats, Level
from livf.lib.foramen.reasons import RefusedError
from livf.lib.foramen.result import LateralView, Points, Side, side_sign

Codes = np.ndarray

#: How far outside the outline its neighbour is looked up, mm.
_OUTSIDE_MM: Final = 0.5
#: The opening must touch the walls along at least this height, mm.
_CONTACT_MM: Final = 2.0
#: Depth of a joint's slit, along its two sides, from which it is closed, mm.
_SLIT_MM: Final = 5.0


@dataclass(frozen=True, eq=False)
class Projection:
    """The union of the structures in the slab, and its parallel projection along L.

    Attributes:
        side: The patient's side.
        depth: M of the planes, ``(nM,)`` mm.
        anterior: A of the samples, ``(nA,)`` mm.
        superior: S of the samples, ``(nS,)`` mm.
        volume: Smooth union in the slab, ``(nM, nA, nS)``, positive in bone or disc.
        view: Its maximum along M, ``(nA, nS)``.
    """

    side: Side
    depth: Points
    anterior: Points
    superior: Points
    volume: Floats
    view: Floats


@dataclass(frozen=True, eq=False)
class Contour:
    """The closed outline.

    Attributes:
        points: ``(N, 2)`` (A, S) mm, equidistant, down the front and up the back.
        normals: ``(N, 2)`` unit vectors out of the opening.
        parts: ``(N,)`` indices into :data:`livf.lib.foramen.result.PARTS`.
        gap: Length of the closing segment, mm; 0 without one.
    """

    points: Points
    normals: Points
    parts: Codes
    gap: float


def slab(marks: Landmarks, side: Side) -> tuple[float, float]:
    """Medial and lateral border of the slab: the outermost of both vertebrae's pedicles, M in mm."""
    pedicles = [marks.pedicles[(v.value, side)] for v in (L4, L5)]
    return min(p.medial for p in pedicles), max(p.lateral for p in pedicles)


def project(level: Level, marks: Landmarks, side: Side, borders: tuple[float, float]) -> Projection:
    """Sample the union in the slab and project it along L."""
    count = max(int(np.ceil((borders[1] - borders[0]) / DEPTH_STEP_MM)) + 1, 3)
    depth = np.linspace(borders[0], borders[1], count)
    upper, lower = marks.walls[L4.value], marks.walls[L5.value]
    wall = float(upper.anterior(0.0, 0.0) + lower.anterior(0.0, 0.0)) / 2
    anterior = wall + np.arange(VIEW_MM[0], VIEW_MM[1], VIEW_STEP_MM)
    superior = np.arange(VIEW_MM[2], VIEW_MM[3], VIEW_STEP_MM)
    volume = level.grid(level.union, marks.frame, side_sign(side) * depth, anterior, superior)
    return Projection(side, depth, anterior, superior, volume, volume.max(axis=0))


def lateral_view(level: Level, marks: Landmarks, projection: Projection) -> LateralView:
    """The picture of a projection: how much lies behind each point, and what (by the nearest voxels)."""
    amount = np.clip(projection.volume + 0.5, 0, 1)
    depth = side_sign(projection.side) * projection.depth[::3]
    index = level.grid_index(marks.frame, depth, projection.anterior, projection.superior)
    kinds = level.nearest(index)
    most, structure = np.zeros(projection.view.shape), np.zeros(projection.view.shape, dtype=np.uint8)
    for kind in TRAINED:
        share = (kinds == kind.value).mean(axis=0)
        structure[share > most] = kind.value
        most = np.maximum(most, share)
    structure[projection.view < 0] = BACKGROUND
    return LateralView(
        amount.mean(axis=0).astype(np.float32),
        structure,
        (float(projection.anterior[0]), float(projection.superior[0])),
        VIEW_STEP_MM,
    )


def find_contour(level: Level, marks: Landmarks, projection: Projection) -> Contour:
    """Find the opening and its outline.

    Raises:
        RefusedError: With the code of :mod:`livf.lib.foramen.quality` that says why there is none.
    """
    region, leaks = _opening(marks, projection)
    points = _ring(projection, region)
    points = _resampled(points)
    normals = outward_normals(points)
    parts = _name(level, marks, projection, points, normals)
    points, normals, parts, gap = _close_joint(points, normals, parts, projection, leaks)
    if _touches_edge(points, projection):
        raise RefusedError("outline_open")
    return Contour(points, normals, parts, gap)


def _opening(marks: Landmarks, projection: Projection) -> tuple[np.ndarray, bool]:
    """The free part that touches the walls between the pedicles; and whether it reaches the view's edge."""
    free = projection.view < 0
    regions, count = ndimage.label(free)
    upper, lower = marks.walls[L4.value], marks.walls[L5.value]
    high = marks.pedicles[(L4.value, projection.side)].centre[2]
    low = marks.pedicles[(L5.value, projection.side)].centre[2]
    touched = np.zeros(count + 1, dtype=np.int64)
    for column, s in enumerate(projection.superior):
        if not low < s < high:
            continue
        wall = float((upper if s > 0 else lower).anterior(0.0, s))
        profile = free[:, column]
        start = int(np.searchsorted(projection.anterior, wall + 7.0)) - 1
        while start >= 0 and profile[start]:
            start -= 1
        while start >= 0 and not profile[start]:
            start -= 1
        if start >= 0 and projection.anterior[start] > wall - 14.0:
            touched[regions[start, column]] += 1
    sizes = np.bincount(regions.ravel(), minlength=count + 1) * VIEW_STEP_MM**2
    touched[0] = 0
    candidates = np.flatnonzero((touched * VIEW_STEP_MM >= _CONTACT_MM) & (sizes > LARGEST_SECOND_PART_MM2))
    if not candidates.size:
        raise RefusedError("opening_not_found")
    if candidates.size > 1:
        raise RefusedError("outline_split")
    region = regions == candidates[0]
    edge = np.ones_like(region)
    edge[1:-1, 1:-1] = False
    return region, bool((region & edge).any())


def _ring(projection: Projection, region: np.ndarray) -> Points:
    """Sub-voxel contour round a region; the view's edge counts as bone, so that it is always closed."""
    near = ndimage.binary_dilation(region, np.ones((3, 3), dtype=bool))
    value = np.where(near, projection.view, np.maximum(projection.view, np.float32(0.05)))
    value = np.pad(value, 1, constant_values=0.5)
    rings = [ring for ring in measure.find_contours(value, 0.0) if len(ring) > 4]
    ring = max(rings, key=lambda r: abs(signed_area(r[:-1])))[:-1] - 1
    step = VIEW_STEP_MM
    return np.stack([projection.anterior[0] + ring[:, 0] * step, projection.superior[0] + ring[:, 1] * step], axis=1)


def signed_area(points: Points) -> float:
    """Area of a polygon, positive when it runs against the clock in the (A, S) plane."""
    a, s = points[:, 0], points[:, 1]
    return float(np.sum(a * np.roll(s, -1) - np.roll(a, -1) * s) / 2)


def _resampled(points: Points) -> Points:
    """Equidistant points from the top, down the front (clockwise with A to the right)."""
    if signed_area(points) > 0:
        points = points[::-1]
    points = np.roll(points, -int(points[:, 1].argmax()), axis=0)
    closed = np.vstack([points, points[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    count = max(int(np.ceil(along[-1] / OUTLINE_STEP_MM)), 8)
    at = np.linspace(0.0, along[-1], count, endpoint=False)
    return np.stack([np.interp(at, along, closed[:, k]) for k in range(2)], axis=1)


def outward_normals(points: Points) -> Points:
    """Outward unit normals, from neighbours about 0.75 mm away."""
    span = 3
    tangent = np.roll(points, -span, axis=0) - np.roll(points, span, axis=0)
    # Clockwise: outside lies on the left hand.
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9))


def _name(level: Level, marks: Landmarks, projection: Projection, points: Points, normals: Points) -> Codes:
    """What bounds each point: the structure just outside, then its part by place and direction."""
    outside = points + _OUTSIDE_MM * normals
    sign = side_sign(projection.side)
    grid = np.empty((projection.depth.size, len(points), 3))
    grid[..., 0] = sign * projection.depth[:, None]
    grid[..., 1:] = outside
    best = np.stack([level.sample(level.fields[k.value], marks.frame, grid).max(axis=0) for k in TRAINED])
    structure = np.array([k.value for k in TRAINED])[best.argmax(axis=0)]
    structure = _without_short_runs(structure)
    upper, lower = marks.walls[L4.value], marks.walls[L5.value]
    behind = np.where(
        structure == L4.value,
        upper.anterior(0.0, points[:, 1]) - points[:, 0],
        lower.anterior(0.0, points[:, 1]) - points[:, 0],
    )
    backwards = -normals[:, 0]
    codes = np.full(len(points), parts_of.DISC_EDGE)
    for value, wall, pedicle, arch in (
        (L4.value, parts_of.UPPER_WALL, parts_of.UPPER_PEDICLE, parts_of.UPPER_ARCH),
        (L5.value, parts_of.LOWER_WALL, parts_of.LOWER_PEDICLE, parts_of.FACET),
    ):
        own = structure == value
        codes[own] = pedicle
        codes[own & (behind < WALL_DEPTH_MM) & (backwards < POSTERIOR_NORMAL)] = wall
        codes[own & ((backwards > POSTERIOR_NORMAL) | (behind > PEDICLE_DEPTH_MM))] = arch
    return _walls_whole(_without_short_runs(codes))


def _walls_whole(codes: Codes) -> Codes:
    """A rim that draws back beside the disc is still wall: nothing of a pedicle lies between wall and disc."""
    codes = codes.copy()
    disc = np.flatnonzero(codes == parts_of.DISC_EDGE)
    if disc.size:
        index = np.arange(len(codes))
        above = np.flatnonzero((codes == parts_of.UPPER_WALL) & (index < disc[0]))
        if above.size:
            codes[(codes == parts_of.UPPER_PEDICLE) & (index > above[0]) & (index < disc[0])] = parts_of.UPPER_WALL
        below = np.flatnonzero((codes == parts_of.LOWER_WALL) & (index > disc[-1]))
        if below.size:
            codes[(codes == parts_of.LOWER_PEDICLE) & (index < below[-1]) & (index > disc[-1])] = parts_of.LOWER_WALL
    return codes


def _without_short_runs(codes: Codes) -> Codes:
    """Give runs shorter than a voxel to the longer neighbour, shortest first."""
    codes = codes.copy()
    shortest = SHORTEST_RUN_MM / OUTLINE_STEP_MM
    for _ in range(len(codes)):
        starts = np.flatnonzero(codes != np.roll(codes, 1))
        if starts.size < 2:
            break
        lengths = np.diff(np.append(starts, starts[0] + len(codes)))
        at = int(lengths.argmin())
        if lengths[at] >= shortest:
            break
        before, after = lengths[at - 1], lengths[(at + 1) % lengths.size]
        take = codes[starts[at] - 1] if before >= after else codes[(starts[at] + lengths[at]) % len(codes)]
        codes[(starts[at] + np.arange(lengths[at])) % len(codes)] = take
    return codes


def _close_joint(
    points: Points, normals: Points, parts: Codes, projection: Projection, leaks: bool
) -> tuple[Points, Points, Codes, float]:
    """Close the joint's slit between superior articular process and upper vertebra, where there is one.

    The slit's mouth is the longest way round that a segment of about the slit's smallest width cuts off.
    """
    middle = (points[:, 1].max() + points[:, 1].min()) / 2
    edge = _edge_points(points, projection)
    lower = np.flatnonzero(((parts == parts_of.FACET) | (parts == parts_of.LOWER_PEDICLE)) & ~edge)
    upper = np.flatnonzero(((parts == parts_of.UPPER_ARCH) | (parts == parts_of.UPPER_PEDICLE)) & ~edge)
    if not lower.size or not upper.size:
        return points, normals, parts, 0.0
    tree = cKDTree(points[upper])
    pairs = []
    for i, near in zip(lower, tree.query_ball_point(points[lower], LARGEST_GAP_MM), strict=True):
        for k in near:
            j = int(upper[k])
            way = (j - int(i)) * OUTLINE_STEP_MM
            gap = float(np.linalg.norm(points[j] - points[i]))
            if j > i and way > 4 * gap and way > _SLIT_MM and (points[i, 1] + points[j, 1]) / 2 > middle:
                pairs.append((gap, way, int(i), j))
    if not pairs:
        return points, normals, parts, 0.0
    if leaks:
        # Only a segment that cuts the view's edge off closes the outline.
        at_edge = np.flatnonzero(edge)
        pairs = [p for p in pairs if p[2] < at_edge.min() and p[3] > at_edge.max()]
        if not pairs:
            return points, normals, parts, 0.0
    narrow = min(p[0] for p in pairs) + 0.3
    gap, _, start, end = max((p for p in pairs if p[0] <= narrow), key=lambda p: p[1])
    between = max(int(np.ceil(gap / OUTLINE_STEP_MM)), 1)
    segment = points[start] + (points[end] - points[start]) * (np.arange(1, between) / between)[:, None]
    closed = np.vstack([points[: start + 1], segment, points[end:]])
    codes = np.concatenate([parts[: start + 1], np.full(len(segment), parts_of.JOINT), parts[end:]])
    return closed, outward_normals(closed), codes, gap


def _edge_points(points: Points, projection: Projection) -> np.ndarray:
    a, s, reach = projection.anterior, projection.superior, VIEW_STEP_MM
    return np.asarray(
        (points[:, 0] < a[0] + reach)
        | (points[:, 0] > a[-1] - reach)
        | (points[:, 1] < s[0] + reach)
        | (points[:, 1] > s[-1] - reach)
    )


def _touches_edge(points: Points, projection: Projection) -> bool:
    return bool(_edge_points(points, projection).any())
