"""What the scanner does to the tissues: slices, point spread, coil, motion, ghosts and noise.

The tissues lie on a fine isotropic grid. A scan averages them over each slice's thickness and each pixel, spoils them,
and is then put back on the fine grid as the segmenter does with any image: linearly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.synthesis.canvas import smooth_noise
from livf.lib.synthesis.painting.deform import interpolate

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: Grey values per unit of signal (fat near the coil), as scanners store them.
GREY: Final = 800.0
#: Largest value that is stored.
WHITE: Final = 32000
#: Below this much of a fine voxel a difference of spacing is none.
_SAME: Final = 1e-3


@dataclass(frozen=True)
class Scan:
    """A protocol and its faults.

    Attributes:
        thickness_mm: Of a sagittal slice; 0 for a 3D scan with the fine grid's own voxels.
        gap_mm: Between two slices.
        in_plane_mm: Edge of a pixel; never finer than the fine grid.
        blur_mm: Standard deviation of the point spread in the plane.
        noise: Standard deviation of the Rician noise relative to fat, for each pixel of the scan.
        coil_depth_mm: Depth over which the spine coil's sensitivity falls to 1/e.
        coil_floor: Sensitivity far from the coil.
        drift: Standard deviation of a smooth drift of the intensity.
        ghost: Strength of a displaced copy of the image.
        ghost_shift: Its displacement as a share of the window.
        along: Phase-encoding axis of ghosts and motion: 1 anterior, 2 superior.
        motion_mm: How far the anatomy moved between two parts of the scan.
        gamma: Of the intensities.
    """

    thickness_mm: float = 0.0
    gap_mm: float = 0.0
    in_plane_mm: float = 0.8
    blur_mm: float = 0.45
    noise: float = 0.03
    coil_depth_mm: float = 110.0
    coil_floor: float = 0.35
    drift: float = 0.06
    ghost: float = 0.0
    ghost_shift: float = 0.3
    along: int = 2
    motion_mm: float = 0.0
    gamma: float = 1.0


@dataclass(frozen=True, eq=False)
class Acquired:
    """A scan.

    Attributes:
        fine: float32 on the fine grid.
        native: float32 on the scan's own grid.
        step: Voxel of ``native`` along each axis, in fine voxels.
        start: Place of its first voxel, in fine voxels.
    """

    fine: Floats
    native: Floats
    step: tuple[float, float, float]
    start: tuple[float, float, float]


def draw_scan(rng: np.random.Generator) -> Scan:
    """3D (a third) or a sagittal stack, with the faults of an ordinary day."""
    stack = rng.random() < 0.65
    return Scan(
        thickness_mm=float(rng.uniform(3.0, 5.0)) if stack else 0.0,
        gap_mm=float(rng.uniform(0.0, 1.0)) if stack else 0.0,
        in_plane_mm=float(rng.uniform(0.4, 1.0)) if stack else 0.8,
        blur_mm=float(rng.uniform(0.15, 0.6)),
        noise=float(np.exp(rng.uniform(np.log(0.008), np.log(0.07)))),
        coil_depth_mm=float(rng.uniform(60, 220)),
        coil_floor=float(rng.uniform(0.15, 0.7)),
        drift=float(rng.uniform(0.0, 0.15)),
        ghost=float(rng.uniform(0.02, 0.12)) if rng.random() < 0.2 else 0.0,
        ghost_shift=float(rng.uniform(0.1, 0.9)),
        along=int(rng.choice((1, 2))),
        motion_mm=float(rng.uniform(0.3, 1.5)) if rng.random() < 0.15 else 0.0,
        gamma=float(np.exp(rng.normal(0, 0.12))),
    )


def acquire(tissue: Floats, spacing: float, scan: Scan, coil_at: Floats, rng: np.random.Generator) -> Acquired:
    """Scan tissues that lie on a fine grid (right, anterior, superior).

    Args:
        tissue: float32 ``(X, Y, Z)``, signal relative to fat.
        spacing: Of the fine grid, mm.
        scan: What to do.
        coil_at: Depth below the coil, mm, broadcastable to ``tissue``.
        rng: Source of noise, of the drift and of where the first slice lies.
    """
    image = tissue * sensitivity(tissue.shape, spacing, scan, coil_at, rng)
    if scan.gamma != 1.0:
        np.power(np.maximum(image, 0, out=image), np.float32(scan.gamma), out=image)
    if scan.motion_mm > 0:
        image = _moved(image, scan.motion_mm / spacing, scan.along)
    if scan.blur_mm > 0:
        for axis in (1, 2) if scan.thickness_mm > 0 else (0, 1, 2):
            image = ndimage.gaussian_filter1d(image, scan.blur_mm / spacing, axis=axis, truncate=3.0)
    steps = (
        max((scan.thickness_mm + scan.gap_mm) / spacing, 1.0) if scan.thickness_mm > 0 else 1.0,
        max(scan.in_plane_mm / spacing, 1.0),
        max(scan.in_plane_mm / spacing, 1.0),
    )
    starts = []
    for axis, step in enumerate(steps):
        if step <= 1 + _SAME:
            starts.append(0.0)
            continue
        width = scan.thickness_mm / spacing if axis == 0 else step
        start = float(rng.uniform(0, step)) if axis == 0 else (step - 1) / 2
        count = int(np.floor((image.shape[axis] - 1 - start) / step)) + 1
        image = slabs(image, axis, start + step * np.arange(max(count, 1)), width)
        starts.append(start)
    if scan.ghost > 0:
        image = image + np.float32(scan.ghost) * np.roll(
            image, round(scan.ghost_shift * image.shape[scan.along]), axis=scan.along
        )
    # Averaging pixels finer than the grid lowers their noise.
    sigma = np.float32(scan.noise * min(scan.in_plane_mm / spacing, 1.0))
    image = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    native = np.hypot(image, sigma * rng.standard_normal(image.shape, dtype=np.float32)).astype(np.float32)
    step3, start3 = (steps[0], steps[1], steps[2]), (starts[0], starts[1], starts[2])
    return Acquired(_back(native, tissue.shape, step3, start3), native, step3, start3)


def slabs(image: Floats, axis: int, centres: npt.ArrayLike, width: float) -> Floats:
    """Mean of an image over slabs of ``width`` voxels around ``centres`` (voxels) along an axis.

    Each voxel is a constant over its own extent; beyond the border the last one goes on.
    """
    count = image.shape[axis]
    centres = np.asarray(centres, dtype=np.float64)
    total = np.concatenate([np.zeros_like(image.take([0], axis)), np.cumsum(image, axis=axis, dtype=np.float32)], axis)

    def upto(edge: Doubles) -> Floats:
        inside = np.clip(edge + 0.5, 0, count)
        low = np.minimum(inside.astype(np.intp), count - 1)
        weight = (inside - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
        return np.asarray(total.take(low, axis) + weight * image.take(low, axis))

    low, high = centres - width / 2, centres + width / 2
    size = np.clip(high + 0.5, 0, count) - np.clip(low + 0.5, 0, count)
    return np.asarray(
        (upto(high) - upto(low))
        / np.maximum(size, 1e-6).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(image.ndim)]),
        dtype=np.float32,
    )


def sensitivity(
    shape: tuple[int, ...], spacing: float, scan: Scan, coil_at: Floats, rng: np.random.Generator
) -> Floats:
    """Coil and drift, about 1 near the coil."""
    coil = np.float32(scan.coil_floor) + np.float32(1 - scan.coil_floor) * np.exp(
        -np.maximum(coil_at, 0) / np.float32(scan.coil_depth_mm)
    )
    drift = smooth_noise(shape, [spacing / 90.0] * 3, rng)
    return np.asarray(coil * np.exp(np.float32(scan.drift) * drift), dtype=np.float32)


def _moved(image: Floats, shift: float, axis: int) -> Floats:
    """The mean of two positions: what motion half-way through the scan leaves after the centre of k-space."""
    whole = int(np.floor(shift))
    part = np.float32(shift - whole)
    moved = (1 - part) * np.roll(image, whole, axis=axis) + part * np.roll(image, whole + 1, axis=axis)
    return np.asarray(np.float32(0.65) * image + np.float32(0.35) * moved, dtype=np.float32)


def _back(
    native: Floats,
    shape: tuple[int, ...],
    step: tuple[float, float, float],
    start: tuple[float, float, float],
) -> Floats:
    if native.shape == shape and max(step) <= 1 + _SAME:
        return native
    places = [
        np.clip((np.arange(n) - first) / size, 0, have - 1).astype(np.float32)
        for n, first, size, have in zip(shape, start, step, native.shape, strict=True)
    ]
    return np.asarray(interpolate(native[None], places)[0])
