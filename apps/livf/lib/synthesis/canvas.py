"""The image being painted: tissues laid over one another, each with the share of every voxel that it fills."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from livf.lib.synthesis.implicit import Floats, Part, Pose, rod
from livf.lib.synthesis.tissues import TISSUES, Sequence


class Canvas:
    """The image being painted, and the grid it lies on."""

    def __init__(self, axes: tuple[Floats, Floats, Floats], sequence: Sequence, rng: np.random.Generator) -> None:
        self.axes = axes
        self.x, self.y, self.z = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
        self.step = float(axes[0][1] - axes[0][0])
        self.shape = (axes[0].size, axes[1].size, axes[2].size)
        self.image = np.zeros(self.shape, dtype=np.float32)
        # People differ by some per cent from the textbook in every tissue.
        self.signals = {name: sequence.signal(t) * float(rng.normal(1, 0.07)) for name, t in TISSUES.items()}

    def block(self, low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[slice, slice, slice]:
        """Slices of the grid between two RAS corners."""
        first, second, third = (
            slice(*np.searchsorted(axis, pair))
            for axis, pair in zip(self.axes, zip(np.ravel(low), np.ravel(high), strict=True), strict=True)
        )
        return first, second, third

    def points(self, block: tuple[slice, slice, slice]) -> tuple[Floats, Floats, Floats]:
        """Coordinates of a block, broadcastable."""
        return self.x[block[0]], self.y[:, block[1]], self.z[:, :, block[2]]

    def cover(self, distance: Floats) -> Floats:
        """Share of a voxel that lies inside a surface at this signed distance (mm)."""
        return np.asarray(np.clip(0.5 - distance / np.float32(self.step), 0, 1), dtype=np.float32)

    def paint(
        self, distance: Floats, signal: str | float | Floats, block: tuple[slice, slice, slice] | None = None
    ) -> None:
        """Lay a tissue over what is there."""
        target = self.image if block is None else self.image[block]
        value = self.signals[signal] if isinstance(signal, str) else signal
        share = self.cover(distance)
        target += share * (np.asarray(value, dtype=np.float32) - target)

    def paint_rod(
        self, pose: Pose, start: Any, end: Any, radii: Any, signal: str | float | Floats, **options: Any
    ) -> None:
        """Lay a rod, given in a local frame, over what is there."""
        part = rod(start, end, *radii, **options)
        corners = pose.to_world([(a, b, c) for a in _pair(part, 0) for b in _pair(part, 1) for c in _pair(part, 2)])
        block = self.block(corners.min(axis=0) - 2, corners.max(axis=0) + 2)
        if all(s.stop > s.start for s in block):
            local = np.broadcast_arrays(*pose.to_local(*self.points(block)))
            self.paint(part.function(*local), signal, block)

    def noise(self, scale: float, rng: np.random.Generator, stretch: tuple[float, float, float] = (1, 1, 1)) -> Floats:
        """Smooth random texture of unit variance (about) with features of ``scale`` mm, over the whole grid."""
        return smooth_noise(self.shape, [self.step / (scale * s) for s in stretch], rng)


def _pair(part: Part, axis: int) -> tuple[float, float]:
    return part.low[axis], part.high[axis]


def smooth_noise(shape: tuple[int, ...], rates: list[float], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Linear interpolation of white noise given on a coarser grid (``rates``: coarse cells a voxel)."""
    coarse = [int(np.ceil(n * rate)) + 3 for n, rate in zip(shape, rates, strict=True)]
    value = rng.standard_normal(coarse, dtype=np.float32)
    for axis, (n, rate) in enumerate(zip(shape, rates, strict=True)):
        position = np.arange(n, dtype=np.float32) * np.float32(rate) + np.float32(rng.random())
        index = position.astype(np.intp)
        weight = (position - index).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        value = value.take(index, axis) * (1 - weight) + value.take(index + 1, axis) * weight
    # Interpolation between independent neighbours takes away about a third of the standard deviation an axis.
    return np.asarray(value * np.float32(1.22 ** len(shape)), dtype=np.float32)
