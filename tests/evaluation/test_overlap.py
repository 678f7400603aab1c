"""Overlap with arithmetic truth."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.evaluation.overlap import Overlap, dice_table, overlap


def bars(start: int, stop: int, value: int) -> np.ndarray:
    label = np.zeros((20, 3, 3), dtype=np.uint8)
    label[start:stop] = value
    return label


def test_shifted_bars() -> None:
    found = overlap(bars(4, 12, L4.value), bars(6, 16, L4.value), L4)
    assert found == Overlap(pytest.approx(2 * 6 / 18), pytest.approx(6 / 8), pytest.approx(6 / 10))


def test_missing_structures_follow_the_rule() -> None:
    empty, full = bars(0, 0, 0), bars(2, 5, DISC.value)
    assert overlap(empty, empty, DISC) == Overlap(1, 1, 1)
    assert overlap(empty, full, DISC) == overlap(full, empty, DISC) == Overlap(0, 0, 0)


def test_means_are_the_papers() -> None:
    truth = bars(0, 4, L4.value) + bars(4, 8, DISC.value) + bars(8, 12, L5.value)
    predicted = bars(0, 4, L4.value) + bars(4, 6, DISC.value) + bars(8, 12, L5.value)
    table = dice_table(predicted, truth)
    assert table[L4.name] == table[L5.name] == table["VBS"] == 1
    assert table[DISC.name] == table["IVD"] == pytest.approx(2 / 3)
    assert table["all"] == pytest.approx((1 + 1 + 2 / 3) / 3)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        overlap(bars(0, 1, 1), bars(0, 1, 1)[1:], L4)
