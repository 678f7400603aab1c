"""Distances between the surfaces of a structure in two labels, in mm.

The surface of a structure are its voxels with a face neighbour outside it (or at the image's edge); distances run
from voxel centre to the nearest centre of the other surface, in world space, so that anisotropic voxels count as long
as they are. This is the rule of MONAI's ``compute_hausdorff_distance`` and ``compute_average_surface_distance``: a test
compares them. MONAI itself would bring torch to a command that needs none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import KDTree

from livf.lib.values import Affine, to_world

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces are apart.

    Attributes:
        hd95_mm: The larger of the two directed 95th percentiles.
        assd_mm: Mean over the distances of both surfaces.
    """

    hd95_mm: float
    assd_mm: float


def surface_distances(predicted: Mask, truth: Mask, affine: Affine) -> SurfaceDistances | None:
    """Distances of the surfaces of two masks on one grid.

    Args:
        predicted: ``(I, J, K)``, bool.
        truth: The same shape.
        affine: 4x4, voxel index to RAS mm.

    Returns:
        The distances; None where one of the masks is empty: there is no surface to be far from.

    Raises:
        ValueError: The masks have different shapes.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"masks of different shapes: {predicted.shape} and {truth.shape}")
    one, two = (to_world(affine, _surface(mask)) for mask in (predicted, truth))
    if not len(one) or not len(two):
        return None
    there, back = KDTree(two).query(one)[0], KDTree(one).query(two)[0]
    return SurfaceDistances(
        hd95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        assd_mm=float(np.concatenate([there, back]).mean()),
    )


def _surface(mask: Mask) -> npt.NDArray[np.int64]:
    """Indices ``(N, 3)`` of the surface's voxels."""
    box = ndimage.find_objects(mask.astype(np.uint8))
    if not box:
        return np.empty((0, 3), dtype=np.int64)
    inner = mask[box[0]]
    inside = np.asarray(ndimage.binary_erosion(inner), dtype=np.bool_)
    start = np.array([part.start for part in box[0]], dtype=np.int64)
    return np.asarray(np.argwhere(inner & ~inside) + start, dtype=np.int64)
