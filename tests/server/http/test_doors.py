"""What a server that lets nobody in answers to at all: requests, hosts, pages, sizes and speeds, on a real one."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

pytest.importorskip("monailabel")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_outside_changes")]

MODEL = "livf_segmentation"


@pytest.mark.parametrize(
    "path",
    ["/proxy/dicom/../../etc/passwd", "/proxy/dicom/studies", "/proxy/dicom/wado/..%2f..%2fetc",
     "/model/livf_segmentation",
     "/model/..%2f..%2fx", "/model/info/x", "/static/../../../etc/passwd", "/static/ohif/index.html", "/ohif/", "/docs",
     "/ohif/..%2f..%2f..%2fetc%2fpasswd", "/openapi.json", "/redoc", "/favicon.ico", "/info", "//info/", "/INFO/",
     "/infer/wsi/x", "/infer/wsi_v2/x", "/logs/../info/", "/%2e%2e/", "/datastore/../../", "/metrics"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_requests_that_are_not_on_the_list(closed: Any, method: str, path: str) -> None:
    answer = closed.raw(method, path)
    assert answer[0] in (400, 403, 404, 405), (path, answer)
    assert b"root:" not in answer[1] and b"<html" not in answer[1]


def test_reload_and_models_are_closed_to_admins_too(closed: Any) -> None:
    before = closed.ask("GET", "/info/").json()
    assert closed.ask("POST", "/reload").status_code == 404
    for method in ("PUT", "DELETE", "GET"):
        answer = closed.ask(method, f"/model/{MODEL}", files={"file": ("model.pt", b"x")} if method == "PUT" else None)
        assert answer.status_code == 404
    assert closed.ask("GET", "/info/").json()["models"] == before["models"]
    assert closed.infer({}).status_code == 200


@pytest.mark.parametrize("query", ["bundle_path=/x", "device=cuda", "model=x", "image=first&image=second", "image=%ff",
                                   "&".join(f"a{n}=1" for n in range(50)), "image=" + "x" * 5000,
                                   "run_sync=maybe&x=1"])  # fmt: skip
def test_parameters_that_are_not_on_the_list(closed: Any, query: str) -> None:
    answer = closed.ask("POST", f"/infer/{MODEL}?{query}", data={"params": "{}"})
    assert answer.status_code in (400, 414), answer.text
    closed.clean(answer)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "livf.example.evil.example", "127.0.0.1.evil.example", "", "a b", "@",
             "[::2]",
             "169.254.169.254", "localhost@evil.example", "LIVF.example.evil"],
)  # fmt: skip
def test_a_page_that_points_its_name_here(closed: Any, host: str) -> None:
    status, body = closed.raw("GET", "/info/", host)
    assert status in (400, 421), body
    assert b"livf_segmentation" not in body


def test_own_names(closed: Any) -> None:
    for host in ("livf.example", "LIVF.EXAMPLE:8000", "other.example.", "localhost", "127.0.0.1:1", "[::1]:8000"):
        assert closed.raw("GET", "/info/", host)[0] == 200, host


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://viewer.example", "https://viewer.example.evil",
                                    "https://viewer.example:444", "file://", "", "http://127.0.0.1:1"])  # fmt: skip
def test_pages_of_others(closed: Any, origin: str) -> None:
    for method, path in (
        ("GET", "/info/"),
        ("POST", "/activelearning/random"),
        ("OPTIONS", "/info/"),
        ("POST", "/livf/session"),
    ):
        answer = closed.ask(method, path, headers={"Origin": origin})
        assert answer.status_code == 403 and "may not use this server" in answer.text
        assert "access-control-allow-origin" not in answer.headers


def test_a_page_that_is_allowed(closed: Any) -> None:
    origin = {"Origin": "https://viewer.example"}
    answer = closed.ask("GET", "/info/", headers=origin)
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://viewer.example"
    assert "access-control-allow-credentials" not in answer.headers and "Origin" in answer.headers["vary"]
    answer = closed.ask("OPTIONS", "/infer/x", "", headers={**origin, "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 204 and answer.headers["access-control-allow-methods"] == "POST"
    assert closed.ask("GET", "/info/", "", headers=origin).status_code == 401


def test_other_sites_requests_without_an_origin(closed: Any) -> None:
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert closed.ask("GET", "/datastore/image?image=first", headers=image).status_code == 403
    assert closed.ask("GET", "/info/", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("path", ["/info/", "/", "/nothing", "/datastore/image?image=first", "/auth/"])
def test_headers_of_every_answer(closed: Any, path: str) -> None:
    headers = closed.ask("GET", path).headers
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"] and headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer" and headers["x-request-id"]
    assert "server" not in headers and "x-powered-by" not in headers


def test_a_body_that_is_too_large(closed: Any) -> None:
    head = closed.head("POST", "/activelearning/random", "Content-Length: 999999999\r\nContent-Type: application/json")
    status, _ = closed.exchange(head.encode() + b"{}")
    assert status == 413
    chunk = b"20000\r\n" + b"x" * 0x20000 + b"\r\n"
    head = closed.head("POST", "/activelearning/random", "Transfer-Encoding: chunked\r\nContent-Type: application/json")
    status, _ = closed.exchange(head.encode() + chunk * 3)
    assert status == 413
    assert closed.infer({}).status_code == 200


def test_a_client_that_sends_nothing_holds_nothing_up(closed: Any) -> None:
    held = [socket.create_connection(closed.address) for _ in range(60)]
    try:
        for connection in held:
            connection.sendall(b"GET /info/ HTTP/1.1\r\nHost: lo")
        start = time.monotonic()
        assert closed.ask("GET", "/auth/", "").status_code == 200
        assert time.monotonic() - start < 10
        held[0].settimeout(40)
        assert held[0].recv(100) == b""  # closed by the server
    except ConnectionResetError:
        pass
    finally:
        for connection in held:
            connection.close()


def test_requests_within_requests(closed: Any) -> None:
    for extra in ("Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: 5\r\nContent-Length: 6",
                  "Transfer-Encoding: chunked, identity"):  # fmt: skip
        head = closed.head("POST", "/activelearning/random", extra)
        status, body = closed.exchange(head.encode() + b"0\r\n\r\nGET /logs/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status in (400, 501) and body.count(b"HTTP/1.1 ") == 1, body[:400]
