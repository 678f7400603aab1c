"""What the tests of data sets share: a small lumbar spine of blocks, and a data set of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

SPACING_MM = 2.0
SHAPE = (28, 44, 74)
#: Left-right by front-back by height, mm: body and disc, and the bone behind a body.
BODY = (44, 32)
ARCH = (40, 34, 14)
BODY_HEIGHT, DISC_HEIGHT = 24, 12
#: Centre of each structure above the grid's lower end, mm.
HEIGHTS = {"sacrum": 12, "disc_L5_S1": 30, "L5": 48, "disc_L4_5": 66, "L4": 84, "disc_L3_4": 102, "L3": 120}
OURS = {"L4": 1, "disc_L4_5": 2, "L5": 3}


def affine() -> np.ndarray:
    matrix = np.diag([SPACING_MM] * 3 + [1.0])
    matrix[:3, 3] = (-SPACING_MM * (SHAPE[0] - 1) / 2, -60.0, -70.0)
    return matrix


def make_spine(numbers: Mapping[str, int] = OURS, *, arches: bool = True, dtype: type = np.uint8) -> np.ndarray:
    """A label in which each structure named has the number given; vertebrae with a block of bone behind them."""
    i, j, k = (np.arange(size) * SPACING_MM for size in SHAPE)
    right, front, up = np.meshgrid(i - i.mean(), j, k, indexing="ij")
    label = np.zeros(SHAPE, dtype=dtype)
    for name, number in numbers.items():
        centre = HEIGHTS[name]
        disc = name.startswith("disc")
        height = (DISC_HEIGHT if disc else BODY_HEIGHT) / 2
        body = (abs(right) <= BODY[0] / 2) & (front >= 50) & (front <= 50 + BODY[1])
        label[body & (up >= centre - height) & (up < centre + height)] = number
        if arches and not disc and name != "sacrum":
            behind = (abs(right) <= ARCH[0] / 2) & (front < 50) & (front >= 50 - ARCH[1])
            label[behind & (abs(up - centre) <= ARCH[2] / 2)] = number
    return label


def make_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.int16)


def save(path: Path, array: np.ndarray, matrix: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine() if matrix is None else matrix)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


@pytest.fixture
def spine() -> Callable[..., np.ndarray]:
    return make_spine


@pytest.fixture
def picture() -> Callable[[int], np.ndarray]:
    return make_image


@pytest.fixture
def saved() -> Callable[..., Path]:
    return save


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three sound cases in livf's own layout."""
    folder = tmp_path / "data"
    for seed in range(3):
        label = make_spine()
        label[0, 0, seed] = 1  # each its own label
        save(folder / "images" / f"case{seed}.nii.gz", make_image(seed))
        save(folder / "labels" / f"case{seed}.nii.gz", label)
    return folder
