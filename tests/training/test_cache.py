"""Prepared cases: on the network's grid as when the network is used, kept once, found again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.dataset import Case, read_case_image, read_dataset
from livf.lib.segmentation import preprocess
from livf.lib.segmentation.config import PreprocessConfig
from livf.lib.segmentation.orientation import canonical
from livf.lib.training.cache import fingerprint, load_case, prepare_case, prepare_cases
from livf.lib.training.presets import preset

GRID = preset("smoke").preprocess


def test_the_box_is_the_one_that_the_network_is_given(tiny_dataset: Path) -> None:
    case = read_dataset(tiny_dataset).cases[0]
    image, label = prepare_case(case, GRID).middle(GRID.box_shape)
    volume, orientation = canonical(read_case_image(case))
    expected = preprocess.prepare(volume, GRID, preprocess.place_by_field(volume, GRID))
    np.testing.assert_allclose(image, expected.array, atol=5e-3)  # kept as float16
    # The label lies on the image: each structure at the voxels of its own brightness.
    own = orientation.turn(np.asarray(nib.load(case.label).dataobj))
    for structure in (L4, DISC, L5):
        assert np.count_nonzero(label == structure.value) == np.count_nonzero(own == structure.value)


def test_a_finer_label_is_resampled_without_shifting(tiny_dataset: Path, tmp_path: Path) -> None:
    case = read_dataset(tiny_dataset).cases[0]
    paths = {}
    for kind in ("image", "label"):
        source = nib.load(getattr(case, kind))
        array = np.asarray(source.dataobj)
        for axis in range(3):
            array = np.repeat(array, 2, axis=axis)
        affine = source.affine @ np.diag([0.5, 0.5, 0.5, 1])
        affine[:3, 3] -= source.affine[0, 0] / 4  # halves of each voxel lie about its middle
        paths[kind] = tmp_path / f"{kind}.nii.gz"
        nib.save(nib.Nifti1Image(array, affine), paths[kind])
    fine = prepare_case(Case("fine", paths["image"], paths["label"], "p"), GRID)
    coarse = prepare_case(case, GRID)
    assert np.array_equal(fine.label, coarse.label)
    assert np.abs(fine.image.astype(float) - coarse.image.astype(float)).max() < 5e-3
    assert fine.covered == coarse.covered


def test_in_a_large_field_the_box_lies_around_the_disc(tiny_dataset: Path) -> None:
    case = read_dataset(tiny_dataset).cases[0]
    narrow = PreprocessConfig(spacing_mm=4.0, box_shape=(16, 16, 16), field_shape=(20, 20, 20))
    _, label = prepare_case(case, narrow).middle(narrow.box_shape)
    middle = np.argwhere(label == DISC.value).mean(axis=0)
    offset = (middle - 7.5) * 4.0
    assert np.abs(offset - narrow.disc_offset_mm).max() <= 2.0


def test_entries_are_made_once_and_mapped(tiny_dataset: Path, tmp_path: Path) -> None:
    cases = read_dataset(tiny_dataset).cases[:3]
    marks = [fingerprint(case) for case in cases]
    assert len(set(marks)) == 3
    told: list[tuple[int, int]] = []
    prepare_cases(cases, GRID, tmp_path, fingerprints=marks, progress=lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    prepare_cases(cases, GRID, tmp_path, fingerprints=marks)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    loaded, made = load_case(cases[1], GRID, tmp_path, marks[1]), prepare_case(cases[1], GRID)
    assert np.array_equal(loaded.image, made.image) and np.array_equal(loaded.label, made.label)
    assert loaded.covered == made.covered
    prepare_cases(cases, replace(GRID, box_shape=(24, 32, 30)), tmp_path, fingerprints=marks)
    assert len(list(tmp_path.iterdir())) == 6  # another grid is another entry


def test_a_fingerprint_is_of_what_the_files_hold(tiny_dataset: Path, tmp_path: Path) -> None:
    case = read_dataset(tiny_dataset).cases[0]
    moved = tmp_path / "other.nii.gz"
    moved.write_bytes(case.image.read_bytes())
    assert fingerprint(replace(case, image=moved)) == fingerprint(case)
    label = tmp_path / "label.nii.gz"
    label.write_bytes(case.label.read_bytes() + b"x")
    assert fingerprint(replace(case, label=label)) != fingerprint(case)
