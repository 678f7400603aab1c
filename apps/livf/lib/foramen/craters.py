"""Whether a piece was bitten out of what bounds the foramen.

Where bone and disc border the foramen they bulge towards it, or are hollow in one direction only, as a groove or a
notch is. A bowl, hollow in both directions like the inside of a ball, is what an annotator's or a network's slip
leaves. The curvatures of the smooth surface tell it: both principal ones hollow, and strongly.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from livf.lib.foramen.constants import BOWL_RADIUS_MM
from livf.lib.foramen.frame import Landmarks
from livf.lib.foramen.level import Bools, Floats, Level
from livf.lib.foramen.outline import Contour
from livf.lib.foramen.result import Points, Side, side_sign

#: Distance of the samples, mm.
_STEP: Final = 0.8
#: The surface this near to the outline is looked at, in the lateral view, mm.
_NEAR_MM: Final = 3.0
#: Samples beyond it that smoothing and derivatives need.
_MARGIN: Final = 3


def bowl_mm2(
    level: Level, marks: Landmarks, side: Side, borders: tuple[float, float], contour: Contour, smoothing: float
) -> float:
    """Area of the bowl-shaped surface of bone and disc that lies in the slab near the outline.

    Args:
        level: The label.
        marks: Landmarks.
        side: The patient's side.
        borders: The slab.
        contour: The outline.
        smoothing: SD of the surface's smoothing, mm: curvatures are second derivatives, and see each voxel step.

    Returns:
        mm², in samples of 0.8 mm: what is hollow in both directions with radii below :data:`BOWL_RADIUS_MM`.
    """
    low, high = contour.points.min(axis=0) - _NEAR_MM, contour.points.max(axis=0) + _NEAR_MM
    lateral, anterior, superior = (
        np.arange(a - _MARGIN * _STEP, b + (_MARGIN + 0.5) * _STEP, _STEP)
        for a, b in ((borders[0], borders[1]), (low[0], high[0]), (low[1], high[1]))
    )
    value = level.grid(level.union, marks.frame, side_sign(side) * lateral, anterior, superior)
    value = ndimage.gaussian_filter(value, smoothing / _STEP, truncate=3.0)
    view = np.stack(np.meshgrid(anterior, superior, indexing="ij"), axis=-1)
    apart, _ = cKDTree(contour.points).query(view, distance_upper_bound=_NEAR_MM)
    looked = np.isfinite(apart)[None] & ((lateral > borders[0] - _STEP) & (lateral < borders[1] + _STEP))[:, None, None]
    hollow = least_curvature(value, surface(value > 0) & looked, _STEP)
    return float(np.count_nonzero(hollow > 1 / BOWL_RADIUS_MM)) * _STEP**2


def surface(inside: Bools) -> Bools:
    """Samples inside with a neighbour outside; none at the grid's edge."""
    found = np.zeros(inside.shape, dtype=bool)
    core = inside[1:-1, 1:-1, 1:-1]
    buried = core.copy()
    for axis in range(3):
        for shift in (slice(0, -2), slice(2, None)):
            part = [slice(1, -1)] * 3
            part[axis] = shift
            buried &= inside[tuple(part)]
    found[1:-1, 1:-1, 1:-1] = core & ~buried
    return found


def least_curvature(value: Floats, where: Bools, step: float) -> Points:
    """The smaller principal curvature of a function's level surfaces, 1/mm; positive where both are hollow.

    Args:
        value: ``(nM, nA, nS)``, positive inside.
        where: The same shape: at which samples, not at the grid's edge.
        step: Distance of the samples, mm.

    Returns:
        ``(N,)``, in the order of ``np.nonzero(where)``. From the gradient g and the matrix of second derivatives H: the
        sum of the curvatures is (tr H - n.Hn) / |g| and their product n.adj(H)n / |g|², with n = g / |g|.
    """
    at = np.ravel_multi_index(np.nonzero(where), value.shape)
    flat = value.ravel().astype(np.float64)
    stride = (value.shape[1] * value.shape[2], value.shape[2], 1)
    x, y, z = ((flat[at + s] - flat[at - s]) / (2 * step) for s in stride)
    xx, yy, zz = ((flat[at + s] + flat[at - s] - 2 * flat[at]) / step**2 for s in stride)
    xy, xz, yz = (
        (flat[at + s + t] + flat[at - s - t] - flat[at + s - t] - flat[at - s + t]) / (4 * step**2)
        for s, t in ((stride[0], stride[1]), (stride[0], stride[2]), (stride[1], stride[2]))
    )
    square = np.maximum(x * x + y * y + z * z, 1e-12)
    along = x * x * xx + y * y * yy + z * z * zz + 2 * (x * y * xy + x * z * xz + y * z * yz)
    total = (xx + yy + zz - along / square) / np.sqrt(square)
    product = (
        x * x * (yy * zz - yz * yz) + y * y * (xx * zz - xz * xz) + z * z * (xx * yy - xy * xy)
        + 2 * (x * y * (xz * yz - xy * zz) + x * z * (xy * yz - xz * yy) + y * z * (xy * xz - yz * xx))
    ) / square**2  # fmt: skip
    return np.asarray((total - np.sqrt(np.maximum(total * total - 4 * product, 0.0))) / 2)
