"""Closed meshes to voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_STL = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(path: Path) -> Floats:
    """Corners ``(N, 3, 3)`` of a binary STL file, in its own coordinates."""
    raw = path.read_bytes()
    count = int(np.frombuffer(raw[80:84], "<u4")[0])
    return np.frombuffer(raw[84:], dtype=_STL, count=count)["corners"].astype(np.float64)


def voxelised(
    meshes: dict[int, Floats], spacing: float, margin: float = 3.0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Label and affine of closed meshes (values to corners, RAS mm) on a straight grid; a voxel is in by its centre."""
    corners = np.concatenate([mesh.reshape(-1, 3) for mesh in meshes.values()])
    low = corners.min(axis=0) - margin
    shape = np.ceil((corners.max(axis=0) + margin - low) / spacing).astype(int)
    label = np.zeros(tuple(shape), dtype=np.uint8)
    for value, mesh in meshes.items():
        part, block = _inside(mesh, low, shape, spacing)
        label[block][part] = value
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low
    return label, affine


def _inside(
    mesh: Floats, low: Floats, shape: npt.NDArray[np.int64], spacing: float
) -> tuple[npt.NDArray[np.bool_], tuple[slice, slice, slice]]:
    """Which voxels of the mesh's own block lie inside, by counting crossings of rays along the last axis."""
    ends = (mesh.reshape(-1, 3).min(axis=0), mesh.reshape(-1, 3).max(axis=0))
    start = np.maximum(np.floor((ends[0] - low) / spacing).astype(int), 0)
    stop = np.minimum(np.ceil((ends[1] - low) / spacing).astype(int) + 1, shape)
    # Rays are moved by less than a thousandth of a voxel, so that none meets a corner or an edge.
    x = low[0] + spacing * np.arange(start[0], stop[0]) + 1.1e-5
    y = low[1] + spacing * np.arange(start[1], stop[1]) + 1.7e-5
    floor, count = low[2] + spacing * start[2], int(stop[2] - start[2])
    crossings = np.zeros((len(x), len(y), count + 1), dtype=bool)
    for (ax, ay, az), (bx, by, bz), (cx, cy, cz) in mesh:
        area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
        i = slice(*np.searchsorted(x, (min(ax, bx, cx), max(ax, bx, cx))))
        j = slice(*np.searchsorted(y, (min(ay, by, cy), max(ay, by, cy))))
        if abs(area) < 1e-12 or i.start == i.stop or j.start == j.stop:
            continue
        px, py = x[i, None] - cx, y[None, j] - cy
        u = ((by - cy) * px + (cx - bx) * py) / area
        v = ((cy - ay) * px + (ax - cx) * py) / area
        hit = (u >= 0) & (v >= 0) & (u + v <= 1)
        at = np.argwhere(hit)
        height = (u * az + v * bz + (1 - u - v) * cz)[hit]
        level = np.clip(np.ceil((height - floor) / spacing).astype(int), 0, count)
        np.logical_xor.at(crossings, (at[:, 0] + i.start, at[:, 1] + j.start, level), True)
    inside = np.logical_xor.accumulate(crossings, axis=2)[..., :-1]
    return inside, (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))
