"""The label to look at: the segmented structures with the two foramina between them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.anatomy import BACKGROUND, TRAINED
from livf.lib.export.style import FORAMINA
from livf.lib.foramen import SIDES, Frame, Measurement, Side, Solid
from livf.lib.foramen.result import side_sign
from livf.lib.values import Affine, to_index, to_world


def with_foramina(label: npt.NDArray[np.uint8], affine: Affine, measurement: Measurement) -> npt.NDArray[np.uint8]:
    """A label with the reconstructed foramina as two further structures, for display.

    A voxel belongs to a foramen when its centre lies in the reconstructed solid and it is background in the label.

    Args:
        label: uint8 ``(I, J, K)``, values of the anatomy table; all but the trained ones become background.
        affine: 4x4, voxel index to RAS+ mm.
        measurement: Of this label; a refused side adds nothing.

    Returns:
        A new array of the same shape.
    """
    shown: npt.NDArray[np.uint8] = np.where(np.isin(label, [s.value for s in TRAINED]), label, np.uint8(BACKGROUND))
    for side in SIDES:
        solid = measurement.foramina[side].solid
        if solid is None or measurement.frame is None:
            continue
        box, inside = _voxels_inside(solid, measurement.frame, side, affine, shown.shape)
        part = shown[box]
        part[inside & (part == BACKGROUND)] = FORAMINA[side].value
    return shown


def _voxels_inside(
    solid: Solid, frame: Frame, side: Side, affine: Affine, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], npt.NDArray[np.bool_]]:
    """The part of the grid around a solid, and which of its voxels' centres lie inside."""
    origin, step = np.asarray(solid.origin), np.asarray(solid.step)
    ends = np.stack(
        np.meshgrid(*np.column_stack([origin, origin + step * (np.array(solid.values.shape) - 1)])), axis=-1
    )
    corners = to_index(affine, frame.side_to_ras(side, ends.reshape(-1, 3)))
    low = np.clip(np.floor(corners.min(axis=0)), 0, shape).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 1, low, shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    index = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), axis=-1)
    place = frame.to_frame(to_world(affine, index)) * [side_sign(side), 1.0, 1.0]
    sample = np.moveaxis((place - origin) / step, -1, 0)
    return box, ndimage.map_coordinates(solid.values, sample, order=1, mode="constant", cval=-1.0) > 0
