"""Turning an image's axes into network order."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from livf.lib.segmentation.orientation import Orientation, canonical
from livf.lib.values import Volume, to_world

ORDERS = [(axes, flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)]


@pytest.mark.parametrize(("axes", "flips"), ORDERS)
def test_every_order_becomes_the_same_array(axes, flips, small_volume, reordered):
    volume = reordered(small_volume, axes, flips)
    turned, orientation = canonical(volume)
    expected, _ = canonical(small_volume)
    np.testing.assert_array_equal(turned.array, expected.array)
    np.testing.assert_allclose(turned.affine, expected.affine, atol=1e-9)
    np.testing.assert_array_equal(orientation.back(turned.array), volume.array)
    assert orientation.back(np.stack([turned.array] * 2)).shape == (2, *volume.shape)


def test_the_first_axis_grows_to_the_head_the_second_to_the_right_the_third_to_the_front(small_volume):
    turned, _ = canonical(small_volume)
    np.testing.assert_allclose(turned.affine[:3, :3], np.asarray([[0, 1, 0], [0, 0, 1], [1, 0, 0]]) * 1.6)


def test_an_oblique_image_keeps_its_voxels_where_they_are():
    tilt = np.radians(30)
    turn = np.asarray([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ np.diag([-0.7, -0.7, 4.0]), (40, -20, 7)
    volume = Volume(np.arange(60).reshape(3, 4, 5), affine)
    turned, orientation = canonical(volume)
    assert orientation == Orientation((2, 0, 1), (False, True, True))
    for index in np.ndindex(*turned.array.shape):
        original = np.argwhere(volume.array == turned.array[index])[0]
        np.testing.assert_allclose(to_world(turned.affine, index), to_world(affine, original), atol=1e-9)
