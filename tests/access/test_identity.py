from __future__ import annotations

import asyncio
import contextvars
import threading

from livf.lib.access.identity import Principal, Role, acting, current

ANNA = Principal("anna", frozenset({Role.ANNOTATOR}), verified=True)
BERT = Principal("bert", frozenset({Role.ADMIN}), verified=False)


def test_nobody_acts_outside_a_request() -> None:
    assert current() is None


def test_the_inner_one_acts_and_the_outer_one_comes_back() -> None:
    with acting(ANNA):
        with acting(BERT):
            assert current() is BERT
        assert current() is ANNA
    assert current() is None


def test_comes_back_after_an_error() -> None:
    try:
        with acting(ANNA):
            raise ValueError
    except ValueError:
        assert current() is None


def test_follows_into_the_thread_that_works_for_a_request_and_not_into_others() -> None:
    async def request(who: Principal) -> Principal | None:
        with acting(who):
            await asyncio.sleep(0)
            return await asyncio.to_thread(current)

    async def both() -> list[Principal | None]:
        return list(await asyncio.gather(*(request(who) for who in (ANNA, BERT) * 20)))

    assert asyncio.run(both()) == [ANNA, BERT] * 20
    found: list[Principal | None] = []
    with acting(ANNA):
        other = threading.Thread(target=lambda: found.append(current()))
        other.start()
        other.join()
        copied = threading.Thread(target=contextvars.copy_context().run, args=(lambda: found.append(current()),))
        copied.start()
        copied.join()
    assert found == [None, ANNA]
