"""Implicit solids: functions of points that are negative inside, in millimetres near the surface.

A :class:`Solid` is a blend of simple parts in one local frame. Each part is evaluated only where it can matter, so a
solid of thirty parts costs little more than its largest one. Values are bounded to :data:`FAR` outside: they are
distances (to first order) near the surface, and only a promise of "at least that far" beyond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
#: Values are clipped to this outside a solid, mm.
FAR: Final = 6.0


@dataclass(frozen=True)
class Pose:
    """A local frame in RAS+ mm. ``left``, ``anterior`` and ``superior`` are orthogonal unit vectors.

    The triple is left-handed by nature (left is -x in RAS); nothing here depends on its handedness.
    """

    origin: npt.NDArray[np.float64]
    left: npt.NDArray[np.float64]
    anterior: npt.NDArray[np.float64]
    superior: npt.NDArray[np.float64]

    @property
    def axes(self) -> npt.NDArray[np.float64]:
        """Rows are left, anterior, superior."""
        return np.stack((self.left, self.anterior, self.superior))

    def to_local(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Map RAS mm (arrays that broadcast together) to local (left, anterior, superior) mm."""
        moved = (x - self.origin[0], y - self.origin[1], z - self.origin[2])
        left, anterior, superior = (
            sum(component * axis[i].astype(component.dtype) for i, component in enumerate(moved)) for axis in self.axes
        )
        return left, anterior, superior

    def to_world(self, local: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Map local points ``(..., 3)`` to RAS mm."""
        return np.asarray(self.origin + np.asarray(local, dtype=np.float64) @ self.axes)

    def moved(self, shift: npt.ArrayLike) -> Pose:
        """The same axes with the origin moved by a local shift."""
        return Pose(self.to_world(shift), self.left, self.anterior, self.superior)

    def turned(self, *, about_left: float = 0.0, about_anterior: float = 0.0, about_superior: float = 0.0) -> Pose:
        """Turn the frame about its own axes, in degrees.

        Positive about ``left`` tips the top backwards (the front up), about ``anterior`` tips the top to the left,
        about ``superior`` turns the front to the left.
        """
        left, anterior, superior = self.axes
        for angle, first, second in ((about_left, 1, 2), (about_anterior, 2, 0), (about_superior, 1, 0)):
            axes = [left, anterior, superior]
            cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            one, two = axes[first], axes[second]
            axes[first], axes[second] = cos * one + sin * two, cos * two - sin * one
            left, anterior, superior = axes
        return Pose(self.origin, left, anterior, superior)


@dataclass(frozen=True)
class Part:
    """One simple shape of a solid, in the solid's local frame.

    Attributes:
        function: Signed function of local coordinates.
        low: Lower corner of a box that holds the shape, local mm.
        high: Upper corner.
        blend: Radius of the smooth union with what comes before, mm.
        cut: Whether the shape is taken away instead of added.
    """

    function: Callable[[Floats, Floats, Floats], Floats]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    blend: float = 2.0
    cut: bool = False


@dataclass(frozen=True)
class Solid:
    """A blend of parts in one pose, evaluated at any points."""

    pose: Pose
    parts: tuple[Part, ...]

    def distance(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Signed function at RAS mm points (arrays that broadcast together), at most :data:`FAR`."""
        return self.local_distance(*np.broadcast_arrays(*self.pose.to_local(x, y, z)))

    def local_distance(self, left: Floats, anterior: Floats, superior: Floats) -> Floats:
        """The same at local points of one shape."""
        value = np.full(left.shape, FAR, dtype=left.dtype)
        for part in self.parts:
            near = _near(part, (left, anterior, superior))
            if not near.any():
                continue
            own = part.function(left[near], anterior[near], superior[near])
            before = value[near]
            value[near] = smooth_max(before, -own, part.blend) if part.cut else smooth_min(before, own, part.blend)
        return np.minimum(value, np.asarray(FAR, dtype=value.dtype))

    def bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Lower and upper corner, RAS mm, of a box that holds the solid with :data:`FAR` around it."""
        corners = []
        for part in self.parts:
            if not part.cut:
                pairs = np.stack((part.low, part.high))
                corners += [(pairs[i, 0], pairs[j, 1], pairs[k, 2]) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        world = self.pose.to_world(np.asarray(corners))
        return world.min(axis=0) - FAR, world.max(axis=0) + FAR


def _near(part: Part, point: Sequence[Floats]) -> npt.NDArray[np.bool_]:
    margin = FAR + part.blend
    near = np.ones(point[0].shape, dtype=bool)
    for coordinate, low, high in zip(point, part.low, part.high, strict=True):
        near &= (coordinate > low - margin) & (coordinate < high + margin)
    return near


def smooth_min(one: Floats, two: Floats, radius: float) -> Floats:
    """Minimum with a fillet of ``radius`` mm (polynomial; never above the plain minimum)."""
    if radius <= 0:
        return np.minimum(one, two)
    overlap = np.maximum(radius - np.abs(one - two), 0) / radius
    return np.asarray(np.minimum(one, two) - overlap * overlap * (radius / 4))


def smooth_max(one: Floats, two: Floats, radius: float) -> Floats:
    """Maximum with a rounding of ``radius`` mm."""
    return np.asarray(-smooth_min(-one, -two, radius))


def rod(
    start: npt.ArrayLike,
    end: npt.ArrayLike,
    radii_start: tuple[float, float],
    radii_end: tuple[float, float] | None = None,
    *,
    across: Sequence[float] = (1.0, 0.0, 0.0),
    blend: float = 2.0,
) -> Part:
    """A tapered rod with elliptic cross-section and rounded ends.

    Args:
        start: Centre of one end, local mm.
        end: Centre of the other end, another point.
        radii_start: Half-axes of the cross-section at the start, along ``across`` and perpendicular to it, mm.
        radii_end: The same at the end; None: as at the start.
        across: Direction of the first half-axis (made perpendicular to the rod).
        blend: Radius of the smooth union, mm.

    The value is the distance along the ray from the rod's axis: exact on the surface, a little above the true
    distance away from it.

    Raises:
        ValueError: ``across`` runs along the rod.
    """
    first, last = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    length = float(np.linalg.norm(last - first))
    along = (last - first) / length
    side = np.asarray(across, dtype=np.float64)
    side = side - (side @ along) * along
    if not np.linalg.norm(side) > 1e-6:
        raise ValueError(f"across={tuple(across)} runs along the rod")
    side /= np.linalg.norm(side)
    up = np.cross(along, side)
    ends = np.asarray((radii_start, radii_end or radii_start), dtype=np.float64)
    cap = ends.min(axis=1)

    def function(left: Floats, anterior: Floats, superior: Floats) -> Floats:
        kind = left.dtype
        moved = tuple(c - o.astype(kind) for c, o in zip((left, anterior, superior), first, strict=True))

        def project(axis: npt.NDArray[np.float64]) -> Floats:
            return np.asarray(sum(m * a.astype(kind) for m, a in zip(moved, axis, strict=True)))

        height = project(along)
        share = np.clip(height / kind.type(length), 0, 1)
        beyond = height - share * kind.type(length)
        one, two = project(side), project(up)
        radius_one = ends[0, 0] + share * kind.type(ends[1, 0] - ends[0, 0])
        radius_two = ends[0, 1] + share * kind.type(ends[1, 1] - ends[0, 1])
        radius_cap = cap[0] + share * kind.type(cap[1] - cap[0])
        return radial(
            (one, two, beyond),
            (radius_one.astype(kind), radius_two.astype(kind), radius_cap.astype(kind)),
        )

    reach = float(ends.max())
    low, high = np.minimum(first, last) - reach, np.maximum(first, last) + reach
    return Part(function, _triple(low), _triple(high), blend)


def radial(offsets: Sequence[Floats], radii: Sequence[Floats | float]) -> Floats:
    """Distance to an ellipsoid's surface along the ray from its centre: ``|p| - |p| / |p / r|``."""
    square = sum(offset * offset for offset in offsets)
    scaled = sum((offset / radius) ** 2 for offset, radius in zip(offsets, radii, strict=True))
    norm = np.sqrt(np.maximum(scaled, 1e-6))
    return np.asarray(np.sqrt(np.maximum(square, 1e-6)) * (1 - 1 / norm))


def _triple(vector: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    one, two, three = (float(v) for v in vector)
    return one, two, three
