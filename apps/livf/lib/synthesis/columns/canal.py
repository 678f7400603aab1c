"""The spinal canal: its centre line through the holes of the vertebrae, and the thecal sac within it."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import CubicHermiteSpline
from scipy.spatial import cKDTree

from livf.lib.synthesis.columns.column import REACH_MM
from livf.lib.synthesis.columns.fields import Doubles, Field, Grid, triple
from livf.lib.synthesis.columns.split import Body
from livf.lib.synthesis.implicit import Pose

#: Half extent of the plane in which a hole is looked for, mm, and its sampling.
_PLANE_MM: Final = 32.0
_STEP_MM: Final = 0.8
#: Where no ring closes, the canal's centre lies this far behind the posterior wall, mm.
_BEHIND_WALL_MM: Final = 8.0
#: Share of the rays from a point of the canal that meet bone; between laminae some escape.
_CLOSED: Final = 0.7
_RAYS: Final = 24
_RAY_MM: Final = 24.0
#: Station of the centre line, mm.
STATION_MM: Final = 1.0
#: How far the line goes beyond the outermost vertebra, mm.
_BEYOND_MM: Final = (30.0, 25.0)
#: Bends of the line are rounded over this, mm.
_BEND_MM: Final = 6.0
#: Share of the canal's half width and half depth that the sac fills at the top and at the lowest vertebra.
_SAC_SHARE: Final = (0.85, 0.7)
#: Least and largest half width and half depth of the sac, mm (about 15 to 18 by 11 to 14 across at L3).
_SAC_MM: Final = ((5.5, 4.5), (9.5, 7.5))
#: Clear of bone and disc: epidural fat and ligament, mm.
_CLEAR_MM: Final = 0.8
#: The sac ends at the second sacral segment: this far below the lowest vertebra it has tapered to its tip, mm.
_SAC_END_MM: Final = 45.0


def hole(bones: list[Field], pose: Pose, wall: float, thickness: float) -> tuple[Doubles, Doubles] | None:
    """Centre and half extents of the vertebral foramen in a vertebra's own transverse plane.

    Bone is projected along the vertebra's axis over ``thickness``, so that a lamina that slopes down closes the ring.

    Args:
        bones: Those that may bound it.
        pose: Of the vertebra, at its body's centre.
        wall: Anterior coordinate of the posterior wall.
        thickness: Over which to project, mm.

    Returns:
        ``(left, anterior)`` of the centre in the pose and half width and half depth, mm; None where no ring closes.
    """
    across = np.arange(-_PLANE_MM, _PLANE_MM + 1e-6, _STEP_MM)
    along = np.arange(wall - 1.3 * _PLANE_MM, wall + 4, _STEP_MM)
    heights = np.arange(-thickness / 2, thickness / 2 + 1e-6, 1.6)
    left, anterior, superior = np.meshgrid(across, along, heights, indexing="ij")
    points = pose.to_world(np.stack([left, anterior, superior], axis=-1))
    bone = np.min([b.at(points).min(axis=2) for b in bones], axis=0) < 0
    closed = _closed(bone) & ~bone
    pieces, count = ndimage.label(closed)
    best: tuple[float, Doubles, Doubles] | None = None
    for piece in range(1, count + 1):
        index = np.argwhere(pieces == piece)
        place = np.column_stack([across[index[:, 0]], along[index[:, 1]]])
        centre = place.mean(axis=0)
        area = len(index) * _STEP_MM**2
        if area < 60 or abs(centre[0]) > 10 or centre[1] > wall or centre[1] < wall - 22:
            continue
        if best is None or area > best[0]:
            middle = np.abs(place[:, 0] - centre[0]) < 2
            extents = np.array([np.ptp(np.percentile(place[:, 0], [1, 99])), np.ptp(place[middle, 1])]) / 2
            best = (area, centre, extents)
    return None if best is None else best[1:]


def _closed(bone: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Points from which most rays in the plane meet bone."""
    free = np.argwhere(~bone)
    met = np.zeros(len(free))
    steps = np.arange(1, int(_RAY_MM / _STEP_MM) + 1)
    for angle in np.arange(_RAYS) * 2 * np.pi / _RAYS:
        i = np.clip(np.rint(free[:, :1] + steps * np.cos(angle)).astype(int), 0, bone.shape[0] - 1)
        j = np.clip(np.rint(free[:, 1:] + steps * np.sin(angle)).astype(int), 0, bone.shape[1] - 1)
        met += bone[i, j].any(axis=1)
    closed = np.zeros(bone.shape, dtype=bool)
    closed[tuple(free.T)] = met >= _CLOSED * _RAYS
    return closed


def centre_line(bodies: list[Body], bones: list[Field], below: Doubles | None = None) -> tuple[Doubles, Doubles]:
    """Centre line of the canal from the top down and its half extents.

    Args:
        bodies: Of the vertebrae (and the first sacral segment) from the top down.
        bones: Their bones, in the same order; more may follow.
        below: ``(N, 3)``, further points of the line below the last body, grid mm.

    Returns:
        ``(N, 3)`` points in grid mm, :data:`STATION_MM` apart, and ``(N, 2)`` half width and half depth of the canal.
    """
    points, tangents, extents = [], [], []
    for body, bone in zip(bodies, bones, strict=False):
        wall = float(body.wall[0])
        found = hole([bone], body.pose, wall, body.height)
        centre, extent = found if found else (np.array([0, wall - _BEHIND_WALL_MM]), np.array([11.0, 7.5]))
        for share in (0.3, -0.3):
            points.append(body.pose.to_world([centre[0], centre[1], share * body.height]))
            tangents.append(-body.pose.superior)
            extents.append(extent)
    if below is not None and len(below):
        gone = np.diff(np.vstack([points[-1], below]), axis=0)
        for point, tangent in zip(below, gone, strict=True):
            points.append(point)
            tangents.append(tangent / np.linalg.norm(tangent))
            extents.append(extents[-1])
    points.insert(0, points[0] - _BEYOND_MM[0] * tangents[0])
    points.append(points[-1] + _BEYOND_MM[1] * tangents[-1])
    tangents = [tangents[0], *tangents, tangents[-1]]
    extents = [extents[0], *extents, extents[-1]]
    place = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    line = CubicHermiteSpline(place, np.array(points), np.array(tangents))
    stations = np.arange(0, place[-1], STATION_MM)
    half = np.column_stack([np.interp(stations, place, np.array(extents)[:, k]) for k in range(2)])
    path = np.asarray(line(stations))
    # The dura takes the shortest way round a bend between two vertebrae. Straight continuations keep the ends in place.
    room = int(3 * _BEND_MM / STATION_MM)
    before = path[0] + np.arange(-room, 0)[:, None] * (path[1] - path[0])
    after = path[-1] + np.arange(1, room + 1)[:, None] * (path[-1] - path[-2])
    smooth = ndimage.gaussian_filter1d(np.vstack([before, path, after]), _BEND_MM / STATION_MM, axis=0)
    return smooth[room:-room], ndimage.gaussian_filter1d(half, 8 / STATION_MM, axis=0, mode="nearest")


def sacral_line(sacrum: Field, body: Body) -> Doubles:
    """Points of the sacral canal below the first sacral body, grid mm: its hole is followed down until it opens."""
    pose = body.pose
    found = hole([sacrum], pose, float(body.wall[0]), 6.0)
    if found is None:
        return np.zeros((0, 3))
    point = pose.to_world([*found[0], 0.0])
    line: list[Doubles] = []
    for _ in range(10):
        step = pose.to_world([0, 0, -5.0]) - pose.origin
        pose = Pose(point + step, pose.left, pose.anterior, pose.superior)
        found = hole([sacrum], pose, 5.0, 3.0)
        if found is None or np.linalg.norm(found[0]) > 6:
            break
        new = pose.to_world([*found[0], 0.0])
        up = point - new
        up = up / np.linalg.norm(up) + pose.superior
        up /= np.linalg.norm(up)
        anterior = pose.anterior - (pose.anterior @ up) * up
        anterior /= np.linalg.norm(anterior)
        pose, point = Pose(new, np.cross(up, anterior), anterior, up), new
        line.append(new)
    return np.array(line[2:]).reshape(-1, 3)


def thecal_sac(
    line: Doubles, half: Doubles, grid: Grid, lowest: Doubles, left: Doubles, solid: list[Field]
) -> Field | None:
    """The sac as a tapered tube around the centre line, clear of bone and disc.

    Args:
        line: Centre line, grid mm, from the top down.
        half: Half width and half depth of the canal along it.
        grid: Of the column; the tube ends at its border.
        lowest: Centre of the lowest vertebra's body (grid mm), below which the sac tapers.
        left: The column's direction of left.
        solid: Bones and discs.
    """
    last = int(np.argmin(np.linalg.norm(line - lowest, axis=1)))
    share = np.clip(np.arange(len(line)) / max(last, 1), 0, 1)[:, None]
    size = np.clip(half * (_SAC_SHARE[0] * (1 - share) + _SAC_SHARE[1] * share), *_SAC_MM)
    past = np.clip((np.arange(len(line)) - last) * STATION_MM / _SAC_END_MM, 0, 1)
    size *= np.sqrt(np.clip(1 - past**2, 0.0, 1))[:, None]
    tube = size[:, 0] > 0.5
    line, size = line[tube], size[tube]
    spacing = grid.spacing
    low = np.clip(np.floor((line.min(axis=0) - 14) / spacing).astype(int), 0, None)
    high = np.minimum(np.ceil((line.max(axis=0) + 14) / spacing).astype(int), np.array(grid.shape))
    start, stop = triple(low), triple(high)
    index = np.indices(tuple(high - low)).reshape(3, -1).T
    points = (index + low) * spacing
    distance, nearest = cKDTree(line).query(points, distance_upper_bound=14)
    near = np.isfinite(distance)
    nearest = nearest[near]
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1)[:, None]
    across = left - (tangent @ left)[:, None] * tangent
    across /= np.linalg.norm(across, axis=1)[:, None]
    forward = np.cross(tangent, across)
    offset = points[near] - line[nearest]
    width, depth = (np.einsum("ni,ni->n", offset, axis[nearest]) for axis in (across, forward))
    along = np.einsum("ni,ni->n", offset, tangent[nearest])
    a, b = size[nearest].T
    k0 = np.sqrt((width / a) ** 2 + (depth / b) ** 2)
    k1 = np.sqrt((width / a**2) ** 2 + (depth / b**2) ** 2)
    values = np.full(len(points), REACH_MM)
    # Beyond the ends of the line the nearest station is the last one: the tube is closed there.
    values[near] = np.maximum(np.where(k0 < 0.1, -b, k0 * (k0 - 1) / np.maximum(k1, 1e-6)), np.abs(along) - 1)
    values = values.reshape(tuple(high - low))
    for part in solid:
        np.maximum(values, _CLEAR_MM - part.on(start, stop), out=values)
    sac = Field(np.clip(values, -REACH_MM, REACH_MM).astype(np.float32), start, spacing)
    return sac.largest().exact() if (sac.values < 0).any() else None
