"""``livf run``."""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from livf.cli.arguments import DEVICE_HELP, MODEL_HELP, RESEARCH_USE, Subparsers, config_of, point, positive
from livf.lib.errors import UsageError


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("run", parents=[common], help="segment and measure many images; goes on where it was",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path,
                        help="NIfTI, NRRD, MHA, a DICOM folder, or a folder of these")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True,
                        help="gets a folder for each case and measurements.csv; whole cases are kept")  # fmt: skip
    parser.add_argument("--level-at", metavar="R,A,S", type=point,
                        help="a point in the L4-L5 disc, RAS mm, for a single image; "
                        "write --level-at=R,A,S when R is negative")  # fmt: skip
    parser.add_argument("--workers", metavar="N", type=positive, default=1,
                        help="processes; the network uses all cores in one (default: %(default)s)")  # fmt: skip
    parser.add_argument("--model", metavar="DIR", type=Path, help=MODEL_HELP)
    parser.add_argument("--device", help=DEVICE_HELP)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from livf.lib.cohort import Settings, find_sources, processes, run_cohort, summary

    config = config_of(arguments, "model", "device")
    sources, failed = find_sources(arguments.images)
    if arguments.level_at and len(sources) + len(failed) > 1:
        raise UsageError("is a point of one image", "--level-at", "give one image")
    settings = Settings.of(config.model, config.device, arguments.level_at)
    if sources:
        workers = min(arguments.workers, len(sources))
        with processes(workers) if workers > 1 else nullcontext() as executor:
            report = run_cohort(sources, arguments.output, settings, executor=executor)
        failed += report.failed
        print("\n".join((*summary(report), f"table    {report.table}", RESEARCH_USE)))
    for name, failure in failed:
        print(f"livf: error: {name}: {failure}", file=sys.stderr)
    return 1 if failed else 0
