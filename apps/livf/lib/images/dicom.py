"""DICOM series: classic single-frame files and enhanced multi-frame files, read by pydicom.

A folder is searched on its top level, and below only where the top level holds no DICOM (the layout of a CD). Files
that are not DICOM, DICOMDIR, and DICOM without a greyscale slice image (segmentations, reports, colour maps) are passed
over. No message holds a value of a patient's tag.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.errors import InputError
from livf.lib.images import checks
from livf.lib.images.formats import DICOM_SUFFIXES
from livf.lib.images.quiet import native_silence, python_silence
from livf.lib.images.stacks import Frame, arrange, choose
from livf.lib.values import Affine, Array

_KIND: Final = "a DICOM image"
_MAX_FILES: Final = 20_000
_EXPORT_AGAIN: Final = "export or copy it again"
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_NO_SCAN: Final = "without a scan (segmentations, reports and the like)"
#: Storage classes that have rows and columns but are no scan.
_DERIVED: Final = {
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
    "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
    "1.2.840.10008.5.1.4.1.1.481.2",  # RT Dose
}
#: What tells images of one place apart: name for the message, functional group (enhanced), attribute.
_TRAITS: Final = (
    ("echo time", "MREchoSequence", "EffectiveEchoTime"),
    ("echo time", "", "EchoTime"),
    ("time point", "FrameContentSequence", "TemporalPositionIndex"),
    ("time point", "", "TemporalPositionIdentifier"),
    ("diffusion weighting", "MRDiffusionSequence", "DiffusionBValue"),
    ("diffusion weighting", "", "DiffusionBValue"),
    ("kind of image", "MRImageFrameTypeSequence", "FrameType"),
    ("kind of image", "", "ImageType"),
    ("trigger time", "", "TriggerTime"),
    ("acquisition", "", "AcquisitionNumber"),
)


def read_folder(folder: Path) -> tuple[Array, Affine]:
    """Voxels ``(columns, rows, slices)`` and RAS+ affine of the one image series in a folder.

    Raises:
        InputError: The folder holds no DICOM image, several that could be meant, or one that is not a whole volume.
    """
    files = _dicom_files(folder)
    if not files:
        raise InputError("holds no DICOM image", folder, "give an image file or the folder of a DICOM series")
    return _read(files, folder)


def read_file(path: Path) -> tuple[Array, Affine]:
    """Voxels ``(columns, rows, slices)`` and RAS+ affine of a multi-frame DICOM file.

    Raises:
        InputError: The file is damaged or holds no 3D image.
    """
    if not _is_dicom(path):
        raise InputError(f"is damaged or not {_KIND}", path, _EXPORT_AGAIN)
    return _read([path], path)


def _dicom_files(folder: Path) -> list[Path]:
    def visible(entries: Iterator[Path]) -> list[Path]:
        taken = list(islice((entry for entry in entries if not entry.name.startswith(".")), _MAX_FILES + 1))
        if len(taken) > _MAX_FILES:
            raise InputError(f"holds more than {_MAX_FILES} files", folder, "give the folder of one series")
        return sorted(entry for entry in taken if entry.is_file() and entry.name.upper() != "DICOMDIR")

    with checks.parsing(folder, "a folder of images"):
        top = [file for file in visible(folder.iterdir()) if _is_dicom(file)]
        return top or [file for file in visible(folder.rglob("*")) if _is_dicom(file)]


def _is_dicom(file: Path) -> bool:
    with checks.parsing(file, _KIND), file.open("rb") as opened:
        found = opened.read(132)[128:] == b"DICM"
    if not found and file.suffix.lower() in DICOM_SUFFIXES:
        # Passing over a damaged slice at the end of a series would cut the volume in silence.
        raise InputError(f"is damaged or not {_KIND}", file, _EXPORT_AGAIN)
    return found


def _read(files: list[Path], where: Path) -> tuple[Array, Affine]:
    with python_silence("pydicom"):
        frames: list[Frame] = []
        passed_over: Counter[str] = Counter()
        for file in files:
            found = _frames(file)
            if isinstance(found, str):
                passed_over[found] += 1
            else:
                frames.extend(found)
        if not frames:
            reasons = ", ".join(f"{count} {reason}" for reason, count in passed_over.most_common())
            raise InputError(f"holds no greyscale DICOM slice image ({reasons})", where,
                             "give the folder of an MR series")  # fmt: skip
        frames, affine = arrange(_without_copies(choose(frames, where)), where)
        rows, columns = frames[0].size
        shape = checks.image_shape((columns, rows, len(frames)), where)
        return _voxels(frames, shape), affine


def _frames(file: Path) -> list[Frame] | str:
    """The slice images of a file, or why it holds none."""
    pydicom = _pydicom()
    with checks.parsing(file, _KIND):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        if header.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY:
            return _NO_SCAN
        if not header.get("SOPInstanceUID") or not header.get("SOPClassUID"):
            raise InputError(f"is damaged or not {_KIND}", file, _EXPORT_AGAIN)
        if "Rows" not in header and "Image Storage" in header.SOPClassUID.name:
            # The header ends early. Passing over such a slice at the end of a series would shorten it in silence.
            raise InputError(f"is damaged or not {_KIND}", file, _EXPORT_AGAIN)
        if header.SOPClassUID in _DERIVED or "Rows" not in header:
            return _NO_SCAN
        if int(header.get("SamplesPerPixel", 1)) != 1 or not str(
            header.get("PhotometricInterpretation", "MONOCHROME2")
        ).startswith("MONOCHROME"):
            return "in colour"
        number = int(header.get("NumberOfFrames") or 1)
        groups = header.get("PerFrameFunctionalGroupsSequence")
        if groups is None:
            if number > 1 or not all(
                header.get(key) for key in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
            ):
                return "without a position in the patient"
            return [_frame(file, header, None, [header])]
        if len(groups) != number:
            raise InputError(f"is damaged: {number} frames, but positions for {len(groups)}", file, _EXPORT_AGAIN)
        shared = list(header.get("SharedFunctionalGroupsSequence") or [])[:1]
        return [_frame(file, header, index, [group, *shared]) for index, group in enumerate(groups)]


def _frame(file: Path, header: Any, index: int | None, groups: list[Any]) -> Frame:
    def value(sequence: str, key: str, default: Any = None) -> Any:
        """An attribute of this frame: its own functional group first, then the shared one, then the header's."""
        for group in groups:
            items = group.get(sequence) if sequence else None
            if items and items[0].get(key) is not None:
                return items[0].get(key)
        found = header.get(key) if index is None or not sequence else None
        return default if found is None else found

    orientation = np.array(value("PlaneOrientationSequence", "ImageOrientationPatient"), dtype=np.float64)
    position = np.array(value("PlanePositionSequence", "ImagePositionPatient"), dtype=np.float64)
    between = [float(size) for size in value("PixelMeasuresSequence", "PixelSpacing")]
    slope = float(value("PixelValueTransformationSequence", "RescaleSlope", 1))
    intercept = float(value("PixelValueTransformationSequence", "RescaleIntercept", 0))
    if orientation.shape != (6,) or position.shape != (3,) or len(between) != 2:
        raise InputError("is damaged: its position, direction or spacing is incomplete", file, _EXPORT_AGAIN)
    directions = orientation.reshape(2, 3)
    if (
        not np.isfinite([*orientation, *position, *between, slope, intercept]).all()
        or (np.abs(np.linalg.norm(directions, axis=1) - 1) > 0.01).any()
    ):
        raise InputError("is damaged: its position, direction, spacing or scale is impossible", file, _EXPORT_AGAIN)
    number = header.get("SeriesNumber")
    # Escape sequences of a stranger's file must not reach the terminal.
    description = "".join(c for c in str(header.get("SeriesDescription") or "without a name") if c.isprintable())[:40]
    kinds = [str(kind).upper() for kind in header.get("ImageType") or []]
    traits: dict[str, str] = {}
    for name, sequence, key in _TRAITS:
        if (found := value(sequence, key)) is not None:
            traits.setdefault(name, str(found))
    return Frame(
        file=file,
        index=index,
        instance=str(header.SOPInstanceUID),
        series=str(header.get("SeriesInstanceUID", "")),
        title=f"{number}: {description}" if number is not None else description,
        position=position,
        row=directions[0] / np.linalg.norm(directions[0]),
        column=directions[1] / np.linalg.norm(directions[1]),
        pixel=(between[0], between[1]),
        size=(int(header.Rows), int(header.Columns)),
        slope=slope,
        intercept=intercept,
        inverted=header.get("PhotometricInterpretation") == "MONOCHROME1",
        localiser="LOCALIZER" in kinds,
        traits=traits,
    )


def _without_copies(frames: list[Frame]) -> list[Frame]:
    """Drop files that repeat another byte for byte in their voxels: the same instance, exported twice.

    The instance UID alone is not enough, since some anonymisers give every slice the same one.
    """
    pydicom = _pydicom()
    kept: dict[tuple[object, ...], Frame] = {}
    repeated = {key for key, count in Counter(_identity(frame) for frame in frames).items() if count > 1}
    for number, frame in enumerate(frames):
        key = _identity(frame)
        if key in repeated:
            with checks.parsing(frame.file, _KIND):
                content = pydicom.dcmread(frame.file).get("PixelData", b"")
            kept.setdefault((*key, hashlib.sha256(content).digest()), frame)
        else:
            kept[number, *key] = frame
    return list(kept.values())


def _identity(frame: Frame) -> tuple[object, ...]:
    return frame.instance, frame.index, *frame.position.tolist()


def _voxels(frames: list[Frame], shape: tuple[int, int, int]) -> Array:
    stored: dict[os.PathLike[str], Array] = {}
    slices = []
    for frame in frames:
        if frame.file not in stored:
            stored.clear()  # frames of one file mostly follow each other; holding many files would double the memory
            stored[frame.file] = _decode(frame.file)
        image = stored[frame.file]
        image = image if image.ndim == 2 else image[frame.index or 0]
        if image.shape != frame.size:
            raise InputError("is damaged: its voxels do not fit its size", frame.file, _EXPORT_AGAIN)
        slices.append(image)
    scaled = any(frame.slope != 1 or frame.intercept != 0 for frame in frames)
    dtype = np.dtype(np.float32) if scaled else np.result_type(*slices)
    array: npt.NDArray[Any] = np.empty(shape, dtype=dtype, order="F")
    for k, (frame, image) in enumerate(zip(frames, slices, strict=True)):
        array[:, :, k] = image.T
        if scaled:
            array[:, :, k] *= frame.slope
            array[:, :, k] += frame.intercept
    return array


def _decode(file: os.PathLike[str]) -> Array:
    """Stored values of a file, ``(rows, columns)`` or ``(frames, rows, columns)``, brighter being larger."""
    pydicom = _pydicom()
    with checks.parsing(file, "a DICOM image whose voxels can be decoded"):
        dataset = pydicom.dcmread(file)
        if dataset.get("NumberOfFrames", 1) * dataset.Rows * dataset.Columns > checks.MAX_VOXELS:
            raise InputError("claims too many voxels", file, _EXPORT_AGAIN)
        syntax = dataset.file_meta.TransferSyntaxUID
        if not syntax.is_encapsulated and "PixelData" in dataset:
            row = dataset.Columns * dataset.BitsAllocated // 8
            if len(dataset.PixelData) >= (dataset.get("NumberOfFrames", 1) * dataset.Rows + 1) * row:
                raise InputError("is damaged: it holds more voxels than its size says", file, _EXPORT_AGAIN)
        if syntax.is_encapsulated and not pydicom.pixels.get_decoder(syntax).is_available:
            array = _decode_by_gdcm(dataset, file)
        else:
            array = np.asarray(dataset.pixel_array)
        if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
            bits = int(dataset.BitsStored)
            top = -1 if dataset.get("PixelRepresentation") else (1 << bits) - 1
            array = (top - array.astype(np.int64)).astype(array.dtype)
        return array


def _decode_by_gdcm(dataset: Any, file: os.PathLike[str]) -> Array:
    """Decode compressions for which pydicom has no decoder installed (lossless JPEG, of many archives).

    Only the pixel module is handed over, so that GDCM has no scale, position or photometric rule to apply: what comes
    back are the stored values.
    """
    import SimpleITK as sitk

    pydicom = _pydicom()
    bare = pydicom.Dataset()
    for key in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"):
        setattr(bare, key, dataset[key].value)
    if "NumberOfFrames" in dataset:
        bare.NumberOfFrames = dataset.NumberOfFrames
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    bare.SOPInstanceUID = pydicom.uid.generate_uid()
    bare.file_meta = pydicom.dataset.FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "frame.dcm")
        bare.save_as(name, enforce_file_format=True)
        with native_silence():
            try:
                image = sitk.ReadImage(name, imageIO="GDCMImageIO")
            except RuntimeError as error:
                raise InputError(
                    f"is compressed in a way livf cannot decode ({dataset.file_meta.TransferSyntaxUID.name}), "
                    "or damaged",
                    file,
                    "export it uncompressed",
                ) from error
    array: npt.NDArray[np.generic] = sitk.GetArrayFromImage(image)
    return array if dataset.get("NumberOfFrames", 1) > 1 else array.reshape(array.shape[-2:])


def _pydicom() -> Any:
    try:
        import pydicom
        import pydicom.pixels
        import pydicom.uid
    except ImportError as error:
        raise InputError("reading DICOM needs pydicom", remedy='install it: pip install "livf[dicom]"') from error
    return pydicom
