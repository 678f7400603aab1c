"""The level's coordinate system, from the disc's plane and the pedicles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from livf.lib.anatomy import BACKGROUND, DISC, L4, L5, VERTEBRAE
from livf.lib.foramen.constants import FRAME_ROUNDS, LARGEST_TILT_DEG
from livf.lib.foramen.level import Level
from livf.lib.foramen.pedicles import Pedicle, Wall, find_pedicle, find_wall
from livf.lib.foramen.result import SIDES, Frame, Points, Side

_PATIENT_SUPERIOR: Final = np.array([0.0, 0.0, 1.0])
_PATIENT_ANTERIOR: Final = np.array([0.0, 1.0, 0.0])
#: Grid of the search for the plane of symmetry: L, A and S mm.
_MIRROR_MM: Final = (np.arange(-44.0, 45.0, 2.0), np.arange(-60.0, 24.0, 2.0), np.arange(-34.0, 35.0, 2.0))


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What carries the frame.

    Attributes:
        frame: The coordinate system.
        walls: Posterior wall of each vertebra by label value, in frame coordinates.
        pedicles: Pedicles by label value and side.
    """

    frame: Frame
    walls: dict[int, Wall]
    pedicles: dict[tuple[int, Side], Pedicle]


def find_frame(level: Level) -> Landmarks | str:
    """Find the frame, the posterior walls and the pedicles; or the reason code why there is none.

    S is the normal of the disc's best-fit plane (total least squares over its voxels); L the mean direction of the
    lines that join the pedicles of each vertebra, made perpendicular to S. A first guess of A leads from the whole
    vertebrae (whose arches lie behind) to the disc, and is refined until walls, pedicles and frame agree.
    """
    disc = level.centres(DISC)
    origin = disc.mean(axis=0)
    superior = np.linalg.svd((disc - origin).T @ (disc - origin))[2][2]
    upper, lower = (level.centres(vertebra).mean(axis=0) for vertebra in VERTEBRAE)
    if superior @ (upper - lower) < 0:
        superior = -superior
    if superior @ _PATIENT_SUPERIOR < np.cos(np.radians(LARGEST_TILT_DEG)):
        return "wrong_level_order"
    if (upper - origin) @ superior <= 0 or (lower - origin) @ superior >= 0:
        return "wrong_level_order"
    forward = origin - (upper + lower) / 2
    forward = forward - (forward @ superior) * superior
    if np.linalg.norm(forward) < 2.0:
        forward = _PATIENT_ANTERIOR
    frame = _frame(origin, superior, anterior=forward)
    walls: dict[int, Wall] = {}
    pedicles: dict[tuple[int, Side], Pedicle] = {}
    for _ in range(FRAME_ROUNDS):
        walls = {v.value: wall for v in VERTEBRAE if (wall := find_wall(level, frame, v))}
        if len(walls) < len(VERTEBRAE):
            return "wall_not_found"
        pedicles = {
            (v.value, side): pedicle
            for v in VERTEBRAE
            for side in SIDES
            if (pedicle := find_pedicle(level, frame, v, walls[v.value], side))
        }
        left = _left(frame, walls, pedicles)
        turn = float(np.degrees(np.arccos(np.clip(left @ frame.left, -1, 1))))
        if turn < 1e-6:
            break
        frame = _frame(origin, superior, left=left)
    return Landmarks(frame, walls, pedicles)


def _frame(origin: Points, superior: Points, *, left: Points | None = None, anterior: Points | None = None) -> Frame:
    """A frame from S and one more direction. R, A, S being right-handed, left x anterior points down: A = L x S."""
    if left is None:
        assert anterior is not None
        left = np.cross(superior, anterior)
    left = left - (left @ superior) * superior
    left = left / np.linalg.norm(left)
    return Frame(origin, left, np.cross(left, superior), superior)


def _left(frame: Frame, walls: dict[int, Wall], pedicles: dict[tuple[int, Side], Pedicle]) -> Points:
    """Mean direction of the lines from right to left pedicle; of the walls where no vertebra has both."""
    lines = []
    for vertebra in VERTEBRAE:
        pair = [pedicles.get((vertebra.value, side)) for side in SIDES]
        if pair[0] is not None and pair[1] is not None:
            lines.append((pair[0].centre - pair[1].centre) @ frame.axes)
    if not lines:
        lines = [np.array([1.0, wall.by_left, 0.0]) @ frame.axes for wall in walls.values()]
    left = sum((line / np.linalg.norm(line) for line in lines), start=np.zeros(3))
    left = left - (left @ frame.superior) * frame.superior
    return np.asarray(left / np.linalg.norm(left))


def asymmetry_deg(level: Level, frame: Frame) -> float:
    """How far the level's own plane of symmetry is turned against the frame, degrees.

    All three structures together are mirrored at the plane L = 0 and turned back until they fit best: half of that
    turn. The disc alone would not do, since it is nearly round.
    """
    turn, base = level.to_index(frame)
    las = np.stack(np.meshgrid(*_MIRROR_MM, indexing="ij"))
    kinds = level.nearest(level.grid_index(frame, *_MIRROR_MM))
    mirrored, value = las[:, kinds > BACKGROUND] * [[-1.0], [1.0], [1.0]], kinds[kinds > BACKGROUND]
    if not value.size:
        return 0.0
    best, best_turn = -1, 0.0
    for degrees in np.arange(-20.0, 20.1, 2.0):
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        about = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        index = turn @ about @ mirrored + base[:, None]
        for shift in (-4.0, -2.0, 0.0, 2.0, 4.0):
            fit = int(np.count_nonzero(level.nearest(index + shift * turn[:, :1]) == value))
            if fit > best:
                best, best_turn = fit, float(degrees)
    return abs(best_turn) / 2


def slip_mm(walls: dict[int, Wall]) -> float:
    """How far the upper body's lower posterior rim lies in front of the lower body's upper one, mm."""
    upper, lower = walls[L4.value], walls[L5.value]
    middle = (upper.low + lower.high) / 2
    return float(upper.anterior(0.0, middle) - lower.anterior(0.0, middle))
