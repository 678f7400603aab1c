"""Browser sessions: kept by the server, held by a cookie, ended with what they were opened by.

The cookie is a random number that means nothing elsewhere; only its hash is kept, in memory, so a restart logs
everybody out. Requests that change something need the session's second secret in a header too, which another site's
page can neither read nor send.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from livf.lib.access.identity import Principal

#: Longest life of a session, and longest without a request, s.
MAX_AGE: Final = 12 * 3600
MAX_IDLE: Final = 2 * 3600
#: Most sessions of one person and of all: the oldest gives way.
MAX_OF_ONE: Final = 8
MAX_OF_ALL: Final = 1000
_BYTES: Final = 32


@dataclass
class Session:
    """One browser of one person.

    Attributes:
        principal: Who it is.
        token: Id of the livf token it was opened with; None for a login at a provider.
        csrf: What requests that change something have to carry.
        opened: When it was opened, on the store's clock, s.
        ends: When it ends whatever happens, on the store's clock, s.
        used: When it was last used, on the store's clock, s.
    """

    principal: Principal
    token: str | None
    csrf: str
    opened: float
    ends: float
    used: float

    def carries(self, csrf: str) -> bool:
        """Whether a request's second secret is this session's."""
        return hmac.compare_digest(csrf.encode(), self.csrf.encode())


class SessionStore:
    """The open sessions of a server.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}

    def open(self, principal: Principal, token: str | None, valid_for: float = MAX_AGE) -> tuple[str, Session]:
        """Open a session.

        Args:
            principal: Who logs in.
            token: Id of the livf token they log in with, if it is one.
            valid_for: How long what they log in with is valid, s.

        Returns:
            The cookie's value, and the session.
        """
        secret = secrets.token_urlsafe(_BYTES)
        with self._lock:
            now = self._clock()
            self._sweep(now)
            own = [key for key, entry in self._sessions.items() if entry.principal.name == principal.name]
            for key in own[: max(0, len(own) - MAX_OF_ONE + 1)]:
                del self._sessions[key]
            while len(self._sessions) >= MAX_OF_ALL:
                del self._sessions[next(iter(self._sessions))]
            session = Session(principal, token, secrets.token_urlsafe(_BYTES), now, now + min(valid_for, MAX_AGE), now)
            self._sessions[_key(secret)] = session
        return secret, session

    def get(self, secret: str) -> Session | None:
        """The session of a cookie; None where it is none or has ended."""
        with self._lock:
            now = self._clock()
            session = self._sessions.get(_key(secret))
            if session is None or self._over(session, now):
                self._sessions.pop(_key(secret), None)
                return None
            session.used = now
            return session

    def close(self, secret: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_key(secret), None)

    def __len__(self) -> int:
        return len(self._sessions)

    def _sweep(self, now: float) -> None:
        for key in [key for key, session in self._sessions.items() if self._over(session, now)]:
            del self._sessions[key]

    @staticmethod
    def _over(session: Session, now: float) -> bool:
        return now >= session.ends or now - session.used >= MAX_IDLE


def cookie_name(secure: bool) -> str:
    """Name of the cookie; ``__Host-`` makes a browser refuse one that another host or plain HTTP set."""
    return "__Host-livf" if secure else "livf"


def set_cookie(secret: str, *, secure: bool) -> str:
    """The ``Set-Cookie`` header that opens a session in a browser; ``secure`` is false on loopback only."""
    return _cookie(cookie_name(secure), secret, MAX_AGE, secure)


def clear_cookie(*, secure: bool) -> str:
    """The ``Set-Cookie`` header that ends it."""
    return _cookie(cookie_name(secure), "", 0, secure)


def _cookie(name: str, value: str, age: int, secure: bool) -> str:
    return f"{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
