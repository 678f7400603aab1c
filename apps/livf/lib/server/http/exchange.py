"""What is known about the request that is being answered, for whoever works on it, in whatever thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final

from livf.lib.access.identity import Principal, acting, current
from livf.lib.access.tokens import valid_name
from livf.lib.errors import UsageError
from livf.lib.server.http.policy import Connection

#: How long an image that was given out may be fetched without a login, s, and how many are remembered.
OFFER_S: Final = 120.0
_MAX_OFFERS: Final = 1000


@dataclass
class Exchange:
    """One request and what its answer will be told to the audit log.

    Attributes:
        id: Random, in the answer's ``X-Request-ID`` and in the log.
        connection: Where it comes from.
        cookie: The browser session's secret it came with, if it was proved by that.
        who: Who asks; the client's own word where nobody is logged in.
        login: Whether it is a login or logout, which is in the audit log too.
        case, tag, label_sha256, model: See :class:`livf.lib.access.audit.Record`.
        offered: Id of the image that the answer gives out to work on.
    """

    id: str
    connection: Connection
    cookie: str | None = None
    who: Principal | None = None
    login: str | None = None
    case: str | None = None
    tag: str | None = None
    label_sha256: str | None = None
    model: str | None = None
    offered: str | None = None


_running: ContextVar[Exchange | None] = ContextVar("livf_exchange", default=None)


def exchange() -> Exchange | None:
    """The running request; None outside one."""
    return _running.get()


def note(**known: str | None) -> None:
    """Add to what the audit log is told about the running request."""
    if (running := _running.get()) is not None:
        for key, value in known.items():
            setattr(running, key, value)


@contextmanager
def during(started: Exchange) -> Iterator[None]:
    """Make a request the running one."""
    before = _running.set(started)
    try:
        yield
    finally:
        _running.reset(before)


@contextmanager
def named(client_id: str | None) -> Iterator[None]:
    """Work under the name that a client gives itself, where nobody is logged in; it stays unverified."""
    principal = current()
    if principal is None or principal.verified or not client_id:
        yield
        return
    try:
        principal = replace(principal, name=valid_name(client_id))
    except UsageError:
        yield
        return
    if (running := _running.get()) is not None:
        running.who = principal
    with acting(principal):
        yield


@dataclass
class Offers:
    """Images that were given out to be worked on, each to be fetched once without a login.

    3D Slicer's module logs in for everything but this: it loads *Next Sample* by a plain download. So for a short
    while the one image that was just given to somebody who is logged in may be fetched from the same address, once.

    Attributes:
        clock: Seconds that never go back.
    """

    clock: Callable[[], float] = time.monotonic
    _open: dict[tuple[str, str], tuple[Principal, float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def make(self, address: str, image: str, principal: Principal) -> None:
        """Let an address fetch an image."""
        if not address:
            return
        with self._lock:
            self._open.pop((address, image), None)
            while len(self._open) >= _MAX_OFFERS:
                del self._open[next(iter(self._open))]
            self._open[address, image] = principal, self.clock() + OFFER_S

    def take(self, address: str, image: str) -> Principal | None:
        """Who an address may fetch an image for, once; None where nobody."""
        with self._lock:
            principal, ends = self._open.pop((address, image), (None, 0.0))
        return principal if self.clock() < ends else None
