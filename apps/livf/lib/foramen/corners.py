"""Corners of the opening where two flat faces meet, drawn sharp again.

A smoothed surface rounds a corner, and a corner of the opening loses what is rounded off: about a fifth of a square
millimetre each at 0.8 mm, 1 % of an opening with eight of them. Bone has hardly such corners: its edges are rounded,
and a rounded edge must stay as it is. So a corner is drawn sharp only between faces that are flat beyond it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from livf.lib.foramen.constants import OUTLINE_STEP_MM
from livf.lib.foramen.outline import Contour, outward_normals
from livf.lib.foramen.result import Points

#: The rounded stretch to either side of a corner, and where the flat face beyond it ends, mm along the outline.
_ROUNDED_MM: Final = 0.9
_FACE_MM: Final = 3.2
#: A face is flat when its points lie within this of a line (root mean square), mm: boxes 0.01, phantoms' bone 0.03.
_FLAT_MM: Final = 0.02
#: The outline turns at least by this from face to face; and a corner lies at most this far outside of it, mm.
_LEAST_TURN_DEG: Final = 60.0
_FARTHEST_MM: Final = 0.8


def sharpened(contour: Contour) -> Contour:
    """The outline with its rounded corners between flat faces drawn out to where the faces meet.

    Args:
        contour: Points about :data:`~livf.lib.foramen.constants.OUTLINE_STEP_MM` apart.
    """
    rounded, face = round(_ROUNDED_MM / OUTLINE_STEP_MM), round(_FACE_MM / OUTLINE_STEP_MM)
    ring, normals, count = contour.points, contour.normals, len(contour.points)
    if count < 4 * face:
        return contour
    turn = _turn_deg(normals, rounded + 2)
    span = np.arange(-rounded, rounded + 1)
    steepest = turn[(np.arange(count)[:, None] + span) % count].max(axis=1)
    moved = ring.copy()
    for at in np.flatnonzero((turn >= _LEAST_TURN_DEG) & (turn >= steepest)):
        before = ring[(at - np.arange(rounded, face + 1)) % count]
        after = ring[(at + np.arange(rounded, face + 1)) % count]
        tip = _meeting(before, after)
        if tip is None:
            continue
        out = tip - ring[at]
        if out @ normals[at] < 0 or np.linalg.norm(out) > _FARTHEST_MM:
            continue
        share = (span / rounded)[:, None]
        onwards = tip + share * (after[0] - tip)
        moved[(at + span) % count] = np.where(share < 0, tip - share * (before[0] - tip), onwards)
    return Contour(moved, outward_normals(moved), contour.parts, contour.gap)


def _turn_deg(normals: Points, apart: int) -> Points:
    """By how much the outline turns from ``apart`` points before to as many after, degrees; a corner is positive."""
    before, after = np.roll(normals, apart, axis=0), np.roll(normals, -apart, axis=0)
    cross = before[:, 1] * after[:, 0] - before[:, 0] * after[:, 1]
    return np.asarray(np.degrees(np.arctan2(cross, (before * after).sum(axis=1))))


def _meeting(one: Points, two: Points) -> Points | None:
    """Where the lines through two faces meet; None where a face is not flat or they are nearly parallel."""
    middles, ways = [], []
    for face in (one, two):
        middle = face.mean(axis=0)
        _, spread, axes = np.linalg.svd(face - middle)
        if spread[1] / np.sqrt(len(face)) > _FLAT_MM:
            return None
        middles.append(middle)
        ways.append(axes[0])
    crossing = np.stack([ways[0], -ways[1]], axis=1)
    if abs(np.linalg.det(crossing)) < np.sin(np.radians(30)):
        return None
    return np.asarray(middles[0] + np.linalg.solve(crossing, middles[1] - middles[0])[0] * ways[0])
