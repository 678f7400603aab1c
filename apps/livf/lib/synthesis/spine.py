"""A lower lumbar spine as implicit solids: L3, L4, L5, the sacrum and the discs between them.

The L4-L5 disc's pose is chosen; the vertebrae are stacked on it upwards and downwards, so that heights, wedges and
the frame of the level are known exactly. In a vertebra's own frame the origin lies on the posterior wall at mid-height
of the body: the body is in front (anterior > 0), the arch behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.synthesis.implicit import FAR, Floats, Part, Pose, Solid, radial, rod, smooth_max
from livf.lib.synthesis.morphometry import DISC_ABOVE, DISC_BELOW, L3, SACRUM, Anatomy, DiscSize, VertebraSize
from livf.lib.synthesis.walls import posterior_wall

#: From the head down.
COLUMN: Final = (L3, DISC_ABOVE, L4.name, DISC.name, L5.name, DISC_BELOW, SACRUM)
#: Facets are turned so that the superior process looks back and inwards; angle to the coronal plane, degrees.
_FACET_ANGLE: Final = {L3: 40.0, L4.name: 38.0, L5.name: 35.0, SACRUM: 30.0}
#: Half-width of a superior articular process along its facet, mm (facets are 9.6 to 16.3 mm wide, Panjabi 1993).
_FACET_HALF_WIDTH: Final = 6.2
#: The pedicle's top lies this far below the body's upper rim, mm (own choice, from sagittal CT).
_PEDICLE_DROP: Final = 2.0


@dataclass(frozen=True)
class Frame:
    """The level's coordinate system: origin RAS mm, and three orthogonal unit vectors."""

    origin: npt.NDArray[np.float64]
    left: npt.NDArray[np.float64]
    anterior: npt.NDArray[np.float64]
    superior: npt.NDArray[np.float64]


class Spine:
    """The solids of one person, evaluated by name at any point.

    Args:
        anatomy: Sizes and angles.
        centre: Where the L4-L5 disc's centre lies, RAS mm.
    """

    def __init__(self, anatomy: Anatomy, centre: npt.ArrayLike = (0.0, 0.0, 0.0)) -> None:
        self.anatomy = anatomy
        level = Pose(
            np.asarray(centre, dtype=np.float64), np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0])
        ).turned(
            about_superior=anatomy.axial_rotation, about_anterior=anatomy.coronal_tilt, about_left=-anatomy.disc_tilt
        )
        self.poses = _stack(anatomy, level)
        self.frame = _frame(self.poses)
        self._solids = _solids(anatomy, self.poses)

    @cached_property
    def walls(self) -> dict[str, Pose]:
        """L4 and L5: the plane of the bone's posterior wall, origin on it at mid-height of the body."""
        return {name: posterior_wall(partial(self.distance, name), self.poses[name]) for name in (L4.name, L5.name)}

    def distance(self, structure: str, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Signed function of a structure at RAS mm points ``(..., 3)``: negative inside, at most :data:`FAR`."""
        point = np.asarray(points, dtype=np.float64)
        x, y, z = point[..., 0], point[..., 1], point[..., 2]
        return np.asarray(self._combine(structure, lambda name: self._solids[name].distance(x, y, z)))

    def fields(self, x: Floats, y: Floats, z: Floats) -> dict[str, Floats]:
        """All structures on a grid given by its three coordinate vectors (RAS mm), each array ``(I, J, K)``."""
        raw = {name: _on_grid(solid, x, y, z) for name, solid in self._solids.items()}
        return {name: self._combine(name, raw.__getitem__) for name in COLUMN}

    def _combine(self, structure: str, raw: Callable[[str], Floats]) -> Floats:
        """Keep joints open and discs outside bone."""
        own = raw(structure)
        at = COLUMN.index(structure)
        if structure in self.anatomy.discs:
            return np.asarray(np.maximum(np.maximum(own, -raw(COLUMN[at - 1])), -raw(COLUMN[at + 1])))
        if at + 2 < len(COLUMN):
            # The joint's cartilage: the inferior process keeps its distance from the superior one below.
            own = np.maximum(own, self.anatomy.joint_gap - raw(COLUMN[at + 2]))
        return np.asarray(own)


def _on_grid(solid: Solid, x: Floats, y: Floats, z: Floats) -> Floats:
    value = np.full((x.size, y.size, z.size), FAR, dtype=x.dtype)
    low, high = solid.bounds()
    block = tuple(
        slice(*np.searchsorted(axis, (bottom, top))) for axis, bottom, top in zip((x, y, z), low, high, strict=True)
    )
    value[block] = solid.distance(x[block[0], None, None], y[None, block[1], None], z[None, None, block[2]])
    return value


def _stack(anatomy: Anatomy, level: Pose) -> dict[str, Pose]:
    """Poses of all vertebrae and discs, from that of the L4-L5 disc."""
    half_turn, half_tilt = anatomy.segment_rotation / 2, anatomy.segment_tilt / 2
    poses = {DISC.name: level}
    poses[L4.name] = _above(anatomy, DISC.name, L4.name, level, slip=anatomy.slip).turned(
        about_superior=half_turn, about_anterior=half_tilt
    )
    poses[L5.name] = _below(anatomy, DISC.name, L5.name, level).turned(
        about_superior=-half_turn, about_anterior=-half_tilt
    )
    poses[DISC_ABOVE] = _disc_above(anatomy, L4.name, DISC_ABOVE, poses[L4.name])
    poses[L3] = _above(anatomy, DISC_ABOVE, L3, poses[DISC_ABOVE])
    poses[DISC_BELOW] = _disc_below(anatomy, L5.name, DISC_BELOW, poses[L5.name])
    poses[SACRUM] = _below(anatomy, DISC_BELOW, SACRUM, poses[DISC_BELOW])
    return poses


def _rim(size: VertebraSize) -> tuple[float, float]:
    """Half of the body's height at mid-depth, and the slope of its rims against its own axis in degrees."""
    difference = size.anterior_height - size.posterior_height
    return size.posterior_height / 2 + difference / 4, float(np.degrees(np.arctan2(difference / 2, size.depth)))


def _wedge(disc: DiscSize, depth: float) -> tuple[float, float]:
    """Half of the disc's height at mid-depth, and half of its wedge in degrees."""
    difference = disc.anterior_height - disc.posterior_height
    return (disc.anterior_height + disc.posterior_height) / 4, float(np.degrees(np.arctan2(difference / 2, depth)))


def _above(anatomy: Anatomy, disc: str, name: str, pose: Pose, slip: float = 0.0) -> Pose:
    size, below = anatomy.vertebrae[name], anatomy.vertebrae[COLUMN[COLUMN.index(disc) + 1]]
    half, wedge = _wedge(anatomy.discs[disc], size.depth)
    rise, slope = _rim(size)
    forward = (size.depth - (size.depth + below.depth) / 2) / 2 + slip
    axes = pose.moved((0, forward, half)).turned(about_left=wedge + slope)
    return axes.moved((0, -size.depth / 2, rise))


def _below(anatomy: Anatomy, disc: str, name: str, pose: Pose) -> Pose:
    size, above = anatomy.vertebrae[name], anatomy.vertebrae[COLUMN[COLUMN.index(disc) - 1]]
    half, wedge = _wedge(anatomy.discs[disc], above.depth)
    rise, slope = _rim(size)
    forward = (size.depth - (size.depth + above.depth) / 2) / 2
    axes = pose.moved((0, forward, -half)).turned(about_left=-wedge - slope)
    return axes.moved((0, -size.depth / 2, -rise))


def _disc_above(anatomy: Anatomy, name: str, disc: str, pose: Pose) -> Pose:
    size = anatomy.vertebrae[name]
    half, wedge = _wedge(anatomy.discs[disc], size.depth)
    rise, slope = _rim(size)
    return pose.moved((0, size.depth / 2, rise)).turned(about_left=slope + wedge).moved((0, 0, half))


def _disc_below(anatomy: Anatomy, name: str, disc: str, pose: Pose) -> Pose:
    size = anatomy.vertebrae[name]
    half, wedge = _wedge(anatomy.discs[disc], size.depth)
    rise, slope = _rim(size)
    return pose.moved((0, size.depth / 2, -rise)).turned(about_left=-slope - wedge).moved((0, 0, -half))


def _frame(poses: dict[str, Pose]) -> Frame:
    """DESIGN's frame, known by construction: S the disc's normal, L the mean of both vertebrae's left."""
    level = poses[DISC.name]
    superior = level.superior
    left = poses[L4.name].left + poses[L5.name].left
    left = left - (left @ superior) * superior
    left /= np.linalg.norm(left)
    # left, anterior, superior are left-handed in RAS: anterior = left x superior with the sign that points forwards.
    anterior = np.cross(left, superior)
    return Frame(level.origin, left, anterior * np.sign(anterior @ level.anterior), superior)


def _solids(anatomy: Anatomy, poses: dict[str, Pose]) -> dict[str, Solid]:
    solids = {}
    for at, name in enumerate(COLUMN):
        if name in anatomy.discs:
            above, below = anatomy.vertebrae[COLUMN[at - 1]], anatomy.vertebrae[COLUMN[at + 1]]
            parts = _disc_parts(anatomy.discs[name], (above.width + below.width) / 2, (above.depth + below.depth) / 2)
        elif name == SACRUM:
            parts = _sacrum_parts(anatomy.vertebrae[name])
        else:
            lower = COLUMN[at + 2]
            parts = _vertebra_parts(name, anatomy, poses[name], lower, poses[lower])
        solids[name] = Solid(poses[name], parts)
    return solids


def _outline(left: Floats, forward: Floats, half_width: Floats | float, half_depth: float, hollow: float) -> Floats:
    """Kidney-shaped outline of a body or disc: radius 1 on the rim. ``forward`` is counted from mid-depth."""
    behind = forward < 0
    centre = np.maximum(1 - (left / 13) ** 2, 0)
    forward = np.where(behind, forward - hollow * centre * np.minimum(-forward / half_depth, 1), forward)
    across, along = np.abs(left) / half_width, np.abs(forward) / half_depth
    # Flat behind (exponent 3.6), rounder in front (2.3); they meet where forward is 0 and only width counts.
    front = (across**2.3 + along**2.3) ** (1 / 2.3)
    back = (across**3.6 + along**3.6) ** (1 / 3.6)
    return np.asarray(np.where(behind, back, front))


def _ray(left: Floats, forward: Floats, radius: Floats) -> Floats:
    """Distance from an outline along the ray from its centre."""
    return np.asarray(np.sqrt(left * left + forward * forward + 1e-6) * (1 - 1 / np.maximum(radius, 1e-3)))


def _body(size: VertebraSize) -> Part:
    half_width, half_depth = size.width / 2, size.depth / 2
    wedge = (size.anterior_height - size.posterior_height) / 2
    above, below = size.endplate_hollow

    def function(left: Floats, anterior: Floats, superior: Floats) -> Floats:
        forward = anterior - half_depth
        rim = size.posterior_height / 2 + wedge * np.clip(anterior / size.depth, -0.2, 1.2)
        middle = 1 - np.clip(superior / rim, -1, 1) ** 2
        radius = _outline(
            left / (1 - size.waist * middle),
            forward / (1 - 0.6 * size.waist * middle),
            half_width,
            half_depth,
            1.2,
        )
        wall = _ray(left, forward, radius)
        dish = np.maximum(1 - radius**2.5, 0)
        plates = smooth_max(superior - rim + above * dish, -superior - rim + below * dish, 0.0)
        return smooth_max(wall, plates, 2.6)

    reach = max(size.anterior_height, size.posterior_height) / 2 + 1
    return Part(function, (-half_width - 1, -2, -reach), (half_width + 1, size.depth + 1, reach), 0.0)


def _disc_parts(disc: DiscSize, width: float, depth: float) -> tuple[Part, ...]:
    half_width, half_depth = width / 2, depth / 2
    middle = (disc.anterior_height + disc.posterior_height) / 4
    slope = (disc.anterior_height - disc.posterior_height) / 2 / depth

    def function(left: Floats, anterior: Floats, superior: Floats) -> Floats:
        radius = _outline(left, anterior, half_width, half_depth, 0.8)
        side = _ray(left, anterior, radius) + (0.6 - disc.bulge)
        # Past the rims the disc would climb the bodies: it is held to the gap there, and free between the endplates.
        # At the rims the annulus fills the corner that the bodies' rounded edges leave.
        gap = middle + slope * anterior + np.clip(12 * (1.08 - radius), -0.3, 4)
        return smooth_max(side, np.abs(superior) - gap, 1.0)

    high = middle + abs(slope) * half_depth + 5
    reach = disc.bulge + 1
    parts = [
        Part(
            function,
            (-half_width - reach, -half_depth - reach, -high),
            (half_width + reach, half_depth + reach, high),
            0.0,
        )
    ]
    if disc.herniation > 0:
        radii = (disc.herniation_radius, disc.herniation + 1.5, min(disc.posterior_height / 2 + 1.5, 6.5))
        # The wall curves forwards to the sides: the herniation starts from where the disc's edge is.
        edge = -half_depth * (1 - (min(abs(disc.herniation_left), half_width * 0.95) / half_width) ** 3.6) ** (1 / 3.6)
        centre = (disc.herniation_left, edge + 1.5, 0.0)

        def herniation(left: Floats, anterior: Floats, superior: Floats) -> Floats:
            return radial((left - centre[0], anterior - centre[1], superior - centre[2]), radii)

        low = tuple(c - r for c, r in zip(centre, radii, strict=True))
        top = tuple(c + r for c, r in zip(centre, radii, strict=True))
        parts.append(Part(herniation, (low[0], low[1], low[2]), (top[0], top[1], top[2]), 1.5))
    return tuple(parts)


def _pedicle_height_at(size: VertebraSize) -> float:
    """Superior coordinate of the pedicle's axis."""
    return size.posterior_height / 2 - _PEDICLE_DROP - size.pedicle_height / 2


def _superior_process(name: str, size: VertebraSize, side: int) -> tuple[npt.NDArray[np.float64], float, float]:
    """Centre of a superior articular process at the pedicle's top, its tip's height and its half-thickness."""
    index = 0 if side > 0 else 1
    length, thick = size.pedicle_length[index], size.superior_process[index]
    top = _pedicle_height_at(size) + size.pedicle_height / 2
    return np.array([side * size.facet_offset, -length - 3.2, top]), top + size.superior_rise[index], thick


def _facet_axis(name: str, side: int) -> tuple[float, float, float]:
    """Direction of a facet in the axial plane: outwards and backwards."""
    angle = np.radians(_FACET_ANGLE[name])
    return side * float(np.cos(angle)), -float(np.sin(angle)), 0.0


def _vertebra_parts(name: str, anatomy: Anatomy, pose: Pose, lower: str, lower_pose: Pose) -> tuple[Part, ...]:
    size = anatomy.vertebrae[name]
    parts = [_body(size)]
    for side in (1, -1):
        parts += _pedicle_and_process(name, size, side)
    for side in (1, -1):
        parts += _arch_side(name, anatomy, side, pose, lower, lower_pose)
    at = _pedicle_height_at(size)
    middle = -(size.canal_depth + 5.5)
    tall = 9.0 if name != L5.name else 7.0
    parts.append(
        rod(
            (0, middle + 1, at - 10),
            (0, middle - size.spinous_length, at - 15),
            (3.0, tall),
            (3.6, tall - 1.5),
            blend=3.0,
        )
    )
    return tuple(parts)


def _pedicle_and_process(name: str, size: VertebraSize, side: int) -> list[Part]:
    at = _pedicle_height_at(size)
    out = size.canal_width / 2 + size.pedicle_width / 2
    length = size.pedicle_length[0 if side > 0 else 1]
    half = (size.pedicle_width / 2, size.pedicle_height / 2)
    centre, tip, thick = _superior_process(name, size, side)
    span = size.transverse_span / 2
    return [
        rod(
            (side * (out - 1.0), 5.0, at),
            (side * (out + 0.3), -length, at),
            half,
            (half[0] * 0.92, half[1] * 0.94),
            blend=3.0,
        ),
        rod(
            (centre[0], centre[1], at - 2),
            (centre[0], centre[1] - 0.8, tip - 3.0),
            (_FACET_HALF_WIDTH, thick),
            (_FACET_HALF_WIDTH * 0.85, thick * 0.8),
            across=_facet_axis(name, side),
            blend=2.5,
        ),
        rod(
            (side * out, -length, at - 1.0),
            (side * span, -length - 4.0, at + 3.0),
            (5.5, 4.0),
            (4.0, 2.4),
            across=(0, 0, 1),
            blend=3.0,
        ),
    ]


def _arch_side(name: str, anatomy: Anatomy, side: int, pose: Pose, lower: str, lower_pose: Pose) -> list[Part]:
    """Isthmus, inferior articular process and half of the lamina."""
    size, beneath = anatomy.vertebrae[name], anatomy.vertebrae[lower]
    at = _pedicle_height_at(size)
    length = size.pedicle_length[0 if side > 0 else 1]
    facing, tip, thick = _superior_process(lower, beneath, side)
    out, back, _ = _facet_axis(lower, side)
    # Behind and inside the lower process by both half-thicknesses and the joint: (back, -out) is the facet's normal.
    apart = thick + anatomy.joint_gap + 3.4
    normal = np.array([side * back, -side * out, 0.0])
    joint = facing + apart * normal
    upper = _into(pose, lower_pose, (joint[0], joint[1], tip - 3.0))
    bottom = _into(pose, lower_pose, (joint[0] + side * 0.5, joint[1] - 0.5, facing[2] - 1.0))
    start = np.array([side * (size.facet_offset - 1.0), -length - 4.0, at - 1.5])
    middle = -(size.canal_depth + 5.5)
    return [
        rod(start, upper, (5.2, 4.4), (5.4, 4.4), across=_facet_axis(lower, side), blend=2.5),
        rod(upper, bottom, (5.6, 4.2), (4.6, 3.6), across=_facet_axis(lower, side), blend=2.0),
        rod(
            (side * (size.facet_offset - 4.5), -length - 8.0, at - 8.0),
            (0.0, middle - 1.5, at - 9.0),
            (8.0 if name != L5.name else 6.5, 3.2),
            across=(0, 0, 1),
            blend=3.0,
        ),
    ]


def _into(pose: Pose, other: Pose, local: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A point of ``other``'s frame in ``pose``'s frame."""
    return np.asarray((other.to_world(local) - pose.origin) @ pose.axes.T)


def _sacrum_parts(size: VertebraSize) -> tuple[Part, ...]:
    """S1 with its wings and processes, and the upper S2."""
    parts = [_body(size)]
    at, middle = _pedicle_height_at(size), -(size.canal_depth + 4.5)
    low = -size.posterior_height / 2
    parts.append(rod((0, 14, low - 2), (0, 7, low - 30), (20, 10), (15, 8), blend=2.0))
    for side in (1, -1):
        centre, tip, thick = _superior_process(SACRUM, size, side)
        parts += [
            rod((side * 18, 14, -1), (side * 48, 2, -8), (13, 12), (20, 13), across=(0, 0, 1), blend=5.0),
            rod((side * 22, 4, low - 4), (side * 40, -2, low - 28), (10, 10), (12, 10), blend=5.0),
            rod((side * 22, 2, at - 1), (centre[0], centre[1], at), (8, 7), (6, 6), blend=3.0),
            rod(
                (centre[0], centre[1], at - 2),
                (centre[0], centre[1] - 0.8, tip - 3),
                (_FACET_HALF_WIDTH, thick),
                (_FACET_HALF_WIDTH * 0.85, thick * 0.8),
                across=_facet_axis(SACRUM, side),
                blend=2.5,
            ),
            rod((centre[0], centre[1] - 3, at - 6), (0, middle - 2, at - 12), (7, 3), across=(0, 0, 1), blend=3.0),
            rod((side * 24, -10, at - 8), (side * 18, -10, low - 28), (8, 4), blend=3.0),
        ]
    parts.append(rod((0, middle - 2, at - 10), (0, middle - 6, low - 24), (4, 6), blend=3.0))
    return tuple(parts)
