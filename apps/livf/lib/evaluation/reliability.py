"""Intraclass correlation of single ratings (Shrout & Fleiss, Psychological Bulletin 1979; 86:420-428).

The coefficients are ratios of the mean squares of a two-way analysis of variance, and their intervals quantiles of
SciPy's F distribution. (pingouin, which has both, is GPL-3.0 and cannot be asked of users of an Apache-2.0 package.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from livf.lib.evaluation.intervals import CONFIDENCE, Estimate


@dataclass(frozen=True)
class MeanSquares:
    """Two-way analysis of variance of ``n`` targets by ``k`` raters without repetition, in Shrout & Fleiss's names.

    Attributes:
        n: Targets.
        k: Raters.
        between: BMS, between targets.
        within: WMS, within targets.
        raters: JMS, between raters (judges).
        error: EMS, residual.
    """

    n: int
    k: int
    between: float
    within: float
    raters: float
    error: float


@dataclass(frozen=True)
class Icc:
    """Reliability of one rating.

    Attributes:
        absolute: ICC(2,1), two-way random effects: absolute agreement, for raters like these.
        consistent: ICC(3,1), two-way mixed effects: consistency of these raters, whatever their biases.
        targets: How many targets all raters rated.
        raters: How many raters.
    """

    absolute: Estimate
    consistent: Estimate
    targets: int
    raters: int


def mean_squares(ratings: npt.ArrayLike) -> MeanSquares:
    """Mean squares of ratings ``(targets, raters)``.

    Raises:
        ValueError: There are not two targets and two raters.
    """
    table = np.asarray(ratings, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(f"ratings of shape {table.shape}: two targets and two raters are needed")
    n, k = table.shape
    mean = table.mean()
    targets, raters = table.mean(axis=1), table.mean(axis=0)
    residual = table - targets[:, None] - raters[None, :] + mean
    within = float(((table - targets[:, None]) ** 2).sum()) / (n * (k - 1))
    return MeanSquares(
        n=n,
        k=k,
        between=k * float(((targets - mean) ** 2).sum()) / (n - 1),
        within=within,
        raters=n * float(((raters - mean) ** 2).sum()) / (k - 1),
        error=float((residual**2).sum()) / ((n - 1) * (k - 1)),
    )


def icc(ratings: npt.ArrayLike, confidence: float = CONFIDENCE) -> Icc:
    """ICC(2,1) and ICC(3,1) with confidence intervals.

    Args:
        ratings: ``(targets, raters)``, no gaps.
        confidence: Coverage of the intervals.

    Returns:
        NaN where it is not defined: fewer than two targets or raters, or no variance at all.
    """
    table = np.asarray(ratings, dtype=np.float64)
    targets, raters = (int(n) for n in table.shape) if table.ndim == 2 else (0, 0)
    if targets < 2 or raters < 2:
        return Icc(Estimate(math.nan), Estimate(math.nan), targets, raters)
    squares = mean_squares(table)
    absolute, consistent = coefficients(squares)
    if math.isnan(absolute):
        return Icc(Estimate(math.nan), Estimate(math.nan), targets, raters)
    if squares.error <= 1e-12 * squares.between:
        # No residual at all: the F ratio has no upper bound, and the interval of consistency shrinks to a point.
        return Icc(Estimate(absolute), Estimate(consistent, consistent, consistent), targets, raters)
    return Icc(
        Estimate(absolute, *_absolute_interval(squares, absolute, confidence)),
        Estimate(consistent, *_consistent_interval(squares, confidence)),
        targets,
        raters,
    )


def coefficients(squares: MeanSquares) -> tuple[float, float]:
    """ICC(2,1) and ICC(3,1) from mean squares; NaN where all ratings are equal."""
    n, k, between, raters, error = squares.n, squares.k, squares.between, squares.raters, squares.error
    absolute_below = between + (k - 1) * error + k * (raters - error) / n
    consistent_below = between + (k - 1) * error
    if not consistent_below > 0 or not absolute_below > 0:
        return math.nan, math.nan
    return (between - error) / absolute_below, (between - error) / consistent_below


def icc_one_way(squares: MeanSquares) -> float:
    """ICC(1,1): each target rated by other raters."""
    return (squares.between - squares.within) / (squares.between + (squares.k - 1) * squares.within)


def _absolute_interval(squares: MeanSquares, value: float, confidence: float) -> tuple[float, float]:
    """Of ICC(2,1): Shrout & Fleiss's approximation with Satterthwaite's degrees of freedom."""
    n, k, between, raters, error = squares.n, squares.k, squares.between, squares.raters, squares.error
    ratio = raters / error
    share = n * (1 + (k - 1) * value) - k * value
    freedom = (k - 1) * (n - 1) * (k * value * ratio + share) ** 2
    freedom /= (n - 1) * k**2 * value**2 * ratio**2 + share**2
    tail = (1 + confidence) / 2
    lower = float(stats.f.ppf(tail, n - 1, freedom))
    upper = float(stats.f.ppf(tail, freedom, n - 1))
    rest = k * raters + (k * n - k - n) * error
    low = n * (between - lower * error) / (lower * rest + n * between)
    high = n * (upper * between - error) / (rest + n * upper * between)
    return low, high


def _consistent_interval(squares: MeanSquares, confidence: float) -> tuple[float, float]:
    """Of ICC(3,1)."""
    n, k = squares.n, squares.k
    ratio, tail = squares.between / squares.error, (1 + confidence) / 2
    low = ratio / float(stats.f.ppf(tail, n - 1, (n - 1) * (k - 1)))
    high = ratio * float(stats.f.ppf(tail, (n - 1) * (k - 1), n - 1))
    return (low - 1) / (low + k - 1), (high - 1) / (high + k - 1)
