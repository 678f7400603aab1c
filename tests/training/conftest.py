"""A data set that a tiny network learns in seconds: three blocks of bone, disc and bone, on the smoke preset's grid."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from livf.lib.anatomy import DISC, L4, L5

SPACING = 4.0
SHAPE = (64, 64, 26)


def write_tiny_case(folder: Path, name: str, seed: int) -> None:
    """Write one image and its label, RAS."""
    rng = np.random.default_rng(seed)
    label = np.zeros(SHAPE, dtype=np.uint8)
    r, a, s = 26 + rng.integers(-2, 3), 30 + rng.integers(-2, 3), 4 + rng.integers(0, 3)
    for structure, low, high in ((L5, 0, 7), (DISC, 7, 10), (L4, 10, 17)):
        label[r : r + 12, a : a + 9, s + low : s + high] = structure.value
    bright = np.array([60.0, 140.0, 220.0, 140.0])
    image = bright[label] + rng.normal(0, 8, SHAPE)
    # What is below is brighter: tells L5 from L4.
    image += np.linspace(60, 0, SHAPE[2])
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = -np.asarray(SHAPE) * SPACING / 2
    for kind, array in (("images", image.astype(np.int16)), ("labels", label)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, affine), folder / kind / f"{name}.nii.gz")


def write_tiny_dataset(folder: Path, number: int = 10, *, scans: int = 1) -> Path:
    """Write cases of ``number`` patients, two groups; the first patient has ``scans`` cases."""
    rows = []
    for patient in range(number):
        for scan in range(scans if patient == 0 else 1):
            name = f"case{patient:02d}" + (f"_{scan}" if scan else "")
            write_tiny_case(folder, name, 1000 * scan + patient)
            group = "healthy" if patient % 2 else "stenosis"
            part = "training" if patient < number - 3 else "validation" if patient < number - 1 else "test"
            rows.append({"case": name, "patient": f"p{patient:02d}", "group": group, "part": part})
    with (folder / "cases.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tensors this small are slower on more threads; and the order of sums depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_dataset(tmp_path_factory.mktemp("tiny"))
