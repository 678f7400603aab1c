"""Where structures lie, in the patient's space."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.values import Affine, Volume, spacing, to_world, voxel_volume

#: How far a voxel of a label may lie from the image's, as a share of the smallest voxel size: room for the rounding of
#: file formats, far less than any resampling.
GRID_TOLERANCE: Final = 0.05
#: Behind the disc's rear edge a body reaches by its lordosis only; laminae, articular and spinous processes lie behind.
BEHIND_MM: Final = 12.0
#: Articular processes and laminae lie further from the midline than this, the spinous process nearer.
BESIDE_MM: Final = 6.0
#: The arches of an adult's L4 and L5 hold several times as much there; the rim of a body holds nothing.
MIN_POSTERIOR_MM3: Final = 2000.0
MIN_POSTERIOR_SIDE_MM3: Final = 300.0
#: Of the disc's voxels from front to back; single voxels at its rear do not count.
_REAR_PERCENTILE: Final = 98.0
#: A disc whose thinnest direction leans further than 60 degrees from the vertical is too small to have a plane.
_UPRIGHT: Final = 0.5
_RIGHT: Final = np.array([1.0, 0.0, 0.0])


def grid_difference(image: Volume, label: Volume) -> str:
    """How a label's grid differs from its image's, in words; empty where it is the same."""
    if image.array.shape != label.array.shape:
        sizes = ("x".join(str(size) for size in volume.array.shape) for volume in (label, image))
        return "{} voxels, the image has {}".format(*sizes)
    corners = np.array(list(itertools.product(*((0, size - 1) for size in image.array.shape))))
    apart = float(np.linalg.norm(to_world(image.affine, corners) - to_world(label.affine, corners), axis=1).max())
    return f"up to {apart:.3g} mm apart" if apart > GRID_TOLERANCE * spacing(image.affine).min() else ""


def centroids(label: npt.NDArray[np.uint8], affine: Affine) -> dict[int, npt.NDArray[np.float64]]:
    """Centre of each value but 0 in RAS+ mm."""
    centres = {}
    for value in np.unique(label):
        if value:
            centres[int(value)] = to_world(affine, np.argwhere(label == value).mean(axis=0))
    return centres


@dataclass(frozen=True)
class PosteriorElements:
    """Bone of a vertebra well behind its body, in mm³: in all, and beside the midline on either side."""

    volume: float
    left: float
    right: float

    @property
    def whole(self) -> bool:
        """Whether there is enough of it to be an arch with its articular processes, not the rim of a body."""
        return self.volume >= MIN_POSTERIOR_MM3 and min(self.left, self.right) >= MIN_POSTERIOR_SIDE_MM3


def posterior_elements(label: npt.NDArray[np.uint8], affine: Affine, vertebra: int, disc: int) -> PosteriorElements:
    """Bone of a vertebra that lies more than :data:`BEHIND_MM` behind the rear edge of the disc.

    The frame is the disc's own: its normal, and the direction to the back at right angles to it and to the line from
    left to right. A body leans back against that frame by its lordosis only, a few mm.

    Args:
        label: Values ``vertebra`` and ``disc``, both present; shape ``(I, J, K)``.
        affine: 4x4, voxel index to RAS+ mm.
        vertebra: Value of the vertebra.
        disc: Value of the disc.
    """
    points = to_world(affine, np.argwhere(label == disc))
    centre = points.mean(axis=0)
    axes = np.linalg.eigh(np.cov((points - centre).T))[1] if len(points) > 2 else np.eye(3)
    normal = axes[:, 0] if abs(axes[2, 0]) > _UPRIGHT else np.array([0.0, 0.0, 1.0])
    back = np.cross(normal, _RIGHT)
    back = back / np.linalg.norm(back) * (-1 if back[1] > 0 else 1)
    rear = np.percentile((points - centre) @ back, _REAR_PERCENTILE)
    bone = to_world(affine, np.argwhere(label == vertebra)) - centre
    behind = bone[bone @ back > rear + BEHIND_MM]
    size = voxel_volume(affine)
    return PosteriorElements(
        len(behind) * size,
        int((behind[:, 0] < -BESIDE_MM).sum()) * size,
        int((behind[:, 0] > BESIDE_MM).sum()) * size,
    )
