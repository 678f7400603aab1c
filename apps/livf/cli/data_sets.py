"""``livf data check``, ``livf data import`` and ``livf data export``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from livf.cli.arguments import RESEARCH_USE, Subparsers, positive

#: As :data:`livf.lib.dataset.importing.KINDS`, which is not imported for ``--help``.
_KINDS = ("spider", "mrspineseg", "totalspineseg", "spineps", "nnunet")


def add(kinds: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the commands to ``livf data``."""
    _add_check(kinds, common)
    _add_import(kinds, common)
    _add_export(kinds, common)


def _add_check(kinds: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = kinds.add_parser("check", parents=[common], epilog=RESEARCH_USE,
                              help="find all that is wrong with a data set")  # fmt: skip
    parser.add_argument("dataset", metavar="DATASET", type=Path, help="folder of images and labels")
    parser.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from livf.lib.dataset import open_dataset

    dataset = open_dataset(arguments.dataset)
    counts = [f"{len(dataset)} cases", f"{len(dataset.patients)} patients"]
    if dataset.unlabelled:
        counts.append(f"{len(dataset.unlabelled)} images without a label passed over")
    print(f"{arguments.dataset}: {', '.join(counts)}; nothing is wrong")
    return 0


def _add_import(kinds: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = kinds.add_parser("import", parents=[common], epilog=RESEARCH_USE,
                              help="make a data set of another group's folder")  # fmt: skip
    parser.add_argument("layout", metavar="KIND", choices=_KINDS, help=f"whose folder it is: {', '.join(_KINDS)}")
    parser.add_argument("source", metavar="DIR", type=Path, help="the folder, as the other group made it")
    parser.add_argument(
        "-o", "--output", metavar="DATASET", type=Path, required=True, help="folder of the new data set"
    )
    parser.add_argument("--match", metavar="PATTERN", default="*",
                        help="only cases of such names, such as '*_t2*' (default: all)")  # fmt: skip
    parser.set_defaults(run=_import)


def _import(arguments: argparse.Namespace) -> int:
    from livf.lib.dataset.importing import import_dataset, summary

    report = import_dataset(arguments.layout, arguments.source, arguments.output, match=arguments.match)
    print("\n".join(summary(report)))
    if not report.imported:
        print("livf: error: no case could be imported, so nothing was written", file=sys.stderr)
        return 1
    return 0


def _add_export(kinds: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = kinds.add_parser("export", parents=[common], epilog=RESEARCH_USE,
                              help="write a data set as another tool wants it")  # fmt: skip
    parser.add_argument("layout", metavar="KIND", choices=("nnunet",), help="nnunet: a raw data set of nnU-Net")
    parser.add_argument("dataset", metavar="DATASET", type=Path, help="folder of images and labels")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True,
                        help="where to make the folder Dataset###_NAME")  # fmt: skip
    parser.add_argument("--id", metavar="N", type=positive, default=1, help="its number, 1 to 999 (default: 1)")
    parser.add_argument("--name", metavar="NAME", default="LIVF", help="its name (default: LIVF)")
    parser.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    from livf.lib.dataset import open_dataset
    from livf.lib.dataset.nnunet import export_nnunet

    dataset = open_dataset(arguments.dataset)
    folder = export_nnunet(dataset, arguments.output, number=arguments.id, name=arguments.name)
    print(f"{folder}: {len(dataset)} cases")
    return 0
