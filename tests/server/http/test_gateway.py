"""The gateway before a small app of our own: what reaches it, for whom, and what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("monailabel")

from livf.lib.access.audit import AuditLog
from livf.lib.access.identity import Role, current
from livf.lib.access.login import Logins
from livf.lib.access.tokens import TokenStore
from livf.lib.server.http.exchange import note
from livf.lib.server.http.gateway import Gateway
from livf.lib.server.http.policy import Policy
from livf.lib.server.http.scrub import Scrubber


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def detail(self) -> str:
        return str(json.loads(self.body)["detail"])


@dataclass
class Inner:
    """What stands behind the gateway: says who it works for, and reads what it is sent."""

    studies: str
    scopes: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    kind: bytes = b"application/json"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(dict(scope))
        size = 0
        if scope["method"] in ("POST", "PUT"):
            while (message := await receive())["type"] == "http.request":
                size += len(message.get("body", b""))
                if not message.get("more_body"):
                    break
        offered = "first" if scope["path"].startswith("/activelearning/") else None
        await asyncio.to_thread(note, label_sha256="ab", model="net-1", offered=offered)
        who = await asyncio.to_thread(current)
        said = {"who": who.name if who else None, "verified": bool(who and who.verified), "size": size,
                "file": f"{self.studies}/first.nii.gz", "path": f"{self.studies}/first.nii.gz",
                "details": ["Traceback (most recent call last):", f'  File "{self.studies}/x.py", line 1', "    f()",
                            "done"]}  # fmt: skip
        headers = [(b"content-type", self.kind), (b"access-control-allow-origin", b"*"), (b"content-length", b"1")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers[:2]})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})


class World:
    """A gateway and what is around it."""

    def __init__(self, folder: Path, **policy: Any) -> None:
        self.state = folder / "state"
        self.inner = Inner(str(folder / "studies"))
        self.logins = Logins(TokenStore(self.state))
        self.lifespans: list[Any] = []

        async def stock(scope: Any, receive: Any, send: Any) -> None:
            self.lifespans.append(scope["type"])

        self.gateway = Gateway(stock, self.inner, policy=Policy(**policy), logins=self.logins,
                               audit=AuditLog(self.state), scrubber=Scrubber([folder / "studies"]))  # fmt: skip

    def token(self, name: str = "anna", role: Role = Role.ANNOTATOR) -> str:
        return self.logins.tokens.create(name, frozenset({role}), 9)[0]

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for path in (self.state / "audit").glob("*") for line in path.read_text().splitlines()]

    def ask(self, method: str = "GET", path: str = "/info/", query: str = "", body: list[bytes] | None = None,
            peer: str = "127.0.0.1", arrived: str = "127.0.0.1", scheme: str = "http", bearer: str = "",
            pause: float = 0, **headers: str) -> Answer:  # fmt: skip
        sent = {"host": "localhost:8000", **{key.replace("_", "-"): value for key, value in headers.items()}}
        if bearer:
            sent["authorization"] = f"Bearer {bearer}"
        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "scheme": scheme,
                 "query_string": query.encode(), "client": (peer, 50000), "server": (arrived, 8000), "root_path": "",
                 "http_version": "1.1", "asgi": {"version": "3.0"},
                 "headers": [(key.encode(), value.encode("latin-1")) for key, value in sent.items()]}  # fmt: skip
        parts = list(body or [b""])
        answer = Answer()

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(pause)
            if not parts:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {key.decode().lower(): value.decode() for key, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        asyncio.run(self.gateway(scope, receive, send))  # type: ignore[arg-type]
        return answer


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    return lambda **policy: World(tmp_path, **policy)


def test_start_up_reaches_monai_label_and_no_request_does(world: Callable[..., World]) -> None:
    site = world()
    asyncio.run(site.gateway({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert site.lifespans == ["lifespan"]
    for path in ("/info/", "/reload", "/openapi.json", "/static/x", "/"):
        site.ask(path=path)
    assert site.lifespans == ["lifespan"]


def test_websockets_are_closed(world: Callable[..., World]) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(world().gateway({"type": "websocket"}, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_without_logins_the_people_of_this_machine_are_unverified(world: Callable[..., World]) -> None:
    answer = world().ask()
    assert answer.status == 200 and json.loads(answer.body)["who"] == "local"
    assert not json.loads(answer.body)["verified"]


@pytest.mark.parametrize(
    ("peer", "arrived", "headers"),
    [("10.0.0.9", "10.0.0.1", {}), ("10.0.0.9", "0.0.0.0", {}), ("127.0.0.1", "10.0.0.1", {}),
     ("10.0.0.9", "127.0.0.1", {}), ("127.0.0.1", "127.0.0.1", {"x_forwarded_for": "1.2.3.4"}),
     ("127.0.0.1", "127.0.0.1", {"forwarded": "for=1.2.3.4"}), ("127.0.0.1", "127.0.0.1", {"via": "1.1 proxy"}),
     ("", "", {}), ("::ffff:10.0.0.9", "::ffff:10.0.0.1", {})],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_without_logins_nothing_is_answered_beyond_this_machine(
    world: Callable[..., World], peer: str, arrived: str, headers: dict[str, str], scheme: str
) -> None:
    site = world()
    answer = site.ask(peer=peer, arrived=arrived, scheme=scheme, **headers)
    assert answer.status == 403 and "closed beyond its own machine" in answer.detail
    assert not site.inner.scopes


def test_with_logins_tls_is_needed_beyond_this_machine(world: Callable[..., World]) -> None:
    site = world(auth=True)
    token = site.token()
    far = {"peer": "10.0.0.9", "arrived": "10.0.0.1", "host": "10.0.0.1"}
    assert "closed without TLS" in site.ask(bearer=token, **far).detail
    assert site.ask(bearer=token, **far, x_forwarded_proto="https").status == 403
    answer = site.ask(bearer=token, **far, scheme="https")
    assert answer.status == 200 and "max-age" in answer.headers["strict-transport-security"]


def test_behind_a_proxy(world: Callable[..., World]) -> None:
    site = world(auth=True, proxies=frozenset({"127.0.0.1"}), hosts=frozenset({"livf.example"}))
    token = site.token()
    through = {"host": "livf.example", "x_forwarded_for": "6.6.6.6, 1.2.3.4", "x_forwarded_proto": "https"}
    site.ask("POST", "/activelearning/random", bearer=token, **through)
    assert site.audit[-1]["address"] == "1.2.3.4"  # what the proxy saw, not what the client claims
    assert site.ask(bearer=token, **{**through, "x_forwarded_proto": "http"}).status == 403
    assert site.ask(bearer=token, peer="10.0.0.9", arrived="10.0.0.1", **through).status == 403  # past the proxy
    assert site.ask(**through).status == 401
    assert world(proxies=frozenset({"127.0.0.1"})).ask(**through).status == 403  # logins are needed


@pytest.mark.parametrize("host", ["evil.example", "", "10.0.0.1", "localhost.evil.example", "[::9]"])
def test_other_hosts(world: Callable[..., World], host: str) -> None:
    site = world()
    assert site.ask(host=host).status == 421 and not site.inner.scopes


def test_origins(world: Callable[..., World]) -> None:
    site = world(origins=frozenset({"https://viewer.example"}))
    for origin in (
        "https://evil.example",
        "null",
        "https://localhost:8000",
        "http://localhost:8001",
        "http://localhost",
    ):
        assert site.ask(origin=origin).status == 403, origin
    assert not site.inner.scopes
    answer = site.ask(origin="https://viewer.example")
    assert answer.headers["access-control-allow-origin"] == "https://viewer.example"
    own = site.ask(origin="http://localhost:8000")
    assert own.status == 200 and own.headers.get("access-control-allow-origin") != "http://localhost:8000"


def test_what_the_inner_app_allows_other_pages_is_taken_out(world: Callable[..., World]) -> None:
    assert "access-control-allow-origin" not in world().ask().headers


def test_parameters_are_passed_on_as_checked(world: Callable[..., World]) -> None:
    site = world()
    site.ask("GET", "/datastore/image", "image=a%20b&client_id=x&run_sync=true")
    assert site.inner.scopes[-1]["query_string"] == b"image=a+b"
    assert site.ask("GET", "/datastore/image", "image=..").status == 400
    assert site.ask("GET", "/datastore/image", "image=a&bundle_path=b").status == 400
    assert len(site.inner.scopes) == 1


def test_methods(world: Callable[..., World]) -> None:
    answer = world().ask("DELETE", "/info/")
    assert answer.status == 405 and answer.headers["allow"] == "GET"
    assert world().ask("GET", "/datastore/nothing").status == 404


def test_bodies(world: Callable[..., World]) -> None:
    site = world()
    small = site.ask("POST", "/activelearning/random", body=[b"{}", b" " * 1000])
    assert json.loads(small.body)["size"] == 1002
    assert site.ask("POST", "/activelearning/random", content_length=str(1 << 20)).status == 413
    assert site.ask("POST", "/activelearning/random", content_length="many").status == 400
    with pytest.raises(Exception, match=r"413|too large"):
        site.ask("POST", "/activelearning/random", body=[b"x" * (1 << 16)] * 4)


def test_a_length_that_a_client_sends_along_by_mistake(world: Callable[..., World]) -> None:
    assert world().ask("GET", content_length="12345").status == 200


def test_answers_are_cleaned(world: Callable[..., World]) -> None:
    site = world()
    answer = site.ask()
    said = json.loads(answer.body)
    assert said["file"] == "first.nii.gz" and said["path"] == "" and said["details"] == ["done"]
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_the_audit_log(world: Callable[..., World]) -> None:
    site = world(auth=True)
    token = site.token()
    site.ask(bearer=token)
    assert not (site.state / "audit").exists()
    answer = site.ask("PUT", "/datastore/label", "image=first&tag=final", bearer=token)
    site.ask("DELETE", "/datastore/image", "id=first", bearer=token)
    site.ask("PUT", "/datastore/label", "image=first&tag=final")
    done, refused = site.audit  # that nobody did something is not kept
    assert done | {"time": ""} == {
        "time": "", "action": "save", "route": "PUT /datastore/label", "status": 200, "who": "anna", "verified": True,
        "address": "127.0.0.1", "request": answer.headers["x-request-id"], "case": "first", "tag": "final",
        "label_sha256": "ab", "model": "net-1",
    }  # fmt: skip
    assert (refused["action"], refused["status"], refused["case"]) == ("administrate", 403, "first")


def test_what_cannot_be_recorded_is_not_acknowledged(world: Callable[..., World]) -> None:
    site = world(auth=True)
    token = site.token()
    (site.state / "audit").write_text("in its place")
    answer = site.ask("PUT", "/datastore/label", "image=first", bearer=token)
    assert answer.status == 507 and b"net-1" not in answer.body and "audit" in answer.detail
    assert site.ask(bearer=token).status == 200


def test_roles(world: Callable[..., World]) -> None:
    site = world(auth=True)
    tokens = {role: site.token(role.value, role) for role in Role}
    for path, method, allowed in (("/info/", "GET", set(Role)), ("/train/", "DELETE", {Role.REVIEWER, Role.ADMIN}),
                                  ("/logs/", "GET", {Role.ADMIN})):  # fmt: skip
        for role, token in tokens.items():
            assert (site.ask(method, path, bearer=token).status == 200) == (role in allowed), (path, role)
        assert site.ask(method, path).status == 401


def test_an_image_that_was_given_out_is_fetched_once(world: Callable[..., World]) -> None:
    site = world(auth=True)
    token = site.token()
    fetch = {"method": "GET", "path": "/datastore/image", "query": "image=first"}
    assert site.ask(**fetch).status == 401
    site.ask("POST", "/activelearning/random", bearer=token)
    assert site.ask(**{**fetch, "query": "image=second"}).status == 401
    assert site.ask(**fetch).status == 200
    assert site.ask(**fetch).status == 401
    site.ask("POST", "/activelearning/random", bearer=token)
    assert site.ask(**fetch, peer="127.0.0.2").status == 401  # from elsewhere
    site.ask(**fetch)
    site.inner.status = 404
    site.ask("POST", "/activelearning/random", bearer=token)  # nothing was given out
    site.inner.status = 200
    assert site.ask(**fetch).status == 401


def test_a_cookie_needs_the_second_secret_to_change_things(world: Callable[..., World]) -> None:
    site = world(auth=True)
    _, token = site.logins.tokens.create("anna", frozenset({Role.ANNOTATOR}), 9)
    secret, session = site.logins.sessions.open(token.principal, token.id)
    cookie = {"cookie": f"other=1; livf={secret}"}
    assert json.loads(site.ask(**cookie).body)["who"] == "anna"
    post = {"method": "POST", "path": "/activelearning/random", **cookie}
    assert site.ask(**post).status == 403
    assert site.ask(**post, x_csrf_token="no").status == 403
    assert site.ask(**post, x_csrf_token=session.csrf).status == 200
    assert site.ask(cookie=f"__Host-livf={secret}").status == 401  # of another kind of connection
    assert site.ask(cookie="livf=x").status == 401
    site.logins.tokens.revoke(token.id)
    assert site.ask(**cookie).status == 401


def test_a_failing_inner_app_tells_nothing(world: Callable[..., World]) -> None:
    site = world()

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("inner")

    site.gateway._own = fails
    with pytest.raises(RuntimeError, match="inner"):  # the web server logs it and answers 500 by itself
        site.ask()
