"""DICOM series in a studies folder: how they are recognised, and the NIfTI that clients download in their place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from livf.lib.images import read_image, write_image

#: A DICOM file has these letters after a preamble of 128 bytes (PS3.10, 7.1).
_MAGIC: Final = b"DICM"
_MAGIC_AT: Final = 128


def is_series(folder: Path) -> bool:
    """Whether a folder's first file is a DICOM file."""
    try:
        first = min(
            (entry.path for entry in os.scandir(folder) if entry.is_file() and entry.name[0] != "."), default=""
        )
        if not first:
            return False
        with open(first, "rb") as file:
            return file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC
    except OSError:
        return False


def nifti_of(series: Path, folder: Path) -> Path:
    """Where the NIfTI of a series is, or will be."""
    return folder / f"{series.name}.nii.gz"


def converted(series: Path, folder: Path) -> Path:
    """The NIfTI of a DICOM series: made when it is missing or older than the series.

    Raises:
        LivfError: The series cannot be read, or the NIfTI not written.
    """
    target = nifti_of(series, folder)
    newest = max(entry.stat().st_mtime for entry in os.scandir(series))
    if not target.exists() or target.stat().st_mtime < max(newest, series.stat().st_mtime):
        volume = read_image(series)
        folder.mkdir(parents=True, exist_ok=True)
        write_image(target, volume)
    return target
