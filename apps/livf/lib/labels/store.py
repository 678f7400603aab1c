"""Versions of labels in a folder: written once, never changed, numbered per case.

Each case has a folder, and in it a numbered history of entries: a saved label (``label.nii.gz`` and what is known
about it), a review of one, or a withdrawal. An entry is a folder that is filled under a temporary name, flushed and
renamed, so that it is there whole or not at all, and two processes that write at once get two numbers without a lock.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from livf.lib.errors import InputError, NotFoundError
from livf.lib.labels.versions import (
    LabelVersion,
    NewLabel,
    Review,
    ReviewState,
    User,
    label_from,
    label_values,
    time_from,
    user_from,
)
from livf.lib.storage import make_folder, making_folder, publish, remove_left_behind, write_text

logger = logging.getLogger(__name__)

SCHEMA: Final = "livf.label-history/1"
_ENTRY: Final = "entry.json"
_NUMBER: Final = re.compile(r"\d{6,}")
#: What a client sends along with a label: names of segments and the like, some hundred bytes.
_LARGEST_INFO: Final = 256 * 1024


@dataclass(frozen=True)
class Fault:
    """An entry that cannot be used.

    Attributes:
        entry: Its folder.
        what: What is wrong.
    """

    entry: Path
    what: str


class _DamagedError(Exception):
    """Says in its text what is wrong with an entry."""


class LabelStore:
    """All versions of the labels of a site.

    Safe against other threads and processes. Building one touches nothing.

    Args:
        folder: Where they are; made when the first is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, case: str, label: NewLabel, write: Callable[[Path], None]) -> LabelVersion:
        """Keep a label; when this returns, it is on the disk.

        Args:
            case: The image's id.
            label: What is known about it.
            write: Writes the label to the path it is given.

        Raises:
            InputError: ``label.info`` is not plain JSON, or far too long.
            OutputError: It cannot be written; nothing is left of it.
        """
        _refuse_bad(label.info)
        file = f"label{label.suffix}"

        def fill(folder: Path, number: int, time: datetime) -> dict[str, Any]:
            path = folder / file
            if not path.exists():
                write(path)
            version = LabelVersion(case, number, label, time, sha256_of(path), path.stat().st_size, path)
            return {"kind": "label", **label_values(version)}

        return self.version(case, self._append(case, fill))

    def review(self, case: str, number: int, state: ReviewState, user: User) -> LabelVersion:
        """Note that a version has come to another state.

        Raises:
            NotFoundError: There is no such version.
            OutputError: It cannot be written.
        """
        self.version(case, number)
        self._append(
            case, lambda *_: {"kind": "review", "case": case, "of": number, "state": state.value, **_who(user)}
        )
        return self.version(case, number)

    def withdraw(self, case: str, tag: str, user: User) -> None:
        """Note that what a case has under a tag was taken out of the datastore; all versions stay.

        Raises:
            OutputError: It cannot be written.
        """
        self._append(case, lambda *_: {"kind": "withdrawal", "case": case, "tag": tag, **_who(user)})

    def cases(self) -> tuple[str, ...]:
        """The ids of all images that have a history."""
        found = {str(values["case"]) for _, values in self._all_entries() if "case" in values}
        return tuple(sorted(found))

    def versions(self, case: str) -> tuple[LabelVersion, ...]:
        """The versions of a case, oldest first; damaged entries are left out (see :meth:`faults`)."""
        return tuple(self._read(self._folder / folder_name(case), case, []))

    def version(self, case: str, number: int) -> LabelVersion:
        """One version.

        Raises:
            NotFoundError: There is none with this number, or it is damaged.
        """
        for version in self.versions(case):
            if version.number == number:
                return version
        raise NotFoundError(f"has no label version {number}", case, "ask for the image's versions")

    def newest(self, case: str, tag: str) -> LabelVersion | None:
        """What a client sees under a tag: the last one saved or, for ``final``, made final by a review."""
        history = [version for version in self.versions(case) if not version.withdrawn]
        if tag == ReviewState.FINAL:
            # One that a review sent back is final no more.
            shown = [v for v in history if (v.state is ReviewState.FINAL if v.reviews else v.label.tag == tag)]
            return max(shown, key=lambda v: v.reviews[-1].time if v.reviews else v.time, default=None)
        return next((version for version in reversed(history) if version.label.tag == tag), None)

    def clean(self) -> int:
        """Remove what killed writers left; only for who knows that nobody writes now. Returns how many there were."""
        return remove_left_behind(self._folder, inside=True)

    def faults(self, *, thorough: bool = False) -> tuple[Fault, ...]:
        """The entries that cannot be used.

        Args:
            thorough: Also read every label and compare its SHA-256; otherwise only its size.
        """
        faults: list[Fault] = []
        for folder in self._case_folders():
            for version in self._read(folder, None, faults):
                if thorough and sha256_of(version.path) != version.file_sha256:
                    faults.append(Fault(version.path.parent, "its label is damaged (SHA-256)"))
        return tuple(faults)

    def _append(self, case: str, fill: Callable[[Path, int, datetime], Mapping[str, Any]]) -> int:
        """Write an entry under the next free number, and return that."""
        history = self._folder / folder_name(case)
        make_folder(history)
        with making_folder(history / "entry") as temporary:
            while True:
                number, time = self._next(history)
                values = {"schema": SCHEMA, "time": time.isoformat(timespec="microseconds")}
                values |= fill(temporary, number, time)
                write_text(temporary / _ENTRY, json.dumps(values, indent=1, allow_nan=False))
                for file in temporary.iterdir():
                    file.chmod(0o444)
                if publish(temporary, history / f"{number:06d}"):
                    return number
                (temporary / _ENTRY).chmod(0o644)

    def _next(self, history: Path) -> tuple[int, datetime]:
        """The next free number, and a time that is not before the last entry's, also if the clock was set back."""
        number, now = 1, datetime.now(UTC)
        if taken := _numbers(history):
            number = max(taken) + 1
            with suppress(_DamagedError, ValueError, KeyError, TypeError):
                now = max(now, time_from(_values(taken[max(taken)])) + timedelta(microseconds=1))
        return number, now

    def _read(self, folder: Path, case: str | None, faults: list[Fault]) -> Iterator[LabelVersion]:
        """The versions in one case's folder, with what became of them."""
        labels: dict[int, LabelVersion] = {}
        for number, entry in sorted(_numbers(folder).items()):
            try:
                values = _values(entry)
                if case is not None and values["case"] != case:
                    raise _DamagedError("it belongs to another image")
                _apply(values, number, entry, labels)
            except _DamagedError as error:
                faults.append(Fault(entry, str(error)))
            except (ValueError, KeyError, TypeError, AttributeError):
                faults.append(Fault(entry, "what is known about it is damaged"))
        yield from labels.values()

    def _case_folders(self) -> list[Path]:
        with suppress(FileNotFoundError):
            return sorted(Path(e.path) for e in os.scandir(self._folder) if e.is_dir() and not e.name.startswith("."))
        return []

    def _all_entries(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        for folder in self._case_folders():
            for entry in _numbers(folder).values():
                with suppress(_DamagedError):
                    yield entry, _values(entry)
                    break


def folder_name(case: str) -> str:
    """The folder of a case: readable, and different for every id also where case and accents make no difference."""
    readable = re.sub(r"[^a-z0-9]+", "-", case.casefold()).strip("-")[:60] or "case"
    digest = hashlib.sha256(case.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{readable}-{digest[:12]}"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _numbers(folder: Path) -> dict[int, Path]:
    with suppress(FileNotFoundError):
        return {int(e.name): Path(e.path) for e in os.scandir(folder) if _NUMBER.fullmatch(e.name)}
    return {}


def _values(entry: Path) -> Mapping[str, Any]:
    try:
        values = json.loads((entry / _ENTRY).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _DamagedError("what is known about it cannot be read") from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise _DamagedError(f"what is known about it is not {SCHEMA}")
    return values


def _apply(values: Mapping[str, Any], number: int, entry: Path, labels: dict[int, LabelVersion]) -> None:
    """Take one entry into a case's history."""
    if values["kind"] == "label":
        version = label_from(values, entry)
        path = version.path
        if version.number != number:
            raise _DamagedError("its number is not its folder's")
        if not path.is_file() or path.stat().st_size != version.file_bytes:
            raise _DamagedError("its label is missing or cut")
        labels[number] = version
    elif values["kind"] == "review" and values["of"] in labels:
        review = Review(ReviewState(values["state"]), user_from(values), time_from(values))
        before = labels[values["of"]]
        # Whoever reviews what was taken out puts it back.
        labels[before.number] = dataclasses.replace(before, reviews=(*before.reviews, review), withdrawn=False)
    elif values["kind"] == "withdrawal":
        for version in labels.values():
            shown_as_final = values["tag"] == ReviewState.FINAL and version.state is ReviewState.FINAL
            if version.label.tag == values["tag"] or shown_as_final:
                labels[version.number] = dataclasses.replace(version, withdrawn=True)


def _who(user: User) -> dict[str, Any]:
    return {"user": user.name, "verified": user.verified}


def _refuse_bad(info: Mapping[str, Any]) -> None:
    try:
        length = len(json.dumps(dict(info), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError("cannot be kept as JSON", "params", "send finite numbers, texts and lists") from error
    if length > _LARGEST_INFO:
        raise InputError(f"has {length} characters", "params", f"send at most {_LARGEST_INFO}")
