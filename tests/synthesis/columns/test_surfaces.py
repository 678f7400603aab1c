"""Meshes: distances and insides against solids with a formula, and files that are not meshes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.measure import marching_cubes

from livf.lib.errors import InputError, NotFoundError
from livf.lib.export.meshes import Mesh, write_stl
from livf.lib.synthesis.columns.distances import from_mesh, grid_around
from livf.lib.synthesis.columns.surfaces import read_stl, voxels_inside

RADIUS = 14.0


def ball() -> np.ndarray:
    """Triangles of a ball about (3, -5, 20)."""
    at = np.indices((40, 40, 40)) - 19.5
    corners, faces, _, _ = marching_cubes(np.sqrt((at**2).sum(axis=0)), RADIUS)
    return corners[faces] - 19.5 + [3, -5, 20]


def test_a_ball_has_its_volume_and_distances() -> None:
    triangles = ball()
    grid = grid_around(triangles.reshape(-1, 3))
    field = from_mesh(triangles, grid)
    assert field.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.01)
    inside = np.abs(field.values) < 2
    truth = np.linalg.norm(grid.to_world(field.points(inside)) - [3, -5, 20], axis=1) - RADIUS
    assert np.abs(field.values[inside] - truth).max() < 0.1


def test_the_inside_of_a_box_is_exact() -> None:
    corners = np.array([[x, y, z] for x in (2.0, 9.0) for y in (3.0, 7.0) for z in (1.0, 5.0)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = np.array([corners[list(t)] for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    inside = voxels_inside(triangles + 0.25, (12, 12, 12), 1.0)
    wanted = np.zeros((12, 12, 12), dtype=bool)
    wanted[3:10, 4:8, 2:6] = True
    assert np.array_equal(inside, wanted)


def test_an_stl_file_comes_back(tmp_path: Path) -> None:
    triangles = ball()
    faces = np.arange(3 * len(triangles)).reshape(-1, 3)
    write_stl(tmp_path / "ball.stl", Mesh(triangles.reshape(-1, 3), faces, "ball", (0, 0, 0)))
    assert np.allclose(read_stl(tmp_path / "ball.stl"), triangles, atol=1e-4)


@pytest.mark.parametrize("content", [b"", b"solid text", b"\0" * 84, b"\0" * 80 + b"\5\0\0\0" + b"\0" * 60])
def test_what_is_not_an_stl_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.stl").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.stl"):
        read_stl(tmp_path / "bad.stl")


def test_a_missing_mesh_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.stl"):
        read_stl(tmp_path / "none.stl")
