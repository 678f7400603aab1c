"""The audit log: one JSON line for each thing that was done or refused, by day, never changed.

A line is one write to a file that is open for appending, so lines of several threads and processes do not mix. It
names people by their login and cases by their image's id. Nothing else of a request gets in, so no patient's name
does, unless a site names its image files by them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from livf.lib.errors import OutputError
from livf.lib.storage import make_folder

#: Longest text of one field: a line stays far below what a system writes at once.
_MAX_TEXT: Final = 256


@dataclass(frozen=True)
class Record:
    """One line of the audit log.

    Attributes:
        action: What was asked for, of ``permissions.Action``, or ``login``, ``logout``.
        route: Method and path pattern of the request.
        status: HTTP status of the answer: below 400 it was done.
        who: Login, or what the client calls itself; None where nobody is known.
        verified: Whether ``who`` was proved.
        address: Where the request came from.
        request: Id of the request, also in the server's log.
        case: Id of the image.
        tag: Tag of the label.
        label_sha256: Hash of the label that was stored or made, as in the measurement document.
        model: Version of the network that made a result.
    """

    action: str
    route: str
    status: int
    who: str | None = None
    verified: bool = False
    address: str | None = None
    request: str | None = None
    case: str | None = None
    tag: str | None = None
    label_sha256: str | None = None
    model: str | None = None


class AuditLog:
    """Writes the audit log of a site.

    Args:
        state: The site's state folder; the log is ``audit/YYYY-MM-DD.jsonl`` in it, by UTC days.
        now: The time, UTC.
    """

    def __init__(self, state: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.folder = state / "audit"
        self._now = now

    def write(self, record: Record) -> None:
        """Append a line, and return when it is on the disk.

        Raises:
            OutputError: It cannot be written.
        """
        now = self._now()
        content = {field.name: _bounded(getattr(record, field.name)) for field in fields(record)}
        line = json.dumps({"time": now.isoformat(timespec="milliseconds"), **content}, ensure_ascii=True) + "\n"
        path = self.folder / f"{now:%Y-%m-%d}.jsonl"
        make_folder(self.folder)
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                encoded = (_mended(handle) + line).encode("ascii")
                if os.write(handle, encoded) != len(encoded):
                    raise OSError("the line was cut short")
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise OutputError.from_os_error(error, "the audit log") from error


def _mended(handle: int) -> str:
    """What ends a line that a full disk or a power cut left without its end."""
    size = os.fstat(handle).st_size
    if size == 0:
        return ""
    os.lseek(handle, size - 1, os.SEEK_SET)
    return "" if os.read(handle, 1) == b"\n" else "\n"


def _bounded(value: object) -> object:
    return value[:_MAX_TEXT] if isinstance(value, str) else value
