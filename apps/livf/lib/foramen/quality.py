"""The checks that refuse a side or warn of its numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from livf.lib.anatomy import DISC, L4, L5, VERTEBRAE, Structure
from livf.lib.foramen import result as parts_of
from livf.lib.foramen.constants import (
    DISC_MIDDLE_MM,
    FACET_SHARE,
    LARGEST_BOWLS,
    LARGEST_DISC_HOLLOW_MM,
    LARGEST_DISC_OFFSET_MM,
    LARGEST_DISC_RECESS_MM,
    LARGEST_HOLES,
    LARGEST_PEDICLE_TURN_DEG,
    LARGEST_PLATEAU_MM,
    LEAST_BESIDE_SLAB_MM,
    LEAST_DISC_REACH_MM,
    LEAST_JOINT_MM2,
    LOWER_BACK_SHARE,
    OUTLINE_STEP_MM,
    POSSIBLE_AREA_MM2,
    POSSIBLE_HEIGHT_MM,
    POSTERIOR_NORMAL,
    SLIP_MM,
    SMALL_JOINT_MM2,
    SMALL_JOINT_SHARE,
    THICK_SLICES_MM,
    UNSTABLE_FRAME_DEG,
    USUAL_AREA_MM2,
    USUAL_DIFFERENCE,
    USUAL_HEIGHT_MM,
    USUAL_WIDTH_MM,
    VIEW_MM,
)
from livf.lib.foramen.craters import bowl_mm2
from livf.lib.foramen.facets import joint_mm2, plateau_mm, process_top
from livf.lib.foramen.frame import Landmarks
from livf.lib.foramen.level import Level
from livf.lib.foramen.measurements import Main
from livf.lib.foramen.outline import Contour, slab
from livf.lib.foramen.reasons import RefusedError
from livf.lib.foramen.result import SIDES, ForamenMeasurement, Numbers, Points, Side, side_sign
from livf.lib.values import voxel_volume

#: A loose part counts within this distance of the slab, and from this volume. [own]
_LOOSE_MM: Final = 3.0
_LOOSE_MM3: Final = 20.0
#: The disc reaches to the side as far as all but this share of its voxels. [own]
_OUTERMOST: Final = 0.02
#: Along the outline, a body's rim and the roof or floor of a gap in the disc are no longer than this. [own]
_RIM_MM: Final = 8.0


def level_warnings(level: Level, asymmetry: float, slip: float) -> tuple[str, ...]:
    """Codes that concern both sides."""
    found = []
    if float(level.spacing.max()) >= THICK_SLICES_MM:
        found.append("slices_too_thick")
    if asymmetry > UNSTABLE_FRAME_DEG:
        found.append("frame_unstable")
    if abs(slip) >= SLIP_MM:
        found.append("spondylolisthesis")
    return tuple(found)


def incomplete(level: Level, marks: Landmarks) -> bool:
    """Whether the frame would rest on what is left of a structure.

    The label is porous, much of the disc is missing on one side or behind, or the lines that join the pedicles of each
    vertebra disagree, as where the walls behind which they are looked for are not whole.
    """
    if level.holes > LARGEST_HOLES:
        return True
    pairs = [[marks.pedicles.get((v.value, side)) for side in SIDES] for v in VERTEBRAE]
    lines = [(one.centre, other.centre) for one, other in pairs if one and other]
    middle = float(np.mean([(left[0] + right[0]) / 2 for left, right in lines])) if lines else 0.0
    disc = marks.frame.to_frame(level.centres(DISC))
    across = disc[:, 0] - middle
    reach = min(float(np.quantile(across, 1 - _OUTERMOST)), -float(np.quantile(across, _OUTERMOST)))
    turns = [float(np.degrees(np.arctan2(*(left - right)[1::-1]))) for left, right in lines]
    return (
        abs(middle) > LARGEST_DISC_OFFSET_MM
        or reach < LEAST_DISC_REACH_MM
        or _disc_hollow(marks, disc[np.abs(across) < DISC_MIDDLE_MM, 1]) > LARGEST_DISC_HOLLOW_MM
        or (len(turns) > 1 and abs(turns[0] - turns[1]) > LARGEST_PEDICLE_TURN_DEG)
    )


def _disc_hollow(marks: Landmarks, anterior: Points) -> float:
    """How far in front of both posterior walls the disc ends, mm; infinite where there is none.

    Args:
        marks: Landmarks.
        anterior: ``(N,)`` A of the disc's voxels in the middle between the pedicles.
    """
    if not anterior.size:
        return float("inf")
    upper, lower = marks.walls[L4.value], marks.walls[L5.value]
    behind = max(float(upper.anterior(0.0, upper.low)), float(lower.anterior(0.0, lower.high)))
    return float(np.quantile(anterior, _OUTERMOST)) - behind


def check_region(level: Level, marks: Landmarks, side: Side, borders: tuple[float, float]) -> None:
    """Refuse a side whose pedicles the image or the label cuts, or beside whose slab a loose part lies."""
    for vertebra in VERTEBRAE:
        if marks.pedicles[(vertebra.value, side)].cut or _ends_beside(level, marks, vertebra, side, borders[1]):
            raise RefusedError("truncated_pedicle")
    voxel = voxel_volume(level.affine)
    for _, centres in level.parts:
        place = marks.frame.to_frame(centres)
        depth = side_sign(side) * place[:, 0]
        wall = marks.walls[L4.value].anterior(0.0, 0.0)
        near = (depth > borders[0] - _LOOSE_MM) & (depth < borders[1] + _LOOSE_MM)
        near &= (place[:, 1] > wall + VIEW_MM[0]) & (place[:, 1] < wall + VIEW_MM[1])
        near &= (place[:, 2] > VIEW_MM[2]) & (place[:, 2] < VIEW_MM[3])
        if near.sum() * voxel > _LOOSE_MM3:
            raise RefusedError("disconnected_structure")


def _ends_beside(level: Level, marks: Landmarks, vertebra: Structure, side: Side, border: float) -> bool:
    """Whether a vertebra ends at the slab's lateral border though the image goes on."""
    sign = side_sign(side)
    place = marks.frame.to_frame(level.centres(vertebra))
    last = place[int((sign * place[:, 0]).argmax())]
    beyond = last + np.array([sign * LEAST_BESIDE_SLAB_MM, 0.0, 0.0])
    return bool(sign * last[0] < border + LEAST_BESIDE_SLAB_MM and level.in_image(marks.frame, beyond))


def check_outline(level: Level, marks: Landmarks, side: Side, borders: tuple[float, float], contour: Contour) -> None:
    """Refuse an outline shaped by the image's edge, or by a missing piece of bone or disc."""
    points, normals = contour.points, contour.normals
    grid = np.empty((2, len(points), 3))
    grid[..., 0] = side_sign(side) * np.asarray(borders)[:, None]
    grid[..., 1:] = points + 1.0 * normals
    if not level.in_image(marks.frame, grid).all():
        raise RefusedError("truncated_pedicle")
    if _disc_recess(contour) > LARGEST_DISC_RECESS_MM:
        raise RefusedError("incomplete_structure")
    middle = (points[:, 1].max() + points[:, 1].min()) / 2
    back = (-normals[:, 0] > POSTERIOR_NORMAL) & (points[:, 1] < middle)
    own = contour.parts[back] == parts_of.FACET
    if not back.any() or own.mean() < LOWER_BACK_SHARE:
        raise RefusedError("truncated_posterior_elements")
    low, high = points[:, 1].min(), points[:, 1].max()
    if points[contour.parts == parts_of.FACET, 1].max() < low + FACET_SHARE * (high - low):
        raise RefusedError("truncated_posterior_elements")
    if plateau_mm(process_top(level, marks, side, borders)) > LARGEST_PLATEAU_MM:
        raise RefusedError("truncated_posterior_elements")
    if _joint_is_small(level, marks, side, borders):
        raise RefusedError("truncated_posterior_elements")
    if all(bowl_mm2(level, marks, side, borders, contour, smoothing) > most for smoothing, most in LARGEST_BOWLS):
        raise RefusedError("incomplete_structure")


def _joint_is_small(level: Level, marks: Landmarks, side: Side, borders: tuple[float, float]) -> bool:
    """Whether the superior articular process fills its joint less than a whole one does.

    Joints are wide in some people, but in most of them on both sides: an area between the limits counts where the other
    side's is much larger.
    """
    area = joint_mm2(level, marks, side, borders)
    if area < LEAST_JOINT_MM2 or area >= SMALL_JOINT_MM2:
        return area < LEAST_JOINT_MM2
    other: Side = "right" if side == "left" else "left"
    if any((vertebra.value, other) not in marks.pedicles for vertebra in VERTEBRAE):
        return False
    return area < SMALL_JOINT_SHARE * joint_mm2(level, marks, other, slab(marks, other))


def _disc_recess(contour: Contour) -> float:
    """How far the disc's edge lies in front of the line between the hindmost points of the walls next to it, mm."""
    edge = np.flatnonzero(contour.parts == parts_of.DISC_EDGE)
    if not edge.size:
        return 0.0
    count, points = len(contour.points), contour.points
    near = np.arange(1, round(_RIM_MM / OUTLINE_STEP_MM) + 1)
    ends = []
    for wall, index in ((parts_of.UPPER_WALL, edge[0] - near), (parts_of.LOWER_WALL, edge[-1] + near)):
        own = points[index % count][contour.parts[index % count] == wall]
        ends.append(own[own[:, 0].argmin()] if len(own) else points[index[0] % count])
    above, below = ends
    share = np.clip((above[1] - points[edge, 1]) / max(float(above[1] - below[1]), 1e-6), 0, 1)
    return float((points[edge, 0] - (above[0] + share * (below[0] - above[0]))).max())


def check_size(main: Main) -> None:
    """Refuse what no human foramen can be."""
    possible = POSSIBLE_AREA_MM2[0] <= main.area <= POSSIBLE_AREA_MM2[1]
    if not (possible and POSSIBLE_HEIGHT_MM[0] <= main.height <= POSSIBLE_HEIGHT_MM[1]):
        raise RefusedError("implausible_geometry")


def number_warnings(numbers: Numbers) -> tuple[str, ...]:
    """Codes that concern one side's numbers."""
    found = []
    if numbers.width_mm is None:
        found.append("corner_not_found")
    usual = (
        (numbers.area_mm2, USUAL_AREA_MM2),
        (numbers.height_mm, USUAL_HEIGHT_MM),
        (numbers.width_mm, USUAL_WIDTH_MM),
    )
    if any(value is not None and not low <= value <= high for value, (low, high) in usual):
        found.append("unusual_value")
    return tuple(found)


def sides_differ(left: Numbers | None, right: Numbers | None) -> bool:
    """Whether a number of both sides differs by more than 40 % of its mean."""
    if left is None or right is None:
        return False
    pairs = (
        (left.area_mm2, right.area_mm2),
        (left.height_mm, right.height_mm),
        (left.width_mm, right.width_mm),
    )
    return any(a is not None and b is not None and abs(a - b) > USUAL_DIFFERENCE * (a + b) / 2 for a, b in pairs)


def with_warning(foramen: ForamenMeasurement, code: str) -> ForamenMeasurement:
    """A measured side with one more warning."""
    if not foramen.measured or code in foramen.reasons:
        return foramen
    return replace(foramen, status="warning", reasons=(*foramen.reasons, code))
