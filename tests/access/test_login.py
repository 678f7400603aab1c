from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from livf.lib.access.identity import Role
from livf.lib.access.login import Logins
from livf.lib.access.oidc import OidcVerifier, Provider
from livf.lib.access.refusals import NotAuthenticatedError
from livf.lib.access.tokens import TokenStore

ANNOTATOR = frozenset({Role.ANNOTATOR})


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    return Logins(TokenStore(tmp_path))


def test_a_name_with_its_token(logins: Logins) -> None:
    text, token = logins.tokens.create("anna", ANNOTATOR, 9)
    proof = logins.by_name(" anna ", text)
    assert proof.principal.name == "anna" and proof.token == token.id
    for name in ("bert", "", "Anna", "annaa", "é\udcff"):
        with pytest.raises(NotAuthenticatedError, match="is not this name's token"):
            logins.by_name(name, text)
    with pytest.raises(NotAuthenticatedError):
        logins.by_name("anna", "secret")


def test_a_session_ends_with_the_token_it_was_opened_with(logins: Logins) -> None:
    text, token = logins.tokens.create("anna", ANNOTATOR, 9)
    proof = logins.by_name("anna", text)
    secret, session = logins.sessions.open(proof.principal, proof.token, proof.valid_for)
    assert logins.by_cookie(secret) is session
    logins.tokens.revoke(token.id)
    with pytest.raises(NotAuthenticatedError, match="revoked"):
        logins.by_cookie(secret)
    assert len(logins.sessions) == 0
    with pytest.raises(NotAuthenticatedError, match="has ended"):
        logins.by_cookie(secret)


def test_tokens_of_both_kinds(issuer: Any, tmp_path: Path) -> None:
    path = tmp_path / "oidc.toml"
    path.write_text(issuer.toml())
    logins = Logins(TokenStore(tmp_path), OidcVerifier(Provider.read(path)))
    text, _ = logins.tokens.create("bert", ANNOTATOR, 9)
    assert logins.by_token(text).principal.name == "bert"
    proof = logins.by_name("anna", issuer.token())
    assert proof.principal.name == "anna" and proof.token is None and 290 < proof.valid_for <= 300
    secret, _ = logins.sessions.open(proof.principal, proof.token, proof.valid_for)
    assert logins.by_cookie(secret).principal.name == "anna"


def test_without_a_provider_its_tokens_prove_nothing(issuer: Any, logins: Logins) -> None:
    with pytest.raises(NotAuthenticatedError):
        logins.by_token(issuer.token())
