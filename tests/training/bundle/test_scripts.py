"""The parts of a bundle that MONAI has no class for, against livf's own."""

from __future__ import annotations

import ast
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from monai.data import MetaTensor
from monai.transforms import NormalizeIntensity

from livf.lib.anatomy import TRAINED
from livf.lib.segmentation import postprocess, preprocess
from livf.lib.segmentation.config import PreprocessConfig
from livf.lib.training.bundle.export import sources
from livf.lib.training.bundle.scripts.images import list_images
from livf.lib.training.bundle.scripts.transforms import PadToBox, ResampleToBox, WarnWithoutLeveld, tidy
from livf.lib.values import Volume

VALUES = [structure.value for structure in TRAINED]
#: Axes (superior, right, anterior) in RAS+ mm.
SRA = np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
LISTED = {"level_at": None, "postfix": "label", "field_mm": (64, 160, 160), "smallest_mm": (40, 30, 60)}


def resampler(grid: PreprocessConfig, level_at: tuple[float, float, float] | None = None) -> ResampleToBox:
    spans = [asdict(span) for span in grid.crop]
    return ResampleToBox(grid.spacing_mm, grid.box_shape, spans, grid.disc_offset_mm, level_at)


def scaled(*sizes: float) -> np.ndarray:
    """An affine of voxels of these sizes (superior, right, anterior)."""
    return SRA @ np.diag([*sizes, 1.0])


def image(array: np.ndarray, affine: np.ndarray) -> MetaTensor:
    return MetaTensor(torch.from_numpy(array)[None], affine=torch.from_numpy(affine))


shapes = st.tuples(*[st.integers(8, 40)] * 3)
#: Equal to the network's voxel size, equal but for a header's rounding, finer, coarser.
sizes = st.tuples(*[st.sampled_from([2.0, 2.0, 2.0 + 1e-7, 0.9, 1.7, 3.0, 5.0])] * 3)


@given(
    shape=shapes, box=shapes, size=sizes, seed=st.integers(0, 9), at=st.none() | st.tuples(*[st.floats(0.02, 0.98)] * 3)
)
@settings(max_examples=80, deadline=None)
def test_the_way_to_the_network_and_back_is_that_of_livf(shape, box, size, seed, at) -> None:
    grid = PreprocessConfig(spacing_mm=2.0, box_shape=box, disc_offset_mm=(1.0, -3.0, 5.0))
    rng = np.random.default_rng(seed)
    array = rng.normal(50, 20, shape).astype(np.float32)
    affine = scaled(*size)
    volume = Volume(array, affine, "")
    if at is None:
        placement, level_at = preprocess.place_by_field(volume, grid), None
    else:
        index = np.asarray(at) * (np.asarray(shape) - 1)
        placement, level_at = preprocess.place_at_disc(volume, grid, tuple(index)), tuple(affine[:3, :3] @ index)
    if any(part.stop - part.start < 2 for part in placement.inside(shape)):
        return
    prepared = preprocess.prepare(volume, grid, placement)
    resample, pad = resampler(grid, level_at), PadToBox(box)
    given = pad(NormalizeIntensity()(resample(image(array, affine))))
    assert np.allclose(given[0].numpy(), prepared.array, atol=1e-4)
    assert np.allclose(given.affine, prepared.affine, atol=1e-5)
    classes = rng.dirichlet(np.ones(4), box).transpose(3, 0, 1, 2).astype(np.float32)
    back = resample.inverse(pad.inverse(MetaTensor(torch.from_numpy(classes)).copy_meta_from(given)))
    part, region = preprocess.restore(classes, prepared)
    label = np.zeros(shape, dtype=np.uint8)
    label[region] = part
    second, first = np.sort(back.numpy(), axis=0)[-2:]
    clear = (first - second > 1e-5) | (first == 0)
    assert np.array_equal(back.numpy().argmax(axis=0)[clear], label[clear])
    assert np.mean(clear) > 0.99
    assert np.array_equal(back.affine, affine)


def test_on_the_networks_grid_nothing_is_interpolated() -> None:
    grid = PreprocessConfig(spacing_mm=2.0, box_shape=(10, 12, 30))
    array = np.random.default_rng(0).normal(50, 20, (20, 21, 22)).astype(np.float32)
    resample = resampler(grid)
    part = resample(image(array, scaled(2.0, 2.0, 2.0)))
    assert np.array_equal(part[0].numpy(), array[5:15, 4:16])
    back = resample.inverse(part)
    assert np.array_equal(back[0].numpy()[5:15, 4:16], array[5:15, 4:16])
    assert np.count_nonzero(back) == part.numel()


labels = arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 9)] * 3), elements=st.sampled_from([0, 0, 1, 2, 3]))


@given(label=labels)
@settings(max_examples=150, deadline=None)
def test_a_label_is_tidied_as_livf_tidies_it(label) -> None:
    expected, found = postprocess.tidy(label), tidy(label, VALUES)
    # Two pieces of one size are both the largest.
    for value in VALUES:
        assert np.count_nonzero(expected == value) == np.count_nonzero(found == value)


def test_pieces_holes_and_specks_of_a_known_label() -> None:
    label = np.zeros((20, 20, 20), dtype=np.uint8)
    label[2:12, 2:12, 2:12] = 1
    label[5:7, 5:7, 5:7] = 0  # a hole
    label[14:17, 2:6, 2:6] = 1  # two voxels away: a process
    label[2, 2, 16] = 1  # far away
    tidied = tidy(label, VALUES)
    assert tidied[5, 5, 5] == 1
    assert tidied[15, 3, 3] == 1
    assert tidied[2, 2, 16] == 0
    assert np.array_equal(tidied, postprocess.tidy(label))


def test_a_label_that_cannot_be_the_level_is_warned_of(caplog) -> None:
    label = np.zeros((20, 20, 20), dtype=np.uint8)
    label[11:19, 2:12, 2:12], label[1:9, 2:12, 2:12] = VALUES[0], VALUES[2]  # 6.4 ml each
    check = WarnWithoutLeveld("pred", VALUES[0], VALUES[2], 5.0)
    for array, size, warned in ((label, 2.0, False), (label[::-1].copy(), 2.0, True), (label, 1.0, True)):
        caplog.clear()
        check({"pred": image(array, scaled(size, size, size))})
        assert ("no L4-L5 level" in caplog.text) == warned


def test_what_cannot_be_segmented_is_refused() -> None:
    grid = PreprocessConfig(spacing_mm=2.0, box_shape=(12, 12, 12))
    array = np.ones((9, 9, 9), dtype=np.float32)
    with pytest.raises(ValueError, match="the same value"):
        resampler(grid)(image(array, scaled(2.0, 2.0, 2.0)))
    array[4] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        resampler(grid)(image(array, scaled(2.0, 2.0, 2.0)))
    with pytest.raises(ValueError, match="outside the image"):
        resampler(grid, (0.0, 0.0, 500.0))(image(array, scaled(2.0, 2.0, 2.0)))


def write(path: Path, shape: tuple[int, ...] = (60, 60, 38), spacing: float = 1.6) -> Path:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    nib.save(nib.Nifti1Image(np.zeros(shape, dtype=np.int16), affine), path)
    return path


def test_images_of_a_folder_or_by_name(tmp_path) -> None:
    for name in ("b.nii.gz", "a.nii", "a_label.nii.gz", ".hidden.nii"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    both = [{"image": str(tmp_path / name)} for name in ("a.nii", "b.nii.gz")]
    assert list_images(str(tmp_path), None, **LISTED) == both
    assert list_images("nowhere", both[1]["image"], **LISTED) == both[1:]
    assert list_images("nowhere", [each["image"] for each in both], **LISTED) == both
    assert list_images("nowhere", both[0]["image"], **LISTED | {"level_at": [0, 0, 0]}) == both[:1]


def test_every_image_that_cannot_be_segmented_is_named_at_once(tmp_path) -> None:
    write(tmp_path / "tall.nii.gz", (60, 60, 60))
    write(tmp_path / "flat.nii.gz", (60, 60, 10))
    write(tmp_path / "four.nii.gz", (60, 60, 38, 2))
    (tmp_path / "broken.nii.gz").write_bytes(b"no image")
    write(tmp_path / "good.nii.gz")
    with pytest.raises(ValueError, match="nothing was segmented") as caught:
        list_images(str(tmp_path), None, **LISTED)
    told = str(caught.value)
    assert "tall.nii.gz: covers 96 mm from top to bottom, more than 64 mm" in told
    assert "--level_at" in told
    assert "flat.nii.gz: covers 16 mm from top to bottom; L4 to L5 needs at least 40 mm" in told
    assert "four.nii.gz: has 4 dimensions" in told
    assert "broken.nii.gz: cannot be read" in told
    assert "good" not in told
    # A point in the disc makes a large field of view usable.
    tall = str(tmp_path / "tall.nii.gz")
    assert list_images("", tall, **LISTED | {"level_at": [0, 0, 0]}) == [{"image": tall}]


def test_wrong_calls_are_told(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        list_images(str(tmp_path / "none"), None, **LISTED)
    with pytest.raises(FileNotFoundError, match="holds no NIfTI"):
        list_images(str(tmp_path), None, **LISTED)
    with pytest.raises(FileNotFoundError, match="no such file"):
        list_images("", str(tmp_path / "none.nii"), **LISTED)
    (tmp_path / "sub").mkdir()
    pair = [str(write(tmp_path / "a.nii")), str(write(tmp_path / "sub" / "a.nii"))]
    with pytest.raises(ValueError, match=r"several images are named a\.nii"):
        list_images("", pair, **LISTED)
    with pytest.raises(ValueError, match="a point of one image"):
        list_images("", [pair[0], str(write(tmp_path / "b.nii"))], **LISTED | {"level_at": [0, 0, 0]})


def test_the_modules_of_a_bundle_import_only_what_its_environment_has() -> None:
    has = {"__future__", "collections", "dataclasses", "logging", "math", "monai", "nibabel", "numpy", "pathlib",
           "scipy", "torch", "typing"}  # fmt: skip
    found = sources()
    assert set(found) == {"__init__", "images", "network", "resample", "transforms"}
    for source in found.values():
        for node in ast.walk(ast.parse(source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= has | {"scripts"}
