"""Stands in front of MONAI Label's web app and answers in its place.

The app is already built, and under the stock start command already running, when livf first sees it: routes cannot be
taken out of it any more, and middleware is refused. So a plain ASGI callable stands at its door. The app's start-up
and shut-down (``lifespan``) pass through it; no request does. Each request goes through the same gates, cheapest
first: transport, host, origin, route, parameters, size, who, may they. What passes is answered by livf's own app.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from livf.lib.access.audit import AuditLog, Record
from livf.lib.access.identity import Principal, Role, acting
from livf.lib.access.login import Logins
from livf.lib.access.permissions import require
from livf.lib.access.refusals import NotAllowedError, NotAuthenticatedError
from livf.lib.access.sessions import cookie_name
from livf.lib.errors import LivfError, NotFoundError, UsageError
from livf.lib.server.http import limits, routes
from livf.lib.server.http.answers import answer
from livf.lib.server.http.exchange import Exchange, Offers, during
from livf.lib.server.http.policy import Connection, Policy
from livf.lib.server.http.routes import Match
from livf.lib.server.http.scrub import Scrubber, cleaning

logger = logging.getLogger(__name__)

#: Who asks where no login is needed: the people at this machine.
LOCAL: Final = Principal("local", frozenset(Role), verified=False)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_MAX_QUERY: Final = 4096
_PREFLIGHT_S: Final = 600
_HEADERS: Final[Mapping[str, str]] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    # Nothing of an answer is run or shown as a page, but the page at / with its form.
    "content-security-policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    # Images and labels are patients' data: they stay out of caches.
    "cache-control": "no-store",
}


class Gateway:
    """Answers all requests of a server.

    Args:
        stock: MONAI Label's app: gets its start-up and shut-down.
        own: What answers the requests of the table.
        policy: What the site allows.
        logins: How people log in.
        audit: The site's audit log.
        scrubber: Cleans what is answered.
        prefix: How every path begins.
    """

    def __init__(
        self,
        stock: ASGIApp,
        own: ASGIApp,
        *,
        policy: Policy,
        logins: Logins,
        audit: AuditLog,
        scrubber: Scrubber,
        prefix: str = "",
    ) -> None:
        self._stock = stock
        self._own = own
        self._scrubber = scrubber
        self._prefix = prefix
        self._policy = policy
        self._logins = logins
        self._audit = audit
        self._offers = Offers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._stock(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, limits.patient(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        started = Exchange(secrets.token_hex(8), Connection("", secure=False, here=False))
        page: str | None = None
        match: Match | None = None
        try:
            started.connection = connection = self._policy.connection(scope, headers)
            limits.one_length(headers)
            self._policy.check_host(scope, headers.get("host", ""))
            page = self._policy.check_origin(connection.secure, headers)
            path = self._path(scope["path"])
            if scope["method"] == "OPTIONS":
                await self._preflight(path, page)(scope, receive, self._finishing(send, started, None, page))
                return
            match = _route(scope["method"], path)
            query = _query(scope.get("query_string", b""), match)
            if match.route.body:
                limits.size_allowed(headers.get("content-length"), match.route.body)
            started.case = query.get("image") or query.get("id") or query.get("label")
            started.tag = query.get("tag")
            started.who = await self._identify(headers, match, query, started)
            if match.route.action is not None:
                require(started.who, match.route.action)
        except (LivfError, HTTPException) as error:
            await self._refuse(error, scope, send, started, match, page)
            return
        inner = {**scope, "path": path, "query_string": urlencode(query).encode("ascii")}
        sending = cleaning(self._finishing(send, started, match, page), self._scrubber)
        with during(started), acting(started.who):
            body = limits.bounded(receive, match.route.body) if match.route.body else limits.bodiless(receive)
            await self._own(inner, body, sending)

    async def _identify(
        self, headers: Headers, match: Match, query: Mapping[str, str], started: Exchange
    ) -> Principal | None:
        """Who asks; None where nobody has to be known and nobody is."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            proof = await run_in_threadpool(self._logins.by_token, token.strip())
            return proof.principal
        if cookie := _cookie(headers, cookie_name(started.connection.secure)):
            if match.route.action is None:
                return None
            session = await run_in_threadpool(self._logins.by_cookie, cookie)
            if match.route.method not in _SAFE_METHODS and not session.carries(headers.get("x-csrf-token", "")):
                raise NotAllowedError("is missing or another's", "X-CSRF-Token", "GET /livf/session gives it")
            started.cookie = cookie
            return session.principal
        if not self._policy.auth:
            return LOCAL
        if match.route.method == "GET" and match.route.path == "/datastore/image":
            return self._offers.take(started.connection.client, query.get("image", ""))
        return None

    async def _refuse(
        self, error: LivfError | HTTPException, scope: Scope, send: Send, started: Exchange, match: Match | None,
        page: str | None,
    ) -> None:  # fmt: skip
        """Answer what did not pass a gate, without reading the rest of it."""
        headers = {"Connection": "close"} if scope["method"] not in _SAFE_METHODS else {}
        if isinstance(error, HTTPException):
            response = answer(error.status_code, str(error.detail), {**headers, **(error.headers or {})})
        else:
            logger.info("%s %s refused: %s", started.id, scope["method"], error.line)
            if isinstance(error, NotAuthenticatedError):
                headers["WWW-Authenticate"] = "Bearer"
            response = answer(error.http_status, error.line, headers)
        await response(scope, _nothing, cleaning(self._finishing(send, started, match, page), self._scrubber))

    def _path(self, path: str) -> str:
        if not path.startswith(self._prefix + "/"):
            raise NotFoundError("there is no such request")
        return path.removeprefix(self._prefix)

    def _preflight(self, path: str, page: str | None) -> Response:
        """What a browser asks before it lets another page's script send a request."""
        methods = routes.methods_of(path)
        if page is None or not methods:
            return answer(HTTPStatus.NOT_FOUND, "there is no such request")
        return Response(
            status_code=HTTPStatus.NO_CONTENT,
            headers={
                "Access-Control-Allow-Methods": ", ".join(methods),
                "Access-Control-Allow-Headers": "authorization, content-type",
                "Access-Control-Max-Age": str(_PREFLIGHT_S),
            },
        )

    def _finishing(self, send: Send, started: Exchange, match: Match | None, page: str | None) -> Send:
        """A ``send`` that writes the audit log before anything is acknowledged, and adds the headers of all answers."""
        replaced = False

        async def sending(message: Message) -> None:
            nonlocal replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                try:
                    await self._record(started, match, message["status"])
                except LivfError as error:
                    # What cannot be recorded is not acknowledged.
                    logger.error("the audit log cannot be written: %s", error.line)
                    replaced = True
                    await _instead(send, answer(error.http_status, error.line), started, page)
                    return
                self._offer(started, message["status"])
                _add_headers(message, started, page)
            await send(message)

        return sending

    async def _record(self, started: Exchange, match: Match | None, status: int) -> None:
        if match is None or not (match.route.audited or started.login):
            return
        if started.who is None and not started.login:
            return  # nobody known: in the server's log, which is bounded, not in the audit log, which is kept
        who = started.who
        record = Record(
            action=started.login or str(match.route.action),
            route=f"{match.route.method} {match.route.path}",
            status=status,
            who=who.name if who else None,
            verified=bool(who and who.verified),
            address=started.connection.client or None,
            request=started.id,
            case=started.case,
            tag=started.tag,
            label_sha256=started.label_sha256,
            model=started.model,
        )
        await run_in_threadpool(self._audit.write, record)

    def _offer(self, started: Exchange, status: int) -> None:
        if self._policy.auth and started.offered and started.who and status == HTTPStatus.OK:
            self._offers.make(started.connection.client, started.offered, started.who)


def _route(method: str, path: str) -> Match:
    match = routes.find(method, path)
    if match is not None:
        return match
    if methods := routes.methods_of(path):
        raise HTTPException(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"this address answers {', '.join(methods)} only",
            {"Allow": ", ".join(methods)},
        )
    for start, why in routes.CLOSED:
        if path.startswith(start):
            raise NotFoundError(why)
    raise NotFoundError("there is no such request")


def _query(raw: bytes, match: Match) -> dict[str, str]:
    """A request's parameters, each known, checked and there once."""
    if len(raw) > _MAX_QUERY:
        raise HTTPException(HTTPStatus.REQUEST_URI_TOO_LONG, "the address is too long")
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError:
        raise UsageError("are not UTF-8, or too many", "the parameters", "send them URL-encoded") from None
    query: dict[str, str] = {}
    for key, value in pairs:
        if key in match.route.query:
            if key in query:
                raise UsageError("is there twice", key, "send it once")
            query[key] = match.route.query[key](value, key)
        elif key not in routes.IGNORED:
            known = ", ".join(match.route.query) or "none"
            raise UsageError("is not a parameter of this request", repr(key[:32]), f"its parameters: {known}")
    return query


def _cookie(headers: Headers, name: str) -> str:
    """The session in a request's cookies; the first of the name, as browsers send the most specific first."""
    for part in headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def _add_headers(message: Message, started: Exchange, page: str | None) -> None:
    headers = MutableHeaders(raw=list(message["headers"]))
    # Who may read an answer is said here alone.
    del headers["access-control-allow-origin"]
    del headers["access-control-allow-credentials"]
    for key, value in _HEADERS.items():
        headers[key] = value
    headers["x-request-id"] = started.id
    headers["cross-origin-resource-policy"] = "cross-origin" if page else "same-origin"
    if page:
        headers["access-control-allow-origin"] = page
        headers["access-control-expose-headers"] = "content-disposition, x-request-id, retry-after"
        headers.add_vary_header("Origin")
    if started.connection.secure and not started.connection.here:
        headers["strict-transport-security"] = "max-age=31536000"
    message["headers"] = headers.raw


async def _instead(send: Send, response: JSONResponse, started: Exchange, page: str | None) -> None:
    start: dict[str, Any] = {
        "type": "http.response.start", "status": response.status_code, "headers": list(response.raw_headers)
    }  # fmt: skip
    _add_headers(start, started, page)
    await send(start)
    await send({"type": "http.response.body", "body": bytes(response.body)})


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
