"""A small OpenID Connect issuer: discovery, a key set that can be rotated, and tokens, good and bad."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

AUDIENCE = "livf"


class Issuer:
    """A running issuer."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/realms/spine"
        self.fetched = 0
        self.down = False
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.kid = ""
        self.rotate("first")

    def rotate(self, kid: str) -> None:
        """Sign with a new key from now on; the old ones are no longer in the key set."""
        self.kid = kid
        self.keys = {kid: rsa.generate_private_key(65537, 2048)}

    @property
    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": "RS256"}
                for kid, key in self.keys.items()
            ]
        }

    def claims(self, **other: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "1", "iat": now, "exp": now + 300,
                  "preferred_username": "anna", "realm_access": {"roles": ["livf-annotator"]}}  # fmt: skip
        return {key: value for key, value in {**claims, **other}.items() if value is not None}

    def token(self, kid: str | None = None, **claims: Any) -> str:
        return jwt.encode(
            self.claims(**claims), self.keys[self.kid], algorithm="RS256", headers={"kid": kid or self.kid}
        )

    def toml(self) -> str:
        return (
            f'issuer = "{self.url}"\naudience = "{AUDIENCE}"\n'
            '[roles]\n"livf-annotator" = "annotator"\n"livf-reviewer" = "reviewer"\n"livf-admin" = "admin"\n'
        )


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Run an issuer until the block ends."""
    running: list[Issuer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer = running[0]
            path = self.path.removeprefix("/realms/spine")
            content = {
                "/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/certs"},
                "/certs": issuer.jwks,
            }.get(path)
            issuer.fetched += path == "/certs"
            self.send_response(503 if issuer.down else 200 if content else 404)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.append(Issuer(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield running[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
