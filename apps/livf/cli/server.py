"""``livf serve`` and ``livf demo``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from livf.cli.arguments import DEVICE_HELP, MODEL_HELP, RESEARCH_USE, Subparsers, config_of, port
from livf.lib.config import Config


def add_serve(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    from livf.lib.server.serve import DEFAULT_PORT, LOOPBACK

    parser = commands.add_parser("serve", parents=[common], help="serve a folder of images to 3D Slicer",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("studies", metavar="STUDIES", help="folder of the images")
    parser.add_argument("--host", default=os.environ.get("LIVF_HOST", LOOPBACK),
                        help="address to listen on (default: %(default)s, this machine only)")  # fmt: skip
    parser.add_argument("--port", type=port, default=os.environ.get("LIVF_PORT", str(DEFAULT_PORT)),
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


def add_demo(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("demo", parents=[common], help="start a server on phantoms and show what it does",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("image", metavar="IMAGE", nargs="?", type=Path, help="your own MRI, in place of phantoms")
    parser.add_argument("--once", action="store_true", help="stop when everything was shown")
    parser.add_argument("--port", type=port, default="0", help="port of the server (default: a free one)")
    parser.add_argument(
        "--folder", type=Path, default=Path("livf-demo"), help="where it is made (default: %(default)s)"
    )
    _add_server_options(parser)
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from livf.lib.server.demo import demo

    print(RESEARCH_USE, flush=True)
    demo(
        arguments.image,
        folder=arguments.folder,
        config=_server_config(arguments),
        port=arguments.port,
        once=arguments.once,
        say=lambda line: print(line, flush=True),
    )
    return 0


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="DIR", help=MODEL_HELP)
    parser.add_argument("--device", help=DEVICE_HELP)
    parser.add_argument("--state", metavar="DIR", help="folder of logs and kept versions (default: STUDIES/.livf)")


def _server_config(arguments: argparse.Namespace) -> Config:
    return config_of(arguments, "model", "device", "state")
