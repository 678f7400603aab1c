"""``livf measure``."""

from __future__ import annotations

import argparse
from pathlib import Path

from livf.cli.arguments import RESEARCH_USE, Subparsers


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("measure", parents=[common], help="measure both L4-5 foramina of a label",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("label", metavar="LABEL", type=Path, help="NIfTI, NRRD or MHA: 1 L4, 2 disc, 3 L5")
    parser.add_argument("--image", metavar="IMAGE", type=Path, help="the image it belongs to, named in the document")
    parser.add_argument("--probabilities", metavar="FILE", type=Path,
                        help="as livf segment writes them: the ± then knows how sure the boundary is")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the document livf.measurement/1, not the table")
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="folder for document, meshes, markups and pictures"
    )
    parser.set_defaults(run=_measure)


def _measure(arguments: argparse.Namespace) -> int:
    from livf.lib.export.document import to_json
    from livf.lib.measuring import measure_file, table, write_results

    measured = measure_file(arguments.label, image=arguments.image, probabilities=arguments.probabilities)
    written = write_results(measured, arguments.output) if arguments.output else ()
    if arguments.json:
        print(to_json(measured.document), end="")
    else:
        print("\n".join((*table(measured.measurement), *(f"written {path}" for path in written), RESEARCH_USE)))
    # A level with no number at all is work that failed; why, the table and the document say.
    return 0 if measured.measurement.measured else 1
