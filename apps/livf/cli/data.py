"""``livf data``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from livf.cli import data_sets
from livf.cli.arguments import RESEARCH_USE, Subparsers, natural, positive


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("data", help="make, check, import and export data sets", epilog=RESEARCH_USE)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    _add_data_phantom(kinds, common)
    data_sets.add(kinds, common)


def _add_data_phantom(kinds: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = kinds.add_parser("phantom", parents=[common], epilog=RESEARCH_USE,
                              help="make synthetic lumbar MRIs with labels and exact truth")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True,
                        help="folder of the data set; cases that are there whole are kept")  # fmt: skip
    parser.add_argument("-n", "--number", metavar="N", type=positive, default=1, help="how many (default: 1)")
    parser.add_argument("--seed", metavar="S", type=natural, default=0,
                        help="the first one's seed; the others follow (default: 0)")  # fmt: skip
    parser.add_argument("--group", choices=("healthy", "stenosis", "herniation", "both"),
                        help="diagnosis group of all (default: as often as in Chen et al. 2022)")  # fmt: skip
    parser.add_argument("--workers", metavar="W", type=positive, help="processes (default: one a core)")
    parser.add_argument("--images-only", action="store_true", help="only the images, in DIR itself: a studies folder")
    parser.set_defaults(run=_data_phantom)


def _data_phantom(arguments: argparse.Namespace) -> int:
    from livf.lib.synthesis.cohort import summary, write_cohort

    report = write_cohort(
        arguments.output,
        range(arguments.seed, arguments.seed + arguments.number),
        group=arguments.group,
        workers=arguments.workers,
        images_only=arguments.images_only,
    )
    for name, failure in report.failed:
        print(f"livf: error: {name}: {failure}", file=sys.stderr)
    if report.documents:
        print("\n".join(summary(report.documents)))
    counts = (len(report.written), "written"), (len(report.kept), "kept"), (len(report.failed), "failed")
    print(f"{arguments.output}: {', '.join(f'{count} {what}' for count, what in counts if count)}")
    return 1 if report.failed else 0
