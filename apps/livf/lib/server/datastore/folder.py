"""A folder of images and their labels, as a MONAI Label datastore.

MONAI Label's own folder store goes by a list of file patterns (no MHA, no DICOM, but PNG and XML), copies submitted
labels as they are, and writes in place. This one lists what ``livf segment`` reads, brings every label to the values
of the anatomy table, and writes whole files or none. Labels are NIfTI, ``labels/<tag>/<image>.nii.gz``; every one that
was ever saved is kept in the state folder.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel

from livf.lib.errors import InputError, NotFoundError
from livf.lib.images import IMAGE_SUFFIXES, is_readable_name, read_image, suffix_of
from livf.lib.labels import Fault
from livf.lib.server.claim import claim
from livf.lib.server.datastore.labelled import PLAIN_NAME, LabelledStore, case_key, no_image
from livf.lib.server.datastore.series import converted, is_series, nifti_of
from livf.lib.server.naming import at, storing
from livf.lib.storage import remove_left_behind, sync_folder, writing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StartReport:
    """In what state a server found its folder.

    Attributes:
        index: ``read``, ``new`` (there was none) or ``damaged`` (it was set aside, and made anew).
        half_written: How many files that a killed process left half-written were removed.
        found: How many labels that someone put into the folder by hand were kept.
        faults: Entries of labels' histories that cannot be used.
        seconds: How long looking took.
    """

    index: str
    half_written: int
    found: int
    faults: tuple[Fault, ...]
    seconds: float


class FolderDatastore(LabelledStore):
    """The images of a studies folder and their labels.

    Args:
        studies: The folder; its images lie in it directly, a DICOM series in a folder of its own.
        state: Folder for versions of labels and converted series; made when it is first needed.
        watch: Whether to notice images that are added or removed while the server runs.

    Raises:
        OutputError: The studies folder cannot be written.
    """

    def __init__(self, studies: Path, state: Path, watch: bool = True) -> None:
        self._studies = studies
        self._state = state
        self._converted = state / "converted"
        super().__init__(str(studies), state, watch)

    def claim(self) -> StartReport:
        """Make this process the only server of the folder, until it ends, and put right what the last one left.

        Half-written files are removed, files that clients see are compared with their versions, and damage is
        reported. MONAI Label's training and batch processes build a datastore too; they do not call this.

        Raises:
            LivfError: Another server has the folder.
            OutputError: The folder or the state folder cannot be written.
        """
        started = time.monotonic()
        claim(self._studies, self._state)
        removed = remove_left_behind(self._studies)
        removed += remove_left_behind(Path(self._datastore.label_path(None)), self._state, inside=True)
        with storing("the datastore"):
            found = self._check_shown()
        faults = self.versions.faults()
        report = StartReport(self.index_was, removed, found, faults, round(time.monotonic() - started, 3))
        if removed:
            logger.warning("%d half-written files of a process that was killed were removed", removed)
        for fault in faults:
            logger.error("a kept label is damaged: %s/%s: %s", case_key(fault.entry.parent.name), fault.entry.name,
                         fault.what)  # fmt: skip
        logger.info("datastore: index %s, %d images, %d labels found, %.1f s", report.index, len(self.list_images()),
                    found, report.seconds)  # fmt: skip
        return report

    def holds(self, path: str | os.PathLike[str]) -> bool:
        """Whether a file is one of the datastore's own: MONAI Label deletes what it sends as an infer result."""
        real = Path(os.path.realpath(path))
        return any(Path(os.path.realpath(folder)) in real.parents for folder in (self._studies, self._state))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any] | None) -> str:
        """Add a received image; when this returns, it is on the disk.

        Raises:
            InputError: It is not an image livf reads, its id is not a plain name, or the id is taken.
            OutputError: It cannot be written.
        """
        stem, suffix = self._to_id(Path(image_filename).name)
        image_id = image_id or stem
        if not PLAIN_NAME.fullmatch(image_id):
            raise InputError("is not a plain name", "image", "give letters, digits, dots and dashes")
        with at(image_id):
            read_image(Path(image_filename))
        name = self._filename(image_id, suffix)
        with storing(image_id), self._index_locked():
            if image_id in self._datastore.objects:
                raise InputError("there is an image of this name already", image_id, "choose another name")
            with writing(Path(self._datastore.image_path()) / name) as temporary:
                shutil.copyfile(image_filename, temporary)
            info = {**(image_info or {}), "ts": int(time.time()), "name": name}
            self._set_image(image_id, ImageLabelModel(image=DataModel(info=info, ext=suffix)))
        return image_id

    def remove_image(self, image_id: str) -> None:
        """Remove an image and its labels; the labels' versions are kept in the state folder.

        Raises:
            NotFoundError: There is no such image.
            InputError: It is a folder of DICOM files.
            OutputError: It cannot be removed.
        """
        uri = super().get_image_uri(image_id)
        if not uri:
            raise no_image(image_id)
        path = Path(uri)
        if path.is_dir():
            raise InputError("is a DICOM series", image_id, "remove its folder from the studies folder by hand")
        with storing(image_id), self._changing:
            for tag in list(self._datastore.objects[image_id].labels):
                self.remove_label(image_id, tag)
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
            self.refresh()

    def get_image_uri(self, image_id: str) -> str:
        """Path of an image's file, empty when there is none; a DICOM series is converted to NIfTI on first use."""
        path = str(super().get_image_uri(image_id))
        if path and os.path.isdir(path):
            with self._changing, storing(image_id):
                return str(converted(Path(path), self._converted))
        return path

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """A ZIP archive of all images with a final label.

        Raises:
            NotFoundError: There is no final label yet.
        """
        if not self.datalist():
            raise NotFoundError("no image has a final label yet", "", "submit a label first")
        return str(super().get_dataset_archive(limit_cases))

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What is known about an image; of a DICOM series, the file name and path of the NIfTI clients get."""
        info: dict[str, Any] = super().get_image_info(image_id)
        if info and os.path.isdir(info["path"]):
            target = nifti_of(Path(info["path"]), self._converted)
            info |= {"path": str(target), "name": target.name}
        return info

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Add to what is known about an image.

        Raises:
            NotFoundError: There is no such image.
            OutputError: It cannot be written.
        """
        with storing(image_id), self._index_locked():
            entry = self._datastore.objects.get(image_id)
            if entry is None:
                raise no_image(image_id)
            image = DataModel(info={**entry.image.info, **info}, ext=entry.image.ext)
            self._set_image(image_id, entry.model_copy(update={"image": image}))

    def _known_image(self, image_id: str) -> Path:
        path = self.get_image_uri(image_id)
        if not path:
            raise no_image(image_id)
        return Path(path)

    # Inner parts of the stock store.

    def _to_id(self, file: str) -> tuple[str, str]:
        """Split a file name into id and suffix, of its end only."""
        suffix = suffix_of(file)
        return (file[: -len(suffix)], file[-len(suffix) :]) if suffix in IMAGE_SUFFIXES else (file, "")

    def _list_files(self, path: str, patterns: Iterable[str]) -> dict[str, str]:
        """Names of the images in ``path``: files by suffix, and folders that hold a DICOM series.

        A link that leads out of the studies folder is not listed: nothing else of the machine is served.
        """
        found: dict[str, str] = {}
        for entry in sorted(os.scandir(path), key=lambda e: e.name):
            name = entry.name
            if name.startswith(".") or (entry.is_symlink() and not self._leads_inside(entry.path)):
                continue
            listed = is_readable_name(name) if entry.is_file() else is_series(Path(entry.path))
            if not listed:
                continue
            stem, _ = self._to_id(name)
            if stem in found:
                logger.warning("two files have the same name but for the suffix, one is not listed: %s", case_key(stem))
                continue
            found[stem] = name
        return {name: name for name in found.values()}

    def _leads_inside(self, path: str) -> bool:
        return Path(os.path.realpath(self._studies)) in Path(os.path.realpath(path)).parents
