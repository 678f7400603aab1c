"""Masks to signed distances: solids whose volume, thickness and surface are known."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.synthesis.columns import distances
from livf.lib.synthesis.columns.fields import Field, Grid, apart
from livf.lib.values import Volume

THICK = np.array([3.0, 1.0, 1.0])
CENTRE = np.array([40.3, 40.2, 39.7])


def voxels(voxel: np.ndarray, extent: float = 82.0) -> np.ndarray:
    """Centres of the voxels of a cube of space, mm."""
    axes = [np.arange(0, extent, v) for v in voxel]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def shaped(mask: np.ndarray, voxel: np.ndarray) -> tuple[Field, Grid]:
    grid = distances.grid_around(np.argwhere(mask) * voxel)
    return distances.from_mask(mask, np.diag([*voxel, 1.0]), grid), grid


def ellipsoid(voxel: np.ndarray, axes: np.ndarray) -> np.ndarray:
    return (((voxels(voxel) - CENTRE) / axes) ** 2).sum(axis=-1) < 1


def test_a_box_of_thick_slices_keeps_its_volume() -> None:
    mask = np.all((voxels(THICK) >= [24, 20, 20]) & (voxels(THICK) <= [51, 49, 54]), axis=-1)
    field, _ = shaped(mask, THICK)
    assert field.volume == pytest.approx(mask.sum() * THICK.prod(), rel=0.02)


def test_an_ellipsoid_of_thick_slices_has_its_true_volume_and_surface() -> None:
    axes = np.array([24.0, 16.0, 13.0])
    field, grid = shaped(ellipsoid(THICK, axes), THICK)
    assert field.volume == pytest.approx(4 / 3 * np.pi * axes.prod(), rel=0.02)
    points, _ = field.surface()
    away = (np.linalg.norm((grid.to_world(points) - CENTRE) / axes, axis=1) - 1) * axes.min()
    # The mask has steps of 3 mm; the surface may not.
    assert np.sqrt((away**2).mean()) < 0.3


def test_distances_are_distances() -> None:
    field, _ = shaped(ellipsoid(np.ones(3), np.full(3, 15.0)), np.ones(3))
    near = np.abs(field.values) < 6
    slope = np.linalg.norm(np.stack(np.gradient(field.values, field.spacing)), axis=0)
    assert np.median(slope[near]) == pytest.approx(1, abs=0.03)
    assert field.values.min() == -8
    assert field.values.max() == 8


@pytest.mark.parametrize(("voxel", "through"), [((0.8, 0.8, 0.8), 2), ((3.0, 0.8, 0.8), 2), ((3.0, 1.0, 1.0), 2)])
def test_a_thin_plate_keeps_its_thickness(voxel: tuple[float, ...], through: int) -> None:
    size = np.array(voxel)
    mask = np.zeros(voxels(size).shape[:3], dtype=bool)
    low, high = (20 / size).astype(int), (60 / size).astype(int)
    mask[low[0] : high[0], 40 : 40 + through, low[2] : high[2]] = True
    field, grid = shaped(mask, size)
    assert thickness(field, grid, np.array([0, 1.0, 0]), np.array([40.0, 40 * size[1], 40.0])) == pytest.approx(
        through * size[1], abs=0.3
    )


def test_an_oblique_plate_in_thick_slices_has_no_holes_and_keeps_its_thickness() -> None:
    normal = np.array([0.5, 0.7, 0.5]) / np.linalg.norm([0.5, 0.7, 0.5])
    offset = voxels(THICK) - CENTRE
    along = offset @ normal
    mask = (np.abs(along) < 0.8) & (np.linalg.norm(offset - along[..., None] * normal, axis=-1) < 25)
    field, grid = shaped(mask, THICK)
    rng = np.random.default_rng(0)
    aside = rng.uniform(-10, 10, (60, 3))
    aside -= (aside @ normal)[:, None] * normal
    found = [thickness(field, grid, normal, CENTRE + shift) for shift in aside]
    assert np.mean(found) == pytest.approx(1.6, abs=0.3)
    assert min(found) > 1.0


def thickness(field: Field, grid: Grid, normal: np.ndarray, centre: np.ndarray) -> float:
    steps = np.arange(-8, 8, 0.01)
    return float((field.at(grid.from_world(centre + steps[:, None] * normal)) < 0).sum() * 0.01)


def test_touching_bones_stay_apart_and_lose_nothing() -> None:
    at = voxels(THICK)
    lower = np.all((at >= [18, 20, 20]) & (at <= [54, 50, 39]), axis=-1)
    upper = np.all((at >= [18, 20, 40]) & (at <= [54, 50, 60]), axis=-1)
    grid = distances.grid_around(np.argwhere(lower | upper) * THICK)
    affine = np.diag([*THICK, 1.0])
    fields = apart({n: distances.from_mask(m, affine, grid) for n, m in (("upper", upper), ("lower", lower))})
    other = fields["lower"].on(fields["upper"].start, fields["upper"].stop)
    # Each distance is computed anew after they are parted: to a tenth of a voxel.
    assert not ((fields["upper"].values < -0.08) & (other < -0.08)).any()
    for name, mask in (("upper", upper), ("lower", lower)):
        assert fields[name].volume == pytest.approx(mask.sum() * THICK.prod(), rel=0.02)


def test_two_overlapping_bones_are_parted_halfway() -> None:
    at = voxels(np.ones(3))
    grid = distances.grid_around(np.array([[10.0, 10, 10], [70, 70, 70]]))
    balls = {
        name: distances.from_mask(((at - [x, 40, 40]) ** 2).sum(axis=-1) < 15**2, np.eye(4), grid)
        for name, x in (("a", 27), ("b", 53))
    }
    both = apart(balls)
    other = both["b"].on(both["a"].start, both["a"].stop)
    assert ((balls["a"].values < 0) & (balls["b"].on(balls["a"].start, balls["a"].stop) < 0)).any()
    assert not ((both["a"].values < -0.08) & (other < -0.08)).any()
    points, _ = both["a"].surface()
    assert grid.to_world(points)[:, 0].max() == pytest.approx(40, abs=0.3)


def test_turned_and_mirrored_scans_give_the_same_bone() -> None:
    axes = np.array([24.0, 16.0, 13.0])
    mask = ellipsoid(THICK, axes)
    straight = np.diag([*THICK, 1.0])
    # The same bone stored as superior, left, posterior.
    turned = np.zeros((4, 4))
    turned[[2, 0, 1], [0, 1, 2]] = [THICK[2], -THICK[0], -THICK[1]]
    turned[:, 3] = [(mask.shape[0] - 1) * THICK[0], (mask.shape[1] - 1) * THICK[1], 0, 1]
    stored = mask[::-1, ::-1].transpose(2, 0, 1)
    grid = distances.grid_around(np.argwhere(mask) * THICK, distances.scan_axes(turned))
    assert np.allclose(distances.scan_axes(turned), np.eye(3))
    first, second = distances.from_mask(mask, straight, grid), distances.from_mask(stored, turned, grid)
    near = np.abs(first.values) < 2
    apart_by = np.abs(first.values - second.on(first.start, first.stop))[near]
    # Where two voxels of the scan are equally near, their order decides by a little.
    assert np.median(apart_by) < 0.05
    assert apart_by.max() < 0.8


def test_islands_and_cavities_go_and_torn_off_processes_stay() -> None:
    mask = ellipsoid(np.ones(3), np.full(3, 15.0))
    mask[40, 40, 40] = False
    island, process = np.zeros_like(mask), np.zeros_like(mask)
    island[2:5, 2:5, 2:5] = True
    process[60:70, 38:43, 38:43] = True
    cleaned = distances.clean(mask | island | process, 1.0)
    assert not cleaned[island].any()
    assert cleaned[process].all()
    assert cleaned[40, 40, 40]


def test_a_bone_cut_by_the_border_is_told_from_one_that_touches_it() -> None:
    mask = ellipsoid(np.ones(3), np.full(3, 15.0))
    assert distances.is_whole(mask, np.ones(3))
    assert not distances.is_whole(mask[:, :, 42:], np.ones(3))
    held = np.argwhere(mask)
    tight = mask[tuple(slice(a, b + 1) for a, b in zip(held.min(axis=0), held.max(axis=0), strict=True))]
    assert distances.is_whole(tight, np.ones(3))


def test_bones_are_named_by_their_numbers() -> None:
    label = np.zeros((20, 20, 20), dtype=np.uint8)
    label[2:8], label[12:18] = 7, 9
    masks = distances.masks_of(Volume(label, np.eye(4)), {9: "below", 7: "above", 5: "absent"})
    assert list(masks) == ["below", "above"]
    assert masks["above"].sum() == 6 * 400
