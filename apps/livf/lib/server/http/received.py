"""Files that a client sends: streamed to disk, under a name of their own, looked into before they are used."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from fastapi import UploadFile

from livf.lib.errors import InputError, OutputError
from livf.lib.images import IMAGE_SUFFIXES, suffix_of

#: Longest name that is kept; file systems take 255 bytes.
_MAX_NAME = 200


@contextmanager
def received(upload: UploadFile) -> Iterator[Path]:
    """A received file in a folder of its own, until the block ends.

    Raises:
        InputError: Its name is of no image.
        OutputError: It cannot be written.
    """
    name = image_name(upload)
    with tempfile.TemporaryDirectory(prefix="livf-received-") as folder:
        path = Path(folder) / name
        write(upload, path)
        yield path


def write(upload: UploadFile, path: Path) -> None:
    """Write a received file.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        with path.open("xb") as target:
            shutil.copyfileobj(upload.file, target, 1 << 20)
    except OSError as error:
        raise OutputError.from_os_error(error, path.name) from error


def image_name(upload: UploadFile) -> str:
    """The name of a received image.

    Raises:
        InputError: It is of no image.
    """
    name = plain(upload.filename or "")
    if suffix_of(name) not in IMAGE_SUFFIXES:
        raise InputError("is not an image livf reads", name or "the file", f"send one of {', '.join(IMAGE_SUFFIXES)}")
    return name


def plain(name: str) -> str:
    """The last component of a file name that any client system wrote, without control characters or leading dots."""
    last = PureWindowsPath(PurePosixPath(name).name).name
    return "".join(character for character in last if character.isprintable()).lstrip(".")[-_MAX_NAME:]
