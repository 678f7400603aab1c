"""One server for one studies folder: a lock that the system takes back when its process ends, however it ends."""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from livf.lib.backup import unfinished
from livf.lib.errors import LivfError, OutputError
from livf.lib.storage import make_folder

if TYPE_CHECKING:
    from filelock import FileLock  # `livf --help` works where it is not installed

#: In the studies folder; hidden, since MONAI Label's clients and the watcher look at what is not.
STUDIES_LOCK: Final = ".livf.lock"
#: In the state folder, which may be elsewhere and must not be shared by two studies folders either.
STATE_LOCK: Final = "lock"

_held: dict[Path, FileLock] = {}
_holding = threading.Lock()


def claim(studies: Path, state: Path) -> None:
    """Make this process the server of a studies folder and its state, until it ends.

    A second claim by the same process does nothing. The lock lies on the system's own file locks (``flock``), so one
    of a dead process is free by itself; its file stays, and says who has it or had it last.

    Raises:
        LivfError: Another process has claimed one of the folders, or a restore into the studies folder did not end.
        OutputError: A folder cannot be written.
    """
    if unfinished(studies):
        raise LivfError("a restore into this folder did not end", studies, "empty the folder and restore it again")
    make_folder(state)
    with _holding:
        for folder, name in ((studies, STUDIES_LOCK), (state, STATE_LOCK)):
            _lock(folder, (folder / name).resolve())


def release(studies: Path, state: Path) -> None:
    """Give the folders up before the process ends."""
    with _holding:
        for path in ((studies / STUDIES_LOCK).resolve(), (state / STATE_LOCK).resolve()):
            if (lock := _held.pop(path, None)) is not None:
                lock.release()


def _lock(folder: Path, path: Path) -> None:
    from filelock import FileLock, Timeout

    if path in _held:
        return
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
        # Written into the locked file itself: whoever finds it locked can say by whom.
        path.write_text(
            json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat()}),
            encoding="utf-8",
        )
    except Timeout as error:
        raise LivfError(
            f"is served by another livf server ({_holder(path)})", folder, "stop that one, or serve another folder"
        ) from error
    except OSError as error:
        lock.release()
        raise OutputError.from_os_error(error, folder) from error
    _held[path] = lock


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads(path.read_text(encoding="utf-8"))
        return f"process {int(said['pid'])} on {said['host']}, since {str(said['since'])[:19]} UTC"
    return "it does not say which"
