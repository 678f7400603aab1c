"""Means over cases with their intervals, over subjects and over folds; groups compared; foramina in pairs."""

from __future__ import annotations

import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from livf.lib.evaluation.agreement import Agreement, CriterionAgreement, agreement, criterion_agreement
from livf.lib.evaluation.cases import Foramen, Metric, Scored
from livf.lib.evaluation.intervals import CONFIDENCE, Estimate, mean_interval


@dataclass(frozen=True)
class Measure:
    """One of the paper's three measures of a foramen.

    Attributes:
        key: Its name in the measurement document.
        short: How the paper calls it.
        title: What it is.
        unit: Its unit.
        places: Decimals a reader needs.
        margin: Half width of what counts as equal, by default: one voxel of the paper's images for lengths, 7.5 % of
            the paper's mean for the area.
        at_most: The criterion's threshold; None where there is none.
    """

    key: str
    short: str
    title: str
    unit: str
    places: int
    margin: float
    at_most: float | None


MEASURES: Final[tuple[Measure, ...]] = (
    Measure("area_mm2", "FA", "foraminal area", "mm²", 1, 10.0, None),
    Measure("height_mm", "FH", "foraminal height", "mm", 2, 0.8, 15.0),
    Measure("width_mm", "FW", "foraminal width", "mm", 2, 0.8, 8.0),
)


@dataclass(frozen=True)
class Mean:
    """A score's mean over cases.

    Attributes:
        subjects: Mean over subjects (several scores of one subject are averaged first), with its interval.
        folds: Mean over the folds' means, with its interval; NaN without folds.
        by_fold: Mean of each fold.
        count: Subjects with a score.
        undefined: Cases without one.
    """

    subjects: Estimate
    folds: Estimate
    by_fold: dict[int, float]
    count: int
    undefined: int


@dataclass(frozen=True)
class Comparison:
    """A score in two groups of subjects.

    Attributes:
        first: Mean over the subjects of the first group, with its interval.
        second: Of the second.
        counts: Subjects in each.
        difference: First minus second with Welch's interval.
        p: Two-sided P of the Mann-Whitney U test.
    """

    first: Estimate
    second: Estimate
    counts: tuple[int, int]
    difference: Estimate
    p: float


@dataclass(frozen=True)
class Sides:
    """Foramina of which both labels have a number.

    Attributes:
        measure: Which number.
        prediction: ``n`` values.
        truth: ``n`` values.
        patients: Patient of each.
        cases: Case of each.
        left: Whether each is a left one.
    """

    measure: Measure
    prediction: tuple[float, ...]
    truth: tuple[float, ...]
    patients: tuple[str, ...]
    cases: tuple[str, ...]
    left: tuple[bool, ...]


@dataclass(frozen=True)
class Refusals:
    """Foramina by who has a number.

    Attributes:
        both: Both labels have one.
        prediction: Only the prediction has none.
        truth: Only the truth has none.
        neither: Both have none.
        reasons: Why, by ("prediction" or "truth", code).
    """

    both: int
    prediction: int
    truth: int
    neither: int
    reasons: Counter[tuple[str, str]]


def mean_over(cases: Sequence[Scored], metric: Metric, region: str) -> Mean:
    """Mean of a score over cases, in one structure or region."""
    by_subject: defaultdict[str, list[float]] = defaultdict(list)
    by_fold: defaultdict[int, list[float]] = defaultdict(list)
    undefined = 0
    for case in cases:
        value = case.score(metric, region)
        if math.isnan(value):
            undefined += 1
            continue
        by_subject[case.pair.subject].append(value)
        if case.pair.fold is not None:
            by_fold[case.pair.fold].append(value)
    folds = {fold: float(np.mean(values)) for fold, values in sorted(by_fold.items())}
    subjects = [float(np.mean(values)) for values in by_subject.values()]
    return Mean(mean_interval(subjects), mean_interval(list(folds.values())), folds, len(subjects), undefined)


def compare(first: Sequence[Scored], second: Sequence[Scored], metric: Metric, region: str) -> Comparison:
    """A score in two groups: means, their difference, and whether the groups differ."""
    one, two = (_by_subject(cases, metric, region) for cases in (first, second))
    difference, p = Estimate(math.nan), math.nan
    if len(one) and len(two):
        p = float(stats.mannwhitneyu(one, two).pvalue)
        difference = Estimate(float(np.mean(one) - np.mean(two)))
    if min(len(one), len(two)) > 1 and np.std(one) + np.std(two) > 1e-9:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a group without spread, all of it perfect say, is no fault
            interval = stats.ttest_ind(one, two, equal_var=False).confidence_interval(CONFIDENCE)
        difference = Estimate(difference.value, float(interval.low), float(interval.high))
    return Comparison(mean_interval(one), mean_interval(two), (len(one), len(two)), difference, p)


def sides_of(cases: Sequence[Scored], measure: Measure) -> Sides:
    """Pairs of numbers; sides that one of the labels has no number for are not among them."""
    rows = [
        (first, second, case.pair.subject, case.pair.case, foramen.side == "left")
        for case in cases
        for foramen in case.foramina
        if (first := foramen.prediction.values.get(measure.key)) is not None
        and (second := foramen.truth.values.get(measure.key)) is not None
    ]
    columns = tuple(zip(*rows, strict=True)) if rows else ((), (), (), (), ())
    return Sides(measure, *columns)


def refusals_of(cases: Sequence[Scored], measure: Measure) -> Refusals:
    """Who has no number, and why."""
    counts: Counter[tuple[bool, bool]] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    for case in cases:
        for foramen in case.foramina:
            has = [one.values.get(measure.key) is not None for one in (foramen.prediction, foramen.truth)]
            counts[has[0], has[1]] += 1
            for who, one in (("prediction", foramen.prediction), ("truth", foramen.truth)):
                reasons.update((who, code) for code in _why(one, measure))
    return Refusals(
        counts[True, True], counts[False, True], counts[True, False], counts[False, False], reasons
    )  # fmt: skip


def agree_on(sides: Sides, *, margin: float, resamples: int, seed: int) -> Agreement:
    """Agreement of the prediction's numbers with the truth's."""
    return agreement(sides.prediction, sides.truth, sides.patients, margin=margin, resamples=resamples, seed=seed)


def criteria(cases: Sequence[Scored], *, resamples: int, seed: int) -> dict[str, CriterionAgreement]:
    """Agreement on the criteria: FH at most 15 mm, FW at most 8 mm, and either of them.

    A side counts where both labels have the numbers the criterion needs; either needs both numbers, unless the one
    there is meets it.
    """
    limits = [measure for measure in MEASURES if measure.at_most is not None]
    found = {}
    for name, measures in (*((m.key, [m]) for m in limits), ("either", limits)):
        rows = []
        for case in cases:
            for foramen in case.foramina:
                one, two = _meets(foramen.prediction, measures), _meets(foramen.truth, measures)
                if one is not None and two is not None:
                    rows.append((one, two, case.pair.subject))
        first, second, patients = zip(*rows, strict=True) if rows else ((), (), ())
        found[name] = criterion_agreement(first, second, patients, resamples=resamples, seed=seed)
    return found


def _meets(foramen: Foramen, measures: Sequence[Measure]) -> bool | None:
    """Whether one of the criteria is met; None where that cannot be said."""
    answers = []
    for measure in measures:
        value = foramen.values.get(measure.key)
        answers.append(None if value is None or measure.at_most is None else value <= measure.at_most)
    if any(answers):
        return True
    return None if None in answers else False


def _why(foramen: Foramen, measure: Measure) -> tuple[str, ...]:
    if foramen.values.get(measure.key) is not None:
        return ()
    return foramen.reasons or ("corner_not_found",)


def _by_subject(cases: Sequence[Scored], metric: Metric, region: str) -> list[float]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for case in cases:
        value = case.score(metric, region)
        if not math.isnan(value):
            values[case.pair.subject].append(value)
    return [float(np.mean(found)) for found in values.values()]
