"""A disc between two vertebrae whose scan shows bone only: what lies between the facing endplates, within the rims."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

#: A body's core is deeper than this share of the vertebra's greatest depth: arches are half as thick as a body.
_CORE_SHARE: Final = 0.6
#: Sample distance of the column grid, and how far it reaches to the sides, front and back, and up and down, mm.
_STEP: Final = 0.5
_REACH: Final = (34.0, 32.0, 34.0)
#: The endplates' rims reach this far out of the body's waist, mm.
_RIM: Final = 3.0
#: An endplate departs from its smooth surface by at most this away from the disc (rounded rims), and towards it
#: (osteophytes), mm. What departs more is a pedicle or an articular process: the space between them is foramen.
_AWAY: Final = 2.0
_TOWARDS: Final = 4.0
#: Small holes and tongues of the disc's footprint up to this size are mended, mm.
_MEND: Final = 1.5


def synthesised_disc(upper: Bools, lower: Bools, affine: npt.NDArray[np.float64]) -> Bools:
    """The disc between two vertebrae.

    Columns along the line through both bodies are looked at: the disc fills each one from the upper body's lowest bone
    to the lower body's highest, in front of the posterior walls, where both belong to the endplates.

    Args:
        upper: ``(I, J, K)`` mask of the upper vertebra.
        lower: Mask of the lower one.
        affine: 4x4, voxel index to RAS mm, orthogonal axes.

    Returns:
        The disc's mask; it holds no bone.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    centres = [_body_centre(mask, affine, spacing) for mask in (upper, lower)]
    up = _unit(centres[0] - centres[1])
    behind = sum((_centre(mask, affine) for mask in (upper, lower)), np.zeros(3)) / 2
    middle = (centres[0] + centres[1]) / 2
    for _ in range(3):
        front = _unit((middle - behind) - ((middle - behind) @ up) * up)
        axes = np.stack([np.cross(up, front), front, up])
        grid = [np.arange(-r, r + _STEP / 2, _STEP) for r in _REACH]
        columns = [_sampled(mask, affine, middle, axes, grid) for mask in (upper, lower)]
        top, bottom, foot = _gap(columns, centres, middle, axes, grid)
        up = _unit(_normal(top, bottom, foot, grid) @ axes)
    filled = foot[..., None] & (grid[2] < top[..., None] + _STEP) & (grid[2] > bottom[..., None] - _STEP)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in upper.shape), indexing="ij"), axis=-1)
    near = (index @ affine[:3, :3].T + affine[:3, 3] - middle) @ axes.T
    place = (near + np.asarray(_REACH)) / _STEP
    amount = ndimage.map_coordinates(filled.astype(np.float32), np.moveaxis(place, -1, 0), order=1, cval=0.0)
    return _largest((amount > 0.5) & ~upper & ~lower)


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector))


def _centre(mask: Bools, affine: npt.NDArray[np.float64]) -> Floats:
    return np.asarray(affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3])


def _largest(mask: Bools) -> Bools:
    regions, count = ndimage.label(mask)
    return np.asarray(regions == 1 + np.bincount(regions.ravel())[1:].argmax()) if count else mask


def _body_centre(mask: Bools, affine: npt.NDArray[np.float64], spacing: Floats) -> Floats:
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    core = _largest(depth > _CORE_SHARE * depth.max())
    return _centre(core, affine)


def _sampled(mask: Bools, affine: npt.NDArray[np.float64], middle: Floats, axes: Floats, grid: list[Floats]) -> Bools:
    points = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1) @ axes + middle
    index = np.linalg.solve(affine[:3, :3], (points - affine[:3, 3]).reshape(-1, 3).T).reshape(3, *points.shape[:3])
    return np.asarray(ndimage.map_coordinates(mask.astype(np.float32), index, order=1) > 0.5)


def _gap(
    columns: list[Bools], centres: list[Floats], middle: Floats, axes: Floats, grid: list[Floats]
) -> tuple[Floats, Floats, Bools]:
    """Lowest bone of the upper body and highest of the lower one in each column, and the disc's footprint."""
    across, deep, high = grid
    ends, walls = [], []
    for column, place, lowest in zip(columns, centres, (True, False), strict=True):
        centre = axes @ (place - middle)
        waist = column[:, :, np.abs(high - centre[2]) < 2.0].mean(axis=2) > 0.5
        walls.append(_edge(waist[np.abs(across - centre[0]) < 6.0].mean(axis=0) > 0.5, deep, centre[1]))
        facing = column & ((high < centre[2]) if lowest else (high > centre[2]))
        at = facing.argmax(axis=2) if lowest else facing.shape[2] - 1 - facing[:, :, ::-1].argmax(axis=2)
        ends.append(np.where(facing.any(axis=2), high[at], np.nan))
    top, bottom = ends
    foot = np.isfinite(top) & np.isfinite(bottom) & (deep[None, :] > max(walls) - _RIM) & (top - bottom > _STEP)
    inner = foot & (np.abs(across[:, None]) < 12.0) & (np.abs(deep[None, :] - max(walls) - 15.0) < 10.0)
    foot &= _near_endplate(top, inner, foot, grid, 1.0) & _near_endplate(bottom, inner, foot, grid, -1.0)
    disk = np.hypot(*np.mgrid[-3:4, -3:4]) * _STEP <= _MEND
    foot = _largest(ndimage.binary_opening(ndimage.binary_closing(np.pad(foot, 8), disk), disk)[8:-8, 8:-8])
    filled = [ndimage.distance_transform_edt(~np.isfinite(end), return_indices=True)[1] for end in ends]
    top, bottom = (end[tuple(index)] for end, index in zip(ends, filled, strict=True))
    return top, bottom, foot


def _near_endplate(end: Floats, inner: Bools, foot: Bools, grid: list[Floats], away: float) -> Bools:
    """Which columns end near a smooth surface (quadratic) laid through the inner ones; ``away``: +1 for the upper."""
    x, y = np.meshgrid(grid[0] / _REACH[0], grid[1] / _REACH[1], indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    use = inner.copy()
    departure = np.zeros_like(end)
    for _ in range(5):
        fit = np.linalg.lstsq(terms[use], end[use], rcond=None)[0]
        departure = away * (end - terms @ fit)
        use = foot & (departure < _AWAY) & (departure > -_AWAY)
    return foot & (departure < _AWAY) & (departure > -_TOWARDS)


def _edge(bone: Bools, deep: Floats, start: float) -> float:
    """Where bone ends behind a place inside it."""
    behind = np.flatnonzero(~bone & (deep < start))
    return float(deep[behind[-1]]) if behind.size else float(deep[0])


def _normal(top: Floats, bottom: Floats, foot: Bools, grid: list[Floats]) -> Floats:
    """Normal of the plane half-way between the endplates, in the columns' axes."""
    i, j = np.nonzero(foot)
    middle = (top[foot] + bottom[foot]) / 2
    design = np.column_stack([grid[0][i], grid[1][j], np.ones(len(i))])
    by_left, by_front, _ = np.linalg.lstsq(design, middle, rcond=None)[0]
    return _unit(np.array([-by_left, -by_front, 1.0]))
