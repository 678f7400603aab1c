"""``livf server backup`` and ``livf server restore``."""

from __future__ import annotations

import argparse
from pathlib import Path

from livf.cli.arguments import RESEARCH_USE, Subparsers, config_of

_MEBIBYTE = 2**20


def add(kinds: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the commands to the parser of ``livf server``."""
    backup = kinds.add_parser("backup", parents=[common], epilog=RESEARCH_USE,
                              help="write a studies folder, with every label ever saved, to one file")  # fmt: skip
    backup.add_argument("studies", metavar="STUDIES", type=Path, help="the studies folder; its server may go on")
    backup.add_argument("-o", "--output", metavar="FILE.tar", type=Path, required=True,
                        help="written whole or not at all; only its owner may read it")  # fmt: skip
    _state(backup)
    backup.set_defaults(run=_backup)

    restore = kinds.add_parser("restore", parents=[common], epilog=RESEARCH_USE,
                               help="put a backup back, if every file in it is as it was")  # fmt: skip
    restore.add_argument("file", metavar="FILE.tar", type=Path, help="of livf server backup")
    restore.add_argument("-o", "--output", metavar="STUDIES", type=Path, required=True,
                         help="a folder that is empty or does not exist yet")  # fmt: skip
    _state(restore)
    restore.set_defaults(run=_restore)


def _state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", metavar="DIR", help="the server's --state, if it has one (default: STUDIES/.livf)")


def _backup(arguments: argparse.Namespace) -> int:
    from livf.lib.backup import back_up

    studies = _absolute(arguments.studies)
    summary = back_up(studies, config_of(arguments, "state").state_for(studies), _absolute(arguments.output))
    print(f"{arguments.output}: {summary.files} files, {summary.size / _MEBIBYTE:.1f} MiB")
    if summary.links:
        print(f"{summary.links} links were left out: back up what they lead to by other means")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    from livf.lib.backup import restore

    studies = _absolute(arguments.output)
    summary = restore(_absolute(arguments.file), studies, config_of(arguments, "state").state_for(studies))
    print(f"{arguments.output}: {summary.files} files, {summary.size / _MEBIBYTE:.1f} MiB, each as it was backed up")
    return 0


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()
