"""Analytic scenes: levels made of boxes and cylinders whose numbers are arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from livf.lib.anatomy import DISC, L4, L5

WALL = -17.0
DISC_HALF = 5.0


@dataclass(frozen=True)
class Side:
    """One side of a scene: the opening is a rectangle, changed by what is added."""

    width: float = 8.0
    top: float = 12.0  # lower border of the upper pedicle
    bottom: float = -7.0  # upper border of the lower pedicle
    joint: float = 8.0
    upper_pedicle: tuple[float, float] = (12.0, 24.0)  # M
    lower_pedicle: tuple[float, float] = (13.0, 26.0)
    lean: float = 0.0  # the facet's front moves forward by this a mm upwards
    cylinder: float = 0.0  # radius of a cylinder along L in front of the facet
    cylinder_height: float = 3.0
    spur: tuple[float, float] | None = None  # depth and height, 4 mm wide, inside the slab
    recess: float = 0.0  # the upper pedicle's underside is this much higher from 3.5 mm behind the wall on
    process: bool = False  # a transverse process lateral to the slab, across the opening


@dataclass(frozen=True)
class Scene:
    left: Side = field(default_factory=Side)
    right: Side = field(default_factory=Side)
    bulge: float = 0.0
    osteophyte: bool = False  # in the canal

    def sides(self):
        return {"left": self.left, "right": self.right}

    def label(self, points):
        """Label at (L, A, S)."""
        lateral, a, s = np.moveaxis(points, -1, 0)
        upper, lower, disc = (np.zeros(lateral.shape, dtype=bool) for _ in range(3))

        def box(m, front, height):
            return (m[0] <= x) & (x <= m[1]) & (front[0] <= a) & (a <= front[1]) & (height[0] <= s) & (s <= height[1])

        for side, sign in ((self.left, 1.0), (self.right, -1.0)):
            x = sign * lateral
            back = WALL - side.width - side.cylinder
            half = x >= 0
            pedicle = (back - 8.0, WALL)
            upper |= box(side.upper_pedicle, pedicle, (side.top + side.recess, side.top + 13.0))
            upper |= box(side.upper_pedicle, (WALL - 3.5, WALL), (side.top, side.top + 13.0))
            lower |= box(side.lower_pedicle, pedicle, (side.bottom - 12.0, side.bottom))
            front = back + side.lean * (s - side.bottom)
            lower |= (x >= 8) & (x <= 32) & (a <= front) & (a >= back - 8) & (s >= side.bottom - 8) & (s <= side.joint)
            upper |= box((8.0, 32.0), (back - 8.0, back), (side.joint, side.top + 9.0))
            if side.cylinder:
                round_ = np.hypot(a - back, s - side.cylinder_height) <= side.cylinder
                lower |= (x >= 8) & (x <= 32) & round_ & (a > back - 1)
            if side.spur:
                depth, height = side.spur
                lower |= box((17.0, 21.0), (back - 1.0, back + depth), (-height, 0.0))
            if side.process:
                border = max(side.upper_pedicle[1], side.lower_pedicle[1])
                lower |= box((border - 1, border + 16), (WALL - 6, WALL - 1), (side.bottom - 5, side.bottom - 0.0))
                lower |= box((border + 2, border + 16), (WALL - 6, WALL - 1), (side.bottom - 5, side.bottom + 6))
            upper |= half & box((-1.0, 32.0), (-42.0, back - 6.0), (side.joint + 2.0, side.top + 9.0))
            lower |= half & box((-1.0, 32.0), (-42.0, back - 6.0), (side.bottom - 14.0, side.bottom - 1.0))
        x = lateral
        upper |= box((-23.0, 23.0), (WALL, 17.0), (DISC_HALF, 33.0))
        lower |= box((-23.0, 23.0), (WALL, 17.0), (-33.0, -DISC_HALF))
        disc |= box((-23.0, 23.0), (WALL, 17.0), (-DISC_HALF, DISC_HALF))
        if self.bulge:
            disc |= box((-23.0, 23.0), (WALL - self.bulge, WALL), (-DISC_HALF, 2.0))
        if self.osteophyte:
            upper |= box((-9.0, 9.0), (WALL - 5.0, WALL), (DISC_HALF - 2.0, DISC_HALF + 3.0))
        label = np.zeros(lateral.shape, dtype=np.uint8)
        label[disc] = DISC.value
        label[lower] = L5.value
        label[upper] = L4.value
        return label

    def truth(self, name):
        """FA, FH, FW by arithmetic."""
        side = self.sides()[name]
        height = side.top - side.bottom
        area = (side.width + side.cylinder) * height - self.bulge * (DISC_HALF + 2.0)
        area += side.recess * (side.width + side.cylinder - 3.5)
        height += side.recess
        width = side.width
        if side.lean:
            rise = side.joint - side.bottom
            area -= side.lean * rise**2 / 2
            width = (side.width - side.lean * (DISC_HALF - side.bottom)) / np.hypot(1.0, side.lean)
        if side.cylinder:
            area -= np.pi * side.cylinder**2 / 2
            width = np.hypot(side.width + side.cylinder, DISC_HALF - side.cylinder_height) - side.cylinder
        if side.spur:
            area -= side.spur[0] * side.spur[1]
        return area, height, width

    def voxels(self, spacing=0.8, angles=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0)):
        """Label and affine on a RAS grid, the scene turned by angles (degrees) about R, A and S."""
        spacing = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
        turn = rotation(angles)
        low, high = np.array([-56.0, -56.0, -46.0]), np.array([56.0, 34.0, 46.0])
        count = np.ceil((high - low) / spacing).astype(int)
        axes = [b + step * np.arange(n) for b, step, n in zip(low, spacing, count, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) + np.asarray(shift)
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = low
        return self.label(points @ turn * np.array([-1.0, 1.0, 1.0])), affine


def rotation(angles):
    """Rotation matrix from angles about R, A and S, degrees."""
    r, a, s = np.radians(angles)
    about_r = np.array([[1, 0, 0], [0, np.cos(r), -np.sin(r)], [0, np.sin(r), np.cos(r)]])
    about_a = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_s = np.array([[np.cos(s), -np.sin(s), 0], [np.sin(s), np.cos(s), 0], [0, 0, 1]])
    return about_s @ about_a @ about_r


SCENES = {
    "plain": Scene(Side(8.0), Side(7.0, top=11.0)),
    "wide and narrow": Scene(Side(10.0, top=13.0), Side(6.0, bottom=-6.5)),
    "leaning facet": Scene(Side(12.5, lean=0.4), Side(9.0, lean=0.12)),
    "round facet": Scene(Side(6.0, cylinder=4.0), Side(5.0, cylinder=5.0, top=13.0)),
    "bulge": Scene(Side(9.0), Side(8.0, top=13.0), bulge=2.5),
    "pedicles apart": Scene(
        Side(upper_pedicle=(11.0, 20.0), lower_pedicle=(14.0, 27.0)),
        Side(7.0, upper_pedicle=(12.0, 22.0), lower_pedicle=(16.0, 28.0)),
    ),
    "osteophyte in the canal": Scene(Side(8.0), Side(9.0), osteophyte=True),
    "transverse process": Scene(Side(8.0, process=True), Side(7.5)),
    "recess": Scene(Side(9.0, recess=2.5), Side(8.0, recess=2.0)),
    "spur": Scene(Side(9.0, spur=(2.0, 4.0)), Side(8.0, spur=(2.5, 3.0))),
}


@pytest.fixture(scope="session")
def scenes():
    return SCENES


@pytest.fixture(scope="session")
def plain():
    """A label, its affine and its scene, turned by a few degrees."""
    scene = SCENES["plain"]
    return (*scene.voxels(0.9, (6.0, -5.0, 8.0), (0.2, 0.5, 0.7)), scene)


@pytest.fixture(scope="session")
def change():
    return replace


@pytest.fixture(scope="session")
def turn_of():
    """Angles about R, A and S to a rotation matrix."""
    return rotation
