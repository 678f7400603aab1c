"""The ``livf`` console command: parse, call, print.

Each subcommand is a pair of functions here: one adds its arguments, the other does the work by calling the library.
Heavy imports (torch, monai, monailabel) stay inside the functions that need them, so that ``livf --help`` is quick.

Exit status: 0 done, 1 the work failed (one line says what, where and the remedy), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from livf.lib.config import Config
from livf.lib.errors import LivfError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

RESEARCH_USE = "livf is for research use; it is not a medical device."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one ``livf`` command and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.WARNING, format="%(name)s: %(message)s")
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except LivfError as error:
        logging.getLogger("livf").debug("the error in full", exc_info=True)
        print(f"livf: error: {error.line}", file=sys.stderr)
        return error.exit_status
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


def _add_serve(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    from livf.lib.server.serve import DEFAULT_PORT, LOOPBACK

    parser = commands.add_parser("serve", parents=[common], help="serve a folder of images to 3D Slicer",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("studies", metavar="STUDIES", help="folder of the images")
    parser.add_argument("--host", default=os.environ.get("LIVF_HOST", LOOPBACK),
                        help="address to listen on (default: %(default)s, this machine only)")  # fmt: skip
    parser.add_argument("--port", type=_port, default=os.environ.get("LIVF_PORT", str(DEFAULT_PORT)),
                        help="port to listen on; 0 for a free one (default: %(default)s)")  # fmt: skip
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    _add_server_options(parser)
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from livf.lib.server.serve import serve

    print(f"{RESEARCH_USE} Ctrl-C stops the server.", flush=True)
    serve(arguments.studies, config=_server_config(arguments), host=arguments.host, port=arguments.port,
          with_parent=arguments.with_parent)  # fmt: skip
    return 0


def _add_demo(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("demo", parents=[common], help="start a server on phantoms and show what it does",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("image", metavar="IMAGE", nargs="?", type=Path, help="your own MRI, in place of phantoms")
    parser.add_argument("--once", action="store_true", help="stop when everything was shown")
    parser.add_argument("--port", type=_port, default="0", help="port of the server (default: a free one)")
    parser.add_argument("--folder", type=Path, default=Path("livf-demo"), help="where it is made (default: %(default)s)")
    _add_server_options(parser)
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from livf.lib.server.demo import demo

    print(RESEARCH_USE, flush=True)
    pairs = _server_config(arguments).pairs()
    demo(
        arguments.image,
        folder=arguments.folder,
        options=tuple(part for key, value in pairs.items() for part in (f"--{key}", value)),
        port=arguments.port,
        once=arguments.once,
        say=lambda line: print(line, flush=True),
    )
    return 0


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="DIR", help="folder of other weights than the shipped ones")
    parser.add_argument("--device", help="cpu, cuda, cuda:N or mps (default: a GPU if there is one)")
    parser.add_argument("--state", metavar="DIR", help="folder of logs and kept versions (default: STUDIES/.livf)")


def _server_config(arguments: argparse.Namespace) -> Config:
    given = {key: getattr(arguments, key) for key in ("model", "device", "state")}
    return Config.parse({key: value for key, value in given.items() if value is not None}, os.environ)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


#: One function a subcommand, in the order ``livf --help`` lists them: it adds the parser and sets ``run``.
_COMMANDS: tuple[Callable[..., None], ...] = (_add_serve, _add_demo)
