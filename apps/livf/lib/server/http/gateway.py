"""Puts livf's answers in front of MONAI Label's web app.

The app is already built, and under the stock start command already running, when livf first sees it: routes cannot be
taken out of it any more, and middleware is refused. So a plain ASGI callable stands at its door. The app's start-up
and shut-down (``lifespan``) pass through it untouched.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from livf.lib.server.http.answers import HANDLERS
from livf.lib.server.http.endpoints import replaced


class Gateway:
    """Answers the requests livf has endpoints for; passes all others on.

    Args:
        stock: MONAI Label's app.
        own: The endpoints that replace some of it.
    """

    def __init__(self, stock: ASGIApp, own: FastAPI) -> None:
        self._stock = stock
        self._own = own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        ours = scope["type"] == "http" and any(route.matches(scope)[0] is Match.FULL for route in self._own.routes)
        await (self._own if ours else self._stock)(scope, receive, send)


def install(stock: FastAPI) -> None:
    """Make MONAI Label's app answer as livf does, whether or not it runs already."""
    for kind, handler in HANDLERS.items():
        stock.add_exception_handler(kind, handler)
    stock.middleware_stack = Gateway(stock.build_middleware_stack(), replaced(list(stock.user_middleware)))
