"""Agreement against Bland & Altman 1986 (Lancet i:307-310) and against what is arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from livf.lib.evaluation.agreement import (
    _kappa,
    agreement,
    bland_altman,
    cohen_kappa,
    criterion_agreement,
    equivalence,
    limits_of_agreement,
    pearson,
    wilcoxon_p,
)

#: Peak expiratory flow of 17 subjects, first readings, l/min.
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def test_moments_and_correlation_are_those_of_bland_and_altman():
    found = bland_altman(LARGE, MINI, width=2)
    assert f"{found.bias.value:.1f} {found.sd:.1f}" == "-2.1 38.8"
    assert f"{pearson(LARGE, MINI).value:.2f}" == "0.94"


def test_limits_and_intervals_are_those_of_bland_and_altman():
    """From the moments as they print them, with limits at two SD as they take them."""
    found = limits_of_agreement(-2.1, 38.8, 17, width=2)

    def printed(estimate):
        return f"{estimate.value:.1f}: {estimate.low:.1f} to {estimate.high:.1f}"

    assert printed(found.bias) == "-2.1: -22.0 to 17.8"
    assert printed(found.lower) == "-79.7: -114.3 to -45.1"
    assert printed(found.upper) == "75.5: 40.9 to 110.1"


def test_limits_lie_at_1_96_sd_unless_told_otherwise():
    found = bland_altman(LARGE, MINI)
    assert found.upper.value - found.bias.value == pytest.approx(1.96 * found.sd)


def test_equivalence_is_a_90_percent_interval_inside_the_margin():
    rng = np.random.default_rng(1)
    one = rng.normal(10, 2, 40)
    two = one + rng.normal(0.1, 0.5, 40)
    for margin in (0.02, 0.3, 1.0):
        found = equivalence(two, one, margin)
        assert found.shown == (-margin < found.low and found.high < margin)
        upper = stats.ttest_1samp(two - one, margin, alternative="less").pvalue
        lower = stats.ttest_1samp(two - one, -margin, alternative="greater").pvalue
        assert found.p == pytest.approx(max(upper, lower))


def test_equal_means_are_not_shown_by_a_test_that_finds_no_difference():
    one, two = [10.0, 12.0, 9.0, 14.0], [11.0, 9.5, 12.0, 12.0]
    assert wilcoxon_p(one, two) > 0.05
    assert not equivalence(one, two, 0.8).shown


def test_equivalence_without_spread():
    assert equivalence([2.0, 3.0], [1.5, 2.5], 0.8).shown
    assert not equivalence([2.0, 3.0], [1.0, 2.0], 0.8).shown


def test_kappa_of_a_worked_table():
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed 0.70, by chance 0.50, so 0.40."""
    one = [True] * 25 + [False] * 25
    two = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    found = cohen_kappa(one, two)
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.4 < found.high
    assert _kappa(np.array(one), np.array(two)) == pytest.approx(found.value)


@pytest.mark.parametrize("answers", [[True] * 5, [False] * 5, []])
def test_kappa_of_one_answer_is_not_defined(answers):
    assert math.isnan(cohen_kappa(answers, answers).value)
    assert math.isnan(criterion_agreement(answers, answers, ["p"] * len(answers), resamples=10, seed=0).kappa.value)


def test_clustered_intervals_are_wider_where_sides_of_a_patient_agree():
    rng = np.random.default_rng(5)
    truth = np.repeat(rng.normal(130, 30, 40), 2) + rng.normal(0, 1, 80)
    error = np.repeat(rng.normal(0, 5, 40), 2)  # the same on both sides
    patients = [str(i // 2) for i in range(80)]
    found = agreement(truth + error, truth, patients, margin=10, resamples=500, seed=1)
    low, high = found.clustered["bias"]
    plain = found.bland_altman.bias
    assert high - low > 1.2 * (plain.high - plain.low)
    assert (found.n, found.patients) == (80, 40)


def test_the_same_seed_gives_the_same_intervals():
    rng = np.random.default_rng(5)
    one = rng.normal(size=20)
    two = one + rng.normal(0, 0.1, 20)
    patients = [str(i) for i in range(20)]
    runs = [agreement(one, two, patients, margin=1, resamples=200, seed=seed).clustered for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_pairs_are_no_error(n):
    one = np.arange(n) + 1.0
    found = agreement(one, one + 0.5, [str(i) for i in range(n)], margin=1, resamples=20, seed=0)
    assert found.n == n
    assert math.isnan(found.clustered["bias"][0]) == (n < 3)


def test_a_constant_has_no_correlation():
    assert math.isnan(pearson([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]).value)
    assert wilcoxon_p([1.0, 2.0], [1.0, 2.0]) == 1.0
