"""Which file names livf reads and writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NIFTI_SUFFIXES: Final = (".nii.gz", ".nii")
NRRD_SUFFIXES: Final = (".nrrd",)
META_SUFFIXES: Final = (".mha",)
#: Files that hold one whole image. A DICOM series is a folder, so it has no suffix of its own.
IMAGE_SUFFIXES: Final[tuple[str, ...]] = NIFTI_SUFFIXES + NRRD_SUFFIXES + META_SUFFIXES
#: Files a label can be written to.
LABEL_SUFFIXES: Final[tuple[str, ...]] = IMAGE_SUFFIXES
#: Files probabilities can be written to: only NIfTI has both a fourth axis and a scale for integers.
PROBABILITY_SUFFIXES: Final[tuple[str, ...]] = NIFTI_SUFFIXES
#: Headers whose voxels lie in another file. They are refused: a header could name any file of the machine, and a
#: client that is sent the header alone has no image.
DETACHED_SUFFIXES: Final = (".nhdr", ".mhd", ".hdr", ".img")
DICOM_SUFFIXES: Final = (".dcm", ".ima")


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The suffix by which livf tells a format, in lower case (``.nii.gz`` is one suffix)."""
    name = Path(path).name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix)), Path(name).suffix)


def is_readable_name(name: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is listed as an image: a known suffix, and not a hidden (half-written) file."""
    base = Path(name).name
    return not base.startswith(".") and suffix_of(base) in IMAGE_SUFFIXES
