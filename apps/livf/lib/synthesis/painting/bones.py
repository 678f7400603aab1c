"""Discs, facet joints and bones over the soft tissue."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.synthesis.columns.column import Kind
from livf.lib.synthesis.painting.layers import Layers
from livf.lib.synthesis.painting.scene import Placed, Scene, meet, within

Floats = npt.NDArray[np.float32]

#: Half height of the basivertebral vein's fan, and its depth into the body as a share of the half depth.
_VEIN_MM: Final = 1.4
_VEIN_DEPTH: Final = 1.1
#: Least shell that chemical shift leaves, mm.
_THINNEST_MM: Final = 0.15


def paint_spine(layers: Layers, scene: Scene, rng: np.random.Generator) -> None:
    """Discs, then joints, then bones."""
    for disc in scene.discs:
        _paint_disc(layers, disc, rng)
    _paint_joints(layers, scene)
    for hip in scene.hips:
        _paint_bone(layers, hip, 1.0, rng)
    common = float(rng.normal(1, 0.05))
    for bone in scene.bones:
        _paint_bone(layers, bone, common * float(rng.normal(1, 0.04)), rng)
    if scene.remnant is not None:
        worn = layers.signal("annulus") + np.float32(rng.uniform(0, 0.5)) * (
            layers.signal("nucleus") - layers.signal("annulus")
        )
        layers.paint(scene.remnant.block, scene.remnant.distance - np.float32(0.8), "cortex")
        layers.paint(scene.remnant.block, scene.remnant.distance + np.float32(rng.uniform(-0.4, 0.8)), worn)


def _paint_disc(layers: Layers, disc: Placed, rng: np.random.Generator) -> None:
    joint = disc.joint
    assert joint is not None
    inside = disc.distance < layers.window.spacing / 2
    if not inside.any():
        return
    left, anterior, superior = (a[inside] for a in disc.local(layers.window))
    width, depth, half = (float(v) for v in disc.structure.half)
    coarse, fine = layers.coarse[disc.block][inside], layers.fine[disc.block][inside]
    worn = np.float32(joint.worn)
    size = width * rng.uniform(0.6, 0.75), depth * rng.uniform(0.55, 0.7), half * rng.uniform(0.75, 1.0)
    # The nucleus lies a little behind the middle.
    centre = np.sqrt((left / size[0]) ** 2 + ((anterior + 0.06 * depth) / size[1]) ** 2 + (superior / size[2]) ** 2)
    bright = layers.signal("nucleus") * (1 - worn) ** 1.3 + layers.signal("worn nucleus") * (1 - (1 - worn) ** 1.3)
    cleft = 1 - np.float32(rng.uniform(0, 0.45)) * np.exp(-((superior / 1.0) ** 2)) * (centre < 0.9)
    share = 1 / (1 + np.exp((centre + 0.12 * coarse - 1.0) * np.float32(rng.uniform(5, 10))))
    annulus = layers.signal("annulus") * (1 + 0.12 * coarse + 0.05 * fine)
    # Its outer fibres are as dark as ligament.
    annulus = annulus + (layers.signal("ligament") - annulus) * np.clip(1 + disc.distance[inside] / 2.2, 0, 1)
    value = np.zeros(disc.distance.shape, dtype=np.float32)
    value[inside] = annulus + share * (bright * cleft * (1 + 0.05 * coarse + 0.04 * fine) - annulus)
    layers.paint(disc.block, disc.distance, value)


def _paint_joints(layers: Layers, scene: Scene) -> None:
    """Cartilage and fluid between two processes that nearly touch."""
    reach = np.float32(layers.look.joint_fluid)
    for upper, lower in pairwise(scene.bones):
        common = meet(upper.block, lower.block)
        if common is None or reach <= 0:
            continue
        one, two = upper.distance[within(common, upper.block)], lower.distance[within(common, lower.block)]
        layers.paint(common, np.maximum(one, two) - reach - np.float32(1.2), "ligament")
        layers.paint(common, np.maximum(one, two) - reach, "joint")


def _paint_bone(layers: Layers, bone: Placed, gain: float, rng: np.random.Generator) -> None:
    look, step = layers.look, layers.window.spacing
    distance = bone.distance
    layers.paint(bone.block, distance, "cortex")
    inside = distance < step / 2
    if not inside.any():
        return
    vertebra = bone.structure.kind is Kind.VERTEBRA
    local = bone.local(layers.window)[:, inside]
    left, anterior, superior = local
    width, depth, half = (np.float32(v) for v in bone.structure.half)
    coarse, fine = layers.coarse[bone.block][inside], layers.fine[bone.block][inside]
    tone = layers.signal("marrow") * np.float32(gain)
    marrow = tone * (1 + np.float32(look.patches) * coarse + np.float32(look.grain) * fine)
    shell = np.full(marrow.shape, look.cortex_mm, dtype=np.float32)
    if vertebra:
        arch = np.clip((-anterior / depth - 1.0) * 6, 0, 1)
        shell += arch * np.float32(look.arch_cortex_mm - look.cortex_mm)
        marrow *= 1 + np.float32(look.arch_gain - 1) * arch
        plates = np.clip((np.abs(superior) / half - 0.55) * 4, 0, 1) * (1 - arch) * np.clip(0.5 + coarse, 0, 1)
        marrow *= 1 + np.float32(look.end_plate_gain - 1) * plates
        # The vein enters in the middle of the posterior wall and fans out.
        into = np.clip((anterior / depth + 1) / np.float32(_VEIN_DEPTH), 0, 2)
        fan = np.exp(
            -((superior / np.float32(_VEIN_MM)) ** 2) - into**2 * 3 - (left / (width * (0.15 + 0.4 * into))) ** 2
        )
        marrow *= 1 + np.float32(look.vein_gain - 1) * fan * (1 - arch)
    shell *= 1 + np.float32(0.2) * coarse
    shifted = _shifted(distance, look.shift_mm, step)[inside]
    core = np.maximum(shifted + np.maximum(shell, 0.2), distance[inside] + np.float32(_THINNEST_MM))
    target = layers.image[bone.block]
    share = layers.cover(core)
    target[inside] += share * (marrow - target[inside])


def _shifted(distance: Floats, shift_mm: tuple[float, float], step: float) -> Floats:
    """The distance as it is where the marrow's fat is seen: moved along the superior and the anterior axis."""
    for axis, shift in ((2, shift_mm[0]), (1, shift_mm[1])):
        if shift:
            whole = int(np.floor(shift / step))
            part = np.float32(shift / step - whole)
            one, two = np.roll(distance, whole, axis), np.roll(distance, whole + 1, axis)
            distance = one + part * (two - one)
    return distance
