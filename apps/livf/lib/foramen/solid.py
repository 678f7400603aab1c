"""The reconstructed foramen as a smooth function, for meshes and for display labels."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

from livf.lib.foramen.outline import Contour, Projection
from livf.lib.foramen.result import Points, Solid

#: Values are clipped here, mm: meshes need them near the surface only.
_FAR_MM: Final = 2.0


def reconstruct(projection: Projection, contour: Contour, borders: tuple[float, float]) -> Solid:
    """The free space between the slab's borders, ended at the outline's convex hull where bone does not close it."""
    ring = contour.points
    low, high = ring.min(axis=0) - 1.5, ring.max(axis=0) + 1.5
    a = np.flatnonzero((projection.anterior >= low[0]) & (projection.anterior <= high[0]))
    s = np.flatnonzero((projection.superior >= low[1]) & (projection.superior <= high[1]))
    anterior, superior = projection.anterior[a], projection.superior[s]
    volume = projection.volume[:, a[0] : a[-1] + 1, s[0] : s[-1] + 1]
    steps = (
        float(projection.depth[1] - projection.depth[0]),
        float(anterior[1] - anterior[0]),
        float(superior[1] - superior[0]),
    )
    # From smooth indicator to mm: divide by the slope, which is steepest on the surface.
    slope = np.sqrt(sum(g * g for g in np.gradient(volume, *steps)))
    free = -volume / np.maximum(slope, 0.1 * float(slope.max()))
    hull = _inside_hull(ring, anterior, superior)
    inner = np.minimum(free, hull[None])
    caps = np.minimum(projection.depth - borders[0], borders[1] - projection.depth)
    inner = np.minimum(inner, caps[:, None, None])
    values = np.clip(np.pad(inner, ((1, 1), (0, 0), (0, 0)), constant_values=-steps[0]), -_FAR_MM, _FAR_MM)
    return Solid(
        _one_part(values).astype(np.float32),
        (float(projection.depth[0]) - steps[0], float(anterior[0]), float(superior[0])),
        steps,
    )


def _inside_hull(ring: Points, anterior: Points, superior: Points) -> Points:
    """Distance to the hull's nearest side, positive inside, mm."""
    sides = ConvexHull(ring).equations
    grid = np.stack(np.meshgrid(anterior, superior, indexing="ij"), axis=-1)
    return np.asarray(-(grid @ sides[:, :2].T + sides[:, 2]).max(axis=-1))


def _one_part(values: Points) -> Points:
    """Only the largest part stays positive; the grid's rim is negative."""
    edge = np.ones(values.shape, dtype=bool)
    edge[1:-1, 1:-1, 1:-1] = False
    values = np.where(edge, np.minimum(values, -0.05), values)
    regions, count = ndimage.label(values > 0)
    if count > 1:
        own = int(np.bincount(regions.ravel())[1:].argmax()) + 1
        values = np.where((regions > 0) & (regions != own), np.float32(-0.05), values)
    return values
