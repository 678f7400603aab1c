"""Painting with partial volume, and texture."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.synthesis.canvas import Canvas, smooth_noise
from livf.lib.synthesis.implicit import Pose
from livf.lib.synthesis.tissues import Sequence


@pytest.fixture
def canvas() -> Canvas:
    axis = (np.arange(40) - 19.5).astype(np.float32) * np.float32(0.8)
    return Canvas((axis, axis, axis), Sequence(), np.random.default_rng(0))


def test_a_plane_between_voxels_gives_each_its_share(canvas: Canvas) -> None:
    """The painted volume is that of the half-space, to a hundredth of a voxel, wherever the plane lies."""
    for offset in (0.0, 0.13, 0.37, 0.4, 0.79):
        canvas.image[:] = 0
        canvas.paint((canvas.x - np.float32(offset)) + 0 * canvas.y + 0 * canvas.z, 1.0)
        filled = canvas.image[:, 0, 0].sum() * canvas.step
        assert filled == pytest.approx(20 * 0.8 + offset, abs=0.008)


def test_what_is_painted_last_lies_on_top(canvas: Canvas) -> None:
    everywhere = np.full(canvas.shape, -5.0, dtype=np.float32)
    canvas.paint(everywhere, 1.0)
    canvas.paint(everywhere, 0.25)
    assert (canvas.image == 0.25).all()


def test_a_rod_is_painted_where_its_frame_puts_it(canvas: Canvas) -> None:
    pose = Pose(np.array([3.0, -2, 1]), np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0]))
    canvas.paint_rod(pose, (-4, 0, 0), (4, 0, 0), ((2, 2),), 1.0, across=(0, 0, 1))
    index = np.argwhere(canvas.image > 0.5)
    centre = (index.mean(axis=0) - 19.5) * 0.8
    np.testing.assert_allclose(centre, (3, -2, 1), atol=0.25)
    # A rod that lies outside the image is no error.
    canvas.paint_rod(pose, (400, 0, 0), (400, 10, 0), ((2, 2),), 1.0)


def test_texture_has_about_unit_variance_and_its_scale() -> None:
    rng = np.random.default_rng(1)
    fine, coarse = smooth_noise((60, 60, 60), [0.5] * 3, rng), smooth_noise((60, 60, 60), [0.1] * 3, rng)
    for texture in (fine, coarse):
        assert abs(float(texture.mean())) < 0.4
        assert 0.6 < float(texture.std()) < 1.4
    assert np.abs(np.diff(coarse, axis=0)).mean() < 0.5 * np.abs(np.diff(fine, axis=0)).mean()
