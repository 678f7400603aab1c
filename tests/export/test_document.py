"""The measurement document: valid, complete, refusing without numbers, the same bytes every time."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest

from livf.lib.anatomy import L5
from livf.lib.export.document import SCHEMA, Source, document, label_hash, schema, to_json
from livf.lib.foramen import Measurement, measure
from livf.lib.synthesis.phantom import Grid, make_phantom

SOURCE = Source("0.0.0", "image", "0" * 64)


@pytest.fixture(scope="module")
def labelled() -> tuple[np.ndarray, np.ndarray]:
    """A phantom's label."""
    phantom = make_phantom(3, grid=Grid((160, 160, 120), 0.8, (0.0, -8.0, 0.0)))
    return phantom.label, phantom.affine


def numbers_in(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [n for entry in value.values() for n in numbers_in(entry)]
    if isinstance(value, list):
        return [n for entry in value for n in numbers_in(entry)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def test_a_measurement_is_valid_and_has_the_measured_numbers(labelled: tuple[np.ndarray, np.ndarray]) -> None:
    measured = measure(*labelled)
    content = document(measured, "case", SOURCE)
    jsonschema.validate(content, schema())
    for side in ("left", "right"):
        numbers = measured.foramina[side].numbers
        assert numbers is not None
        assert content["foramina"][side]["area_mm2"] == pytest.approx(numbers.area_mm2, abs=1e-3)
        assert content["foramina"][side]["height_mm"] == pytest.approx(numbers.height_mm, abs=1e-3)
    assert content["schema"] == SCHEMA


def test_without_standard_deviations_all_else_is_the_same_and_valid(measured: Measurement, quick: Measurement) -> None:
    whole, content = (document(m, "case", SOURCE) for m in (measured, quick))
    jsonschema.validate(content, schema())
    for side in ("left", "right"):
        full, short = whole["foramina"][side], content["foramina"][side]
        assert full["sd"] and full["foraminoplasty"]
        assert short["sd"] == {} and short["foraminoplasty"] is None
        assert short == {**full, "sd": {}, "foraminoplasty": None}
    short["foraminoplasty"] = "no"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema())


def test_a_refused_level_has_no_number_and_is_valid(labelled: tuple[np.ndarray, np.ndarray]) -> None:
    label, affine = labelled
    content = document(measure(np.where(label == L5.value, 0, label), affine), "case", SOURCE)
    jsonschema.validate(content, schema())
    for side in ("left", "right"):
        assert content["foramina"][side] == {"status": "refused", "reasons": ["missing_structure"]}
    assert not numbers_in(content)


def test_the_schema_refuses_a_number_on_a_refused_side(labelled: tuple[np.ndarray, np.ndarray]) -> None:
    content = document(measure(*labelled), "case", SOURCE)
    content["foramina"]["left"] = {"status": "refused", "reasons": ["outline_open"], "area_mm2": 0}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema())
    content["foramina"]["left"] = {"status": "refused", "reasons": []}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema())


def test_the_same_label_gives_the_same_bytes(labelled: tuple[np.ndarray, np.ndarray]) -> None:
    one, two = (to_json(document(measure(*labelled), "case", SOURCE)) for _ in range(2))
    assert one == two
    assert json.loads(one)["case"] == "case"


def test_the_hash_is_of_the_label_not_of_its_file(labelled: tuple[np.ndarray, np.ndarray]) -> None:
    label, affine = labelled
    assert label_hash(label, affine) == label_hash(label.astype(np.int32), affine + 1e-6)
    assert label_hash(label, affine) == label_hash(np.asfortranarray(label), affine)
    moved = affine.copy()
    moved[0, 3] += 1
    assert len({label_hash(label, affine), label_hash(label, moved), label_hash(label[:, ::-1], affine)}) == 3


#: A document as livf 0.1 wrote it: later versions must go on reading it.
OLD = {
    "schema": "livf.measurement/1",
    "case": "old",
    "level": "L4-L5",
    "level_status": "given",
    "source": {"livf": "0.1.0", "image": "old.nii.gz", "label_sha256": "a" * 64, "model": None},
    "frame": {
        "origin_ras_mm": [1.0, 2.0, 3.0],
        "left": [-1.0, 0.0, 0.0],
        "anterior": [0.0, 1.0, 0.0],
        "superior": [0.0, 0.0, 1.0],
    },
    "foramina": {
        "left": {
            "status": "ok",
            "reasons": [],
            "area_mm2": 133.4,
            "height_mm": 19.75,
            "width_mm": None,
            "min_width_mm": 5.0,
            "widths_mm": {"superior": 7.0, "middle": 6.0, "inferior": 5.0},
            "section_area_mm2": 130.0,
            "channel_diameter_mm": 6.0,
            "closed_gap_mm": 0.0,
            "slab_mm": [13.0, 26.0],
            "sd": {"area_mm2": 4.0},
            "foraminoplasty": {"height_le_15_mm": "no", "width_le_8_mm": None, "criteria_met": "borderline"},
            "outline_ras_mm": [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0]],
            "landmarks_ras_mm": {"superior": [0.0, 0.0, 1.0], "inferior": [0.0, 0.0, 0.0]},
        },
        "right": {"status": "refused", "reasons": ["outline_open"]},
    },
    "warnings": [],
}


def test_old_documents_stay_readable() -> None:
    jsonschema.validate(OLD, schema())
