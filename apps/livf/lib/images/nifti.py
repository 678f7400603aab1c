"""NIfTI-1 and NIfTI-2 in one file, plain or gzipped.

The header is nibabel's. The bytes are read here, so that a gzip stream is decoded once and to its end: its checksum
lies there, and stopping after the last voxel would let a damaged image pass.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import IO, Any, Final, cast

import nibabel as nib
import numpy as np

from livf.lib.errors import InputError
from livf.lib.images import checks
from livf.lib.images.formats import suffix_of
from livf.lib.values import Affine, Array, spacing

_KIND: Final = "a NIfTI image"
_UNITS_MM: Final = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
_HEADERS: Final[tuple[Any, ...]] = (nib.Nifti1Header, nib.Nifti2Header)
#: Extensions between header and voxels; DICOM headers of several MB have been seen there.
_MAX_OFFSET: Final = 1 << 26
#: What may follow the voxels before the end of a gzip stream.
_MAX_TAIL: Final = 1 << 24
#: How far sform and qform may lie apart, when a file has both.
_MAX_ANGLE_DEGREES: Final = 1.0
_MAX_SIZE_RATIO: Final = 1.02


def read(path: Path) -> tuple[Array, Affine]:
    """Voxels ``(I, J, K)`` and RAS+ affine of a NIfTI file.

    Raises:
        InputError: The file is damaged, is not a 3D image, or does not say where it lies in the patient.
    """
    opener = gzip.open if suffix_of(path) == ".nii.gz" else open
    with checks.parsing(path, _KIND), cast(IO[bytes], opener(path, "rb")) as file:
        header = _header(file, path)
        shape = checks.image_shape(_shape(header, path), path)
        dtype = header.get_data_dtype()
        checks.scalar_voxels(dtype, path)
        affine = _affine(header, shape, path)
        offset = int(header["vox_offset"]) or int(header.single_vox_offset)
        if not header.sizeof_hdr <= offset <= _MAX_OFFSET:
            raise InputError("is damaged: its voxels start at an impossible place", path, "export or copy it again")
        file.seek(offset)
        array = np.empty(shape, dtype=dtype, order="F")
        _fill(file, array.reshape(-1, order="F").view(np.uint8).data)
        if len(file.read(_MAX_TAIL)) == _MAX_TAIL:
            raise InputError("holds far more bytes than its header says", path, "export or copy it again")
        slope, intercept = header.get_slope_inter()
    return _scaled(array, slope, intercept), affine


def _header(file: IO[bytes], path: Path) -> Any:
    start = file.read(max(kind.template_dtype.itemsize for kind in _HEADERS))
    for kind in _HEADERS:
        if kind.may_contain_header(start):
            # Without nibabel's own check, which logs its repairs to the terminal; what matters is checked here.
            header = kind(start[: kind.template_dtype.itemsize], check=False)
            if bytes(header["magic"]).rstrip(b"\0\r\n\x1a") in (b"n+1", b"n+2"):
                return header
    raise InputError(f"is not {_KIND} in one file", path, "save it as .nii or .nii.gz")


def _shape(header: Any, path: Path) -> tuple[int, ...]:
    dim = [int(size) for size in header["dim"]]
    if not 1 <= dim[0] <= 7:
        raise InputError("is damaged: its header has an impossible number of dimensions", path,
                         "export or copy it again")  # fmt: skip
    return tuple(dim[1 : 1 + dim[0]])


def _affine(header: Any, shape: tuple[int, int, int], path: Path) -> Affine:
    unit = header.get_xyzt_units()[0]
    scale = np.diag([_UNITS_MM[unit]] * 3 + [1.0])
    if abs(header["pixdim"][0]) != 1:
        header["pixdim"][0] = 1  # the standard's reading of an unset handedness (qfac)
    sform_code, qform_code = int(header["sform_code"]), int(header["qform_code"])
    if sform_code <= 0 and qform_code <= 0:
        raise InputError(
            "does not say which side is left (sform and qform are both unset)",
            path,
            "convert it again from DICOM, or set its orientation in a viewer that knows it",
        )
    if (np.abs(header["pixdim"][1:4]) == 0).any():
        raise InputError("has a voxel size of zero", path, "set its true spacing")
    if sform_code <= 0:
        return checks.image_affine(scale @ header.get_qform(), path)
    sform = checks.image_affine(scale @ header.get_sform(), path)
    if qform_code > 0:
        qform = checks.image_affine(scale @ header.get_qform(), path)
        if not _agree(sform, qform, shape):
            raise InputError(
                "places itself in two ways that disagree (sform and qform), so left and right are not sure",
                path,
                "convert it again from DICOM, or remove the wrong one",
            )
    return sform


def _agree(first: Affine, second: Affine, shape: tuple[int, int, int]) -> bool:
    sizes = spacing(first), spacing(second)
    cosines = np.sum(first[:3, :3] / sizes[0] * second[:3, :3] / sizes[1], axis=0)
    angle = np.degrees(np.arccos(np.clip(cosines, -1, 1)).max())
    ratio = np.maximum(sizes[0] / sizes[1], sizes[1] / sizes[0]).max()
    middle = np.append((np.array(shape) - 1) / 2, 1)
    apart = np.linalg.norm((first - second) @ middle)
    return bool(angle <= _MAX_ANGLE_DEGREES and ratio <= _MAX_SIZE_RATIO and apart <= sizes[0].max())


def _fill(file: IO[bytes], buffer: memoryview) -> None:
    done = 0
    while done < len(buffer):
        block = file.read(min(1 << 24, len(buffer) - done))
        if not block:
            raise EOFError("the voxels end early")
        buffer[done : done + len(block)] = block
        done += len(block)


def _scaled(array: Array, slope: float | None, intercept: float | None) -> Array:
    if (slope is None or slope == 1) and not intercept:
        native = array.dtype.newbyteorder("=")
        # Extended precision has no use here, and neither torch nor the writers take it.
        return array.astype(np.float64 if native.itemsize > 8 else native, copy=False)
    scaled = array.astype(np.float32)
    scaled *= np.float32(1 if slope is None else slope)
    scaled += np.float32(intercept or 0)
    return scaled
