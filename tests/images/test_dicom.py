"""DICOM folders and files as they come from scanners and archives."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, RLELossless, generate_uid

from livf.lib.errors import InputError
from livf.lib.images import read_image
from livf.lib.values import Volume, to_world

Series = Callable[..., list[Path]]


@pytest.fixture
def sagittal(make_volume: Callable[..., Volume]) -> Volume:
    """Eleven oblique sagittal slices, 4 mm apart, in the order in which DICOM sorts them."""
    affine = make_volume("PIL", 12.0).affine
    affine[:3, :2] = affine[:3, [1, 0]] if np.linalg.det(affine) > 0 else affine[:3, :2]
    array = np.random.default_rng(3).integers(0, 1200, (9, 10, 11)).astype(np.int16)
    return Volume(array, affine)


@pytest.fixture
def write_series(dicom_files: ModuleType) -> Series:
    return dicom_files.write_series  # type: ignore[no-any-return]


def edit_files(files: list[Path], change: Callable[[Dataset], None]) -> None:
    for file in files:
        dataset = pydicom.dcmread(file)
        change(dataset)
        dataset.save_as(file)


def test_series_agrees_with_simpleitk(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    write_series(tmp_path, sagittal)
    got = read_image(tmp_path)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path))
    image = sitk.ReadImage(names)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(), got.array)
    for index in ((0, 0, 0), (8, 9, 10), (3, 1, 7)):
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(to_world(got.affine, index), lps * [-1, -1, 1], atol=1e-3)
    assert got.array.dtype == np.int16
    assert got.source == str(tmp_path)


def test_rescale_is_applied_slice_by_slice(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    def scale(dataset: Dataset, k: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(1 + k / 4), "-10"

    write_series(tmp_path, sagittal, edit=scale)
    plain = write_series(tmp_path / "plain", sagittal)
    got, stored = read_image(tmp_path), read_image(plain[0].parent)
    steps = 1 + np.arange(11) / 4
    if np.abs(stored.array[:, :, 0] - sagittal.array[:, :, 0]).max() > 0:
        steps = steps[::-1]
    assert got.array.dtype == np.float32
    np.testing.assert_allclose(got.array, stored.array * steps - 10, rtol=1e-6)


def test_low_values_that_are_bright_are_inverted(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    volume = Volume(sagittal.array.astype(np.uint16), sagittal.affine)

    def invert(dataset: Dataset, k: int) -> None:
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.BitsStored, dataset.HighBit = 12, 11

    write_series(tmp_path / "a", volume)
    write_series(tmp_path / "b", volume, edit=invert)
    np.testing.assert_array_equal(read_image(tmp_path / "b").array, 4095 - read_image(tmp_path / "a").array)


@pytest.mark.parametrize(("compressor", "syntax"), [("JPEG", JPEGLosslessSV1), ("JPEG2000", JPEG2000Lossless)])
def test_compressed_slices(
    compressor: str, syntax: str, sagittal: Volume, write_series: Series, tmp_path: Path
) -> None:
    """Lossless JPEG has no decoder in pydicom here; GDCM, which SimpleITK carries, decodes it."""
    files = write_series(tmp_path / "a", sagittal)
    expected = read_image(tmp_path / "a")
    for file in files:
        dataset = pydicom.dcmread(file)
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "compressed.dcm"))
        writer.SetImageIO("GDCMImageIO")
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.Execute(sitk.GetImageFromArray(dataset.pixel_array[None]))
        compressed = pydicom.dcmread(tmp_path / "compressed.dcm")
        assert compressed.file_meta.TransferSyntaxUID == syntax
        dataset.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
        for key in ("PixelData", "BitsStored", "BitsAllocated", "HighBit", "PixelRepresentation"):
            dataset[key] = compressed[key]
        dataset.save_as(file)
    got = read_image(tmp_path / "a")
    np.testing.assert_array_equal(got.array, expected.array)
    np.testing.assert_allclose(got.affine, expected.affine)


def test_run_length_encoding(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    files = write_series(tmp_path, sagittal)
    expected = read_image(tmp_path).array
    edit_files(files, lambda dataset: dataset.compress(RLELossless))
    np.testing.assert_array_equal(read_image(tmp_path).array, expected)


def test_a_compression_nobody_decodes_is_named(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    files = write_series(tmp_path, sagittal)

    def pretend(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
        dataset.PixelData = pydicom.encaps.encapsulate([b"no HTJ2K stream at all" * 4])
        dataset["PixelData"].is_undefined_length = True

    edit_files(files, pretend)
    with pytest.raises(InputError, match=r"High-Throughput JPEG 2000.*export it uncompressed"):
        read_image(tmp_path)


def test_what_is_no_scan_is_passed_over(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    write_series(tmp_path, sagittal)
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / ".DS_Store").write_bytes(b"\0" * 200)
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "broken.dcm").write_bytes(b"below the top level")
    other = write_series(tmp_path / "other", sagittal)
    for number, uid in enumerate(("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.33")):
        dataset = pydicom.dcmread(other[number])
        dataset.SOPClassUID, dataset.SeriesInstanceUID = uid, generate_uid()
        if number:
            del dataset.Rows, dataset.PixelData
        dataset.save_as(tmp_path / f"object{number}.dcm")
    colour = pydicom.dcmread(other[2])
    colour.SamplesPerPixel, colour.PhotometricInterpretation = 3, "RGB"
    colour.save_as(tmp_path / "colour.dcm")
    screenshot = pydicom.dcmread(other[3])
    del screenshot.ImagePositionPatient
    screenshot.save_as(tmp_path / "screenshot.dcm")
    assert read_image(tmp_path).shape == (9, 10, 11)


def test_only_what_is_no_scan_is_refused_with_its_kinds(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    def colour(dataset: Dataset, k: int) -> None:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"

    write_series(tmp_path / "a", sagittal, edit=colour)
    with pytest.raises(InputError, match="11 in colour"):
        read_image(tmp_path / "a")

    def nowhere(dataset: Dataset, k: int) -> None:
        del dataset.ImageOrientationPatient

    write_series(tmp_path / "b", sagittal, edit=nowhere)
    with pytest.raises(InputError, match="11 without a position in the patient"):
        read_image(tmp_path / "b")


def test_folders_below_are_searched_only_where_the_top_holds_none(
    sagittal: Volume, write_series: Series, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds no DICOM image"):
        read_image(tmp_path)
    write_series(tmp_path / "DICOM" / "S1", sagittal)
    assert read_image(tmp_path).shape == (9, 10, 11)


def test_localiser_beside_the_series(
    sagittal: Volume, write_series: Series, make_volume: Callable[..., Volume], tmp_path: Path
) -> None:
    write_series(tmp_path, sagittal)
    for code in ("RAS", "RSA", "ASR"):
        small = make_volume(code, 0.0, (9, 10, 3))
        write_series(tmp_path, small, series="1.2.3", description="localizer", prefix=code)
    assert read_image(tmp_path).shape == (9, 10, 11)


def test_two_series_are_listed_without_the_patient(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    write_series(tmp_path, sagittal, description="T2 sag", number=3, prefix="a")
    write_series(tmp_path, sagittal, description="T1 sag", number=4, prefix="b")
    with pytest.raises(InputError) as error:
        read_image(tmp_path)
    line = error.value.line
    assert "3: T2 sag (11 slices, sagittal)" in line
    assert "4: T1 sag (11 slices, sagittal)" in line
    assert "Secret" not in line
    assert "SECRET" not in line


def test_a_description_cannot_send_commands_to_the_terminal(
    sagittal: Volume, write_series: Series, tmp_path: Path
) -> None:
    for prefix in "ab":
        files = write_series(tmp_path, sagittal, prefix=prefix, description="T2 RED", number=ord(prefix))
        for file in files:
            file.write_bytes(file.read_bytes().replace(b"T2 RED", b"\x1b[31mR"))
    with pytest.raises(InputError, match="holds 2 image series") as error:
        read_image(tmp_path)
    assert error.value.line.isprintable()


def test_missing_slice(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    write_series(tmp_path, sagittal)[4].unlink()
    with pytest.raises(InputError, match=r"misses 1 slice between slices \d+ and \d+ of 10"):
        read_image(tmp_path)


def test_a_slice_exported_twice_is_taken_once_and_a_second_echo_is_refused(
    sagittal: Volume, write_series: Series, tmp_path: Path
) -> None:
    files = write_series(tmp_path, sagittal)
    expected = read_image(tmp_path).array
    shutil.copy(files[2], tmp_path / "copy.dcm")
    np.testing.assert_array_equal(read_image(tmp_path).array, expected)
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.EchoTime, dataset.SOPInstanceUID = 20.0, generate_uid()
        dataset.save_as(file.with_stem("echo" + file.stem))
    with pytest.raises(InputError, match=r"several images of one place .*echo time"):
        read_image(tmp_path)


def test_one_uid_for_every_slice_loses_none(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    def anonymise(dataset: Dataset, k: int) -> None:
        dataset.SOPInstanceUID = "1.2.3.4"

    write_series(tmp_path, sagittal, edit=anonymise)
    assert read_image(tmp_path).shape == (9, 10, 11)


def test_gantry_tilt(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    tilted = sagittal.affine.copy()
    tilted[:3, 2] += 0.5 * tilted[:3, 1]
    write_series(tmp_path, Volume(sagittal.array, tilted))
    with pytest.raises(InputError, match="not orthogonal"):
        read_image(tmp_path)


def test_axes_of_one_slice_that_are_not_orthogonal(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    def skew(dataset: Dataset, k: int) -> None:
        row, column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        column = column + 0.1 * row
        dataset.ImageOrientationPatient = [f"{x:.9f}" for x in [*row, *(column / np.linalg.norm(column))]]

    write_series(tmp_path, sagittal, edit=skew)
    with pytest.raises(InputError, match="not orthogonal"):
        read_image(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("PixelSpacing", ["0", "0.8"], "voxel size of zero"),
        ("PixelSpacing", ["80", "80"], "implausible"),
        ("ImageOrientationPatient", ["0"] * 6, "impossible"),
        ("ImageOrientationPatient", ["1", "0", "0"], "incomplete"),
        ("Rows", 3, "more voxels than its size says"),
        ("BitsAllocated", 13, "damaged"),
    ],
)
def test_absurd_headers(
    key: str, value: Any, reason: str, sagittal: Volume, write_series: Series, tmp_path: Path
) -> None:
    write_series(tmp_path, sagittal, edit=lambda dataset, k: setattr(dataset, key, value))
    with pytest.raises(InputError, match=reason):
        read_image(tmp_path)


def test_damaged_slices_are_never_dropped_in_silence(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    files = write_series(tmp_path, sagittal)
    whole = files[0].read_bytes()
    for length in (*range(0, len(whole) - 2, 37), len(whole) - 2):
        files[0].write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_image(tmp_path)


def test_one_slice_and_constant_slices(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    files = write_series(tmp_path / "a", sagittal)
    with pytest.raises(InputError, match="single slice"):
        read_image(files[0])
    write_series(tmp_path / "b", Volume(np.full((9, 10, 11), 5, np.int16), sagittal.affine))
    with pytest.raises(InputError, match="same value"):
        read_image(tmp_path / "b")


def test_enhanced_file_without_a_suffix(sagittal: Volume, dicom_files: ModuleType, tmp_path: Path) -> None:
    path = dicom_files.write_enhanced(tmp_path / "IM0001", sagittal)
    assert read_image(path).shape == (9, 10, 11)
    assert read_image(tmp_path).shape == (9, 10, 11)


def test_enhanced_scale_of_every_frame(sagittal: Volume, dicom_files: ModuleType, tmp_path: Path) -> None:
    expected = read_image(dicom_files.write_enhanced(tmp_path / "plain.dcm", sagittal)).array

    def scale(dataset: Any, _: int) -> None:
        del dataset.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
        for group in dataset.PerFrameFunctionalGroupsSequence:
            item = Dataset()
            item.RescaleSlope, item.RescaleIntercept = "2", "1"
            group.PixelValueTransformationSequence = Sequence([item])

    got = read_image(dicom_files.write_enhanced(tmp_path / "scaled.dcm", sagittal, edit=scale))
    np.testing.assert_allclose(got.array, expected * 2.0 + 1)


@pytest.mark.parametrize(
    ("sequence", "key", "named"),
    [
        ("MREchoSequence", "EffectiveEchoTime", "echo time"),
        ("FrameContentSequence", "TemporalPositionIndex", "time point"),
        ("MRDiffusionSequence", "DiffusionBValue", "diffusion weighting"),
    ],
)
def test_enhanced_with_a_fourth_dimension_is_named(
    sequence: str, key: str, named: str, sagittal: Volume, dicom_files: ModuleType, tmp_path: Path
) -> None:
    def double(dataset: Any, _: int) -> None:
        groups = list(dataset.PerFrameFunctionalGroupsSequence)
        both = []
        for value in (1, 2):
            for group in groups:
                item, copy = Dataset(), Dataset()
                setattr(item, key, value)
                copy.PlanePositionSequence = group.PlanePositionSequence
                setattr(copy, sequence, Sequence([item]))
                both.append(copy)
        dataset.PerFrameFunctionalGroupsSequence = Sequence(both)
        dataset.NumberOfFrames = len(both)
        dataset.PixelData = dataset.PixelData * 2

    with pytest.raises(InputError, match=f"several images of one place .*{named}"):
        read_image(dicom_files.write_enhanced(tmp_path / "a.dcm", sagittal, edit=double))


def test_enhanced_with_missing_groups_or_frames(sagittal: Volume, dicom_files: ModuleType, tmp_path: Path) -> None:
    def more(dataset: Any, _: int) -> None:
        dataset.NumberOfFrames = 40

    with pytest.raises(InputError, match="40 frames, but positions for 11"):
        read_image(dicom_files.write_enhanced(tmp_path / "a.dcm", sagittal, edit=more))

    def none(dataset: Any, _: int) -> None:
        del dataset.PerFrameFunctionalGroupsSequence

    with pytest.raises(InputError, match="without a position"):
        read_image(dicom_files.write_enhanced(tmp_path / "b.dcm", sagittal, edit=none))


def test_a_claim_of_many_voxels_costs_nothing(sagittal: Volume, write_series: Series, tmp_path: Path) -> None:
    def claim(dataset: Dataset, k: int) -> None:
        dataset.Rows, dataset.Columns = 65535, 65535

    write_series(tmp_path, sagittal, edit=claim)
    with pytest.raises(InputError, match="claims"):
        read_image(tmp_path)
