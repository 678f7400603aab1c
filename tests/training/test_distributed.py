"""What torchrun says, and the work that one process does for all."""

from __future__ import annotations

import pytest

from livf.lib.errors import InputError, UsageError
from livf.lib.training.distributed import Ranks, from_environment

WHOLE = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


def test_without_torchrun_there_is_one_process() -> None:
    assert from_environment({}) == Ranks(0, 1, 0)
    assert from_environment({}).first


def test_torchruns_environment_is_read() -> None:
    ranks = from_environment(WHOLE)
    assert ranks == Ranks(1, 4, 0)
    assert not ranks.first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"MASTER_ADDR": None}, "MASTER_ADDR is not set"),
        ({"RANK": "one"}, "not all numbers"),
        ({"RANK": "4"}, "RANK 4"),
    ],
)
def test_a_broken_environment_is_told(change: dict[str, str | None], said: str) -> None:
    environment = {name: value for name, value in (WHOLE | change).items() if value is not None}
    with pytest.raises(UsageError, match=said):
        from_environment(environment)


def test_alone_the_first_process_just_works() -> None:
    assert Ranks().first_does(lambda: 3) == 3

    def fail() -> None:
        raise InputError("is bad")

    with pytest.raises(InputError):
        Ranks().first_does(fail)
