"""What a client may write in an address: names and numbers of known shapes, and files within known folders."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from livf.lib.errors import NotFoundError, UsageError

#: Takes a value and what it is called; raises UsageError for one that cannot mean anything.
Kind: TypeAlias = Callable[[str, str], str]

#: One component of a path that is not hidden, of any script: ids are file names that a site chose.
_IMAGE = re.compile(r"[^./\\\x00-\x1f\x7f:*?\"<>|][^/\\\x00-\x1f\x7f:*?\"<>|]{0,199}")
_WORD = re.compile(r"\w[\w.-]{0,63}", re.ASCII)
_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHECKSUM = re.compile(r"((SHA256|SHA512|MD5):)?[0-9a-fA-F]{32,128}")
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)
_FLAGS: Final = frozenset({"true", "false", "1", "0", "yes", "no", "on", "off"})


def optional(kind: Kind) -> Kind:
    """What ``kind`` takes, or nothing."""

    def check(value: str, what: str) -> str:
        return kind(value, what) if value else value

    return check


def image_id(value: str, what: str) -> str:
    """An image's id."""
    if not _IMAGE.fullmatch(value) or value != value.strip():
        raise UsageError("is not an image's id", what, "GET /datastore/?output=all lists the images")
    return value


def word(value: str, what: str) -> str:
    """The name of a tag, model, strategy or method."""
    if not _WORD.fullmatch(value) or ".." in value:
        raise UsageError("is not a name", what, "give letters, digits and _ . -, at most 64")
    return value


def session_id(value: str, what: str) -> str:
    """Id of an image session."""
    if not _SESSION.fullmatch(value):
        raise UsageError("is not a session's id", what, "create one with PUT /session/")
    return value


def checksum(value: str, what: str) -> str:
    """A file's hash, with its algorithm in front or not."""
    if not _CHECKSUM.fullmatch(value):
        raise UsageError("is not a checksum", what, "give SHA256:..., SHA512:... or MD5:...")
    return value


def flag(value: str, what: str) -> str:
    """True or false."""
    if value.lower() not in _FLAGS:
        raise UsageError("is not true or false", what, "give true or false")
    return value.lower()


def number(value: str, what: str) -> str:
    """A whole number from 0 to 999999."""
    if not _NUMBER.fullmatch(value):
        raise UsageError("is not a whole number", what, "give 0 to 999999")
    return value


def confined(path: str, studies: Path, converted: Path, what: str) -> Path:
    """A file that a store names, after every link is followed.

    Args:
        path: What the store gave for a client's name; empty where it has nothing.
        studies: The studies folder: nothing hidden in it is handed out.
        converted: The folder of images that the server converted.
        what: The client's name for it.

    Raises:
        NotFoundError: There is none, or it leads elsewhere.
    """
    # Unlike Path.resolve, realpath leaves a link to itself as it is.
    resolved = Path(os.path.realpath(path)) if path else None
    if resolved is None or not resolved.is_file():
        raise NotFoundError("there is no such file", what, "GET /datastore/?output=all lists images and labels")
    root = studies.resolve()
    plain = resolved.is_relative_to(root) and not any(part.startswith(".") for part in resolved.relative_to(root).parts)
    if not plain and not resolved.is_relative_to(converted.resolve()):
        raise NotFoundError("leads out of the studies folder", what, "put the file itself there, not a link")
    return Path(path)
