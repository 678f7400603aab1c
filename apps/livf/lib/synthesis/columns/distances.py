"""Masks and meshes of bones to signed distances on the column's grid.

A mask with thick slices has steps; its signed distance is interpolated between the slices, smoothed, and then held to
the mask at the centre of every voxel of the scan, so that a lamina one voxel thick is neither lost nor thinned (the
constraint of Whitaker, "Reducing aliasing artifacts in iso-surfaces of binary volumes", 2000).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.synthesis.columns.column import REACH_MM
from livf.lib.synthesis.columns.fields import Doubles, Field, Floats, Grid, Triple, triple
from livf.lib.synthesis.columns.surfaces import distance_to_triangles, voxels_inside
from livf.lib.values import Volume
from livf.lib.values import spacing as spacing_of

#: Edge of a voxel of the column's grid, mm: that of the paper's images.
SPACING_MM: Final = 0.8
#: Room around the bones on the column's grid, mm.
MARGIN_MM: Final = 12.0
#: Smoothing, as a share of the scan's voxel along each axis.
_SMOOTHING: Final = 0.5
_ROUNDS: Final = 4
#: A voxel of the mask keeps its centre at least this share of the voxel on its side of the surface.
_HOLD: Final = 0.1
#: Loose pieces smaller than this are islands, mm³; a process that thick slices tore off is larger.
_ISLAND_MM3: Final = 150.0
#: A bone that meets the border with this area, and not on a taper, was cut by it, mm².
_CUT_MM2: Final = 30.0
_CUT_TAPER: Final = 0.75


def grid_around(points: Doubles, rotation: Doubles | None = None) -> Grid:
    """The grid that holds points ``(N, 3)``, RAS mm, with :data:`MARGIN_MM` of room.

    Args:
        points: RAS mm.
        rotation: Columns are the directions of the scan's axes, nearest to R, A and S; None for R, A and S themselves.
    """
    turn = np.eye(3) if rotation is None else rotation
    local = points @ turn
    low, high = local.min(axis=0) - MARGIN_MM, local.max(axis=0) + MARGIN_MM
    shape = np.ceil((high - low) / SPACING_MM).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = turn * SPACING_MM
    affine[:3, 3] = turn @ low
    return Grid(triple(shape), affine)


def scan_axes(affine: Doubles) -> Doubles:
    """Directions of a scan's axes, ordered and turned to lie nearest to R, A and S: a rotation ``(3, 3)`` by columns.

    Scans have a little shear where the gantry was tilted; the nearest rotation leaves it to the resampling.
    """
    unit = affine[:3, :3] / spacing_of(affine)
    order = np.argmax(np.abs(unit), axis=1)
    if len(set(order.tolist())) < 3:  # half-way between two axes: any choice is right
        return np.eye(3)
    unit = unit[:, order] * np.sign(np.diag(unit[:, order]))
    left, _, right = np.linalg.svd(unit)
    return np.asarray(left @ right)


def clean(mask: npt.NDArray[np.bool_], voxel_mm3: float) -> npt.NDArray[np.bool_]:
    """Without islands or closed cavities: the largest piece and those over :data:`_ISLAND_MM3` stay."""
    mask = ndimage.binary_fill_holes(mask)
    pieces, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    stays = sizes * voxel_mm3 >= _ISLAND_MM3
    stays[sizes.argmax()] = True
    return np.asarray(stays[pieces])


def is_whole(mask: npt.NDArray[np.bool_], voxel: Doubles) -> bool:
    """Whether a bone ends within the scan.

    A scan cropped close to a bone touches it too, but with the tip of a process or the top of a dome: the section at
    the border is then small or much smaller than the next one. A cut leaves the section as large as the next.

    Args:
        mask: On the whole scan.
        voxel: Size of a voxel along each axis, mm.
    """
    for axis in range(3):
        area = float(np.prod(np.delete(voxel, axis)))
        for border, beside in ((0, 1), (-1, -2)):
            first = np.take(mask, border, axis).sum() * area
            second = np.take(mask, beside, axis).sum() * area
            if first >= _CUT_MM2 and first >= _CUT_TAPER * second:
                return False
    return True


def from_mask(mask: npt.NDArray[np.bool_], affine: Doubles, grid: Grid) -> Field:
    """Signed distance to the surface of :func:`smoothed`."""
    return smoothed(mask, affine, grid).exact()


def smoothed(mask: npt.NDArray[np.bool_], affine: Doubles, grid: Grid) -> Field:
    """A field whose zero is the surface of a mask, of the mask's volume, without the steps of its voxels.

    It is a distance only roughly; :meth:`Field.exact` makes it one.

    Args:
        mask: ``(I, J, K)``, one bone, not empty.
        affine: Of the mask, index to RAS mm.
        grid: Of the column.
    """
    voxel = spacing_of(affine)
    mask, affine = _cropped(mask, affine, voxel)
    stepped = _between_voxels(mask, voxel)
    to_grid = np.linalg.inv(grid.affine) @ affine
    start, shape = _fine_box(mask, to_grid)
    from_box = np.linalg.inv(affine) @ grid.affine @ _shift(start)
    into_box = np.linalg.inv(from_box)

    def sampled(values: Doubles, order: int) -> Floats:
        return np.asarray(
            ndimage.affine_transform(
                values, from_box[:3, :3], from_box[:3, 3], shape, np.float32, order=order, mode="nearest"
            )
        )

    values = sampled(stepped, 3)
    # The scan's voxel along each axis of the grid, whatever the order of the scan's own axes.
    along = np.abs(to_grid[:3, :3]) @ np.ones(3)
    hold = _HOLD * voxel.min()
    for _ in range(_ROUNDS):
        values = ndimage.gaussian_filter(values, _SMOOTHING / np.sqrt(_ROUNDS) * along, mode="nearest")
        here = ndimage.affine_transform(values, into_box[:3, :3], into_box[:3, 3], mask.shape, order=1, mode="nearest")
        wrong = np.where(mask, np.minimum(-hold - here, 0), np.maximum(hold - here, 0))
        values = values + sampled(wrong, 1)
    values = _to_volume(values, float(mask.sum() * np.prod(voxel)), grid.spacing)
    return Field(np.clip(values, -REACH_MM, REACH_MM), start, grid.spacing).largest()


def from_mesh(triangles: Doubles, grid: Grid) -> Field:
    """Signed distance to a closed mesh.

    Args:
        triangles: ``(N, 3, 3)`` corners, RAS mm.
        grid: Of the column.
    """
    local = grid.from_world(triangles.reshape(-1, 3))
    margin = int(np.ceil(REACH_MM / grid.spacing))
    low = np.floor(local.min(axis=0) / grid.spacing).astype(int) - margin
    high = np.ceil(local.max(axis=0) / grid.spacing).astype(int) + margin + 1
    corners = (local - low * grid.spacing).reshape(-1, 3, 3)
    inside = voxels_inside(corners, triple(high - low), grid.spacing)
    values = distance_to_triangles(corners, inside, grid.spacing, 3.5)
    return Field(np.clip(values, -REACH_MM, REACH_MM), triple(low), grid.spacing)


def masks_of(label: Volume, numbers: Mapping[int, str]) -> dict[str, npt.NDArray[np.bool_]]:
    """The bones of a label image by name, from the top down as the numbers are listed; islands removed."""
    voxel_mm3 = float(np.prod(label.spacing))
    masks = {name: label.array == number for number, name in numbers.items()}
    return {name: clean(mask, voxel_mm3) for name, mask in masks.items() if mask.any()}


def _cropped(mask: npt.NDArray[np.bool_], affine: Doubles, voxel: Doubles) -> tuple[npt.NDArray[np.bool_], Doubles]:
    """The mask's own box with empty voxels around it, at least :data:`REACH_MM`, and its affine."""
    room = np.ceil((REACH_MM + 2) / voxel).astype(int)
    held = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    low = np.array([h[0] for h in held])
    block = tuple(slice(int(h[0]), int(h[-1]) + 1) for h in held)
    return np.pad(mask[block], [(int(r), int(r)) for r in room]), affine @ _shift(low - room)


def _between_voxels(mask: npt.NDArray[np.bool_], voxel: Doubles) -> Doubles:
    """Signed distance at voxel centres to the faces between voxels, mm, whatever their shape.

    The nearest voxel on the other side is ``n`` voxels away along the axis that takes most: the surface lies half a
    step before it.
    """
    values = np.empty(mask.shape)
    for side, sign in ((mask, -1.0), (~mask, 1.0)):
        distance, nearest = ndimage.distance_transform_edt(side, sampling=voxel, return_indices=True)
        steps = np.abs(nearest - np.indices(mask.shape)).max(axis=0)
        values[side] = (sign * distance * (1 - 0.5 / np.maximum(steps, 1)))[side]
    return values


def _fine_box(mask: npt.NDArray[np.bool_], to_grid: Doubles) -> tuple[Triple, Triple]:
    """Start and shape of the grid's box that holds all of a (padded) mask."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in mask.shape])).reshape(3, -1)
    index = to_grid[:3, :3] @ corners + to_grid[:3, 3:]
    low, high = np.floor(index.min(axis=1)).astype(int), np.ceil(index.max(axis=1)).astype(int) + 1
    size = high - low
    return triple(low), triple(size)


def _shift(offset: npt.ArrayLike) -> Doubles:
    moved = np.eye(4)
    moved[:3, 3] = offset
    return moved


def _to_volume(values: Floats, volume: float, spacing: float) -> Floats:
    """The values moved by a constant so that they enclose a volume, mm³."""
    low, high = -1.0, 1.0
    for _ in range(20):
        shift = (low + high) / 2
        filled = float(np.clip(0.5 - (values + shift) / spacing, 0, 1).sum(dtype=np.float64)) * spacing**3
        low, high = (shift, high) if filled > volume else (low, shift)
    return values + np.float32((low + high) / 2)
