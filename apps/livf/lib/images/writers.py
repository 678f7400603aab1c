"""Writing images, labels and probabilities, each whole or not at all.

An affine read back equals the one written to 1e-5 mm in NIfTI (single precision) and exactly in NRRD and MetaImage.
The same input gives the same bytes: no time stamp and no file name goes into a compressed stream.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.errors import OutputError, UsageError
from livf.lib.images.formats import IMAGE_SUFFIXES, LABEL_SUFFIXES, NIFTI_SUFFIXES, PROBABILITY_SUFFIXES, suffix_of
from livf.lib.images.itk import LPS_TO_RAS
from livf.lib.images.quiet import native_silence
from livf.lib.storage import writing
from livf.lib.values import Affine, Array, Volume, spacing

#: Fast: a label of the paper's grid takes a tenth of a second. ITK's level 1 does not shrink an image at all.
_COMPRESSION: Final = 2
_SCANNER: Final = 1  # NIFTI_XFORM_SCANNER_ANAT
#: A quaternion has no shear. Beyond this (cosine) the qform is left unset rather than wrong.
_QFORM_SHEAR: Final = 1e-4
_UINT16: Final = np.iinfo(np.uint16).max
_IMAGE_TYPES: Final = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32")


def check_target(path: str | os.PathLike[str], suffixes: Sequence[str] = LABEL_SUFFIXES) -> None:
    """Find out before the work, not after it, that a result cannot be written to ``path``.

    Raises:
        UsageError: The suffix names no format livf writes here.
        OutputError: The folder is missing or may not be written to, or ``path`` is a folder.
    """
    _known_suffix(path, suffixes)
    path = Path(path)
    if path.is_dir():
        raise OutputError("is a folder, not a file", path, "give a file name")
    if not path.parent.is_dir():
        raise OutputError.from_os_error(OSError(errno.ENOENT, ""), path)
    effective = os.access in os.supports_effective_ids
    if not os.access(path.parent, os.W_OK | os.X_OK, effective_ids=effective):
        raise OutputError.from_os_error(PermissionError(errno.EACCES, ""), path)


def write_label(path: str | os.PathLike[str], label: npt.NDArray[np.uint8], affine: Affine) -> None:
    """Write a label as uint8, in the format of the suffix.

    Args:
        path: ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.mha``.
        label: Whole numbers from 0 to 255, shape ``(I, J, K)``.
        affine: 4x4, voxel index to RAS+ mm.

    Raises:
        UsageError: The suffix is none of these.
        OutputError: It cannot be written; nothing half-written is left.
    """
    label = np.asarray(label)
    if label.dtype.kind not in "biu" or label.min() < 0 or label.max() > np.iinfo(np.uint8).max:
        raise ValueError(f"a label has whole numbers from 0 to 255, not {label.dtype}")
    _write(path, label.astype(np.uint8, copy=False), affine, LABEL_SUFFIXES)


def write_image(path: str | os.PathLike[str], volume: Volume) -> None:
    """Write an image with its own voxel type (double precision becomes single), in the format of the suffix.

    Raises:
        UsageError: The suffix is none of :data:`~livf.lib.images.formats.IMAGE_SUFFIXES`.
        OutputError: It cannot be written; nothing half-written is left.
    """
    dtype = volume.array.dtype.newbyteorder("=")
    array = volume.array.astype(np.float32 if dtype == np.float64 else dtype, copy=False)
    if array.dtype.name not in _IMAGE_TYPES:
        raise ValueError(f"an image of {array.dtype} is not written; cast it to one of {', '.join(_IMAGE_TYPES)}")
    _write(path, array, volume.affine, IMAGE_SUFFIXES)


def write_probabilities(path: str | os.PathLike[str], probabilities: Array, affine: Affine) -> None:
    """Write class probabilities as a 4D NIfTI, one volume a class, background first.

    NIfTI has no half precision: values are stored as uint16 with a scale of 1/65535, finer than the half precision
    they come in, and any NIfTI reader gives back 0 to 1.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        probabilities: 0 to 1, shape ``(C, I, J, K)``.
        affine: 4x4, voxel index to RAS+ mm.

    Raises:
        UsageError: The suffix is not NIfTI's.
        OutputError: It cannot be written; nothing half-written is left.
    """
    if probabilities.ndim != 4:
        raise ValueError(f"probabilities have four axes, not {probabilities.ndim}")
    _known_suffix(path, PROBABILITY_SUFFIXES)
    stored = np.empty((*probabilities.shape[1:], len(probabilities)), dtype=np.uint16, order="F")
    for channel, values in enumerate(probabilities):
        stored[..., channel] = np.rint(np.clip(values, 0, 1).astype(np.float32) * _UINT16)
    with writing(path) as temporary:
        _write_nifti(temporary, stored, affine, slope=1 / _UINT16)


def _write(path: str | os.PathLike[str], array: Array, affine: Affine, suffixes: Sequence[str]) -> None:
    if array.ndim != 3 or affine.shape != (4, 4):
        raise ValueError(f"needs a 3D array and a 4x4 affine, not {array.shape} and {affine.shape}")
    suffix = _known_suffix(path, suffixes)
    with writing(path) as temporary:
        if suffix in NIFTI_SUFFIXES:
            _write_nifti(temporary, array, affine)
        else:
            _write_itk(temporary, array, affine)


def _known_suffix(path: str | os.PathLike[str], suffixes: Sequence[str]) -> str:
    suffix = suffix_of(path)
    if suffix not in suffixes:
        raise UsageError(
            f"cannot write the format {suffix!r}" if suffix else "has no suffix to tell the format",
            path,
            f"end the name with {', '.join(suffixes)}",
        )
    return suffix


def _write_nifti(path: Path, array: Array, affine: Affine, slope: float = 1.0) -> None:
    import nibabel as nib

    header: Any = nib.Nifti1Header()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_sform(affine, code=_SCANNER)
    axes = affine[:3, :3] / spacing(affine)
    sheared = np.abs((axes.T @ axes)[np.triu_indices(3, 1)]).max() > _QFORM_SHEAR
    header.set_qform(affine, code=0 if sheared else _SCANNER)
    header.set_xyzt_units("mm")
    # The voxels are stored values already; nibabel's own writing would divide them by the slope.
    header["scl_slope"], header["scl_inter"] = slope, 0
    header["vox_offset"] = header.single_vox_offset
    with path.open("wb") as file:
        if suffix_of(path) == ".nii.gz":
            with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as packed:
                _stream(packed, header, array)
        else:
            _stream(file, header, array)


def _stream(file: Any, header: Any, array: Array) -> None:
    file.write(header.binaryblock)
    file.write(bytes(header.single_vox_offset - header.sizeof_hdr))
    for last in range(array.shape[-1]):
        file.write(array[..., last].astype(header.get_data_dtype(), copy=False).tobytes(order="F"))


def _write_itk(path: Path, array: Array, affine: Affine) -> None:
    import SimpleITK as sitk

    lps = LPS_TO_RAS @ affine
    sizes = spacing(lps)
    image: Any = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose()))
    image.SetSpacing(sizes.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / sizes).ravel().tolist())
    try:
        with native_silence():
            sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=_COMPRESSION)
    except RuntimeError as error:
        # ITK says that it failed, not why; the usual reason can be seen.
        full = shutil.disk_usage(path.parent).free < array.nbytes
        raise OSError(errno.ENOSPC if full else errno.EIO, "the image library could not write it") from error
