"""The labels of a folder store: every one kept as a version, the newest of each tag shown to clients.

MONAI Label knows one file per tag, ``labels/<tag>/<image>.nii.gz``, and a second annotator overwrites the first. Here
that file is a copy of the newest version under the tag (:mod:`livf.lib.labels`), made anew whenever it differs.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any, Final

from monailabel.datastore.local import DataModel

from livf.lib.errors import InputError, LivfError, NotFoundError
from livf.lib.export.document import label_hash
from livf.lib.images import IMAGE_SUFFIXES, read_image, read_label, suffix_of, write_label
from livf.lib.labels import Author, LabelStore, LabelVersion, NewLabel, ReviewState, User, state_of
from livf.lib.labels.store import sha256_of
from livf.lib.labels.versions import FACTS
from livf.lib.server.datastore.authors import Answers, acting_user, author_of, parent_of, seconds_since_hand_out
from livf.lib.server.datastore.index import IndexedStore
from livf.lib.server.datastore.labels import names_in, names_of, refuse_other_grid, relabel
from livf.lib.server.naming import at, storing
from livf.lib.storage import make_folder, sync_folder, writing

logger = logging.getLogger(__name__)

#: A tag or an image's id becomes a file name: one path component that is not hidden.
PLAIN_NAME: Final = re.compile(r"[^./\\\x00-\x1f:*?\"<>|][^/\\\x00-\x1f:*?\"<>|]{0,199}")
_FINAL: Final = ReviewState.FINAL.value


class LabelledStore(IndexedStore):
    """A folder store that keeps every label.

    Args:
        path: The folder.
        state: The site's own state: versions of labels, and damaged files that were set aside.
        auto_reload: Whether to watch the folder.

    Attributes:
        versions: Every label that was ever saved.
    """

    def __init__(self, path: str, state: Path, auto_reload: bool) -> None:
        self.versions = LabelStore(state / "labels")
        self._answers = Answers()
        super().__init__(path, [f"*{suffix}" for suffix in IMAGE_SUFFIXES], auto_reload, aside=state / "damaged")

    @abstractmethod
    def _known_image(self, image_id: str) -> Path:
        """An image's file.

        Raises:
            NotFoundError: There is no such image.
        """

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any] | None) -> str:
        """Keep a label as :meth:`keep_label` does; MONAI Label's own name for it.

        Returns:
            The label's id, which is the image's.
        """
        self.keep_label(image_id, label_filename, label_tag, label_info)
        return image_id

    def keep_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any] | None
    ) -> LabelVersion:
        """Keep a label under the anatomy table's values as a new version, and show it under its tag.

        When this returns, label and index are on the disk. Of two saves at once both are kept, and the one that got
        the higher number is shown.

        Args:
            image_id: The image it belongs to.
            label_filename: The submitted file; it is read, never moved.
            label_tag: ``original`` (by the network), ``final``, ``reviewed`` or ``draft`` (by an annotator; also its
                state), or another name.
            label_info: What the client sent along: ``label_info["label_info"]`` names the values in their order,
                ``parent`` is the number of the version it began as.

        Returns:
            What was kept; of two saves at once it may not be the one that is shown.

        Raises:
            NotFoundError: There is no such image or parent.
            InputError: The label cannot be read, lies on another grid, or has values or names that mean nothing.
            OutputError: It cannot be written.
        """
        if not PLAIN_NAME.fullmatch(label_tag):
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
        user, author = acting_user(info), author_of(info)
        parent = parent_of(info, author, self._answers.model(image_id, user))
        if parent and parent.version:
            self.versions.version(image_id, parent.version)
        params = info.get("params")
        info["params"] = {**(params if isinstance(params, dict) else {}), "label_names": names_in(label)}
        new = NewLabel(
            user=user,
            author=author,
            tag=label_tag,
            state=state_of(label_tag, author),
            label_sha256=label_hash(label, volume.affine),
            parent=parent,
            seconds_since_hand_out=seconds_since_hand_out(self.get_image_info(image_id), info, user, time.time()),
            info={key: value for key, value in info.items() if key not in FACTS},
        )
        with storing(image_id):
            self._keep_strangers(image_id, label_tag)
            version = self.versions.add(image_id, new, lambda path: write_label(path, label, volume.affine))
            with self._index_locked():
                self._show(image_id, label_tag)
        logger.info("label kept: case %s, version %d, SHA-256 %.12s", case_key(image_id), version.number,
                    version.label.label_sha256)  # fmt: skip
        return version

    def review_label(self, image_id: str, number: int, state: ReviewState, user: User) -> LabelVersion:
        """Note that a version has come to another state; what is final is shown under ``final``.

        Raises:
            NotFoundError: There is no such image or version.
            OutputError: It cannot be written.
        """
        self._known_image(image_id)
        with storing(image_id):
            version = self.versions.review(image_id, number, state, user)
            with self._index_locked():
                for tag in {version.label.tag, _FINAL}:
                    self._show(image_id, tag)
        return version

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Take a label out of the datastore; its versions are kept, marked as withdrawn.

        Raises:
            NotFoundError: There is no such label.
            OutputError: It cannot be done.
        """
        if not self.get_label_uri(label_id, label_tag):
            raise no_label(label_id, label_tag)
        with storing(label_id):
            self._keep_strangers(label_id, label_tag)
            self.versions.withdraw(label_id, label_tag, acting_user({}))
            with self._index_locked():
                self._show(label_id, label_tag)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Add to what the index knows about a label; who saved it, when and how cannot be changed.

        Raises:
            NotFoundError: There is no such label.
            OutputError: It cannot be written.
        """
        with storing(label_id), self._index_locked():
            label = self._datastore.label(label_id, label_tag)
            if not label:
                raise no_label(label_id, label_tag)
            told = {key: value for key, value in info.items() if key not in FACTS}
            self._set_label(label_id, label_tag, DataModel(info={**label.info, **told}, ext=label.ext))

    def note_answer(self, image_id: str, info: dict[str, Any], model: str) -> None:
        """Remember that a client was given a network's result for an image: what its next label begins as.

        Args:
            image_id: The image.
            info: The request, of which ``client_id`` is looked at where nobody is logged in.
            model: Version of the network.
        """
        self._answers.note(image_id, acting_user(info), model)

    def _show(self, image_id: str, tag: str) -> None:
        """Make what clients see under a tag the newest version; call it with the index locked."""
        if image_id not in self._datastore.objects:
            raise no_image(image_id)
        if not PLAIN_NAME.fullmatch(tag):
            raise InputError("is not a tag", "tag", "give a plain name, such as final")
        version = self.versions.newest(image_id, tag)
        folder = Path(self._datastore.label_path(tag))
        target = folder / self._filename(image_id, version.label.suffix) if version else None
        if version and target:
            make_folder(folder)
            if not target.is_file() or sha256_of(target) != version.file_sha256:
                with writing(target) as temporary:
                    # A copy: a program that changes what clients see in place must not reach the version.
                    shutil.copyfile(version.path, temporary)
            info = {**version.label.info, **version.facts(), "ts": int(version.time.timestamp()), "name": target.name}
            self._set_label(image_id, tag, DataModel(info=info, ext=version.label.suffix))
        else:
            self._set_label(image_id, tag, None)
        for path in self._shown(image_id, tag):
            if path != target:
                path.unlink()
                sync_folder(folder)

    def _shown(self, image_id: str, tag: str) -> list[Path]:
        """The files under a tag: one, or several if someone put them there."""
        folder = Path(self._datastore.label_path(tag))
        return [path for suffix in IMAGE_SUFFIXES if (path := folder / self._filename(image_id, suffix)).is_file()]

    def _keep_strangers(self, image_id: str, tag: str) -> int:
        """Keep files under a tag that are no versions yet, before they are replaced: someone put them there."""
        kept = 0
        for path in self._shown(image_id, tag):
            if self._version_of(image_id, tag, path) is None:
                with self._locked():
                    kept += self._adopt(image_id, tag, path) is not None
        return kept

    def _version_of(self, image_id: str, tag: str, path: Path) -> LabelVersion | None:
        """The newest version that a file under a tag is a copy of."""
        try:
            digest = sha256_of(path)
        except OSError:
            return None  # gone, or not to be read: it is a copy of nothing we know
        same = [v for v in self.versions.versions(image_id) if v.file_sha256 == digest and not v.withdrawn]
        return next((v for v in reversed(same) if v.label.tag == tag or v.state == tag), None)

    def _adopt(self, image_id: str, tag: str, path: Path) -> LabelVersion | None:
        """Keep a file that someone put under a tag; one that is no label is set aside."""
        if (version := self._version_of(image_id, tag, path)) is not None:
            return version
        try:
            found = read_label(path)
        except LivfError as error:
            logger.warning("a file among the labels is no label and was set aside: case %s, %s: %s",
                           case_key(image_id), tag, error.what)  # fmt: skip
            self._set_aside(path)
            return None
        label = self._datastore.label(image_id, tag)
        info = dict(label.info) if label else {}
        by_model = author_of(info) is Author.MODEL
        author = Author.MODEL if by_model else Author.FOUND
        new = NewLabel(
            user=User.unverified(info.get("client_id")),
            author=author,
            tag=tag,
            state=state_of(tag, author),
            label_sha256=label_hash(found.array, found.affine),
            suffix=suffix_of(path),
            parent=parent_of(info, author, None) if by_model else None,
            info={key: value for key, value in info.items() if key not in FACTS},
        )
        logger.info("a label that someone put into the folder is kept: case %s, %s", case_key(image_id), tag)
        return self.versions.add(image_id, new, lambda target: _copy(path, target))

    def _found_label(self, image_id: str, tag: str, path: Path) -> dict[str, Any]:
        version = self._version_of(image_id, tag, path)
        return {**version.label.info, **version.facts()} if version else {}

    def _check_shown(self) -> int:
        """Compare every file that clients see with its version, and keep those that have none.

        Returns:
            How many were kept.
        """
        found = 0
        with self._index_locked():
            for image_id, entry in list(self._datastore.objects.items()):
                for tag, label in entry.labels.items():
                    path = Path(self._datastore.label_path(tag)) / self._filename(image_id, label.ext)
                    version = self._version_of(image_id, tag, path)
                    if version is None:
                        version = self._adopt(image_id, tag, path)
                        found += version is not None
                    if version is None:
                        self._set_label(image_id, tag, None)
                        continue
                    # Notes that clients added since belong to this version only.
                    notes = label.info if label.info.get("version") == version.number else {}
                    told = {"name": path.name, "ts": int(version.time.timestamp())}
                    told |= {**version.label.info, **notes, **version.facts()}
                    if told != label.info:
                        self._set_label(image_id, tag, DataModel(info=told, ext=label.ext))
        return found


def case_key(image_id: str) -> str:
    """What a log calls a case: file names can be names of patients."""
    return hashlib.sha256(os.fsencode(image_id)).hexdigest()[:12]


def no_image(image_id: str) -> NotFoundError:
    """Nothing is known under this id."""
    return NotFoundError("there is no such image", image_id, "GET /datastore/?output=all lists the images")


def no_label(label_id: str, tag: str) -> NotFoundError:
    """The image has nothing under this tag."""
    return NotFoundError(f"has no label {tag!r}", label_id, "GET /datastore/?output=all lists the labels")


def _copy(source: Path, target: Path) -> None:
    with writing(target) as temporary:
        shutil.copyfile(source, temporary)
