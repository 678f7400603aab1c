"""Signed distances on boxes of one grid, and what can be asked of them.

Geometry is done in *grid millimetres*: voxel index times the edge of a voxel, so that the axes are right, anterior and
superior of the scan whatever its place in the world.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import marching_cubes

from livf.lib.synthesis.columns.column import REACH_MM
from livf.lib.synthesis.columns.surfaces import distance_to_triangles

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Triple = tuple[int, int, int]
#: Exact distances are computed within this many voxels of a surface; beyond, those between voxels do.
_BAND_VOXELS: Final = 3.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Isotropic voxels along the scan's axes.

    Attributes:
        shape: Number of voxels.
        affine: Index to RAS mm.
    """

    shape: Triple
    affine: Doubles

    @property
    def spacing(self) -> float:
        """Edge of a voxel, mm."""
        return float(np.linalg.norm(self.affine[:3, 0]))

    def to_world(self, points: Doubles) -> Doubles:
        """RAS mm of points ``(N, 3)`` in grid millimetres."""
        return np.asarray(points / self.spacing @ self.affine[:3, :3].T + self.affine[:3, 3])

    def from_world(self, points: Doubles) -> Doubles:
        """Grid millimetres of points ``(N, 3)`` in RAS mm."""
        return np.asarray((points - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T * self.spacing)


@dataclass(frozen=True, eq=False)
class Field:
    """A signed distance on a box of the grid, mm, negative inside; beyond the box it is at least :data:`REACH_MM`.

    Attributes:
        values: ``(X, Y, Z)`` float32.
        start: Index of the box's first voxel in the grid.
        spacing: Edge of a voxel, mm.
    """

    values: Floats
    start: Triple
    spacing: float

    @property
    def stop(self) -> Triple:
        """Index after the box's last voxel."""
        return triple(np.add(self.start, self.values.shape))

    @property
    def volume(self) -> float:
        """Volume inside, mm³, counting the share of a voxel that is filled."""
        share = np.clip(0.5 - self.values / self.spacing, 0, 1)
        return float(share.sum(dtype=np.float64) * self.spacing**3)

    def on(self, start: Triple, stop: Triple) -> Floats:
        """Values on another box of the grid; what lies outside the own box is :data:`REACH_MM`."""
        values = np.full(np.subtract(stop, start), REACH_MM, dtype=np.float32)
        low, high = np.maximum(start, self.start), np.minimum(stop, self.stop)
        if np.all(high > low):
            values[_block(low - start, high - start)] = self.values[_block(low - self.start, high - self.start)]
        return values

    def at(self, points: Doubles) -> Doubles:
        """Values at points ``(..., 3)`` in grid millimetres, linear between voxels."""
        index = np.moveaxis(points / self.spacing - np.asarray(self.start), -1, 0)
        return np.asarray(
            ndimage.map_coordinates(self.values, index, order=1, mode="constant", cval=REACH_MM), dtype=np.float64
        )

    def points(self, where: npt.NDArray[np.bool_]) -> Doubles:
        """Grid millimetres ``(N, 3)`` of the box's voxels where the mask holds."""
        return np.asarray((np.argwhere(where) + np.asarray(self.start)) * self.spacing, dtype=np.float64)

    def mesh_grid(self) -> tuple[Floats, Floats, Floats]:
        """Grid millimetres of the box's voxels as arrays that broadcast together."""
        axes = [
            np.arange(a, b, dtype=np.float32) * np.float32(self.spacing)
            for a, b in zip(self.start, self.stop, strict=True)
        ]
        x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
        return x, y, z

    def surface(self) -> tuple[Doubles, Doubles]:
        """Points ``(N, 3)`` on the surface in grid millimetres, and the outward normals there."""
        near = np.abs(self.values) < 0.75 * self.spacing
        points = self.points(near)
        normals = np.stack([np.gradient(self.values, self.spacing, axis=a)[near] for a in range(3)], axis=1)
        normals = normals.astype(np.float64) / np.maximum(np.linalg.norm(normals, axis=1), 1e-6)[:, None]
        return points - self.values[near][:, None] * normals, normals

    def largest(self) -> Field:
        """Without the pieces that do not hang together with the largest one."""
        pieces, count = ndimage.label(self.values < 0)
        if count < 2:
            return self
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        islands = ndimage.binary_dilation((pieces > 0) & (pieces != sizes.argmax()))
        return replace(self, values=np.where(islands & (pieces != sizes.argmax()), np.abs(self.values), self.values))

    def exact(self) -> Field:
        """The distance to the zero surface, computed anew, within ±:data:`REACH_MM` on a box that just holds it."""
        inside = self.values < 0
        if not inside.any():
            return self
        margin = int(np.ceil(REACH_MM / self.spacing))
        held = np.argwhere(inside)
        start = self.start + held.min(axis=0) - margin
        stop = self.start + held.max(axis=0) + 1 + margin
        low = triple(start)
        values = self.on(low, triple(stop))
        corners, triangles, _, _ = marching_cubes(values, level=0.0)
        distance = distance_to_triangles(
            corners[triangles].astype(np.float64) * self.spacing, values < 0, self.spacing, _BAND_VOXELS
        )
        return Field(np.clip(distance, -REACH_MM, REACH_MM), low, self.spacing)


def triple(values: npt.ArrayLike) -> Triple:
    """Three whole numbers as a tuple."""
    x, y, z = np.asarray(values).tolist()
    return int(x), int(y), int(z)


def _block(low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[slice, slice, slice]:
    first, last = triple(low), triple(high)
    return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])


def apart(fields: dict[str, Field], *, rough: bool = False) -> dict[str, Field]:
    """The same with no point inside two of them: where two overlap, the border runs halfway between their surfaces.

    Args:
        fields: By name.
        rough: Whether they are distances only roughly; those returned are exact in any case.
    """
    result = dict(fields)
    names = list(fields)
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            a, b = result[first], result[second]
            low, high = np.maximum(a.start, b.start), np.minimum(a.stop, b.stop)
            if np.any(high <= low):
                continue
            in_a, in_b = _block(low - a.start, high - a.start), _block(low - b.start, high - b.start)
            half = (a.values[in_a] - b.values[in_b]) / 2
            if not ((a.values[in_a] < 0) & (b.values[in_b] < 0)).any():
                continue
            values_a, values_b = a.values.copy(), b.values.copy()
            values_a[in_a] = np.maximum(a.values[in_a], half)
            values_b[in_b] = np.maximum(b.values[in_b], -half)
            result[first], result[second] = replace(a, values=values_a), replace(b, values=values_b)
    return {name: field if field is fields[name] and not rough else field.exact() for name, field in result.items()}
