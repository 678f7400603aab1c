"""Numbers that a refactoring must not move.

After a change of the method that is meant: ``LIVF_WRITE_GOLDEN=1 pytest tests/foramen/test_golden.py``, and look at
what moved.
"""

import json
import os
from pathlib import Path

import pytest

from livf.lib.foramen import measure

GOLDEN = Path(__file__).with_name("golden.json")
SHAPES = {
    "plain": (0.9, (6.0, -5.0, 8.0)),
    "round facet": (0.8, (-7.0, 9.0, 5.0)),
    "pedicles apart": ((1.2, 0.7, 0.7), (4.0, 4.0, -11.0)),
}


def as_json(measurement):
    found = {"warnings": list(measurement.warnings), "disc": vars(measurement.disc_height_mm)}
    for side, foramen in measurement.foramina.items():
        n = foramen.numbers
        found[side] = {
            "status": foramen.status,
            "reasons": list(foramen.reasons),
            "area_mm2": n.area_mm2,
            "height_mm": n.height_mm,
            "width_mm": n.width_mm,
            "min_width_mm": n.min_width_mm,
            **{f"width {name}": value for name, value in n.widths_mm.items()},
            "section_area_mm2": n.section_area_mm2,
            "channel_diameter_mm": n.channel_diameter_mm,
            "closed_gap_mm": n.closed_gap_mm,
            "slab": list(n.slab_mm),
            "sd": {name: foramen.sd[name] for name in ("area_mm2", "height_mm", "width_mm")},
        }
    return found


def close(found, expected, path=""):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key, value in expected.items():
            close(found[key], value, f"{path}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), path
        for index, value in enumerate(expected):
            close(found[index], value, f"{path}/{index}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=0.002), path
    else:
        assert found == expected, path


@pytest.mark.parametrize("name", SHAPES)
def test_numbers_have_not_moved(scenes, name):
    found = as_json(measure(*scenes[name].voxels(*SHAPES[name])))
    if os.environ.get("LIVF_WRITE_GOLDEN"):
        golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        golden[name] = found
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    close(found, json.loads(GOLDEN.read_text())[name])
