import numpy as np
import pytest

from livf.lib.synthesis.painting.acquisition import Scan, acquire, draw_scan, slabs

CLEAN = Scan(blur_mm=0.0, noise=0.0, coil_floor=1.0, drift=0.0)
NEAR = np.zeros((1, 1, 1), dtype=np.float32)


def tissue(seed=0, shape=(40, 30, 20)):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def test_a_thick_slice_is_the_mean_of_fine_ones():
    image = tissue()
    found = slabs(image, 0, [3.0, 10.0], 5.0)
    np.testing.assert_allclose(found[0], image[1:6].mean(0), rtol=1e-4)
    np.testing.assert_allclose(found[1], image[8:13].mean(0), rtol=1e-4)
    # Edges inside a voxel count it by its share.
    half = slabs(image, 0, [10.0], 4.0)[0]
    np.testing.assert_allclose(half, (image[9:12].sum(0) + 0.5 * (image[8] + image[12])) / 4, rtol=1e-4)


def test_a_stack_has_the_partial_volume_and_the_gap_of_its_slices():
    image = tissue()
    scan = Scan(**{**vars(CLEAN), "thickness_mm": 4.0, "gap_mm": 1.0, "in_plane_mm": 1.0})
    found = acquire(image, 1.0, scan, NEAR, np.random.default_rng(3))
    assert found.step == (5.0, 1.0, 1.0)
    first = found.start[0]
    for number in range(1, found.native.shape[0] - 1):
        centre = first + 5.0 * number
        low, high = centre - 2.0 + 0.5, centre + 2.0 + 0.5  # voxel edges
        weight = np.clip(np.minimum(np.arange(40) + 1, high) - np.maximum(np.arange(40), low), 0, 1)
        np.testing.assert_allclose(found.native[number], np.tensordot(weight, image, 1) / 4.0, rtol=1e-3)
    assert found.fine.shape == image.shape
    at = int(np.ceil(first))
    share = (at - first) / 5.0
    np.testing.assert_allclose(
        found.fine[at], (1 - share) * found.native[0] + share * found.native[1], rtol=1e-4, atol=1e-5
    )


def test_a_clean_3d_scan_is_the_tissue_itself():
    image = tissue()
    found = acquire(image, 0.8, CLEAN, NEAR, np.random.default_rng(0))
    np.testing.assert_allclose(found.fine, image, atol=1e-6)
    assert found.native is found.fine


def test_noise_is_rician():
    image = np.zeros((60, 60, 60), dtype=np.float32)
    found = acquire(image, 0.8, Scan(**{**vars(CLEAN), "noise": 0.1}), NEAR, np.random.default_rng(0))
    assert found.fine.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.01)  # Rayleigh where there is no signal
    bright = acquire(image + 2, 0.8, Scan(**{**vars(CLEAN), "noise": 0.1}), NEAR, np.random.default_rng(0))
    assert bright.fine.std() == pytest.approx(0.1, rel=0.02)


def test_the_coil_fades_with_depth():
    image = np.ones((10, 50, 10), dtype=np.float32)
    depth = np.linspace(0, 100, 50, dtype=np.float32)[None, :, None]
    scan = Scan(**{**vars(CLEAN), "coil_depth_mm": 100.0, "coil_floor": 0.2})
    found = acquire(image, 1.0, scan, depth, np.random.default_rng(0)).fine
    assert found[5, 0, 5] == pytest.approx(1.0, abs=0.01)
    assert found[5, -1, 5] == pytest.approx(0.2 + 0.8 / np.e, abs=0.01)


def test_ghosts_and_motion_show_a_point_twice():
    image = np.zeros((9, 40, 40), dtype=np.float32)
    image[4, 10, 20] = 1.0
    ghost = Scan(**{**vars(CLEAN), "ghost": 0.1, "ghost_shift": 0.25, "along": 1})
    found = acquire(image, 1.0, ghost, NEAR, np.random.default_rng(0)).fine
    assert found[4, 20, 20] == pytest.approx(0.1)
    moved = acquire(image, 1.0, Scan(**{**vars(CLEAN), "motion_mm": 2.0}), NEAR, np.random.default_rng(0)).fine
    assert moved[4, 10, 20] == pytest.approx(0.65) and moved[4, 10, 22] == pytest.approx(0.35)


def test_drawn_scans_are_what_hospitals_make():
    rng = np.random.default_rng(0)
    scans = [draw_scan(rng) for _ in range(300)]
    stacks = [s for s in scans if s.thickness_mm]
    assert 0.55 < len(stacks) / 300 < 0.75
    assert all(3 <= s.thickness_mm <= 5 and 0.4 <= s.in_plane_mm <= 1.0 for s in stacks)
