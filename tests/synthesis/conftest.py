"""A small column of simple solids: three vertebrae with arches that meet in facets, discs, a sacrum and a sac."""

import numpy as np
import pytest

from livf.lib.synthesis.columns.column import REACH_MM, Column, Kind, Part, Surround
from livf.lib.synthesis.implicit import radial, rod
from livf.lib.synthesis.painting.subject import prepare_subject

SPACING = 1.2
HEIGHT = 36.0
LEVELS = ("L2", "L3", "L4", "L5")


def _part(name, kind, values, body=None, whole=True):
    found = np.argwhere(values < 0)
    low = np.maximum(found.min(0) - 8, 0)
    high = np.minimum(found.max(0) + 9, values.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))

    def kept(array):
        return np.clip(array[box], -REACH_MM, REACH_MM).astype(np.float16)

    return Part(name, kind, kept(values), tuple(int(v) for v in low), None if body is None else kept(body), whole)


def _slab(x, y, z, half, up):
    return np.maximum(radial((x, y, 0 * z), (half[0], half[1], 1.0)), np.abs(z) - up)


@pytest.fixture(scope="session")
def column():
    shape = (88, 88, 168)
    affine = np.diag([SPACING] * 3 + [1.0])
    affine[:3, 3] = (-52, -60, -40)
    x, y, z = np.meshgrid(
        *[affine[a, 3] + SPACING * np.arange(n) for a, n in enumerate(shape)], indexing="ij", sparse=True
    )
    x, y, z = np.broadcast_arrays(x, y, z)
    parts = []
    middles = {name: HEIGHT * (len(LEVELS) - 1 - place) + 20 for place, name in enumerate(LEVELS)}
    for place, name in enumerate(LEVELS):
        h = z - middles[name]
        bone = _slab(x, y - 18, h, (22, 16), 13)
        pieces = [rod((0, -22, -4), (0, -45, -10), (3, 7))]
        for side in (1, -1):
            pieces += [
                rod((side * 13, 4, 6), (side * 13, -12, 6), (4, 6)),
                rod((side * 13, -10, 6), (side * 36, -14, 8), (4, 3)),
                rod((side * 15, -10, 8), (side * 15, -12, 20), (5, 3)),
                rod((side * 13, -14, 4), (side * 13, -20, -14), (5, 3)),
                rod((side * 12, -16, 0), (0, -23, -4), (6, 3)),
            ]
        for piece in pieces:
            bone = np.minimum(bone, piece.function(x, y, h))
        parts.append(_part(name, Kind.VERTEBRA, bone, 2.0 - y))
        lower = LEVELS[place + 1] if place + 1 < len(LEVELS) else "S1"
        disc = _slab(x, y - 18, h + HEIGHT / 2, (22, 16), 5)
        parts.append(_part(f"{name}-{lower}", Kind.DISC, disc))
    sacrum = radial((x, y - 10, z + 32), (40, 16, 29))
    sacrum = np.maximum(sacrum, z - (20 - HEIGHT + 13))
    parts.append(_part("sacrum", Kind.SACRUM, np.maximum(sacrum, 6 - np.hypot(x, y + 9))))
    parts.append(_part("thecal sac", Kind.SAC, np.maximum(radial((x, y + 9, 0 * z), (8, 6, 1)), -z - 35)))
    line = np.stack([np.zeros(170), np.full(170, -9.0), np.arange(150, -20, -1.0)], axis=1)
    coarse = np.diag([2.0, 2.0, 2.0, 1.0])
    coarse[:3, 3] = (-180, -100, -70)
    size = (181, 121, 130)
    a, b = np.meshgrid(*[coarse[k, 3] + 2.0 * np.arange(size[k]) for k in range(2)], indexing="ij")
    codes = list(Surround)
    trunk = np.full(size[:2], codes.index(Surround.AIR))
    radius = np.hypot(a / 165, (b - 20) / 105)
    trunk[radius < 1] = codes.index(Surround.FAT)
    trunk[radius < 0.8] = codes.index(Surround.MUSCLE)
    trunk[(radius < 0.75) & (b > 45)] = codes.index(Surround.BOWEL)
    surround = np.repeat(trunk[:, :, None], size[2], axis=2).astype(np.uint8)
    return Column("solids", "this test", shape, affine, tuple(parts), line, surround, coarse)


@pytest.fixture(scope="session")
def subject(column):
    return prepare_subject(column)
