"""The ``livf`` console command: parse, call, print.

Each command has a module here, with a pair of functions: one adds its arguments, the other calls the library.
Heavy imports (torch, monai, monailabel) stay inside the functions that need them, so that ``livf --help`` is quick.

Exit status: 0 done, 1 the work failed (one line says what, where and the remedy), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence

from livf.cli import data, evaluate, export, measure, run, segment, server, train
from livf.cli.arguments import RESEARCH_USE
from livf.lib.errors import LivfError

_NETWORK = 'install livf with its network: pip install "livf[segment]"'
_EVALUATION = 'install livf with its evaluation: pip install "livf[evaluate]"'
_TRAINING = 'install livf with its training: pip install "livf[train]"'
_SERVER = "the server needs the pinned environment: run `make setup` in a checkout and use its .venv"
#: Packages that not every install has, and what to do where one is missing.
_OPTIONAL = {
    **dict.fromkeys(("torch", "safetensors", "cc3d"), _NETWORK),
    **dict.fromkeys(("filelock", "tensorboard"), _TRAINING),
    **dict.fromkeys(("matplotlib", "statsmodels"), _EVALUATION),
    **dict.fromkeys(("monailabel", "monai", "uvicorn", "fastapi", "starlette", "psutil"), _SERVER),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one ``livf`` command and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.WARNING, format="%(name)s: %(message)s")
    command: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return command(arguments)
    except LivfError as error:
        logging.getLogger("livf").debug("the error in full", exc_info=True)
        for line in error.lines:
            print(f"livf: error: {line}", file=sys.stderr)
        return error.exit_status
    except ModuleNotFoundError as error:
        remedy = _OPTIONAL.get((error.name or "").split(".")[0])
        if remedy is None:
            raise
        print(f"livf: error: {error.name} is not installed; {remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("livf: stopped; nothing half-written was left behind", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) went away: not an error of ours. Point stdout at nothing, so that
        # the interpreter's own flush at exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="livf", description="Segment L4, the L4-5 disc and L5 on lumbar MRI.", epilog=RESEARCH_USE
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-v", "--verbose", action="store_true", help="show logs")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in _COMMANDS:
        add(commands, common)
    return parser


#: What adds each subcommand, in the order ``livf --help`` lists them: it adds the parser and sets ``run``.
_COMMANDS: tuple[Callable[..., None], ...] = (
    segment.add,
    measure.add,
    run.add,
    train.add_train,
    train.add_crossval,
    evaluate.add_evaluate,
    evaluate.add_agree,
    server.add_serve,
    server.add_server,
    server.add_demo,
    data.add,
    export.add,
)
