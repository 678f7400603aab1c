"""From pairs of labels to a folder of tables, figures and one report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from livf.lib.errors import InputError, LivfError
from livf.lib.evaluation import foramen_tables, paper_tables
from livf.lib.evaluation.agreement import Agreement
from livf.lib.evaluation.cases import PARTS, REGIONS, Failure, Pair, Reading, Scored
from livf.lib.evaluation.cohort import Subject
from livf.lib.evaluation.figures import agreement_figure, model_pictures, models_figure, write_figure
from livf.lib.evaluation.folders import Matched
from livf.lib.evaluation.report import Drawing, report
from livf.lib.evaluation.scoring import foramina_csv, score_all, scores_csv
from livf.lib.evaluation.summary import MEASURES, Sides, agree_on, criteria, mean_over, sides_of
from livf.lib.evaluation.tables import Table, estimate
from livf.lib.evaluation.writing import write_table
from livf.lib.storage import make_folder, write_text
from livf.version import __version__

_LOG: Final = logging.getLogger(__name__)

REPORT_NAME: Final = "report.html"
SCORES_NAME: Final = "scores.csv"
FORAMINA_NAME: Final = "foramina.csv"
#: Structures that are only in one label, or in none: the case is named.
_ODD: Final = ("missing", "extra", "neither")
#: The paper's figures.
_NUMBERED: Final = {"area_mm2": 4, "height_mm": 5, "width_mm": 6}


@dataclass(frozen=True)
class Settings:
    """How an evaluation is made.

    Attributes:
        reading: How pairs are read and scored.
        healthy: Name of the group of healthy subjects; all others are pooled against it.
        margins: What counts as equal, by measure (``area_mm2`` ...), in its unit.
        resamples: Draws of the bootstrap of patients.
        seed: Of the bootstrap.
        models: How many cases figure 3 is drawn of: the one of middle DSC, then the worst.
    """

    reading: Reading = field(default_factory=Reading)
    healthy: str = "healthy"
    margins: Mapping[str, float] = field(default_factory=lambda: {m.key: m.margin for m in MEASURES})
    resamples: int = 2000
    seed: int = 20220901
    models: int = 2


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        scored: Cases with their scores, in the order of the pairs.
        failed: Pairs that could not be scored, and why.
        agreements: Agreement of the foramina by measure; empty where none were measured.
        tables: All tables.
        report: The HTML report.
        written: Every file written.
    """

    scored: tuple[Scored, ...]
    failed: tuple[Failure, ...]
    agreements: Mapping[str, Agreement]
    tables: tuple[Table, ...]
    report: Path
    written: tuple[Path, ...]

    @property
    def summary(self) -> tuple[str, ...]:
        """The main results in a few lines."""
        parts = [part for part in PARTS if any(case.pair.part == part for case in self.scored)]
        lines = [f"{'cases':<14}{len(self.scored)} labels scored, {len(self.failed)} failed"]
        for part in parts:
            chosen = [case for case in self.scored if case.pair.part == part]
            for region, (title, _) in REGIONS.items():
                mean = mean_over(chosen, "dsc", region)
                lines.append(f"{part:<14}DSC {title:<12}{estimate(mean.subjects)}, {mean.count} subjects")
        for measure in MEASURES:
            if found := self.agreements.get(measure.key):
                bias = estimate(found.bland_altman.bias, measure.places)
                lines.append(
                    f"{measure.short:<14}R {estimate(found.pearson)}, bias {bias} {measure.unit}, {found.n} sides"
                )
        return tuple(lines)


def evaluate(
    pairs: Sequence[Pair],
    output: Path,
    settings: Settings | None = None,
    *,
    subjects: Mapping[str, Subject] | None = None,
    unmatched: Matched | None = None,
    title: str = "Evaluation",
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score pairs of labels and write everything about them into a folder.

    A pair that cannot be scored does not stop the others; it is in ``failed`` and in the report.

    Args:
        pairs: Predictions and truths; a case may come in several folds and parts.
        output: Folder; made if it is missing. It gets ``report.html``, ``scores.csv``, ``foramina.csv``,
            ``tables/NAME.md|csv|tex`` and ``figures/NAME.pdf|png``.
        settings: How.
        subjects: What is known of the cases, for table 1.
        unmatched: Cases of only one of the folders, for the report.
        title: Of the report.
        executor: What scores the pairs (processes); None: this thread.
        progress: Called with how many pairs are done, and of how many.

    Raises:
        InputError: There is no pair, or none could be scored.
        OutputError: The folder cannot be written to.
    """
    settings = settings or Settings()
    if not pairs:
        raise InputError("there is nothing to evaluate", output, "give predictions and truth of the same cases")
    for folder in (output, output / "tables", output / "figures"):
        make_folder(folder)
    scored, failed = score_all(pairs, settings.reading, executor, progress)
    if not scored:
        raise InputError(
            f"no pair could be scored ({len(failed)} failed); the first: {failed[0].reason}", output, ""
        )  # fmt: skip
    tables, agreements = _tables(scored, subjects or {}, settings)
    written = [output / SCORES_NAME, output / FORAMINA_NAME]
    write_text(written[0], scores_csv(scored))
    write_text(written[1], foramina_csv(scored))
    for table in tables:
        written += write_table(table, output / "tables")
    drawings = [*_models(scored, settings, output / "figures"), *_plots(agreements, output / "figures")]
    for drawing in drawings:
        written += [drawing.png.with_suffix(".pdf"), drawing.png]
    count = len({case.pair.case for case in scored})
    lead = (
        f"{len(scored)} scored labels of {count} cases; made with livf {__version__}. For research use; livf is not a "
        "medical device.",
        f"Intervals: 95 %. Bootstrap: {settings.resamples} draws of patients, seed {settings.seed}.",
    )
    path = output / REPORT_NAME
    write_text(path, report(title, lead, _warnings(scored, failed, unmatched), [*tables, *drawings]))
    agreed = {sides.measure.key: found for sides, found in agreements}
    return Evaluation(tuple(scored), tuple(failed), agreed, tuple(tables), path, (path, *written))


def _tables(
    scored: Sequence[Scored], subjects: Mapping[str, Subject], settings: Settings
) -> tuple[list[Table], list[tuple[Sides, Agreement]]]:
    found: list[Table | None] = [
        paper_tables.cohort_table(scored, subjects),
        paper_tables.overlap_table(scored),
        paper_tables.folds_table(scored),
        paper_tables.groups_table(scored),
        paper_tables.healthy_table(scored, settings.healthy),
        paper_tables.structures_table(scored),
    ]
    measured = [case for case in scored if case.foramina]
    drawn: list[tuple[Sides, Agreement]] = []
    if measured:
        draws, seed = settings.resamples, settings.seed
        agreements = {}
        for measure in MEASURES:
            sides = sides_of(measured, measure)
            agreements[measure.key] = agree_on(sides, margin=settings.margins[measure.key], resamples=draws, seed=seed)
            drawn.append((sides, agreements[measure.key]))
        found += [
            foramen_tables.means_table(agreements),
            foramen_tables.icc_table(agreements),
            foramen_tables.bland_altman_table(agreements),
            foramen_tables.equivalence_table(agreements),
            foramen_tables.criteria_table(criteria(measured, resamples=draws, seed=seed)),
            foramen_tables.refusals_table(measured),
        ]
    return [table for table in found if table is not None], drawn


def _plots(agreements: Sequence[tuple[Sides, Agreement]], folder: Path) -> list[Drawing]:
    """Figures 4 to 6: of each measure that has a pair of numbers."""
    drawings = []
    for sides, found in agreements:
        if not found.n:
            continue
        measure = sides.measure
        name = f"figure{_NUMBERED[measure.key]}_{measure.short.lower()}"
        _, png = write_figure(agreement_figure(sides, found), folder, name)
        caption = (
            f"Figure {_NUMBERED[measure.key]}. {measure.title.capitalize()} ({measure.short}): scatter and "
            "Bland-Altman plot, with 95 % intervals of bias and limits"
        )
        drawings.append(Drawing(name, caption, png))
    return drawings


def _models(scored: Sequence[Scored], settings: Settings, folder: Path) -> list[Drawing]:
    """Figure 3: the test case of middle DSC, then the worst."""
    tested = [case for case in scored if case.foramina and case.score("dsc", "all") > 0]
    tested.sort(key=lambda case: (case.score("dsc", "all"), case.pair.case))
    if not tested:
        return []
    chosen = {"median": tested[len(tested) // 2], "lowest": tested[0]}
    drawings = []
    for which, case in list(chosen.items())[: min(settings.models, len(tested))]:
        try:
            pictures = model_pictures(case.pair, settings.reading)
        except LivfError as error:  # a file went away since it was scored: the report is worth having without it
            _LOG.warning("no models of %s: %s", case.pair.case, error.line)
            continue
        if pictures is None:
            continue
        title = f"{case.pair.case}: DSC {case.score('dsc', 'all'):.3f}, the {which} of {len(tested)} test cases"
        _, png = write_figure(models_figure(pictures, title), folder, f"figure3_models_{which}")
        caption = f"Figure 3. Automatic and manual models, left and right view; {title}"
        drawings.append(Drawing(png.stem, caption, png))
    return drawings


def _warnings(scored: Sequence[Scored], failed: Sequence[Failure], unmatched: Matched | None) -> list[str]:
    """What a reader has to know before any number."""
    lines = [f"{failure.pair.case} was not scored: {failure.reason}" for failure in failed]
    if unmatched:
        for what, names in (
            ("Predictions without a truth", unmatched.without_truth),
            ("Cases of the truth without a prediction", unmatched.without_prediction),
        ):
            if names:
                lines.append(f"{what}, not scored ({len(names)}): {', '.join(names)}")
    for case in scored:
        odd = [f"{name} {score.presence}" for name, score in case.structures.items() if score.presence in _ODD]
        if odd and case.pair.part == "test":
            lines.append(f"{case.pair.case}: {', '.join(odd)}")
    return lines
