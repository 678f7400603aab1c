"""NRRD and MetaImage: what their headers may say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from livf.lib.errors import InputError
from livf.lib.images import read_image
from livf.lib.values import Volume

SHAPE = (4, 5, 6)
VOXELS = np.arange(120, dtype="<i2").reshape(SHAPE, order="F")
RAS_AFFINE = np.array([[1.5, 0, 0, -10], [0, 2, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])


def nrrd(path: Path, voxels: np.ndarray = VOXELS, **changes: str | None) -> Path:
    """Write an NRRD by hand, header fields changed or (None) left out."""
    fields: dict[str, str | None] = {
        "type": "short",
        "dimension": str(voxels.ndim),
        "space": "right-anterior-superior",
        "sizes": " ".join(map(str, voxels.shape)),
        "space_directions": "(1.5,0,0) (0,2,0) (0,0,3)",
        "space_origin": "(-10,-20,30)",
        "endian": "little",
        "encoding": "raw",
    } | changes
    lines = [f"{name.replace('_', ' ')}: {value}\n" for name, value in fields.items() if value is not None]
    path.write_bytes(("NRRD0004\n" + "".join(lines) + "\n").encode() + voxels.tobytes(order="F"))
    return path


def meta(path: Path, voxels: np.ndarray = VOXELS, **changes: str | None) -> Path:
    """Write a MetaImage by hand, header fields changed or (None) left out."""
    fields: dict[str, str | None] = {
        "ObjectType": "Image",
        "NDims": str(voxels.ndim),
        "BinaryData": "True",
        "TransformMatrix": "-1 0 0 0 -1 0 0 0 1",
        "Offset": "10 20 30",
        "ElementSpacing": "1.5 2 3",
        "DimSize": " ".join(map(str, voxels.shape)),
        "ElementType": "MET_SHORT",
    } | changes
    fields["ElementDataFile"] = changes.get("ElementDataFile", "LOCAL")
    lines = [f"{name} = {value}\n" for name, value in fields.items() if name != "ElementDataFile" and value is not None]
    end = f"ElementDataFile = {fields['ElementDataFile']}\n"
    path.write_bytes(("".join(lines) + end).encode() + voxels.tobytes(order="F"))
    return path


@pytest.fixture(params=["nrrd", "mha"])
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_hand_written_files_read(tmp_path: Path) -> None:
    for path in (nrrd(tmp_path / "a.nrrd"), meta(tmp_path / "a.mha")):
        got = read_image(path)
        np.testing.assert_array_equal(got.array, VOXELS)
        np.testing.assert_allclose(got.affine, RAS_AFFINE, atol=1e-12)


@pytest.mark.parametrize(
    ("space", "signs"),
    [("RAS", (1, 1, 1)), ("left-anterior-superior", (-1, 1, 1)), ("LPS", (-1, -1, 1))],
)
def test_every_patient_space_of_nrrd(space: str, signs: tuple[int, int, int], tmp_path: Path) -> None:
    got = read_image(nrrd(tmp_path / "a.nrrd", space=space))
    np.testing.assert_allclose(got.affine, np.diag([*signs, 1]) @ RAS_AFFINE, atol=1e-12)


@pytest.mark.parametrize("space", [None, "scanner-xyz", "3D-right-handed"])
def test_nrrd_without_a_patient_space_is_refused(space: str | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which side is left"):
        read_image(nrrd(tmp_path / "a.nrrd", space=space))
    with pytest.raises(InputError, match="which side is left"):
        read_image(nrrd(tmp_path / "a.nrrd", space_directions=None, spacings="1.5 2 3"))


@pytest.mark.parametrize("name", ["Rotation", "Orientation"])
def test_older_names_of_the_direction_in_meta(name: str, tmp_path: Path) -> None:
    path = meta(tmp_path / "a.mha", TransformMatrix=None, **{name: "0 1 0 -1 0 0 0 0 1"})
    expected = np.array([[0, 2, 0, -10], [-1.5, 0, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    np.testing.assert_allclose(read_image(path).affine, expected, atol=1e-12)


def test_meta_without_a_spacing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="how large its voxels are"):
        read_image(meta(tmp_path / "a.mha", ElementSpacing=None))
    read_image(meta(tmp_path / "b.mha", ElementSpacing=None, ElementSize="1.5 2 3"))


def test_meta_without_a_direction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which side is left"):
        read_image(meta(tmp_path / "a.mha", TransformMatrix=None))


def test_voxels_in_another_file_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.raw"
    secret.write_bytes(VOXELS.tobytes())
    for path in (
        nrrd(tmp_path / "a.nrrd", data_file=str(secret)),
        nrrd(tmp_path / "b.nrrd", datafile="secret.raw"),
        meta(tmp_path / "a.mha", ElementDataFile=str(secret)),
        meta(tmp_path / "b.mha", ElementDataFile="LIST"),
    ):
        with pytest.raises(InputError, match="another file"):
            read_image(path)


@pytest.mark.parametrize(
    ("directions", "spacing", "reason"),
    [
        ("(0,0,0) (0,2,0) (0,0,3)", "0 2 3", "not above zero"),
        ("(1.5,0,0) (0,200,0) (0,0,3)", "1.5 200 3", "implausible"),
        ("(1.5,0,0) (0.5,2,0) (0,0,3)", None, "not orthogonal"),
        ("(1.5,0,0) (1.5,0,0) (0,0,3)", None, "not orthogonal"),
        (None, "1.5 -2 3", "not above zero"),
        (None, "1.5 2", "damaged"),
        (None, "1.5 nan 3", "damaged|not above zero"),
    ],
)
def test_absurd_geometry(directions: str | None, spacing: str | None, reason: str, tmp_path: Path) -> None:
    if directions:
        with pytest.raises(InputError, match=reason):
            read_image(nrrd(tmp_path / "a.nrrd", space_directions=directions))
    if spacing:
        with pytest.raises(InputError, match=reason):
            read_image(meta(tmp_path / "a.mha", ElementSpacing=spacing))


def test_other_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="spacing in m"):
        read_image(nrrd(tmp_path / "a.nrrd", space_units='"m" "m" "m"'))
    read_image(nrrd(tmp_path / "b.nrrd", space_units='"mm" "mm" "mm"'))


def written(path: Path, image: sitk.Image) -> Path:
    sitk.WriteImage(image, str(path))
    return path


def test_two_four_and_vector_dimensions(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    flat = sitk.GetImageFromArray(VOXELS[..., 0])
    series = sitk.JoinSeries([sitk.GetImageFromArray(VOXELS)] * 3)
    colour = sitk.GetImageFromArray(np.zeros((*SHAPE, 3), np.uint8), isVector=True)
    for image, reason in [(flat, "single slice"), (series, "4 dimensions"), (colour, "colours or vectors")]:
        with pytest.raises(InputError, match=reason):
            read_image(written(path, image))


def test_a_single_volume_of_a_series_reads(tmp_path: Path) -> None:
    one = sitk.JoinSeries([sitk.GetImageFromArray(VOXELS)])
    got = read_image(written(tmp_path / "a.mha", one))
    np.testing.assert_array_equal(got.array, VOXELS.transpose())
    for shape, directions, kinds in (
        ((*SHAPE, 1), "{} none", "domain domain domain list"),
        ((1, *SHAPE), "none {}", "list domain domain domain"),
    ):
        path = nrrd(tmp_path / "a.nrrd", VOXELS.reshape(shape, order="F"),
                    kinds=kinds, space_directions=directions.format("(1.5,0,0) (0,2,0) (0,0,3)"))  # fmt: skip
        got = read_image(path)
        np.testing.assert_array_equal(got.array, VOXELS)
        np.testing.assert_allclose(got.affine, RAS_AFFINE)


@pytest.mark.parametrize("kind", [sitk.sitkUInt8, sitk.sitkInt8, sitk.sitkUInt16, sitk.sitkInt32, sitk.sitkFloat32,
                                  sitk.sitkFloat64, sitk.sitkInt64])  # fmt: skip
def test_voxel_types(kind: int, suffix: str, tmp_path: Path) -> None:
    image = sitk.Cast(sitk.GetImageFromArray(VOXELS), kind)
    got = read_image(written(tmp_path / f"a.{suffix}", image))
    np.testing.assert_array_equal(got.array, VOXELS.transpose())


def test_nan_and_constant(suffix: str, volume: Volume, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    bad = VOXELS.astype(np.float32)
    bad[0, 0, 0] = np.nan
    for array, reason in [(bad, "not numbers"), (np.full(SHAPE, 3.0, np.float32), "same value")]:
        with pytest.raises(InputError, match=reason):
            read_image(written(path, sitk.GetImageFromArray(array)))


def test_headers_that_claim_too_much_cost_nothing(tmp_path: Path) -> None:
    huge = "100000 100000 100000"
    for path in (nrrd(tmp_path / "a.nrrd", sizes=huge), meta(tmp_path / "a.mha", DimSize=huge)):
        with pytest.raises(InputError, match=r"claims 1e\+15 voxels"):
            read_image(path)
    many = "90000 90000 90000 90000"
    for path in (
        nrrd(tmp_path / "b.nrrd", sizes=many, dimension="4"),
        meta(tmp_path / "b.mha", DimSize=many, NDims="4", TransformMatrix=" ".join(["1"] * 16)),
    ):
        with pytest.raises(InputError):
            read_image(path)
    for path in (nrrd(tmp_path / "c.nrrd", sizes="4 0 6"), meta(tmp_path / "c.mha", DimSize="4 0 6")):
        with pytest.raises(InputError, match="empty"):
            read_image(path)
