"""The evidence tables: their statistics, and one of them made whole."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from foramina.meshes import voxelised
from foramina.reporting import Agreement, markdown, number
from foramina.shapes import shapes

DATA = Path(os.environ.get("LIVF_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "anatomy"


def rows_of(ours, true, sd):
    rows = [{"area_mm2": o, "true_area_mm2": t, "sd_area_mm2": s} for o, t, s in zip(ours, true, sd, strict=True)]
    return [*rows, {"area_mm2": None, "true_area_mm2": 100.0, "sd_area_mm2": None}]


def test_agreement():
    true = np.arange(50.0, 150.0, 10.0)
    error = np.array([1.0, -1.0] * 5)
    pairs, both = Agreement.of(rows_of(true + error + 2.0, true, [1.0] * 10), "area_mm2")
    assert len(both) == 10
    assert pairs.mean_percent == pytest.approx(100 * 2.0 / true.mean())
    # 3 mm² is out of 2 SD, 1 mm² in.
    assert pairs.covered.mean() == 0.5 and pairs.fifths() == [50.0] * 5
    assert pairs.r > 0.99 and pairs.wilcoxon() < 0.01


def test_numbers_and_tables():
    assert [number(None), number(float("nan")), number(1.26), number(0.5, 2, sign=True)] == ["-", "-", "1.3", "+0.50"]
    assert markdown(("", "a"), [("x", 1)]) == "|  | a |\n|---|---:|\n| x | 1 |"


def test_a_mesh_becomes_its_voxels():
    corners = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]], dtype=float)
    tetrahedron = corners[[[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]]
    label, affine = voxelised({7: tetrahedron}, 0.4)
    assert (label == 7).sum() * 0.4**3 == pytest.approx(1000 / 6, rel=0.03)
    inside = np.argwhere(label == 7) @ affine[:3, :3].T + affine[:3, 3]
    assert inside.min() > -1e-3 and inside.sum(axis=1).max() < 10 + 1e-3


@pytest.mark.skipif(not (DATA / "verse005_mask.nii.gz").exists(), reason="the anatomy data is not here")
def test_a_table_with_its_rows_and_pictures(tmp_path, capsys):
    shapes(tmp_path / "shapes", DATA, ["verse005"])
    shown = capsys.readouterr().out
    assert "| verse005 left | 1.0 x 1.0 x 1.0 |" in shown and "129 / 17.6 / 6.0" in shown
    with (tmp_path / "shapes" / "rows.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["side"] for row in rows] == ["left", "right"]
    assert float(rows[0]["area_mm2"]) > 100 and float(rows[0]["sd_area_mm2"]) > 0
    assert (tmp_path / "shapes" / "table.md").read_text(encoding="utf-8").strip() in shown
    assert (tmp_path / "shapes" / "verse005_L4-5.png").stat().st_size > 10000
