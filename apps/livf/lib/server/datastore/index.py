"""The index of a folder store: what is known about its images and labels, in ``datastore_v2.json``.

MONAI Label's own store writes this file in place, and empties and fills the list that requests in other threads read.
Here it is written whole, and changed from its newest state, also when another process (batch inference) wrote it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import ImageLabelModel, LocalDatastore, LocalDatastoreModel

from livf.lib.errors import InputError
from livf.lib.storage import write_text

logger = logging.getLogger(__name__)


class IndexedStore(LocalDatastore):  # type: ignore[misc]  # monailabel has no types
    """A folder store whose index is safe against other threads and processes.

    Args:
        path: The folder.
        extensions: Patterns of image names.
        auto_reload: Whether to watch the folder.
    """

    _datastore: LocalDatastoreModel
    _config_ts: float

    def __init__(self, path: str, extensions: list[str], auto_reload: bool) -> None:
        # Requests and the folder's watcher run in threads of their own; each change is made by one of them at a time.
        self._changing = threading.RLock()
        super().__init__(path, extensions=extensions, auto_reload=auto_reload)
        if auto_reload:
            # Files appear by a rename here, which the stock store does not look for.
            self._handler.on_moved = self._on_any_event

    @contextmanager
    def _index_locked(self) -> Iterator[None]:
        """Change the index: against other threads and processes, from its newest state, written when the block ends."""
        with self._changing, FileLock(self._lock_file):
            self._read_index()
            yield
            self._write_index()

    # Inner parts of the stock store.

    def _remove_non_existing(self) -> int:
        """Forget files that are gone; readers see the old list or the new one, never a half of it."""
        self._init_from_datastore_file()
        gone = 0
        objects: dict[str, ImageLabelModel] = {}
        for image_id, entry in list(self._datastore.objects.items()):
            if not os.path.exists(
                os.path.join(self._datastore.image_path(), self._filename(image_id, entry.image.ext))
            ):
                gone += 1
                continue
            labels = {
                tag: label
                for tag, label in entry.labels.items()
                if os.path.exists(os.path.join(self._datastore.label_path(tag), self._filename(image_id, label.ext)))
            }
            gone += len(entry.labels) - len(labels)
            objects[image_id] = entry.model_copy(update={"labels": labels})
        if gone:
            self._datastore = self._datastore.model_copy(update={"objects": objects})
        return gone

    def _reconcile_datastore(self) -> None:
        with self._changing:
            super()._reconcile_datastore()

    def _on_any_event(self, event: object) -> None:
        self.refresh()

    def _on_modify_event(self, event: Any) -> None:
        if event.src_path == self._datastore_config_path:
            self.refresh()

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        with self._changing, FileLock(self._lock_file):
            try:
                self._read_index()
            except ValueError as error:
                if throw_exception:
                    raise InputError(
                        "is damaged", self._datastore_config_path, "remove it: images and labels are listed anew"
                    ) from error
                logger.error("%s is damaged and was not read again", self._datastore_config_path)

    def _update_datastore_file(self, lock: bool = True) -> None:
        with FileLock(self._lock_file) if lock else nullcontext():
            self._write_index()

    def _read_index(self) -> None:
        """Take over the index if another process wrote it."""
        path = Path(self._datastore_config_path)
        if path.exists() and (written := path.stat().st_mtime) != self._config_ts:
            index = LocalDatastoreModel.model_validate_json(path.read_text(encoding="utf-8"))
            index.base_path = self._datastore_path
            self._datastore, self._config_ts = index, written

    def _write_index(self) -> None:
        content = json.dumps(self._datastore.model_dump(exclude={"base_path"}), indent=2, default=str)
        write_text(self._datastore_config_path, content)
        self._config_ts = os.stat(self._datastore_config_path).st_mtime
