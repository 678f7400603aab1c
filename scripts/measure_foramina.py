"""The evidence for the foramen engine: tables (Markdown and CSV) and pictures, one command each.

    python scripts/measure_foramina.py phantoms       100 phantoms, their own labels against the exact truth
    python scripts/measure_foramina.py network        20 phantoms, labels of the shipped weights
    python scripts/measure_foramina.py robustness     ICC(2,1) over shift, rotation, resampling, boundary noise
    python scripts/measure_foramina.py orientation    48 orientation codes, oblique grids
    python scripts/measure_foramina.py remus          one real level at 0.3 to 1.0 mm
    python scripts/measure_foramina.py shapes         nine people's bones beside an independent implementation
    python scripts/measure_foramina.py levels         their other levels
    python scripts/measure_foramina.py constants      every constant of the engine, from its source
    python scripts/measure_foramina.py all
    python scripts/measure_foramina.py page           the latest tables into docs/foramen.md

Everything is written to ``--out/COMMAND``; phantoms that are missing are made in ``--phantoms``. The real shapes are
looked for in ``--data`` (default: LIVF_TEST_DATA, else ../shared/data).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("phantoms", "network", "robustness", "orientation", "remus", "shapes", "levels", "constants")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=(*COMMANDS, "all", "page"))
    parser.add_argument("-n", type=int, help="how many phantoms (100, network 20, robustness 24, orientation 6)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first phantom")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "foramina")
    parser.add_argument("--phantoms", type=Path, default=ROOT / "runs" / "phantoms")
    data = os.environ.get("LIVF_TEST_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--model", type=Path, help="folder of other weights")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    if given.command == "page":
        from foramina.page import fill, sheet

        fill(ROOT / "docs" / "foramen.md", given.out, COMMANDS)
        sheet(given.out / "shapes", given.out / "shapes.jpg")
        return
    for command in COMMANDS if given.command == "all" else (given.command,):
        run(command, given)


def run(command: str, given: argparse.Namespace) -> None:
    """Make one table."""
    out, anatomy = given.out / command, given.data / "anatomy"

    def seeds(usual: int) -> range:
        return range(given.first, given.first + (given.n or usual))

    match command:
        case "phantoms":
            from foramina.phantoms import phantoms

            phantoms(out, given.phantoms, seeds(100), given.workers)
        case "network":
            from foramina.phantoms import network

            network(out, given.phantoms, seeds(20), given.workers, given.model)
        case "robustness":
            from foramina.robustness import robustness

            robustness(out, seeds(24), given.workers)
        case "orientation":
            from foramina.orientation import orientation

            orientation(out, seeds(6), given.workers)
        case "remus":
            from foramina.shapes import remus

            remus(out, anatomy)
        case "shapes":
            from foramina.shapes import shapes

            shapes(out, anatomy)
        case "levels":
            from foramina.shapes import levels

            levels(out, anatomy)
        case "constants":
            from foramina.constants import constants_table

            constants_table(out)


if __name__ == "__main__":
    main()
