"""Triangles to signed distances, and closed STL meshes to voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from livf.lib.errors import InputError, NotFoundError

Doubles = npt.NDArray[np.float64]
_STL: Final = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_STL_HEADER: Final = 84
#: Triangles looked at for each point: those of the nearest samples.
_CANDIDATES: Final = 3


def read_stl(path: Path) -> Doubles:
    """Corners ``(N, 3, 3)`` of a binary STL file, in its own coordinates.

    Raises:
        NotFoundError: There is no such file.
        InputError: It is not a binary STL file.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise NotFoundError("cannot be read", path, "see scripts/fetch_anatomy.py for where it is from") from error
    count = int(np.frombuffer(raw[80:_STL_HEADER], "<u4")[0]) if len(raw) >= _STL_HEADER else 0
    if count == 0 or len(raw) != _STL_HEADER + count * _STL.itemsize:
        raise InputError("is not a whole binary STL file", path, "copy or download it again")
    return np.frombuffer(raw[_STL_HEADER:], dtype=_STL, count=count)["corners"].astype(np.float64)


def voxels_inside(triangles: Doubles, shape: tuple[int, int, int], spacing: float) -> npt.NDArray[np.bool_]:
    """Which voxels have their centre inside a closed mesh, by counting the crossings of rays along the last axis.

    Args:
        triangles: ``(N, 3, 3)`` corners, mm from the centre of the first voxel.
        shape: Of the grid.
        spacing: Edge of a voxel, mm.
    """
    # Rays are moved by less than a thousandth of a voxel, so that none meets a corner or an edge.
    shift = np.array([1.1e-5, 1.7e-5])
    crossings = np.zeros((shape[0], shape[1], shape[2] + 1), dtype=bool)
    low = np.clip(np.ceil((triangles[:, :, :2].min(axis=1) - shift) / spacing), 0, None).astype(int)
    high = np.floor((triangles[:, :, :2].max(axis=1) - shift) / spacing).astype(int)
    high = np.minimum(high, np.array(shape[:2]) - 1)
    sizes = np.maximum(high - low + 1, 0)
    counts = sizes[:, 0] * sizes[:, 1]
    owner = np.repeat(np.arange(len(triangles)), counts)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    i = low[owner, 0] + rank // np.maximum(sizes[owner, 1], 1)
    j = low[owner, 1] + rank % np.maximum(sizes[owner, 1], 1)
    a, b, c = (triangles[owner, corner] for corner in range(3))
    area = (b[:, 1] - c[:, 1]) * (a[:, 0] - c[:, 0]) + (c[:, 0] - b[:, 0]) * (a[:, 1] - c[:, 1])
    flat = np.abs(area) < 1e-12
    area = np.where(flat, 1.0, area)
    x, y = i * spacing + shift[0] - c[:, 0], j * spacing + shift[1] - c[:, 1]
    u = ((b[:, 1] - c[:, 1]) * x + (c[:, 0] - b[:, 0]) * y) / area
    v = ((c[:, 1] - a[:, 1]) * x + (a[:, 0] - c[:, 0]) * y) / area
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & ~flat
    height = u * a[:, 2] + v * b[:, 2] + (1 - u - v) * c[:, 2]
    level = np.clip(np.ceil(height[hit] / spacing).astype(int), 0, shape[2])
    np.logical_xor.at(crossings, (i[hit], j[hit], level), True)
    return np.asarray(np.logical_xor.accumulate(crossings, axis=2)[..., :-1])


def distance_to_triangles(
    triangles: Doubles, inside: npt.NDArray[np.bool_], spacing: float, band: float
) -> npt.NDArray[np.float32]:
    """Signed distance to a closed surface, mm: exact within ``band`` voxels, between voxels (to 0.3 mm) beyond.

    Args:
        triangles: ``(N, 3, 3)`` corners, mm from the centre of the first voxel.
        inside: ``(X, Y, Z)``, which voxels lie inside.
        spacing: Edge of a voxel, mm.
        band: In voxels.
    """
    outward = ndimage.distance_transform_edt(~inside) - 0.5
    inward = ndimage.distance_transform_edt(inside) - 0.5
    voxels = np.where(inside, -inward, outward)
    distance = (voxels * spacing).astype(np.float32)
    near = np.abs(voxels) < band
    points = np.asarray(np.argwhere(near) * spacing, dtype=np.float64)
    samples, owners = _samples(triangles, spacing)
    _, nearest = cKDTree(samples).query(points, k=_CANDIDATES)
    best = np.full(len(points), np.inf)
    for candidate in owners[nearest].T:
        np.minimum(best, _to_triangle(points, triangles[candidate]), out=best)
    distance[near] = np.where(inside[near], -best, best)
    return np.asarray(distance)


def _samples(triangles: Doubles, spacing: float) -> tuple[Doubles, npt.NDArray[np.int_]]:
    """Points on each triangle no further apart than about a voxel, and the triangle of each."""
    longest = np.linalg.norm(triangles - np.roll(triangles, 1, axis=1), axis=2).max(axis=1)
    order = np.clip(np.ceil(longest / spacing), 1, 40).astype(int)
    points, owners = [], []
    for n in np.unique(order):
        own = np.flatnonzero(order == n)
        # Centres of the small triangles that a division of each edge by n makes.
        first, second = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
        upright = np.stack([first, second], axis=-1)[first + second < n] + 1 / 3
        turned = np.stack([first, second], axis=-1)[first + second < n - 1] + 2 / 3
        uv = np.concatenate([upright, turned]) / n
        weights = np.column_stack([uv, 1 - uv.sum(axis=1)])
        points.append(np.einsum("kc,ncx->nkx", weights, triangles[own]).reshape(-1, 3))
        owners.append(np.repeat(own, len(weights)))
    return np.concatenate(points), np.concatenate(owners)


def _to_triangle(points: Doubles, triangles: Doubles) -> Doubles:
    """Distance of each point to its own triangle."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    normal = normal / np.maximum(length, 1e-12)[:, None]
    away = np.einsum("ni,ni->n", points - a, normal)
    foot = points - away[:, None] * normal
    edges = np.full(len(points), np.inf)
    over = length > 1e-12
    for p, q in ((a, b), (b, c), (c, a)):
        edge = q - p
        along = np.einsum("ni,ni->n", points - p, edge) / np.maximum(np.einsum("ni,ni->n", edge, edge), 1e-12)
        edges = np.minimum(edges, np.linalg.norm(points - p - np.clip(along, 0, 1)[:, None] * edge, axis=1))
        over &= np.einsum("ni,ni->n", np.cross(edge, foot - p), normal) >= 0
    return np.asarray(np.where(over, np.abs(away), edges))
