"""From a label to a measurement: both sides, each measured or refused."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import VERTEBRAE
from livf.lib.foramen import quality
from livf.lib.foramen.disc import disc_height
from livf.lib.foramen.frame import Landmarks, asymmetry_deg, find_frame, slip_mm
from livf.lib.foramen.level import Level, prepare
from livf.lib.foramen.measurements import Main, all_numbers, main_numbers
from livf.lib.foramen.outline import Contour, Projection, find_contour, lateral_view, project, slab
from livf.lib.foramen.probabilities import Boundary, boundary_of
from livf.lib.foramen.reasons import RefusedError
from livf.lib.foramen.refine import refined
from livf.lib.foramen.result import (
    SIDES,
    ForamenMeasurement,
    Measurement,
    Outline,
    Side,
    Status,
    side_sign,
)
from livf.lib.foramen.solid import reconstruct
from livf.lib.foramen.uncertainty import foraminoplasty, standard_deviations
from livf.lib.values import LevelStatus


def measure(
    label: npt.ArrayLike,
    affine: npt.ArrayLike,
    *,
    level_status: LevelStatus = "given",
    probabilities: npt.ArrayLike | None = None,
    uncertainty: bool = True,
) -> Measurement:
    """Measure both foramina of a labelled level.

    Args:
        label: ``(I, J, K)``, values of :mod:`livf.lib.anatomy`; any orientation, spacing and dtype.
        affine: 4x4, voxel index to RAS mm.
        level_status: How sure the level is; ``unclear`` is not measured.
        probabilities: ``(C, I, J, K)``, background and trained structures on the label's grid: widens the standard
            deviations by how unsure the boundary is.
        uncertainty: Without it, ``sd`` is empty and ``foraminoplasty`` is None; about half of the time.

    Returns:
        The measurement. What cannot be measured is refused with a reason, not raised.

    Raises:
        InputError: The arrays are no label, affine or probabilities at all.
    """
    level = prepare(label, affine)
    boundary = None if probabilities is None else boundary_of(probabilities, np.shape(label), affine)
    if level_status == "unclear":
        return _refused(level_status, "level_unclear")
    if level.missing:
        return _refused(level_status, "missing_structure")
    marks = find_frame(level)
    if isinstance(marks, str):
        return _refused(level_status, marks)
    if quality.incomplete(level, marks):
        return _refused(level_status, "incomplete_structure")
    warnings = _level_warnings(level, marks)
    sides = {side: _side(level, marks, side, warnings, boundary, uncertainty) for side in SIDES}
    differences = _differences(sides)
    if quality.sides_differ(*(sides[side].numbers for side in SIDES)):
        warnings = (*warnings, "unusual_value")
        sides = {side: quality.with_warning(sides[side], "unusual_value") for side in SIDES}
    return Measurement(level_status, marks.frame, sides, disc_height(level, marks), differences, warnings)


def _refused(level_status: LevelStatus, code: str) -> Measurement:
    return Measurement(level_status, None, {side: ForamenMeasurement(side, "refused", (code,)) for side in SIDES})


def _level_warnings(level: Level, marks: Landmarks) -> tuple[str, ...]:
    return quality.level_warnings(level, asymmetry_deg(level, marks.frame), slip_mm(marks.walls))


def _side(
    level: Level,
    marks: Landmarks,
    side: Side,
    warnings: tuple[str, ...],
    boundary: Boundary | None,
    uncertainty: bool,
) -> ForamenMeasurement:
    projection: Projection | None = None
    try:
        if any((vertebra.value, side) not in marks.pedicles for vertebra in VERTEBRAE):
            raise RefusedError("pedicle_not_found")
        borders = slab(marks, side)
        projection = project(level, marks, side, borders)
        quality.check_region(level, marks, side, borders)
        contour = find_contour(level, marks, projection)
        quality.check_outline(level, marks, side, borders, contour)
        contour = refined(level, marks.frame, projection, contour)
        main = main_numbers(contour)
        quality.check_size(main)
    except RefusedError as refusal:
        view = lateral_view(level, marks, projection) if projection else None
        return ForamenMeasurement(side, "refused", (refusal.code,), view=view)
    return _measured(level, marks, projection, contour, main, warnings, boundary, uncertainty)


def _measured(
    level: Level,
    marks: Landmarks,
    projection: Projection,
    contour: Contour,
    main: Main,
    warnings: tuple[str, ...],
    boundary: Boundary | None,
    uncertainty: bool,
) -> ForamenMeasurement:
    side, borders = projection.side, slab(marks, projection.side)
    numbers = all_numbers(projection, contour, main, borders)
    points = contour.points
    deviations: dict[str, float] = {}
    if uncertainty:
        perimeter = float(np.linalg.norm(np.diff(np.vstack([points, points[:1]]), axis=0), axis=1).sum())
        spread = boundary.spread(marks.frame, side, borders, contour) if boundary else None
        deviations = standard_deviations(level, marks, side, borders, numbers, perimeter, spread, main)
    middle = side_sign(side) * sum(borders) / 2
    ras = marks.frame.to_ras(np.column_stack([np.full(len(points), middle), points]))
    landmarks = {
        "superior": (float(main.top[0]), float(main.top[1])),
        "inferior": (float(main.bottom[0]), float(main.bottom[1])),
    }
    if numbers.width_segment:
        landmarks["posteroinferior_corner"] = numbers.width_segment.start
        landmarks["facet"] = numbers.width_segment.end
    in_space = {
        name: tuple(float(x) for x in marks.frame.to_ras([middle, *place])) for name, place in landmarks.items()
    }
    reasons = (*warnings, *quality.number_warnings(numbers))
    status: Status = "warning" if reasons else "ok"
    return ForamenMeasurement(
        side=side,
        status=status,
        reasons=reasons,
        numbers=numbers,
        sd=deviations,
        foraminoplasty=foraminoplasty(numbers, deviations) if uncertainty else None,
        outline=Outline(points, contour.parts, ras),
        landmarks_ras_mm={name: (p[0], p[1], p[2]) for name, p in in_space.items()},
        landmarks=landmarks,
        view=lateral_view(level, marks, projection),
        solid=reconstruct(projection, contour, borders),
    )


def _differences(sides: dict[Side, ForamenMeasurement]) -> dict[str, float]:
    left, right = sides["left"].numbers, sides["right"].numbers
    if left is None or right is None:
        return {}
    names = ("area_mm2", "height_mm", "width_mm", "min_width_mm", "channel_diameter_mm", "section_area_mm2")
    pairs = {name: (getattr(left, name), getattr(right, name)) for name in names}
    return {name: a - b for name, (a, b) in pairs.items() if a is not None and b is not None}
