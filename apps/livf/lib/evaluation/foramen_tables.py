"""How well the foramina measured on predictions agree with those measured on the truth: tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from livf.lib.evaluation.agreement import Agreement, CriterionAgreement
from livf.lib.evaluation.cases import Scored
from livf.lib.evaluation.paper import NOT_GIVEN, figure, grade, printed
from livf.lib.evaluation.summary import MEASURES, Measure, refusals_of
from livf.lib.evaluation.tables import Table, estimate, interval, number, probability, spread
from livf.lib.foramen import SENTENCES

Agreements = Mapping[str, Agreement]

_DRAWN: Final = "patients drawn"
_PLAIN_NOTE: Final = (
    "In brackets: plain 95 % confidence intervals, which take the sides for independent. Left and right of one patient "
    "are not: columns with patients drawn hold 95 % percentile intervals of a bootstrap that draws whole patients."
)
_PAPER_NOTE: Final = "paper: Chen et al. 2022, one mean ± SD a measure; - where the figure is not held here."
_CRITERIA: Final = {"height_mm": "FH ≤ 15 mm", "width_mm": "FW ≤ 8 mm", "either": "either"}


def means_table(found: Agreements) -> Table:
    """Means, the Wilcoxon test and Pearson's R."""
    rows = []
    for measure, one in _measured(found):
        mean, sd = figure("foramen", measure.key, "mean"), figure("foramen", measure.key, "sd")
        beside = NOT_GIVEN
        if isinstance(mean, float) and isinstance(sd, float):
            beside = spread((mean, sd), measure.places)
        rows.append((
            _title(measure), str(one.n), str(one.patients), spread(one.first, measure.places),
            spread(one.second, measure.places), beside, probability(one.wilcoxon_p),
            printed("foramen", measure.key, "wilcoxon_p"), estimate(one.pearson), _of(one, "pearson"),
            printed("foramen", measure.key, "pearson_r"),
        ))  # fmt: skip
    head = ("measure", "sides", "patients", "automatic, mean ± SD", "manual, mean ± SD", "paper, mean ± SD",
            "Wilcoxon P", "paper, P", "Pearson R", f"R, {_DRAWN}", "paper, R")  # fmt: skip
    note = "Wilcoxon signed-rank test, two-sided. P above 0.05 is no proof of equality: see the equivalence tests."
    return Table(
        "foramen_means", "Foramina: automatic against manual", head, tuple(rows), (note, _PLAIN_NOTE, _PAPER_NOTE)
    )


def icc_table(found: Agreements) -> Table:
    """Intraclass correlation."""
    rows = [
        (_title(measure), str(one.n), estimate(one.icc.absolute), _of(one, "icc2"), grade(one.icc.absolute.value),
         estimate(one.icc.consistent), _of(one, "icc3"), grade(one.icc.consistent.value))
        for measure, one in _measured(found)
    ]  # fmt: skip
    head = ("measure", "sides", "ICC(2,1)", f"ICC(2,1), {_DRAWN}", "grade of ICC(2,1)", "ICC(3,1)",
            f"ICC(3,1), {_DRAWN}", "grade of ICC(3,1)")  # fmt: skip
    note = (
        "ICC(2,1): absolute agreement, two-way random effects; ICC(3,1): consistency, two-way mixed effects (Shrout & "
        "Fleiss 1979). Grade: poor below 0.7, fair from 0.7, good from 0.8, excellent from 0.9."
    )
    return Table("foramen_icc", "Foramina: intraclass correlation", head, tuple(rows), (note, _PLAIN_NOTE))


def bland_altman_table(found: Agreements) -> Table:
    """Bias and limits of agreement."""
    rows = []
    for measure, one in _measured(found):
        limits, places = one.bland_altman, measure.places
        rows.append((
            _title(measure), str(one.n), estimate(limits.bias, places), _of(one, "bias", places),
            estimate(limits.lower, places), _of(one, "lower", places), estimate(limits.upper, places),
            _of(one, "upper", places), number(limits.sd, places),
        ))  # fmt: skip
    head = ("measure", "sides", "bias", f"bias, {_DRAWN}", "lower limit", f"lower limit, {_DRAWN}", "upper limit",
            f"upper limit, {_DRAWN}", "SD")  # fmt: skip
    note = "Automatic minus manual; limits: bias ± 1.96 SD of the differences (Bland & Altman 1986)."
    return Table(
        "foramen_bland_altman", "Foramina: bias and limits of agreement", head, tuple(rows), (note, _PLAIN_NOTE)
    )


def equivalence_table(found: Agreements) -> Table:
    """Two one-sided tests."""
    rows = []
    for measure, one in _measured(found):
        test, places = one.equivalence, measure.places
        low, high = one.clustered["equivalence"]
        inside = -test.margin < low and high < test.margin
        drawn = "not decided" if low != low else "yes" if inside else "no"
        rows.append((
            _title(measure), str(one.n), f"± {test.margin:g}", number(one.bland_altman.bias.value, places),
            interval(test.low, test.high, places), probability(test.p), "yes" if test.shown else "no",
            interval(low, high, places), drawn,
        ))  # fmt: skip
    head = ("measure", "sides", "margin", "bias", "90 % CI", "P (two one-sided tests)", "equal within the margin",
            "90 % CI, patients drawn", "equal within the margin, patients drawn")  # fmt: skip
    note = (
        "Equal means: the mean difference lies within the margin, at 5 %. It says nothing of a single foramen: see the "
        "limits of agreement."
    )
    return Table("foramen_equivalence", "Foramina: equivalence of the means", head, tuple(rows), (note,))


def criteria_table(found: Mapping[str, CriterionAgreement]) -> Table:
    """The foraminoplasty criteria by both."""
    rows = [
        (_CRITERIA[name], str(one.n), _count(one.first, one.n), _count(one.second, one.n), str(one.both),
         estimate(one.kappa), interval(*one.clustered))
        for name, one in found.items()
    ]  # fmt: skip
    head = ("criterion", "sides", "automatic", "manual", "both", "Cohen's κ", f"κ, {_DRAWN}")
    note = "κ is not defined where one answer is the only one. The criteria are the paper's thresholds, not advice."
    return Table("foramen_criteria", "Foramina: foraminoplasty criteria", head, tuple(rows), (note, _PLAIN_NOTE))


def refusals_table(cases: Sequence[Scored]) -> Table:
    """Who has no number, and why. Nothing of it enters the other tables."""
    rows = []
    for measure in MEASURES:
        found = refusals_of(cases, measure)
        total = found.both + found.prediction + found.truth + found.neither
        why = "; ".join(f"{'automatic' if who == 'prediction' else 'manual'}: {SENTENCES.get(code, code)} ({n})"
                        for (who, code), n in sorted(found.reasons.items()))  # fmt: skip
        rows.append((_title(measure), str(total), str(found.both), str(found.prediction), str(found.truth),
                     str(found.neither), why or NOT_GIVEN))  # fmt: skip
    head = ("measure", "sides", "number in both", "no automatic", "no manual", "none in both", "why (sides)")
    note = "A side without a number is in no mean, correlation or test above; it is counted here."
    return Table("foramen_refusals", "Foramina without a number", head, tuple(rows), (note,))


def _measured(found: Agreements) -> list[tuple[Measure, Agreement]]:
    return [(measure, found[measure.key]) for measure in MEASURES]


def _title(measure: Measure) -> str:
    return f"{measure.short}, {measure.unit}"


def _of(one: Agreement, name: str, places: int = 3) -> str:
    return interval(*one.clustered[name], places)


def _count(n: int, total: int) -> str:
    return f"{n} ({100 * n / total:.0f} %)" if total else str(n)
