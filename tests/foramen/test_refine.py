"""The fitted faces against arithmetic: tubes, ellipsoids and boxes cut by tilted grids."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from livf.lib.anatomy import L4
from livf.lib.foramen import result as parts_of
from livf.lib.foramen.constants import FARTHEST_POINTS_MM
from livf.lib.foramen.frame import find_frame
from livf.lib.foramen.level import prepare
from livf.lib.foramen.measurements import main_numbers
from livf.lib.foramen.outline import Contour, find_contour, outward_normals, project, slab
from livf.lib.foramen.refine import FARTHEST, Cloud, cloud, displacements, refined

TILTED = ((5.0, -4.0, 7.0), (-8.0, 11.0, 3.0))
TUBE = np.array([5.2, 7.4])


def voxels(turn, spacing, bone, half=(8.0, 11.0, 13.0)):
    """The centres of a grid turned against side coordinates (M, A, S), and which are bone."""
    axes = [np.arange(-n, n + 0.01, spacing) + 0.37 * spacing for n in np.asarray(half) + 4.0]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3) @ turn.T
    places = places[(np.abs(places) <= half).all(axis=1)]
    held = bone(places)
    return Cloud(places, held, held, cKDTree(places[:, 1:]))


def ellipse(axes, step=0.4):
    """Points of an ellipse in the (A, S) plane, clockwise, and its outer normals."""
    t = np.arange(0, 2 * np.pi, step / max(axes))
    points = np.column_stack([axes[0] * np.sin(t), axes[1] * np.cos(t)])
    normals = points / axes**2
    return points, normals / np.linalg.norm(normals, axis=1, keepdims=True)


def outside_tube(places):
    return ((places[:, 1:] / TUBE) ** 2).sum(axis=1) > 1


def moves(points, normals, centres, spacing, depth=0.0):
    return displacements(points, normals, np.full(len(points), depth), centres, spacing, spacing)


@pytest.mark.parametrize("angles", TILTED)
@pytest.mark.parametrize("spacing", [0.6, 0.8, 1.0])
@pytest.mark.parametrize("off", [-0.3, 0.0, 0.25])
def test_a_tube_through_bone_is_found_wherever_the_outline_starts(turn_of, angles, spacing, off):
    points, normals = ellipse(TUBE)
    centres = voxels(turn_of(angles), spacing, outside_tube)
    error = moves(points + off * spacing * normals, normals, centres, spacing) / spacing + off
    assert abs(error.mean()) < 0.05
    assert np.sqrt(np.mean(error**2)) < 0.08
    assert np.abs(error).max() < 0.25


@pytest.mark.parametrize("angles", TILTED)
@pytest.mark.parametrize("depth", [4.0, 9.0])
def test_an_ellipsoid_of_bone_is_found_at_its_widest(turn_of, angles, depth):
    """A maximum over voxels makes it too large, smoothing too small: its silhouette is neither."""
    points, normals = ellipse(TUBE)
    centres = voxels(turn_of(angles), 0.8, lambda p: ((p / [depth, *TUBE]) ** 2).sum(axis=1) < 1)
    error = moves(points, -normals, centres, 0.8) / 0.8
    assert abs(error.mean()) < 0.06
    assert np.sqrt(np.mean(error**2)) < 0.1


def test_no_half_voxel_enters(turn_of):
    """Walls at any place between the centres, on either side of a gap: its width is right on the average."""
    height = np.arange(-5.0, 5.01, 0.25)
    widths = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        low, high = -4.0 + rng.uniform(-0.5, 0.5), 4.0 + rng.uniform(-0.5, 0.5)
        turn = turn_of(rng.uniform(3, 12, 3) * rng.choice([-1, 1], 3))
        centres = voxels(turn, 0.8, lambda p, low=low, high=high: (p[:, 1] < low) | (p[:, 1] > high))
        found = []
        for wall, way in ((low, -1.0), (high, 1.0)):
            normals = np.tile([way, 0.0], (height.size, 1))
            points = np.column_stack([np.full(height.size, wall - 0.3 * way), height])
            found.append(wall - 0.3 * way + way * moves(points, normals, centres, 0.8))
        widths.append(float((found[1] - found[0]).mean()) - (high - low))
    # Half a voxel at both ends would be 0.8 mm.
    assert abs(np.mean(widths)) < 0.03
    assert np.abs(widths).max() < 0.12


def test_the_other_wall_round_a_corner_is_not_seen(turn_of):
    """Up to a right-angled corner of bone each wall stays straight."""
    height = np.arange(0.4, 5.0, 0.2)
    wall = np.column_stack([np.zeros(height.size), -height])
    roof = np.column_stack([-height, np.zeros(height.size)])
    points = np.vstack([wall, roof])
    normals = np.vstack([np.tile([1.0, 0.0], (height.size, 1)), np.tile([0.0, 1.0], (height.size, 1))])
    centres = voxels(turn_of((4.0, -6.0, 5.0)), 0.8, lambda p: (p[:, 1] > 0) | (p[:, 2] > 0))
    moved = moves(points, normals, centres, 0.8)
    assert np.abs(moved).max() < 0.25
    assert abs(moved.mean()) < 0.06


def test_no_point_is_moved_further_than_the_limit(turn_of):
    points, normals = ellipse(TUBE)
    centres = voxels(turn_of(TILTED[0]), 0.8, outside_tube)
    for off in (-1.0, 1.0):
        moved = moves(points + off * normals, normals, centres, 0.8)
        assert np.abs(moved).max() <= FARTHEST * 0.8 + 1e-12
        assert (-off * moved > 0.3).mean() > 0.9


def test_without_centres_nothing_moves():
    points, normals = ellipse(TUBE)
    places = np.zeros((0, 3))
    nothing = Cloud(places, np.zeros(0, dtype=bool), np.zeros(0, dtype=bool), cKDTree(places[:, 1:]))
    assert not moves(points, normals, nothing, 0.8).any()
    far = Cloud(
        *(np.ones((40, 3)) * 50, np.ones(40, dtype=bool), np.ones(40, dtype=bool)), cKDTree(np.ones((40, 2)) * 50)
    )
    assert not moves(points, normals, far, 0.8).any()


@pytest.fixture(scope="module")
def seen(plain):
    """A level, its landmarks, and the left side's projection and outline as it is found."""
    label, affine, _ = plain
    level = prepare(label, affine)
    marks = find_frame(level)
    projection = project(level, marks, "left", slab(marks, "left"))
    return level, marks, projection, find_contour(level, marks, projection)


def test_the_cloud_is_the_labels_own_centres(seen):
    level, marks, _, contour = seen
    borders = slab(marks, "right")
    near = cloud(level, marks.frame, "right", borders, contour.points, 2.0)
    world = marks.frame.side_to_ras("right", near.places)
    index = np.linalg.solve(level.affine[:3, :3], (world - level.affine[:3, 3]).T).T
    assert np.abs(index - np.rint(index)).max() < 1e-9
    value = level.label[tuple(np.rint(index).astype(int).T)]
    assert np.array_equal(near.bone, value > 0) and np.array_equal(near.upper, value == L4.value)
    # All of the box and nothing beyond it.
    assert near.places[:, 0].min() > borders[0] - 2.0 and near.places[:, 0].max() < borders[1] + 2.0
    box = (borders[1] - borders[0] + 4.0) * np.prod(np.ptp(contour.points, axis=0) + 4.0)
    assert len(near.places) * np.prod(level.spacing) == pytest.approx(box, rel=0.05)


def test_a_ring_at_the_images_edge_is_given_what_there_is(seen):
    level, marks, _, contour = seen
    beyond = contour.points + np.array([200.0, 0.0])
    assert not len(cloud(level, marks.frame, "left", (12.0, 26.0), beyond, 2.0).places)
    # An image that ends behind the middle of the opening.
    middle = round(float(level.index(marks.frame, [18.0, contour.points[:, 0].mean(), 0.0])[1]))
    some = cloud(replace(level, label=level.label[:, :middle]), marks.frame, "left", (12.0, 26.0), contour.points, 2.0)
    all_of_it = cloud(level, marks.frame, "left", (12.0, 26.0), contour.points, 2.0)
    assert 0.2 < len(some.places) / len(all_of_it.places) < 0.8


def test_the_numbers_come_nearer_to_the_truth(seen, plain):
    level, marks, projection, contour = seen
    area, height, width = plain[2].truth("left")
    before, after = (main_numbers(c) for c in (contour, refined(level, marks.frame, projection, contour)))
    assert abs(after.area - area) < abs(before.area - area)
    assert after.area == pytest.approx(area, rel=0.04)
    assert after.height == pytest.approx(height, abs=0.4)
    assert after.width == pytest.approx(width, abs=0.4)


def test_the_outline_stays_an_outline(seen):
    level, marks, projection, contour = seen
    moved = refined(level, marks.frame, projection, contour)
    apart = np.linalg.norm(moved.points - np.roll(moved.points, -1, axis=0), axis=1)
    assert apart.max() <= FARTHEST_POINTS_MM + 1e-9
    assert len(moved.points) == len(moved.parts) == len(moved.normals)
    assert set(np.unique(moved.parts)) == set(np.unique(contour.parts))
    assert np.linalg.norm(moved.normals, axis=1) == pytest.approx(1.0)
    assert moved.gap == contour.gap


def test_a_closing_segment_is_not_drawn_to_bone(seen):
    """Nothing bounds it: its points may only be laid anew on the line between its ends."""
    level, marks, projection, contour = seen
    arch = np.flatnonzero(contour.parts == parts_of.FACET)[-6:]
    parts = contour.parts.copy()
    parts[arch] = parts_of.JOINT
    closed = Contour(contour.points, outward_normals(contour.points), parts, 1.0)
    moved = refined(level, marks.frame, projection, closed)
    still = moved.points[moved.parts == parts_of.JOINT]
    assert cKDTree(contour.points[arch]).query(still)[0].max() < 1e-9
    free = refined(level, marks.frame, projection, contour)
    assert cKDTree(free.points).query(contour.points[arch])[0].max() > 0.01
