"""Everything that is chosen about one training image before it is painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from livf.lib.synthesis.painting.acquisition import Scan, draw_scan
from livf.lib.synthesis.painting.deform import Warp, Window
from livf.lib.synthesis.painting.looks import Look, draw_look
from livf.lib.synthesis.painting.pose import JOINTS, Joint, draw_joint

#: Windows of the localiser: 48 x 96 x 128 voxels (right, anterior, superior).
LOCALISER: Final = Window((48, 96, 128), 1.6)
#: The box around a disc: 112 x 160 x 128 voxels.
PAIR: Final = Window((112, 160, 128), 0.8)
#: Where the disc lies from the middle of the pair's box, mm: the spinous processes reach 70 mm behind it.
PAIR_DISC_MM: Final = (0.0, 16.0, 0.0)
#: Share of the localiser's windows that hold no spine.
EMPTY_SHARE: Final = 0.15
_EVERYWHERE: Final = 1000.0
#: Power of the drawn height of a pair: above 1 prefers the lower levels.
_LOW: Final = 1.5


@dataclass(frozen=True)
class Plan:
    """How one image is made.

    Attributes:
        window: The grid that is painted.
        height: Which level is in the middle, 0 (lowest) to 1 (highest): of the discs that can be taught for a pair,
            of the canal's course for a localiser.
        pair: Whether the window is centred on a disc with two whole neighbours.
        offset_mm: Where that point lies from the window's middle: right, anterior, superior.
        empty: Whether the window is meant to lie beside the spine.
        field_low_mm: Lower corner of the field of view, from the window's middle; beyond it the image is 0.
        field_high_mm: Upper corner.
        warp: Scale, turn, mirror and bend.
        joints: Posture and discs, from the lowest disc.
        look: Of the tissues.
        scan: Of the scanner.
    """

    window: Window
    height: float
    pair: bool
    offset_mm: tuple[float, float, float]
    empty: bool
    field_low_mm: tuple[float, float, float]
    field_high_mm: tuple[float, float, float]
    warp: Warp
    joints: tuple[Joint, ...]
    look: Look
    scan: Scan


def draw_warp(rng: np.random.Generator) -> Warp:
    """Scale 0.85 to 1.2, small oblique angles, mirrored or not, smoothly bent."""
    turn = rng.normal(0, [7.0, 4.0, 5.0]).clip(-15, 15)
    return Warp(
        scale=float(rng.uniform(0.85, 1.2)),
        turn_degrees=(float(turn[0]), float(turn[1]), float(turn[2])),
        mirror=bool(rng.random() < 0.5),
        bend_mm=float(rng.uniform(0.0, 2.2)),
        bend_over_mm=float(rng.uniform(16, 34)),
    )


def draw_plan(rng: np.random.Generator, *, pair: bool) -> Plan:
    """One plan, for the box around a disc (``pair``) or for the localiser."""
    empty = not pair and bool(rng.random() < EMPTY_SHARE)
    height = float(rng.random())
    if pair:
        # The lowest levels are those that are asked for.
        height = height**_LOW
        offset = PAIR_DISC_MM + rng.uniform(-7, 7, 3)
        field = _cropped(rng, 0.3, (34, 48), (45, 64), (42, 51))
    elif empty:
        offset, field = _beside(rng), (np.full(3, -_EVERYWHERE), np.full(3, _EVERYWHERE))
    else:
        offset = rng.normal(0, [12, 18, 25]).clip([-30, -45, -60], [30, 45, 60]) - [0, 12, 0]
        # Some see two vertebrae only; then the lumbar levels are what they look at.
        narrow = rng.random() < 0.12
        if narrow:
            height, offset[2] = float(rng.uniform(0.0, 0.3)), rng.uniform(-15, 15)
        field = _cropped(rng, 0.6, (22, 38), (50, 77), (30, 55) if narrow else (60, 102), crop_height=narrow)
    return Plan(
        window=PAIR if pair else LOCALISER,
        height=height,
        pair=pair,
        offset_mm=(float(offset[0]), float(offset[1]), float(offset[2])),
        empty=empty,
        field_low_mm=(float(field[0][0]), float(field[0][1]), float(field[0][2])),
        field_high_mm=(float(field[1][0]), float(field[1][1]), float(field[1][2])),
        warp=draw_warp(rng),
        joints=tuple(draw_joint(rng) for _ in range(JOINTS)),
        look=draw_look(rng),
        scan=draw_scan(rng),
    )


def _cropped(
    rng: np.random.Generator,
    share: float,
    *reach: tuple[float, float],
    crop_height: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """A field of view: each side cut at a drawn distance from the middle, or not at all."""
    low, high = np.full(3, -_EVERYWHERE), np.full(3, _EVERYWHERE)
    for axis, (least, most) in enumerate(reach):
        for side, sign in ((low, -1), (high, 1)):
            cut = rng.random() < share * (1.0 if axis == 0 else 0.4)
            place = sign * rng.uniform(least, most)
            if cut or (crop_height and axis == 2):
                side[axis] = place
    return low, high


def _beside(rng: np.random.Generator) -> np.ndarray:
    """Where the spine lies from a window that does not show it: farther away than both reach together."""
    if rng.random() < 0.75:
        return np.array([rng.choice((-1, 1)) * rng.uniform(128, 160), rng.normal(-12, 25), rng.normal(0, 30)])
    return np.array([rng.normal(0, 15), -rng.uniform(165, 195), rng.normal(0, 30)])
