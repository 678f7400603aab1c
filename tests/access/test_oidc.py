"""Tokens of a real issuer, and of somebody who would like to be one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from livf.lib.access.identity import Role
from livf.lib.access.oidc import OidcVerifier, Provider
from livf.lib.access.refusals import NotAuthenticatedError, ProviderError
from livf.lib.errors import NotFoundError, UsageError

Z = "is not a valid token of the provider"


@pytest.fixture
def provider(issuer: Any, tmp_path: Path) -> Provider:
    path = tmp_path / "oidc.toml"
    path.write_text(issuer.toml())
    return Provider.read(path)


@pytest.fixture
def verifier(provider: Provider) -> OidcVerifier:
    return OidcVerifier(provider)


def refused(verifier: OidcVerifier, token: str, said: str = Z) -> None:
    with pytest.raises(NotAuthenticatedError, match=said):
        verifier.verify(token)


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def test_a_good_token(issuer: Any, verifier: OidcVerifier) -> None:
    who, ends = verifier.verify(issuer.token())
    assert (who.name, who.roles, who.verified) == ("anna", {Role.ANNOTATOR}, True)
    assert ends == pytest.approx(time.time() + 300, abs=5)


def test_roles_are_mapped_and_others_mean_nothing(issuer: Any, verifier: OidcVerifier) -> None:
    for theirs, ours in (
        (["livf-admin", "livf-reviewer", "offline_access"], {Role.ADMIN, Role.REVIEWER}),
        (["admin", "annotator"], set()),
        ("livf-admin", {Role.ADMIN}),
        ([], set()), (None, set()), (7, set()), ([["livf-admin"], {"a": 1}], set()),
    ):  # fmt: skip
        assert verifier.verify(issuer.token(realm_access={"roles": theirs}))[0].roles == ours
    assert verifier.verify(issuer.token(realm_access=None))[0].roles == frozenset()
    assert verifier.verify(issuer.token(realm_access=["livf-admin"]))[0].roles == frozenset()


def test_algorithm_none(issuer: Any, verifier: OidcVerifier) -> None:
    refused(verifier, jwt.encode(issuer.claims(), None, algorithm="none", headers={"kid": issuer.kid}))
    for name in ("none", "None", "NONE", "", None):
        refused(verifier, f"{part({'alg': name, 'typ': 'JWT', 'kid': issuer.kid})}.{part(issuer.claims())}.")


def test_hs256_with_the_public_key(issuer: Any, verifier: OidcVerifier) -> None:
    public = issuer.keys[issuer.kid].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip(), json.dumps(issuer.jwks["keys"][0]).encode()):
        signed = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': issuer.kid})}.{part(issuer.claims())}"
        mac = base64.urlsafe_b64encode(hmac.new(secret, signed.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
        refused(verifier, f"{signed}.{mac}")


def test_another_key_under_a_known_id(issuer: Any, verifier: OidcVerifier) -> None:
    mine = rsa.generate_private_key(65537, 2048)
    refused(verifier, jwt.encode(issuer.claims(), mine, algorithm="RS256", headers={"kid": issuer.kid}))


def test_keys_that_the_token_brings_along(issuer: Any, verifier: OidcVerifier) -> None:
    mine = rsa.generate_private_key(65537, 2048)
    own = {**jwt.algorithms.RSAAlgorithm.to_jwk(mine.public_key(), as_dict=True), "kid": "mine"}
    for header in ({"kid": "mine", "jwk": own}, {"kid": "mine", "jku": f"{issuer.url}/mine"}, {"x5u": "http://a/b"}):
        refused(verifier, jwt.encode(issuer.claims(), mine, algorithm="RS256", headers=header))


def test_another_algorithm_of_the_right_key(issuer: Any, verifier: OidcVerifier) -> None:
    for algorithm in ("RS512", "PS256"):
        refused(verifier, jwt.encode(issuer.claims(), issuer.keys[issuer.kid], algorithm=algorithm,
                                     headers={"kid": issuer.kid}))  # fmt: skip


@pytest.mark.parametrize(
    "claims",
    [{"iss": "https://other.example"}, {"iss": None}, {"aud": "another-app"}, {"aud": ["a", "b"]}, {"aud": None},
     {"exp": None}, {"nbf": time.time() + 3600}, {"exp": "soon"}],
    ids=lambda claims: "-".join(f"{key}={str(value)[:12]}" for key, value in claims.items()),
)  # fmt: skip
def test_claims_that_are_not_right(issuer: Any, verifier: OidcVerifier, claims: dict[str, Any]) -> None:
    refused(verifier, issuer.token(**claims))


def test_issuer_must_match_to_the_letter(issuer: Any, verifier: OidcVerifier) -> None:
    for wrong in (issuer.url + "/", issuer.url.upper(), issuer.url + "2"):
        refused(verifier, issuer.token(iss=wrong))


def test_expired_with_and_without_the_leeway(issuer: Any, verifier: OidcVerifier) -> None:
    verifier.verify(issuer.token(exp=int(time.time()) - 5))
    refused(verifier, issuer.token(exp=int(time.time()) - 40), "is expired")
    verifier.verify(issuer.token(nbf=int(time.time()) + 5))


@pytest.mark.parametrize("name", [None, "", "../x", 7, ["anna"], "a b", "x" * 65])
def test_no_usable_name(issuer: Any, verifier: OidcVerifier, name: Any) -> None:
    refused(verifier, issuer.token(preferred_username=name), "has no usable name")


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "a.b.c.d", "." * 3, "é", "x" * 20_000, "{}", "livf_x"])
def test_what_is_no_token(verifier: OidcVerifier, text: str) -> None:
    refused(verifier, text)


def test_a_tampered_token(issuer: Any, verifier: OidcVerifier) -> None:
    head, _, signature = issuer.token().split(".")
    refused(verifier, f"{head}.{part(issuer.claims(realm_access={'roles': ['livf-admin']}))}.{signature}")


def test_rotated_keys_are_fetched(issuer: Any, provider: Provider) -> None:
    clock = [0.0]
    verifier = OidcVerifier(provider, clock=lambda: clock[0])
    old = issuer.token()
    verifier.verify(old)
    issuer.rotate("second")
    assert verifier.verify(issuer.token())[0].name == "anna"
    refused(verifier, old)  # its key is no longer the provider's
    issuer.rotate("third")
    refused(verifier, issuer.token())  # the key set was fetched a moment ago
    clock[0] += 31
    assert verifier.verify(issuer.token())[0].name == "anna"


def test_a_flood_of_unknown_key_ids_does_not_reach_the_provider(issuer: Any, verifier: OidcVerifier) -> None:
    good = issuer.token()
    verifier.verify(good)
    for number in range(200):
        refused(verifier, issuer.token(kid=f"made-up-{number}"))
    assert issuer.fetched == 2
    verifier.verify(good)


def test_a_provider_that_is_down(issuer: Any, provider: Provider) -> None:
    clock = [0.0]
    verifier = OidcVerifier(provider, clock=lambda: clock[0])
    issuer.down = True
    token = issuer.token()
    for _ in range(50):
        with pytest.raises(ProviderError, match="the identity provider: cannot be reached"):
            verifier.verify(token)
    assert issuer.fetched <= 1
    issuer.down = False
    clock[0] += 31
    assert verifier.verify(token)[0].name == "anna"


def test_a_provider_that_calls_itself_otherwise(issuer: Any, provider: Provider) -> None:
    issuer.url = "http://127.0.0.1:1/other"
    with pytest.raises(ProviderError):
        OidcVerifier(provider).verify(issuer.token())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('algorithms = ["none"]', "without a public key"),
        ('algorithms = ["HS256"]', "without a public key"),
        ('algorithms = ["RS256", "HS512"]', "without a public key"),
        ("algorithms = []", "without a public key"),
        ('algorithms = "RS256"', "algorithms is not a list"),
        ("leeway_s = 3600", "out of bounds"),
        ("leeway_s = -1", "out of bounds"),
        ('leeway_s = "1"', "not a whole number"),
        ('jwks_uri = "http://keys.example/certs"', "is not an https address"),
        ('jwks_uri = "file:///etc/passwd"', "is not an https address"),
        ('name = "x"', "unknown key 'name'"),
        ('roles = {a = "king"}', "cannot be understood"),
        ("roles = 7", "roles is not a table"),
        ("=", "is not a TOML file"),
    ],
)
def test_settings_that_would_let_others_in(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "oidc.toml"
    path.write_text(f'issuer = "https://id.example"\naudience = "livf"\n{line}\n')
    with pytest.raises(UsageError, match=said):
        Provider.read(path)


@pytest.mark.parametrize("issuer_url", ["http://id.example", "id.example", "", "ftp://id.example", "https://"])
def test_an_issuer_without_tls(issuer_url: str) -> None:
    with pytest.raises(UsageError, match="is not an https address"):
        Provider(issuer_url, "livf")


def test_no_audience_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="audience: is missing"):
        Provider("https://id.example", "")
    with pytest.raises(NotFoundError, match="there is no such file"):
        Provider.read(tmp_path / "none.toml")
    (tmp_path / "short.toml").write_text('issuer = "https://id.example"')
    with pytest.raises(UsageError, match="cannot be understood"):
        Provider.read(tmp_path / "short.toml")
