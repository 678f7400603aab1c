"""The gateway's parts by themselves: the table of requests, names, params, limits, cleaning, offers."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("monailabel")

from starlette.exceptions import HTTPException

from livf.lib.access.identity import Principal, Role, acting, current
from livf.lib.access.login import Logins
from livf.lib.access.permissions import Action
from livf.lib.access.tokens import TokenStore
from livf.lib.errors import NotFoundError, UsageError
from livf.lib.server.http import limits, names, routes
from livf.lib.server.http.endpoints import build
from livf.lib.server.http.exchange import OFFER_S, Offers, named
from livf.lib.server.http.params import (
    ECHOED,
    BatchParams,
    InferParams,
    SaveParams,
    TrainParams,
    info_of,
    parsed,
    segments_of,
)
from livf.lib.server.http.policy import Policy
from livf.lib.server.http.scrub import Scrubber
from livf.lib.server.http.site import Site

ANNA = Principal("anna", frozenset({Role.ANNOTATOR}), verified=True)
LOCAL = Principal("local", frozenset(Role), verified=False)


def test_the_table_and_the_endpoints_are_the_same_requests(tmp_path: Path) -> None:
    app = build(Site(tmp_path, tmp_path, Policy(), Logins(TokenStore(tmp_path)), Scrubber([])))
    answered = {(method, route.path) for route in app.routes for method in route.methods}  # type: ignore[attr-defined]
    assert answered == {(route.method, route.path) for route in routes.ROUTES}
    assert len(routes.ROUTES) == len(answered)


def test_what_is_open_to_everybody_tells_nothing_and_changes_nothing() -> None:
    everybody = {(route.method, route.path) for route in routes.ROUTES if route.action is None}
    assert everybody == {("GET", "/"), ("GET", "/auth/"), ("POST", "/auth/token"), ("POST", "/livf/session")}


def test_what_changes_something_is_not_reading() -> None:
    reading = [route for route in routes.ROUTES if route.action is Action.READ and route.method not in ("GET", "HEAD")]
    assert [(route.method, route.path) for route in reading] == [("DELETE", "/livf/session")]


@pytest.mark.parametrize(("method", "path", "parts"), [
    ("POST", "/infer/livf_segmentation", {"model": "livf_segmentation"}), ("GET", "/info/", {}),
    ("POST", "/batch/infer/x", {"model": "x"}),
])  # fmt: skip
def test_finding(method: str, path: str, parts: dict[str, str]) -> None:
    match = routes.find(method, path)
    assert match is not None and match.parts == parts


@pytest.mark.parametrize("path", ["/infer/", "/infer/a/b", "/infer", "/info", "/info//", "//info/", "/INFO/", "", "/x"])
def test_not_finding(path: str) -> None:
    assert routes.find("POST", path) is None and routes.find("GET", path) is None


@pytest.mark.parametrize(
    "path", ["/infer/..", "/train/.x", "/session/1", "/activelearning/a%2fb", "/infer/a\nb", "/infer/é"]
)
def test_names_in_paths(path: str) -> None:
    with pytest.raises(UsageError):
        routes.find("POST", path) or routes.find("GET", path)


@pytest.mark.parametrize("value", ["first", "my scan", "T2 1.5mm", "Fall-7_α", "患者1", "a" * 200, "x.y.z"])
def test_image_ids(value: str) -> None:
    assert names.image_id(value, "image") == value


@pytest.mark.parametrize("value", ["", ".", "..", ".x", "a/b", "a\\b", "a\x00", "a\n", "a\x7f", "a:b", "a*", 'a"',
                                   "a|b", "a" * 201,
                                   " a", "a ", "\t"])  # fmt: skip
def test_what_is_no_image_id(value: str) -> None:
    with pytest.raises(UsageError):
        names.image_id(value, "image")


@pytest.mark.parametrize(("kind", "value"), [
    (names.word, "a..b"), (names.word, ""), (names.word, "-a"), (names.word, "a b"), (names.word, "x" * 65),
    (names.flag, "maybe"), (names.number, "-1"), (names.number, "1e3"), (names.number, "٣"), (names.number, "1" * 7),
    (names.checksum, "x"), (names.checksum, "SHA1:" + "a" * 40), (names.session_id, "a" * 36),
])  # fmt: skip
def test_what_is_no_such_value(kind: names.Kind, value: str) -> None:
    with pytest.raises(UsageError):
        kind(value, "what")


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_confined(tmp_path: Path) -> None:
    studies, state = tmp_path / "studies", tmp_path / "studies" / ".livf"
    (state / "converted").mkdir(parents=True)
    for path in (studies / "a.nii", state / "tokens.json", state / "converted" / "s.nii", tmp_path / "outside"):
        path.write_text("x")
    (studies / "inside.nii").symlink_to("a.nii")
    (studies / "out.nii").symlink_to(tmp_path / "outside")
    (studies / "tokens.nii").symlink_to(state / "tokens.json")
    (studies / "loop.nii").symlink_to("loop.nii")
    (studies / "away").symlink_to(tmp_path)
    for good in (studies / "a.nii", studies / "inside.nii", state / "converted" / "s.nii"):
        assert names.confined(str(good), studies, state / "converted", "a") == good
    for bad in ("", studies, studies / "out.nii", studies / "tokens.nii", state / "tokens.json", studies / "none",
                studies / ".." / "outside", studies / "away" / "outside", studies / "loop.nii"):  # fmt: skip
        with pytest.raises(NotFoundError):
            names.confined(str(bad), studies, state / "converted", "a")


def test_what_stock_clients_send_back_is_dropped() -> None:
    echoed = dict.fromkeys(ECHOED - {"client_id", "label_info"}, "x")
    assert parsed(InferParams, json.dumps({**echoed, "own": 1}), config=["own"]) == InferParams()
    assert (
        parsed(SaveParams, echoed) == SaveParams()
        and parsed(BatchParams, echoed | {"max_batch_size": 2}).max_batch_size == 2
    )


@pytest.mark.parametrize("key", ["bundle_path", "model_path", "path", "_target_", "__init__", "x" * 5000, "é"])
@pytest.mark.parametrize("kind", [InferParams, SaveParams, BatchParams, TrainParams])
def test_other_keys_are_refused_by_name(kind: Any, key: str) -> None:
    with pytest.raises(UsageError, match="is not a parameter") as refused:
        parsed(kind, {key: 1})
    assert refused.value.where == key[:64]


@pytest.mark.parametrize("params", [{"max_epochs": 0}, {"max_epochs": 10**9}, {"train_batch_size": 65},
                                    {"val_split": 1},
                                    {"name": "../x"}, {"max_epochs": "many"}, {"val_split": float("nan")}])  # fmt: skip
def test_bounds_of_a_training(params: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        parsed(TrainParams, params)


def test_good_params() -> None:
    given = parsed(InferParams, '{"level_at": "1,2.5,-3", "save_label": true, "label_tag": "original", "client_id": 7}')
    assert (
        given.level_at == (1, 2.5, -3)
        and given.save_label
        and given.label_tag == "original"
        and given.client_id is None
    )
    assert parsed(InferParams, None) == parsed(InferParams, "") == InferParams()


def test_what_a_client_tells_of_an_image() -> None:
    assert info_of('{"difficult": true}') == {"difficult": True}
    for key in ("path", "name", "strategy", "versions", "a b", "", "../x"):
        with pytest.raises(UsageError):
            info_of(json.dumps({key: 1}))


def test_segments() -> None:
    assert segments_of([{"name": "L4", "idx": 1, "other": "x" * 100}, 7]) == [{"name": "L4", "idx": 1}, 7]
    assert segments_of(None) is None and segments_of("x") == "x"
    with pytest.raises(UsageError, match="more than 64"):
        segments_of([{}] * 65)


def _read(receive: limits.Receive) -> bytes:
    async def all_of_it() -> bytes:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                return body

    return asyncio.run(all_of_it())


def _slowly(parts: list[bytes], pause: float) -> limits.Receive:
    async def receive() -> Any:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    return receive


def test_bounded_bodies() -> None:
    assert _read(limits.bounded(_slowly([b"ab", b"c"], 0), 3)) == b"abc"
    with pytest.raises(HTTPException) as refused:
        _read(limits.bounded(_slowly([b"ab", b"cd"], 0), 3))
    assert refused.value.status_code == 413


def test_slow_bodies() -> None:
    with pytest.raises(HTTPException) as idle:
        _read(limits.bounded(_slowly([b"ab"], 1), 9, idle_s=0.05))
    with pytest.raises(HTTPException) as dripping:
        _read(limits.bounded(_slowly([b"a"] * 100, 0.02), 1000, idle_s=1, grace_s=0.2))
    assert idle.value.status_code == dripping.value.status_code == 408


def test_a_client_that_goes_away_later_is_waited_for() -> None:
    async def work() -> str:
        messages = [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            await asyncio.sleep(0.1 if len(messages) == 1 else 0)
            return messages.pop(0)

        limited = limits.bounded(receive, 9, idle_s=0.05)
        await limited()
        return str((await limited())["type"])

    assert asyncio.run(work()) == "http.disconnect"


def test_a_client_that_takes_nothing_is_given_up() -> None:
    async def stuck(message: Any) -> None:
        await asyncio.sleep(5)

    async def work() -> None:
        await limits.patient(stuck, send_s=0.05)({"type": "http.response.body"})

    with pytest.raises(TimeoutError):
        asyncio.run(work())


def test_cleaning_texts(tmp_path: Path) -> None:
    scrub = Scrubber([tmp_path / "studies", tmp_path / "studies" / ".livf", Path("/")])
    root = str(tmp_path / "studies")
    assert scrub.text(f"no {root}/a b") == "no a b"
    assert scrub.text(f"'{root}/labels/final/x.nii.gz': bad") == "'x.nii.gz': bad"
    assert scrub.text(f"in {root}.") != "" and root not in scrub.text(f"in {root}, {root}/.livf/x and {root}")
    for harmless in ("GET /datastore/?output=all lists the images", "a/b/c", "/", "", "1/2 mm"):
        assert scrub.text(harmless) == harmless
    assert scrub.text(f"{root}-other/x") == f"{tmp_path.name}" or root not in scrub.text(f"{root}/x")


def test_cleaning_values(tmp_path: Path) -> None:
    scrub = Scrubber([tmp_path])
    value = {
        "path": f"{tmp_path}/x",
        f"{tmp_path}/key": [1, None, {"a": (f"{tmp_path}/y.nii", "z")}],
        "n": 1.5,
        "b": True,
    }
    assert scrub.value(value) == {"path": "", "key": [1, None, {"a": ["y.nii", "z"]}], "n": 1.5, "b": True}
    trace = (
        'x\nTraceback (most recent call last):\n  File "/a/b.py", line 3, in f\n    g()\n    ^^^\nValueError: no\nend'
    )
    assert scrub.value(trace) == "x\nValueError: no\nend"
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    scrub.value(deep)


def test_offers_end_and_are_bounded() -> None:
    now = [0.0]
    offers = Offers(clock=lambda: now[0])
    offers.make("10.0.0.1", "first", ANNA)
    offers.make("", "first", ANNA)
    assert offers.take("10.0.0.1", "second") is None and offers.take("10.0.0.2", "first") is None
    assert offers.take("", "first") is None
    assert offers.take("10.0.0.1", "first") is ANNA and offers.take("10.0.0.1", "first") is None
    offers.make("10.0.0.1", "first", ANNA)
    now[0] += OFFER_S
    assert offers.take("10.0.0.1", "first") is None
    for number in range(2000):
        offers.make("10.0.0.1", str(number), ANNA)
    assert len(offers._open) == 1000


def test_the_name_a_client_gives_itself() -> None:
    with acting(LOCAL):
        with named("user-xyz"):
            assert current() == Principal("user-xyz", frozenset(Role), verified=False)
        for bad in (None, "", "../x", "a b"):
            with named(bad):
                assert current() is LOCAL
    with acting(ANNA), named("user-xyz"):
        assert current() is ANNA
    with named("user-xyz"):
        assert current() is None
