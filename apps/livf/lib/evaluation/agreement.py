"""How well two ways of measuring agree: bias and limits, correlation, reliability, equivalence, criteria.

Every function takes paired values and knows no file. SciPy and statsmodels do the tests.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from livf.lib.evaluation.intervals import CONFIDENCE, Estimate, Floats
from livf.lib.evaluation.reliability import Icc, coefficients, icc, mean_squares
from livf.lib.evaluation.resampling import clustered_intervals

#: Limits of agreement hold 95 % of normal differences. Bland & Altman 1986 rounded it to 2.
LIMITS_SD: Final = 1.96
#: Two one-sided tests at 5 % are a 90 % interval inside the margins.
_TOST_CONFIDENCE: Final = 0.90


@dataclass(frozen=True)
class BlandAltman:
    """Bland & Altman, Lancet 1986; i:307-310.

    Attributes:
        bias: Mean difference with its interval.
        sd: Standard deviation of the differences.
        lower: Lower limit of agreement with its interval.
        upper: Upper limit.
    """

    bias: Estimate
    sd: float
    lower: Estimate
    upper: Estimate


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided t tests (Schuirmann 1987) that the mean difference lies within a margin.

    Attributes:
        margin: Half width of what counts as equal.
        p: The larger of the two one-sided P values; below 0.05: equal within the margin.
        low: Lower end of the mean difference's 90 % interval.
        high: Upper end.
    """

    margin: float
    p: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether equivalence is shown at 5 %."""
        return self.p < 0.05


@dataclass(frozen=True)
class Agreement:
    """Two ways of measuring one quantity on the same foramina.

    Attributes:
        n: Pairs.
        patients: Patients they come from.
        first: Mean and SD of the first way (the prediction).
        second: Mean and SD of the second (the truth).
        wilcoxon_p: Wilcoxon signed-rank test.
        pearson: Pearson's R with Fisher's interval.
        icc: ICC(2,1) and ICC(3,1).
        bland_altman: Bias and limits of first minus second.
        equivalence: Two one-sided tests.
        clustered: 95 % intervals from a bootstrap of patients, by ``pearson``, ``icc2``, ``icc3``, ``bias``, ``lower``,
            ``upper``; and the 90 % interval ``equivalence`` of the bias.
    """

    n: int
    patients: int
    first: tuple[float, float]
    second: tuple[float, float]
    wilcoxon_p: float
    pearson: Estimate
    icc: Icc
    bland_altman: BlandAltman
    equivalence: Equivalence
    clustered: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class CriterionAgreement:
    """A yes-or-no criterion by two ways.

    Attributes:
        n: Foramina that both ways decided.
        first: How many are "yes" by the first.
        second: By the second.
        both: By both.
        kappa: Cohen's kappa with its interval; NaN where one answer is the only one.
        clustered: 95 % interval from a bootstrap of patients.
    """

    n: int
    first: int
    second: int
    both: int
    kappa: Estimate
    clustered: tuple[float, float]


def limits_of_agreement(
    bias: float, sd: float, n: int, *, width: float = LIMITS_SD, confidence: float = CONFIDENCE
) -> BlandAltman:
    """Bias and limits with their intervals, from the moments of the differences.

    The standard error of the bias is ``sd / sqrt(n)``, of a limit ``sqrt(3 / n) sd`` (Bland & Altman 1986).

    Args:
        bias: Mean difference.
        sd: Standard deviation of the differences.
        n: How many differences.
        width: Distance of the limits from the bias, in SD.
        confidence: Coverage of the intervals.
    """
    if n < 2:
        return BlandAltman(Estimate(bias), sd, Estimate(math.nan), Estimate(math.nan))
    t = float(stats.t.ppf((1 + confidence) / 2, n - 1))
    of_bias, of_limit = t * sd / math.sqrt(n), t * sd * math.sqrt(3 / n)

    def around(value: float, half: float) -> Estimate:
        return Estimate(value, value - half, value + half)

    return BlandAltman(
        bias=around(bias, of_bias),
        sd=sd,
        lower=around(bias - width * sd, of_limit),
        upper=around(bias + width * sd, of_limit),
    )


def bland_altman(first: npt.ArrayLike, second: npt.ArrayLike, *, width: float = LIMITS_SD) -> BlandAltman:
    """Bias and limits of agreement of first minus second, ``(n,)`` each."""
    difference = _floats(first) - _floats(second)
    return limits_of_agreement(_mean(difference), _sd(difference), difference.size, width=width)


def pearson(first: npt.ArrayLike, second: npt.ArrayLike) -> Estimate:
    """Pearson's R with Fisher's 95 % interval; NaN with fewer than 3 pairs or where one way does not vary."""
    one, two = _floats(first), _floats(second)
    if one.size < 3 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return Estimate(math.nan)
    found = stats.pearsonr(one, two)
    if one.size < 4:
        return Estimate(float(found.statistic))
    interval = found.confidence_interval(CONFIDENCE)
    return Estimate(float(found.statistic), float(interval.low), float(interval.high))


def wilcoxon_p(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Two-sided P of Wilcoxon's signed-rank test; 1 where all pairs are equal, NaN without pairs."""
    difference = _floats(first) - _floats(second)
    if not difference.size:
        return math.nan
    if not difference.any():
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a small sample with ties: the normal approximation is what there is
        return float(stats.wilcoxon(difference).pvalue)


def equivalence(first: npt.ArrayLike, second: npt.ArrayLike, margin: float) -> Equivalence:
    """Two one-sided tests of the mean difference, first minus second, against ``-margin`` and ``margin``."""
    from statsmodels.stats.weightstats import ttost_paired

    one, two = _floats(first), _floats(second)
    difference = one - two
    if difference.size < 2:
        return Equivalence(margin, math.nan, math.nan, math.nan)
    # Without spread t is infinite, and the bias lies within the margin or not.
    if np.ptp(difference) <= 1e-9 * float(np.abs(one).max()):
        bias = float(difference[0])
        return Equivalence(margin, 0.0 if abs(bias) < margin else 1.0, bias, bias)
    p, _, _ = ttost_paired(one, two, -margin, margin)
    low, high = stats.ttest_1samp(difference, 0.0).confidence_interval(_TOST_CONFIDENCE)
    return Equivalence(margin, float(p), float(low), float(high))


def cohen_kappa(first: npt.ArrayLike, second: npt.ArrayLike) -> Estimate:
    """Cohen's kappa of two yes-or-no answers ``(n,)`` with its 95 % interval; NaN where all are one answer."""
    from statsmodels.stats.inter_rater import cohens_kappa

    one, two = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if not one.size or (one.all() and two.all()) or not (one.any() or two.any()):
        return Estimate(math.nan)
    table = np.array([[(one & two).sum(), (one & ~two).sum()], [(~one & two).sum(), (~one & ~two).sum()]])
    found = cohens_kappa(table)
    return Estimate(float(found.kappa), max(-1.0, float(found.kappa_low)), min(1.0, float(found.kappa_upp)))


def agreement(
    first: npt.ArrayLike, second: npt.ArrayLike, patients: Sequence[str], *, margin: float, resamples: int, seed: int
) -> Agreement:
    """Everything on paired values of one quantity.

    Args:
        first: ``(n,)``, the prediction's.
        second: ``(n,)``, the truth's.
        patients: Patient of each pair: foramina of one patient are not independent.
        margin: What counts as equal, in the quantity's unit.
        resamples: Draws of the bootstrap.
        seed: Of the bootstrap.
    """
    one, two = _floats(first), _floats(second)
    names = ("pearson", "icc2", "icc3", "bias", "lower", "upper", "equivalence")
    levels = (*[CONFIDENCE] * (len(names) - 1), _TOST_CONFIDENCE)

    def statistics(index: npt.NDArray[np.int64]) -> tuple[float, ...]:
        return _moments(one[index], two[index])

    intervals = clustered_intervals(statistics, patients, resamples=resamples, seed=seed, confidence=levels)
    return Agreement(
        n=one.size,
        patients=len(set(patients)),
        first=(_mean(one), _sd(one)),
        second=(_mean(two), _sd(two)),
        wilcoxon_p=wilcoxon_p(one, two),
        pearson=pearson(one, two),
        icc=icc(np.column_stack([one, two])),
        bland_altman=bland_altman(one, two),
        equivalence=equivalence(one, two, margin),
        clustered=dict(zip(names, intervals, strict=True)),
    )


def criterion_agreement(
    first: npt.ArrayLike, second: npt.ArrayLike, patients: Sequence[str], *, resamples: int, seed: int
) -> CriterionAgreement:
    """Agreement of two yes-or-no answers ``(n,)``."""
    one, two = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)

    def statistics(index: npt.NDArray[np.int64]) -> tuple[float]:
        return (_kappa(one[index], two[index]),)

    [interval] = clustered_intervals(statistics, patients, resamples=resamples, seed=seed)
    return CriterionAgreement(
        one.size, int(one.sum()), int(two.sum()), int((one & two).sum()), cohen_kappa(one, two), interval
    )


def _moments(one: Floats, two: Floats) -> tuple[float, ...]:
    """What :func:`agreement` resamples: R, ICC(2,1), ICC(3,1), bias, both limits, bias."""
    if one.size < 2:
        return (math.nan,) * 7
    difference = one - two
    bias, sd = _mean(difference), _sd(difference)
    spread = float(one.std() * two.std())
    r = float(((one - one.mean()) * (two - two.mean())).mean()) / spread if spread > 0 else math.nan
    absolute, consistent = coefficients(mean_squares(np.column_stack([one, two])))
    return r, absolute, consistent, bias, bias - LIMITS_SD * sd, bias + LIMITS_SD * sd, bias


def _kappa(one: npt.NDArray[np.bool_], two: npt.NDArray[np.bool_]) -> float:
    """Kappa without its interval, thousands of times: statsmodels' is slow for that (a test compares them)."""
    if not one.size:
        return math.nan
    p, q = float(one.mean()), float(two.mean())
    chance = p * q + (1 - p) * (1 - q)
    return (float((one == two).mean()) - chance) / (1 - chance) if chance < 1 else math.nan


def _floats(values: npt.ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else math.nan


def _sd(values: Floats) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else math.nan
