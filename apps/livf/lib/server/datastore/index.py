"""The index of a folder store: what is known about its images and labels, in ``datastore_v2.json``.

MONAI Label's own store writes this file in place, empties and fills the list that requests in other threads read, and
logs the names of files. Here it is written whole, changed from its newest state, also when another process (batch
inference) wrote it, and what readers hold is never changed under them. It holds nothing that cannot be made anew from
the files but the notes of clients: a damaged one is set aside and the folder listed again.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore, LocalDatastoreModel
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

from livf.lib.errors import LivfError, OutputError
from livf.lib.images import is_readable_name
from livf.lib.storage import make_folder, write_text

logger = logging.getLogger(__name__)

#: Where the images and labels are, in the studies folder; an index that says otherwise is not believed.
_IMAGES: Final = "."
_LABELS: Final = "labels"


class IndexedStore(LocalDatastore):  # type: ignore[misc]  # monailabel has no types
    """A folder store whose index is safe against other threads and processes.

    Args:
        path: The folder.
        extensions: Patterns of image names.
        auto_reload: Whether to watch the folder.
        aside: Where damaged files are moved to.

    Raises:
        OutputError: The folder cannot be written.
    """

    _datastore: LocalDatastoreModel
    _config_ts: float

    def __init__(self, path: str, extensions: list[str], auto_reload: bool, aside: Path) -> None:
        # Requests and the folder's watcher run in threads of their own; each change is made by one of them at a time.
        self._changing = threading.RLock()
        self._aside = aside
        self._file_lock: FileLock | None = None
        #: Whether the index was there, had to be made anew, or is the first.
        self.index_was = "new"
        try:
            super().__init__(path, extensions=extensions, auto_reload=False)
        except OSError as error:
            raise OutputError.from_os_error(error, path) from error
        if auto_reload:
            self._watch()

    @abstractmethod
    def _found_label(self, image_id: str, tag: str, path: Path) -> dict[str, Any]:
        """What is known about a label that the index does not know."""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other threads and processes from changing the index, and take over what they changed."""
        if self._file_lock is None:
            self._file_lock = FileLock(self._lock_file)
        with self._changing, self._file_lock:
            self._read_index()
            yield

    @contextmanager
    def _index_locked(self) -> Iterator[None]:
        """Change the index from its newest state; it is on the disk when the block ends, or as before it."""
        with self._locked():
            before = self._datastore
            try:
                yield
                self._write_index()
            except BaseException:
                self._datastore = before
                raise

    def _set_image(self, image_id: str, entry: ImageLabelModel) -> None:
        """Put an image's entry into the index. Readers in other threads keep the list they have."""
        objects = {**self._datastore.objects, image_id: entry}
        self._datastore = self._datastore.model_copy(update={"objects": objects})

    def _set_label(self, image_id: str, tag: str, label: DataModel | None) -> None:
        """Put a label into the index, or with None take it out."""
        entry = self._datastore.objects[image_id]
        labels = {name: known for name, known in entry.labels.items() if name != tag}
        if label is not None:
            labels[tag] = label
        self._set_image(image_id, entry.model_copy(update={"labels": labels}))

    def _set_aside(self, path: Path) -> None:
        """Move a damaged file out of the way, and keep it."""
        make_folder(self._aside)
        target = self._aside / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{path.name}"
        path.replace(target)

    # Inner parts of the stock store.

    def _reconcile_datastore(self) -> None:
        """Bring the index to what is in the folder."""
        with self._locked():
            objects = self._listed(self._datastore.objects)
            if objects != self._datastore.objects or not os.path.exists(self._datastore_config_path):
                self._datastore = self._datastore.model_copy(update={"objects": objects})
                self._write_index()

    def _listed(self, known: Mapping[str, ImageLabelModel]) -> dict[str, ImageLabelModel]:
        """Every image that is there with every label that is there, and what was known about them."""
        labels: dict[str, dict[str, DataModel]] = {}
        for tag in self._tags():
            for name in self._list_files(self._datastore.label_path(tag), ()):
                image_id, suffix = self._to_id(name)
                if not suffix:
                    continue
                entry = known.get(image_id)
                label = entry.labels.get(tag) if entry else None
                if label is None or label.ext != suffix:
                    label = DataModel(info={}, ext=suffix)
                labels.setdefault(image_id, {})[tag] = label
        objects: dict[str, ImageLabelModel] = {}
        found = dict(self._to_id(name) for name in self._list_files(self._datastore.image_path(), ()))
        for image_id in [*(i for i in known if i in found), *(i for i in found if i not in known)]:
            entry, suffix = known.get(image_id), found[image_id]
            if entry is None or entry.image.ext != suffix:
                info = {"ts": int(time.time()), "name": self._filename(image_id, suffix)}
                entry = ImageLabelModel(image=DataModel(info=info, ext=suffix))
            own = {tag: self._told(image_id, tag, label) for tag, label in labels.get(image_id, {}).items()}
            objects[image_id] = entry.model_copy(update={"labels": own})
        return objects

    def _told(self, image_id: str, tag: str, label: DataModel) -> DataModel:
        if label.info:
            return label
        name = self._filename(image_id, label.ext)
        info = self._found_label(image_id, tag, Path(self._datastore.label_path(tag)) / name)
        return DataModel(info={"ts": int(time.time()), **info, "name": name}, ext=label.ext)

    def _tags(self) -> list[str]:
        """The tags that have a folder; a link is none, since it may lead anywhere."""
        entries = os.scandir(self._datastore.label_path(None))
        return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        with self._locked():
            pass

    def _update_datastore_file(self, lock: bool = True) -> None:
        with self._index_locked():
            pass

    def _read_index(self) -> None:
        """Take over the index if another process wrote it; one that is damaged is set aside."""
        path = Path(self._datastore_config_path)
        try:
            written = path.stat().st_mtime
        except FileNotFoundError:
            return
        if written == self._config_ts:
            return
        try:
            index = LocalDatastoreModel.model_validate_json(path.read_bytes())
        except ValueError:
            self._set_aside(path)
            self.index_was = "damaged"
            logger.warning("the index is damaged: it was set aside, and the folder is listed again")
            return
        index.base_path, index.images_dir, index.labels_dir = self._datastore_path, _IMAGES, _LABELS
        if self._config_ts == 0:
            self.index_was = "read"
        self._datastore, self._config_ts = index, written

    def _write_index(self) -> None:
        content = json.dumps(self._datastore.model_dump(exclude={"base_path"}), indent=2, default=str)
        write_text(self._datastore_config_path, content)
        self._config_ts = os.stat(self._datastore_config_path).st_mtime

    def _watch(self) -> None:
        """Notice images, labels and indices that others put into the folder or take out of it.

        The stock store watches everything below the folder; versions of labels and DICOM series would use up the
        system's watches. Files appear by a rename here, which it does not look for.
        """
        handler = _Watcher(self._noticed, os.path.basename(self._datastore_config_path))
        observer = PollingObserver() if self._is_on_mount(self._datastore.image_path()) else Observer()
        try:
            observer.schedule(handler, self._datastore_path, recursive=False)
            observer.schedule(handler, self._datastore.label_path(None), recursive=True)
            observer.start()
        except OSError as error:
            logger.warning("the folder is not watched, files put there are not noticed: %s", error.strerror)

    def _noticed(self) -> None:
        try:
            self.refresh()
        except (OSError, LivfError) as error:
            # Raised, it would end the watching for good.
            logger.warning("the folder could not be listed again: %s", getattr(error, "what", error))


class _Watcher(FileSystemEventHandler):
    """Tells when an image, a label or the index has come, gone or changed.

    Args:
        notice: What to call.
        index: The index's file name.
    """

    def __init__(self, notice: Callable[[], None], index: str) -> None:
        self._notice = notice
        self._index = index

    def dispatch(self, event: FileSystemEvent) -> None:
        paths = {os.fsdecode(path) for path in (event.src_path, event.dest_path) if path}
        names = {name for path in paths if not (name := os.path.basename(path)).startswith(".")}
        if event.is_directory:
            return
        if event.event_type in ("created", "deleted", "moved"):
            listed = any(is_readable_name(name) or name == self._index for name in names)
        else:
            listed = event.event_type == "modified" and self._index in names
        if listed:
            self._notice()
