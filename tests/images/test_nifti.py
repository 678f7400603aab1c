"""NIfTI: what its header may say, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from livf.lib.errors import InputError
from livf.lib.images import read_image
from livf.lib.values import Volume

#: Offsets of header fields in NIfTI-1, to set what nibabel would repair when it saves.
DIM, PIXDIM, SLOPE, QFORM_CODE, SFORM_CODE, SROW = 40, 76, 112, 252, 254, 280


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    """Save with nibabel, sform and qform both set."""
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    nib.save(image, path)
    return path


def patch(path: Path, offset: int, values: Any, dtype: str = "<i2") -> Path:
    """Overwrite header fields of an uncompressed file."""
    content = bytearray(path.read_bytes())
    new = np.asarray(values, dtype).tobytes()
    content[offset : offset + len(new)] = new
    path.write_bytes(content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image.nii"


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "<u2", "<i4", ">f4", "<f8", "<i8", "<u8"])
def test_voxel_types_and_byte_orders(dtype: str, volume: Volume, path: Path) -> None:
    array = (volume.array % 120).astype(dtype)
    header = nib.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(array.dtype)
    nib.save(nib.Nifti1Image(array, volume.affine, header), path)
    got = read_image(path)
    np.testing.assert_array_equal(got.array, array)
    assert got.array.dtype == np.dtype(dtype).newbyteorder("=")
    assert got.array.flags.writeable


def test_scale_is_applied_and_unset_scale_is_not(volume: Volume, path: Path) -> None:
    for slope, intercept, expected in [
        (0.5, -10.0, volume.array * 0.5 - 10.0),
        (np.nan, np.nan, volume.array),
        (0.0, 7.0, volume.array),
        (1.0, 0.0, volume.array),
        (1.0, 3.0, volume.array + 3.0),
    ]:
        patch(save(path, volume.array, volume.affine), SLOPE, [slope, intercept], "<f4")
        got = read_image(path).array
        np.testing.assert_allclose(got, expected, rtol=1e-6)
        assert got.dtype == (np.int16 if expected.dtype == np.int16 else np.float32)


def test_nifti2_and_trailing_singletons(volume: Volume, path: Path) -> None:
    nib.save(nib.Nifti2Image(volume.array[..., None, None], volume.affine), path)
    got = read_image(path)
    np.testing.assert_array_equal(got.array, volume.array)
    np.testing.assert_allclose(got.affine, volume.affine, atol=1e-9)


@pytest.mark.parametrize(("unit", "scale"), [("meter", 1000.0), ("micron", 0.001)])
def test_other_units_become_millimetres(unit: str, scale: float, volume: Volume, path: Path) -> None:
    image = nib.Nifti1Image(volume.array, np.diag([1 / scale] * 3 + [1]) @ volume.affine)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    np.testing.assert_allclose(read_image(path).affine, volume.affine, rtol=1e-5)


def test_left_handed_is_as_good_as_right_handed(volume: Volume, path: Path) -> None:
    for affine in (volume.affine, volume.affine @ np.diag([-1, 1, 1, 1])):
        np.testing.assert_allclose(read_image(save(path, volume.array, affine)).affine, affine, atol=1e-5)


def test_qform_alone_and_sform_alone_are_enough(volume: Volume, path: Path) -> None:
    for unset in (SFORM_CODE, QFORM_CODE):
        patch(save(path, volume.array, volume.affine), unset, 0)
        np.testing.assert_allclose(read_image(path).affine, volume.affine, atol=1e-4)


def test_an_unset_handedness_of_the_qform_is_right_handed(volume: Volume, path: Path) -> None:
    affine = volume.affine if np.linalg.det(volume.affine) > 0 else volume.affine @ np.diag([1, 1, -1, 1])
    patch(patch(save(path, volume.array, affine), SFORM_CODE, 0), PIXDIM, 0, "<f4")
    np.testing.assert_allclose(read_image(path).affine, affine, atol=1e-4)


def test_unknown_side_is_refused(volume: Volume, path: Path) -> None:
    patch(save(path, volume.array, volume.affine), QFORM_CODE, [0, 0])
    with pytest.raises(InputError, match="which side is left"):
        read_image(path)


@pytest.mark.parametrize("change", ["mirror", "tilt", "shift", "size"])
def test_sform_against_qform_is_refused(change: str, volume: Volume, path: Path) -> None:
    other = volume.affine.copy()
    if change == "mirror":
        other[0] *= -1
    elif change == "tilt":
        turn = np.radians(3.0)
        other[:2] = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ other[:2]
    elif change == "shift":
        other[0, 3] += 8.0
    else:
        other[:3, :3] *= 1.1
    image = nib.Nifti1Image(volume.array, volume.affine)
    image.set_sform(volume.affine, 1)
    image.set_qform(other, 1)
    nib.save(image, path)
    with pytest.raises(InputError, match="disagree"):
        read_image(path)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((20, 30), "single slice"), ((20, 30, 1), "single slice"), ((5, 6, 7, 3), "4 dimensions"), ((40,), "single")],
)
def test_not_three_dimensions(shape: tuple[int, ...], reason: str, volume: Volume, path: Path) -> None:
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    with pytest.raises(InputError, match=reason):
        read_image(save(path, array, volume.affine))


def test_empty(volume: Volume, path: Path) -> None:
    patch(save(path, volume.array, volume.affine), DIM + 4, 0)
    with pytest.raises(InputError, match="empty"):
        read_image(path)


@pytest.mark.parametrize(
    ("value", "reason"), [(np.nan, "1 voxels that are not numbers"), (np.inf, "not numbers"), (1e30, "no MR signal")]
)
def test_values_that_are_no_signal(value: float, reason: str, volume: Volume, path: Path) -> None:
    array = volume.array.astype(np.float32)
    array[1, 2, 3] = value
    with pytest.raises(InputError, match=reason):
        read_image(save(path, array, volume.affine))


def test_constant_complex_and_colour(volume: Volume, path: Path) -> None:
    colour = np.zeros(volume.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    for array, reason in [
        (np.full(volume.shape, 7, np.int16), "same value"),
        (volume.array.astype(np.complex64), "complex"),
        (colour, "colours"),
    ]:
        with pytest.raises(InputError, match=reason):
            read_image(save(path, array, volume.affine))


@pytest.mark.parametrize(
    ("scale", "reason"), [((0, 1, 1), "zero"), ((np.nan, 1, 1), "finite"), ((1, 400, 1), "implausible")]
)
def test_absurd_spacing(scale: tuple[float, ...], reason: str, volume: Volume, path: Path) -> None:
    patch(save(path, volume.array, volume.affine), QFORM_CODE, 0)
    patch(path, SROW, volume.affine[:3] * [*scale, 1], "<f4")
    with pytest.raises(InputError, match=reason):
        read_image(path)


def test_shear_within_a_degree_is_kept_exactly_and_more_is_refused(volume: Volume, path: Path) -> None:
    for degrees in (0.5, 3.0):
        sheared = volume.affine.copy()
        sheared[:3, 2] += np.tan(np.radians(degrees)) * sheared[:3, 0] / 0.8 * 4.0
        image = nib.Nifti1Image(volume.array, sheared)
        image.set_qform(None, 0)
        nib.save(image, path)
        if degrees < 1:
            np.testing.assert_allclose(read_image(path).affine, sheared, atol=1e-5)
        else:
            with pytest.raises(InputError, match="not orthogonal"):
                read_image(path)


def test_a_header_that_claims_a_trillion_voxels_costs_nothing(volume: Volume, path: Path) -> None:
    patch(save(path, volume.array, volume.affine), DIM + 2, [30000, 30000, 1100])
    with pytest.raises(InputError, match=r"claims 9.9e\+11 voxels"):
        read_image(path)


def test_a_gzip_bomb_behind_the_voxels_is_not_unpacked(volume: Volume, tmp_path: Path) -> None:
    path = save(tmp_path / "image.nii.gz", volume.array, volume.affine)
    with gzip.open(path, "ab") as file:
        for _ in range(40):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match="far more bytes"):
        read_image(path)


def test_pairs_are_refused(volume: Volume, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(volume.array, volume.affine), tmp_path / "image.hdr")
    (tmp_path / "image.hdr").rename(tmp_path / "image.nii")
    with pytest.raises(InputError, match="not a NIfTI image in one file"):
        read_image(tmp_path / "image.nii")
