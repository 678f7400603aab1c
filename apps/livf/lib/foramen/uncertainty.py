"""One standard deviation of each number, from what moves it.

Three things are added as independent:

- the voxels: the outline lies within a share of a voxel of the surface, over a stretch of some millimetres at a time;
- the frame and the slab: the level is measured again with each turned or moved by its own standard deviation, to
  either side;
- where the segmentation gives probabilities: how slowly they rise across the outline; a share of that moves the whole
  boundary at once (FA), and each end of a length by what is found there (FH, FW).

The constants are calibrated on synthetic spines with exact labels (see ``docs/foramen.md``). What it does not cover:
a label that is wrong as a whole, another boundary convention (CT masks include the cortex), posture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from livf.lib.foramen.constants import BORDERLINE_SD, THICK_SLICES_MM, THRESHOLD_HEIGHT_MM, THRESHOLD_WIDTH_MM
from livf.lib.foramen.frame import Landmarks
from livf.lib.foramen.level import Level
from livf.lib.foramen.measurements import Main, main_numbers
from livf.lib.foramen.outline import find_contour, project
from livf.lib.foramen.probabilities import OF_OTHER_LENGTH, SHARED, Spread
from livf.lib.foramen.reasons import RefusedError
from livf.lib.foramen.result import Answer, Foraminoplasty, Frame, Numbers, Side

#: SD of the frame's turn about L, A and S for voxels of 1 mm, degrees.
FRAME_SD_DEG: Final = (0.1, 0.05, 0.25)
#: SD of each of the slab's borders for voxels of 1 mm, mm.
SLAB_SD_MM: Final = 0.2
#: SD of the outline for voxels of 1 mm: of a length's two ends together, and of the whole outline at once.
LENGTH_SD: Final = {"height_mm": 0.14, "width_mm": 0.19}
OTHER_LENGTH_SD: Final = 0.25
SHIFT_SD_MM: Final = 0.025
#: Length along which the outline's error is the same, mm.
STRETCH_MM: Final = 4.0
#: SD of the outline at a point, share of a voxel.
POINT_SD: Final = 0.065
#: FA's SD is at least this share of it with slices of 3 mm and more. [DESIGN]
THICK_SHARE: Final = 0.05
#: A number that cannot be read again after a small turn is unsure by this share.
_LOST_SHARE: Final = 0.1


def standard_deviations(
    level: Level,
    marks: Landmarks,
    side: Side,
    borders: tuple[float, float],
    numbers: Numbers,
    perimeter: float,
    spread: Spread | None = None,
    main: Main | None = None,
) -> dict[str, float]:
    """One SD of each number, by name.

    Args:
        level: The label.
        marks: Frame, walls, pedicles.
        side: The patient's side.
        borders: The slab.
        numbers: What was measured.
        perimeter: Length of the outline, mm.
        spread: How unsure the boundary's place is, from the probabilities; None without.
        main: Where FA, FH and FW were measured; needed with ``spread``.
    """
    voxel = float(np.prod(level.spacing) ** (1 / 3))
    thick = float(level.spacing.max())
    base = {"area_mm2": numbers.area_mm2, "height_mm": numbers.height_mm, "width_mm": numbers.width_mm}
    moved = _moved(level, marks, side, borders, thick)
    typical = spread.typical if spread else 0.0
    point, shift = POINT_SD * voxel, float(np.hypot(SHIFT_SD_MM * voxel, SHARED * typical))
    ends = _ends(main) if spread and main else {}
    area = np.sqrt(perimeter * STRETCH_MM) * point
    deviations = {"area_mm2": float(np.sqrt(area**2 + (shift * perimeter) ** 2 + moved["area_mm2"] ** 2))}
    for name, of_voxel in LENGTH_SD.items():
        if base[name] is not None:
            unsure = spread.of_length(name, ends[name]) if spread and name in ends else 0.0
            deviations[name] = float(np.sqrt((of_voxel * voxel) ** 2 + unsure**2 + moved[name] ** 2))
    length = float(np.hypot(OTHER_LENGTH_SD * voxel, np.sqrt(2) * OF_OTHER_LENGTH * typical))
    relative = moved["area_mm2"] / max(numbers.area_mm2, 1e-9)
    if thick >= THICK_SLICES_MM:
        deviations["area_mm2"] = max(deviations["area_mm2"], THICK_SHARE * numbers.area_mm2)
    if numbers.min_width_mm is not None:
        deviations["min_width_mm"] = float(np.hypot(length, relative * numbers.min_width_mm))
    for name, width in numbers.widths_mm.items():
        if width is not None:
            deviations[f"widths_mm.{name}"] = float(np.hypot(length, relative * width))
    deviations["channel_diameter_mm"] = float(np.hypot(length, relative * numbers.channel_diameter_mm))
    if numbers.section is not None:
        deviations["section_area_mm2"] = deviations["area_mm2"] * numbers.section.area_mm2 / numbers.area_mm2
    return deviations


def _ends(main: Main) -> dict[str, tuple[tuple[float, float], tuple[float, float]]]:
    """Both ends of FH and FW, (A, S) mm."""
    found = {"height_mm": ((float(main.top[0]), float(main.top[1])), (float(main.bottom[0]), float(main.bottom[1])))}
    if main.width_segment:
        found["width_mm"] = (main.width_segment.start, main.width_segment.end)
    return found


def _moved(
    level: Level,
    marks: Landmarks,
    side: Side,
    borders: tuple[float, float],
    thick: float,
) -> dict[str, float]:
    """SD of the main numbers from frame and slab: root of the sum of mean squares over both directions of each.

    Read off the smoothed outline, before it is fitted to the voxels' centres: their differences are the same.
    """
    base = _again(level, marks, side, borders)
    total = dict.fromkeys(base, 0.0)
    variants: list[list[tuple[Landmarks, tuple[float, float]]]] = []
    for axis, angle in enumerate(FRAME_SD_DEG):
        turns = (turned(marks.frame, axis, sign * angle * thick) for sign in (-1, 1))
        variants.append([(replace(marks, frame=frame), borders) for frame in turns])
    for border in range(2):
        step = SLAB_SD_MM * thick
        moves = ([step * sign if k == border else 0.0 for k in range(2)] for sign in (-1, 1))
        variants.append([(marks, (borders[0] + move[0], borders[1] + move[1])) for move in moves])
    for pair in variants:
        squares = dict.fromkeys(base, 0.0)
        for other, slab in pair:
            again = _again(level, other, side, slab)
            for name, value in base.items():
                if value is not None:
                    new = again.get(name)
                    off = new - value if new is not None else _LOST_SHARE * value
                    squares[name] += off * off / len(pair)
        for name, square in squares.items():
            total[name] += square
    return {name: float(np.sqrt(square)) for name, square in total.items()}


def _again(level: Level, marks: Landmarks, side: Side, borders: tuple[float, float]) -> dict[str, float | None]:
    try:
        main = main_numbers(find_contour(level, marks, project(level, marks, side, borders)))
    except RefusedError:
        return {}
    return {"area_mm2": main.area, "height_mm": main.height, "width_mm": main.width}


def turned(frame: Frame, axis: int, degrees: float) -> Frame:
    """A frame turned about one of its own axes (0 L, 1 A, 2 S)."""
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    axes = frame.axes.copy()
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    axes[first], axes[second] = (
        cos * frame.axes[first] + sin * frame.axes[second],
        cos * frame.axes[second] - sin * frame.axes[first],
    )
    return Frame(frame.origin, *axes)


def foraminoplasty(numbers: Numbers, deviations: dict[str, float]) -> Foraminoplasty:
    """The paper's thresholds: yes, no, or borderline where the threshold lies within two SD."""
    height = _answer(numbers.height_mm, THRESHOLD_HEIGHT_MM, deviations["height_mm"])
    width = None
    if numbers.width_mm is not None:
        width = _answer(numbers.width_mm, THRESHOLD_WIDTH_MM, deviations["width_mm"])
    answers = [height] if width is None else [height, width]
    met: Answer = "yes" if "yes" in answers else "borderline" if "borderline" in answers or width is None else "no"
    return Foraminoplasty(
        height,
        width,
        met,
        numbers.height_mm - THRESHOLD_HEIGHT_MM,
        None if numbers.width_mm is None else numbers.width_mm - THRESHOLD_WIDTH_MM,
    )


def _answer(value: float, threshold: float, deviation: float) -> Answer:
    if abs(value - threshold) <= BORDERLINE_SD * deviation:
        return "borderline"
    return "yes" if value <= threshold else "no"
