"""Intraclass correlation against Shrout & Fleiss 1979 (Psychological Bulletin 86:420-428), tables 2 to 4."""

from __future__ import annotations

import math

import numpy as np
import pytest

from livf.lib.evaluation.reliability import coefficients, icc, icc_one_way, mean_squares

#: Table 2: six targets by four judges.
RATINGS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_mean_squares_are_those_of_table_3():
    found = mean_squares(RATINGS)
    printed = [round(value, 2) for value in (found.between, found.within, found.raters, found.error)]
    assert printed == [11.24, 6.26, 32.49, 1.02]


def test_coefficients_are_those_of_table_4():
    found = icc(RATINGS)
    assert f"{icc_one_way(mean_squares(RATINGS)):.2f}" == "0.17"
    assert f"{found.absolute.value:.2f}" == "0.29"
    assert f"{found.consistent.value:.2f}" == "0.71"
    assert (found.targets, found.raters) == (6, 4)


def test_intervals_are_those_that_other_software_prints_for_table_2():
    """As R's psych (``ICC``) and irr print them: ICC2 0.019 to 0.76, ICC3 0.34 to 0.95."""
    found = icc(RATINGS)
    assert f"{found.absolute.low:.3f} {found.absolute.high:.2f}" == "0.019 0.76"
    assert f"{found.consistent.low:.2f} {found.consistent.high:.2f}" == "0.34 0.95"


def test_mean_squares_are_those_of_an_analysis_of_variance():
    statsmodels = pytest.importorskip("statsmodels.formula.api")
    from pandas import DataFrame
    from statsmodels.stats.anova import anova_lm

    table = np.random.default_rng(3).normal(size=(12, 3)) + np.arange(12)[:, None] + np.arange(3)
    target, rater = np.meshgrid(range(12), range(3), indexing="ij")
    data = DataFrame({"y": table.ravel(), "target": target.ravel(), "rater": rater.ravel()})
    squares = anova_lm(statsmodels.ols("y ~ C(target) + C(rater)", data).fit())["mean_sq"]
    found = mean_squares(table)
    np.testing.assert_allclose([found.between, found.raters, found.error], squares, rtol=1e-9)


def test_a_constant_offset_lowers_agreement_but_not_consistency():
    one = np.arange(10.0)
    found = icc(np.column_stack([one, one + 2]))
    assert found.consistent.value == pytest.approx(1)
    assert found.absolute.value < 0.9


@pytest.mark.parametrize("ratings", [[[1, 2]], [[1], [2]], np.empty((0, 2)), [[3, 3], [3, 3]]])
def test_what_is_not_defined_is_nan(ratings):
    found = icc(ratings)
    assert math.isnan(found.absolute.value) and math.isnan(found.consistent.value)


def test_the_interval_holds_the_true_value_as_often_as_it_says():
    """Of 400 samples with a true ICC of 0.8 about 95 % have it inside: 91 to 98 % allows for chance."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        table = rng.normal(scale=2.0, size=(20, 1)) + rng.normal(size=(20, 2))
        found = icc(table).consistent
        inside += found.low <= 0.8 <= found.high
    assert 0.91 <= inside / 400 <= 0.98


def test_mean_squares_need_two_of_each():
    with pytest.raises(ValueError, match="two targets"):
        mean_squares([[1.0, 2.0]])
    assert coefficients(mean_squares(RATINGS))[0] == pytest.approx(0.2898, abs=1e-4)
