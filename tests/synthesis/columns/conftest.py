"""Vertebrae made of simple solids, as signed distances: a body with hollow end plates, a ring and a spinous process."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.anatomy import L4, L5
from livf.lib.synthesis.columns.build import Bones
from livf.lib.synthesis.columns.column import REACH_MM
from livf.lib.synthesis.columns.fields import Field, Grid

SPACING = 0.8
#: Half width, half depth and half height of a body, mm.
BODY = np.array([22.0, 16.0, 13.0])
#: Centre of the canal behind the body's centre, and its half width and half depth, mm.
CANAL = -25.0
HOLE = np.array([11.0, 8.5])


def grid(shape: tuple[int, int, int] = (110, 120, 150)) -> Grid:
    affine = np.diag([SPACING, SPACING, SPACING, 1.0])
    affine[:3, 3] = [-40, -70, 5]
    return Grid(shape, affine)


def vertebra(centre: np.ndarray, *, tilt: float = 0.0) -> Field:
    """A vertebra at a point in grid millimetres, its front turned down by ``tilt`` degrees."""
    low = np.floor((centre - [38, 62, 34]) / SPACING).astype(int)
    size = np.ceil(np.array([76, 92, 68]) / SPACING).astype(int)
    at = (np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), -1) + low) * SPACING - centre
    turn = np.deg2rad(tilt)
    x = at[..., 0]
    y = at[..., 1] * np.cos(turn) - at[..., 2] * np.sin(turn)
    z = at[..., 1] * np.sin(turn) + at[..., 2] * np.cos(turn)
    inward = np.sqrt((x / BODY[0]) ** 2 + (y / BODY[1]) ** 2)
    hollow = 1.5 * np.clip(1 - inward**2, 0, 1)
    body = np.maximum((inward - 1) * BODY[1], np.abs(z) - BODY[2] + hollow)
    ring = np.abs((np.sqrt((x / HOLE[0]) ** 2 + ((y - CANAL) / HOLE[1]) ** 2) - 1) * HOLE[1] - 3.5) - 3.5
    ring = np.maximum(ring, np.abs(z - 3) - 7)
    spine = np.maximum.reduce([np.abs(x) - 3.5, np.abs(y - CANAL + 24) - 11, np.abs(z) - 8])
    values = np.minimum.reduce([body, ring, spine])
    field = Field(np.clip(values, -REACH_MM, REACH_MM).astype(np.float32), tuple(int(v) for v in low), SPACING)
    return field.exact()


@pytest.fixture(scope="session")
def two() -> Bones:
    """L4 over L5: 12 mm between the rims of their end plates, both upright."""
    fields = {L4.name: vertebra(np.array([44.0, 66.0, 80.0])), L5.name: vertebra(np.array([44.0, 66.0, 42.0]))}
    return Bones(grid(), fields, dict.fromkeys(fields, True))


@pytest.fixture(scope="session")
def tilted() -> tuple[Field, np.ndarray, float]:
    """A vertebra whose front is turned down by 25 degrees, its centre in grid mm, and the angle."""
    centre = np.array([44.0, 66.0, 60.0])
    return vertebra(centre, tilt=25), centre, 25.0
