"""Make DICOM files of a volume, for tests: a classic series, or one enhanced multi-frame file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from livf.lib.values import Volume, spacing

Edit = Callable[[Dataset, int], None]
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_series(
    folder: Path,
    volume: Volume,
    *,
    series: str | None = None,
    description: str = "T2 SPACE",
    number: int = 5,
    prefix: str = "",
    edit: Edit | None = None,
) -> list[Path]:
    """Write a volume as a classic series, one file a slice, named and numbered in an order that means nothing.

    Args:
        folder: Made when it is missing.
        volume: int16 or uint16 voxels, shape ``(columns, rows, slices)``.
        series: Series instance UID; a new one by default.
        description: Series description.
        number: Series number.
        prefix: Start of the file names, to put several series into one folder.
        edit: Called with each data set and its slice index before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    series = series or generate_uid()
    count = volume.shape[2]
    shuffled = np.random.default_rng(count).permutation(count)
    files = []
    for k in range(count):
        dataset = _common(volume, MRImageStorage, series, description, number)
        _pixels(dataset, volume.array[:, :, k].T)
        position, orientation, between = _place(volume, k)
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = position, orientation
        dataset.PixelSpacing = between
        dataset.SliceThickness = float(spacing(volume.affine)[2])
        dataset.InstanceNumber = int(shuffled[k]) + 1
        dataset.EchoTime, dataset.AcquisitionNumber = 100.0, 1
        if edit:
            edit(dataset, k)
        file = folder / f"{prefix}{shuffled[k]:04d}.dcm"
        dataset.save_as(file, enforce_file_format=True)
        files.append(file)
    return files


def write_enhanced(file: Path, volume: Volume, *, edit: Edit | None = None) -> Path:
    """Write a volume as one enhanced multi-frame MR file, its frames in a shuffled order.

    ``edit`` is called once, with the data set and -1, before it is written.
    """
    count = volume.shape[2]
    order = np.random.default_rng(count).permutation(count)
    dataset = _common(volume, EnhancedMRImageStorage, generate_uid(), "T2 SPACE enhanced", 6)
    _pixels(dataset, np.stack([volume.array[:, :, k].T for k in order]))
    dataset.NumberOfFrames = count
    _, orientation, between = _place(volume, 0)
    plane, measures, scale = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = orientation
    measures.PixelSpacing, measures.SliceThickness = between, float(spacing(volume.affine)[2])
    scale.RescaleSlope, scale.RescaleIntercept = 1.0, 0.0
    shared = Dataset()
    shared.PlaneOrientationSequence = Sequence([plane])
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([scale])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for k in order:
        place, group = Dataset(), Dataset()
        place.ImagePositionPatient = _place(volume, int(k))[0]
        group.PlanePositionSequence = Sequence([place])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    if edit:
        edit(dataset, -1)
    dataset.save_as(file, enforce_file_format=True)
    return file


def _common(volume: Volume, storage: str, series: str, description: str, number: int) -> Dataset:
    dataset: Any = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage, generate_uid()
    dataset.PatientName, dataset.PatientID = "Secret^Name", "SECRET-ID"
    dataset.Modality, dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "MR", series, generate_uid()
    dataset.SeriesDescription, dataset.SeriesNumber = description, number
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    return dataset


def _pixels(dataset: Any, stored: np.ndarray[Any, Any]) -> None:
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(stored.dtype == np.int16)
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()


def _place(volume: Volume, k: int) -> tuple[list[str], list[str], list[str]]:
    """Position, orientation and pixel spacing of slice ``k`` as decimal strings of up to 16 characters."""
    lps = RAS_TO_LPS @ volume.affine
    sizes = spacing(lps)
    position = (lps @ [0, 0, k, 1])[:3]
    orientation = [*(lps[:3, 0] / sizes[0]), *(lps[:3, 1] / sizes[1])]
    return [f"{x:.10g}" for x in position], [f"{x:.9f}" for x in orientation], [f"{sizes[1]:.9g}", f"{sizes[0]:.9g}"]
