"""One training image with its labels, and the two kinds of example that are cut from it.

The labels' boundary is the outside of the bone, **with** its dark cortex (signed distance below 0): what a CT mask
holds, and on T2 the outer edge of the black line. A label that follows the marrow is smaller by the cortex all round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import ANY_ARCH, ANY_BODY, ANY_DISC, BACKGROUND, CANAL, SACRUM, TRAINED
from livf.lib.synthesis.columns.column import Kind
from livf.lib.synthesis.painting.acquisition import GREY, WHITE, acquire
from livf.lib.synthesis.painting.bones import paint_spine
from livf.lib.synthesis.painting.deform import Warp
from livf.lib.synthesis.painting.layers import Layers
from livf.lib.synthesis.painting.plan import Plan
from livf.lib.synthesis.painting.pose import Posture, posture
from livf.lib.synthesis.painting.scene import Placed, Scene, build_scene
from livf.lib.synthesis.painting.soft import paint_soft
from livf.lib.synthesis.painting.subject import Subject
from livf.lib.values import Volume

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

#: The field of view ends this far above the middle of the topmost vertebra, mm: the next one is not in the column.
_ABOVE_TOP_MM: Final = 4.0
#: And this far above the lower end of a sacrum that the source does not show to its tip, mm.
_ABOVE_END_MM: Final = 15.0
#: Canal points nearer to the column's ends than this are not looked at, as a share of its length.
_ENDS: Final = 0.06


@dataclass(frozen=True, eq=False)
class Sample:
    """A painted image and what it shows.

    Attributes:
        image: int16 on the window's isotropic grid, 0 outside the field of view; mm from the window's middle.
        native: int16 as the scanner stored it, on its own grid (thick slices); the whole window.
        kinds: uint8, values of :data:`livf.lib.anatomy.KINDS`, on the grid of ``image``.
        instances: uint8, which vertebra or disc: 1 + the place in ``names``.
        names: Vertebrae, discs and the sacrum ("L4", "L4-L5", "sacrum") from the top down.
        centred: Upper vertebra, disc and lower vertebra the window is centred on; None for a localiser's window.
    """

    image: Volume
    native: Volume
    kinds: Bytes
    instances: Bytes
    names: tuple[str, ...]
    centred: tuple[str, str, str] | None

    def localiser_example(self) -> tuple[npt.NDArray[np.int16], Bytes]:
        """Image and kinds of tissue, RAS order."""
        return np.asarray(self.image.array, dtype=np.int16), self.kinds

    def pair_example(self) -> tuple[npt.NDArray[np.int16], Bytes]:
        """Image and upper vertebra, disc, lower vertebra as the anatomy table numbers them; neighbours are background.

        Raises:
            ValueError: The window is not centred on a disc.
        """
        if self.centred is None:
            raise ValueError("the sample is not centred on a disc between two whole vertebrae")
        table = np.full(256, BACKGROUND, dtype=np.uint8)
        for name, structure in zip(self.centred, TRAINED, strict=True):
            if name in self.names:
                table[1 + self.names.index(name)] = structure.value
        return np.asarray(self.image.array, dtype=np.int16), table[self.instances]


def paint(subject: Subject, plan: Plan, rng: np.random.Generator) -> Sample:
    """Paint one image.

    Args:
        subject: Whose column it is.
        plan: Everything that is chosen beforehand.
        rng: Source of bends, textures and noise.

    Raises:
        ValueError: The plan is centred on a disc, and the subject has none that can be taught.
    """
    if plan.pair and not subject.pairs:
        raise ValueError(f"{subject.name} has no disc between two whole vertebrae")
    window = plan.window
    pose = posture(subject, plan.joints)
    upwards = subject.pairs[::-1]
    centred = upwards[min(int(plan.height * len(upwards)), len(upwards) - 1)] if plan.pair else None
    focus = _focus(subject, pose, plan, centred)
    offset = np.asarray(plan.offset_mm)
    for_bend, for_shape, for_tissue, for_scan = rng.spawn(4)
    posed = plan.warp.at_nodes(window, focus, offset, for_bend)
    scene = build_scene(subject, pose, plan.joints, plan.warp, window, posed, for_shape)
    layers = Layers(window, plan.look, for_tissue)
    paint_soft(layers, scene, for_tissue)
    paint_spine(layers, scene, for_tissue)
    scan = acquire(layers.image, window.spacing, plan.scan, _coil_depth(scene), for_scan)
    kinds, instances, names = _labels(scene)
    inside = _field(scene, plan, pose, focus, offset)
    image = _grey(scan.fine)
    for array in (image, kinds, instances):
        array[~inside] = 0
    affine = window.affine()
    native = affine.copy()
    native[:3, :3] = affine[:3, :3] @ np.diag(scan.step)
    native[:3, 3] = affine[:3, 3] + window.spacing * np.asarray(scan.start)
    source = f"{subject.name}, painted"
    return Sample(
        Volume(image, affine, source), Volume(_grey(scan.native), native, source), kinds, instances, names, centred
    )


def _focus(subject: Subject, pose: Posture, plan: Plan, centred: tuple[str, str, str] | None) -> Doubles:
    """The posed point that the window is centred on."""
    if centred is not None:
        disc = next(d for d in subject.discs if d is not None and d.name == centred[1])
        column = disc.frame.origin
    else:
        heights = [b.frame.origin[2] for b in subject.bones]
        low, high = min(heights), max(heights)
        height = low + (high - low) * (_ENDS + (1 - 2 * _ENDS) * plan.height)
        column = np.array([*(float(c) for c in subject.canal_at(height)), height])
    near = min(subject.bones, key=lambda b: abs(b.frame.origin[2] - column[2]))
    return np.asarray((pose.moves[near.name] @ np.append(column, 1.0))[:3])


def _coil_depth(scene: Scene) -> Floats:
    """How far in front of the back's skin each plane of the window lies, mm, about."""
    ahead = scene.window.nodes()[1, 0, :, 0]
    reference = float((scene.posed[1].mean(axis=(0, 2)) - np.median(scene.subject.canal[:, 1])).mean())
    depth = ahead + reference * scene.scale + 65.0
    count = scene.window.shape[1]
    places = np.arange(count) / scene.window.every
    return np.asarray(np.interp(places, np.arange(len(depth)), depth), dtype=np.float32)[None, :, None]


def _grey(signal: Floats) -> npt.NDArray[np.int16]:
    """int16 that is 0 only outside the field of view."""
    return np.asarray(np.clip(np.rint(signal * np.float32(GREY)), 1, WHITE), dtype=np.int16)


def _field(scene: Scene, plan: Plan, pose: Posture, focus: Doubles, offset: Doubles) -> npt.NDArray[np.bool_]:
    """Voxels that the field of view holds: the plan's, and no further than the column goes."""
    low, high = np.asarray(plan.field_low_mm), np.asarray(plan.field_high_mm)
    subject = scene.subject
    if not plan.empty:
        top = subject.vertebrae[0]
        high[2] = min(
            high[2],
            _height_of(top.frame.origin, pose.moves[top.name], plan.warp, focus, offset)
            + _ABOVE_TOP_MM * plan.warp.scale,
        )
        if subject.sacrum is None:
            last = subject.vertebrae[-1]
            low[2] = max(low[2], _height_of(last.frame.origin, pose.moves[last.name], plan.warp, focus, offset))
        elif not subject.sacrum.whole:
            end = subject.sacrum.frame.origin.copy()
            end[2] = subject.sacrum.tight[0][2] + _ABOVE_END_MM
            low[2] = max(low[2], _height_of(end, pose.moves[subject.sacrum.name], plan.warp, focus, offset))
    affine = scene.window.affine()
    inside = np.ones(scene.window.shape, dtype=bool)
    for axis, count in enumerate(scene.window.shape):
        place = affine[axis, axis] * np.arange(count) + affine[axis, 3]
        keep = (place >= low[axis]) & (place <= high[axis])
        inside &= keep.reshape([-1 if a == axis else 1 for a in range(3)])
    return inside


def _height_of(point: Doubles, move: Doubles, warp: Warp, focus: Doubles, offset: Doubles) -> float:
    """Height in the window of a bone's point, mm, but for the bend."""
    posed = (move @ np.append(point, 1.0))[:3]
    return float((np.linalg.solve(warp.matrix(), posed - focus) + offset)[2])


def _labels(scene: Scene) -> tuple[Bytes, Bytes, tuple[str, ...]]:
    """Kinds, instances, and the names of the latter from the top down."""
    shape = scene.window.shape
    kinds, instances = np.full(shape, BACKGROUND, dtype=np.uint8), np.zeros(shape, dtype=np.uint8)
    if scene.sac is not None:
        kinds[scene.sac.block][scene.sac.distance < 0] = CANAL.value
    placed = sorted([*scene.bones, *scene.discs], key=lambda p: -p.structure.frame.origin[2])
    names = tuple(p.structure.name for p in placed)
    for number, part in enumerate(placed, start=1):
        inside = part.distance < 0
        instances[part.block][inside] = number
        kinds[part.block][inside] = _kind(part, scene, inside)
    return kinds, instances, names


def _kind(part: Placed, scene: Scene, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8] | int:
    structure = part.structure
    if structure.kind is Kind.DISC:
        return ANY_DISC.value
    if structure.kind is Kind.SACRUM or structure.body is None:
        return SACRUM.value
    index = scene.window.between((part.lattice - structure.low[:, None, None, None]) / structure.spacing, part.block)[
        :, inside
    ]
    nearest = np.clip(np.rint(index), 0, np.asarray(structure.body.shape)[:, None] - 1).astype(np.intp)
    return np.where(structure.body[nearest[0], nearest[1], nearest[2]], ANY_BODY.value, ANY_ARCH.value).astype(np.uint8)
