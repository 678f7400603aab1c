"""The measurement as markups of 3D Slicer: the outline, FH and FW of each side where they were measured.

Format: Slicer's markups JSON, schema v1.0.3 (``markups-schema-v1.0.3.json`` in Slicer's Markups module). Slicer 5 loads
every markup of a file. It works out a line's length itself from the points, so what it shows is the measurement's own
number. Its own area of a closed curve is left off: for an outline like ours it takes up to a minute, and is shown in
cm² with our unit behind it. A measurement whose name Slicer does not know, ``FA``, is shown as the file gives it.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.errors import InputError
from livf.lib.export.style import FORAMINA, HEIGHT_RGB, OUTLINE_RGB, WIDTH_RGB, Colour, written
from livf.lib.foramen import SIDES, ForamenMeasurement, Frame, Measurement
from livf.lib.storage import write_text

#: The identity that Slicer checks for; it says "master" in every version of Slicer.
SCHEMA: Final = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
#: Diameter of points, mm, and of lines as a share of it.
_POINT_MM: Final = 0.8
_LINE_SHARE: Final = 0.5
#: Decimals of coordinates, mm: far below what is measured.
_DECIMALS: Final = 4


def markups(measurement: Measurement) -> dict[str, Any]:
    """The markups of every measured side as a JSON document.

    Each side gives a closed curve (the outline), a line FH and, where it exists, a line FW, all in the plane in the
    middle of the slab. FH is an extent along the frame's S axis, so its line runs along S, from the superior landmark
    down to the height of the inferior one. FW runs from the corner to the articular process.

    Raises:
        InputError: No side is measured.
    """
    frame = measurement.frame
    nodes: list[dict[str, Any]] = []
    if frame:
        for side in SIDES:
            nodes += _side(measurement.foramina[side], frame)
    if not nodes:
        raise InputError("no foramen is measured: there is nothing to mark")
    return {"@schema": SCHEMA, "markups": nodes}


def write_markups(path: str | os.PathLike[str], measurement: Measurement) -> None:
    """Write :func:`markups` into a ``.mrk.json`` file, whole or not at all.

    Raises:
        InputError: No side is measured.
        OutputError: The file cannot be written.
    """
    write_text(path, json.dumps(markups(measurement), indent=1, ensure_ascii=False) + "\n")


def _side(foramen: ForamenMeasurement, frame: Frame) -> list[dict[str, Any]]:
    numbers, outline = foramen.numbers, foramen.outline
    if numbers is None or outline is None:
        return []
    title = FORAMINA[foramen.side].title
    middle = sum(numbers.slab_mm) / 2

    def line(start: tuple[float, float], end: tuple[float, float]) -> npt.NDArray[np.float64]:
        return frame.side_to_ras(foramen.side, [[middle, *start], [middle, *end]])

    top, bottom = foramen.landmarks["superior"], foramen.landmarks["inferior"]
    area = _measure("FA", numbers.area_mm2, "mm2", f"FA {written(foramen, 'area_mm2')} (one SD)")
    found = [
        _node("ClosedCurve", f"{title} outline", outline.ras, [], OUTLINE_RGB, [*_OFF, area]),
        _node(
            "Line",
            f"{title} FH",
            line(top, (top[0], bottom[1])),
            ["superior", "inferior"],
            HEIGHT_RGB,
            [_measure("length", numbers.height_mm, "mm", f"FH {written(foramen, 'height_mm')} (one SD)")],
        ),
    ]
    if numbers.width_segment and numbers.width_mm is not None:
        found.append(
            _node(
                "Line",
                f"{title} FW",
                line(numbers.width_segment.start, numbers.width_segment.end),
                ["posteroinferior_corner", "facet"],
                WIDTH_RGB,
                [_measure("length", numbers.width_mm, "mm", f"FW {written(foramen, 'width_mm')} (one SD)")],
            )
        )
    return found


#: What Slicer would work out of a closed curve.
_OFF: Final[tuple[dict[str, Any], ...]] = ({"name": "length", "enabled": False}, {"name": "area", "enabled": False})


def _measure(name: str, value: float, units: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "enabled": True,
        "value": round(value, _DECIMALS),
        "units": units,
        "description": description,
        "printFormat": "%.1f %s" if units == "mm" else "%.0f %s",
    }


def _node(
    kind: str,
    name: str,
    points: npt.NDArray[np.float64],
    labels: list[str],
    rgb: Colour,
    measurements: list[dict[str, Any]],
) -> dict[str, Any]:
    colour = [round(channel / 255, 4) for channel in rgb]
    return {
        "type": kind,
        "name": name,
        "coordinateSystem": "RAS",
        "coordinateUnits": "mm",
        "locked": True,
        "fixedNumberOfControlPoints": True,
        "labelFormat": "%N-%d",
        "controlPoints": [
            {
                "id": str(number),
                "label": labels[number - 1] if labels else "",
                "position": [round(float(x), _DECIMALS) + 0.0 for x in point],  # + 0.0: no minus zero
                "selected": True,
                "locked": True,
                "visibility": True,
                "positionStatus": "defined",
            }
            for number, point in enumerate(points, start=1)
        ],
        "measurements": measurements,
        "display": {
            "visibility": True,
            "opacity": 1.0,
            "color": colour,
            "selectedColor": colour,
            "propertiesLabelVisibility": True,
            "pointLabelsVisibility": False,
            "textScale": 3.0,
            "glyphType": "Sphere3D",
            "glyphSize": _POINT_MM,
            "useGlyphScale": False,
            "lineThickness": _LINE_SHARE,
            "sliceProjection": True,
        },
    }
