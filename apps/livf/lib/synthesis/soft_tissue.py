"""What surrounds the spine: trunk wall, muscles, vessels, bowel; and what lies in its canal and foramina.

None of it has a label: it only has to look right, and to leave the bones as hard to see as they are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.synthesis.canvas import Canvas
from livf.lib.synthesis.implicit import FAR, Floats, Pose, radial
from livf.lib.synthesis.morphometry import L3, SACRUM, Anatomy
from livf.lib.synthesis.spine import COLUMN, Spine


class Curve:
    """Where the posterior wall of the column lies at each height: coordinates that follow the spine."""

    def __init__(self, spine: Spine, z: Floats) -> None:
        names = [L3, L4.name, L5.name, SACRUM]
        sizes = spine.anatomy.vertebrae
        points, widths, depths, bodies = [], [], [], []
        for name in names:
            for height in (0.45, -0.45):
                points.append(spine.poses[name].to_world((0, 0, height * sizes[name].posterior_height)))
                widths.append(sizes[name].canal_width)
                depths.append(sizes[name].canal_depth)
                bodies.append(sizes[name].depth)
        order = np.argsort([p[2] for p in points])
        path = np.asarray(points)[order]
        # The sacral canal goes on backwards; above L3 the column is about straight.
        heights = np.concatenate(([path[0, 2] - 60], path[:, 2], [path[-1, 2] + 60]))

        def along(values: npt.ArrayLike) -> Floats:
            line = np.interp(z, heights, np.asarray(values))
            smoothed = ndimage.gaussian_filter1d(line, 4 / float(z[1] - z[0]), mode="nearest")
            return np.asarray(smoothed, dtype=np.float32)[None, None, :]

        slope = (path[1] - path[0]) / max(path[1, 2] - path[0, 2], 1)
        self.x = along([path[0, 0] - 60 * slope[0], *path[:, 0], path[-1, 0]])
        self.y = along([path[0, 1] - 60 * min(slope[1], 1.2), *path[:, 1], path[-1, 1] - 4])
        self.canal_width = along(np.asarray(widths)[order][[0, *range(len(order)), -1]])
        self.canal_depth = along(np.asarray(depths)[order][[0, *range(len(order)), -1]])
        self.depth = along(np.asarray(bodies)[order][[0, *range(len(order)), -1]])


def _ellipse(x: Floats, y: Floats, radius_x: Floats | float, radius_y: Floats | float) -> Floats:
    return radial((x, y), (radius_x, radius_y))


def paint_trunk(canvas: Canvas, curve: Curve, anatomy: Anatomy, rng: np.random.Generator) -> None:
    """Skin, fat, muscles, vessels and bowel, in coordinates (u to the right, v forwards) from the posterior wall."""
    u, v = canvas.x - curve.x, canvas.y - curve.y
    wall = float(curve.y.mean())
    spinous = max(anatomy.vertebrae[name].spinous_length for name in (L3, L4.name)) + 22
    back = wall - spinous - 5 - anatomy.subcutaneous_fat
    streak = canvas.noise(1.9, rng, (1, 1, 6)) + 0.6 * canvas.noise(6.0, rng, (1, 1, 3))
    patch = canvas.noise(9.0, rng)

    # The trunk lies on the table: its back is flattened.
    half_x, half_y = anatomy.body_width / 2, anatomy.body_depth / 2
    across = np.abs(canvas.x / half_x) ** 2.5
    ahead = np.abs((canvas.y - back - half_y) / half_y) ** 2.5
    trunk = ((across + ahead) ** (1 / 2.5) - 1) * np.float32(min(half_x, half_y)) + 0 * canvas.z
    canvas.paint(trunk, "skin")
    canvas.paint(trunk + 2.0, canvas.signals["fat"] * (1 + 0.05 * patch))
    # Fat is thickest behind; the wall of the abdomen grows thinner to the front.
    front = 1 / (1 + np.exp(-(canvas.y - wall) / np.float32(18)))
    inner = trunk + np.float32(anatomy.subcutaneous_fat) * (1 - 0.35 * front)
    muscle = canvas.signals["muscle"] * (1 + 0.12 * patch)
    canvas.paint(inner + 2, muscle)
    # Bowel and mesentery: smooth blobs between fluid and wall, air-dark at places.
    bowel = canvas.noise(24.0, rng) + 0.35 * canvas.noise(7.0, rng)
    fluid = 1 / (1 + np.exp(-(bowel - 0.8) * 5))
    wallish = 1 / (1 + np.exp((bowel + 0.5) * 5))
    content = canvas.signals["fat"] * np.float32(0.7) * (1 + 0.1 * patch)
    content = content + fluid * (canvas.signals["bowel"] - content)
    content = content + wallish * (canvas.signals["muscle"] * np.float32(1.4) - content)
    canvas.paint(inner + 9 + 6 * (1 - front), content.astype(np.float32))

    # Retroperitoneal fat around the column, then the muscles.
    stroma = np.float32(0.55) + np.float32(0.12) * patch + np.float32(0.15) * np.clip(bowel, -1, 1)
    canvas.paint(_ellipse(u, v - 8, 62.0, 42.0), canvas.signals["fat"] * np.clip(stroma, 0.25, 0.95))
    fatty = canvas.signals["fat"] * 0.85
    for side in (1, -1):
        grain = np.clip((streak - 1.5 + 1.8 * anatomy.muscle_fat) * 0.5, 0, 1) * (0.3 + 0.5 * anatomy.muscle_fat)
        fibres = (muscle + grain * (fatty - muscle)).astype(np.float32)
        spread = float(rng.normal(1, 0.06))
        canvas.paint(_ellipse(u - side * 70, v + 6, 20.0, 11.0), muscle)
        canvas.paint(_ellipse(u - side * 34 * spread, v + 38, 33.0 * spread, 23.0), fibres)
        # Multifidus lies beside the spinous processes and is the first to turn fatty.
        canvas.paint(_ellipse(u - side * 13, v + 38, 11.0, 18.0), fibres)
        canvas.paint(
            _ellipse(u - side * (40 - 0.06 * canvas.z), v - 9, 17.0 * spread, 22.0),
            canvas.signals["muscle"] * (1 + 0.08 * patch),
        )
    # Between the spinous processes: ligament, streaked with fat.
    band = np.clip(0.35 + 0.3 * streak, 0.05, 1).astype(np.float32)
    canvas.paint(
        _ellipse(u, v + 38, 2.8, 21.0), canvas.signals["ligament"] + band * (fatty - canvas.signals["ligament"])
    )

    # The aorta divides at about L4; its branches and the veins run apart below.
    apart = np.maximum(4 - canvas.z, 0) * np.float32(0.55)
    ahead_of_body = v - curve.depth - 13
    flow = canvas.signals["vessel"]
    for centre, radius in ((-9 - apart, 8.0), (13 + apart, 9.5)):
        vessel = _ellipse(u - centre, ahead_of_body, radius, radius)
        canvas.paint(vessel - 1.2, "muscle")
        canvas.paint(vessel, flow * (1 + 0.5 * (radius > 9)))


def paint_canal(canvas: Canvas, curve: Curve, spine: Spine, rng: np.random.Generator) -> None:
    """Foraminal and epidural fat, ligamentum flavum, thecal sac with the cauda equina, exiting roots."""
    anatomy = spine.anatomy
    fat = canvas.signals["fat"] * float(rng.uniform(0.85, 1.0))
    for name in (L3, L4.name, L5.name):
        size, pose = anatomy.vertebrae[name], spine.poses[name]
        lower = spine.poses[COLUMN[COLUMN.index(name) + 2]]
        gap = float((pose.origin - lower.origin) @ pose.superior)
        out = size.canal_width / 2
        for side in (1, -1):
            middle = -gap / 2 - 1
            canvas.paint_rod(
                pose,
                (side * (out - 4), -6, middle),
                (side * (out + 15), -5, middle - 1),
                ((gap / 3.2, 8), (gap / 3.4, 7)),
                fat,
                across=(0, 0, 1),
            )
            _paint_root(canvas, pose, size.canal_width, middle, side, rng)

    centre = -curve.canal_depth / 2 - 1.5
    low = (float(curve.x.min()) - 24, float(curve.y.min()) - 40, float(canvas.z.min()) - 1)
    high = (float(curve.x.max()) + 24, float(curve.y.max()) + 6, float(canvas.z.max()) + 1)
    block = canvas.block(low, high)
    x, y, _ = canvas.points(block)
    u, v = x - curve.x, y - curve.y - centre
    half_x, half_y = curve.canal_width / 2, curve.canal_depth / 2 + 1.5
    flavum = anatomy.ligamentum_flavum
    canal = _ellipse(u, v, half_x, half_y)
    behind = np.where(v < 0, canal - flavum * 0.4, FAR)
    canvas.paint(behind, "ligament", block)
    inner = _ellipse(u, v - flavum * 0.25, half_x - 0.6, half_y - flavum * 0.45)
    canvas.paint(inner, fat, block)
    scale = anatomy.sac_scale * float(rng.uniform(0.86, 0.98))
    # A herniated disc pushes the sac backwards.
    squeeze: Floats = np.zeros(1, dtype=np.float32)
    disc = anatomy.discs[DISC.name]
    if disc.herniation > 0 and abs(disc.herniation_left) < 12:
        height = canvas.z - np.float32(spine.frame.origin[2])
        squeeze = np.float32(min(disc.herniation * 0.45, 3.0)) * np.exp(-((height / 8) ** 2))
    sac_x, sac_y = half_x * scale, np.maximum((half_y - flavum * 0.3) * scale - squeeze * 0.7, 2.5)
    shift = -squeeze * 0.5 + (1 - scale) * half_y * 0.5 * np.float32(1 - anatomy.epidural_fat)
    sac = _ellipse(u, v - shift, sac_x, sac_y)
    canvas.paint(sac, "csf", block)
    _paint_roots_in_sac(canvas, (u / sac_x, (v - shift) / sac_y, sac), block, rng)


def _paint_roots_in_sac(
    canvas: Canvas,
    sac: tuple[Floats, Floats, Floats],
    block: tuple[slice, slice, slice],
    rng: np.random.Generator,
) -> None:
    """Rootlets of the cauda equina: they lie behind (supine) and wander to the sides on their way down."""
    u, v, _ = sac
    height = canvas.z / 50
    nerve = np.float32(canvas.signals["nerve"])
    target = canvas.image[block]
    total = np.zeros(target.shape, dtype=np.float32)
    for _ in range(int(rng.integers(14, 22))):
        place_u, place_v = rng.uniform(-0.8, 0.8), rng.uniform(-0.85, 0.1)
        drift_u, drift_v = rng.normal(0, 0.12), rng.normal(0.05, 0.08)
        at_u, at_v = place_u + drift_u * height, place_v + drift_v * height
        length = np.maximum(np.sqrt(at_u**2 + at_v**2), 1e-3)
        hold = np.minimum(0.86 / length, 1)
        square = ((u - at_u * hold) * 9) ** 2 + ((v - at_v * hold) * 7) ** 2
        np.maximum(total, np.exp(-square / np.float32(rng.uniform(0.5, 1.1))), out=total)
    target += total * np.float32(0.85) * (nerve - target) * (sac[2] < -0.5)


def _paint_root(
    canvas: Canvas, pose: Pose, canal_width: float, middle: float, side: int, rng: np.random.Generator
) -> None:
    """The root that leaves under this pedicle, with its ganglion in the upper foramen."""
    out = canal_width / 2
    ganglion = np.array([side * (out + 5), -5 + rng.normal(0, 0.6), middle + 4.5])
    entry = np.array([side * (out - 4), -7, middle + 11])
    away = np.array([side * (out + 17), 2, middle - 9])
    canvas.paint_rod(pose, entry, ganglion, ((1.5, 1.5), (2.2, 2.2)), "nerve")
    canvas.paint_rod(pose, ganglion, away, ((2.9, 2.5), (1.9, 1.9)), "nerve")
    vein = ganglion + np.array([0, 1.0, -6.5])
    inwards, outwards = np.array([-side * 6, 0, 0]), np.array([side * 7, 0, -1])
    canvas.paint_rod(pose, vein + inwards, vein + outwards, ((0.9, 0.9),), "vessel")
