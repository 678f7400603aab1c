"""The way to the network's box round L4-L5, which MONAI can invert, and the tidying of the label."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, Pad
from monai.utils import MetaKeys, TraceKeys
from scipy import ndimage

from livf.lib.segmentation import resample

logger = logging.getLogger(__name__)

#: Where the padding is told how many voxels of the box lie before the image, each axis.
_BEFORE: Final = "box_before"
#: Voxel sizes that agree to this share are equal: single-precision headers are off by some 1e-7.
_SAME_SPACING: Final = 1e-4
#: A separate piece below this share of its structure is a speck: a process is 2 % of a vertebra and more.
_SPECK_SHARE: Final = 0.01

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Grid:
    """The part of the box that an image covers, along one axis.

    Attributes:
        positions: Middle of each of its voxels, in image voxels (0 is the middle of the first).
        step: Size of a voxel, in image voxels.
        before: Voxels of the box that lie before the image.
    """

    positions: npt.NDArray[np.float64]
    step: float
    before: int

    @classmethod
    def of(cls, middle: float, step: float, box: int, length: int) -> Grid:
        """The grid of a box of ``box`` voxels with its middle at ``middle`` in an image of ``length`` voxels."""
        first = middle - (box - 1) / 2 * step
        # Between voxels of one size nothing is interpolated. Just below a half goes down: the same for both parities.
        if step == 1.0:
            first = math.ceil(first - 0.5 - 1e-6)
        positions = first + step * np.arange(box, dtype=np.float64)
        covered = np.flatnonzero((positions > -0.5 - 1e-6) & (positions < length - 0.5 + 1e-6))
        if not len(covered):
            raise ValueError("the network's box does not meet the image")
        return cls(positions[covered], step, int(covered[0]))


class ResampleToBox(InvertibleTransform):  # type: ignore[misc]  # MONAI has no types
    """Bring an image to the network's voxel size, in the part of the network's box that it covers.

    The axes stay the image's own, so resampling is separable: the mean over an output voxel where it is the larger one,
    linear interpolation where it is the smaller one, nothing where the sizes agree. MONAI's ``Spacing`` would lay the
    grid by the image's first voxel, and takes single points of a thick slice on the way back.

    Args:
        spacing_mm: The network's voxel size.
        box_shape: Voxels of the box (superior, right, anterior), as the image's axes are.
        crop: Where the box's middle lies in the field of view: half way between ``low * length + low_voxels`` and
            ``high * length + high_voxels``, each axis. An axis shorter than the box is centred in it.
        disc_offset_mm: Where the L4-L5 disc's middle lies from the box's middle.
        level_at: A point in the L4-L5 disc, RAS mm, to lay the box round; None: by the field of view.
    """

    def __init__(
        self,
        spacing_mm: float,
        box_shape: Sequence[int],
        crop: Sequence[Mapping[str, float]],
        disc_offset_mm: Sequence[float],
        level_at: Sequence[float] | None = None,
    ) -> None:
        self.spacing_mm = spacing_mm
        self.box_shape = tuple(box_shape)
        self.crop = tuple(crop)
        self.disc_offset_mm = tuple(disc_offset_mm)
        self.level_at = level_at

    def __call__(self, img: Any) -> Any:
        """Resample a ``MetaTensor`` ``(1, S, R, A)``.

        Raises:
            ValueError: The point lies outside the image, or the image holds nothing there.
        """
        shape = [int(length) for length in img.shape[1:]]
        affine = np.asarray(img.affine, dtype=np.float64)
        grids = self._grids(shape, affine)
        matrices = [
            resample.weights(grid.positions, grid.step, length) for grid, length in zip(grids, shape, strict=True)
        ]
        array = img[0].as_tensor().cpu().numpy().astype(np.float32)
        for axis in np.argsort([matrix.shape[0] / matrix.shape[1] for matrix in matrices]):  # what shrinks most, first
            array = resample.apply(matrices[axis], array, int(axis))
        if not np.isfinite(array).all():
            raise ValueError(f"{_name(img)}: has values that are not numbers")
        if not array.std(dtype=np.float64) > 1e-6 * abs(array.mean(dtype=np.float64)):
            raise ValueError(f"{_name(img)}: every voxel round the L4-L5 level has the same value")
        moved = np.eye(4)
        moved[:3, :3] = np.diag([grid.step for grid in grids])
        moved[:3, 3] = [grid.positions[0] for grid in grids]
        meta = self.track_transform_meta(
            img,
            sp_size=array.shape,
            affine=moved,
            extra_info={"grids": grids, "shape": shape, "affine": affine},
            orig_size=tuple(shape),
            transform_info=self.get_transform_info(),
        )
        part = MetaTensor(np.ascontiguousarray(array)[None]).copy_meta_from(meta)
        # An image with a fourth axis of one voxel is written without it; MONAI's writer goes by this.
        part.meta[MetaKeys.ORIGINAL_CHANNEL_DIM] = float("nan")
        part.meta[_BEFORE] = tuple(grid.before for grid in grids)
        return part

    def inverse(self, data: Any) -> Any:
        """Bring classes ``(C, S, R, A)`` back to the image's own grid; 0 where the box does not reach."""
        info = self.pop_transform(data)[TraceKeys.EXTRA_INFO]
        array = data.as_tensor().cpu().numpy().astype(np.float32)
        region: list[slice] = [slice(None)]
        for axis, (grid, length) in enumerate(zip(info["grids"], info["shape"], strict=True), start=1):
            at = (np.arange(length) - grid.positions[0]) / grid.step
            # Up to the outer face of the last voxel of the grid.
            held = np.flatnonzero((at >= -0.5 - 1e-6) & (at <= len(grid.positions) - 0.5 + 1e-6))
            region.append(slice(int(held[0]), int(held[-1]) + 1) if len(held) else slice(0, 0))
            array = resample.apply(resample.weights(at[region[-1]], 1 / grid.step, len(grid.positions)), array, axis)
        whole = np.zeros((len(array), *info["shape"]), dtype=np.float32)
        whole[tuple(region)] = array
        result = MetaTensor(whole).copy_meta_from(data)
        result.affine = torch.from_numpy(info["affine"])
        return result

    def _grids(self, shape: Sequence[int], affine: npt.NDArray[np.float64]) -> list[Grid]:
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        steps = [1.0 if abs(self.spacing_mm / size - 1) < _SAME_SPACING else self.spacing_mm / size for size in spacing]
        if self.level_at is None:
            middles = [
                self._middle(axis, length / steps[axis]) * steps[axis] - 0.5 for axis, length in enumerate(shape)
            ]
        else:
            disc = np.linalg.solve(affine, [*self.level_at, 1.0])[:3]
            if (disc < -0.5).any() or (disc > np.asarray(shape) - 0.5).any():
                raise ValueError(f"level_at {list(self.level_at)} lies outside the image")
            middles = list(disc - np.asarray(self.disc_offset_mm) / spacing)
        return [
            Grid.of(middle, step, box, length)
            for middle, step, box, length in zip(middles, steps, self.box_shape, shape, strict=True)
        ]

    def _middle(self, axis: int, length: float) -> float:
        """The box's middle along a field of view of ``length`` voxels of the network's size, from its edge."""
        if length <= self.box_shape[axis]:
            return length / 2
        span = self.crop[axis]
        return ((span["low"] + span["high"]) * length + span["low_voxels"] + span["high_voxels"]) / 2


class ResampleToBoxd(MapTransform, InvertibleTransform):  # type: ignore[misc]  # MONAI has no types
    """:class:`ResampleToBox` for entries of a dictionary.

    Args:
        keys: Images ``(1, S, R, A)``.
        resampler: What resamples one.
    """

    def __init__(self, keys: KeysCollection, resampler: ResampleToBox) -> None:
        MapTransform.__init__(self, keys)
        self.resampler = resampler

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {**data, **{key: self.resampler(data[key]) for key in self.key_iterator(data)}}

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return {**data, **{key: self.resampler.inverse(data[key]) for key in self.key_iterator(data)}}


class PadToBox(Pad):  # type: ignore[misc]  # MONAI has no types
    """Pad what :class:`ResampleToBox` left to the whole box, with zeros, each voxel in its place.

    Args:
        box_shape: Voxels of the box.
    """

    def __init__(self, box_shape: Sequence[int]) -> None:
        super().__init__()
        self.box_shape = tuple(box_shape)

    def __call__(self, img: Any, mode: str | None = None, lazy: bool | None = None) -> Any:
        """Pad a ``MetaTensor`` ``(1, S, R, A)``."""
        before = img.meta.pop(_BEFORE)
        widths = [(b, size - b - n) for b, size, n in zip(before, self.box_shape, img.shape[1:], strict=True)]
        return super().__call__(img, to_pad=((0, 0), *widths), mode=mode, lazy=lazy)


class TidyLabeld(MapTransform):  # type: ignore[misc]  # MONAI has no types
    """Keep the largest piece of each structure and fill its closed holes.

    Pieces at most two voxels apart count as one, so that a process hanging on a thin bridge stays; specks do not.

    Args:
        keys: Labels ``(1, X, Y, Z)``.
        values: The structures' values, in the order in which they are tidied.
    """

    def __init__(self, keys: KeysCollection, values: Sequence[int]) -> None:
        super().__init__(keys)
        self.values = tuple(values)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.keys:
            label = result[key]
            tidied = tidy(label[0].cpu().numpy().astype(np.uint8), self.values)
            result[key] = torch.empty_like(label).copy_(torch.from_numpy(tidied)[None])
        return result


class WarnWithoutLeveld(MapTransform):  # type: ignore[misc]  # MONAI has no types
    """Log a warning where a label cannot be of L4 and L5; ``livf segment`` refuses such an image.

    Args:
        keys: Labels ``(1, X, Y, Z)``.
        upper: Value of the upper vertebra.
        lower: Value of the lower vertebra.
        least_ml: Less bone than this is no vertebra.
    """

    def __init__(self, keys: KeysCollection, upper: int, lower: int, least_ml: float) -> None:
        super().__init__(keys)
        self.upper, self.lower, self.least_ml = upper, lower, least_ml

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        for key in self.keys:
            label = data[key]
            affine = np.asarray(label.affine, dtype=np.float64)
            heights, voxels = [], 0
            for value in (self.upper, self.lower):
                index = np.argwhere(label[0].cpu().numpy() == value)
                voxels += len(index)
                heights.append(float(affine[2, :3] @ index.mean(axis=0)) if len(index) else np.nan)
            bone_ml = voxels * abs(np.linalg.det(affine[:3, :3])) / 1000
            if bone_ml < self.least_ml or heights[0] <= heights[1]:
                logger.warning("%s: no L4-L5 level was found in it: do not use its label", _name(label))
        return dict(data)


def tidy(label: npt.NDArray[np.uint8], values: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Tidy a label ``(X, Y, Z)``; returns a new one."""
    result = label.copy()
    for value in values:
        mask = label == value
        if not mask.any():
            continue
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        # One voxel of margin: the outside is then one connected piece, and dilation stays within.
        padded = np.pad(mask[box], 1)
        kept = _largest(padded)
        part, inner = result[box], (slice(1, -1),) * 3
        part[mask[box] & ~kept[inner]] = 0
        holes = ndimage.binary_fill_holes(kept) & ~kept
        part[holes[inner] & (part == 0)] = value
    return result


def _largest(mask: Mask) -> Mask:
    """The largest piece; pieces whose one-voxel surroundings touch are one."""
    pieces, number = ndimage.label(ndimage.binary_dilation(mask, np.ones((3, 3, 3))), np.ones((3, 3, 3)))
    if number > 1:
        sizes = np.bincount(pieces[mask], minlength=number + 1)
        mask = mask & (pieces == np.argmax(sizes))
    pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= _SPECK_SHARE * sizes.sum())[pieces], dtype=np.bool_)


def _name(img: Any) -> str:
    return str(img.meta.get("filename_or_obj", "image"))
