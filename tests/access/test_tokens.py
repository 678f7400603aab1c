from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from livf.lib.access.identity import Role
from livf.lib.access.refusals import NotAuthenticatedError
from livf.lib.access.tokens import TokenStore
from livf.lib.errors import InputError, LivfError, NotFoundError, UsageError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANNOTATOR = frozenset({Role.ANNOTATOR})


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "state")


def test_a_token_proves_whom_it_was_made_for(store: TokenStore) -> None:
    text, made = store.create("anna", frozenset({Role.ANNOTATOR, Role.REVIEWER}), 90, NOW)
    who = store.check(text, NOW).principal
    assert (who.name, who.roles, who.verified) == ("anna", {Role.ANNOTATOR, Role.REVIEWER}, True)
    assert TokenStore(store.path.parent).check(text, NOW) == made


def test_the_secret_is_not_kept(store: TokenStore) -> None:
    text, _ = store.create("anna", ANNOTATOR, 90)
    secret = text.split("_", 2)[2]
    assert len(secret) == 43  # 256 bits
    everything = b"".join(path.read_bytes() for path in store.path.parent.rglob("*") if path.is_file())
    assert secret.encode() not in everything and text.encode() not in everything


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_only_its_owner_reads_the_file(store: TokenStore) -> None:
    store.create("anna", ANNOTATOR, 90)
    store.create("bert", ANNOTATOR, 90)
    assert store.path.stat().st_mode & 0o077 == 0


def test_tokens_differ(store: TokenStore) -> None:
    assert len({store.create("anna", ANNOTATOR, 1)[0] for _ in range(20)}) == 20


def test_ends_when_it_expires(store: TokenStore) -> None:
    text, _ = store.create("anna", ANNOTATOR, 2, NOW)
    store.check(text, NOW + timedelta(days=2) - timedelta(seconds=1))
    with pytest.raises(NotAuthenticatedError, match="token: is expired; make a new one"):
        store.check(text, NOW + timedelta(days=2))


def test_a_running_server_refuses_a_token_that_another_process_revoked(store: TokenStore) -> None:
    text, made = store.create("anna", ANNOTATOR, 90, NOW)
    other, _ = store.create("bert", ANNOTATOR, 90, NOW)
    store.check(text, NOW)
    TokenStore(store.path.parent).revoke(made.id, NOW)
    with pytest.raises(NotAuthenticatedError, match="revoked"):
        store.check(text, NOW)
    store.check(other, NOW)
    assert [token.state(NOW) for token in store.all()].count("revoked") == 1


def test_revoking_twice_keeps_the_first_time(store: TokenStore) -> None:
    _, made = store.create("anna", ANNOTATOR, 90, NOW)
    first = store.revoke(made.id, NOW)
    assert store.revoke(made.id, NOW + timedelta(days=1)).revoked == first.revoked == NOW


def test_a_removed_file_ends_every_token(store: TokenStore) -> None:
    text, made = store.create("anna", ANNOTATOR, 90, NOW)
    store.check(text, NOW)
    store.path.unlink()
    with pytest.raises(NotAuthenticatedError):
        store.check(text, NOW)
    with pytest.raises(NotAuthenticatedError):
        store.still_valid(made.id, NOW)


def test_what_is_no_token(store: TokenStore) -> None:
    text, made = store.create("anna", ANNOTATOR, 90, NOW)
    head, secret = text[:14], text[14:]
    wrong = [
        "", "livf", "livf_", head, secret, text[:-1], text + "A", text.upper(), " " + text, text + "\n",
        head + ("A" if secret[0] != "A" else "B") + secret[1:], head + "A" * 43,
        f"livf_{'0' * 8}_{secret}", f"livf_{made.id}_{made.sha256[:43]}", made.sha256, "livf_é", "\udcff", "x" * 10_000,
    ]  # fmt: skip
    for bad in wrong:
        with pytest.raises(NotAuthenticatedError, match="is not a token of this server"):
            store.check(bad, NOW)


@pytest.mark.parametrize("name", ["", " ", "-anna", "../anna", "a/b", "a\nb", "a b", "x" * 65, "<script>", "a\x00"])
def test_names_that_are_none(store: TokenStore, name: str) -> None:
    with pytest.raises(UsageError, match="is not a name"):
        store.create(name, ANNOTATOR, 90)
    assert not store.path.exists()


@pytest.mark.parametrize("name", ["anna", "a.b@hospital.org", "Jörg", "李", "user-xyz", "R2D2"])
def test_names(store: TokenStore, name: str) -> None:
    text, _ = store.create(name, ANNOTATOR, 90)
    assert store.check(text).name == name


def test_bad_wishes(store: TokenStore) -> None:
    with pytest.raises(UsageError, match="has no role"):
        store.create("anna", frozenset(), 90)
    for days in (0, -1, 4000):
        with pytest.raises(UsageError, match="is not a number of days"):
            store.create("anna", ANNOTATOR, days)
    with pytest.raises(NotFoundError, match="there is no such token"):
        store.revoke("12345678")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 2, "tokens": []}', '{"version": 1, "tokens": [{}]}',
                                     '{"version": 1}', "null"])  # fmt: skip
def test_a_damaged_file_lets_nobody_in_and_is_not_overwritten(store: TokenStore, content: str) -> None:
    text, _ = store.create("anna", ANNOTATOR, 90)
    store.path.write_text(content)
    with pytest.raises(InputError, match=r"tokens\.json: is damaged"):
        store.check(text)
    with pytest.raises(InputError):
        store.create("bert", ANNOTATOR, 90)
    assert store.path.read_text() == content


def test_roles_that_do_not_exist_are_no_roles(store: TokenStore) -> None:
    text, _ = store.create("anna", ANNOTATOR, 90)
    store.path.write_text(store.path.read_text().replace("annotator", "superuser"))
    with pytest.raises(LivfError):
        store.check(text)


def test_made_at_once_none_is_lost(store: TokenStore) -> None:
    threads = [
        threading.Thread(target=lambda: TokenStore(store.path.parent).create("anna", ANNOTATOR, 9)) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.all()) == 12
    assert len(json.loads(store.path.read_text())["tokens"]) == 12
