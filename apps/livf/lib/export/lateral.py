"""The lateral picture of one side: what was measured, where, and how sure it is (as figure 2 of the paper).

The projection along the frame's L axis in grey, tinted by structure; the outline, FH and FW over it; the numbers
beside it. Both sides are seen from the patient's left, front to the left, so that they can be compared.
"""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from livf.lib.anatomy import BACKGROUND, DISC, TRAINED
from livf.lib.export.style import FORAMINA, HEIGHT_RGB, OUTLINE_RGB, WIDTH_RGB, Colour, quantity, written
from livf.lib.foramen import SENTENCES, ForamenMeasurement, LateralView, Measurement, Numbers, Side
from livf.lib.storage import writing
from livf.lib.values import LevelStatus

Rgb = npt.NDArray[np.uint8]

#: Pixels of the picture to a millimetre.
PIXELS_PER_MM: Final = 14
#: Length of the scale bar, mm.
SCALE_BAR_MM: Final = 10
#: Everything is drawn this much larger and then reduced: smooth lines.
_FINE: Final = 2
_TITLE: Final = 72
_PANEL: Final = 372
_FOOT: Final = 44
_GROUND: Final[Colour] = (16, 17, 20)
_INK: Final[Colour] = (238, 238, 238)
_FAINT: Final[Colour] = (165, 168, 175)
_WARN: Final[Colour] = (255, 170, 70)
_STOP: Final[Colour] = (255, 105, 95)
#: Share of the structure's colour in the grey.
_TINT: Final = 0.3
#: Size of an empty view where no projection could be made, mm.
_EMPTY_MM: Final = (34.0, 56.0)

_LEVELS: Final[dict[LevelStatus, str]] = {
    "found": "level found in the image",
    "given": "level as given",
    "assumed": "level assumed, not found: check it",
    "unclear": "level not clear",
}


@dataclass(frozen=True)
class Line:
    """One line of the panel's text."""

    text: str
    colour: Colour = _INK
    size: int = 17
    above: int = 0


def lateral_picture(measurement: Measurement, side: Side) -> Rgb:
    """Draw one side.

    Args:
        measurement: The level.
        side: The patient's side.

    Returns:
        uint8, ``(rows, columns, 3)``; 14 pixels a millimetre in the view.
    """
    foramen = measurement.foramina[side]
    view = _Projection(foramen.view)
    width, height = view.size
    panel = [*panel_lines(foramen), *_level_lines(measurement)]
    canvas = Image.new("RGB", ((width + _PANEL) * _FINE, (_TITLE + height + _FOOT) * _FINE), _GROUND)
    canvas.paste(view.grey(), (0, _TITLE * _FINE))
    pen = _Pen(ImageDraw.Draw(canvas))
    pen.write((14, 9), FORAMINA[side].title, size=26)
    pen.write((14, 44), _LEVELS[measurement.level_status], size=15, colour=_FAINT)
    if foramen.view is not None:
        _draw_names(pen, view, foramen.view)
        _draw_measures(pen, view, foramen)
        pen.write((12, _TITLE + height / 2 - 12), "A", size=24, edge=True)
        pen.write((width - 28, _TITLE + height / 2 - 12), "P", size=24, edge=True)
        _draw_scale_bar(pen, _TITLE + height - 22)
        note = "Projection from side to side, seen from the patient's left: front (A) to the left."
        pen.write((14, _TITLE + height + 13), note, size=15, colour=_FAINT)
    else:
        pen.write((width / 2 - 97, _TITLE + height / 2), "no projection could be made", size=15, colour=_FAINT)
    y = _TITLE + 4
    for line in panel:
        y += line.above
        pen.write((width + 22, y), line.text, size=line.size, colour=line.colour)
        y += round(line.size * 1.32)
    return np.asarray(canvas.reduce(_FINE))


def write_lateral(path: str | os.PathLike[str], measurement: Measurement, side: Side) -> None:
    """Draw :func:`lateral_picture` into a PNG file, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    picture = Image.fromarray(lateral_picture(measurement, side))
    with writing(path) as temporary:
        picture.save(temporary, format="PNG")


def panel_lines(foramen: ForamenMeasurement) -> list[Line]:
    """The text beside the view. A refused side has its reasons and no number."""
    if foramen.numbers is None:
        sentences = [_wrapped(SENTENCES[code], _STOP) for code in foramen.reasons]
        return [Line("Not measured:", _STOP, 28), *(line for lines in sentences for line in lines)]
    numbers = foramen.numbers
    spread = "± one standard deviation" if foramen.sd else "no standard deviations estimated"
    lines = [
        Line(f"FA  {written(foramen, 'area_mm2')}", OUTLINE_RGB, 28),
        Line(f"FH  {written(foramen, 'height_mm')}", HEIGHT_RGB, 28, 4),
        Line(f"FW  {written(foramen, 'width_mm')}", WIDTH_RGB, 28, 4),
        Line(f"area, height and width; {spread}", _FAINT, 14, 4),
        *_details(foramen, numbers),
        *_criteria(foramen),
    ]
    for code in foramen.reasons:
        lines += _wrapped(f"Note: {SENTENCES[code]}", _WARN)
    return lines


def _details(foramen: ForamenMeasurement, numbers: Numbers) -> list[Line]:
    sd = foramen.sd
    narrowest = f"Narrowest front to back: {written(foramen, 'min_width_mm')}"
    front = {s.name: s.title for s in TRAINED}
    bounded = next(
        (title for name, title in front.items() if (numbers.min_width_bounded_by or "").startswith(name)), ""
    )
    lines = [
        Line(narrowest, above=20),
        Line(f"Largest circle inside: {written(foramen, 'channel_diameter_mm')}"),
        Line(f"Smallest section in one plane: {quantity(numbers.section_area_mm2, sd.get('section_area_mm2'), 'mm²')}"),
        Line(f"Length between the pedicles: {numbers.slab_mm[1] - numbers.slab_mm[0]:.1f} mm"),
    ]
    if bounded:
        lines.insert(1, Line(f"    in front of it: {bounded}", _FAINT, 15))
    if numbers.closed_gap_mm > 0:
        lines.append(Line(f"Joint closed by a line of {numbers.closed_gap_mm:.1f} mm", _WARN))
    return lines


def _criteria(foramen: ForamenMeasurement) -> list[Line]:
    answers = foramen.foraminoplasty
    if answers is None:
        return []
    width = answers.width_le_8_mm or "no FW"
    return [
        Line("Foraminoplasty criteria (not advice)", _FAINT, 15, 20),
        Line(f"FH at most 15 mm: {answers.height_le_15_mm}"),
        Line(f"FW at most 8 mm: {width}"),
    ]


def _level_lines(measurement: Measurement) -> list[Line]:
    """Heights of the disc; nothing where no side is measured."""
    disc = measurement.disc_height_mm
    if disc is None or not measurement.measured:
        return []
    heights = ", ".join("not found" if h is None else f"{h:.1f}" for h in (disc.anterior, disc.middle, disc.posterior))
    return [Line("Disc height: front, middle, back", _FAINT, 15, 20), Line(f"{heights} mm")]


def _wrapped(text: str, colour: Colour) -> list[Line]:
    pieces = textwrap.wrap(text, 40)
    return [Line(piece, colour, above=16 if first == 0 else 0) for first, piece in enumerate(pieces)]


class _Projection:
    """Where a point of the lateral view lies in the picture, and the view's pixels."""

    def __init__(self, view: LateralView | None) -> None:
        self.view = view
        self.front, self.top = 0.0, 0.0
        across, along = _EMPTY_MM
        if view is not None:
            back, self.front, bottom, self.top = view.extent
            across, along = self.front - back, self.top - bottom
        self.size = (round(across * PIXELS_PER_MM), round(along * PIXELS_PER_MM))

    def place(self, point: npt.ArrayLike) -> tuple[float, float]:
        """(A, S) mm to picture pixels."""
        a, s = np.asarray(point, dtype=np.float64)
        return float(self.front - a) * PIXELS_PER_MM, _TITLE + float(self.top - s) * PIXELS_PER_MM

    def grey(self) -> Image.Image:
        """The projection, front to the left: brighter where more bone or disc lies behind."""
        width, height = (n * _FINE for n in self.size)
        if self.view is None:
            return Image.new("RGB", (width, height), (0, 0, 0))

        def enlarged(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
            turned = Image.fromarray(np.ascontiguousarray(values.T[::-1, ::-1]).astype(np.float32))
            return np.asarray(turned.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)[..., None]

        # The root lifts thin bone off the free space without making thick bone flat.
        shade = np.sqrt(enlarged(self.view.image)) * 215.0
        tint = np.zeros((height, width, 3))
        nearest = _nearest_structure(self.view.structure)
        for structure in TRAINED:
            share = ndimage.gaussian_filter((nearest == structure.value).astype(np.float32), 1.0)
            tint += enlarged(share) * np.asarray(structure.rgb) / 255
        return Image.fromarray(np.rint(shade * (1 - _TINT + _TINT * tint)).clip(0, 255).astype(np.uint8))


def _nearest_structure(structure: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The structure at each sample, and in free space the nearest one."""
    if not structure.any():
        return structure
    where = ndimage.distance_transform_edt(structure == BACKGROUND, return_distances=False, return_indices=True)
    return np.asarray(structure[tuple(where)])


class _Pen:
    """Draws in picture pixels on the enlarged canvas."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self.draw = draw

    def write(
        self, at: tuple[float, float], text: str, *, size: int, colour: Colour = _INK, edge: bool = False
    ) -> None:
        """Text; "²" is a raised 2 (Pillow's own font has none). ``edge`` gives it a dark rim over a picture."""
        x, y = at[0] * _FINE, at[1] * _FINE
        rim = 3 if edge else 0
        for index, part in enumerate(text.split("²")):
            if index:
                small = ImageFont.load_default(size=size * _FINE * 0.62)
                self.draw.text((x + 1, y - 1), "2", fill=colour, font=small, stroke_width=rim, stroke_fill=_GROUND)
                x += small.getlength("2") + 2
            font = ImageFont.load_default(size=size * _FINE)
            self.draw.text((x, y), part, fill=colour, font=font, stroke_width=rim, stroke_fill=_GROUND)
            x += font.getlength(part)

    def line(self, points: list[tuple[float, float]], colour: Colour, width: float, closed: bool = False) -> None:
        ring = [(x * _FINE, y * _FINE) for x, y in ([*points, points[0]] if closed else points)]
        self.draw.line(ring, fill=colour, width=round(width * _FINE), joint="curve")

    def dot(self, at: tuple[float, float], colour: Colour, radius: float) -> None:
        x, y = at[0] * _FINE, at[1] * _FINE
        r = radius * _FINE
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _draw_names(pen: _Pen, view: _Projection, lateral: LateralView) -> None:
    """Write each structure's name into its front part."""
    n_front = max(1, lateral.structure.shape[0] // 3)
    front = lateral.structure[-n_front:]
    for structure in TRAINED:
        held = np.argwhere(front == structure.value)
        if not len(held):
            continue
        height = lateral.origin[1] + float(np.median(held[:, 1])) * lateral.step
        _, y = view.place((0.0, height))
        name = "disc" if structure == DISC else structure.name
        pen.write((44, y - 10), name, size=19, edge=True)


def _draw_measures(pen: _Pen, view: _Projection, foramen: ForamenMeasurement) -> None:
    """Outline, closing segment, FH and FW."""
    numbers, outline = foramen.numbers, foramen.outline
    if numbers is None or outline is None:
        return
    pen.line([view.place(p) for p in outline.points], OUTLINE_RGB, 2.5, closed=True)
    if numbers.closed_gap_mm > 0:
        for name, points in outline.named():
            if name == "joint":
                pen.line([view.place(p) for p in points], _STOP, 3.5)
    top, bottom = view.place(foramen.landmarks["superior"]), view.place(foramen.landmarks["inferior"])
    foot = (top[0], bottom[1])
    # FH is an extent along S: the foot is at the lowest point's height, which a thin line joins.
    pen.line([foot, bottom], HEIGHT_RGB, 1)
    pen.line([top, foot], HEIGHT_RGB, 2.5)
    for x, y in (top, foot):
        pen.line([(x - 7, y), (x + 7, y)], HEIGHT_RGB, 2.5)
    pen.write((top[0] - 14, top[1] - 28), "FH", size=18, colour=HEIGHT_RGB, edge=True)
    segment = numbers.width_segment
    if segment:
        start, end = view.place(segment.start), view.place(segment.end)
        pen.line([start, end], WIDTH_RGB, 2.5)
        for at in (start, end):
            pen.dot(at, WIDTH_RGB, 4)
        pen.write((end[0] + 9, end[1] - 11), "FW", size=18, colour=WIDTH_RGB, edge=True)


def _draw_scale_bar(pen: _Pen, y: float) -> None:
    length = SCALE_BAR_MM * PIXELS_PER_MM
    pen.line([(14, y), (14 + length, y)], _GROUND, 9)
    pen.line([(14, y), (14 + length, y)], _INK, 4)
    pen.write((14 + length + 8, y - 11), f"{SCALE_BAR_MM} mm", size=17, edge=True)
