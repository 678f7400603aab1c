from __future__ import annotations

import numpy as np
import pytest

from livf.lib.evaluation.surface import surface_distances


def box(shape, low, high):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def test_a_mask_is_no_distance_from_itself():
    mask = box((12, 12, 12), (3, 3, 3), (9, 8, 7))
    found = surface_distances(mask, mask, np.diag([0.8, 0.8, 3.0, 1]))
    assert (found.hd95_mm, found.assd_mm) == (0.0, 0.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plate_moved_along_an_axis_is_as_far_as_its_spacing(axis):
    """Two plates of one voxel: every distance is two steps of that axis, in mm."""
    spacing = np.array([0.5, 0.8, 3.0])
    low, high = [2, 2, 2], [9, 9, 9]
    high[axis] = 3
    one = box((12, 12, 12), low, high)
    two = np.roll(one, 2, axis=axis)
    found = surface_distances(one, two, np.diag([*spacing, 1]))
    assert found.hd95_mm == pytest.approx(2 * spacing[axis])
    assert found.assd_mm == pytest.approx(2 * spacing[axis])


def test_an_empty_mask_has_no_distance():
    mask = box((5, 5, 5), (1, 1, 1), (3, 3, 3))
    assert surface_distances(mask, np.zeros_like(mask), np.eye(4)) is None
    assert surface_distances(np.zeros_like(mask), mask, np.eye(4)) is None


def test_orientation_and_place_do_not_matter():
    one = box((14, 12, 10), (3, 3, 2), (9, 8, 7))
    two = box((14, 12, 10), (4, 2, 2), (11, 8, 8))
    affine = np.diag([0.8, 1.0, 2.0, 1])
    turned = np.array([[0, 0, -2.0, 40], [0.8, 0, 0, -7], [0, 1.0, 0, 3], [0, 0, 0, 1]])
    first, second = surface_distances(one, two, affine), surface_distances(one, two, turned)
    assert first.hd95_mm == pytest.approx(second.hd95_mm)
    assert first.assd_mm == pytest.approx(second.assd_mm)


def test_shapes_must_be_one():
    with pytest.raises(ValueError, match="different shapes"):
        surface_distances(np.ones((2, 2, 2), bool), np.ones((2, 2, 3), bool), np.eye(4))


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_monai_computes(seed):
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    rng = np.random.default_rng(seed)
    spacing = (0.7, 0.9, 2.5)
    index = np.stack(
        np.meshgrid(*(np.arange(n) * s for n, s in zip((24, 22, 12), spacing, strict=True)), indexing="ij")
    )
    centres = rng.uniform(6, 9, (2, 3)) + np.array([[0, 0, 3], [1, 0, 4]])
    one, two = (
        np.linalg.norm(index - c[:, None, None, None], axis=0) < r for c, r in zip(centres, (5, 5.6), strict=True)
    )
    # A speck far away: what a 95th percentile and a mean are there for.
    one[-2:, -2:, -2:] = True
    tensors = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (one, two)]
    hd95 = metrics.compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=spacing)
    assd = metrics.compute_average_surface_distance(*tensors, include_background=True, symmetric=True, spacing=spacing)
    found = surface_distances(one, two, np.diag([*spacing, 1]))
    assert found.hd95_mm == pytest.approx(float(hd95), rel=1e-4)
    assert found.assd_mm == pytest.approx(float(assd), rel=1e-4)
