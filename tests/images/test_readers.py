"""One volume in every format is one image; bad input is one line, whatever it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livf.lib.errors import InputError, LivfError, NotFoundError
from livf.lib.images import IMAGE_SUFFIXES, read_image, read_label, write_image, write_label
from livf.lib.values import Volume, to_index, to_world


def same_image(got: Volume, expected: Volume, within_mm: float) -> None:
    """Assert that both have the same voxels at the same places in the patient, whatever their array order."""
    index = np.stack(np.meshgrid(*map(np.arange, expected.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    found = to_index(got.affine, to_world(expected.affine, index))
    nearest = np.rint(found).astype(int)
    assert (np.abs(to_world(got.affine, nearest) - to_world(expected.affine, index)) < within_mm).all()
    assert sorted(got.shape) == sorted(expected.shape)
    np.testing.assert_array_equal(got.array[tuple(nearest.T)], expected.array[tuple(index.T)])


def one_line(error: pytest.ExceptionInfo[LivfError], path: Path) -> str:
    line = error.value.line
    assert str(path) in line
    assert "\n" not in line
    assert len(line) < 600
    assert error.value.remedy
    return line


@pytest.mark.parametrize("tilt", [0.0, 23.0])
def test_every_orientation_is_one_image_in_every_format(
    code: str, tilt: float, make_volume: Callable[..., Volume], dicom_files: ModuleType, tmp_path: Path
) -> None:
    volume = make_volume(code, tilt)
    for suffix in IMAGE_SUFFIXES:
        write_image(tmp_path / f"image{suffix}", volume)
        got = read_image(tmp_path / f"image{suffix}")
        np.testing.assert_allclose(got.affine, volume.affine, atol=2e-5)
        np.testing.assert_array_equal(got.array, volume.array)
        assert got.array.dtype == np.int16
        if tilt == 0:
            assert "".join(nib.aff2axcodes(got.affine)) == code
    dicom_files.write_series(tmp_path / "series", volume)
    same_image(read_image(tmp_path / "series"), volume, within_mm=1e-5)
    dicom_files.write_enhanced(tmp_path / "enhanced.dcm", volume)
    same_image(read_image(tmp_path / "enhanced.dcm"), volume, within_mm=1e-5)


def test_affine_agrees_with_libraries_that_are_not_used_to_read_it(volume: Volume, tmp_path: Path) -> None:
    import nrrd
    import SimpleITK as sitk

    corner = (1, 2, 3)
    world = to_world(volume.affine, corner)
    for suffix in IMAGE_SUFFIXES:
        write_image(tmp_path / f"image{suffix}", volume)
        image = sitk.ReadImage(str(tmp_path / f"image{suffix}"))
        lps = np.array(image.TransformIndexToPhysicalPoint(corner))
        np.testing.assert_allclose(lps * [-1, -1, 1], world, atol=1e-4)
        assert image[corner] == volume.array[corner]
    loaded = nib.load(tmp_path / "image.nii.gz")
    np.testing.assert_allclose(loaded.affine, volume.affine, atol=1e-5)
    np.testing.assert_allclose(loaded.get_qform(), volume.affine, atol=1e-4)
    header = nrrd.read_header(str(tmp_path / "image.nrrd"))
    assert header["space"] == "left-posterior-superior"
    np.testing.assert_allclose(header["space directions"].T * [[-1], [-1], [1]], volume.affine[:3, :3], atol=1e-12)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_label_round_trip(suffix: str, volume: Volume, tmp_path: Path) -> None:
    label = (volume.array % 4).astype(np.uint8)
    write_label(tmp_path / f"label{suffix}", label, volume.affine)
    got = read_label(tmp_path / f"label{suffix}")
    assert got.array.dtype == np.uint8
    np.testing.assert_array_equal(got.array, label)
    np.testing.assert_allclose(got.affine, volume.affine, atol=1e-5)


def test_label_may_be_empty_large_or_stored_as_float(volume: Volume, tmp_path: Path) -> None:
    for array, dtype in [
        (np.zeros(volume.shape, np.int16), np.uint8),
        (volume.array.astype(np.int32), np.int32),
        ((volume.array % 5).astype(np.float32), np.uint8),
    ]:
        write_image(tmp_path / "label.nii.gz", Volume(array, volume.affine))
        got = read_label(tmp_path / "label.nii.gz").array
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, array)


def test_label_refuses_fractions_negatives_and_folders(volume: Volume, tmp_path: Path) -> None:
    path = tmp_path / "label.nii.gz"
    for array, reason in [(volume.array / np.float32(7), "fractions"), (volume.array - np.int16(600), "values from -")]:
        write_image(path, Volume(array, volume.affine))
        with pytest.raises(InputError) as error:
            read_label(path)
        assert reason in one_line(error, path)
    with pytest.raises(InputError, match="folder, not a label"):
        read_label(tmp_path)


def test_what_is_no_image_at_all(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as missing:
        read_image(tmp_path / "nothing.nii.gz")
    one_line(missing, tmp_path / "nothing.nii.gz")
    for name in ("notes.txt", "image", "image.dcm", "a.png", "a.mhd", *(f"a{suffix}" for suffix in IMAGE_SUFFIXES)):
        for content in (b"", b"hello, I am a text file\n" * 40, bytes(2000)):
            path = tmp_path / name
            path.write_bytes(content)
            with pytest.raises(InputError) as error:
                read_image(path)
            one_line(error, path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        read_image(tmp_path / "pipe.nii")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(volume: Volume, tmp_path: Path) -> None:
    write_image(tmp_path / "image.nii.gz", volume)
    (tmp_path / "image.nii.gz").chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        read_image(tmp_path / "image.nii.gz")


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_a_file_cut_short_anywhere_is_refused(suffix: str, volume: Volume, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    write_image(path, volume)
    whole = path.read_bytes()
    for length in {*range(0, 700, 23), *range(700, len(whole), 301), len(whole) - 1, len(whole) - 9}:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError) as error:
            read_image(path)
        one_line(error, path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_flipped_bit_in_a_compressed_stream_is_found(suffix: str, volume: Volume, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    write_image(path, volume)
    whole = path.read_bytes()
    for place in range(len(whole) * 2 // 3, len(whole), 97):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(InputError, match="damaged"):
            read_image(path)


@pytest.fixture(params=[*IMAGE_SUFFIXES, ".dcm"])
def whole(
    request: pytest.FixtureRequest, make_volume: Callable[..., Volume], dicom_files: ModuleType, tmp_path: Path
) -> Path:
    """A good small file of each format."""
    path = tmp_path / f"whole{request.param}"
    volume = make_volume("RAS", 10.0, (5, 6, 7))
    if request.param == ".dcm":
        return dicom_files.write_enhanced(path, volume)
    write_image(path, volume)
    return path


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(data=st.data())
def test_a_mutated_file_never_raises_anything_else(whole: Path, data: st.DataObject) -> None:
    content = bytearray(whole.read_bytes())
    path = whole.with_name("mutated" + "".join(whole.suffixes))
    end = len(content) if path.name.endswith((".nii.gz", ".dcm")) else min(len(content), 520)
    places = data.draw(st.lists(st.tuples(st.integers(0, end - 1), st.binary(min_size=1, max_size=4)), max_size=4))
    for place, new in places:
        content[place : place + len(new)] = new
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    try:
        got = read_image(path)
    except LivfError as error:
        assert "\n" not in error.line  # noqa: PT017
    else:
        assert np.isfinite(got.array).all()
        assert np.isfinite(got.affine).all()


def test_damaged_files_print_nothing_to_the_terminal(
    volume: Volume, make_volume: Callable[..., Volume], dicom_files: ModuleType, tmp_path: Path
) -> None:
    """In a process of its own, on files of which each library is known to print."""
    write_image(tmp_path / "meta.mha", volume)
    content = (tmp_path / "meta.mha").read_bytes()
    (tmp_path / "meta.mha").write_bytes(content.replace(b"CompressedDataSize = ", b"CompressedDataSize = 99"))
    write_image(tmp_path / "nifti.nii", make_volume("RAS", 10.0))
    content = bytearray((tmp_path / "nifti.nii").read_bytes())
    content[76:80] = np.float32(0.5).tobytes()  # qfac, on which nibabel logs a repair
    (tmp_path / "nifti.nii").write_bytes(content)
    for file in dicom_files.write_series(tmp_path / "odd", volume):
        file.write_bytes(file.read_bytes().replace(b"1.2.826.0.1.3680043", b"1.2.826.0.1.36x0043"))  # pydicom warns
    for file in dicom_files.write_series(tmp_path / "jpeg", volume):
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
        dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xc3 no JPEG" * 9])  # GDCM's codec prints
        dataset["PixelData"].is_undefined_length = True
        dataset.save_as(file)
    code = (
        "import sys, logging\n"
        "from livf.lib.images import read_image\n"
        "from livf.lib.errors import LivfError\n"
        "logging.basicConfig(level=logging.WARNING)\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        read_image(path)\n"
        "    except LivfError as error:\n"
        "        print(error.line)\n"
    )
    paths = [tmp_path / name for name in ("meta.mha", "nifti.nii", "odd", "jpeg")]
    done = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [str(paths[0]), str(min(paths[3].iterdir()))]
    assert "Secret" not in done.stdout


def test_threads_may_read_at_once(volume: Volume, dicom_files: ModuleType, tmp_path: Path) -> None:
    dicom_files.write_series(tmp_path / "series", volume)
    paths = [tmp_path / "series", *(tmp_path / f"image{suffix}" for suffix in IMAGE_SUFFIXES)]
    for path in paths[1:]:
        write_image(path, volume)
    expected = [read_image(path).array for path in paths]
    before = os.fstat(2)
    with ThreadPoolExecutor(8) as pool:
        for got, path_index in pool.map(lambda n: (read_image(paths[n % 5]).array, n % 5), range(100)):
            np.testing.assert_array_equal(got, expected[path_index])
    assert os.path.samestat(os.fstat(2), before), "standard error is where it was"


def test_reading_nifti_imports_nothing_heavy(volume: Volume, tmp_path: Path) -> None:
    write_image(tmp_path / "image.nii.gz", volume)
    code = (
        "import sys\n"
        "import livf.lib.images as images\n"
        "assert 'nibabel' not in sys.modules\n"
        "images.read_image(sys.argv[1])\n"
        "assert not {'SimpleITK', 'torch', 'monai'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "image.nii.gz")], check=True)


def _real_images() -> list[Path]:
    folder = Path(os.environ.get("LIVF_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "mri"
    return sorted(folder.glob("*.nii.gz"))


@pytest.mark.skipif(not _real_images(), reason="no real images: set LIVF_TEST_DATA to the data folder")
def test_real_images_and_labels_read() -> None:
    for path in _real_images():
        if path.name.endswith(("_bodies.nii.gz", "_discs.nii.gz")):
            assert read_label(path).array.any()
        else:
            reference = nib.load(path)
            got = read_image(path)
            np.testing.assert_allclose(got.affine, reference.affine, atol=1e-6)
            np.testing.assert_allclose(got.array, reference.get_fdata(), rtol=1e-6)
