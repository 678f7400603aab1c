"""How measured numbers are written and coloured, the same in pictures and in 3D Slicer."""

from __future__ import annotations

from typing import Final

from livf.lib.anatomy import FORAMEN_LEFT, FORAMEN_RIGHT, Structure
from livf.lib.foramen import ForamenMeasurement, Side

Colour = tuple[int, int, int]

#: Colours of the outline, FH and FW: as in figure 2 of the paper, FH green and FW blue, light enough for a dark ground.
OUTLINE_RGB: Final[Colour] = (255, 205, 60)
HEIGHT_RGB: Final[Colour] = (80, 220, 110)
WIDTH_RGB: Final[Colour] = (85, 165, 255)

#: The structure of each side.
FORAMINA: Final[dict[Side, Structure]] = {"left": FORAMEN_LEFT, "right": FORAMEN_RIGHT}


def quantity(value: float | None, sd: float | None, unit: str) -> str:
    """A number with its standard deviation and unit, as a reader needs it: 0.1 mm, whole mm².

    ``"16.6 ± 0.2 mm"``; without an SD ``"16.6 mm"``; ``"not found"`` for a number that does not exist.
    """
    if value is None:
        return "not found"
    places = 1 if unit == "mm" else 0
    spread = "" if sd is None else f" ± {max(sd, 10.0**-places):.{places}f}"
    return f"{value:.{places}f}{spread} {unit}"


def written(foramen: ForamenMeasurement, name: str) -> str:
    """One of a measured side's numbers, by its name in the measurement document (``height_mm``)."""
    unit = "mm²" if name.endswith("_mm2") else "mm"
    return quantity(getattr(foramen.numbers, name), foramen.sd.get(name), unit)
