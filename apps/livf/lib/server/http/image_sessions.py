"""Images that a client sends to have them segmented, kept for a while and not added to the datastore.

MONAI Label's session store joins a client's session id to a path, numbers sessions by the clock, unpacks archives
and keeps any number of any size. It is used here by numbers of our own, under bounds.
"""

from __future__ import annotations

import shutil
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monailabel.interfaces.app import MONAILabelApp
from monailabel.utils.sessions import SessionInfo, Sessions

from livf.lib.access.identity import Principal
from livf.lib.errors import LivfError, NotFoundError
from livf.lib.server.http.busy import BusyError

#: Most sessions of one person and of all, their longest life (s), and the most bytes of one and of all.
MAX_OF_ONE: Final = 4
MAX_OF_ALL: Final = 64
MAX_AGE_S: Final = 3600
MAX_BYTES: Final = 2 << 30
MAX_BYTES_OF_ALL: Final = 16 << 30
_LEAST_AGE_S: Final = 60


@dataclass(frozen=True)
class _Kept:
    owner: str
    ends: float
    size: int


class ImageSessions:
    """The sessions that this server has opened."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._changing = threading.Lock()

    def add(self, app: MONAILabelApp, image: Path, expiry: int, owner: Principal | None) -> tuple[str, dict[str, Any]]:
        """Keep an image.

        Args:
            app: Whose store.
            image: A file, or a folder of a DICOM series; it is moved.
            expiry: How long, s; 0 for the longest.
            owner: Who may use it.

        Returns:
            The session's id, and what a client is told about it.

        Raises:
            BusyError: There are too many.
            NotFoundError: The site has no sessions.
        """
        store = _store(app)
        size = sum(path.stat().st_size for path in (image.rglob("*") if image.is_dir() else [image]) if path.is_file())
        age = min(expiry, MAX_AGE_S) if expiry >= _LEAST_AGE_S else MAX_AGE_S
        name = owner.name if owner else ""
        with self._changing:
            self._sweep(store)
            of_one = [key for key, kept in self._kept.items() if kept.owner == name]
            if len(of_one) >= MAX_OF_ONE:
                self._remove(store, of_one[0])  # a client opens a new one and forgets the old
            if len(self._kept) >= MAX_OF_ALL or sum(k.size for k in self._kept.values()) + size > MAX_BYTES_OF_ALL:
                raise BusyError("there are too many sessions", "", "try again later, or add the image to the datastore")
            number = str(uuid.uuid4())
            _, info = store.add_session(str(image), age, False, number)
            self._kept[number] = _Kept(name, time.monotonic() + age, size)
        return number, _told(info)

    def image(self, app: MONAILabelApp, number: str, owner: Principal | None) -> Path:
        """The image of a session."""
        return Path(self._info(app, number, owner).image)

    def told(self, app: MONAILabelApp, number: str, owner: Principal | None) -> dict[str, Any]:
        """What a client is told about a session."""
        return _told(self._info(app, number, owner))

    def remove(self, app: MONAILabelApp, number: str, owner: Principal | None) -> dict[str, Any]:
        """End a session."""
        info = self._info(app, number, owner)
        with self._changing:
            self._remove(_store(app), number)
        return _told(info)

    def _info(self, app: MONAILabelApp, number: str, owner: Principal | None) -> SessionInfo:
        store = _store(app)
        with self._changing:
            self._sweep(store)
            kept = self._kept.get(number)
            # Somebody else's session is not there.
            if kept is None or kept.owner != (owner.name if owner else ""):
                raise NotFoundError("there is no such session", number, "create one with PUT /session/")
            info = store.get_session(number)
        if not info:
            raise NotFoundError("there is no such session", number, "create one with PUT /session/")
        return info

    def _sweep(self, store: Sessions) -> None:
        now = time.monotonic()
        for number in [key for key, kept in self._kept.items() if now >= kept.ends]:
            self._remove(store, number)

    def _remove(self, store: Sessions, number: str) -> None:
        self._kept.pop(number, None)
        store.remove_session(number)


def _store(app: MONAILabelApp) -> Sessions:
    store = app.sessions()
    if store is None:
        raise NotFoundError("sessions are turned off on this server", "", "add the image to the datastore")
    return store


def _told(info: SessionInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "path": "",
        "image": Path(info.image).name,
        "meta": {},
        "create_ts": info.create_ts,
        "last_access_ts": info.last_access_ts,
        "expiry": info.expiry,
    }


def fits(upload_bytes: int, folder: Path) -> None:
    """Refuse what is larger than a session may be, or than the disk has room for.

    Raises:
        LivfError: It is.
    """
    if upload_bytes > MAX_BYTES:
        raise LivfError(f"is larger than {MAX_BYTES} bytes", "the image", "crop it to the lumbar spine")
    if upload_bytes > shutil.disk_usage(folder).free // 2:
        raise BusyError("has no room for it", "the server", "try again later")
