"""``livf evaluate`` and ``livf agree``."""

from __future__ import annotations

import argparse
import math
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

from livf.cli.arguments import RESEARCH_USE, Subparsers, positive, show_progress
from livf.lib.errors import LivfError

_LABELS = "whose numbers the {} have: a preset such as spineps, or NAME=NUMBER,..."

#: As many cases are named on one line; the report has them all.
_NAMED: Final = 8


def add_evaluate(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add ``livf evaluate`` to the parser."""
    parser = commands.add_parser("evaluate", parents=[common], epilog=RESEARCH_USE,
                                 help="compare a folder of labels with the truth: tables, figures, report")  # fmt: skip
    parser.add_argument("predictions", metavar="PRED", type=Path,
                        help="folder of labels, or what livf run or livf crossval wrote")  # fmt: skip
    parser.add_argument("truth", metavar="TRUTH", type=Path, help="folder of labels, or a data set")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="folder for the results")
    parser.add_argument("--labels", metavar="NUMBERING", help=_LABELS.format("predictions"))
    parser.add_argument("--truth-labels", metavar="NUMBERING", help=_LABELS.format("truth's labels"))
    parser.add_argument("--suffix", metavar="TEXT", default="",
                        help="what follows the case's name in PRED's files, such as _seg-vert_msk")  # fmt: skip
    parser.add_argument("--cases", metavar="CSV", type=Path,
                        help="case, patient, group and any column (default: cases.csv in or above TRUTH)")  # fmt: skip
    parser.add_argument("--dicom", metavar="DIR", type=Path,
                        help="sex, age and body mass index from DICOM files, one folder a case")  # fmt: skip
    parser.add_argument("--healthy", metavar="GROUP", default="healthy", help="the healthy group (default: healthy)")
    parser.add_argument("--margins", metavar="FA,FH,FW", type=_margins,
                        help="what counts as equal, mm² and mm (default: 10,0.8,0.8)")  # fmt: skip
    parser.add_argument("--no-foramina", action="store_true", help="overlap only: measure no foramen")
    parser.add_argument("--workers", metavar="N", type=positive, default=1, help="processes (default: 1)")
    parser.set_defaults(run=_evaluate)


def add_agree(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add ``livf agree`` to the parser."""
    parser = commands.add_parser("agree", parents=[common], epilog=RESEARCH_USE,
                                 help="reliability of repeated measurements: test-retest, inter-observer")  # fmt: skip
    parser.add_argument("measurements", metavar="MEASUREMENTS.csv", type=Path,
                        help="observer, session, case, side and FA, FH, FW; or livf run's table with an observer "
                             "and a session")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, help="folder for the table: md, csv, tex, html")
    parser.set_defaults(run=_agree)


def _evaluate(arguments: argparse.Namespace) -> int:
    from livf.lib.cohort import processes
    from livf.lib.evaluation import Reading, Settings, evaluate, match, subjects_of
    from livf.lib.evaluation.summary import MEASURES
    from livf.lib.numberings import OURS, parse_labels

    prediction, truth = (OURS if text is None else parse_labels(text)
                         for text in (arguments.labels, arguments.truth_labels))  # fmt: skip
    subjects = subjects_of(arguments.truth, arguments.cases, arguments.dicom)
    matched = match(arguments.predictions, arguments.truth, subjects, suffix=arguments.suffix)
    keys = [measure.key for measure in MEASURES]
    reading = Reading(prediction, truth, () if arguments.no_foramina else ("test",))
    settings = Settings(reading=reading, healthy=arguments.healthy)
    if arguments.margins is not None:
        settings = replace(settings, margins=dict(zip(keys, arguments.margins, strict=True)))
    shown = sys.stderr.isatty()

    def progress(done: int, of: int) -> None:
        show_progress(f"{done} of {of} labels scored", done / of)

    with processes(arguments.workers) if arguments.workers > 1 else nullcontext() as executor:
        found = evaluate(
            matched.pairs,
            arguments.output,
            settings,
            subjects=subjects,
            unmatched=matched,
            title=f"{arguments.predictions.name} against {arguments.truth.name}",
            executor=executor,
            progress=progress if shown else None,
        )
    if shown:
        print(file=sys.stderr)
    print("\n".join(found.summary))
    for what, names in (("no truth", matched.without_truth), ("no prediction", matched.without_prediction)):
        if names:
            more = f" and {len(names) - _NAMED} more, in the report" if len(names) > _NAMED else ""
            print(f"{what:<14}{len(names)} not scored: {', '.join(names[:_NAMED])}{more}")
    print(f"{'report':<14}{found.report}\n{RESEARCH_USE}")
    for failure in found.failed:
        print(f"livf: error: {failure.pair.case} not scored: {failure.reason}", file=sys.stderr)
    return 1 if found.failed else 0


def _agree(arguments: argparse.Namespace) -> int:
    from livf.lib.evaluation.observers import read_measurements, reliabilities, reliability_table
    from livf.lib.evaluation.tables import to_markdown
    from livf.lib.evaluation.writing import write_reliability

    found = reliabilities(read_measurements(arguments.measurements))
    if not found:
        raise LivfError(
            "holds one session of one observer: there is nothing to compare",
            arguments.measurements,
            "name the repetitions in a column observer or session",
        )
    table = reliability_table(found)
    print(to_markdown(table), end="")
    for path in write_reliability(table, arguments.output) if arguments.output else ():
        print(f"written {path}")
    print(RESEARCH_USE)
    return 0


def _margins(text: str) -> tuple[float, float, float]:
    """Three margins FA,FH,FW above 0."""
    try:
        one, two, three = (float(part) for part in text.split(","))
        if not all(math.isfinite(value) and value > 0 for value in (one, two, three)):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not three numbers above 0: FA,FH,FW") from None
    return one, two, three
