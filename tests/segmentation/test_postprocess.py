"""Tidying a label."""

from __future__ import annotations

import numpy as np

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.segmentation import postprocess


def blocks():
    """Three blocks, L4 on top (the first axis grows to the head)."""
    label = np.zeros((40, 20, 20), dtype=np.uint8)
    label[26:38, 4:16, 4:16] = L4.value
    label[20:26, 4:16, 4:16] = DISC.value
    label[4:20, 4:16, 4:16] = L5.value
    return label


def test_a_tidy_label_stays_and_is_not_changed():
    label = blocks()
    before = label.copy()
    np.testing.assert_array_equal(postprocess.tidy(label), before)
    np.testing.assert_array_equal(label, before)
    assert postprocess.warnings(label) == ()


def test_islands_go_and_holes_are_filled():
    label = blocks()
    label[30:33, 8:10, 8:10] = 0  # a hole in L4
    label[10, 10, 10] = 0
    label[0:2, 0:2, 18:20] = L4.value  # islands
    label[39, 0, 0] = L5.value
    np.testing.assert_array_equal(postprocess.tidy(label), blocks())


def test_a_hole_that_holds_another_structure_keeps_it():
    label = blocks()
    label[30:34, 7:12, 7:12] = DISC.value
    label[20:26] = 0  # the enclosed piece is the largest of the disc now
    tidy = postprocess.tidy(label)
    assert (tidy[30:34, 7:12, 7:12] == DISC.value).all()


def test_a_process_within_two_voxels_stays_and_a_speck_does_not():
    label = blocks()
    process = label.copy()
    process[10:14, 8:12, 18:20] = L5.value  # 32 of 2304 voxels, two voxels off: above a hundredth
    np.testing.assert_array_equal(postprocess.tidy(process), process)
    speck = label.copy()
    speck[10:13, 9:11, 18:20] = L5.value  # 12 voxels
    np.testing.assert_array_equal(postprocess.tidy(speck), label)


def test_structures_touching_the_border_and_empty_labels():
    label = np.full((4, 4, 4), L4.value, dtype=np.uint8)
    np.testing.assert_array_equal(postprocess.tidy(label), label)
    empty = np.zeros((4, 4, 4), dtype=np.uint8)
    np.testing.assert_array_equal(postprocess.tidy(empty), empty)
    assert postprocess.warnings(empty) == ("missing_structure",)


def test_a_label_upside_down_is_warned_of():
    assert postprocess.warnings(blocks()[::-1]) == ("wrong_level_order",)


def test_a_missing_structure_is_warned_of():
    label = blocks()
    label[label == DISC.value] = 0
    assert postprocess.warnings(label) == ("missing_structure",)
