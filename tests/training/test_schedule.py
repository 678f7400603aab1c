"""Learning rates: the paper's drops, the cosine, the time budget."""

from __future__ import annotations

from itertools import pairwise

import pytest

from livf.lib.training.presets import Optimisation, preset
from livf.lib.training.schedule import EpochSchedule, TimeSchedule


def test_the_papers_rate_is_divided_by_five_at_epochs_33_and_66() -> None:
    schedule = EpochSchedule(preset("chen2022").optimisation, steps=35)
    rates = [schedule.rate(epoch * 35, 0.0) for epoch in range(100)]
    assert rates[:33] == [5e-4] * 33
    assert rates[33:66] == pytest.approx([1e-4] * 33)
    assert rates[66:] == pytest.approx([2e-5] * 34)
    assert schedule.rate(33 * 35 - 1, 0.0) == 5e-4
    assert schedule.rate(3499, 0.0) is not None
    assert schedule.rate(3500, 0.0) is None
    assert schedule.share(1750, 0.0) == 0.5


def test_the_cosine_rises_and_falls() -> None:
    schedule = EpochSchedule(Optimisation(rate=1e-2, curve="cosine", drops=(), warm_up=1, epochs=10), steps=10)
    rates = [schedule.rate(step, 0.0) or 0.0 for step in range(100)]
    top = max(range(100), key=rates.__getitem__)
    assert 5 <= top <= 10
    assert rates[top] > 9e-3
    assert all(one < two for one, two in pairwise(rates[:top]))
    assert all(one > two for one, two in pairwise(rates[top:]))
    assert rates[99] < 1e-5
    assert schedule.rate(100, 0.0) is None


def test_a_time_budget_ends_by_the_clock() -> None:
    schedule = TimeSchedule(minutes=1, largest=1e-2, warm_up=10)
    assert schedule.rate(10**6, 30.0) == pytest.approx(5e-3)
    assert schedule.rate(10**6, 60.0) is None
    assert schedule.share(0, 15.0) == 0.25
