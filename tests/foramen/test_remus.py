"""A real level: the Visible Human's meshes, voxelised at several sizes."""

import os
from pathlib import Path

import numpy as np
import pytest
from foramina.meshes import read_stl, voxelised

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.foramen import measure

DATA = Path(os.environ.get("LIVF_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "anatomy"
FILES = {DISC.value: "remus_disc_L4-5.stl", L4.value: "remus_L4.stl", L5.value: "remus_L5.stl"}
GRIDS = (0.3, 0.5, 0.8, 1.0)
pytestmark = pytest.mark.skipif(not (DATA / FILES[L4.value]).exists(), reason="the anatomy data is not here")


def triangles(path):
    """Corners in RAS mm (the file's x is anterior, y left, z superior)."""
    corners = read_stl(path)
    return np.stack([-corners[..., 1], corners[..., 0], corners[..., 2]], axis=-1)


@pytest.fixture(scope="module")
def measured():
    meshes = {value: triangles(DATA / name) for value, name in FILES.items()}
    found = {}
    for spacing in GRIDS:
        label, affine = voxelised(meshes, spacing, margin=3 * spacing)
        found[spacing] = measure(label, affine, uncertainty=False)
    return found


@pytest.mark.parametrize("spacing", [0.8, 1.0])
@pytest.mark.parametrize(("side", "area", "height", "width"), [("left", 106, 16.6, 7.0), ("right", 103, 15.9, 6.9)])
def test_against_an_independent_implementation(measured, spacing, side, area, height, width):
    """DESIGN section 4's trial values, which were made without correcting voxel steps."""
    numbers = measured[spacing].foramina[side].numbers
    assert numbers.area_mm2 == pytest.approx(area, rel=0.08)
    assert numbers.height_mm == pytest.approx(height, abs=0.6)
    assert numbers.width_mm == pytest.approx(width, abs=0.5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_grids_agree(measured, side):
    found = [measured[spacing].foramina[side].numbers for spacing in GRIDS]
    areas, heights, widths = zip(*((n.area_mm2, n.height_mm, n.width_mm) for n in found), strict=True)
    assert np.ptp(areas) <= 0.05 * np.mean(areas)
    assert np.ptp(heights) <= 0.6
    assert np.ptp(widths) <= 0.5
