"""Test-retest and inter-observer reliability from a table."""

from __future__ import annotations

import numpy as np
import pytest

from livf.cli import main
from livf.lib.cohort.table import COLUMNS
from livf.lib.errors import InputError, NotFoundError
from livf.lib.evaluation.observers import read_measurements, reliabilities
from livf.lib.evaluation.reliability import icc


@pytest.fixture
def table(tmp_path):
    """Two observers, two sessions, ten cases of nine patients, both sides; one side refused once."""
    rng = np.random.default_rng(4)
    lines = ["observer,session,case,patient,side,area_mm2,height_mm,width_mm,status"]
    truth = {(case, side): rng.normal((130, 20, 6), (30, 2, 1.5)) for case in range(10) for side in ("left", "right")}
    for observer in ("A", "B"):
        for session in (1, 2):
            for (case, side), numbers in truth.items():
                values = np.abs(numbers + rng.normal(0, (2, 0.2, 0.2)))
                cells = ",".join(f"{value:.3f}" for value in values)
                status = "ok"
                if (observer, session, case, side) == ("B", 2, 3, "left"):
                    cells, status = ",,", "refused"
                lines.append(f"{observer},{session},c{case},p{min(case, 8)},{side},{cells},{status}")
    path = tmp_path / "measurements.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_both_kinds_are_computed_as_from_arrays(table):
    readings = read_measurements(table)
    found = {(one.kind, one.who, one.measure.short): one for one in reliabilities(readings, resamples=50)}
    assert len(found) == 9
    values = {(one.observer, one.session, one.case, one.side): one.values.get("area_mm2") for one in readings}
    keys = sorted({key[2:] for key in values})
    between = found["inter-observer", "A, B", "FA"]
    ratings = [[values["A", "1", *key], values["B", "1", *key]] for key in keys]
    assert between.icc == icc(ratings)
    assert between.sd_within == pytest.approx(np.sqrt(np.var(ratings, axis=1, ddof=1).mean()))
    assert (between.icc.targets, between.incomplete) == (20, 0)
    retest = found["test-retest", "observer B", "FA"]
    assert (retest.icc.targets, retest.incomplete) == (19, 1)


def test_the_command_prints_the_paper_beside_ours(table, tmp_path, capsys):
    assert main(["agree", str(table), "-o", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("0.984 to 0.999") == 9
    assert "inter-observer" in shown and "excellent" in shown
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".md", ".csv", ".tex", ".html"}


def test_the_table_of_livf_run_fits_with_an_observer(tmp_path):
    lines = [",".join(("observer", *COLUMNS))]
    for observer, add in (("auto", 0.0), ("manual", 0.1)):
        for case in range(4):
            cells = dict.fromkeys(COLUMNS, "")
            cells |= {"case": f"c{case}", "left_status": "ok", "right_status": "refused", "right_area_mm2": ""}
            cells |= {
                "left_area_mm2": 120 + case + add,
                "left_height_mm": 20 + case + add,
                "left_width_mm": 6 + case + add,
            }
            lines.append(",".join((observer, *(str(cells[name]) for name in COLUMNS))))
    path = tmp_path / "run.csv"
    path.write_text("\n".join(lines))
    [area, *_] = reliabilities(read_measurements(path), resamples=20)
    assert (area.kind, area.icc.targets, area.icc.raters) == ("inter-observer", 4, 2)


def test_semicolons_with_decimal_commas_are_read(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("Observer;Case;Side;FA;FH\nA;c1;L;130,5;20,1\n")
    [reading] = read_measurements(path)
    assert reading.values == {"area_mm2": 130.5, "height_mm": 20.1}
    assert (reading.side, reading.session) == ("left", "1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "no column case"),
        ("case,side\nc,left\n", "no column with numbers"),
        ("case,side,FA\nc,up,3\n", "side 'up'"),
        ("case,side,FA\nc,left,many\n", "'many' for FA"),
        ("case,side,FA\nc,left,-1\n", "'-1' for FA"),
        ("case,side,FA\nc,left,nan\n", "'nan' for FA"),
        ("case,side,FA\nc,left,3\nc,left,4\n", "twice"),
        ("case,side,FA\n,left,3\n", "names no case"),
        ("case,side,FA\nc,left,1,5\n", "4 cells"),
        ("case,case,side,FA\n", "two columns"),
        ("case,side,FA\n", "holds no measurement"),
        ("", "no column case"),
    ],
)
def test_bad_tables_say_what_is_wrong(tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_measurements(path)


def test_a_table_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(NotFoundError):
        read_measurements(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00case")
    with pytest.raises(InputError, match="UTF-8"):
        read_measurements(tmp_path / "bytes.csv")


def test_one_rating_alone_has_nothing_to_compare(tmp_path, capsys):
    path = tmp_path / "one.csv"
    path.write_text("case,side,FA\nc,left,100\nd,left,120\n")
    assert main(["agree", str(path)]) == 1
    assert "nothing to compare" in capsys.readouterr().err
