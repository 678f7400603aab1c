"""Whether the lower vertebra's superior articular process ends in its own tip and fills its joint.

The process bounds the back of the foramen. A whole one tapers: it ends in a ridge or a dome, so that a plane laid on
its top touches little of it. A process that the image, the network or an annotator ended early has lost its tip, and
shows the section instead: a plateau nearly as large as the process is just below, with nothing on it. The share of the
process that reaches the plane, over all tilts of the plane, tells the two apart on each side alone. One that is drawn
too thin keeps its tip, but leaves its joint wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from livf.lib.anatomy import L4, L5
from livf.lib.foramen.constants import JOINT_MM, LARGEST_GAP_MM, PLATEAU_DEPTH_MM, TIP_DEPTH_MM
from livf.lib.foramen.craters import surface
from livf.lib.foramen.frame import Landmarks
from livf.lib.foramen.level import Bools, Level
from livf.lib.foramen.result import Points, Side, side_sign

#: Distance of the columns in which the process's top is looked up, and of the samples along each, mm.
_STEP: Final = 0.5
#: Where the process is looked for: beyond the slab's borders, behind the wall (from, to), above the pedicle (from, to).
_BESIDE_MM: Final = 5.0
_BEHIND_MM: Final = (5.0, 26.0)
_ABOVE_MM: Final = (-3.0, 30.0)
#: The process reaches at most this far from its tip in the plane of L and A: beyond lies the lamina.
_REACH_MM: Final = 9.0
#: A plane rests on the highest bone of this area, and finds no flat smaller than that one, mm².
_REST_MM2: Final = 2.0
_SMALLEST_MM2: Final = 8.0
#: Slopes of the planes along L and along A.
_SLOPES: Final = np.arange(-0.6, 0.61, 0.15)


#: Grid on which the joint is looked at: step, beyond the slab's borders, behind the wall (from, to), above the pedicle.
_JOINT_STEP: Final = 0.8
_JOINT_BESIDE_MM: Final = 3.0
_JOINT_BEHIND_MM: Final = (4.0, 30.0)
_JOINT_ABOVE_MM: Final = 32.0


@dataclass(frozen=True, eq=False)
class Top:
    """The top of what the lower vertebra has behind the foramen on one side.

    Attributes:
        lateral: M of the columns, ``(nM,)`` mm.
        anterior: A of the columns, ``(nA,)`` mm.
        height: S of the highest bone in each column, ``(nM, nA)`` mm; minus infinity without any.
        covered: Whether the upper vertebra lies on it, across no more than a joint, ``(nM, nA)``.
    """

    lateral: Points
    anterior: Points
    height: Points
    covered: Bools


def _wall_above_pedicle(marks: Landmarks, side: Side, borders: tuple[float, float]) -> float:
    """A of the lower vertebra's posterior wall in the middle of the slab, at the height of the pedicle's top, mm."""
    middle = side_sign(side) * (borders[0] + borders[1]) / 2
    return float(marks.walls[L5.value].anterior(middle, marks.pedicles[(L5.value, side)].high))


def process_top(level: Level, marks: Landmarks, side: Side, borders: tuple[float, float]) -> Top:
    """Look the top up, between samples where the smooth surface crosses."""
    sign, pedicle = side_sign(side), marks.pedicles[(L5.value, side)]
    behind = _wall_above_pedicle(marks, side, borders)
    lateral = np.arange(max(borders[0] - _BESIDE_MM, 3.0), borders[1] + _BESIDE_MM, _STEP)
    anterior = np.arange(behind - _BEHIND_MM[1], behind - _BEHIND_MM[0], _STEP)
    superior = np.arange(pedicle.high + _ABOVE_MM[0], pedicle.high + _ABOVE_MM[1], _STEP)
    value = level.grid(level.fields[L5.value], marks.frame, sign * lateral, anterior, superior)
    bone = value > 0
    last = bone.shape[2] - 1 - bone[:, :, ::-1].argmax(axis=2)
    inside = np.take_along_axis(value, last[..., None], axis=2)[..., 0]
    beyond = np.take_along_axis(value, np.minimum(last + 1, bone.shape[2] - 1)[..., None], axis=2)[..., 0]
    height = superior[last] + _STEP * np.clip(inside / np.maximum(inside - beyond, 1e-6), 0, 1)
    above = height[..., None] + np.arange(_STEP, LARGEST_GAP_MM + _STEP / 2, _STEP)
    grid = np.empty((*above.shape, 3))
    grid[..., 0] = sign * lateral[:, None, None]
    grid[..., 1] = anterior[None, :, None]
    grid[..., 2] = above
    covered = np.asarray((level.sample(level.fields[L4.value], marks.frame, grid) > 0).any(axis=2))
    return Top(lateral, anterior, np.where(bone.any(axis=2), height, -np.inf), covered)


def plateau_mm(top: Top) -> float:
    """Width of the flat that a plane laid on the process's top finds there, weighted by its share of the tip.

    Over the tilts of the plane the greatest of ``share * width``. The flat is what lies within
    :data:`PLATEAU_DEPTH_MM` below the plane and not under the upper vertebra; ``width`` is a geometric
    mean of the root of its area and, twice, of the diameter of the largest circle in it (so that a long ridge is no
    wide flat), and ``share`` its share of what lies within :data:`TIP_DEPTH_MM`: a cone's is 0.04, a dome's 0.2, a
    section's near 1.

    Returns:
        mm; infinite where there is no process at all.
    """
    height = top.height
    near = np.isfinite(height)
    rest = round(_REST_MM2 / _STEP**2)
    if near.sum() <= rest:
        return float("inf")
    tip = np.unravel_index(int(height.argmax()), height.shape)
    lateral = top.lateral[:, None] - top.lateral[tip[0]]
    anterior = top.anterior[None] - top.anterior[tip[1]]
    near &= np.hypot(lateral, anterior) < _REACH_MM
    if near.sum() <= rest:
        return float("inf")
    widest = 0.0
    for along in _SLOPES:
        for across in _SLOPES:
            depth = np.where(near, height - along * lateral - across * anterior, -np.inf)
            depth = float(np.partition(depth[near], -rest)[-rest]) - depth
            regions, _ = ndimage.label(depth < TIP_DEPTH_MM)
            own = regions == regions[np.unravel_index(int(depth.argmin()), depth.shape)]
            flat = own & ~top.covered & (depth < PLATEAU_DEPTH_MM)
            area = float(flat.sum()) * _STEP**2
            if area > _SMALLEST_MM2:
                circle = 2 * _STEP * float(ndimage.distance_transform_edt(np.pad(flat, 1)).max())
                widest = max(widest, float(flat.sum() / own.sum() * np.cbrt(circle**2 * np.sqrt(area))))
    return widest


def joint_mm2(level: Level, marks: Landmarks, side: Side, borders: tuple[float, float]) -> float:
    """How much of the upper vertebra faces the process across the joint.

    A process drawn too thin, or with a piece bitten out, no longer fills its joint, whatever its shape.

    Returns:
        Area of the upper vertebra's surface that is at most :data:`JOINT_MM` from the process, mm², in samples of
        0.8 mm.
    """
    sign, pedicle = side_sign(side), marks.pedicles[(L5.value, side)]
    behind = _wall_above_pedicle(marks, side, borders)
    lateral = np.arange(borders[0] - _JOINT_BESIDE_MM, borders[1] + _JOINT_BESIDE_MM, _JOINT_STEP)
    anterior = np.arange(behind - _JOINT_BEHIND_MM[1], behind - _JOINT_BEHIND_MM[0], _JOINT_STEP)
    superior = np.arange(pedicle.high, pedicle.high + _JOINT_ABOVE_MM, _JOINT_STEP)
    process, upper = (
        np.argwhere(surface(level.grid(level.fields[v.value], marks.frame, sign * lateral, anterior, superior) > 0))
        for v in (L5, L4)
    )
    if not len(process) or not len(upper):
        return 0.0
    apart, _ = cKDTree(process).query(upper, distance_upper_bound=JOINT_MM / _JOINT_STEP)
    return float(np.isfinite(apart).sum()) * _JOINT_STEP**2
