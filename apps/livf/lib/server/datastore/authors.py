"""Who saves a label, and what it began as, from what a client sends and what the server remembers."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from livf.lib.access.identity import current
from livf.lib.errors import InputError
from livf.lib.labels import Author, Parent, User

#: How many answers to remember: those of a day with dozens of annotators.
_REMEMBERED: Final = 10_000


def acting_user(info: Mapping[str, Any]) -> User:
    """Who acts: the login of the request; without one, what the client calls itself, unverified.

    Args:
        info: What the client sent along; MONAI Label's clients add ``client_id``.
    """
    principal = current()
    if principal is not None:
        return User(principal.name, principal.verified)
    return User.unverified(info.get("client_id"))


def author_of(info: Mapping[str, Any]) -> Author:
    """Who drew a label: the server notes the task and what the task said when it stores a result itself."""
    params = info.get("params")
    by_model = bool(info.get("model")) and isinstance(params, dict) and "level_status" in params
    return Author.MODEL if by_model else Author.ANNOTATOR


@dataclass(frozen=True)
class _Answer:
    model: str
    at: float


class Answers:
    """Which network answered whom about which image, so that a correction knows what it began as.

    Kept in memory: after a restart the origin of a correction under work is not known, and it is kept without.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, User], _Answer] = OrderedDict()
        self._changing = threading.Lock()

    def note(self, image: str, user: User, model: str) -> None:
        """Remember that ``user`` was given ``model``'s result for ``image``."""
        with self._changing:
            self._answers[image, user] = _Answer(model, time.time())
            self._answers.move_to_end((image, user))
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)

    def model(self, image: str, user: User) -> str | None:
        """The network whose result for ``image`` the user was given last."""
        with self._changing:
            answer = self._answers.get((image, user))
        return answer.model if answer else None


def parent_of(info: Mapping[str, Any], author: Author, answered: str | None) -> Parent | None:
    """What a label was made from.

    Args:
        info: What the client sent along: ``parent`` may be the number of the version it opened.
        author: Who drew it.
        answered: The network whose result this user was given last for the image.

    Raises:
        InputError: ``parent`` is not a number.
    """
    if author is Author.MODEL:
        model = info["params"].get("model")
        return Parent(model=str(model)) if model else None
    given = info.get("parent")
    if given is not None:
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise InputError("is not the number of a version", "parent", "send the number of the version you opened")
        return Parent(version=given)
    return Parent(model=answered) if answered else None


def seconds_since_hand_out(
    image_info: Mapping[str, Any], info: Mapping[str, Any], user: User, now: float
) -> float | None:
    """Time from when a user was last given an image to now, s; None where it was not given to them.

    Args:
        image_info: What the index knows about the image: MONAI Label notes there under ``strategy`` when it gave the
            image to which client.
        info: What the client sent along.
        user: Who saves.
        now: Seconds since the epoch.
    """
    strategies = image_info.get("strategy")
    names = {name for name in (user.name, info.get("client_id")) if isinstance(name, str)}
    given = [
        float(entry["ts"])
        for entry in (strategies.values() if isinstance(strategies, dict) else ())
        if isinstance(entry, dict) and entry.get("client_id") in names and isinstance(entry.get("ts"), int | float)
    ]
    return round(max(0.0, now - max(given)), 1) if given else None
