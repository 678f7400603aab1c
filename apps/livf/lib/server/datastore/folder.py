"""A folder of images and their labels, as a MONAI Label datastore.

MONAI Label's own folder store goes by a list of file patterns (no MHA, no DICOM, but PNG and XML), copies submitted
labels as they are, and writes in place. This one lists what ``livf segment`` reads, brings every label to the values
of the anatomy table, and writes whole files or none. Labels are NIfTI, ``labels/<tag>/<image>.nii.gz``; one that is
replaced is kept in the state folder.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from monailabel.datastore.local import DataModel, ImageLabelModel

from livf.lib.errors import InputError, NotFoundError
from livf.lib.images import IMAGE_SUFFIXES, is_readable_name, read_image, read_label, suffix_of, write_label
from livf.lib.server.datastore.index import IndexedStore
from livf.lib.server.datastore.labels import names_in, names_of, refuse_other_grid, relabel
from livf.lib.server.datastore.series import converted, is_series, nifti_of
from livf.lib.server.naming import at, storing
from livf.lib.storage import write_bytes, writing

logger = logging.getLogger(__name__)

LABEL_SUFFIX: Final = ".nii.gz"
#: A tag or an image's id becomes a file name: one path component that is not hidden.
_NAME = re.compile(r"[^./\\\x00-\x1f:*?\"<>|][^/\\\x00-\x1f:*?\"<>|]{0,199}")


class FolderDatastore(IndexedStore):
    """The images of a studies folder and their labels.

    Args:
        studies: The folder; its images lie in it directly, a DICOM series in a folder of its own.
        state: Folder for replaced labels and converted series; made when it is first needed.
        watch: Whether to notice images that are added or removed while the server runs.
    """

    def __init__(self, studies: Path, state: Path, watch: bool = True) -> None:
        self._state = state
        self._converted = state / "converted"
        super().__init__(str(studies), extensions=[f"*{suffix}" for suffix in IMAGE_SUFFIXES], auto_reload=watch)

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any] | None) -> str:
        """Store a label under the anatomy table's values.

        Args:
            image_id: The image it belongs to.
            label_filename: The submitted file; it is read, never moved.
            label_tag: ``original`` (by the network), ``final`` (by an annotator), or another name.
            label_info: What the client sent along; ``label_info["label_info"]`` names the values in their order.

        Returns:
            The label's id, which is the image's.

        Raises:
            NotFoundError: There is no such image.
            InputError: The label cannot be read, lies on another grid, or has values or names that mean nothing.
            OutputError: It cannot be written.
        """
        if not _NAME.fullmatch(label_tag):
            raise InputError("is not a tag", "tag", "give a plain name, such as final")
        if label_filename.endswith(".seg.nrrd"):
            raise InputError(
                "a segmentation file (.seg.nrrd) numbers its segments itself", image_id, "submit it as .nii.gz or .nrrd"
            )
        info = dict(label_info or {})
        image = self._known_image(image_id)
        with at(image_id):
            submitted = read_label(label_filename)
            volume = read_image(image)
            refuse_other_grid(submitted, volume)
            label = relabel(submitted.array, names_of(info.get("label_info")))
        with self._index_locked(), storing(image_id):
            entry = self._datastore.objects.get(image_id)
            if entry is None:
                raise _no_image(image_id)
            folder = Path(self._datastore.label_path(label_tag))
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / self._filename(image_id, LABEL_SUFFIX)
            before = [path for suffix in IMAGE_SUFFIXES if (path := folder / self._filename(image_id, suffix)).exists()]
            for path in before:
                self._keep(path, label_tag)
            write_label(target, label, volume.affine)
            for path in before:
                if path != target:
                    path.unlink()
            info |= {"ts": int(time.time()), "name": target.name}
            info["params"] = {**_mapping(info.get("params")), "label_names": names_in(label)}
            entry.labels[label_tag] = DataModel(info=info, ext=LABEL_SUFFIX)
        logger.info("label of %s stored as %s", image_id, label_tag)
        return image_id

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any] | None) -> str:
        """Add a received image.

        Raises:
            InputError: It is not an image livf reads, its id is not a plain name, or the id is taken.
            OutputError: It cannot be written.
        """
        stem, suffix = self._to_id(Path(image_filename).name)
        image_id = image_id or stem
        if not _NAME.fullmatch(image_id):
            raise InputError("is not a plain name", "image", "give letters, digits, dots and dashes")
        with at(image_id):
            read_image(Path(image_filename))
        name = self._filename(image_id, suffix)
        with self._index_locked(), storing(image_id):
            if image_id in self._datastore.objects:
                raise InputError("there is an image of this name already", image_id, "choose another name")
            with writing(Path(self._datastore.image_path()) / name) as temporary:
                shutil.copyfile(image_filename, temporary)
            info = {**(image_info or {}), "ts": int(time.time()), "name": name}
            self._datastore.objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=suffix))
        return image_id

    def remove_image(self, image_id: str) -> None:
        """Remove an image and its labels; the labels are kept in the state folder.

        Raises:
            NotFoundError: There is no such image.
        """
        path = self._known_file(image_id)
        if path.is_dir():
            raise InputError("is a DICOM series", image_id, "remove its folder from the studies folder by hand")
        with self._changing:
            for tag in list(self._datastore.objects[image_id].labels):
                self.remove_label(image_id, tag)
            path.unlink(missing_ok=True)
            self.refresh()

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Take a label out of the datastore; it is kept in the state folder.

        Raises:
            NotFoundError: There is no such label.
        """
        path = self.get_label_uri(label_id, label_tag)
        if not path:
            raise _no_label(label_id, label_tag)
        with self._changing:
            if os.path.exists(path):
                self._keep(Path(path), label_tag)
                os.unlink(path)
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
        """
        with self._index_locked():
            if image_id not in self._datastore.objects:
                raise _no_image(image_id)
            self._datastore.objects[image_id].image.info.update(info)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Add to what is known about a label.

        Raises:
            NotFoundError: There is no such label.
        """
        with self._index_locked():
            label = self._datastore.label(label_id, label_tag)
            if not label:
                raise _no_label(label_id, label_tag)
            label.info.update(info)

    def _known_file(self, image_id: str) -> Path:
        path = super().get_image_uri(image_id)
        if not path:
            raise _no_image(image_id)
        return Path(path)

    def _known_image(self, image_id: str) -> Path:
        path = self.get_image_uri(image_id)
        if not path:
            raise _no_image(image_id)
        return Path(path)

    def _keep(self, label: Path, tag: str) -> None:
        """Copy a label that is about to go into the state folder, under the next free number."""
        folder = self._state / "replaced" / tag
        folder.mkdir(parents=True, exist_ok=True)
        stem, suffix = self._to_id(label.name)
        taken = {path.name for path in folder.iterdir()}
        number = next(n for n in range(1, len(taken) + 2) if f"{stem}.{n}{suffix}" not in taken)
        write_bytes(folder / f"{stem}.{number}{suffix}", label.read_bytes())

    # Inner parts of the stock store.

    def _to_id(self, file: str) -> tuple[str, str]:
        """Split a file name into id and suffix, of its end only."""
        suffix = suffix_of(file)
        return (file[: -len(suffix)], file[-len(suffix) :]) if suffix in IMAGE_SUFFIXES else (file, "")

    def _list_files(self, path: str, patterns: Iterable[str]) -> dict[str, str]:
        """Names of the images in ``path``: files by suffix, and folders that hold a DICOM series."""
        found: dict[str, str] = {}
        for entry in sorted(os.scandir(path), key=lambda e: e.name):
            name = entry.name
            listed = is_readable_name(name) if entry.is_file() else is_series(Path(entry.path))
            if not listed or name.startswith("."):
                continue
            stem, _ = self._to_id(name)
            if stem in found:
                logger.warning("%s is not listed: %s has the same name", name, found[stem])
                continue
            found[stem] = name
        return {name: name for name in found.values()}


def _no_image(image_id: str) -> NotFoundError:
    return NotFoundError("there is no such image", image_id, "GET /datastore/?output=all lists the images")


def _no_label(label_id: str, tag: str) -> NotFoundError:
    return NotFoundError(f"has no label {tag!r}", label_id, "GET /datastore/?output=all lists the labels")


def _mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}
