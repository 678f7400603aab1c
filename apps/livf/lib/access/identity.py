"""Who is asking: a principal, carried along with the work that is done for them.

The server sets it once for a request; code that is called for the request asks :func:`current`, in whatever thread
it runs. A context variable follows ``await`` and a web framework's thread pool by itself; a thread or a queue of
one's own has to run the work in ``contextvars.copy_context()``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody is to the server; what each may do is in ``permissions``."""

    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """Somebody who asks the server for something.

    Attributes:
        name: Their name: of a token, or a login at an OIDC provider.
        roles: What they are.
        verified: Whether the name was proved (a token, a session); without, it is what their client calls itself.
    """

    name: str
    roles: frozenset[Role]
    verified: bool


_acting: ContextVar[Principal | None] = ContextVar("livf_principal", default=None)


def current() -> Principal | None:
    """Who the running work is done for; None outside a request."""
    return _acting.get()


@contextmanager
def acting(principal: Principal | None) -> Iterator[None]:
    """Do the work of the block for ``principal``."""
    before = _acting.set(principal)
    try:
        yield
    finally:
        _acting.reset(before)
