"""HTTP connections that do not wait for ever: uvicorn bounds the time between requests, not the time of a head."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Longest time from a connection, or from the first byte of a further request, to the end of the request's head, s.
HEAD_S: Final = 20.0
#: Most open connections; further ones are closed at once.
MAX_CONNECTIONS: Final = 512


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, with bounds on slow heads and on the number of connections."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin the wait for the first request, or close one connection too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait."""
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head, but not of a body: the application bounds that by its route."""
        if self._head_timer is None and self._between_requests():
            self._wait_for_head()
        super().data_received(data)
        if not self._between_requests():
            self._end_wait()

    def _between_requests(self) -> bool:
        return self.cycle is None or bool(self.cycle.response_complete)

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def _end_wait(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
