"""The canal's centre line and the sac on vertebrae made of solids."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.synthesis.columns import canal, split
from livf.lib.synthesis.columns.build import Bones

UP = np.array([0.0, 0.0, 1.0])
#: Centre of the solids' canal in the plane, grid mm, and its half width and half depth (see conftest.py).
PLACE, HOLE = np.array([44.0, 41.0]), np.array([11.0, 8.5])


def test_the_hole_of_a_vertebra_is_found_with_its_size(two: Bones) -> None:
    bone = next(iter(two.fields.values()))
    body = split.body_of(bone, UP)
    found = canal.hole([bone], body.pose, float(body.wall[0]), body.height)
    assert found is not None
    centre, extents = found
    assert np.allclose(body.pose.to_world([*centre, 0])[:2], PLACE, atol=1)
    assert np.allclose(extents, HOLE, atol=2)


def test_a_body_without_an_arch_has_no_hole(two: Bones) -> None:
    bone = next(iter(two.fields.values()))
    body = split.body_of(bone, UP)
    front = type(bone)(np.maximum(bone.values, split.cut(bone, body)), bone.start, bone.spacing)
    assert canal.hole([front], body.pose, float(body.wall[0]), body.height) is None


def test_the_line_runs_down_through_the_holes(two: Bones) -> None:
    bones = list(two.fields.values())
    line, half = canal.centre_line([split.body_of(bone, UP) for bone in bones], bones)
    assert np.all(np.diff(line[:, 2]) < 0)
    between = (line[:, 2] < 80) & (line[:, 2] > 42)
    assert np.abs(line[between, :2] - PLACE).max() < 1
    assert np.allclose(np.linalg.norm(np.diff(line, axis=0), axis=1), canal.STATION_MM, atol=0.1)
    assert len(half) == len(line)


def test_the_sac_lies_in_the_canal_clear_of_bone_and_tapers(two: Bones) -> None:
    bones = list(two.fields.values())
    bodies = [split.body_of(bone, UP) for bone in bones]
    line, half = canal.centre_line(bodies, bones)
    sac = canal.thecal_sac(line, half, two.grid, bodies[-1].pose.origin, bodies[-1].pose.left, bones)
    assert sac is not None
    for bone in bones:
        assert bone.on(sac.start, sac.stop)[sac.values < -0.1].min() > 0.5
    points = sac.points(sac.values < 0)
    widths = [np.ptp(points[np.abs(points[:, 2] - z) < 0.5, 0]) for z in (80, 42, 22)]
    assert 11 <= widths[0] <= 2 * HOLE[0]
    assert widths[0] > widths[1] > widths[2]
    assert points[:, 0].mean() == pytest.approx(PLACE[0], abs=0.5)
