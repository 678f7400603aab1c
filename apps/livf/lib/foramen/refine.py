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
from scipy import ndimage
from scipy.spatial import cKDTree

from livf.lib.anatomy import BACKGROUND, L4
from livf.lib.foramen import result as parts_of
from livf.lib.foramen.constants import FARTHEST_POINTS_MM
from livf.lib.foramen.corners import sharpened
from livf.lib.foramen.level import Bools, Level
from livf.lib.foramen.outline import Contour, Projection, outward_normals
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
#: A smaller step of every coefficient than this ends the fit, voxels.
_STILL: Final = 1e-11
#: Faces are not fitted where no point has this many centres.
_FEWEST: Final = 8
#: Every how many points of the outline the face is fitted, and the SD of the smoothing of its moves along it, points.
_EVERY: Final = 2
#: The wall above the corner that is laid anew, points of the outline; the height of voxel centres it is fitted to and
#: the deepest groove, voxels; and the pull of its coefficients.
_WALL_POINTS: Final = 8
_CORNER_REACH: Final = 6.0
_GROOVE: Final = 1.0
_CORNER_RIDGE: Final = (0.05, 0.5, 2.0, 2.0)
#: A disc that stands this far behind the wall, voxels, makes a groove; the face of the rim there is fitted to the
#: vertebra's own centres from this far below the corner, voxels, with this pull of its coefficients.
_PROUD: Final = 0.5
_RIM_BELOW: Final = 0.3
_RIM_RIDGE: Final = (0.01, 0.1, 0.1, 1.0, 1.0)
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
    fitted = Contour(moved, outward_normals(moved), parts, contour.gap)
    return _close_points(sharpened(_with_corner(fitted, projection, centres, voxel, _apart(level, frame.left))))


def _close_points(contour: Contour) -> Contour:
    """The same polygon with points laid on its long edges, so that none is longer than an outline's points may be."""
    points, after = contour.points, np.roll(contour.points, -1, axis=0)
    pieces = np.maximum(np.ceil(np.linalg.norm(after - points, axis=1) / FARTHEST_POINTS_MM).astype(int), 1)
    if pieces.max() == 1:
        return contour
    start = np.repeat(np.arange(len(points)), pieces)
    share = np.concatenate([np.arange(n) / n for n in pieces])
    laid = points[start] + share[:, None] * (after - points)[start]
    following = np.roll(contour.parts, -1)
    parts = np.where(share < 0.5, contour.parts[start], following[start])
    return Contour(laid, outward_normals(laid), parts, contour.gap)


def _with_corner(contour: Contour, projection: Projection, centres: Cloud, voxel: float, voxel_depth: float) -> Contour:
    """Bring the wall down to the corner, where the disc's edge meets it in a groove narrower than a voxel.

    The face of the wall is fitted once more at the corner, this time to what lies above it only, and the last stretch
    of wall is laid on that face; it is never drawn further out of the bone than it was.
    """
    points, parts = contour.points, contour.parts
    disc = np.flatnonzero(parts == parts_of.DISC_EDGE)
    if not disc.size or disc[0] < _WALL_POINTS or parts[disc[0] - 1] != parts_of.UPPER_WALL:
        return contour
    first = int(disc[0])
    stretch = np.arange(first - _WALL_POINTS, first)
    if (parts[stretch] != parts_of.UPPER_WALL).any():
        return contour
    upwards = points[stretch[: _WALL_POINTS // 2]].mean(axis=0) - points[stretch[_WALL_POINTS // 2 :]].mean(axis=0)
    upwards = upwards / np.linalg.norm(upwards)
    normal = np.array([upwards[1], -upwards[0]])
    corner = points[first - 1]
    depth = float(np.median(_depth_of_bone(projection, points[stretch])))
    offset = centres.places[:, 1:] - corner
    outward, along = offset @ normal / voxel, offset @ upwards / voxel
    depths = (centres.places[:, 0] - depth) / voxel_depth
    near = (along > 0) & (along < _CORNER_REACH) & (np.abs(outward) < ACROSS) & (np.abs(depths) < 2.5 * DEPTH)
    if near.sum() < 30:
        return contour
    basis = np.stack([np.ones(near.sum()), along[near], depths[near], depths[near] ** 2])
    weight = np.exp(-0.5 * ((along[near] / (2 * ALONG)) ** 2 + (depths[near] / DEPTH) ** 2))
    face = _logistic(basis[None], outward[near][None], centres.bone[near][None], weight[None], _CORNER_RIDGE)[0]
    height = (points[stretch] - corner) @ upwards / voxel
    goal = np.clip(face[0] + face[1] * height, -_GROOVE, _GROOVE)
    now = (points[stretch] - corner) @ normal / voxel
    share = np.linspace(0.0, 1.0, _WALL_POINTS)
    move = np.maximum(share * (goal - now), 0.0) * voxel
    moved = points.copy()
    moved[stretch] += move[:, None] * normal
    # A disc that stands behind the wall meets the vertebra's rounded rim further in front than the wall would have it.
    below = points[first + 1 : first + 1 + _WALL_POINTS]
    if -float(((below - moved[first - 1]) @ normal).min()) > _PROUD * voxel:
        moved[first - 1] += _to_rim(centres, moved[first - 1], upwards, normal, depths, voxel) * voxel * normal
    return Contour(moved, outward_normals(moved), parts, contour.gap)


def _to_rim(centres: Cloud, corner: Points, upwards: Points, normal: Points, depths: Points, voxel: float) -> float:
    """How far in front of the corner the upper vertebra's own face lies at its height, voxels; never behind."""
    offset = centres.places[:, 1:] - corner
    outward, along = offset @ normal / voxel, offset @ upwards / voxel
    near = (along > -_RIM_BELOW) & (along < _CORNER_REACH) & (np.abs(outward) < ACROSS) & (np.abs(depths) < 2.5 * DEPTH)
    if near.sum() < 30:
        return 0.0
    basis = np.stack([np.ones(near.sum()), along[near], along[near] ** 2, depths[near], depths[near] ** 2])
    weight = np.exp(-0.5 * ((along[near] / ALONG) ** 2 + (depths[near] / DEPTH) ** 2))
    face = _logistic(basis[None], outward[near][None], centres.upper[near][None], weight[None], _RIM_RIDGE)[0]
    return float(np.clip(face[0], 0.0, _GROOVE))


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
        upper: ``(N,)``: whether it is the upper vertebra.
        tree: Search tree over (A, S).
    """

    places: Points
    bone: Bools
    upper: Bools
    tree: cKDTree


def cloud(level: Level, frame: Frame, side: Side, borders: tuple[float, float], ring: Points, reach: float) -> Cloud:
    """Voxel centres within ``reach`` mm of the slab and of a ring's box in the (A, S) plane."""
    low = np.array([borders[0] - reach, *(ring.min(axis=0) - reach)])
    high = np.array([borders[1] + reach, *(ring.max(axis=0) + reach)])
    corners = np.array([[m, a, s] for m in (low[0], high[0]) for a in (low[1], high[1]) for s in (low[2], high[2])])
    index = level.index(frame, corners * [side_sign(side), 1.0, 1.0])
    first = np.maximum(np.floor(index.min(axis=0)).astype(int), 0)
    last = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, level.label.shape)
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    kind = level.label[box].ravel()
    grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(first, last, strict=True)), indexing="ij"), axis=-1)
    world = grid.reshape(-1, 3) @ level.affine[:3, :3].T + level.affine[:3, 3]
    places = frame.to_frame(world) * [side_sign(side), 1.0, 1.0]
    near = ((places >= low) & (places <= high)).all(axis=1)
    places, kind = places[near], kind[near]
    return Cloud(
        places, kind > BACKGROUND, kind == L4.value, cKDTree(places[:, 1:], balanced_tree=False, compact_nodes=False)
    )


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
    ring = cKDTree(points)
    reach = voxel * float(np.hypot(2 * ALONG, ACROSS))
    pairs = ring.sparse_distance_matrix(centres.tree, reach, output_type="ndarray")
    point, centre = np.ascontiguousarray(pairs["i"]), np.ascontiguousarray(pairs["j"])
    # Round a corner the other wall's centres are not this wall's.
    _, nearest = ring.query(centres.places[:, 1:])
    same = (normals @ normals.T > SAME_WALL)[nearest[centre], point]
    point, centre = point[same], centre[same]
    # Column by column: much faster than a row of (A, S) at a time.
    depth, *offset = (column[centre] for column in centres.places.T)
    offset = [there - here[point] for there, here in zip(offset, points.T, strict=True)]
    normal = [column[point] for column in normals.T]
    outward = (offset[0] * normal[0] + offset[1] * normal[1]) / voxel
    tangent = (offset[0] * normal[1] - offset[1] * normal[0]) / voxel
    depth = (depth - foremost[point]) / voxel_depth
    # A row for each point; what is left of it has no weight.
    order = np.flatnonzero(np.abs(outward) < ACROSS)
    order = order[np.argsort(point[order], kind="stable")]
    point, tangent, depth = point[order], tangent[order], depth[order]
    counts = np.bincount(point, minlength=len(points))
    if counts.max(initial=0) < _FEWEST:
        return np.zeros(len(points))
    most = int(counts.max())
    place = np.arange(len(point)) + np.repeat(np.arange(len(points)) * most - (np.cumsum(counts) - counts), counts)
    weight = np.exp(-0.5 * ((tangent / ALONG) ** 2 + (depth / DEPTH) ** 2))
    terms = (np.ones_like(depth), tangent, tangent**2, depth, depth**2)
    rows = np.zeros((len(terms) + 3, len(points), most))
    for row, values in zip(rows, (*terms, outward[order], centres.bone[centre[order]], weight), strict=True):
        row.ravel()[place] = values
    face = _logistic(rows[:-3].transpose(1, 0, 2), rows[-3], rows[-2], rows[-1], RIDGE)
    return np.asarray(np.clip(face[:, 0], -FARTHEST, FARTHEST) * voxel)


def _logistic(basis: Points, outward: Points, bone: Points | Bools, weight: Points, ridge: tuple[float, ...]) -> Points:
    """Coefficients of the faces that part bone from free centres, ``(N, K)``, by Newton's method.

    Args:
        basis: ``(N, K, P)`` at each of P centres of N points.
        outward: ``(N, P)`` how far out each centre lies, voxels.
        bone: ``(N, P)`` 1 where it is bone, else 0.
        weight: ``(N, P)``.
        ridge: ``(K,)`` pull of the coefficients to zero.
    """
    basis = np.ascontiguousarray(basis)
    turned = basis.transpose(0, 2, 1)
    face = np.zeros(basis.shape[:2])
    pull = np.diag(ridge)
    for _ in range(_ROUNDS):
        score = np.clip((outward - (face[:, None] @ basis)[:, 0]) / STEP, -30, 30)
        expected = 1 / (1 + np.exp(-score))
        gradient = ((weight * (bone - expected) / STEP)[:, None] @ turned)[:, 0] + face @ pull
        curve = weight * expected * (1 - expected) / STEP**2
        hessian = (curve[:, None] * basis) @ turned + pull
        step = np.clip(np.linalg.solve(hessian, gradient[..., None])[..., 0], -0.5, 0.5)
        face = face - step
        if np.abs(step).max() < _STILL:
            break
    return face
