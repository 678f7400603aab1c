"""Where every structure lies on the painted grid: signed distances, posed, deformed and kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.synthesis.columns.column import REACH_MM, Kind
from livf.lib.synthesis.painting.deform import Block, Warp, Window
from livf.lib.synthesis.painting.pose import Joint, Posture
from livf.lib.synthesis.painting.subject import Structure, Subject

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: Distances are evaluated as far as this from a structure, mm.
_MARGIN_MM: Final = 4.5
#: Bones keep at least this from one another, mm.
_GAP_MM: Final = 0.2
#: Least tissue between the sac and what presses on it, mm.
_SAC_CLEAR_MM: Final = 0.5
_HERNIA_WIDTH_MM: Final = 6.0
_RIM_MM: Final = 3.0


@dataclass(eq=False)
class Placed:
    """A structure on its block of the window.

    Attributes:
        structure: What it is.
        block: Where it lies in the window.
        distance: Signed distance there, mm of the image.
        joint: For a disc, what was asked of it.
        lattice: ``(3, a, b, c)`` grid mm of the column at the window's nodes, as this structure moves.
    """

    structure: Structure
    block: Block
    distance: Floats
    lattice: Doubles
    joint: Joint | None = None

    def local(self, window: Window, block: Block | None = None) -> Floats:
        """``(3, ...)`` mm along the left, anterior and superior axis of the structure's frame, on its block."""
        frame = self.structure.frame
        local = np.tensordot(frame.axes, self.lattice - frame.origin[:, None, None, None], axes=1)
        return window.between(local, self.block if block is None else block)


@dataclass(eq=False)
class Scene:
    """Everything that has a shape.

    Attributes:
        window: The grid.
        subject: Whose column it is.
        posed: ``(3, a, b, c)`` posed grid mm at the nodes.
        soft: ``(3, a, b, c)`` column grid mm at the nodes, as soft tissue moves.
        bones: Vertebrae and the sacrum that the window meets, from the top down.
        discs: Discs that the window meets, from the top down.
        remnant: What is left of the first sacral disc.
        hips: Hip bones.
        sac: Thecal sac.
        scale: mm of the image for each mm of the column.
    """

    window: Window
    subject: Subject
    posed: Doubles
    soft: Doubles
    bones: list[Placed]
    discs: list[Placed]
    remnant: Placed | None
    hips: list[Placed]
    sac: Placed | None
    scale: float

    def on(self, placed: Placed, block: Block) -> Floats:
        """A structure's distance on any block of the window; where it was not evaluated, as far as distances go."""
        values = np.full([s.stop - s.start for s in block], REACH_MM, dtype=np.float32)
        common = meet(placed.block, block)
        if common is not None:
            values[within(common, block)] = placed.distance[within(common, placed.block)]
        return values


def meet(one: Block, two: Block) -> Block | None:
    """The common part of two blocks."""
    x, y, z = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, two, strict=True))
    return (x, y, z) if all(s.stop > s.start for s in (x, y, z)) else None


def within(inner: Block, outer: Block) -> Block:
    """A block in the coordinates of another that holds it."""
    x, y, z = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))
    return x, y, z


def build_scene(
    subject: Subject,
    pose: Posture,
    joints: tuple[Joint, ...],
    warp: Warp,
    window: Window,
    posed: Doubles,
    rng: np.random.Generator,
) -> Scene:
    """Evaluate every structure that the window meets.

    Args:
        subject: The person.
        pose: Of the bones.
        joints: Discs, counted from the lowest.
        warp: For its scale.
        window: The grid.
        posed: From :meth:`Warp.at_nodes`.
        rng: Source of the discs' uneven edges.
    """
    lattices = {bone.name: pose.back(bone.name, posed) for bone in subject.bones}
    soft = pose.soft_back(posed)
    bones = [p for b in subject.bones if (p := _place(b, lattices[b.name], window, warp.scale)) is not None]
    anchor = lattices[subject.bones[-1].name]
    hips = [p for h in subject.hips if (p := _place(h, anchor, window, warp.scale)) is not None]
    remnant = _place(subject.remnant, anchor, window, warp.scale) if subject.remnant is not None else None
    sac = _place(subject.sac, soft, window, warp.scale)
    scene = Scene(window, subject, posed, soft, bones, [], remnant, hips, sac, warp.scale)
    names = [b.name for b in subject.bones]
    for place, disc in enumerate(subject.discs):
        if disc is None:
            continue
        joint = joints[(len(subject.discs) - 1 - place) % len(joints)]
        if subject.sacrum is None:
            joint = joints[(len(subject.discs) - 2 - place) % len(joints)]
        below = names[place + 1] if place + 1 < len(names) else names[place]
        placed = _place_disc(scene, disc, joint, (lattices[names[place]], lattices[below]), (names[place], below), rng)
        if placed is not None:
            scene.discs.append(placed)
    _grow_bones(scene, rng)
    _keep_apart(scene)
    return scene


def _place(structure: Structure, lattice: Doubles, window: Window, scale: float) -> Placed | None:
    block = _block(structure, lattice, window)
    if block is None:
        return None
    index = window.between((lattice - structure.low[:, None, None, None]) / structure.spacing, block)
    return Placed(structure, block, _sample(structure.values, index) * np.float32(scale), lattice)


def _sample(values: Floats, index: Floats) -> Floats:
    """Trilinear; outside the box the distance is at least its reach."""
    result = ndimage.map_coordinates(values, index, order=1, mode="constant", cval=REACH_MM, output=np.float32)
    return np.asarray(result, dtype=np.float32)


def _block(structure: Structure, lattice: Doubles, window: Window) -> Block | None:
    """Voxels of the window around the structure's box, less the far part of its margin."""
    low = structure.tight[0] - _MARGIN_MM
    high = structure.tight[1] + _MARGIN_MM
    inside = np.ones(lattice.shape[1:], dtype=bool)
    for axis in range(3):
        inside &= (lattice[axis] >= low[axis]) & (lattice[axis] <= high[axis])
    if not inside.any():
        return None
    slices = []
    for axis, count in enumerate(window.shape):
        found = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        start = max(int(found[0]) - 1, 0) * window.every
        slices.append(slice(start, min((int(found[-1]) + 1) * window.every + 1, count)))
    block = (slices[0], slices[1], slices[2])
    return block if all(s.stop > s.start for s in block) else None


def _place_disc(
    scene: Scene,
    disc: Structure,
    joint: Joint,
    lattices: tuple[Doubles, Doubles],
    names: tuple[str, str],
    rng: np.random.Generator,
) -> Placed | None:
    """A disc moves with the end plate that is nearer: at each it follows that bone, in the middle both halves."""
    window = scene.window
    middle = (lattices[0] + lattices[1]) / 2
    block = _block(disc, middle, window)
    if block is None:
        return None
    near = {bone.structure.name: scene.on(bone, block) for bone in scene.bones}
    far = np.full([s.stop - s.start for s in block], REACH_MM, dtype=np.float32)
    above, below = (np.maximum(near.get(name, far), 0.05) for name in names)
    upper, lower = (window.between(lattice, block) for lattice in lattices)
    share = above / (above + below)
    points = upper + share * (lower - upper)
    offset = (points - disc.low.astype(np.float32).reshape(3, 1, 1, 1)) / np.float32(disc.spacing)
    distance = _sample(disc.values, offset) * np.float32(scene.scale)
    placed = Placed(disc, block, distance, middle, joint)
    left, anterior, superior = placed.local(window)
    width, depth, half = (np.float32(v) for v in disc.half)
    uneven = 0.4 * np.sin(np.arctan2(anterior, left) * 2 + np.float32(rng.uniform(0, 6.3)))
    # The edge moves; between the end plates the bones bound it.
    distance -= np.float32(joint.bulge_mm) + uneven.astype(np.float32)
    if joint.hernia_mm > 0:
        side = np.float32(-joint.hernia_place) * width
        bump = np.exp(-(((left - side) / np.float32(_HERNIA_WIDTH_MM)) ** 2) - (superior / (half + 2)) ** 2)
        distance -= np.float32(joint.hernia_mm) * bump * (anterior < -0.3 * depth)
    return placed


def _grow_bones(scene: Scene, rng: np.random.Generator) -> None:
    """Osteophytes on the rims and nodes in the end plates."""
    for disc in scene.discs:
        joint = disc.joint
        if joint is None or (joint.osteophyte_mm <= 0 and joint.schmorl_mm <= 0):
            continue
        local = disc.local(scene.window)
        left, anterior, superior = local
        width, depth, half = (np.float32(v) for v in disc.structure.half)
        for bone in scene.bones:
            common = meet(bone.block, disc.block)
            if common is None or bone.structure.kind is not Kind.VERTEBRA:
                continue
            at, of = within(common, bone.block), within(common, disc.block)
            if joint.osteophyte_mm > 0:
                angle = np.arctan2(anterior[of] / depth, left[of] / width)
                lobes = np.clip(np.cos(angle * 3 + np.float32(joint.worn * 20)), 0, 1)
                rim = np.exp(-((disc.distance[of] / np.float32(_RIM_MM)) ** 2)) * (anterior[of] > -0.5 * depth)
                bone.distance[at] -= np.float32(joint.osteophyte_mm) * lobes * rim
        if joint.schmorl_mm > 0:
            radius = np.float32(joint.schmorl_mm)
            side = np.float32(rng.choice((-1.0, 1.0)))
            u, v = (np.float32(rng.uniform(-0.4, 0.4) * s) for s in (width, depth))
            ball = np.sqrt((left - u) ** 2 + (anterior - v) ** 2 + (superior - side * half) ** 2) - radius
            for bone in scene.bones:
                common = meet(bone.block, disc.block)
                if common is not None:
                    at, of = within(common, bone.block), within(common, disc.block)
                    np.maximum(bone.distance[at], -ball[of], out=bone.distance[at])
            np.minimum(disc.distance, ball, out=disc.distance)


def _keep_apart(scene: Scene) -> None:
    """Where two bones would overlap the nearer keeps the place; discs yield to bones, the sac to both."""
    for upper, lower in pairwise(scene.bones):
        common = meet(upper.block, lower.block)
        if common is None:
            continue
        one, two = upper.distance[within(common, upper.block)], lower.distance[within(common, lower.block)]
        middle = (one - two) / 2
        np.maximum(one, middle + np.float32(_GAP_MM / 2), out=one)
        np.maximum(two, np.float32(_GAP_MM / 2) - middle, out=two)
    for disc in scene.discs:
        _yield(disc, scene.bones, 0.0)
    if scene.sac is not None:
        _yield(scene.sac, [*scene.bones, *scene.discs], _SAC_CLEAR_MM)


def _yield(placed: Placed, to: list[Placed], gap: float) -> None:
    for other in to:
        common = meet(placed.block, other.block)
        if common is not None:
            mine = placed.distance[within(common, placed.block)]
            np.maximum(mine, np.float32(gap) - other.distance[within(common, other.block)], out=mine)
