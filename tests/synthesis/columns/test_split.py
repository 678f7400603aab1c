"""The frame of a vertebra and the surface behind its body, on a vertebra made of solids."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.synthesis.columns import split
from livf.lib.synthesis.columns.build import Bones
from livf.lib.synthesis.columns.fields import Field

#: Of the solid in conftest.py, mm.
HALF_DEPTH, HALF_HEIGHT, HOLLOW = 16.0, 13.0, 1.5
UP = np.array([0.0, 0.0, 1.0])


def test_the_frame_is_the_vertebras_own(tilted: tuple[Field, np.ndarray, float]) -> None:
    bone, centre, angle = tilted
    # The scan's up is all it is told: the end plates correct it.
    body = split.body_of(bone, UP)
    turn = np.deg2rad(angle)
    assert np.degrees(np.arccos(body.pose.superior @ [0, np.sin(turn), np.cos(turn)])) < 2
    assert np.degrees(np.arccos(body.pose.left @ [-1, 0, 0])) < 1
    assert np.linalg.norm(body.pose.origin - centre) < 2
    assert body.height == pytest.approx(2 * HALF_HEIGHT - 2 * HOLLOW, abs=1.5)


def test_the_cut_runs_along_the_posterior_wall(two: Bones) -> None:
    for name, bone in two.fields.items():
        body = split.body_of(bone, UP)
        side = split.cut(bone, body)
        assert side.shape == bone.values.shape
        inside = bone.values < 0
        y = np.broadcast_to(bone.mesh_grid()[1], inside.shape) - 66
        front, back = inside & (y > -HALF_DEPTH + 2.5), inside & (y < -HALF_DEPTH - 3.5)
        assert (side[front] < 0).mean() > 0.97, name
        assert (side[back] > 0).mean() > 0.95, name


def test_the_cut_is_a_distance_behind_the_body(two: Bones) -> None:
    bone = next(iter(two.fields.values()))
    side = split.cut(bone, split.body_of(bone, UP))
    x, _, z = (np.broadcast_to(a, side.shape) for a in bone.mesh_grid())
    row = side[(np.abs(x - 44) < 0.5) & (np.abs(z - 80) < 0.5)]
    steps = np.diff(row[np.abs(row) < 6])
    assert np.allclose(steps, -bone.spacing, atol=0.05)
