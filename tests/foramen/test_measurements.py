"""The numbers of an outline, on outlines whose numbers are known."""

import numpy as np
import pytest
from scipy import ndimage

from livf.lib.foramen import result as parts_of
from livf.lib.foramen.measurements import channel, horizontal_width, main_numbers, sections
from livf.lib.foramen.outline import Contour, Projection, outward_normals

STEP = 0.25


def rectangle(width=8.0, height=18.0, wave=None):
    """A foramen as a rectangle, its back waved by ``wave(S)``; the corner of FW lies 6 mm below its top."""
    front = np.arange(height, 0, -STEP)
    below = np.arange(0, -width, -STEP)
    back = np.arange(0, height, STEP)
    above = np.arange(-width, 0, STEP)
    points = np.concatenate(
        [
            np.column_stack([0 * front, front]),
            np.column_stack([below, 0 * below]),
            np.column_stack([-width + (wave(back) if wave else 0 * back), back]),
            np.column_stack([above, height + 0 * above]),
        ]
    )
    parts = np.concatenate(
        [
            np.where(front > height - 6.0, parts_of.UPPER_WALL, parts_of.DISC_EDGE),
            np.full(below.size, parts_of.LOWER_PEDICLE),
            np.full(back.size, parts_of.FACET),
            np.full(above.size, parts_of.UPPER_PEDICLE),
        ]
    )
    return Contour(points, outward_normals(points), parts, 0.0)


def test_a_rectangle():
    main = main_numbers(rectangle())
    assert main.area == pytest.approx(8.0 * 18.0, rel=1e-3)
    assert main.height == pytest.approx(18.0, abs=0.05)
    assert main.width == pytest.approx(8.0, abs=0.01)
    assert horizontal_width(rectangle().points, 9.1).length_mm == pytest.approx(8.0, abs=1e-6)
    assert channel(rectangle().points)[0] == pytest.approx(8.0, abs=0.05)


def test_width_does_not_pick_the_crests_of_a_noisy_wall():
    rng = np.random.default_rng(0)
    widths, crests = [], []
    for _ in range(60):

        def wave(s, rng=rng):
            noise = ndimage.gaussian_filter1d(rng.normal(size=s.size), 2.0, mode="nearest")
            return 0.1 * noise / noise.std()

        contour = rectangle(wave=wave)
        widths.append(main_numbers(contour).width)
        facet = contour.points[contour.parts == parts_of.FACET]
        crests.append(np.linalg.norm(facet - [0.0, 12.25], axis=1).min())
    assert np.mean(crests) < 7.93
    assert abs(np.mean(widths) - 8.0) < 0.04
    assert np.std(widths) < np.std(crests) + 0.02


def test_width_ends_on_a_spur_that_is_no_noise():
    """A bump of 1.5 mm is shape: the cubic that would level it does not follow the wall."""
    main = main_numbers(rectangle(wave=lambda s: 1.5 * np.exp(-0.5 * ((s - 12.0) / 0.8) ** 2)))
    assert main.width == pytest.approx(6.5, abs=0.12)


def test_width_needs_an_articular_process():
    contour = rectangle()
    bare = Contour(
        contour.points,
        contour.normals,
        np.where(contour.parts == parts_of.FACET, parts_of.LOWER_PEDICLE, contour.parts),
        0.0,
    )
    assert main_numbers(bare).width is None


def tunnels(radii, slit=()):
    """Planes with a round hole each, its radius in mm; ``slit`` gives the width of a way out to the front in some."""
    anterior, superior = np.arange(-12.0, 12.0, 0.4), np.arange(-14.0, 14.0, 0.4)
    a, s = np.meshgrid(anterior, superior, indexing="ij")
    distance = np.stack([np.hypot(a, s) - radius for radius in radii])
    for plane, width in dict(slit).items():
        distance[plane] = np.minimum(distance[plane], np.where(a > 0, np.abs(s) - width / 2, np.inf))
    # Bone beside the hole, apart from it, with a hole of its own that does not count.
    distance = np.minimum(distance, np.hypot(a + 9.0, s + 11.0) - 2.0)
    volume = np.clip(distance, -0.5, 0.5).astype(np.float32)
    return Projection("left", np.arange(float(len(radii))), anterior, superior, volume, volume.max(axis=0))


def ring(radius):
    angle = -np.arange(0, 2 * np.pi, 0.05)
    return radius * np.column_stack([np.sin(-angle), np.cos(angle)])


def test_sections_are_the_planes_own_openings():
    radii = (6.0, 4.5, 3.0)
    assert sections(tunnels(radii), ring(2.9)) == pytest.approx([np.pi * r**2 for r in radii], rel=0.01)


def test_a_gap_of_the_joint_closes_a_section_and_a_wider_one_does_not():
    areas = sections(tunnels((5.0, 5.0, 5.0), {1: 1.2, 2: 3.2}), ring(4.5))
    assert areas[0] == pytest.approx(np.pi * 25.0, rel=0.01)
    assert areas[1] == pytest.approx(np.pi * 25.0, rel=0.06)
    assert areas[2] is None
    assert sections(tunnels((0.5, 0.5)), ring(4.0)) == [None, None]
