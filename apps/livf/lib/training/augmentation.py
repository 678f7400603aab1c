"""Random variation of training cases: pose, size, contrast, shading, blur, noise, slice thickness and cropping.

One case in, one case out, all drawn from one generator, so that a case is the same whenever its seed is the same.
Arrays have the network's axes (superior, right, anterior).
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from livf.lib.training.settings import Augmentation


def augment(
    image: npt.NDArray[np.float32],
    label: npt.NDArray[np.uint8],
    *,
    channels: int,
    spacing: float,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    settings: Augmentation | None,
    soft: bool,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    covered: tuple[slice, slice, slice] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Vary one case and sample it on a box around its middle.

    Args:
        image: Shape ``(S, R, A)``, a margin larger than the box.
        label: The same shape, values from 0 to ``channels - 1``.
        channels: Classes of the target.
        spacing: Voxel size, mm.
        shape: Voxels of the box that is returned.
        rng: Source of all variation.
        settings: How far to vary; None samples the box as it is.
        soft: Interpolate the target (for coarse grids); else the nearest label's one-hot.
        offset: Where the box's middle lies from the case's middle, voxels.
        covered: Part of ``image`` that was scanned; None for all of it.

    Returns:
        The z-scored image ``(1, *shape)`` (0 where nothing was scanned or it was cropped away), and the target
        ``(channels, *shape)``.
    """
    source = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    grid = _grid(source.shape[2:], shape, spacing, rng, settings, offset)
    sampled = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)[0, 0]
    classes = torch.from_numpy(np.ascontiguousarray(label))
    if soft:
        # The background is what is left: one channel less to sample.
        one_hot = torch.stack([(classes == value).float() for value in range(1, channels)])[None]
        found = F.grid_sample(one_hot, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
        target = torch.cat((1 - found.sum(0, keepdim=True).clamp(max=1), found))
    else:
        nearest = F.grid_sample(
            classes[None, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False
        )[0, 0]
        target = torch.stack([(nearest == value).float() for value in range(channels)])
    picture = sampled.numpy()
    inside = np.ones(shape, dtype=bool) if covered is None else _scanned(grid, image.shape, covered)
    if settings is not None:
        picture = _thicken(picture, spacing, rng, settings)
        picture = _shade(picture, rng, settings)
        inside &= _crop(shape, rng, settings)
    if not inside.all():
        target = torch.where(torch.from_numpy(inside), target, torch.zeros(()))
        target[0][~torch.from_numpy(inside)] = 1
    kept = picture[inside]
    picture = np.where(inside, (picture - kept.mean()) / max(float(kept.std()), 1e-6), 0)
    return picture[None].astype(np.float32), cast("npt.NDArray[np.float32]", target.numpy())


def _grid(
    source: torch.Size,
    shape: tuple[int, int, int],
    spacing: float,
    rng: np.random.Generator,
    settings: Augmentation | None,
    offset: tuple[float, float, float],
) -> torch.Tensor:
    """Sampling positions in torch's normalised coordinates (last axis first)."""
    size, extent = np.asarray(source, dtype=np.float64), np.asarray(shape, dtype=np.float64)
    matrix, shift = np.eye(3), np.asarray(offset, dtype=np.float64)
    if settings is not None:
        for axis in range(3):
            angle = np.radians(rng.normal(0, settings.turn_degrees))
            one, two = [a for a in range(3) if a != axis]
            turn = np.eye(3)
            turn[[one, one, two, two], [one, two, one, two]] = (
                np.cos(angle),
                -np.sin(angle),
                np.sin(angle),
                np.cos(angle),
            )
            matrix = matrix @ turn
        matrix = matrix / max(rng.normal(1, settings.scale), 0.7)
        shift = shift + rng.uniform(-1, 1, 3) * settings.shift_mm / spacing
        if rng.random() < settings.mirror:
            matrix = matrix @ np.diag([1.0, -1.0, 1.0])
    # From box to source, both in units of their own half-extents, with axes reversed for torch.
    scaled = np.diag(2 / size) @ matrix @ np.diag(extent / 2)
    theta = np.concatenate((scaled[::-1, ::-1], (2 * shift / size)[::-1, None]), axis=1)
    return F.affine_grid(torch.from_numpy(theta.copy()).float()[None], [1, 1, *shape], align_corners=False)


def _scanned(grid: torch.Tensor, size: tuple[int, ...], covered: tuple[slice, slice, slice]) -> npt.NDArray[np.bool_]:
    """Which sampling positions lie in the covered part of the source."""
    inside = np.ones(tuple(grid.shape[1:4]), dtype=bool)
    for axis, (length, part) in enumerate(zip(size, covered, strict=True)):
        at = grid[0, ..., 2 - axis]
        # The outer faces of the first and the last voxel.
        low, high = 2 * part.start / length - 1, 2 * part.stop / length - 1
        inside &= ((at >= low - 1e-6) & (at <= high + 1e-6)).numpy()
    return inside


def _thicken(
    picture: npt.NDArray[np.float32], spacing: float, rng: np.random.Generator, settings: Augmentation
) -> npt.NDArray[np.float32]:
    """Blur, or average slices along one axis and interpolate them back, as a 2D acquisition is resampled."""
    tensor = torch.from_numpy(np.ascontiguousarray(picture))[None, None]
    if rng.random() < settings.thick_share:
        axis = int(rng.choice(3, p=(0.2, 0.6, 0.2)))
        size = list(picture.shape)
        size[axis] = max(2, round(size[axis] * spacing / rng.uniform(2 * spacing, settings.thick_mm)))
        thick = F.interpolate(tensor, size=size, mode="area")
        return F.interpolate(thick, size=picture.shape, mode="trilinear", align_corners=False)[0, 0].numpy()
    sigma = float(rng.uniform(-settings.blur_voxels, settings.blur_voxels))
    if sigma > 0.25:
        taps = torch.exp(-0.5 * (torch.arange(-2, 3).float() / sigma) ** 2)
        taps = taps / taps.sum()
        for axis in range(3):
            view = [1, 1, 1, 1, 1]
            view[2 + axis] = 5
            padding = [0, 0, 0]
            padding[axis] = 2
            tensor = F.conv3d(tensor, taps.view(view), padding=padding)
    return tensor[0, 0].numpy()


def _shade(
    picture: npt.NDArray[np.float32], rng: np.random.Generator, settings: Augmentation
) -> npt.NDArray[np.float32]:
    """Random tone curve, smooth shading and noise."""
    low, high = np.percentile(picture[::4, ::4, ::4], (0.5, 99.5))
    tone = np.clip((picture - low) / max(float(high - low), 1e-6), 0, 1.3)
    tone = tone ** float(np.exp(rng.normal(0, settings.contrast)))
    # A piecewise linear curve through random knots moves tissues against one another.
    knots = np.linspace(0, 1.3, 6)
    steps = np.exp(rng.normal(0, settings.contrast, 5))
    values = np.concatenate(([0], np.cumsum(steps)))
    tone = np.interp(tone, knots, values / values[-1] * 1.3).astype(np.float32)
    coarse = torch.from_numpy(rng.normal(0, settings.shading, (1, 1, 3, 3, 3)).astype(np.float32))
    field = F.interpolate(coarse, size=picture.shape, mode="trilinear", align_corners=True)[0, 0]
    tone = tone * torch.exp(field).numpy()
    sigma = float(rng.uniform(0, settings.noise) * tone.std())
    return np.asarray(tone + sigma * rng.standard_normal(tone.shape, dtype=np.float32), dtype=np.float32)


def _crop(shape: tuple[int, int, int], rng: np.random.Generator, settings: Augmentation) -> npt.NDArray[np.bool_]:
    """Which voxels are seen: some cases lose up to an eighth at each end of an axis."""
    inside = np.ones(shape, dtype=bool)
    for axis, size in enumerate(shape):
        if rng.random() < settings.crop_share:
            first, last = (int(rng.integers(0, size // 8 + 1)) for _ in range(2))
            keep = [slice(None)] * 3
            keep[axis] = slice(first, size - last)
            seen = np.zeros(shape, dtype=bool)
            seen[tuple(keep)] = True
            inside &= seen
    return inside
