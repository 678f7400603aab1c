"""A real level: the Visible Human's meshes, voxelised at several sizes."""

import os
from pathlib import Path

import numpy as np
import pytest

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.foramen import measure

DATA = Path(os.environ.get("LIVF_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "anatomy"
FILES = {DISC.value: "remus_disc_L4-5.stl", L4.value: "remus_L4.stl", L5.value: "remus_L5.stl"}
GRIDS = (0.3, 0.5, 0.8, 1.0)
pytestmark = pytest.mark.skipif(not (DATA / FILES[L4.value]).exists(), reason="the anatomy data is not here")


def triangles(path):
    """Binary STL to ``(N, 3, 3)`` in RAS mm (its x is anterior, y left, z superior)."""
    raw = path.read_bytes()
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = np.frombuffer(raw[84:], dtype=kind, count=int(np.frombuffer(raw[80:84], "<u4")[0]))["corners"]
    return np.stack([-corners[..., 1], corners[..., 0], corners[..., 2]], axis=-1).astype(float)


def inside(mesh, low, shape, spacing):
    """Voxel centres inside a closed mesh, by counting crossings of rays along the last axis."""
    crossings = np.zeros((*shape[:2], shape[2] + 1), dtype=np.int32)
    x = low[0] + spacing * np.arange(shape[0]) + 1.1e-5
    y = low[1] + spacing * np.arange(shape[1]) + 1.7e-5
    for (ax, ay, az), (bx, by, bz), (cx, cy, cz) in mesh:
        area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
        i = slice(*np.searchsorted(x, (min(ax, bx, cx), max(ax, bx, cx))))
        j = slice(*np.searchsorted(y, (min(ay, by, cy), max(ay, by, cy))))
        if abs(area) < 1e-12 or i.start == i.stop or j.start == j.stop:
            continue
        px, py = x[i, None] - cx, y[None, j] - cy
        u = ((by - cy) * px + (cx - bx) * py) / area
        v = ((cy - ay) * px + (ax - cx) * py) / area
        hit = (u >= 0) & (v >= 0) & (u + v <= 1)
        at = np.argwhere(hit)
        height = (u * az + v * bz + (1 - u - v) * cz)[hit]
        level = np.clip(np.ceil((height - low[2]) / spacing).astype(int), 0, shape[2])
        np.add.at(crossings, (at[:, 0] + i.start, at[:, 1] + j.start, level), 1)
    return np.cumsum(crossings, axis=2)[..., :-1] % 2 == 1


@pytest.fixture(scope="module")
def measured():
    meshes = {value: triangles(DATA / name) for value, name in FILES.items()}
    points = np.concatenate([mesh.reshape(-1, 3) for mesh in meshes.values()])
    found = {}
    for spacing in GRIDS:
        low = points.min(axis=0) - 3 * spacing
        shape = tuple(np.ceil((points.max(axis=0) + 3 * spacing - low) / spacing).astype(int))
        label = np.zeros(shape, dtype=np.uint8)
        for value, mesh in meshes.items():
            label[inside(mesh, low, shape, spacing)] = value
        affine = np.diag([spacing, spacing, spacing, 1.0])
        affine[:3, 3] = low
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
