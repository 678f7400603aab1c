"""``livf serve``, ``livf server`` and ``livf demo``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from livf.cli import backup, tokens
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
    _add_access_options(parser)
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from livf.lib.server.exposure import Tls
    from livf.lib.server.serve import serve

    print(f"{RESEARCH_USE} Ctrl-C stops the server.", flush=True)
    config = config_of(arguments, "model", "device", "state", "auth", "oidc", "hosts", "origins", "proxies")
    serve(arguments.studies, config=config, host=arguments.host, port=arguments.port,
          tls=Tls.of(arguments.ssl_certfile, arguments.ssl_keyfile), with_parent=arguments.with_parent)  # fmt: skip
    return 0


def add_server(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "server", help="keep a server: who may use it, backup and restore", epilog=RESEARCH_USE
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    tokens.add(kinds, common)
    backup.add(kinds, common)


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


def _add_access_options(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group(
        "access", "beyond this machine a login is needed, and TLS or a proxy that has it"
    )
    access.add_argument("--auth", action="store_true", default=None, help="need a login on this machine too")
    access.add_argument("--oidc", metavar="FILE", help="take logins of an OpenID Connect provider (a TOML file)")
    access.add_argument("--ssl-certfile", metavar="FILE", type=Path, help="certificate for HTTPS, PEM")
    access.add_argument("--ssl-keyfile", metavar="FILE", type=Path, help="its key, PEM, without a password")
    access.add_argument("--behind-proxy", metavar="ADDRESS", dest="proxies", nargs="?", const="127.0.0.1",
                        help="a reverse proxy with TLS forwards from this address (default: 127.0.0.1)")  # fmt: skip
    access.add_argument("--allow-host", metavar="NAMES", dest="hosts", help="names it is reached by, with commas")
    access.add_argument("--allow-origin", metavar="ORIGINS", dest="origins",
                        help="origins of web pages that may use it, with commas")  # fmt: skip


def _server_config(arguments: argparse.Namespace) -> Config:
    return config_of(arguments, "model", "device", "state")
