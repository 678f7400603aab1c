"""Discs, which no mask of a CT holds: what lies between two facing end plates, within their rims."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.spatial import ConvexHull, cKDTree

from livf.lib.synthesis.columns.column import REACH_MM
from livf.lib.synthesis.columns.fields import Doubles, Field, triple
from livf.lib.synthesis.columns.split import Body

#: A disc ends this far inside the rims of the bodies (hulls of the rims are 1.2 to 1.5 times too large in volume), mm.
TRIM_MM: Final = 0.8
#: One end plate goes no further beyond the other than this, mm.
_OVERHANG_MM: Final = 5.0
#: Half the thickness of the remnant of a disc between the first two sacral bodies, and its half axes, mm.
_REMNANT_HALF_MM: Final = 1.3
_REMNANT_AXES_MM: Final = (11.0, 7.5)
#: Sacral bone left around the remnant, mm.
_REMNANT_ROOM_MM: Final = 2.5


def disc_between(upper: Body, lower: Body, bones: list[Field]) -> Field | None:
    """The disc between two vertebrae: the convex hull of the facing end plates without bone.

    Args:
        upper: Body above.
        lower: Body below.
        bones: Every bone that may reach in; the disc meets no point of any.

    Returns:
        Signed distance on a box of its own; None where the bodies leave no room (fused).
    """
    axis = upper.pose.superior + lower.pose.superior
    axis = axis / np.linalg.norm(axis)
    # Where one plate reaches far beyond the other it is not a plate: the wing of a transitional vertebra.
    across = np.eye(3) - np.outer(axis, axis)
    plates = (upper.lower, lower.upper)
    reach = [cKDTree(other @ across).query(own @ across)[0] for own, other in zip(plates, plates[::-1], strict=True)]
    points = np.concatenate([own[far < _OVERHANG_MM] for own, far in zip(plates, reach, strict=True)])
    if len(points) < 10:
        return None
    hull = ConvexHull(points)
    normals, offsets = hull.equations[:, :3], hull.equations[:, 3].copy()
    # Facets that lie in the end plates are within bone and stay; those around the rim move inwards.
    offsets += TRIM_MM * np.sqrt(np.clip(1 - (normals @ axis) ** 2, 0, 1))
    spacing = bones[0].spacing
    start = np.floor(points.min(axis=0) / spacing).astype(int) - 2
    stop = np.ceil(points.max(axis=0) / spacing).astype(int) + 3
    low, high = triple(start), triple(stop)
    grid = np.stack(
        np.meshgrid(*[np.arange(a, b) * spacing for a, b in zip(low, high, strict=True)], indexing="ij"), -1
    )
    values = np.full(grid.shape[:3], -np.inf)
    for normal, offset in zip(*_distinct(normals, offsets), strict=True):
        np.maximum(values, grid @ normal + offset, out=values)
    for bone in bones:
        np.maximum(values, -bone.on(low, high), out=values)
    disc = Field(np.clip(values, -REACH_MM, REACH_MM).astype(np.float32), low, spacing)
    if not (disc.values < 0).any():
        return None
    return disc.largest().exact()


def remnant(first: Field, rest: Field, sacrum: Field, body: Body) -> Field | None:
    """The remnant of the disc between the first two sacral bodies: a lens on their border, inside the bone.

    Args:
        first: The first sacral segment.
        rest: The sacrum below it.
        sacrum: Both.
        body: Of the first segment.
    """
    low, high = first.start, first.stop
    a, b, whole = first.values, rest.on(low, high), sacrum.on(low, high)
    x, y, z = first.mesh_grid()
    left, anterior, superior = body.pose.to_local(x, y, z)
    border = np.abs(a - b) / 2
    near = (border < 1) & (whole < 0) & (np.abs(left) < _REMNANT_AXES_MM[0]) & (superior < 0)
    near &= anterior > body.wall[0]
    if near.sum() < 100:
        return None
    middle = float(np.median(np.broadcast_to(anterior, near.shape)[near]))
    radius = np.sqrt((left / _REMNANT_AXES_MM[0]) ** 2 + ((anterior - middle) / _REMNANT_AXES_MM[1]) ** 2)
    half = _REMNANT_HALF_MM * np.sqrt(np.clip(1 - radius**2, 0, 1))
    values = np.maximum(border - half, whole + _REMNANT_ROOM_MM)
    values = np.where((radius < 1) & (superior < 0), values, np.maximum(values, np.float32(0.4)))
    lens = Field(np.clip(values, -REACH_MM, REACH_MM).astype(np.float32), low, first.spacing)
    return lens.largest().exact() if (lens.values < 0).any() else None


def _distinct(normals: Doubles, offsets: Doubles) -> tuple[Doubles, Doubles]:
    """Planes without near copies: a hull of thousands of voxels has many facets in one plane."""
    keys = np.column_stack([np.round(normals / 0.05), np.round(offsets / 0.1)])
    _, first = np.unique(keys, axis=0, return_index=True)
    return normals[first], offsets[first]
