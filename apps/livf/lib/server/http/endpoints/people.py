"""Logins: by 3D Slicer's module, and by a browser."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Form
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from livf.lib.access.identity import current
from livf.lib.access.refusals import NotAuthenticatedError
from livf.lib.access.sessions import clear_cookie, set_cookie
from livf.lib.errors import LivfError
from livf.lib.server.http.exchange import exchange, note
from livf.lib.server.http.site import Site
from livf.version import __version__

_Text = Annotated[str, Form(max_length=8192)]


def endpoints(site: Site) -> dict[tuple[str, str], Callable[..., Any]]:
    """Endpoints by method and path."""
    logins = site.logins

    def enabled() -> dict[str, Any]:
        """Whether a login is needed, as MONAI Label's clients ask."""
        return {"enabled": site.policy.auth, "client_id": "livf", "realm": ""}

    def token(username: _Text = "", password: _Text = "") -> dict[str, Any]:
        """Log in with a name, and a token as its password; what comes back is sent with every request."""
        if not site.policy.auth:
            return {"access_token": None, "token_type": None}
        _known(site, username, password)
        return {"access_token": password.strip(), "token_type": "bearer"}

    def valid() -> dict[str, Any]:
        """Who is asking, with the keys of MONAI Label's ``User``."""
        who = current()
        assert who is not None  # the gateway let it through
        return {"username": who.name, "email": None, "name": who.name, "roles": sorted(who.roles)}

    def open_session(request: Request, username: _Text = "", password: _Text = "") -> Response:
        """Log a browser in; a form is led back to the page, a script gets what it needs."""
        proof = _known(site, username, password)
        secret, session = logins.sessions.open(proof.principal, proof.token, proof.valid_for)
        from_form = "text/html" in request.headers.get("accept", "")
        response: Response = (
            RedirectResponse("/", HTTPStatus.SEE_OTHER)
            if from_form
            else JSONResponse(
                {"name": proof.principal.name, "roles": sorted(proof.principal.roles), "csrf": session.csrf}
            )
        )
        response.headers["set-cookie"] = set_cookie(secret, secure=_secure())
        return response

    def own_session() -> dict[str, Any]:
        """Who is logged in, and the second secret of their session."""
        running = exchange()
        who = current()
        assert running is not None and who is not None  # the gateway let it through
        csrf = logins.by_cookie(running.cookie).csrf if running.cookie else None
        return {"name": who.name, "roles": sorted(who.roles), "verified": who.verified, "csrf": csrf}

    def close_session() -> Response:
        """Log a browser out."""
        running = exchange()
        if running is not None and running.cookie:
            running.login = "logout"
            logins.sessions.close(running.cookie)
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"set-cookie": clear_cookie(secure=_secure())})

    def page() -> HTMLResponse:
        """What a browser shows at the server's address."""
        return HTMLResponse(_page(login=site.policy.auth))

    return {
        ("GET", "/"): page,
        ("GET", "/auth/"): enabled,
        ("POST", "/auth/token"): token,
        ("GET", "/auth/token/valid"): valid,
        ("POST", "/livf/session"): open_session,
        ("GET", "/livf/session"): own_session,
        ("DELETE", "/livf/session"): close_session,
    }


def _known(site: Site, name: str, secret: str) -> Any:
    """Log somebody in, for the audit log too; a failed login says no more than that it failed."""
    try:
        proof = site.logins.by_name(name, secret.strip())
    except NotAuthenticatedError as error:
        raise NotAuthenticatedError("name and token do not match a valid login", "", error.remedy) from error
    running = exchange()
    if running is not None:
        running.who = proof.principal
    note(login="login")
    return proof


def _secure() -> bool:
    running = exchange()
    if running is None:
        raise LivfError("is asked for outside a request", "the session")
    return running.connection.secure


def _page(*, login: bool) -> str:
    form = (
        '<form method="post" action="/livf/session"><p><label>Name <input name="username" autocomplete="username">'
        '</label> <label>Token <input name="password" type="password" autocomplete="current-password"></label> '
        "<button>Log in</button></p></form>"
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>livf</title>'
        f"<h1>livf {escape(__version__)}</h1><p>Enter this address in the MONAILabel module of 3D Slicer.</p>"
        f"{form if login else ''}<p>For research use; not a medical device.</p></html>"
    )
