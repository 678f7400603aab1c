"""Reading an image or a label of any format livf takes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from livf.lib.errors import InputError, NotFoundError
from livf.lib.images import checks
from livf.lib.images.formats import (
    DETACHED_SUFFIXES,
    DICOM_SUFFIXES,
    IMAGE_SUFFIXES,
    META_SUFFIXES,
    NIFTI_SUFFIXES,
    NRRD_SUFFIXES,
    suffix_of,
)
from livf.lib.values import Affine, Array, Volume

_FORMATS = f"give NIfTI, NRRD, MetaImage ({', '.join(IMAGE_SUFFIXES)}) or the folder of a DICOM series"


def read_image(path: str | os.PathLike[str]) -> Volume:
    """Read a 3D image from a NIfTI, NRRD or MetaImage file, a DICOM series folder or a multi-frame DICOM file.

    Returns:
        The image: voxels of shape ``(I, J, K)`` in the file's own order and type (float32 where the file scales its
        values), and the affine to RAS+ mm.

    Raises:
        NotFoundError: There is no such file or folder.
        InputError: It is not a 3D image of one finite value a voxel whose place in the patient is known.
    """
    path = _existing(path)
    array, affine = _read(path)
    return Volume(checks.image_voxels(array, path), affine, os.fspath(path))


def read_label(path: str | os.PathLike[str]) -> Volume:
    """Read a label (whole numbers from 0) from a NIfTI, NRRD or MetaImage file.

    Returns:
        The label: uint8 where all values fit, else int32; shape ``(I, J, K)``, affine to RAS+ mm. It may be all zero.

    Raises:
        NotFoundError: There is no such file.
        InputError: It is not a 3D volume of whole numbers from 0 to 2**31 - 1 whose place in the patient is known.
    """
    path = _existing(path)
    if path.is_dir():
        raise InputError("is a folder, not a label", path, f"give a label file ({', '.join(IMAGE_SUFFIXES)})")
    array, affine = _read(path)
    array = checks.image_voxels(array, path, constant=True)
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array.astype(np.float64))):
        raise InputError("holds fractions, so it is not a label", path, "give the label, not the image")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        raise InputError(f"holds values from {low} to {high}, so it is not a label", path,
                         "give the label, not the image")  # fmt: skip
    dtype = np.uint8 if high <= np.iinfo(np.uint8).max else np.int32
    return Volume(array.astype(dtype, copy=False), affine, os.fspath(path))


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    try:
        exists, usable = path.exists(), path.is_file() or path.is_dir()
    except (OSError, ValueError) as error:
        raise InputError("cannot be read", path, "check its name and its permissions") from error
    if not exists:
        raise NotFoundError("there is no such file or folder", path, "check its name")
    if not usable:
        raise InputError("is neither a file nor a folder", path, _FORMATS)
    return path


def _read(path: Path) -> tuple[Array, Affine]:
    if path.is_dir():
        from livf.lib.images import dicom

        return dicom.read_folder(path)
    with checks.parsing(path, "an image"):
        with path.open("rb") as file:
            start = file.read(132)
        if not start:
            raise InputError("is empty (0 bytes)", path, "export or copy it again")
    suffix = suffix_of(path)
    if suffix in NIFTI_SUFFIXES:
        from livf.lib.images import nifti

        return nifti.read(path)
    if suffix in NRRD_SUFFIXES or suffix in META_SUFFIXES:
        from livf.lib.images import itk

        return itk.read_nrrd(path) if suffix in NRRD_SUFFIXES else itk.read_meta(path)
    if suffix in DICOM_SUFFIXES or start[128:132] == b"DICM":
        from livf.lib.images import dicom

        return dicom.read_file(path)
    if suffix in DETACHED_SUFFIXES:
        raise InputError(f"keeps its voxels in another file ({suffix})", path, "save it as one file: .nii.gz or .mha")
    raise InputError("is not an image livf can read", path, _FORMATS)
