"""NRRD and MetaImage, read by SimpleITK.

Both have a text header, which is read here first: ITK would follow a header to any other file on the machine, take an
image without a patient space for one in its own, and decode a damaged stream to half an image.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from livf.lib.errors import InputError
from livf.lib.images import checks
from livf.lib.images.quiet import native_silence
from livf.lib.values import Affine, Array

#: The world of ITK and DICOM is LPS, ours RAS; the same matrix turns either into the other.
LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
_NRRD: Final = "an NRRD image"
_META: Final = "a MetaImage"
_MAX_HEADER: Final = 1 << 20
_MAX_DIMENSIONS: Final = 8
_NRRD_SPACES: Final = {
    "right-anterior-superior", "ras", "left-anterior-superior", "las", "left-posterior-superior", "lps"
}  # fmt: skip
_NRRD_BYTES: Final = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), 8),
    **dict.fromkeys(("int64", "int64_t", "ulonglong", "unsigned long long", "unsigned long long int"), 8),
    **dict.fromkeys(("uint64", "uint64_t", "double"), 8),
    "float": 4,
}
_META_BYTES: Final = {
    **dict.fromkeys(("MET_CHAR", "MET_UCHAR"), 1),
    **dict.fromkeys(("MET_SHORT", "MET_USHORT"), 2),
    **dict.fromkeys(("MET_INT", "MET_UINT", "MET_FLOAT"), 4),
    **dict.fromkeys(("MET_LONG_LONG", "MET_ULONG_LONG", "MET_DOUBLE"), 8),
}
_META_DIRECTION: Final = {"TransformMatrix", "Rotation", "Orientation"}  # one thing by three names
_META_VECTORS: Final = {"ElementSpacing", "ElementSize", "Offset", "Position", "Origin", "CenterOfRotation"}
_NO_SIDE: Final = "does not say which side is left ({})"
_SET_SIDE: Final = "convert it again from DICOM, or set its orientation in a viewer that knows it"


def read_nrrd(path: Path) -> tuple[Array, Affine]:
    """Voxels ``(I, J, K)`` and RAS+ affine of an NRRD file.

    Raises:
        InputError: The file is damaged, is not a 3D image, or does not say where it lies in the patient.
    """
    with checks.parsing(path, _NRRD):
        fields, offset = _nrrd_header(path)
        sizes = [int(size) for size in fields["sizes"].split()]
        _dimensions(sizes, int(fields["dimension"]), path, _NRRD)
        itemsize = _itemsize(_NRRD_BYTES, fields["type"].lower(), path)
        encoding = fields["encoding"].lower()
        if "data file" in fields or "datafile" in fields:
            raise InputError("keeps its voxels in another file", path, "save it as one file")
        if any(int(fields.get(key, "0")) for key in ("byte skip", "byteskip", "line skip", "lineskip")):
            raise InputError("skips bytes before its voxels", path, "save it again")
        if len(sizes) > 3 and fields.get("space", "").lower() not in _NRRD_SPACES:
            checks.image_shape(sizes, path)  # that it is a series is the better reason
        if fields.get("space", "").lower() not in _NRRD_SPACES or "space directions" not in fields:
            raise InputError(_NO_SIDE.format("no patient space in its header"), path, _SET_SIDE)
        if units := set(fields.get("space units", "").replace('"', " ").split()) - {
            "mm",
            "millimeter",
            "millimeters",
            "none",
            "???",
        }:
            raise InputError(f"has its spacing in {', '.join(sorted(units))}", path, "save it in mm")
    if encoding in ("gzip", "gz"):
        checks.deflated(path, offset, math.prod(sizes) * itemsize, _NRRD)
    elif encoding == "raw" and path.stat().st_size - offset < math.prod(sizes) * itemsize:
        raise InputError(f"is damaged, cut short or not {_NRRD}", path, "export or copy it again")
    return _read(path, "NrrdImageIO", _NRRD)


def read_meta(path: Path) -> tuple[Array, Affine]:
    """Voxels ``(I, J, K)`` and RAS+ affine of a MetaImage file with its voxels inside (.mha).

    Raises:
        InputError: The file is damaged, is not a 3D image, or does not say where it lies in the patient.
    """
    with checks.parsing(path, _META):
        fields, offset = _meta_header(path)
        sizes = [int(size) for size in fields["DimSize"].split()]
        _dimensions(sizes, int(fields["NDims"]), path, _META)
        if fields["ElementDataFile"] != "LOCAL":
            raise InputError("keeps its voxels in another file", path, "save it as one file (.mha)")
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        if channels != 1 or fields["ElementType"].endswith("_ARRAY"):
            raise InputError("its voxels are colours or vectors, not one value each", path, "save a greyscale image")
        itemsize = _itemsize(_META_BYTES, fields["ElementType"], path)
        if fields.get("BinaryData", "True").lower() != "true" or int(fields.get("HeaderSize", "0")) > 0:
            raise InputError("is a text or raw variant of MetaImage", path, "save it again as .mha")
        if len(_META_DIRECTION & fields.keys()) != 1:
            raise InputError(_NO_SIDE.format("no TransformMatrix in its header"), path, _SET_SIDE)
        if not {"ElementSpacing", "ElementSize"} & fields.keys():
            raise InputError("does not say how large its voxels are", path, "set its true spacing")
        # What MetaIO cannot parse it leaves at its default in silence, so every number is parsed here as well.
        for key in fields.keys() & (_META_DIRECTION | _META_VECTORS):
            numbers = [float(number) for number in fields[key].split()]
            if len(numbers) != len(sizes) ** (2 if key in _META_DIRECTION else 1):
                raise InputError(f"is damaged: its {key} is incomplete", path, "export or copy it again")
    expected = math.prod(sizes) * itemsize
    if fields.get("CompressedData", "False").lower() == "true":
        checks.deflated(path, offset, expected, _META)
    elif path.stat().st_size - offset < expected:
        raise InputError(f"is damaged, cut short or not {_META}", path, "export or copy it again")
    return _read(path, "MetaImageIO", _META)


def _nrrd_header(path: Path) -> tuple[dict[str, str], int]:
    """Fields (names in lower case) and the offset of the voxels."""
    with path.open("rb") as file:
        if not file.readline(16).startswith(b"NRRD000"):
            raise InputError(f"is not {_NRRD}", path, "export or copy it again")
        fields: dict[str, str] = {}
        while file.tell() < _MAX_HEADER and (line := file.readline(_MAX_HEADER)):
            text = line.decode("latin-1").strip()
            if not text:
                return fields, file.tell()
            name, mark, value = text.partition(":")
            # "key:=value" is a note, not a field.
            if mark and not text.startswith("#") and not value.startswith("="):
                _once(fields, name.strip().lower(), value.strip(), path)
    raise InputError("is damaged: its header does not end", path, "export or copy it again")


def _meta_header(path: Path) -> tuple[dict[str, str], int]:
    """Fields and the offset of the voxels."""
    with path.open("rb") as file:
        fields: dict[str, str] = {}
        while file.tell() < _MAX_HEADER and (line := file.readline(_MAX_HEADER)):
            name, mark, value = line.decode("latin-1").partition("=")
            if not mark:
                break
            _once(fields, name.strip(), value.strip(), path)
            if name.strip() == "ElementDataFile":
                return fields, file.tell()
    raise InputError(f"is damaged, cut short or not {_META}", path, "export or copy it again")


def _once(fields: dict[str, str], name: str, value: str, path: Path) -> None:
    if name in fields:
        raise InputError("is damaged: its header says one thing twice", path, "export or copy it again")
    fields[name] = value


def _dimensions(sizes: list[int], dimension: int, path: Path, kind: str) -> None:
    if len(sizes) != dimension or not 1 <= dimension <= _MAX_DIMENSIONS:
        raise InputError(f"is damaged, cut short or not {kind}", path, "export or copy it again")
    if len(sizes) > 3 and math.prod(sizes) <= checks.MAX_VOXELS and min(sizes) > 0:
        return  # which axis is not a spatial one is for ITK to say
    checks.image_shape(sizes, path)


def _itemsize(table: dict[str, int], name: str, path: Path) -> int:
    if name not in table:
        raise InputError(f"its voxels are of a kind livf does not read ({name[:30]})", path, "save it as 16 bit")
    return table[name]


def _read(path: Path, image_io: str, kind: str) -> tuple[Array, Affine]:
    import SimpleITK as sitk

    with native_silence(), checks.parsing(path, kind):
        reader: Any = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.SetImageIO(image_io)
        reader.ReadImageInformation()
        size = reader.GetSize()
        if reader.GetNumberOfComponents() != 1:
            checks.scalar_voxels(np.dtype("V1"), path)
        shape = checks.image_shape(size, path)
        affine = checks.image_affine(_affine(reader, path), path)
        array = sitk.GetArrayFromImage(reader.Execute())
    return array.transpose().reshape(shape, order="F"), affine


def _affine(image: Any, path: Path) -> Affine:
    """RAS+ affine of a SimpleITK image or reader, its first three axes."""
    dimension = image.GetDimension()
    direction = np.array(image.GetDirection(), dtype=np.float64).reshape(dimension, dimension)[:3, :3]
    spacing = np.array(image.GetSpacing(), dtype=np.float64)[:3]
    if not (spacing > 0).all():
        # A header's sign or zero comes through as it is; directions are then not numbers either.
        text = " x ".join(f"{size:g}" for size in spacing)
        raise InputError(f"has a voxel size that is not above zero ({text} mm)", path, "set its true spacing")
    affine = np.eye(4)
    affine[:3, :3] = direction * spacing
    affine[:3, 3] = np.array(image.GetOrigin(), dtype=np.float64)[:3]
    return np.asarray(LPS_TO_RAS @ affine, dtype=np.float64)
