"""Variation of training cases: geometry is kept between image and target, and everything is reproducible."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.training.augmentation import Augmentation, augment

GEOMETRY_ONLY = Augmentation(contrast=0, shading=0, noise=0, blur_voxels=0, thick_share=0, crop_share=0)


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Two boxes of known brightness: class 1 at 100, class 2 at 200, on 0."""
    label = np.zeros((48, 60, 60), dtype=np.uint8)
    label[26:36, 20:40, 22:40] = 1
    label[12:22, 18:42, 22:38] = 2
    return label.astype(np.float32) * 100, label


def run(seed: int, settings: Augmentation | None, *, soft: bool = False) -> tuple[np.ndarray, np.ndarray]:
    image, label = scene()
    return augment(
        image,
        label,
        channels=3,
        spacing=1.0,
        shape=(32, 40, 40),
        rng=np.random.default_rng(seed),
        settings=settings,
        soft=soft,
    )


def test_without_settings_the_middle_of_the_case_is_returned() -> None:
    image, label = scene()
    picture, target = run(0, None)
    middle = image[8:40, 10:50, 10:50]
    np.testing.assert_allclose(picture[0], (middle - middle.mean()) / middle.std(), atol=1e-4)
    np.testing.assert_array_equal(target.argmax(0), label[8:40, 10:50, 10:50])


@pytest.mark.parametrize("seed", range(6))
def test_the_target_moves_with_the_image(seed: int) -> None:
    picture, target = run(seed, GEOMETRY_ONLY)
    classes = target.argmax(0)
    assert set(np.unique(classes)) == {0, 1, 2}
    means = [picture[0][classes == value].mean() for value in range(3)]
    assert means[0] < means[1] < means[2]
    # Inside each class the brightness is its own but for the interpolated rim.
    top = picture[0].max()
    low = picture[0].min()
    shade = (picture[0] - low) / (top - low)
    wrong = (np.abs(shade - classes / 2) > 0.3).mean()
    assert wrong < 0.02


@pytest.mark.parametrize("soft", [False, True])
def test_every_voxel_has_one_class_in_sum(soft: bool) -> None:
    for seed in range(4):
        picture, target = run(seed, Augmentation(), soft=soft)
        np.testing.assert_allclose(target.sum(0), 1, atol=1e-4)
        assert np.isfinite(picture).all()
        assert picture.shape == (1, 32, 40, 40)


def test_the_same_generator_gives_the_same_case() -> None:
    one, two, other = run(3, Augmentation()), run(3, Augmentation()), run(4, Augmentation())
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert np.abs(one[0] - other[0]).max() > 0.1


def test_what_is_cropped_away_is_zero_and_background() -> None:
    settings = Augmentation(crop_share=1.0, shading=0, noise=0)
    picture, target = run(5, settings)
    outside = picture[0] == 0
    assert outside.any()
    assert (target[0][outside] == 1).all()
