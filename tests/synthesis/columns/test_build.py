"""Whole columns: of a painted label and CT in this folder's format, and of real people where the data is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from livf.lib.errors import InputError, NotFoundError
from livf.lib.synthesis.columns.build import Bones, prepare, read_bones
from livf.lib.synthesis.columns.column import Kind
from livf.lib.synthesis.columns.sources import SAC, SOURCES, Source

DATA = Path(os.environ.get("LIVF_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")) / "anatomy"
NUMBERS = {23: "L4", 24: "L5"}


@pytest.fixture(scope="module")
def label(two: Bones, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The solids as a label with slices of 2.4 mm."""
    stop = two.grid.shape
    voxels = np.zeros(stop, dtype=np.uint8)
    for number, field in zip(NUMBERS, two.fields.values(), strict=True):
        voxels[field.on((0, 0, 0), stop) < 0] = number
    affine = two.grid.affine @ np.diag([3, 1, 1, 1])
    affine[:3, 3] += two.grid.affine[:3, 0]
    path = tmp_path_factory.mktemp("anatomy") / "someone.nii.gz"
    nib.save(nib.Nifti1Image(voxels[1::3], affine), path)
    return path


def test_a_label_becomes_a_column(label: Path, two: Bones) -> None:
    column = prepare(Source("someone", "solids", mask=label.name, numbers=NUMBERS), label.parent)
    assert [part.name for part in column.parts] == ["L4", "L4-L5", "L5", SAC]
    assert column.pairs() == (("L4", "L4-L5", "L5"),)
    for name, field in two.fields.items():
        part = column.part(name)
        found = np.clip(0.5 - part.distance.astype(float) / column.spacing, 0, 1).sum() * column.spacing**3
        assert found == pytest.approx(field.volume, rel=0.03)
        centre = (np.argwhere(part.distance < 0).mean(axis=0) + part.start) @ column.affine[:3, :3].T
        truth = two.grid.to_world(field.points(field.values < 0).mean(axis=0)[None])[0]
        assert np.allclose(centre + column.affine[:3, 3], truth, atol=0.5)


def test_a_label_of_one_vertebra_is_refused(label: Path) -> None:
    with pytest.raises(InputError, match=r"someone\.nii\.gz.*neighbouring"):
        read_bones(Source("someone", "", mask=label.name, numbers={23: "L4"}), label.parent)


def test_a_label_of_other_numbers_and_a_missing_one_are_named(label: Path) -> None:
    with pytest.raises(InputError, match="none of the numbers"):
        read_bones(Source("someone", "", mask=label.name, numbers={3: "L4"}), label.parent)
    with pytest.raises(NotFoundError, match=r"none\.nii\.gz"):
        read_bones(Source("someone", "", mask="none.nii.gz", numbers=NUMBERS), label.parent)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="real data: the anatomy folder is not at hand")
@pytest.mark.parametrize("name", ["verse006", "remus"])
def test_real_bones_keep_their_volume_and_their_parts_stay_apart(name: str) -> None:
    source = next(s for s in SOURCES if s.name == name)
    column = prepare(source, DATA)
    assert column.pairs() == (("L4", "L4-L5", "L5"),)
    if source.mask:
        image = nib.load(DATA / source.mask)
        voxels = np.asanyarray(image.dataobj)
        for number, level in NUMBERS.items():
            wanted = (voxels == number).sum() * np.prod(image.header.get_zooms())
            found = np.clip(0.5 - column.part(level).distance.astype(float) / column.spacing, 0, 1).sum()
            assert found * column.spacing**3 == pytest.approx(wanted, rel=0.02)
    filled = np.zeros(np.array(column.shape) + 40, dtype=np.uint8)
    for part in column.parts:
        start = np.array(part.start) + 20
        low, high = np.maximum(start, 0), np.minimum(start + part.distance.shape, filled.shape)
        block = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        own = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
        filled[block] += part.distance[own] < -0.15
    assert filled.max() == 1
    discs = [part for part in column.parts if part.kind is Kind.DISC]
    assert len(discs) == 1
    assert 5000 < (discs[0].distance < 0).sum() * column.spacing**3 < 20000
