"""A server that lets nobody in, on a studies folder with a watched neighbourhood."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

pytest.importorskip("monailabel")

import requests

from livf.lib.access.identity import Role
from livf.lib.access.tokens import TokenStore
from livf.lib.server.child import running


@dataclass(frozen=True)
class Closed:
    """A running server with logins.

    Attributes:
        url: Its address.
        studies: The folder it serves; what lies beside it is not the server's.
        outside: A folder beside the studies folder, with files nobody may read or change.
        received: The folder it puts temporary files in.
        tokens: The site's tokens.
        issuer: Its identity provider.
        annotator, reviewer, admin: Tokens of Anna, Rita and Adam.
    """

    url: str
    studies: Path
    outside: Path
    received: Path
    tokens: TokenStore
    issuer: Any
    annotator: str
    reviewer: str
    admin: str

    def ask(self, method: str, path: str, token: str | None = None, **rest: Any) -> requests.Response:
        """Send a request, as the admin unless told otherwise; an empty token is nobody."""
        headers = dict(rest.pop("headers", {}))
        token = self.admin if token is None else token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return requests.request(method, self.url + path, headers=headers, timeout=60, **rest)

    def infer(self, params: Any, image: str = "first") -> requests.Response:
        """Segment an image with some ``params``, JSON or its text."""
        text = params if isinstance(params, str) else json.dumps(params)
        address = f"/infer/livf_segmentation?image={quote(image, safe='')}"
        return self.ask("POST", address, data={"params": text})

    def clean(self, answer: requests.Response) -> None:
        """Nothing of the server's insides is in an answer, and it is not a crash."""
        assert answer.status_code < 500, answer.text[:500]
        text = answer.text
        for inner in (str(self.studies), str(self.outside), str(self.received), str(Path(__file__).parents[3]),
                      "Traceback", 'File "', "site-packages"):  # fmt: skip
            assert inner not in text, text[:2000]
        assert "secret" not in text.replace("secret-first", "")  # a file's content; its name was ours

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        parts = urlsplit(self.url)
        assert parts.hostname and parts.port
        return parts.hostname, parts.port

    def head(self, method: str, path: str, extra: str = "", host: str = "localhost") -> str:
        """The head of a request of the admin."""
        extra = f"{extra}\r\n" if extra else ""
        return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.admin}\r\n{extra}\r\n"

    def raw(self, method: str, path: str, host: str = "localhost") -> tuple[int, bytes]:
        """Send a request whose path no client library tidies up; status and the whole answer."""
        return self.exchange(self.head(method, path, "Connection: close", host).encode("latin-1", "replace"))

    def exchange(self, sent: bytes) -> tuple[int, bytes]:
        """Send bytes; the first status and all that comes back."""
        with socket.create_connection(self.address, timeout=30) as connection:
            received = b""
            with suppress(OSError):  # refused before all was sent
                connection.sendall(sent)
            with suppress(OSError):
                while block := connection.recv(1 << 16):
                    received += block
        assert received, "no answer"
        return int(received.split(b" ", 2)[1]), received

    @property
    def audit(self) -> Path:
        """The folder of the audit log."""
        return self.studies / ".livf" / "audit"


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory, server: Any, model_folder: Path) -> Iterator[Closed]:
    base = tmp_path_factory.mktemp("site")
    studies, outside, received = base / "studies", base / "outside", tmp_path_factory.mktemp("closed-received")
    studies.mkdir()
    outside.mkdir()
    for name in ("first.nii.gz", "second.mha", "third.nrrd"):
        shutil.copyfile(server.studies / name, studies / name)
        shutil.copyfile(server.studies / name, outside / f"secret-{name}")
    (outside / "secret.txt").write_text("secret")
    (studies / "linked.nii.gz").symlink_to(outside / "secret-first.nii.gz")
    (studies / "text.nii.gz").symlink_to(outside / "secret.txt")
    (studies / "state.nii.gz").symlink_to(studies / ".livf" / "tokens.json")
    (studies / "labels").mkdir()
    (studies / "labels" / "linked").symlink_to(outside)
    tokens = TokenStore(studies / ".livf")
    made = {
        name: tokens.create(name, frozenset({role}), 9)[0]
        for name, role in (("anna", Role.ANNOTATOR), ("rita", Role.REVIEWER), ("adam", Role.ADMIN))
    }
    spec = importlib.util.spec_from_file_location(
        "livf_test_issuer", Path(__file__).parents[2] / "access" / "issuer.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.issuing() as issuer, pytest.MonkeyPatch.context() as patch:
        settings = base / "oidc.toml"
        settings.write_text(issuer.toml())
        patch.setenv("TMPDIR", str(received))
        options = ("--port", "0", "--model", str(model_folder), "--device", "cpu", "--auth", "--oidc", str(settings),
                   "--allow-host", "livf.example,other.example", "--allow-origin",
                   "https://viewer.example")  # fmt: skip
        with running(studies, *options) as url:
            yield Closed(url, studies, outside, received, tokens, issuer, made["anna"], made["rita"], made["adam"])


@pytest.fixture
def nothing_outside_changes(closed: Closed) -> Iterator[None]:
    """What lies beside the studies folder is the same after the test, and nothing came to lie beside it."""
    before = _seen(closed.studies.parent, closed.studies)
    yield
    assert _seen(closed.studies.parent, closed.studies) == before


def _seen(folder: Path, but: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in folder.rglob("*")
        if path != but and but not in path.parents
    }
