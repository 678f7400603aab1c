"""The lateral picture: what is drawn lies where it was measured; a refused side shows its reason and no number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from livf.lib.export.lateral import PIXELS_PER_MM, lateral_picture, panel_lines, write_lateral
from livf.lib.export.style import HEIGHT_RGB, OUTLINE_RGB, WIDTH_RGB, quantity
from livf.lib.foramen import SENTENCES, SIDES

TITLE = 72


def near(picture, rgb, tolerance=12):
    """(row, column) of pixels of a colour inside the view."""
    view = picture[TITLE : TITLE + 784, :476].astype(int)
    rows, columns = np.nonzero((np.abs(view - rgb) <= tolerance).all(axis=2))
    return np.stack([rows + TITLE, columns], axis=1)


def place(foramen, point):
    """Column and row of (A, S)."""
    _, front, _, top = foramen.view.extent
    return (front - point[0]) * PIXELS_PER_MM, TITLE + (top - point[1]) * PIXELS_PER_MM


@pytest.mark.parametrize("side", SIDES)
def test_the_outline_is_drawn_where_it_was_measured(measured, side):
    foramen = measured.foramina[side]
    drawn = near(lateral_picture(measured, side), OUTLINE_RGB)
    corners = np.array([place(foramen, point)[::-1] for point in foramen.outline.points])
    shares = np.linspace(0, 1, 8, endpoint=False)[
        :, None, None
    ]  # points lie up to 7 pixels apart: the line between counts
    expected = (corners + shares * (np.roll(corners, -1, axis=0) - corners)).reshape(-1, 2)
    distance = np.linalg.norm(drawn[:, None] - expected[None], axis=2)
    assert distance.min(axis=1).max() < 4
    covered = distance.min(axis=0) < 4  # FH, FW and the closing segment lie over some of it
    assert covered.mean() > 0.8


@pytest.mark.parametrize("side", SIDES)
def test_fh_is_drawn_as_long_as_it_is(measured, side):
    foramen = measured.foramina[side]
    column, top = place(foramen, foramen.landmarks["superior"])
    _, bottom = place(foramen, foramen.landmarks["inferior"])
    picture = lateral_picture(measured, side)
    rows = [row for row, x in near(picture, HEIGHT_RGB) if abs(x - column) < 1.5 and row > top - 5]
    assert (min(rows), max(rows)) == pytest.approx((top, bottom), abs=2.5)
    assert max(rows) - min(rows) == pytest.approx(foramen.numbers.height_mm * PIXELS_PER_MM, abs=4)


@pytest.mark.parametrize("side", SIDES)
def test_fw_runs_from_the_corner_to_the_facet_and_the_front_is_to_the_left(measured, side):
    foramen = measured.foramina[side]
    segment = foramen.numbers.width_segment
    start, end = place(foramen, segment.start), place(foramen, segment.end)
    assert start[0] < end[0]
    picture = lateral_picture(measured, side).astype(int)
    for x, y in (start, end):
        np.testing.assert_allclose(picture[round(y), round(x)], WIDTH_RGB, atol=12)


def test_free_space_is_dark_and_bone_is_not(measured):
    foramen = measured.left
    picture = lateral_picture(measured, "left").mean(axis=2)
    x, y = place(foramen, foramen.numbers.channel_centre)
    assert np.median(picture[round(y) - 5 : round(y) + 5, round(x) - 5 : round(x) + 5]) < 40
    x, y = place(foramen, (foramen.view.extent[1] - 6, foramen.view.extent[3] - 14))  # the upper body
    assert np.median(picture[round(y) - 5 : round(y) + 5, round(x) - 5 : round(x) + 5]) > 100


def test_the_scale_bar_is_ten_millimetres(measured):
    row = lateral_picture(measured, "left")[TITLE + 784 - 22, :230].min(axis=1) > 225
    bar = np.flatnonzero(row)[0]
    assert row[bar : bar + 10 * PIXELS_PER_MM].all()
    assert not row[bar + 10 * PIXELS_PER_MM + 2 : bar + 10 * PIXELS_PER_MM + 6].any()


def test_the_numbers_stand_beside_it(measured):
    foramen = measured.right
    text = [line.text for line in panel_lines(foramen)]
    numbers, sd = foramen.numbers, foramen.sd
    assert text[0] == f"FA  {numbers.area_mm2:.0f} ± {sd['area_mm2']:.0f} mm²"
    assert text[1] == f"FH  {numbers.height_mm:.1f} ± {sd['height_mm']:.1f} mm"
    assert text[2] == f"FW  {numbers.width_mm:.1f} ± {sd['width_mm']:.1f} mm"
    assert f"FH at most 15 mm: {foramen.foraminoplasty.height_le_15_mm}" in text


@pytest.mark.parametrize("side", SIDES)
def test_without_standard_deviations_the_picture_says_so(measured, quick, side):
    foramen = quick.foramina[side]
    text = [line.text for line in panel_lines(foramen)]
    assert text[1] == f"FH  {foramen.numbers.height_mm:.1f} mm"
    assert "no standard deviations estimated" in text[3]
    assert not any("±" in line or "Foraminoplasty" in line for line in text)
    # The view itself is the same, with the outline and both lines.
    short, full = (lateral_picture(m, side)[TITLE:, :476] for m in (quick, measured))
    np.testing.assert_array_equal(short, full)
    assert all(len(near(lateral_picture(quick, side), rgb)) for rgb in (OUTLINE_RGB, HEIGHT_RGB, WIDTH_RGB))


def test_a_warning_stands_beside_the_numbers(measured):
    warned = replace(measured.left, status="warning", reasons=("spondylolisthesis",))
    text = " ".join(line.text for line in panel_lines(warned))
    assert SENTENCES["spondylolisthesis"] in text and "FA" in text


def test_a_width_that_does_not_exist_is_said_so(measured):
    left = replace(measured.left, numbers=replace(measured.left.numbers, width_mm=None, width_segment=None))
    assert "FW  not found" in [line.text for line in panel_lines(left)]
    picture = lateral_picture(replace(measured, foramina={"left": left, "right": measured.right}), "left")
    assert not len(near(picture, WIDTH_RGB))


@pytest.mark.parametrize("side", SIDES)
def test_a_refused_side_has_its_reason_and_no_number(refused, side):
    foramen = refused.foramina[side]
    lines = panel_lines(foramen)
    assert " ".join(line.text for line in lines) == f"Not measured: {SENTENCES[foramen.reasons[0]]}"
    picture = lateral_picture(refused, side)
    assert not any(len(near(picture, rgb)) for rgb in (OUTLINE_RGB, HEIGHT_RGB, WIDTH_RGB))
    shown = picture[TITLE : TITLE + 700, 80:400].std() > 10
    assert shown == (foramen.view is not None)  # the projection is kept, to see why


def test_the_font_has_every_letter(measured, refused):
    font = ImageFont.load_default(size=20)
    missing = bytes(font.getmask("\uffff"))
    text = "".join(line.text for m in (measured, refused) for side in SIDES for line in panel_lines(m.foramina[side]))
    text = (text + "".join(SENTENCES.values())).replace("²", "")  # drawn as a raised 2
    assert not [letter for letter in sorted(set(text) - {" "}) if bytes(font.getmask(letter)) == missing]


def test_both_sides_and_every_level_status_can_be_told_apart(measured):
    pictures = [lateral_picture(replace(measured, level_status=s), "left")[:TITLE] for s in ("found", "assumed")]
    pictures.append(lateral_picture(measured, "right")[:TITLE])
    for index, picture in enumerate(pictures):
        assert all(not np.array_equal(picture, other) for other in pictures[index + 1 :])


def test_a_png_is_written_whole_and_always_the_same(tmp_path: Path, measured):
    for name in ("a.png", "b.png"):
        write_lateral(tmp_path / name, measured, "left")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), lateral_picture(measured, "left"))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((16.62, 0.21, "mm"), "16.6 ± 0.2 mm"),
        ((105.7, 3.2, "mm²"), "106 ± 3 mm²"),
        ((7.0, None, "mm"), "7.0 mm"),
        ((7.0, 0.01, "mm"), "7.0 ± 0.1 mm"),  # never surer than the digits show
        ((None, 0.2, "mm"), "not found"),
    ],
)
def test_numbers_are_written_as_sure_as_they_are(arguments, text):
    assert quantity(*arguments) == text
