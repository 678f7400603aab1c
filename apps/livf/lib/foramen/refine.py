"""The outline moved from the smoothed surface to the one that the voxels' centres allow.

A wall that runs along L and is cut by a tilted grid shows as terraces as long as ten voxels. A projection takes the
foremost of them, so that the opening comes out too small, while smoothing wears down what is convex along L, so that
it comes out too large. Neither is a constant: it depends on the wall. So the surface is fitted again at each point of
the outline, to the only thing that a label says for certain: which voxel centres lie inside and which outside.

At a point with outward normal n and tangent t, the bone's face is taken as a smooth function

    n = c0 + c1 t + c2 t² + b1 m + b2 m²,    m = M - M*

where M* is the depth at which the projection found the bone there; voxel centres nearer to the opening than the face
should be free, those beyond it bone. The coefficients are those of a logistic regression over the centres round the
point, weighted by nearness. The outline goes to c0, the face at
the point itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from livf.lib.foramen import result as parts_of
from livf.lib.foramen.level import Level
from livf.lib.foramen.outline import Contour, Projection, outward_normals, with_corner
from livf.lib.foramen.result import Frame, Points, Side, side_sign

#: SD of the weights along the outline and along L, and half-width of the band across it, voxels.
ALONG: Final = 1.5
DEPTH: Final = 4.0
ACROSS: Final = 2.0
#: Width of the logistic step, voxels: labels are drawn or predicted with about this much noise.
STEP: Final = 0.15
#: A voxel centre counts where the outline nearest to it faces the same way, at least by this cosine.
SAME_WALL: Final = 0.7
#: Pull of the coefficients to the flat face at the point itself.
RIDGE: Final = (0.05, 0.5, 2.0, 2.0, 2.0)
#: The outline is moved at most this far, voxels.
FARTHEST: Final = 0.6
_ROUNDS: Final = 8
#: Every how many points of the outline the face is fitted, and the SD of the smoothing of its moves along it, points.
_EVERY: Final = 2
_SMOOTH: Final = 2.5


def refined(level: Level, frame: Frame, projection: Projection, contour: Contour) -> Contour:
    """The outline with its points moved to the fitted faces; a closing segment follows its ends."""
    side = projection.side
    borders = (float(projection.depth[0]), float(projection.depth[-1]))
    count = len(contour.points)
    at = np.arange(0, count, _EVERY)
    points, normals = contour.points[at], contour.normals[at]
    voxel = float(np.sqrt(_apart(level, frame.anterior) * _apart(level, frame.superior)))
    centres = cloud(level, frame, side, borders, points, 3.0 * voxel)
    moves = displacements(
        points, normals, _depth_of_bone(projection, points), centres, voxel, _apart(level, frame.left)
    )
    moves = ndimage.gaussian_filter1d(moves, _SMOOTH, mode="wrap")
    everywhere = np.interp(np.arange(count), np.append(at, count), np.append(moves, moves[0]))
    everywhere[contour.parts == parts_of.JOINT] = 0.0
    moved = contour.points + everywhere[:, None] * contour.normals
    moved = np.roll(moved, -int(moved[:, 1].argmax()), axis=0)
    parts = np.roll(contour.parts, -int((contour.points + everywhere[:, None] * contour.normals)[:, 1].argmax()))
    return with_corner(Contour(moved, outward_normals(moved), parts, contour.gap))


def _depth_of_bone(projection: Projection, points: Points) -> Points:
    """M at which the union reaches furthest into the view at each point."""
    a = (points[:, 0] - projection.anterior[0]) / (projection.anterior[1] - projection.anterior[0])
    s = (points[:, 1] - projection.superior[0]) / (projection.superior[1] - projection.superior[0])
    planes = np.arange(projection.depth.size)[:, None] + np.zeros_like(a)
    value = ndimage.map_coordinates(
        projection.volume, [planes, a + 0 * planes, s + 0 * planes], order=1, mode="nearest"
    )
    return np.asarray(projection.depth[value.argmax(axis=0)])


@dataclass(frozen=True, eq=False)
class Cloud:
    """Voxel centres near a slab in side coordinates.

    Attributes:
        places: ``(N, 3)``: M, A, S mm.
        bone: ``(N,)``: whether the voxel is bone or disc.
        tree: Search tree over (A, S).
    """

    places: Points
    bone: npt.NDArray[np.bool_]
    tree: cKDTree


def cloud(level: Level, frame: Frame, side: Side, borders: tuple[float, float], ring: Points, reach: float) -> Cloud:
    """Voxel centres of the slab within ``reach`` mm of a ring's box in the (A, S) plane."""
    low = np.array([borders[0], *(ring.min(axis=0) - reach)])
    high = np.array([borders[1], *(ring.max(axis=0) + reach)])
    corners = np.array([[m, a, s] for m in (low[0], high[0]) for a in (low[1], high[1]) for s in (low[2], high[2])])
    index = level.index(frame, corners * [side_sign(side), 1.0, 1.0])
    first = np.maximum(np.floor(index.min(axis=0)).astype(int), 0)
    last = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, level.label.shape)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    bone = (level.label[box] > 0).ravel()
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(first, last, strict=True)), indexing="ij"), axis=-1)
    world = grid.reshape(-1, 3) @ level.affine[:3, :3].T + level.affine[:3, 3]
    places = frame.to_frame(world) * [side_sign(side), 1.0, 1.0]
    near = ((places >= low) & (places <= high)).all(axis=1)
    places, bone = places[near], bone[near]
    return Cloud(places, bone, cKDTree(places[:, 1:]))


def _apart(level: Level, direction: Points) -> float:
    """How far apart voxel centres lie along a direction (RAS), mm."""
    return float(1 / np.linalg.norm(np.linalg.solve(level.affine[:3, :3], direction)))


def displacements(
    points: Points,
    normals: Points,
    foremost: Points,
    centres: Cloud,
    voxel: float,
    voxel_depth: float,
) -> Points:
    """How far each point of an outline is to be moved along its outward normal, mm, ``(N,)``.

    Args:
        points: ``(N, 2)`` (A, S) mm.
        normals: ``(N, 2)`` outward (into bone) unit normals.
        foremost: ``(N,)`` M at which the projection found the bone.
        centres: Voxel centres.
        voxel: Voxel size in the lateral view, mm.
        voxel_depth: Voxel size along L, mm.
    """
    reach = voxel * float(np.hypot(2 * ALONG, ACROSS))
    near = centres.tree.query_ball_point(points, reach)
    most = max((len(n) for n in near), default=0)
    if most < 8:
        return np.zeros(len(points))
    table = np.zeros((len(points), most), dtype=np.intp)
    there = np.zeros((len(points), most), dtype=bool)
    for i, indices in enumerate(near):
        table[i, : len(indices)] = indices
        there[i, : len(indices)] = True
    offset = centres.places[table][..., 1:] - points[:, None]
    outward = (offset * normals[:, None]).sum(axis=-1) / voxel
    tangent = (offset[..., 0] * normals[:, None, 1] - offset[..., 1] * normals[:, None, 0]) / voxel
    depth = (centres.places[table][..., 0] - foremost[:, None]) / voxel_depth
    weight = np.exp(-0.5 * ((tangent / ALONG) ** 2 + (depth / DEPTH) ** 2))
    weight *= there & (np.abs(outward) < ACROSS)
    # Round a corner the other wall's centres are not this wall's.
    _, nearest = cKDTree(points).query(centres.places[:, 1:])
    weight *= np.einsum("ijk,ik->ij", normals[nearest][table], normals) > SAME_WALL
    truth = centres.bone[table].astype(np.float64)
    basis = np.stack([np.ones_like(depth), tangent, tangent**2, depth, depth**2], axis=-1)
    face = np.zeros((len(points), basis.shape[-1]))
    ridge = np.diag(RIDGE)
    for _ in range(_ROUNDS):
        score = np.clip((outward - (basis @ face[..., None])[..., 0]) / STEP, -30, 30)
        expected = 1 / (1 + np.exp(-score))
        gradient = np.einsum("ij,ijk->ik", weight * (truth - expected) / STEP, basis) + face @ ridge
        curve = weight * expected * (1 - expected) / STEP**2
        hessian = np.einsum("ij,ijk,ijl->ikl", curve, basis, basis) + ridge
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        face = face - np.clip(step, -0.5, 0.5)
    return np.asarray(np.clip(face[:, 0], -FARTHEST, FARTHEST) * voxel)
