"""``livf export bundle``."""

from __future__ import annotations

import argparse
from pathlib import Path

from livf.cli.arguments import RESEARCH_USE, Subparsers


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("export", help="write a network as another tool wants it", epilog=RESEARCH_USE)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    bundle = kinds.add_parser("bundle", parents=[common], epilog=RESEARCH_USE,
                              help="a MONAI bundle, which runs without livf")  # fmt: skip
    bundle.add_argument("model", metavar="MODEL|RUN",
                        help="folder of a model or of a training's run, or the shipped version's name")  # fmt: skip
    bundle.add_argument("-o", "--output", metavar="BUNDLE", type=Path, required=True,
                        help="folder of the bundle: new or empty")  # fmt: skip
    bundle.set_defaults(run=_bundle)


def _bundle(arguments: argparse.Namespace) -> int:
    from livf.lib.training.bundle import export_bundle

    folder = export_bundle(arguments.model, arguments.output)
    print(f"bundle   {folder}")
    print(f"to use   cd {folder} && python -m monai.bundle run --config_file configs/inference.json"
          " --dataset_dir IMAGES --output_dir LABELS")  # fmt: skip
    print(RESEARCH_USE)
    return 0
