"""A vertebra's own frame, and the surface between its body and its arch.

The body is the only part of a vertebra that is deep: what lies more than 7 mm under the surface is its core (a trial's
figure; less in a slender bone). Regrown, the core gives the end plates, whose normals are the vertebra's own up and
down, and the posterior wall, behind which the arch begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from livf.lib.synthesis.columns.column import REACH_MM
from livf.lib.synthesis.columns.fields import Doubles, Field, Floats
from livf.lib.synthesis.implicit import Pose

CORE_MM: Final = 7.0
#: In a bone whose deepest point is less than 10 mm under its surface, the core is this share of it.
_CORE_SHARE: Final = 0.7
#: How far beyond the core's own depth the body reaches: to its rims, not along a transverse process, mm.
_REGROWN_MM: Final = 5.0
#: A point of an end plate has a normal within about 45 degrees of the vertebra's axis.
_FACING: Final = 0.7
#: The posterior wall is taken within this of the midline, mm: between the pedicles.
_WALL_HALF_MM: Final = 9.0
#: The rims flare this far beyond the sides of the body's waist, mm.
_RIM_MM: Final = 3.5
#: Points of an end plate lie within this of its plane, mm: its hollow on one side, a lip on the other. The undersides
#: of the pedicles, which face the same way, lie further up.
_HOLLOW_MM: Final = 5.0
_TURNS: Final = 4


@dataclass(frozen=True, eq=False)
class Body:
    """The body of one vertebra, in grid millimetres.

    Attributes:
        pose: Frame at the body's centre.
        core: ``(N, 3)``, points of the core.
        depth: How deep the core begins, mm.
        wall: Coefficients of the posterior wall: anterior coordinate as ``1, l, l², s, s²`` of the pose.
        upper: ``(N, 3)``, points of the upper end plate.
        lower: ``(N, 3)``, points of the lower end plate.
        height: Between the end plates, mm.
    """

    pose: Pose
    core: Doubles
    depth: float
    wall: Doubles
    upper: Doubles
    lower: Doubles
    height: float


def centre_of(bone: Field) -> Doubles:
    """Centre of the deepest part of a bone, grid mm."""
    return np.asarray(_core(bone)[0].mean(axis=0))


def body_of(bone: Field, superior: Doubles, arch: Doubles | None = None) -> Body:
    """The body of a vertebra, or of the first sacral segment.

    Args:
        bone: Whole vertebra.
        superior: Roughly towards the vertebra above, grid mm; the end plates correct it.
        arch: A point behind the body; None for the whole bone's centre of mass.
    """
    core, depth = _core(bone)
    centre = core.mean(axis=0)
    behind = bone.points(bone.values < 0).mean(axis=0) if arch is None else arch
    points, normals = bone.surface()
    reach = cKDTree(core).query(points, distance_upper_bound=depth + _REGROWN_MM)[0] < depth + _REGROWN_MM
    points, normals = points[reach], normals[reach]
    up = superior / np.linalg.norm(superior)
    for _ in range(_TURNS):
        along = normals @ up
        # Both end plates where there are two; the arch's facets face the same way but lie behind.
        front = (points - centre) @ _across(centre - behind, up) > -depth
        plates = [normals[front & (sign * along > _FACING)] for sign in (1, -1)]
        mean = sum((sign * p.mean(axis=0) for sign, p in zip((1, -1), plates, strict=True) if len(p) > 50), np.zeros(3))
        up = mean / np.linalg.norm(mean) if np.linalg.norm(mean) > 0 else up
    anterior = _across(centre - behind, up)
    pose = Pose(centre, np.cross(up, anterior), anterior, up)
    local = _local(pose, points)
    tops = {
        sign: np.median(local[(sign * (normals @ up) > _FACING) & (np.abs(local[:, 1]) < depth), 2]) for sign in (1, -1)
    }
    height = float(tops[1] - tops[-1])
    wall = _posterior_wall(local, normals @ anterior, depth, tops)
    in_front = local[:, 1] > _wall_at(wall, local[:, 0], local[:, 2], height)
    over_core = cKDTree(_local(pose, core)[:, :2]).query(local[:, :2])[0] < depth + _RIM_MM
    upper, lower = (
        points[_plate(local, in_front & over_core & (sign * (normals @ up) > _FACING), sign)] for sign in (1, -1)
    )
    return Body(pose, core, depth, wall, upper, lower, height)


def cut(bone: Field, body: Body) -> Floats:
    """Signed distance to the surface that parts body from arch, on the bone's box: negative on the body's side, mm.

    It follows the posterior wall through the pedicles, and beside the body parts it from transverse processes.
    """
    x, y, z = bone.mesh_grid()
    left, anterior, superior = body.pose.to_local(x, y, z)
    behind = _wall_at(body.wall, left, superior, body.height) - anterior
    apart = np.ones(bone.values.shape, dtype=bool)
    index = np.rint(body.core / bone.spacing).astype(int) - np.asarray(bone.start)
    apart[tuple(index.T)] = False
    beside = ndimage.distance_transform_edt(apart, sampling=bone.spacing) - (body.depth + _REGROWN_MM)
    # A spur in front of the body's middle is the body's, however far it reaches.
    cut_at = np.maximum(behind, np.minimum(beside, -anterior))
    return np.asarray(np.clip(cut_at, -REACH_MM, REACH_MM), dtype=np.float32)


def _plate(local: Doubles, facing: npt.NDArray[np.bool_], sign: int) -> npt.NDArray[np.bool_]:
    """Which of the points that face along the axis belong to the end plate: those near its own plane."""
    plate = facing & (sign * local[:, 2] > 0)
    for _ in range(3):
        if plate.sum() < 50:
            break
        terms = np.column_stack([np.ones(len(local)), local[:, :2]])
        plane, *_ = np.linalg.lstsq(terms[plate], local[plate, 2], rcond=None)
        plate = facing & (np.abs(local[:, 2] - terms @ plane) < _HOLLOW_MM) & (sign * local[:, 2] > 0)
    return plate


def _core(bone: Field) -> tuple[Doubles, float]:
    """Points of the largest deep piece, and how deep it begins; depths beyond the reach are found from the mask."""
    depth = ndimage.distance_transform_edt(bone.values < 0, sampling=bone.spacing)
    begins = min(CORE_MM, _CORE_SHARE * float(depth.max()))
    pieces, count = ndimage.label(depth > begins)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    return bone.points(pieces == sizes.argmax()), begins


def _across(direction: Doubles, up: Doubles) -> Doubles:
    flat = direction - (direction @ up) * up
    return np.asarray(flat / np.linalg.norm(flat))


def _local(pose: Pose, points: Doubles) -> Doubles:
    return np.asarray((points - pose.origin) @ pose.axes.T)


def _terms(left: npt.ArrayLike, superior: npt.ArrayLike) -> list[Doubles]:
    left, superior = np.asarray(left), np.asarray(superior)
    return [np.ones_like(left + superior), left + 0 * superior, left**2 + 0 * superior, superior + 0 * left,
            superior**2 + 0 * left]  # fmt: skip


def _wall_at(wall: Doubles, left: npt.ArrayLike, superior: npt.ArrayLike, height: float) -> Doubles:
    """Anterior coordinate of the wall; beyond where it was seen it goes on straight."""
    left = np.clip(left, -_WALL_HALF_MM, _WALL_HALF_MM)
    superior = np.clip(superior, -height / 2, height / 2)
    return np.asarray(sum(c * t for c, t in zip(wall, _terms(left, superior), strict=True)))


def _posterior_wall(local: Doubles, facing: Doubles, depth: float, tops: dict[int, float]) -> Doubles:
    """Coefficients of the wall, fitted to what faces backwards between the pedicles; spurs and veins get no weight."""
    left, anterior, superior = local.T
    height = tops[1] - tops[-1]
    middle = (tops[1] + tops[-1]) / 2
    on_wall = (facing < -0.6) & (np.abs(left) < _WALL_HALF_MM) & (np.abs(superior - middle) < 0.4 * height)
    on_wall &= anterior < 0
    if on_wall.sum() < 30:
        # No canal was seen behind it: the wall is taken to lie as far behind the core as the core is deep.
        return np.array([local[:, 1].min() if not on_wall.any() else np.median(anterior[on_wall]), 0, 0, 0, 0])
    terms = np.stack(_terms(left[on_wall], superior[on_wall]), axis=1)
    target = anterior[on_wall]
    weight = np.ones(len(target))
    wall = np.zeros(terms.shape[1])
    for _ in range(8):
        root = np.sqrt(weight)[:, None]
        # The ridge keeps the curvature of a wall that is seen on one side only within what walls have.
        wall = np.linalg.solve((terms * root).T @ (terms * root) + np.diag([0, 50.0, 5e4, 50.0, 5e4]) * 1e-2,
                               (terms * root).T @ (target * root[:, 0]))  # fmt: skip
        weight = 1 / (1 + ((target - terms @ wall) / 1.0) ** 2)
    return wall
