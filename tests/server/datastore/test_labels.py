"""What a submitted label means."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from livf.lib.anatomy import BY_NAME, DISC, FORAMEN_LEFT, L4, L5, TRAINED
from livf.lib.errors import InputError
from livf.lib.server.datastore.labels import names_of, refuse_other_grid, relabel
from livf.lib.values import Volume

GRID = np.diag([0.8, 0.9, 1.0, 1.0])


@pytest.fixture
def true_label() -> np.ndarray:
    label = np.zeros((6, 5, 4), np.uint8)
    label[0:2], label[2:4], label[4:5] = L4.value, DISC.value, L5.value
    return label


def as_slicer_exports(label: np.ndarray, names: list[str]) -> np.ndarray:
    """Values 1, 2, ... in the order of the segments."""
    exported = np.zeros_like(label)
    for value, name in enumerate(names, start=1):
        exported[label == BY_NAME[name].value] = value
    return exported


@pytest.mark.parametrize("names", list(itertools.permutations(s.name for s in TRAINED)))
def test_any_order_of_segments_is_brought_back(true_label: np.ndarray, names: tuple[str, ...]) -> None:
    stored = relabel(as_slicer_exports(true_label, list(names)), names)
    assert stored.dtype == np.uint8
    np.testing.assert_array_equal(stored, true_label)


@pytest.mark.parametrize("deleted", TRAINED)
def test_a_deleted_segment_moves_no_other(true_label: np.ndarray, deleted: Any) -> None:
    names = [s.name for s in TRAINED if s != deleted]
    stored = relabel(as_slicer_exports(true_label, names), names)
    np.testing.assert_array_equal(stored, np.where(true_label == deleted.value, 0, true_label))


def test_an_added_foramen_is_not_stored(true_label: np.ndarray) -> None:
    with_foramen = true_label.copy()
    with_foramen[5, 0, 0] = FORAMEN_LEFT.value
    names = ["foramen_left", "L5", "disc_L4_5", "L4"]
    np.testing.assert_array_equal(relabel(as_slicer_exports(with_foramen, names), names), true_label)


def test_an_empty_segment_keeps_its_value(true_label: np.ndarray) -> None:
    without = np.where(true_label == DISC.value, 0, true_label).astype(np.uint8)
    np.testing.assert_array_equal(relabel(without, [s.name for s in TRAINED]), without)


def test_without_names_the_values_are_the_tables(true_label: np.ndarray) -> None:
    np.testing.assert_array_equal(relabel(true_label.astype(np.int32), None), true_label)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["L4", "disc", "L5"], "no structure 'disc'; the structures are L4, disc_L4_5, L5"),
        (["L4", "L4", "L5"], "'L4' comes twice"),
        (["L4", "disc_L4_5"], "the value 3, which has no name"),
    ],
)
def test_names_that_cannot_be_used(true_label: np.ndarray, names: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        relabel(true_label, names)


def test_a_value_beyond_the_table_without_names(true_label: np.ndarray) -> None:
    true_label[0, 0, 0] = FORAMEN_LEFT.value
    with pytest.raises(InputError, match="the value 4, which has no name"):
        relabel(true_label, None)


def test_an_empty_label_is_refused() -> None:
    with pytest.raises(InputError, match="the label is empty"):
        relabel(np.zeros((3, 3, 3), np.uint8), None)


def test_idx_is_not_looked_at() -> None:
    assert names_of([{"name": "L5", "idx": 7}, {"name": "L4", "idx": 1, "color": [1, 2, 3]}]) == ["L5", "L4"]


@pytest.mark.parametrize("info", [None, [], {}])
def test_no_names_were_sent(info: object) -> None:
    assert names_of(info) is None


@pytest.mark.parametrize("info", ["L4", {"name": "L4"}, [{"idx": 1}], ["L4"], [{"name": ""}], 7, [{"name": 3}]])
def test_label_info_of_another_kind(info: object) -> None:
    with pytest.raises(InputError, match="label_info"):
        names_of(info)


def test_grids_that_agree_within_rounding(true_label: np.ndarray) -> None:
    moved = GRID.copy()
    moved[:3, 3] += 0.001
    refuse_other_grid(Volume(true_label, moved), Volume(true_label, GRID))


def test_another_shape_is_refused(true_label: np.ndarray) -> None:
    with pytest.raises(InputError, match="the label has 6x5x3 voxels, the image 6x5x4"):
        refuse_other_grid(Volume(true_label[..., :3], GRID), Volume(true_label, GRID))


def test_a_flipped_axis_is_refused(true_label: np.ndarray) -> None:
    flipped = GRID @ np.diag([-1, 1, 1, 1])
    with pytest.raises(InputError, match=r"8\.00 mm away"):
        refuse_other_grid(Volume(true_label, flipped), Volume(true_label, GRID))
