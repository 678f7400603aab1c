"""Class probabilities come back as they were written, and nothing else passes for them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from livf.lib.anatomy import CHANNELS
from livf.lib.errors import InputError, NotFoundError
from livf.lib.images import write_probabilities
from livf.lib.images.probabilities import read_probabilities

AFFINE = np.array([[-0.8, 0, 0, 40], [0, 0.8, 0, -30], [0, 0, 0.9, 5], [0, 0, 0, 1.0]])


def shares() -> np.ndarray:
    raw = np.random.default_rng(0).random((CHANNELS, 20, 24, 18))
    return (raw / raw.sum(axis=0)).astype(np.float16)


def test_they_come_back(tmp_path: Path) -> None:
    path = tmp_path / "p.nii.gz"
    write_probabilities(path, shares(), AFFINE)
    read, affine = read_probabilities(path)
    np.testing.assert_allclose(read, shares().astype(np.float32), atol=2e-5)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-5)


def test_what_is_not_probabilities_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_probabilities(tmp_path / "none.nii.gz")
    (tmp_path / "text.nii.gz").write_text("hello")
    with pytest.raises(InputError):
        read_probabilities(tmp_path / "text.nii.gz")
    for name, array, line in (
        ("label", np.zeros((20, 20, 20), dtype=np.uint8), "classes"),
        ("other", np.zeros((20, 20, 20, CHANNELS + 1), dtype=np.float32), "classes"),
        ("values", np.full((20, 20, 20, CHANNELS), 3.0, dtype=np.float32), "no probabilities"),
        ("nan", np.full((20, 20, 20, CHANNELS), np.nan, dtype=np.float32), "no probabilities"),
    ):
        nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / f"{name}.nii.gz")
        with pytest.raises(InputError, match=line):
            read_probabilities(tmp_path / f"{name}.nii.gz")
