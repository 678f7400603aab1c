"""What the tests of images share: a volume in any pose, and the maker of DICOM files."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

from livf.lib.values import Volume

#: All 48 orientation codes: six orders of the axes, eight choices of direction.
CODES = [
    "".join(pair[sign] for pair, sign in zip(order, signs, strict=True))
    for order in permutations(("LR", "PA", "IS"))
    for signs in product((0, 1), repeat=3)
]
SIZES_MM = {"L": 4.0, "R": 4.0, "P": 0.8, "A": 0.8, "I": 1.1, "S": 1.1}


@pytest.fixture(scope="session")
def dicom_files() -> ModuleType:
    """The module beside this file that writes DICOM; tests are no package, so it is loaded by its path."""
    path = Path(__file__).parent / "dicom_files.py"
    spec = importlib.util.spec_from_file_location("livf_test_dicom_files", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def pose(code: str = "RAS", tilt_degrees: float = 0.0) -> np.ndarray:
    """An affine whose array axes run along ``code``, then turned about an oblique axis."""
    affine = nib.orientations.inv_ornt_aff(
        nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt(tuple(code)), nib.orientations.axcodes2ornt(tuple("RAS"))
        ),
        (9, 10, 11),
    )
    affine = np.linalg.inv(affine)
    affine[:3, :3] = affine[:3, :3] @ np.diag([SIZES_MM[letter] for letter in code])
    affine[:3, 3] = [-31.25, 47.5, -412.125]
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.radians(tilt_degrees)
    rotation = np.eye(3) + np.sin(turn) * cross + (1 - np.cos(turn)) * cross @ cross
    affine[:3, :3] = rotation @ affine[:3, :3]
    return affine


@pytest.fixture(scope="session")
def make_volume() -> Callable[..., Volume]:
    """A small volume of random int16 values: ``make_volume(code, tilt_degrees)``."""

    def make(code: str = "RAS", tilt_degrees: float = 0.0, shape: tuple[int, int, int] = (9, 10, 11)) -> Volume:
        array = np.random.default_rng(7).integers(0, 1200, shape).astype(np.int16)
        return Volume(array, pose(code, tilt_degrees))

    return make


@pytest.fixture
def volume(make_volume: Callable[..., Volume]) -> Volume:
    """An oblique sagittal volume."""
    return make_volume("ASL", 17.0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for ``code`` all 48 orientation codes."""
    if "code" in metafunc.fixturenames:
        metafunc.parametrize("code", CODES)
