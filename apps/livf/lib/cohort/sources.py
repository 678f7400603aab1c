"""Which images are meant by what a user names, and what their cases are called."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Final

from livf.lib.cohort.table import TABLE_NAME
from livf.lib.errors import InputError, LivfError, NotFoundError
from livf.lib.images import IMAGE_SUFFIXES, is_readable_name, suffix_of
from livf.lib.images.formats import DICOM_SUFFIXES

#: Names and reasons of what cannot be run.
Failures = tuple[tuple[str, str], ...]

#: A DICOM file has these letters after a preamble of 128 bytes (PS3.10, 7.1).
_MAGIC: Final = b"DICM"
_MAGIC_AT: Final = 128
#: Bytes of a case's name; systems allow 255, and results add their own endings.
_LONGEST_NAME: Final = 120


@dataclass(frozen=True)
class Source:
    """An image and the name of its case.

    Attributes:
        case: Safe as the name of a folder on every system.
        image: Absolute path of an image file or of the folder of a DICOM series.
    """

    case: str
    image: Path

    def sha256(self) -> str:
        """SHA-256 of the file's bytes; of a series, of the names and bytes of its DICOM files.

        The content, not size and time: unpacked studies often share both, and a copy is the same image.

        Raises:
            LivfError: It is not there or cannot be read.
        """
        try:
            if not self.image.is_dir():
                return _digest(self.image)
            whole = hashlib.sha256()
            for file in sorted(_series_files(self.image)):
                whole.update(f"{file.relative_to(self.image).as_posix()!r} {_digest(file)}\n".encode())
            return whole.hexdigest()
        except FileNotFoundError as error:
            raise NotFoundError("there is no such file or folder", self.image, "check its name") from error
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", self.image, "check its permissions") from error


def find_sources(paths: Iterable[str | os.PathLike[str]]) -> tuple[tuple[Source, ...], Failures]:
    """Find the images that are meant and name their cases.

    A file is taken as it is, so is a folder with DICOM files. Any other folder stands for the images in it: each file
    of a suffix that livf reads, each DICOM file, and each folder that has DICOM files at any depth; hidden ones are
    passed over. A case is called as its file, without the suffix; where two would be called the same, both get the
    name of their folder in front (``subject1_T2``).

    Args:
        paths: Files and folders. An image that is meant twice is taken once.

    Returns:
        The sources in the order given, and what cannot be run, with the reason.
    """
    images: dict[Path, Path] = {}
    failed: list[tuple[str, str]] = []
    for path in paths:
        try:
            for image in _meant(Path(os.path.abspath(path))):
                images.setdefault(image.resolve(), image)
        except LivfError as error:
            failed.append((os.fspath(path), error.line))
        except (OSError, ValueError) as error:
            failed.append((os.fspath(path), f"cannot be read ({error}); check its name and its permissions"))
    names = {image: _safe(_stem(image)) for image in images.values()}
    shared = _shared(names)
    names |= {image: _safe(f"{image.parent.name}_{_stem(image)}") for image in shared}
    for image in _shared(names):
        del names[image]
        failed.append((os.fspath(image), "another image gives the same case name; rename one, or run it into a "
                       "folder of its own"))  # fmt: skip
    return tuple(Source(case, image) for image, case in names.items()), tuple(failed)


def _meant(path: Path) -> list[Path]:
    if not path.exists():
        raise NotFoundError("there is no such file or folder", path, "check its name")
    if not path.is_dir():
        return [path]
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    files = [entry for entry in entries if entry.is_file()]
    readable = [entry for entry in files if is_readable_name(entry)]
    dicom = [entry for entry in files if entry not in set(readable) and _is_dicom(entry)]
    if dicom and not readable:
        return [path]
    series = [entry for entry in entries if entry.is_dir() and any(_series_files(entry))]
    found = sorted([*readable, *dicom, *series])
    if not found:
        raise InputError("holds no image", path, f"give images ({', '.join(IMAGE_SUFFIXES)}) or DICOM series")
    return found


def _series_files(folder: Path) -> Iterator[Path]:
    """The DICOM files of a folder; those below it only where it has none itself, as the reader takes them."""
    top = [file for file in _visible(folder.iterdir()) if _is_dicom(file)]
    yield from top or (file for file in _visible(folder.rglob("*")) if _is_dicom(file))


def _visible(entries: Iterator[Path]) -> Iterator[Path]:
    return (entry for entry in entries if not entry.name.startswith(".") and entry.is_file())


def _is_dicom(file: Path) -> bool:
    # A damaged slice counts, so that the reader tells of it.
    if file.suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        with file.open("rb") as opened:
            return opened.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC and file.name.upper() != "DICOMDIR"
    except OSError:
        return False


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _stem(image: Path) -> str:
    return image.name if image.is_dir() else image.name[: len(image.name) - len(suffix_of(image))]


def _safe(name: str) -> str:
    """A name for a folder: letters of any script, digits, ``.``, ``-`` and ``_``."""
    name = re.sub(r"[^\w.-]", "_", name).encode()[:_LONGEST_NAME].decode(errors="ignore").strip(".-") or "case"
    taken = PureWindowsPath(name).is_reserved() or name.casefold() == TABLE_NAME
    return f"case_{name}" if taken else name


def _shared(names: dict[Path, str]) -> list[Path]:
    # Some file systems take capitals for small letters.
    counts = Counter(name.casefold() for name in names.values())
    return [image for image, name in names.items() if counts[name.casefold()] > 1]
