"""How much and how slowly a client may send and take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Send

#: Longest time without a byte of a request's body, s.
IDLE_S: Final = 30.0
#: A body may take this long, and longer by its size at the least rate.
GRACE_S: Final = 60.0
LEAST_BYTES_A_SECOND: Final = 32 * 1024
#: Longest time for a client to take a part of an answer, s.
SEND_S: Final = 60.0


def one_length(headers: Mapping[str, str]) -> None:
    """Refuse a request that gives its length in two ways: a proxy before this server may have taken the other one.

    Raises:
        HTTPException: It does.
    """
    if "transfer-encoding" in headers and "content-length" in headers:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the request gives its length twice", {"Connection": "close"})


def size_allowed(declared: str | None, most: int) -> None:
    """Refuse a body whose declared size is too large, before a byte of it is read.

    Raises:
        HTTPException: It is, or the size is no number.
    """
    if declared is None:
        return
    if not (declared.isascii() and declared.isdigit()):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "Content-Length: is not a number")
    if int(declared) > most:
        raise too_large(most)


def too_large(most: int) -> HTTPException:
    """What is answered to a body that is too large."""
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the request is too large; at most {most} bytes")


def bounded(receive: Receive, most: int, idle_s: float = IDLE_S, grace_s: float = GRACE_S) -> Receive:
    """A request's messages, refused when its body is larger or comes slower than allowed.

    Args:
        receive: The server's own.
        most: Largest body, bytes.
        idle_s: Longest time without a byte, s.
        grace_s: Time for the whole body beside that of its size, s.

    Returns:
        A ``receive`` that raises HTTPException 413 or 408.
    """
    started = time.monotonic()
    got = 0
    whole = False

    async def limited() -> Message:
        nonlocal got, whole
        if whole:  # what follows is the client's going away, whenever that is
            return await receive()
        left = started + grace_s + got / LEAST_BYTES_A_SECOND - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(idle_s, left))):
                message = await receive()
        except TimeoutError:
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT, "the request came too slowly", {"Connection": "close"}
            ) from None
        if message["type"] == "http.request":
            got += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if got > most:
                raise too_large(most)
        else:
            whole = True
        return message

    return limited


def bodiless(receive: Receive) -> Receive:
    """The messages of a request whose body nobody wants: empty, however long it is said to be, and never waited for.

    MONAI Label's client, once logged in, sends the length of an earlier request with later ones that have no body.
    """
    begun = False

    async def without() -> Message:
        nonlocal begun
        if not begun:
            begun = True
            return {"type": "http.request", "body": b"", "more_body": False}
        return await receive()

    return without


def patient(send: Send, send_s: float = SEND_S) -> Send:
    """A ``send`` that gives up on a client that does not take its answer."""

    async def sending(message: Message) -> None:
        async with asyncio.timeout(send_s):
            await send(message)

    return sending
