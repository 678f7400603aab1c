"""From an image to the network's input and back: pure functions with an explicit inverse.

Images here are in network order (superior, right, anterior), see :mod:`livf.lib.segmentation.orientation`. The
network's grid has the image's own axes, so resampling is separable and, on the paper's grid, a plain crop.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import BACKGROUND, CHANNELS, TRAINED
from livf.lib.errors import InputError
from livf.lib.segmentation import resample
from livf.lib.segmentation.config import PreprocessConfig, Shape, Triple
from livf.lib.values import Affine, Volume

Floats = npt.NDArray[np.float32]
Region = tuple[slice, slice, slice]

#: A field of view below this cannot hold the L4-L5 level, mm (superior, right, anterior).
SMALLEST_FIELD_MM: Final = (40.0, 30.0, 60.0)
#: Voxel sizes that agree to this are equal: single-precision headers are off by some 1e-7. The drift over 320 voxels
#: stays below 0.04 of a voxel, and the way back uses the same positions.
_SAME_SPACING: Final = 1e-4
#: Range of the tissues' values, and how far beyond it a value may lie, share of that range.
CLIP_PERCENTILES: Final = (0.5, 99.5)
CLIP_BEYOND: Final = 1.3
#: Slabs of the way back hold about this many probabilities at a time.
_SLAB: Final = 2**24


@dataclass(frozen=True)
class Placement:
    """Where the box lies in an image of network order.

    Attributes:
        start: Position of the grid's first voxel on each axis, in image voxels (0 is the middle of the first).
        step: Size of a grid voxel, in image voxels.
        shape: Voxels of the grid.
    """

    start: Triple
    step: Triple
    shape: Shape

    def positions(self, axis: int) -> npt.NDArray[np.float64]:
        """Middle of each grid voxel along an axis, in image voxels."""
        return self.start[axis] + self.step[axis] * np.arange(self.shape[axis], dtype=np.float64)

    def inside(self, shape: Shape) -> Region:
        """Grid voxels whose middle the image covers."""
        parts = []
        for axis in range(3):
            at = self.positions(axis)
            covered = np.flatnonzero((at > -0.5 - 1e-6) & (at < shape[axis] - 0.5 + 1e-6))
            parts.append(slice(int(covered[0]), int(covered[-1]) + 1) if len(covered) else slice(0, 0))
        return parts[0], parts[1], parts[2]


@dataclass(frozen=True, eq=False)
class Prepared:
    """The network's input, and what the way back needs.

    Attributes:
        array: float32, the shape of the box; normalised, 0 outside the image.
        affine: 4x4, grid index to RAS+ mm.
        placement: Where the grid lies in the image.
        inside: Part of the grid that the image covers.
        image_shape: Shape of the image in network order.
    """

    array: Floats
    affine: Affine
    placement: Placement
    inside: Region
    image_shape: Shape


def steps(volume: Volume, config: PreprocessConfig) -> Triple:
    """Size of a grid voxel in voxels of the image, each axis; exactly 1 where the sizes agree."""
    sizes = config.spacing_mm / volume.spacing
    s, r, a = (1.0 if abs(size - 1) < _SAME_SPACING else float(size) for size in sizes)
    return s, r, a


def check_field(volume: Volume) -> None:
    """Refuse an image that cannot hold the L4-L5 level.

    Raises:
        InputError: It is too small along one of its axes.
    """
    names = ("from top to bottom", "from left to right", "from front to back")
    for size, least, name in zip(np.asarray(volume.shape) * volume.spacing, SMALLEST_FIELD_MM, names, strict=True):
        if size < least - 1e-3:
            raise InputError(
                f"covers {size:.0f} mm {name}; L4 to L5 needs at least {least:.0f} mm",
                volume.source,
                "give a lumbar spine MRI, the whole series",
            )


def place(volume: Volume, config: PreprocessConfig, middle: Triple) -> Placement:
    """Lay the box round a point.

    Args:
        volume: Image in network order.
        config: The network's grid.
        middle: Where the box's middle shall be, in image voxels. Along axes that have the grid's voxel size it is
            moved by at most half a voxel, so that nothing is interpolated.
    """
    step = steps(volume, config)
    start = []
    for axis in range(3):
        first = middle[axis] - (config.box_shape[axis] - 1) / 2 * step[axis]
        # Just below a half goes down: the same for both parities of the field.
        start.append(float(np.ceil(first - 0.5 - 1e-6)) if step[axis] == 1.0 else first)
    return Placement((start[0], start[1], start[2]), step, config.box_shape)


def place_by_field(volume: Volume, config: PreprocessConfig) -> Placement:
    """Lay the box where the paper's crop has it in a field of view of the paper's kind.

    The rule counts voxels of the network's size. An axis whose field is smaller than the box is centred in it.
    """
    step = steps(volume, config)
    middle = []
    for axis in range(3):
        length = volume.shape[axis] / step[axis]
        at = config.crop[axis].middle(length) if length > config.box_shape[axis] else length / 2
        middle.append(at * step[axis] - 0.5)
    return place(volume, config, (middle[0], middle[1], middle[2]))


def place_at_disc(volume: Volume, config: PreprocessConfig, disc: Triple) -> Placement:
    """Lay the box so that a point (image voxels) in the disc has its usual place in it."""
    offset = np.asarray(config.disc_offset_mm) / volume.spacing
    s, r, a = (float(point - shift) for point, shift in zip(disc, offset, strict=True))
    return place(volume, config, (s, r, a))


def prepare(volume: Volume, config: PreprocessConfig, placement: Placement) -> Prepared:
    """Bring an image to the network's grid and normalise it.

    Args:
        volume: Image in network order.
        config: Normalisation; the grid is the placement's.
        placement: Where the box lies.

    Raises:
        InputError: The box does not meet the image, or the image is constant there.
    """
    inside = placement.inside(volume.shape)
    if any(part.stop <= part.start for part in inside):
        raise InputError("the point lies outside the image", volume.source, "give a point in the L4-L5 disc, RAS mm")
    crop, matrices = [], []
    for axis, part in enumerate(inside):
        at, step = placement.positions(axis)[part], placement.step[axis]
        needed, moved = _needed(at, step, volume.shape[axis])
        crop.append(needed)
        matrices.append(resample.weights(moved, step, needed.stop - needed.start))
    # One memory order whatever the image's: sums then round alike in all 48 orders of its axes.
    sampled: Floats = volume.array[tuple(crop)].astype(np.float32, order="C")
    for axis in np.argsort([matrix.shape[0] / matrix.shape[1] for matrix in matrices]):  # what shrinks most, first
        sampled = resample.apply(matrices[axis], sampled, int(axis))
    array = np.zeros(placement.shape, dtype=np.float32)
    try:
        array[inside] = normalise(clip(sampled) if config.normalisation == "clipped" else sampled)
    except ValueError as error:
        raise InputError(
            "every voxel round the L4-L5 level has the same value", volume.source, "give a lumbar spine MRI"
        ) from error
    affine = volume.affine.copy()
    affine[:3, :3] = volume.affine[:3, :3] * np.asarray(placement.step)
    affine[:3, 3] = volume.affine[:3, :3] @ np.asarray(placement.start) + volume.affine[:3, 3]
    return Prepared(array, affine, placement, inside, volume.shape)


def clip(array: Floats) -> Floats:
    """Cut off what the fat beside a coil or a vessel adds above the tissues, as the painted training images are."""
    some = array[::4, ::4, ::4]
    low, high = (float(value) for value in np.percentile(some, CLIP_PERCENTILES))
    return np.clip(array, low, low + CLIP_BEYOND * (high - low))


def normalise(array: Floats) -> Floats:
    """Z-score: mean 0, standard deviation 1 over the whole array.

    Raises:
        ValueError: All values are the same.
    """
    mean = float(array.mean(dtype=np.float64))
    centred = array - np.float32(mean)
    deviation = float(np.sqrt(np.mean(np.square(centred), dtype=np.float64)))
    if not deviation > 1e-6 * max(abs(mean), 1e-30):
        raise ValueError("all values are the same")
    return np.asarray(centred / np.float32(deviation), dtype=np.float32)


def restore(probabilities: Floats, prepared: Prepared) -> tuple[npt.NDArray[np.uint8], Region]:
    """The label on the image's own grid: probabilities are resampled, and only then is the most probable class taken.

    Args:
        probabilities: Shape ``(C, *box)``, background first, then the trained structures.
        prepared: What the network was given.

    Returns:
        The label (network order, values of the anatomy table) of the part of the image that the box covers, and which
        part that is. All else is background.
    """
    region, slabs = _slabs(probabilities, prepared)
    values = np.asarray([BACKGROUND, *(structure.value for structure in TRAINED)], dtype=np.uint8)
    label = np.empty([part.stop - part.start for part in region], dtype=np.uint8)
    for rows, slab in slabs:
        best, winner = slab[0].copy(), np.zeros(slab.shape[1:], dtype=np.uint8)
        for channel in range(1, CHANNELS):
            winner[slab[channel] > best] = channel
            np.maximum(best, slab[channel], out=best)
        label[rows] = values[winner]
    return label, region


def restore_probabilities(probabilities: Floats, prepared: Prepared) -> npt.NDArray[np.float16]:
    """Class probabilities on the image's own grid, ``(C, *image)`` in network order; background outside the box."""
    region, slabs = _slabs(probabilities, prepared)
    whole = np.zeros((CHANNELS, *prepared.image_shape), dtype=np.float16)
    whole[0] = 1
    part = whole[(slice(None), *region)]
    for rows, slab in slabs:
        part[:, rows] = slab
    return whole


def _slabs(probabilities: Floats, prepared: Prepared) -> tuple[Region, Iterator[tuple[slice, Floats]]]:
    """Resample to the image's voxels in the box, a slab of slices at a time (a 0.3 mm image would fill the memory)."""
    placement = prepared.placement
    region, matrices = [], []
    for axis in range(3):
        length, step, covered = prepared.image_shape[axis], placement.step[axis], prepared.inside[axis]
        at = (np.arange(length) - placement.start[axis]) / step  # image voxels, in grid voxels
        # Up to the outer face of the last grid voxel that the image covers.
        held = np.flatnonzero((at >= covered.start - 0.5 - 1e-6) & (at <= covered.stop - 0.5 + 1e-6))
        region.append(slice(int(held[0]), int(held[-1]) + 1) if len(held) else slice(0, 0))
        matrices.append(resample.weights(at[region[-1]] - covered.start, 1 / step, covered.stop - covered.start))
    source = probabilities[(slice(None), *prepared.inside)]

    def each() -> Iterator[tuple[slice, Floats]]:
        rows, width = matrices[0].shape[0], CHANNELS * matrices[1].shape[0] * matrices[2].shape[0]
        thickness = max(1, _SLAB // max(width, 1))
        for first in range(0, rows, thickness):
            chosen = slice(first, min(first + thickness, rows))
            slab = _rows(matrices[0][chosen], source)
            slab = resample.apply(matrices[1], slab, 2)
            yield chosen, resample.apply(matrices[2], slab, 3)

    return (region[0], region[1], region[2]), each()


def _rows(matrix: Floats, source: Floats) -> Floats:
    """Resample axis 1 of ``(C, S, R, A)`` to some rows, touching only the input rows that count."""
    used = np.flatnonzero(matrix.any(axis=0))
    if not len(used):
        return np.zeros((source.shape[0], 0, *source.shape[2:]), dtype=np.float32)
    part = slice(int(used[0]), int(used[-1]) + 1)
    return resample.apply(matrix[:, part], source[:, part], 1)


def _needed(at: npt.NDArray[np.float64], step: float, length: int) -> tuple[slice, npt.NDArray[np.float64]]:
    """Input voxels that the outputs at ``at`` reach, and ``at`` counted from the first of them."""
    reach = max(step, 1.0) / 2 + 0.5
    first, last = int(np.ceil(at[0] - reach + 1e-6)), int(np.floor(at[-1] + reach - 1e-6))
    first, last = min(max(first, 0), length - 1), max(min(last, length - 1), 0)
    return slice(first, last + 1), at - first
