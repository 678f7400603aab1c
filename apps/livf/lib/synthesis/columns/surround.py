"""What surrounds a column, coarsely: from the CT where there is one, else a trunk drawn around the bones.

None of it is ever taught. It has to look like a trunk, and to put beside the bones what is as bright or as dark as
they are, so that a network cannot find them by brightness alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.synthesis.columns.column import Surround
from livf.lib.synthesis.columns.fields import Doubles, Field, Floats, Grid
from livf.lib.synthesis.columns.split import Body
from livf.lib.values import Volume

SPACING_MM: Final = 2.0
#: Room above and below the column, mm.
_ROOM_MM: Final = 30.0
_AIR_MM: Final = 14.0
#: What a CT shows this near to a part of the column is not taken over, mm.
_CLEAR_MM: Final = 4.0
#: Hounsfield units: below the first gas, then fat, soft tissue and what is enhanced; above the last bone.
_GAS_HU, _FAT_HU, _ENHANCED_HU, _BONE_HU = -300.0, -25.0, 115.0, 200.0
#: Scanners write this or less outside their field of view.
_OUTSIDE_HU: Final = -1000.0
#: Vessels are at least this thick, mm.
_VESSEL_MM: Final = 6.0

_CODE: Final = {tissue: code for code, tissue in enumerate(Surround)}


@dataclass(frozen=True, eq=False)
class Trunk:
    """Where the column lies in the trunk, grid mm.

    Attributes:
        line: ``(N, 3)``, centre line of the canal from the top down.
        front: From the canal's centre to the front of the bodies.
        back: From the canal's centre to the tips of the spinous processes.
        half_width: Of the bodies.
        crest: Height of the iliac crests and of the aorta's bifurcation: that of the lowest but one vertebra.
        hips: Whether the source shows the hip bones, so that none are drawn.
    """

    line: Doubles
    front: float
    back: float
    half_width: float
    crest: float
    hips: bool = False


def trunk_of(
    line: Doubles, bodies: Sequence[Body], bones: Sequence[Field], crest: float, *, hips: bool = False
) -> Trunk:
    """Measure the column for :func:`surround`.

    Args:
        line: Centre line of the canal, grid mm.
        bodies: Of the vertebrae.
        bones: The vertebrae themselves, in the same order.
        crest: Height of the iliac crests, grid mm.
        hips: Whether the source shows the hip bones.
    """
    fronts, backs, widths = [], [], []
    for body, bone in zip(bodies, bones, strict=True):
        plates = (np.concatenate([body.upper, body.lower]) - body.pose.origin) @ body.pose.axes.T
        centre = line[np.argmin(np.linalg.norm(line - body.pose.origin, axis=1))]
        canal = float((centre - body.pose.origin) @ body.pose.anterior)
        fronts.append(np.percentile(plates[:, 1], 99.5) - canal)
        widths.append(np.ptp(np.percentile(plates[:, 0], [0.5, 99.5])) / 2)
        inside = (bone.points(bone.values < 0) - body.pose.origin) @ body.pose.anterior
        backs.append(canal - inside.min())
    return Trunk(line, float(np.median(fronts)), float(np.median(backs)), float(np.median(widths)), crest, hips)


def surround(
    name: str, grid: Grid, trunk: Trunk, ct: Volume | None = None, parts: Sequence[Field] = ()
) -> tuple[npt.NDArray[np.uint8], Doubles]:
    """Tissues around a column on a grid of :data:`SPACING_MM`, and its affine to RAS mm.

    Args:
        name: Of the person: the same name gives the same trunk.
        grid: Of the column.
        trunk: From :func:`trunk_of`.
        ct: In Hounsfield units; what it shows replaces what is drawn.
        parts: Bones, discs and sac: near them what is drawn stays, so that a bone that the painter moves leaves none
            of itself behind.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    drawn, low = _drawn(grid, trunk, rng)
    affine = grid.affine.copy()
    affine[:3, :3] *= SPACING_MM / grid.spacing
    affine[:3, 3] = grid.to_world(low[None])[0]
    if ct is not None:
        seen = _seen(ct, affine, drawn.shape, trunk, low)
        unseen = seen == _CODE[Surround.AIR]
        for part in parts:
            _add_near(unseen, part, low)
        drawn = np.where(unseen, drawn, seen)
    return drawn.astype(np.uint8), affine


def _drawn(grid: Grid, trunk: Trunk, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Doubles]:
    """A generated trunk and the grid mm of its first voxel. Coordinates u (right) and v (front) start in the canal."""
    half = np.array([rng.uniform(140, 195), rng.uniform(95, 135)])
    fat = rng.uniform(8, 35)
    wall = rng.uniform(7, 14)
    height = grid.shape[2] * grid.spacing
    middle = trunk.line.mean(axis=0)
    skin_back = middle[1] - trunk.back - fat - 8
    centre = np.array([middle[0], skin_back + half[1]])
    low = np.array([centre[0] - half[0] - _AIR_MM, skin_back - _AIR_MM, -_ROOM_MM])
    high = np.array([centre[0] + half[0] + _AIR_MM, centre[1] + half[1] + _AIR_MM, height + _ROOM_MM])
    size = np.ceil((high - low) / SPACING_MM).astype(int)
    axes = [low[k] + SPACING_MM * np.arange(size[k], dtype=np.float32) for k in range(3)]
    x, y, z = (a.astype(np.float32) for a in np.meshgrid(*axes, indexing="ij", sparse=True))
    order = np.argsort(trunk.line[:, 2])
    at = [np.interp(axes[2], trunk.line[order, 2], trunk.line[order, k]) for k in range(2)]
    u, v = x - at[0][None, None, :].astype(np.float32), y - at[1][None, None, :].astype(np.float32)
    side = np.abs(u)
    shape = (int(size[0]), int(size[1]), int(size[2]))
    noise = _noise(shape, rng, 14.0)
    fine = _noise(shape, rng, 5.0)

    def ellipse(a: Floats, b: Floats, ra: Floats | float, rb: Floats | float) -> Floats:
        return np.asarray((a / ra) ** 2 + (b / rb) ** 2, dtype=np.float32)

    def inset(depth: float) -> npt.NDArray[np.bool_]:
        a, b = half - depth
        return np.asarray(np.abs((x - centre[0]) / a) ** 2.4 + np.abs((y - centre[1]) / b) ** 2.4 + 0 * z < 1)

    tissue = np.full(shape, _CODE[Surround.AIR], dtype=np.uint8)

    def paint(where: npt.NDArray[np.bool_], what: Surround) -> None:
        tissue[np.broadcast_to(where, shape) & inner] = _CODE[what]

    inner = inset(0)
    paint(inner, Surround.SKIN)
    # Where the column bends backwards its muscles reach the skin, never through it.
    inner = inset(2.5)
    paint(inner, Surround.FAT)
    inner = inset(5)
    paint(inset(fat) & ~inset(fat + wall) & (v > -25), Surround.MUSCLE)
    cavity = inset(fat + wall + 4) & (v > trunk.front + 8 - 12 * np.clip((side - 45) / 30, 0, 1))
    paint(cavity & (noise > -0.35), Surround.BOWEL)
    paint(cavity & (noise > 0.9) & (v > trunk.front + 30), Surround.GAS)
    top = trunk.line[0, 2] - 20
    reach = np.clip((top - z) / 150, 0, 1)
    kidney = ellipse(side - 75, v - 12, 24, 28) + ((z - top) / 60) ** 2 < 1
    liver = ellipse(u - 85, v - 60, 55, 65) + ((z - top - 40) / 80) ** 2 < 1
    paint((kidney | liver) & inset(fat + wall), Surround.ORGAN)
    # Psoas grows downwards beside the bodies; a seam of fat stays between it and its neighbours.
    grown = (9 + 12 * reach) * rng.uniform(0.85, 1.15)
    aside = 0.95 * trunk.half_width + 0.85 * grown + 5 * reach
    paint(ellipse(side - aside, v - 0.55 * trunk.front, grown, 1.25 * grown) + 0.15 * fine < 1, Surround.MUSCLE)
    paint(ellipse(side - 68, v + 2, 22, 11) + 0.2 * fine < 1, Surround.MUSCLE)
    deep = trunk.back * 0.55 + 4
    streaks = 0.45 * fine * np.clip(0.5 + rng.uniform(-0.3, 0.6) + 0.8 * reach, 0, 1.6)
    paint(ellipse(side - 22, v + deep, 25, deep - 9) + streaks < 1, Surround.MUSCLE)
    paint(ellipse(side - 48, v + deep - 3, 24, deep - 16) + streaks < 1, Surround.MUSCLE)
    # Aorta left and vena cava right of the midline in front of the bodies; below the crest both part.
    below = np.clip((trunk.crest - z) / 60, 0, 1)
    aorta, cava = rng.uniform(8, 11), rng.uniform(9, 12)
    paint(ellipse(u + 10, v - trunk.front - aorta - 2, aorta, aorta) + 4 * (below > 0.05) < 1, Surround.VESSEL)
    paint(ellipse(u - 14, v - trunk.front - 10, cava, 0.75 * cava) + 4 * (below > 0.1) < 1, Surround.VESSEL)
    for radius, forward in ((6.5, 10.0), (7.0, 4.0)):
        limb = ellipse(side - 10 - 42 * below, v - trunk.front - forward + 12 * below, radius * 1.3, radius)
        paint((limb < 1) & (below > 0.03), Surround.VESSEL)
    # Iliac wings, thin and slanting, for people whose hip bones the source does not show.
    wing = np.abs(v + 22 - 0.55 * (side - 58)) < 5 + 2 * fine
    if not trunk.hips:
        paint(wing & (side > 52) & (side < 118) & (z < trunk.crest - 0.25 * np.abs(side - 85)), Surround.BONE)
    # Canal and foramina hold fat; the painter lays the sac, discs and bones over it.
    paint((side < 26) & (np.abs(v) < 11), Surround.FAT)
    return tissue, low


def _seen(ct: Volume, affine: Doubles, shape: Sequence[int], trunk: Trunk, low: Doubles) -> npt.NDArray[np.uint8]:
    """Tissues that a CT shows, on the coarse grid; :attr:`Surround.AIR` where it shows nothing."""
    into = np.linalg.inv(ct.affine) @ affine
    blur = ndimage.gaussian_filter(ct.array.astype(np.float32), 0.8 / ct.spacing)
    hu = ndimage.affine_transform(
        blur, into[:3, :3], into[:3, 3], tuple(shape), np.float32, order=1, cval=2 * _OUTSIDE_HU
    )
    field = ndimage.binary_erosion(hu > _OUTSIDE_HU, iterations=1)
    heights = low[2] + SPACING_MM * np.arange(shape[2])
    order = np.argsort(trunk.line[:, 2])
    canal = np.interp(heights, trunk.line[order, 2], trunk.line[order, 1])
    v = (low[1] + SPACING_MM * np.arange(shape[1]))[None, :, None] - canal[None, None, :]
    in_front = np.broadcast_to(v > trunk.front + 3, tuple(shape))
    ball = ndimage.generate_binary_structure(3, 2)
    soft = (hu >= _FAT_HU) & (hu < _BONE_HU)
    vessel = in_front & (hu >= _ENHANCED_HU) & (hu < 2 * _BONE_HU)
    vessel = ndimage.binary_opening(vessel, ball, iterations=max(1, int(_VESSEL_MM / 2 / SPACING_MM)))
    # Of a sacrum or hip bone only the cortex is that dense; what it encloses is bone as well.
    bone = ndimage.binary_closing(hu >= _BONE_HU, ball, iterations=2)
    bone = np.stack([ndimage.binary_fill_holes(bone[:, :, k]) for k in range(bone.shape[2])], axis=2)
    seen = np.zeros(tuple(shape), dtype=np.uint8)
    for where, what in (
        (hu < _FAT_HU, Surround.FAT),
        (soft, Surround.MUSCLE),
        (soft & in_front, Surround.BOWEL),
        (hu < _GAS_HU, Surround.GAS),
        (bone, Surround.BONE),
        (vessel, Surround.VESSEL),
    ):
        seen[field & where] = _CODE[what]
    return seen


def _add_near(mask: npt.NDArray[np.bool_], part: Field, low: Doubles) -> None:
    """Add to a coarse mask, in place, what lies within :data:`_CLEAR_MM` of a part."""
    first = np.floor((np.array(part.start) * part.spacing - low) / SPACING_MM).astype(int)
    last = np.ceil((np.array(part.stop) * part.spacing - low) / SPACING_MM).astype(int) + 1
    first, last = np.maximum(first, 0), np.minimum(last, mask.shape)
    if np.any(last <= first):
        return
    axes = [low[k] + SPACING_MM * np.arange(first[k], last[k]) for k in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    mask[tuple(slice(a, b) for a, b in zip(first, last, strict=True))] |= part.at(points) < _CLEAR_MM


def _noise(shape: tuple[int, int, int], rng: np.random.Generator, scale: float) -> Floats:
    """Smooth noise of unit deviation, with features of about ``scale`` mm."""
    coarse = [max(4, int(n * SPACING_MM / scale) + 3) for n in shape]
    values = rng.standard_normal(coarse).astype(np.float32)
    zoomed = ndimage.zoom(values, [(n + 2) / (c - 1) for n, c in zip(shape, coarse, strict=True)], order=1)
    return np.asarray(zoomed[: shape[0], : shape[1], : shape[2]] / max(float(zoomed.std()), 1e-6))
