"""``livf segment``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from livf.cli.arguments import DEVICE_HELP, MODEL_HELP, RESEARCH_USE, Subparsers, config_of, point, show_progress
from livf.lib.errors import NotFoundError


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("segment", parents=[common], help="segment L4, the L4-5 disc and L5 on an MRI",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("image", metavar="IMAGE", type=Path, help="NIfTI, NRRD, MHA or the folder of a DICOM series")
    parser.add_argument("-o", "--output", metavar="LABEL", type=Path, required=True,
                        help="where the label goes: .nii.gz, .nii, .nrrd or .mha")  # fmt: skip
    parser.add_argument("--level-at", metavar="R,A,S", type=point,
                        help="a point in the L4-L5 disc, RAS mm (default: look for it); "
                        "write --level-at=R,A,S when R is negative")  # fmt: skip
    parser.add_argument("--probabilities", metavar="FILE", type=Path, help="also write class probabilities (4D NIfTI)")
    parser.add_argument("--picture", metavar="FILE", type=Path,
                        help="also draw the slices through the disc with the label over them (PNG)")  # fmt: skip
    parser.add_argument("--model", metavar="DIR", type=Path, help=MODEL_HELP)
    parser.add_argument("--device", help=DEVICE_HELP)
    parser.set_defaults(run=_segment)


def _segment(arguments: argparse.Namespace) -> int:
    from livf.lib.pipeline import check_outputs, segment_file, summary

    check_outputs(
        arguments.output, arguments.probabilities, arguments.picture
    )  # before torch is imported, and before the work
    if not arguments.image.exists():
        raise NotFoundError("there is no such file or folder", arguments.image, "check its name")
    config = config_of(arguments, "model", "device")
    progress = show_progress if sys.stderr.isatty() else None
    if progress:
        progress("load the network", 0.0)
    from livf.lib.segmentation import Segmenter

    try:
        segmenter = Segmenter.load(config.model, device=config.device)
        result = segment_file(arguments.image, arguments.output, segmenter, level_at=arguments.level_at,
                              probabilities=arguments.probabilities, picture=arguments.picture,
                              progress=progress)  # fmt: skip
    finally:
        if progress:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    print(f"network  {segmenter.version} on {segmenter.device}")
    for line in summary(result):
        print(line)
    print(f"label    {arguments.output}")
    if arguments.probabilities:
        print(f"probable {arguments.probabilities}")
    if arguments.picture:
        print(f"picture  {arguments.picture}")
    print(RESEARCH_USE)
    return 0
