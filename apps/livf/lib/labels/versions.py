"""What is known about one saved label."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

#: Longest name of a user that is kept; a client calls itself what it likes.
LONGEST_NAME: Final = 200


class ReviewState(StrEnum):
    """How far a label has come."""

    DRAFT = "draft"
    REVIEWED = "reviewed"
    FINAL = "final"


class Author(StrEnum):
    """Who drew a label."""

    ANNOTATOR = "annotator"
    MODEL = "model"
    #: A file that was put into the labels' folder by hand; its user is not known.
    FOUND = "found"


@dataclass(frozen=True)
class User:
    """Under whom a label is kept.

    Attributes:
        name: The login; without one, what the client calls itself.
        verified: Whether it is a login.
    """

    name: str
    verified: bool

    @classmethod
    def unverified(cls, name: object) -> User:
        """Who a client says it is, without what a log or a list should not print; ``unknown`` where it says nothing."""
        printable = "".join(character for character in str(name or "") if character.isprintable()).strip()
        return cls(printable[:LONGEST_NAME] or "unknown", verified=False)


@dataclass(frozen=True)
class Parent:
    """What a label was made from: one of the two.

    Attributes:
        model: Version of the network whose result it was, or began as.
        version: Number of the version of the same case it began as.
    """

    model: str | None = None
    version: int | None = None


@dataclass(frozen=True)
class NewLabel:
    """A label that is about to be kept.

    Attributes:
        user: Under whom.
        author: Who drew it.
        tag: What the client calls it: ``final``, ``original``, another name.
        state: How far it has come.
        label_sha256: Of its voxels and grid, whatever the file format (:func:`livf.lib.export.document.label_hash`).
        suffix: Of its file.
        parent: What it was made from, if that is known.
        seconds_since_hand_out: From when this user was given the case, if that is known.
        info: What the client sent along; plain JSON values.
    """

    user: User
    author: Author
    tag: str
    state: ReviewState
    label_sha256: str
    suffix: str = ".nii.gz"
    parent: Parent | None = None
    seconds_since_hand_out: float | None = None
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Review:
    """A change of a version's state.

    Attributes:
        state: The new state.
        user: By whom.
        time: When, UTC.
    """

    state: ReviewState
    user: User
    time: datetime


@dataclass(frozen=True)
class LabelVersion:
    """A kept label. Its file and these facts never change; reviews and a withdrawal are kept beside them.

    Attributes:
        case: The image's id.
        number: Counts the case's history from 1; a later version has a higher number.
        label: What was known when it was saved.
        time: When it was saved, UTC.
        file_sha256: Of its file.
        file_bytes: Size of its file.
        path: Its file. Never hand it to what may delete or change it.
        reviews: What became of it, oldest first.
        withdrawn: Whether it was taken out of the datastore: kept, and no more to be learnt from.
    """

    case: str
    number: int
    label: NewLabel
    time: datetime
    file_sha256: str
    file_bytes: int
    path: Path
    reviews: tuple[Review, ...] = ()
    withdrawn: bool = False

    @property
    def state(self) -> ReviewState:
        """How far it has come, by its last review."""
        return self.reviews[-1].state if self.reviews else self.label.state

    def facts(self) -> dict[str, Any]:
        """What clients are told about it: plain values, no path."""
        new = self.label
        return {
            "version": self.number,
            "user": new.user.name,
            "verified": new.user.verified,
            "author": new.author.value,
            "state": self.state.value,
            "time": self.time.isoformat(timespec="microseconds"),
            "label_sha256": new.label_sha256,
            "file_sha256": self.file_sha256,
            "parent": parent_values(new.parent),
            "seconds_since_hand_out": new.seconds_since_hand_out,
        }


#: Names of :meth:`LabelVersion.facts`: a client that sends them cannot change them.
FACTS: Final = frozenset(
    {"version", "user", "verified", "author", "state", "time", "label_sha256", "file_sha256", "parent"}
    | {"seconds_since_hand_out"}
)


def state_of(tag: str, author: Author) -> ReviewState:
    """The state that saving under a tag means: the tag's own where it is one, and a draft for what a network drew."""
    return ReviewState(tag) if author is not Author.MODEL and tag in set(ReviewState) else ReviewState.DRAFT


def label_values(version: LabelVersion) -> dict[str, Any]:
    """A version as plain values, for its file."""
    new = version.label
    return {
        "case": version.case,
        "tag": new.tag,
        **version.facts(),
        "suffix": new.suffix,
        "file_bytes": version.file_bytes,
        "info": dict(new.info),
    }


def label_from(values: Mapping[str, Any], folder: Path) -> LabelVersion:
    """The inverse of :func:`label_values`, for a label in ``folder``.

    Raises:
        ValueError, KeyError, TypeError: The values are damaged.
    """
    seconds, suffix = values["seconds_since_hand_out"], _suffix(values["suffix"])
    return LabelVersion(
        case=str(values["case"]),
        number=int(values["version"]),
        label=NewLabel(
            user=user_from(values),
            author=Author(values["author"]),
            tag=str(values["tag"]),
            state=ReviewState(values["state"]),
            label_sha256=_hash(values["label_sha256"]),
            suffix=suffix,
            parent=_parent_from(values["parent"]),
            seconds_since_hand_out=None if seconds is None else float(seconds),
            info=dict(values["info"]),
        ),
        time=time_from(values),
        file_sha256=_hash(values["file_sha256"]),
        file_bytes=int(values["file_bytes"]),
        path=folder / f"label{suffix}",
    )


def parent_values(parent: Parent | None) -> dict[str, Any] | None:
    """A parent as plain values."""
    if parent is None:
        return None
    return {"model": parent.model} if parent.version is None else {"version": parent.version}


def user_from(values: Mapping[str, Any]) -> User:
    """Who it was, from an entry's values."""
    return User(str(values["user"]), bool(values["verified"]))


def time_from(values: Mapping[str, Any]) -> datetime:
    """When it was, from an entry's values."""
    return datetime.fromisoformat(values["time"])


def _parent_from(values: Mapping[str, Any] | None) -> Parent | None:
    return None if values is None else Parent(values.get("model"), values.get("version"))


def _suffix(value: Any) -> str:
    # It becomes a part of a file name.
    if not re.fullmatch(r"(\.[a-z]{2,5}){1,2}", str(value)):
        raise ValueError("is not a suffix")
    return str(value)


def _hash(value: Any) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", str(value)):
        raise ValueError("is not a SHA-256")
    return str(value)
