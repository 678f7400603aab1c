"""What surrounds the spine and lies in its canal and foramina. Only the sac has a label."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.synthesis.canvas import smooth_noise
from livf.lib.synthesis.columns.column import Surround
from livf.lib.synthesis.implicit import radial, rod
from livf.lib.synthesis.painting.deform import Block, interpolate
from livf.lib.synthesis.painting.layers import Layers
from livf.lib.synthesis.painting.scene import Placed, Scene

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: The coarse tissues are looked up on about this grid, mm.
_LOOK_UP_MM: Final = 1.6
_SMOOTH_MM: Final = 0.9
#: Reach of what is drawn around a level: to a side, behind and before its posterior wall, up and down, mm.
_LEVEL_MM: Final = (38.0, 46.0, 10.0, 26.0)
_CODES: Final = {tissue: code for code, tissue in enumerate(Surround)}
#: The cord ends in the first lumbar vertebra or a little below.
_CONUS: Final = "L1"


def paint_soft(layers: Layers, scene: Scene, rng: np.random.Generator) -> None:
    """Trunk, then canal and foramina."""
    _paint_trunk(layers, scene, rng)
    side = np.float32(rng.uniform(0.8, 1.0))
    if scene.sac is not None:
        # Epidural fat and veins around the sac.
        value = (
            layers.signal("fat") * side * np.float32(rng.uniform(0.4, 1.0)) * (1 + 0.15 * layers.fine[scene.sac.block])
        )
        layers.paint(scene.sac.block, scene.sac.distance - np.float32(rng.uniform(0.8, 2.2)), value.astype(np.float32))
    for disc in scene.discs:
        _paint_level(layers, scene, disc, rng)
    if scene.sac is not None:
        layers.paint(scene.sac.block, scene.sac.distance - np.float32(0.4), "ligament")
        layers.paint(scene.sac.block, scene.sac.distance, "csf")
        _paint_nerves(layers, scene, scene.sac, rng)
    for disc in scene.discs:
        _paint_roots(layers, scene, disc, rng)


def _canal_nodes(scene: Scene, points: Doubles) -> Doubles:
    """``(5, a, b, c)`` at nodes: offset to the right and front of the canal's centre, height, the sac's half sizes."""
    subject = scene.subject
    centre = subject.canal_at(points[2])
    half = [np.interp(points[2], subject.canal[:, 2], subject.sac_half[:, k]) for k in range(2)]
    return np.stack([points[0] - centre[0], points[1] - centre[1], points[2], *half])


def _paint_trunk(layers: Layers, scene: Scene, rng: np.random.Generator) -> None:
    window, subject = layers.window, scene.subject
    stride = max(1, round(_LOOK_UP_MM / window.spacing))
    points = window.between(scene.soft, window.whole, stride)
    shape = points.shape[1:]
    rate = window.spacing * stride
    # Ragged edges: each point looks a little beside itself.
    for axis in range(3):
        points[axis] += 0.9 * smooth_noise(shape, [rate / 5.0] * 3, rng)
    points += rng.uniform(-0.4, 0.4, points.shape).astype(np.float32)
    matrix = subject.to_surround.astype(np.float32)
    size = subject.surround.shape
    index = [
        np.clip(np.rint(sum(matrix[a, b] * points[b] for b in range(3)) + matrix[a, 3]), 0, size[a] - 1).astype(np.intp)
        for a in range(3)
    ]
    code = subject.surround[index[0], index[1], index[2]]
    value = _tones(layers, rng)[code]
    lumps = smooth_noise(shape, [rate / 22.0] * 3, rng) + 0.4 * smooth_noise(shape, [rate / 7.0] * 3, rng)
    value *= 1 + np.float32(0.1) * lumps
    bowel = code == _CODES[Surround.BOWEL]
    content = layers.signal("stool") + np.clip(0.5 + lumps[bowel], 0, 1) * (
        layers.signal("bowel") - layers.signal("stool")
    )
    value[bowel] = content
    front = _front(scene, window.between(_canal_nodes(scene, scene.soft)[1:2], window.whole, stride)[0])
    value = _flattened(value, front, layers.look.contrast_of_abdomen)
    value *= 1 + front * np.float32(layers.look.front_gain - 1)
    muscle = (code == _CODES[Surround.MUSCLE]).astype(np.float32)
    for axis in range(3):
        # Borders of tissues are smooth at this scale: only the look-up has steps.
        value = ndimage.gaussian_filter1d(value, _SMOOTH_MM / rate, axis=axis, truncate=2.0)
        muscle = ndimage.gaussian_filter1d(muscle, _SMOOTH_MM / rate, axis=axis, truncate=2.0)
    places = [np.arange(n, dtype=np.float32) / stride for n in window.shape]
    if stride > 1:
        value, muscle = interpolate(np.stack([value, muscle]), places)
    streak = layers.noise(2.0, rng, (1, 1, 6)) + np.float32(0.6) * layers.noise(6.0, rng, (1, 1, 3))
    fat = np.float32(layers.look.streaks)
    grain = np.clip((streak - 1.6 + 1.8 * fat) * 0.5, 0, 1) * (0.3 + 0.5 * fat) * muscle
    value = value + grain * (layers.signal("fat") * np.float32(0.85) - value)
    layers.image[...] = value * (1 + np.float32(0.04) * layers.fine)


def _tones(layers: Layers, rng: np.random.Generator) -> Floats:
    """Signal by code of the surroundings."""
    tones = {
        Surround.AIR: np.float32(0.0),
        Surround.SKIN: layers.signal("skin"),
        Surround.FAT: layers.signal("fat") * np.float32(rng.uniform(0.8, 1.0)),
        Surround.MUSCLE: layers.signal("muscle"),
        Surround.BOWEL: layers.signal("bowel"),
        Surround.GAS: np.float32(0.02),
        Surround.VESSEL: layers.signal("vessel") * np.float32(rng.uniform(0.5, 1.5)),
        Surround.ORGAN: layers.signal("organ"),
        Surround.BONE: layers.signal("marrow"),
    }
    return np.array([tones[tissue] for tissue in Surround], dtype=np.float32)


def _front(scene: Scene, ahead: Floats) -> Floats:
    """0 at the spine, 1 in the abdomen."""
    depth = float(np.median([v.half[1] for v in scene.subject.vertebrae]))
    return np.asarray(np.clip((ahead - 2 * depth - 14) / 12, 0, 1), dtype=np.float32)


def _flattened(value: Floats, front: Floats, contrast: float) -> Floats:
    """Breathing mixes what lies in front."""
    inside = front > 0
    if not inside.any():
        return value
    mean = np.float32(value[inside].mean())
    return np.asarray(value + front * np.float32(1 - contrast) * (mean - value), dtype=np.float32)


def _level(scene: Scene, disc: Placed) -> tuple[Block, Floats, float] | None:
    """The block around a level, (left, before the posterior wall, up) mm there, and the canal's half width."""
    frame, window = disc.structure.frame, scene.window
    local = np.tensordot(frame.axes, scene.soft - frame.origin[:, None, None, None], axes=1)
    centre = frame.axes @ (
        np.array([*(float(c) for c in scene.subject.canal_at(frame.origin[2])), frame.origin[2]]) - frame.origin
    )
    local[0] -= centre[0]
    local[1] += disc.structure.half[1]
    side, behind, before, up = _LEVEL_MM
    near = (np.abs(local[0]) < side) & (local[1] > -behind) & (local[1] < before) & (np.abs(local[2]) < up)
    if not near.any():
        return None
    slices = []
    for axis, count in enumerate(window.shape):
        found = np.flatnonzero(near.any(axis=tuple(a for a in range(3) if a != axis)))
        slices.append(slice(int(found[0]) * window.every, min(int(found[-1]) * window.every + 1, count)))
    block = (slices[0], slices[1], slices[2])
    half = float(np.interp(frame.origin[2], scene.subject.canal[:, 2], scene.subject.sac_half[:, 0]))
    return (block, window.between(local, block), max(half, 6.0) + 3.0) if all(s.stop > s.start for s in block) else None


def _paint_level(layers: Layers, scene: Scene, disc: Placed, rng: np.random.Generator) -> None:
    """Interspinous band, ligamentum flavum, foraminal and dorsal fat."""
    found = _level(scene, disc)
    if found is None:
        return
    block, (left, ahead, up), half = found
    fat = layers.signal("fat") * np.float32(rng.uniform(0.8, 1.0)) * (1 + np.float32(0.08) * layers.fine[block])
    scale = np.float32(scene.scale)
    band = np.clip(0.4 + 0.25 * layers.fine[block] + 0.25 * layers.coarse[block], 0.0, 1)
    stroma = layers.signal("ligament") + band * (fat - layers.signal("ligament"))
    layers.paint(block, scale * radial((left, ahead + 34, up + 4), (4.0, 17.0, 18.0)), stroma)
    deep = 2 * half * float(rng.uniform(0.62, 0.8))
    layers.paint(block, scale * radial((left, ahead + deep, up + 3), (half * 1.1, 4.5, 13.0)), "ligament")
    layers.paint(
        block,
        scale * radial((left, ahead + deep - 1.5, up + 2), (half * 0.55, float(rng.uniform(2.0, 4.5)), 10.0)),
        fat,
    )
    for side in (1, -1):
        centre = (left - side * (half + 6), ahead + 6, up - 6)
        layers.paint(block, scale * radial(centre, (14.0, float(rng.uniform(6.5, 9.0)), 13.5)), fat)


def _paint_roots(layers: Layers, scene: Scene, disc: Placed, rng: np.random.Generator) -> None:
    """The root that leaves under the upper pedicle on each side, its ganglion, and a vein below it."""
    found = _level(scene, disc)
    if found is None:
        return
    block, (left, ahead, up), half = found
    scale = np.float32(scene.scale)
    for side in (1, -1):
        ganglion = np.array([side * (half + 5.0), -6 + rng.normal(0, 0.8), 9.5 + rng.normal(0, 1)])
        entry, away = np.array([side * (half - 2), -7.0, 17.0]), np.array([side * (half + 20), 3.0, -5.0])
        size = float(rng.uniform(0.8, 1.15))
        for start, end, first, last in ((entry, ganglion, 1.4, 2.1), (ganglion, away, 2.8, 1.8)):
            part = rod(start, end, (first * size, first * size), (last * size, last * size))
            layers.paint(block, scale * np.asarray(part.function(left, ahead, up), dtype=np.float32), "nerve")
        inwards, outwards = np.array([-side * 5.0, 1.0, -7.0]), np.array([side * 6.0, 1.0, -8.0])
        vein = rod(ganglion + inwards, ganglion + outwards, (1.0, 1.0))
        layers.paint(block, scale * np.asarray(vein.function(left, ahead, up), dtype=np.float32), "vessel")


def _paint_nerves(layers: Layers, scene: Scene, sac: Placed, rng: np.random.Generator) -> None:
    """Cord, conus and the rootlets, which lie behind and wander to the sides on their way down."""
    right, ahead, height, width, depth = layers.window.between(_canal_nodes(scene, scene.soft), sac.block)
    u, v = right / np.maximum(width, 2), ahead / np.maximum(depth, 2)
    inside = sac.distance < -0.3
    if not inside.any():
        return
    u, v, height = u[inside], v[inside], height[inside]
    right, ahead = right[inside], ahead[inside]
    middle = np.float32(scene.discs[-1].structure.frame.origin[2] if scene.discs else height.mean())
    along = (height - middle) / 50
    target = layers.image[sac.block]
    share = np.zeros(u.shape, dtype=np.float32)
    spread = rng.uniform(0.85, 1.0)
    for _ in range(layers.look.roots):
        at_u = rng.uniform(-0.8, 0.8) * spread + rng.normal(0, 0.1) * along
        at_v = rng.uniform(-0.85, 0.2) * spread - rng.normal(0.05, 0.08) * along
        hold = np.minimum(0.86 / np.maximum(np.sqrt(at_u**2 + at_v**2), 1e-3), 1)
        square = ((u - at_u * hold) * 9) ** 2 + ((v - at_v * hold) * 7) ** 2
        np.maximum(share, np.exp(-square / np.float32(rng.uniform(0.5, 1.2))), out=share)
    tone = layers.signal("nerve")
    value = target[inside]
    value += share * np.float32(rng.uniform(0.5, 0.9)) * (tone - value)
    conus = [b for b in scene.subject.vertebrae if b.name == _CONUS]
    if conus:
        end = conus[0].frame.origin[2] + rng.normal(-10, 12)
        taper = np.clip((height - np.float32(end)) / 25, 0, 1)
        cord = radial((right, ahead + 0.5), (np.maximum(5.2 * taper, 0.2), np.maximum(3.8 * taper, 0.2)))
        value += layers.cover(np.asarray(cord, dtype=np.float32)) * (taper > 0) * (layers.signal("cord") - value)
    target[inside] = value
