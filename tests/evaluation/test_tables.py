from __future__ import annotations

import csv
import io
import math

import pytest

from livf.lib.evaluation.intervals import Estimate, mean_interval
from livf.lib.evaluation.paper import figure, grade, printed
from livf.lib.evaluation.tables import Table, estimate, number, probability, to_csv, to_html, to_latex, to_markdown

TABLE = Table("name", "50 % & more", ("a|b", "<c>"), (("x_1", "± 2 mm²"), ("a,b", 'say "no"')), ("A note with 5 %.",))


def test_markdown_keeps_its_columns():
    lines = to_markdown(TABLE).splitlines()
    assert lines[2] == "| a\\|b | &lt;c> |"
    assert lines[3] == "|---|---|"
    assert lines[-1] == "A note with 5 %."


def test_csv_reads_back():
    assert list(csv.reader(io.StringIO(to_csv(TABLE)))) == [list(TABLE.columns), *map(list, TABLE.rows)]


def test_latex_escapes_what_it_must():
    text = to_latex(TABLE)
    assert r"\caption{50 \% \& more}" in text
    assert r"x\_1 & $\pm$ 2 mm\textsuperscript{2} \\" in text
    assert r"$<$c$>$" in text


def test_html_is_escaped():
    assert "&lt;c&gt;" in to_html(TABLE)


def test_numbers_say_when_they_are_not_defined():
    assert estimate(Estimate(math.nan)) == number(math.nan) == probability(math.nan) == "not defined"
    assert estimate(Estimate(0.5)) == "0.500"
    assert estimate(Estimate(-0.0004, -1, 1), 2) == "0.00 (-1.00 to 1.00)"
    assert (probability(0.0004), probability(0.05)) == ("< 0.001", "0.050")


def test_the_interval_of_a_mean_is_students():
    found = mean_interval([1.0, 2.0, 3.0, math.nan])
    assert found.value == 2.0
    assert found.high - 2.0 == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)  # t of 2 degrees of freedom
    assert math.isnan(mean_interval([]).value)
    assert math.isnan(mean_interval([1.0]).low)


@pytest.mark.parametrize(
    ("value", "word"),
    [(0.69, "poor"), (0.7, "fair"), (0.8, "good"), (0.9, "excellent"), (1.0, "excellent"), (math.nan, "-")],
)
def test_grades_begin_where_the_paper_has_them(value, word):
    assert grade(value) == word


def test_the_papers_sums_follow_from_its_parts():
    """VBS is the mean of two vertebrae and "VBS and IVD" that of three structures."""
    vbs, ivd = (figure("overlap", "test", name, "dsc") for name in ("VBS", "IVD"))
    assert round((2 * vbs + ivd) / 3, 3) == figure("overlap", "test", "all", "dsc")
    assert printed("overlap", "training", "all", "dsc") == "-"
    assert figure("nothing", "here") is None


def test_no_two_columns_of_a_csv_have_one_name():
    table = Table("t", "T", ("measure", "ours", "paper", "R", "paper"), (("FA", "1", "2", "3", "4"),), ())
    assert to_csv(table) == "measure,ours,ours: paper,R,R: paper\nFA,1,2,3,4\n"
