from __future__ import annotations

import pytest

from livf.lib.access.identity import Principal, Role
from livf.lib.access.sessions import (
    MAX_AGE,
    MAX_IDLE,
    MAX_OF_ALL,
    MAX_OF_ONE,
    SessionStore,
    clear_cookie,
    cookie_name,
    set_cookie,
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> SessionStore:
    return SessionStore(clock)


def who(name: str) -> Principal:
    return Principal(name, frozenset({Role.ANNOTATOR}), verified=True)


def test_a_session_is_found_by_its_secret_alone(store: SessionStore) -> None:
    secret, session = store.open(who("anna"), "token")
    assert store.get(secret) is session and session.principal == who("anna") and session.token == "token"
    assert len(secret) == 43 and session.csrf != secret
    for other in ("", secret[:-1], session.csrf, secret.upper(), "\udcff"):
        assert store.get(other) is None


def test_the_second_secret(store: SessionStore) -> None:
    _, session = store.open(who("anna"), None)
    _, other = store.open(who("anna"), None)
    assert session.carries(session.csrf)
    assert not any(session.carries(wrong) for wrong in ("", other.csrf, session.csrf + "A", "é"))


def test_ends_by_age_and_by_idleness(store: SessionStore, clock: Clock) -> None:
    secret, _ = store.open(who("anna"), None)
    for _ in range(int(MAX_AGE / (MAX_IDLE - 1))):
        clock.now += MAX_IDLE - 1
        assert store.get(secret) is not None
    clock.now = 1000 + MAX_AGE
    assert store.get(secret) is None
    idle, _ = store.open(who("anna"), None)
    clock.now += MAX_IDLE
    assert store.get(idle) is None and len(store) == 0


def test_does_not_outlive_what_it_was_opened_with(store: SessionStore, clock: Clock) -> None:
    secret, _ = store.open(who("anna"), None, valid_for=60)
    clock.now += 59
    assert store.get(secret)
    clock.now += 1
    assert store.get(secret) is None


def test_closing(store: SessionStore) -> None:
    secret, _ = store.open(who("anna"), None)
    store.close(secret)
    store.close("none")
    assert store.get(secret) is None


def test_one_person_drives_out_only_their_own(store: SessionStore) -> None:
    hers, _ = store.open(who("anna"), None)
    opened = [store.open(who("bert"), None)[0] for _ in range(3 * MAX_OF_ONE)]
    assert store.get(hers) is not None
    assert [store.get(secret) is not None for secret in opened] == [False] * 2 * MAX_OF_ONE + [True] * MAX_OF_ONE


def test_bounded_in_number(store: SessionStore) -> None:
    for number in range(MAX_OF_ALL + 50):
        store.open(who(f"user{number}"), None)
    assert len(store) == MAX_OF_ALL


def test_cookie() -> None:
    cookie = set_cookie("secret", secure=True)
    assert cookie.startswith("__Host-livf=secret;")
    assert {"HttpOnly", "SameSite=Strict", "Secure", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie
    plain = set_cookie("secret", secure=False)
    assert plain.startswith("livf=secret;") and "HttpOnly" in plain and "Secure" not in plain
    assert "Max-Age=0" in clear_cookie(secure=True) and cookie_name(True) in clear_cookie(secure=True)
