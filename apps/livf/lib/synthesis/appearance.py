"""From anatomy to a T2-weighted image: tissues painted one over another with partial volume, then the scanner.

Bones and discs come from the implicit spine. A tissue is painted with the share of each voxel that it fills, taken
from its signed distance, so that thin cortex and nerve roots keep their partial volume.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.anatomy import L4, L5
from livf.lib.synthesis.canvas import Canvas, smooth_noise
from livf.lib.synthesis.implicit import Floats
from livf.lib.synthesis.morphometry import L3, SACRUM
from livf.lib.synthesis.soft_tissue import Curve, paint_canal, paint_trunk
from livf.lib.synthesis.spine import COLUMN, Spine
from livf.lib.synthesis.tissues import Sequence


def render(
    spine: Spine,
    fields: dict[str, Floats],
    block: tuple[slice, slice, slice],
    axes: tuple[Floats, Floats, Floats],
    sequence: Sequence,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Paint the image of one person.

    Args:
        spine: The anatomy.
        fields: Its signed functions on ``block`` of the grid.
        block: Part of the grid that holds the bones.
        axes: Coordinate vectors of the grid, RAS mm, ascending, equal spacing.
        sequence: Contrast and imperfections.
        rng: Source of texture and noise.

    Returns:
        float32, signal relative to fat near the coil, shape of the grid.
    """
    canvas = Canvas(axes, sequence, rng)
    curve = Curve(spine, axes[2])
    paint_trunk(canvas, curve, spine.anatomy, rng)
    paint_canal(canvas, curve, spine, rng)
    _paint_spine(canvas, spine, fields, block, rng)
    return _scan(canvas, sequence, curve, rng)


def _paint_spine(
    canvas: Canvas,
    spine: Spine,
    fields: dict[str, Floats],
    block: tuple[slice, slice, slice],
    rng: np.random.Generator,
) -> None:
    """Discs, joints and bones over the soft tissue."""
    points = canvas.points(block)
    coarse = smooth_noise(canvas.image[block].shape, [canvas.step / 7.0] * 3, rng)
    fine = smooth_noise(canvas.image[block].shape, [canvas.step / 2.2] * 3, rng)
    for name, disc in spine.anatomy.discs.items():
        distance = fields[name]
        inside = distance < canvas.step
        at = _bounds(inside)
        if at is None:
            continue
        u, v, s = spine.poses[name].to_local(*(np.asarray(p) for p in points))
        above = spine.anatomy.vertebrae[COLUMN[COLUMN.index(name) - 1]]
        half = (disc.anterior_height + disc.posterior_height) / 4
        size = (above.width * 0.33, above.depth * 0.31, half * 1.15)
        centre = np.sqrt((u / size[0]) ** 2 + ((v + 1) / size[1]) ** 2 + (s / size[2]) ** 2)[at]
        worn = np.float32(disc.degeneration)
        nucleus = canvas.signals["nucleus"] * (1 - worn) ** 1.3 + canvas.signals["worn nucleus"] * (
            1 - (1 - worn) ** 1.3
        )
        cleft = 1 - 0.3 * np.exp(-((s[at] / 1.2) ** 2)) * (centre < 0.9)
        share = 1 / (1 + np.exp((centre - 1.0) * 7))
        annulus = canvas.signals["annulus"] * (1 + 0.1 * coarse[at])
        value = annulus + share * (nucleus * cleft - annulus) * (1 + 0.06 * coarse[at])
        part = tuple(slice(b.start + a.start, b.start + a.stop) for a, b in zip(at, block, strict=True))
        canvas.paint(distance[at], value.astype(np.float32), (part[0], part[1], part[2]))
    for above_name, below_name in ((L3, L4.name), (L4.name, L5.name), (L5.name, SACRUM)):
        # Cartilage and fluid fill what the two processes leave between them.
        between = np.maximum(fields[above_name], fields[below_name]) - spine.anatomy.joint_gap
        canvas.paint(between, canvas.signals["joint"], block)
    marrow_share = float(rng.normal(1, 0.1))
    for name in (L3, L4.name, L5.name, SACRUM):
        distance = fields[name]
        canvas.paint(distance, "cortex", block)
        own = float(rng.normal(marrow_share, 0.04))
        marrow = canvas.signals["marrow"] * own * (1 + 0.09 * coarse + 0.05 * fine)
        u, v, s = spine.poses[name].to_local(*(np.asarray(p) for p in points))
        # Arch marrow is fattier than that of the body.
        marrow = marrow * np.where(v < -3, np.float32(1.1), np.float32(1.0))
        vein = np.sqrt((u / 9) ** 2 + ((v - 2) / 9) ** 2 + (s / 2.2) ** 2)
        marrow = marrow * (1 + 0.45 * np.exp(-(vein**2) * 2) * (name != SACRUM))
        canvas.paint(distance + np.float32(rng.uniform(0.75, 1.05)), marrow.astype(np.float32), block)


def _bounds(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice, slice] | None:
    found = ndimage.find_objects(mask.astype(np.uint8))
    return found[0] if found else None


def _scan(canvas: Canvas, sequence: Sequence, curve: Curve, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Point-spread, coil sensitivity and Rician noise."""
    image = canvas.image / np.float32(canvas.signals["fat"])
    # Finer than a tissue's own patches, coarser than noise: no tissue is flat on a real image.
    image *= 1 + np.float32(0.035) * canvas.noise(2.0, rng)
    for axis in range(3):
        image = ndimage.gaussian_filter1d(image, sequence.blur_mm / canvas.step, axis=axis, truncate=3.0)
    depth = np.maximum(canvas.y - np.float32(float(curve.y.mean()) - 75), 0)
    coil = np.float32(sequence.coil_floor) + np.float32(1 - sequence.coil_floor) * np.exp(
        -depth / np.float32(sequence.coil_depth_mm)
    )
    drift = smooth_noise(canvas.shape, [canvas.step / 90.0] * 3, rng)
    image *= coil * (1 + np.float32(0.06) * drift)
    sigma = np.float32(sequence.noise)
    real = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.hypot(real, imaginary), dtype=np.float32)
