"""Markups for 3D Slicer: its schema, the measured geometry in RAS, nothing for a refused side."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from livf.lib.errors import InputError
from livf.lib.export.markups import markups, write_markups


def node(document, name):
    (found,) = [n for n in document["markups"] if n["name"] == name]
    return found


def positions(found):
    return np.array([point["position"] for point in found["controlPoints"]])


def test_it_is_what_slicers_schema_1_0_3_asks_for(measured):
    document = json.loads(json.dumps(markups(measured)))
    # The expression that Slicer itself checks the identity with.
    assert re.search(r".*markups-schema-v1\.[0-9]+\.[0-9]+\.json#*$", document["@schema"].lower())
    for found in document["markups"]:
        assert found["type"] in {"Fiducial", "Line", "Angle", "Curve", "ClosedCurve", "Plane", "ROI"}
        assert (found["coordinateSystem"], found["coordinateUnits"]) == ("RAS", "mm")
        assert all(isinstance(found[key], bool) for key in ("locked", "fixedNumberOfControlPoints"))
        for point in found["controlPoints"]:
            assert len(point["position"]) == 3 and all(isinstance(x, float) for x in point["position"])
            assert point["positionStatus"] in {"undefined", "preview", "defined"}
            assert isinstance(point["id"], str) and isinstance(point["label"], str)
        assert len({point["id"] for point in found["controlPoints"]}) == len(found["controlPoints"])
        for measurement in found["measurements"]:
            assert isinstance(measurement["name"], str) and isinstance(measurement["enabled"], bool)
        display = found["display"]
        for key in ("color", "selectedColor"):
            assert len(display[key]) == 3 and all(0 <= x <= 1 for x in display[key])
        assert display["glyphType"] == "Sphere3D" and display["propertiesLabelVisibility"] is True


@pytest.mark.parametrize(("side", "title"), [("left", "Left"), ("right", "Right")])
def test_what_slicer_works_out_from_the_points_is_the_measurement(measured, side, title):
    document, numbers = markups(measured), measured.foramina[side].numbers
    height = positions(node(document, f"{title} L4-L5 foramen FH"))
    width = positions(node(document, f"{title} L4-L5 foramen FW"))
    outline = positions(node(document, f"{title} L4-L5 foramen outline"))
    assert np.linalg.norm(height[0] - height[1]) == pytest.approx(numbers.height_mm, abs=1e-3)
    assert np.linalg.norm(width[0] - width[1]) == pytest.approx(numbers.width_mm, abs=1e-3)
    centre = outline.mean(axis=0)
    area = np.cross(outline - centre, np.roll(outline, -1, axis=0) - centre).sum(axis=0) / 2
    assert np.linalg.norm(area) == pytest.approx(numbers.area_mm2, rel=1e-3)
    # FH runs along the frame's S axis, from the superior landmark to the height of the inferior one.
    along = (height[0] - height[1]) / np.linalg.norm(height[0] - height[1])
    np.testing.assert_allclose(along, measured.frame.superior, atol=1e-4)
    marks = measured.foramina[side].landmarks_ras_mm
    np.testing.assert_allclose(height[0], marks["superior"], atol=1e-3)
    lowest = measured.frame.to_frame([height[1], marks["inferior"]])[:, 2]
    assert lowest[0] == pytest.approx(lowest[1], abs=1e-3)
    # All of it lies in the middle of the slab, on the patient's own side.
    lateral = measured.frame.to_frame(np.vstack([height, width, outline]))[:, 0] * (1 if side == "left" else -1)
    np.testing.assert_allclose(lateral, np.mean(numbers.slab_mm), atol=1e-3)
    np.testing.assert_allclose(width, [marks["posteroinferior_corner"], marks["facet"]], atol=1e-3)


def test_the_measures_are_shown_with_their_deviation(measured):
    document = markups(measured)
    for suffix, name, text in (("outline", "FA", "FA"), ("FH", "length", "FH"), ("FW", "length", "FW")):
        found = node(document, f"Right L4-L5 foramen {suffix}")
        (shown,) = [m for m in found["measurements"] if m["enabled"]]
        assert shown["name"] == name
        assert re.match(rf"{text} \d+(\.\d)? ± \d+(\.\d)? mm", shown["description"])


def test_slicer_does_not_work_out_the_area_itself(measured):
    """Its own "area" takes up to a minute for such a curve and is shown a hundred times too small (cm², "mm2")."""
    for side in ("Left", "Right"):
        shown = {m["name"]: m for m in node(markups(measured), f"{side} L4-L5 foramen outline")["measurements"]}
        assert not shown["area"]["enabled"]
        assert shown["FA"]["enabled"] and shown["FA"]["units"] == "mm2"
        numbers = measured.foramina[side.lower()].numbers
        assert shown["FA"]["value"] == pytest.approx(numbers.area_mm2, abs=1e-3)


def test_a_refused_side_has_no_markup(measured, refused):
    one = replace(measured, foramina={"left": refused.left, "right": measured.right})
    assert {n["name"].split()[0] for n in markups(one)["markups"]} == {"Right"}
    with pytest.raises(InputError, match="no foramen is measured"):
        markups(refused)
    with pytest.raises(InputError, match="no foramen is measured"):
        markups(replace(refused, frame=None))


def test_a_width_that_does_not_exist_is_not_drawn(measured):
    left = replace(measured.left, numbers=replace(measured.left.numbers, width_mm=None, width_segment=None))
    names = [n["name"] for n in markups(replace(measured, foramina={"left": left, "right": left}))["markups"]]
    assert names == ["Left L4-L5 foramen outline", "Left L4-L5 foramen FH"] * 2


def test_the_file_is_whole_and_always_the_same(tmp_path, measured):
    write_markups(tmp_path / "a.mrk.json", measured)
    write_markups(tmp_path / "b.mrk.json", measured)
    assert json.loads((tmp_path / "a.mrk.json").read_text("utf-8")) == markups(measured)
    assert (tmp_path / "a.mrk.json").read_bytes() == (tmp_path / "b.mrk.json").read_bytes()
    assert "-0.0," not in (tmp_path / "a.mrk.json").read_text("utf-8")
    assert len(list(tmp_path.iterdir())) == 2
