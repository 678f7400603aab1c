"""From the points of the painted image back to those of the column: turned, scaled, mirrored and smoothly deformed.

The map is computed at the nodes of a coarse lattice and interpolated linearly between them: it is smooth over
centimetres, so that nothing is lost and little is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Block = tuple[slice, slice, slice]

#: Distance of the lattice's nodes, mm.
_NODE_MM: Final = 4.2


@dataclass(frozen=True, eq=False)
class Window:
    """The grid that is painted: isotropic, its axes right, anterior and superior.

    Attributes:
        shape: Voxels.
        spacing: Edge of a voxel, mm.
    """

    shape: tuple[int, int, int]
    spacing: float

    @property
    def every(self) -> int:
        """Voxels between two nodes of the lattice."""
        return max(2, round(_NODE_MM / self.spacing))

    @property
    def whole(self) -> Block:
        """All of it."""
        x, y, z = (slice(0, n) for n in self.shape)
        return x, y, z

    def affine(self) -> Doubles:
        """Voxel index to mm, the window's middle at the origin."""
        affine = np.diag([self.spacing] * 3 + [1.0])
        affine[:3, 3] = -(np.asarray(self.shape) - 1) / 2 * self.spacing
        return affine

    def nodes(self) -> Doubles:
        """``(3, a, b, c)`` mm of the lattice's nodes, the window's middle at the origin."""
        axes = [(np.arange((n - 2) // self.every + 2) * self.every - (n - 1) / 2) * self.spacing for n in self.shape]
        return np.stack(np.meshgrid(*axes, indexing="ij"))

    def between(self, values: npt.NDArray[np.floating], block: Block, stride: int = 1) -> Floats:
        """Interpolate values ``(C, a, b, c)`` at the nodes to every ``stride``-th voxel of a block."""
        places = [np.arange(part.start, part.stop, stride, dtype=np.float32) / self.every for part in block]
        return interpolate(values, places)


@dataclass(frozen=True)
class Warp:
    """How the image's points lie in the (posed) column.

    Attributes:
        scale: How much larger than the column it is painted.
        turn_degrees: Rotations about the right, anterior and superior axis.
        mirror: Whether left and right are exchanged.
        bend_mm: Standard deviation of the smooth displacement along each axis.
        bend_over_mm: Its smoothness: standard deviation of the kernel that the displacement is drawn with.
    """

    scale: float = 1.0
    turn_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mirror: bool = False
    bend_mm: float = 0.0
    bend_over_mm: float = 25.0

    def matrix(self) -> Doubles:
        """3x3: from mm of the image around its focus to mm of the column around the same point."""
        turn = rotation(self.turn_degrees)
        flip = np.diag([-1.0 if self.mirror else 1.0, 1.0, 1.0])
        return np.asarray(flip @ turn / self.scale)

    def at_nodes(self, window: Window, focus: Doubles, offset: Doubles, rng: np.random.Generator) -> Doubles:
        """``(3, a, b, c)`` grid mm of the posed column at the window's nodes.

        Args:
            window: What is painted.
            focus: Grid mm of the column's point that lies ``offset`` from the window's middle.
            offset: mm of the image.
            rng: Source of the smooth displacement.
        """
        nodes = window.nodes()
        moved = nodes - offset[:, None, None, None]
        points = np.tensordot(self.matrix(), moved, axes=1) + focus[:, None, None, None]
        if self.bend_mm > 0:
            points += bend(nodes.shape[1:], window.every * window.spacing, self.bend_over_mm, rng) * self.bend_mm
        return np.asarray(points)


def rotation(degrees: tuple[float, float, float]) -> Doubles:
    """Turn about the first, then the second, then the third axis."""
    total = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = np.cos(angle)
        turn[two, one], turn[one, two] = np.sin(angle), -np.sin(angle)
        total = turn @ total
    return total


def bend(shape: tuple[int, ...], step_mm: float, over_mm: float, rng: np.random.Generator) -> Doubles:
    """Smooth random displacement ``(3, *shape)`` of unit standard deviation on nodes ``step_mm`` apart."""
    sigma = over_mm / step_mm
    pad = int(np.ceil(2 * sigma))
    white = rng.standard_normal((3, *(n + 2 * pad for n in shape)))
    for axis in (1, 2, 3):
        white = ndimage.gaussian_filter1d(white, sigma, axis=axis, mode="wrap", truncate=3.0)
    # White noise under a Gaussian kernel keeps (2 sqrt(pi) sigma)^-1 of its variance along each axis.
    white *= (2 * np.sqrt(np.pi) * sigma) ** 1.5
    inner = tuple(slice(pad, pad + n) for n in shape)
    return np.asarray(white[(slice(None), *inner)])


def interpolate(values: npt.NDArray[np.floating], places: Sequence[npt.NDArray[np.floating]]) -> Floats:
    """Linear interpolation of ``(C, a, b, c)`` at the product of three vectors of positions (in nodes)."""
    result = np.asarray(values, dtype=np.float32)
    for axis, place in enumerate(places, start=1):
        last = max(result.shape[axis] - 2, 0)
        index = np.clip(place.astype(np.intp), 0, last)
        weight = (place - index).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(4)])
        low = result.take(index, axis)
        if result.shape[axis] > 1:
            low += weight * (result.take(index + 1, axis) - low)
        result = low
    return result
