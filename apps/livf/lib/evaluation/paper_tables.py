"""The paper's tables, ours beside theirs, and those it lacks: cohort, overlap, groups, structures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from livf.lib.anatomy import TRAINED
from livf.lib.evaluation.cases import PARTS, REGIONS, Metric, Presence, Scored
from livf.lib.evaluation.cohort import Subject
from livf.lib.evaluation.intervals import mean_interval
from livf.lib.evaluation.paper import NOT_GIVEN, figure, grade, printed
from livf.lib.evaluation.summary import Mean, compare, mean_over
from livf.lib.evaluation.tables import UNDEFINED, Table, estimate, number, probability, spread

OVERLAP: Final[tuple[tuple[Metric, str], ...]] = (("dsc", "DSC"), ("precision", "precision"), ("recall", "recall"))
_DISTANCES: Final[tuple[tuple[Metric, str], ...]] = (("hd95_mm", "HD95, mm"), ("assd_mm", "ASSD, mm"))
_PRESENCES: Final[tuple[tuple[Presence, str], ...]] = (
    ("both", "in both"),
    ("missing", "truth only"),
    ("extra", "prediction only"),
    ("neither", "in neither"),
    ("unlabelled", "not labelled"),
)
_REGIONS_NOTE: Final = (
    "VBS is the mean of L4 and L5, VBS and IVD the mean of the three structures, in the original image space. "
    "In brackets: 95 % confidence interval over subjects (several scans or folds of one are averaged first)."
)
_RULE_NOTE: Final = (
    "A structure in only one of the two labels scores 0 and has no distance; one in neither, or that the predicting "
    "tool does not label, is not scored. A mean over structures exists where each of them is scored."
)
_GRADE_NOTE: Final = "Grade of the DSC: poor below 0.7, fair from 0.7, good from 0.8, excellent from 0.9."
_PAPER_NOTE: Final = "paper: Chen et al. 2022; - where the figure is not held here."
#: A column with more different texts than this is listed as so many, not one by one.
_MOST_KINDS: Final = 8


def cohort_table(cases: Sequence[Scored], subjects: Mapping[str, Subject]) -> Table:
    """Table 1: who was evaluated. One row a property; each subject counts once, by its first case."""
    first: dict[str, Scored] = {}
    for case in sorted(cases, key=lambda case: case.pair.case):
        first.setdefault(case.pair.subject, case)
    known = [subjects.get(case.pair.case, Subject(case.pair.case)) for case in first.values()]
    scans = len({case.pair.case for case in cases})
    rows = [("subjects", "", str(len(first)), printed("cohort", "subjects")), ("scans", "", str(scans), NOT_GIVEN)]
    groups = Counter(case.pair.group or "not known" for case in first.values())
    if set(groups) != {"not known"}:
        rows += [("group", name, _share(n, len(first)), printed("cohort", "groups", name))
                 for name, n in sorted(groups.items())]  # fmt: skip
    for name in dict.fromkeys(key for subject in known for key in subject.properties):
        rows += _property(name, [subject.properties.get(name, "") for subject in known])
    return Table("table1_cohort", "Table 1. Cohort", ("property", "", "ours", "paper"), tuple(rows), (_PAPER_NOTE,))


def overlap_table(cases: Sequence[Scored]) -> Table:
    """Table 2: overlap in training, validation and test sets, intervals over subjects."""
    rows = []
    for part, chosen in _by_part(cases):
        for region, (title, _) in REGIONS.items():
            rows.append((part, *_overlap_row(chosen, region, title, ("overlap", part, region))))
    return Table("table2_overlap", "Table 2. Overlap", ("set", *_OVERLAP_HEAD), tuple(rows),
                 (_REGIONS_NOTE, _RULE_NOTE, _GRADE_NOTE, _PAPER_NOTE))  # fmt: skip


def folds_table(cases: Sequence[Scored]) -> Table | None:
    """Table 2 by fold, with intervals over the folds' means; None without two folds."""
    folds = sorted({case.pair.fold for case in cases if case.pair.fold is not None})
    if len(folds) < 2:
        return None
    rows = []
    for part, chosen in _by_part(cases):
        for region, (title, _) in REGIONS.items():
            for metric, name in OVERLAP:
                mean = mean_over(chosen, metric, region)
                by_fold = [number(mean.by_fold.get(fold, math.nan)) for fold in folds]
                beside = printed("overlap", part, region, metric)
                rows.append((part, title, name, *by_fold, estimate(mean.folds), estimate(mean.subjects), beside))
    head = ("set", "structures", "score", *(f"fold {fold}" for fold in folds), "mean of folds (95 % CI over folds)",
            "mean of subjects (95 % CI over subjects)", "paper")  # fmt: skip
    note = "The paper does not say whether its intervals are over subjects or over folds: here are both."
    return Table("table2_folds", "Table 2 by fold", head, tuple(rows), (note, _PAPER_NOTE))


def groups_table(cases: Sequence[Scored]) -> Table | None:
    """Table 3: overlap of the test cases by diagnosis group; None where no group is known."""
    tested = [case for case in cases if case.pair.part == "test"]
    groups = sorted({case.pair.group for case in tested if case.pair.group})
    if not groups:
        return None
    rows = []
    for group in groups:
        chosen = [case for case in tested if case.pair.group == group]
        for region, (title, _) in REGIONS.items():
            rows.append((group, *_overlap_row(chosen, region, title, ("overlap", "groups", group, region))))
    return Table("table3_groups", "Table 3. Overlap by diagnosis group (test)", ("group", *_OVERLAP_HEAD), tuple(rows),
                 (_REGIONS_NOTE, _GRADE_NOTE, _PAPER_NOTE))  # fmt: skip


def healthy_table(cases: Sequence[Scored], healthy: str) -> Table | None:
    """Healthy against all other groups pooled; None where one of the two has no test case."""
    tested = [case for case in cases if case.pair.part == "test" and case.pair.group]
    one = [case for case in tested if case.pair.group.casefold() == healthy.casefold()]
    two = [case for case in tested if case.pair.group.casefold() != healthy.casefold()]
    if not one or not two:
        return None
    rows = []
    for region, (title, _) in REGIONS.items():
        for metric, name in OVERLAP:
            found = compare(one, two, metric, region)
            rows.append((title, name, str(found.counts[0]), estimate(found.first), str(found.counts[1]),
                         estimate(found.second), estimate(found.difference), probability(found.p)))  # fmt: skip
    head = ("structures", "score", "healthy subjects", "healthy", "other subjects", "other", "difference", "P")
    note = (
        "P: Mann-Whitney U test, two-sided, over subjects. In brackets: 95 % confidence intervals; of the difference "
        "Welch's."
    )
    return Table("table3_healthy", "Healthy against pooled unhealthy (test)", head, tuple(rows), (note,))


def structures_table(cases: Sequence[Scored]) -> Table:
    """Each structure and mean of the test cases with surface distances, and what was not there."""
    tested = [case for case in cases if case.pair.part == "test"]
    rows = []
    for structure in TRAINED:
        seen = Counter(case.structures[structure.name].presence for case in tested)
        counts = [str(seen[presence]) for presence, _ in _PRESENCES]
        rows.append((structure.title, *_scores(tested, structure.name), *counts))
    for region, (title, _) in REGIONS.items():
        rows.append((title, *_scores(tested, region), *[""] * len(_PRESENCES)))
    head = ("structure", *(title for _, title in (*OVERLAP, *_DISTANCES)), "no distance (cases)",
            *(f"{title} (cases)" for _, title in _PRESENCES))  # fmt: skip
    note = (
        "HD95: the larger of the two directed 95th percentiles of the distances between surfaces; ASSD: their mean "
        "over both surfaces; in mm, between the centres of surface voxels. Means over the subjects that have one."
    )
    return Table(
        "structures", "Structures and surface distances (test)", head, tuple(rows), (_REGIONS_NOTE, note, _RULE_NOTE)
    )


_OVERLAP_HEAD: Final = (
    "structures", "subjects", *(part for _, title in OVERLAP for part in (title, f"paper, {title}")), "grade",
    "not scored (cases)",
)  # fmt: skip


def _overlap_row(cases: Sequence[Scored], region: str, title: str, place: tuple[str, ...]) -> tuple[str, ...]:
    means = {metric: mean_over(cases, metric, region) for metric, _ in OVERLAP}
    dsc = means["dsc"]
    cells = [part for metric, _ in OVERLAP for part in (estimate(means[metric].subjects), printed(*place, metric))]
    return title, str(dsc.count), *cells, grade(dsc.subjects.value), str(dsc.undefined)


def _scores(cases: Sequence[Scored], region: str) -> tuple[str, ...]:
    means: list[Mean] = [mean_over(cases, metric, region) for metric, _ in OVERLAP]
    distances = [mean_over(cases, metric, region) for metric, _ in _DISTANCES]
    cells = [estimate(mean.subjects) for mean in means] + [estimate(mean.subjects, 2) for mean in distances]
    return *cells, str(distances[0].undefined)


def _by_part(cases: Sequence[Scored]) -> Iterator[tuple[str, list[Scored]]]:
    for part in PARTS:
        chosen = [case for case in cases if case.pair.part == part]
        if chosen:
            yield part, chosen


def _property(name: str, values: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Rows of one column: mean and SD of numbers, counts of words."""
    given = [value for value in values if value]
    lacking = [(name, "not known", str(len(values) - len(given)), NOT_GIVEN)] if len(given) < len(values) else []
    numbers = [parsed for value in given if (parsed := _number(value)) is not None]
    if given and len(numbers) == len(given):
        key = name.lower()
        mean, sd = figure("cohort", f"{key}_mean"), figure("cohort", f"{key}_sd")
        beside = NOT_GIVEN if mean is None or sd is None else f"{mean} ± {sd}"
        found = mean_interval(numbers).value, float(np.std(numbers, ddof=1)) if len(numbers) > 1 else math.nan
        return [(name, "mean ± SD", spread(found, 1), beside), *lacking]
    kinds = Counter(given)
    if len(kinds) > _MOST_KINDS:
        return [(name, "different values", str(len(kinds)), NOT_GIVEN), *lacking]
    words = {"m": "male", "f": "female"}
    return [
        (name, kind, _share(n, len(values)), printed("cohort", words.get(kind.lower(), kind.lower())))
        for kind, n in sorted(kinds.items())
    ] + lacking


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _share(n: int, total: int) -> str:
    return f"{n} ({100 * n / total:.0f} %)" if total else UNDEFINED
