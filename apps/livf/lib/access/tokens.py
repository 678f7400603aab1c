"""Bearer tokens: made for a person, shown once, kept as a hash.

A token's secret is 256 random bits, which cannot be guessed however fast the hash is; so it is kept as plain SHA-256,
and no slow password hash stands between a request and its answer. The file is read again when it changes, so that a
token revoked by the command line is refused by a running server at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from livf.lib.access.identity import Principal, Role
from livf.lib.access.refusals import NotAuthenticatedError
from livf.lib.errors import InputError, LivfError, NotFoundError, OutputError, UsageError
from livf.lib.storage import make_folder, writing

#: How every token begins: a scanner for leaked secrets can find it.
PREFIX: Final = "livf_"
MAX_DAYS: Final = 3650
_SECRET_BYTES: Final = 32
_TOKEN = re.compile(r"livf_([0-9a-f]{8})_([\w-]{43})", re.ASCII)
#: A person's name goes into logs and file names.
_NAME = re.compile(r"[^\W_][\w.@+-]{0,63}")
_VERSION: Final = 1
_REMEDY: Final = "make a new one: livf server token create"


@dataclass(frozen=True)
class Token:
    """What is known about a token, which is not the token.

    Attributes:
        id: By which it is listed and revoked; a part of the token, not of its secret.
        name: Whose it is.
        roles: What they are.
        sha256: Hash of the whole token, hexadecimal.
        created: When it was made, UTC.
        expires: When it ends, UTC.
        revoked: When it was revoked, UTC; None if it was not.
    """

    id: str
    name: str
    roles: frozenset[Role]
    sha256: str
    created: datetime
    expires: datetime
    revoked: datetime | None = None

    def state(self, now: datetime) -> str:
        """``valid``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        return "valid" if now < self.expires else "expired"

    @property
    def principal(self) -> Principal:
        """Whom it proves."""
        return Principal(self.name, self.roles, verified=True)


class TokenStore:
    """The tokens of a site.

    Args:
        state: The site's state folder; ``tokens.json`` in it, readable by its owner only.
    """

    def __init__(self, state: Path) -> None:
        self.path = state / "tokens.json"
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}

    def create(self, name: str, roles: frozenset[Role], days: int, now: datetime | None = None) -> tuple[str, Token]:
        """Make a token.

        Args:
            name: Whose: letters, digits and ``. _ @ + -``, at most 64.
            roles: At least one.
            days: How long it is valid, 1 to :data:`MAX_DAYS`.
            now: The time, UTC.

        Returns:
            The token, which is not kept anywhere, and what is known about it.

        Raises:
            UsageError: Name, roles or days cannot mean anything.
            OutputError: It cannot be written.
        """
        valid_name(name)
        if not roles:
            raise UsageError("has no role", name, f"give one of {', '.join(Role)}")
        if not 1 <= days <= MAX_DAYS:
            raise UsageError(f"{days} is not a number of days", "days", f"give 1 to {MAX_DAYS}")
        now = (now or datetime.now(UTC)).replace(microsecond=0)
        with self._changing() as tokens:
            number = secrets.token_hex(4)
            while number in tokens:
                number = secrets.token_hex(4)
            text = f"{PREFIX}{number}_{secrets.token_urlsafe(_SECRET_BYTES)}"
            token = Token(number, name, roles, _hash(text), now, now + timedelta(days=days))
            tokens[number] = token
        return text, token

    def revoke(self, number: str, now: datetime | None = None) -> Token:
        """End a token for good.

        Raises:
            NotFoundError: There is no token with this id.
            OutputError: It cannot be written.
        """
        with self._changing() as tokens:
            token = tokens.get(number)
            if token is None:
                raise NotFoundError("there is no such token", number, "livf server token list shows their ids")
            if token.revoked is None:
                token = replace(token, revoked=(now or datetime.now(UTC)).replace(microsecond=0))
                tokens[number] = token
        return token

    def all(self) -> list[Token]:
        """Every token, oldest first."""
        return sorted(self._current().values(), key=lambda token: (token.created, token.id))

    def check(self, text: str, now: datetime | None = None) -> Token:
        """The token that a client sent.

        Raises:
            NotAuthenticatedError: It is none, or it is expired or revoked.
        """
        parts = _TOKEN.fullmatch(text)
        token = self._current().get(parts[1]) if parts else None
        # An unknown id takes as long as a wrong secret.
        known = hmac.compare_digest(_hash(text), token.sha256 if token else _hash(""))
        if token is None or not known:
            raise NotAuthenticatedError("is not a token of this server", "token", _REMEDY)
        self.still_valid(token.id, now)
        return token

    def still_valid(self, number: str, now: datetime | None = None) -> None:
        """Refuse a token that was revoked, has expired or is gone.

        Raises:
            NotAuthenticatedError: It is one of these.
        """
        token = self._current().get(number)
        state = token.state(now or datetime.now(UTC)) if token else "revoked"
        if state != "valid":
            raise NotAuthenticatedError(f"is {state}", "token", _REMEDY)

    def _current(self) -> dict[str, Token]:
        with self._lock:
            try:
                status = self.path.stat()
            except FileNotFoundError:
                self._stamp, self._tokens = None, {}
                return self._tokens
            # The file is replaced, never changed: a new one has another number.
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._tokens, self._stamp = _read(self.path), stamp
            return self._tokens

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        from filelock import FileLock

        make_folder(self.path.parent)
        try:
            lock = FileLock(self.path.with_name("tokens.lock"), mode=0o600)
            lock.acquire()
        except OSError as error:
            raise OutputError.from_os_error(error, self.path) from error
        try:
            tokens = dict(self._current())
            yield tokens
            _write(self.path, tokens)
        finally:
            lock.release()


def valid_name(name: str) -> str:
    """A person's name, as it is.

    Raises:
        UsageError: It cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("is not a name", repr(name), "give letters, digits and . _ @ + -, at most 64")
    return name


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _write(path: Path, tokens: dict[str, Token]) -> None:
    entries = [
        {
            "id": token.id,
            "name": token.name,
            "roles": sorted(token.roles),
            "sha256": token.sha256,
            "created": token.created.isoformat(),
            "expires": token.expires.isoformat(),
            "revoked": token.revoked.isoformat() if token.revoked else None,
        }
        for token in tokens.values()
    ]
    with writing(path) as temporary:
        os.chmod(temporary, 0o600)
        temporary.write_text(json.dumps({"version": _VERSION, "tokens": entries}, indent=1), encoding="utf-8")


def _read(path: Path) -> dict[str, Token]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != _VERSION:
            raise ValueError(document["version"])
        return {entry["id"]: _parsed(entry) for entry in document["tokens"]}
    except OSError as error:
        raise LivfError(f"cannot be read ({error.strerror})", path.name, "check who may read it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            "is damaged", path.name, "restore it from the backup, or remove it and make new tokens"
        ) from error


def _parsed(entry: dict[str, Any]) -> Token:
    revoked = entry["revoked"]
    return Token(
        str(entry["id"]),
        str(entry["name"]),
        frozenset(Role(role) for role in entry["roles"]),
        str(entry["sha256"]),
        _time(entry["created"]),
        _time(entry["expires"]),
        _time(revoked) if revoked else None,
    )


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time
