"""The posture of a painted column: every vertebra moved as a rigid body at the disc below it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.synthesis.painting.deform import rotation
from livf.lib.synthesis.painting.subject import Structure, Subject

Doubles = npt.NDArray[np.float64]

#: Discs that a plan has a joint for, counted from the lowest.
JOINTS: Final = 12
#: The middle of the first sacral body lies this far below that of the lowest disc, mm.
_S1_BELOW_DISC_MM: Final = 17.0


@dataclass(frozen=True)
class Joint:
    """What changes at one disc: how the bone above moves on the bone below, and the disc between them.

    Attributes:
        turn_degrees: About the right, the anterior and the superior axis.
        shift_mm: To the right, forwards, and along the disc's normal (which changes its height).
        worn: Degeneration of the disc, 0 to 1.
        bulge_mm: How far its edge is moved outwards (negative: inwards).
        hernia_mm: How far a focal herniation reaches beyond the edge; 0 for none.
        hernia_place: Where it lies, -1 (left) to 1 (right) of the half width.
        schmorl_mm: Radius of a node in an end plate; 0 for none.
        osteophyte_mm: How far the rims of the bodies have grown over the disc's edge.
    """

    turn_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    worn: float = 0.3
    bulge_mm: float = 0.0
    hernia_mm: float = 0.0
    hernia_place: float = 0.0
    schmorl_mm: float = 0.0
    osteophyte_mm: float = 0.0


def draw_joint(rng: np.random.Generator) -> Joint:
    """One joint, within what people have."""
    worn = float(rng.beta(0.8, 0.9))
    turn = rng.normal(0, [1.6, 1.1, 0.9]).clip(-3.5, 3.5)
    shift = rng.normal([0, 0, 0.3 - 0.5 * worn], [0.3, 0.7, 0.7]).clip([-1, -1.8, -1.4], [1, 1.8, 2.2])
    return Joint(
        turn_degrees=(float(turn[0]), float(turn[1]), float(turn[2])),
        shift_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
        worn=worn,
        bulge_mm=float(np.clip(rng.normal(-0.4 + 0.8 * worn, 0.6), -1.5, 2.0)),
        hernia_mm=float(rng.uniform(1.5, 5.5)) if rng.random() < 0.12 else 0.0,
        hernia_place=float(np.clip(rng.normal(0, 0.3), -0.8, 0.8)),
        schmorl_mm=float(rng.uniform(2.0, 4.5)) if rng.random() < 0.08 else 0.0,
        osteophyte_mm=float(rng.uniform(0.5, 3.0)) if rng.random() < 0.25 * worn else 0.0,
    )


@dataclass(frozen=True, eq=False)
class Posture:
    """Rigid moves of the bones.

    Attributes:
        moves: 4x4 by bone, grid mm of the column to grid mm of the posed column. The lowest bone stays.
        heights: ``(N,)`` posed heights of the bones' middles, rising.
        order: Names of the bones in the order of ``heights``.
    """

    moves: dict[str, Doubles]
    heights: Doubles
    order: tuple[str, ...]

    def back(self, name: str, points: Doubles) -> Doubles:
        """Column points of posed points ``(3, ...)`` of this bone."""
        inverse = np.linalg.inv(self.moves[name])
        return np.asarray(
            np.tensordot(inverse[:3, :3], points, axes=1) + inverse[:3, 3].reshape(3, *[1] * (points.ndim - 1))
        )

    def soft_back(self, points: Doubles) -> Doubles:
        """Column points of posed points ``(3, ...)`` of what lies between and around the bones.

        The bones' moves are blended by height, from the middle of one bone to that of the next.
        """
        result = np.zeros_like(points)
        for place, name in enumerate(self.order):
            hat = np.zeros(len(self.order))
            hat[place] = 1.0
            weight = np.interp(points[2], self.heights, hat)
            if weight.any():
                result += weight * self.back(name, points)
        return result


def posture(subject: Subject, joints: tuple[Joint, ...]) -> Posture:
    """Move the bones of a subject; the first joint is that of the lowest disc, which stays on the bone below it."""
    bones = subject.bones
    moves = {bones[-1].name: np.eye(4)}
    discs = dict(zip([v.name for v in subject.vertebrae], subject.discs, strict=True))
    for place, (lower, upper) in enumerate(pairwise(bones[::-1])):
        joint, disc = joints[place % len(joints)], discs[upper.name]
        moves[upper.name] = moves[lower.name] @ _move(joint, disc, upper, lower)
    middles = {b.name: (moves[b.name] @ np.append(b.frame.origin, 1.0))[2] for b in bones}
    last = subject.discs[-1]
    if subject.sacrum is not None and last is not None:
        # The middle of the first sacral body, not of the whole bone.
        middles[subject.sacrum.name] = last.frame.origin[2] - _S1_BELOW_DISC_MM
    order = sorted(middles, key=lambda name: middles[name])
    return Posture(moves, np.array([middles[n] for n in order]), tuple(order))


def _move(joint: Joint, disc: Structure | None, upper: Structure, lower: Structure) -> Doubles:
    """The upper bone's own move, about the middle of the disc."""
    if disc is None:
        centre, normal = (upper.frame.origin + lower.frame.origin) / 2, np.array([0.0, 0.0, 1.0])
        room = 0.0
    else:
        centre, normal = disc.frame.origin, disc.frame.superior
        # A thin disc cannot lose as much.
        room = max(2 * float(disc.half[2]) - 3.5, 0.0) * 0.5
    shift = np.array([joint.shift_mm[0], joint.shift_mm[1], 0.0]) + max(joint.shift_mm[2], -room) * normal
    move = np.eye(4)
    move[:3, :3] = rotation(joint.turn_degrees)
    move[:3, 3] = centre - move[:3, :3] @ centre + shift
    return move
