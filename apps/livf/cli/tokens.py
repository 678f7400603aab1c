"""``livf server token``."""

from __future__ import annotations

import argparse
from pathlib import Path

from livf.cli.arguments import RESEARCH_USE, Subparsers, config_of, positive

_DAYS = 90


def add(kinds: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the commands to the parser of ``livf server``."""
    parser = kinds.add_parser("token", help="make, list and revoke the tokens people log in with", epilog=RESEARCH_USE)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    create = verbs.add_parser("create", parents=[common], epilog=RESEARCH_USE,
                              help="make a token and print it, once")  # fmt: skip
    _studies(create)
    create.add_argument("name", metavar="NAME", help="whose it is: the name to log in with")
    create.add_argument("--role", choices=("annotator", "reviewer", "admin"), action="append",
                        help="what they are; may be repeated (default: annotator)")  # fmt: skip
    create.add_argument("--days", metavar="N", type=positive, default=_DAYS,
                        help="how long it is valid (default: %(default)s)")  # fmt: skip
    create.set_defaults(run=_create)

    listing = verbs.add_parser("list", parents=[common], epilog=RESEARCH_USE, help="list the tokens")
    _studies(listing)
    listing.set_defaults(run=_list)

    revoke = verbs.add_parser("revoke", parents=[common], epilog=RESEARCH_USE,
                              help="end a token; a running server refuses it from then on")  # fmt: skip
    _studies(revoke)
    revoke.add_argument("id", metavar="ID", help="of livf server token list")
    revoke.set_defaults(run=_revoke)


def _studies(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("studies", metavar="STUDIES", help="the studies folder that is served")
    parser.add_argument("--state", metavar="DIR", help="the server's --state, if it has one (default: STUDIES/.livf)")


def _create(arguments: argparse.Namespace) -> int:
    from livf.lib.access.identity import Role
    from livf.lib.access.tokens import TokenStore

    roles = frozenset(Role(role) for role in arguments.role or ["annotator"])
    text, token = TokenStore(_state(arguments)).create(arguments.name, roles, arguments.days)
    print(f"Token {token.id} of {token.name} ({_roles(token.roles)}), valid until {token.expires:%Y-%m-%d}.")
    print("It is shown this once; in 3D Slicer it is the password. Whoever has it is this person to the server.")
    print(text)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from livf.lib.access.tokens import TokenStore

    tokens = TokenStore(_state(arguments)).all()
    if not tokens:
        print("There is no token yet: livf server token create makes one.")
        return 0
    now = datetime.now(UTC)
    width = max(len("NAME"), *(len(token.name) for token in tokens))
    print(f"{'ID':8}  {'NAME':{width}}  {'ROLES':26}  {'CREATED':10}  {'EXPIRES':10}  STATE")
    for token in tokens:
        print(f"{token.id:8}  {token.name:{width}}  {_roles(token.roles):26}  {token.created:%Y-%m-%d}  "
              f"{token.expires:%Y-%m-%d}  {token.state(now)}")  # fmt: skip
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    from livf.lib.access.tokens import TokenStore

    token = TokenStore(_state(arguments)).revoke(arguments.id)
    print(f"Token {token.id} of {token.name} is revoked.")
    return 0


def _roles(roles: frozenset[str]) -> str:
    return ", ".join(sorted(roles))


def _state(arguments: argparse.Namespace) -> Path:
    from livf.lib.errors import NotFoundError

    studies = Path(arguments.studies).expanduser().absolute()
    if not studies.is_dir():
        raise NotFoundError("there is no such folder", studies, "give the studies folder that is served")
    return config_of(arguments, "state").state_for(studies)
