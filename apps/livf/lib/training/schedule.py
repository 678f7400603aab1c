"""Learning rates: by step, so that a training which was interrupted goes on as if it had not been."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from livf.lib.training.presets import Optimisation


class Schedule(Protocol):
    """Says how a training goes on."""

    def rate(self, step: int, seconds: float) -> float | None:
        """Learning rate of a step (from 0) that starts after so many seconds of training; None: it is done."""

    def share(self, step: int, seconds: float) -> float:
        """Share of the training that is done, 0 to 1."""


@dataclass(frozen=True)
class EpochSchedule:
    """A fixed number of epochs.

    Attributes:
        settings: Curve and epochs.
        steps: Steps of an epoch.
    """

    settings: Optimisation
    steps: int

    def rate(self, step: int, seconds: float) -> float | None:
        del seconds
        chosen, total = self.settings, self.settings.epochs * self.steps
        if step >= total:
            return None
        if chosen.curve == "drops":
            passed = sum(step >= epoch * self.steps for epoch in chosen.drops)
            return chosen.rate / chosen.divisor**passed
        warm = max(1.0, chosen.warm_up * self.steps)
        return chosen.rate * min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / total))

    def share(self, step: int, seconds: float) -> float:
        del seconds
        return min(1.0, step / (self.settings.epochs * self.steps))


@dataclass(frozen=True)
class TimeSchedule:
    """A time budget, over which the rate falls to zero along a cosine.

    Attributes:
        minutes: The budget.
        largest: Learning rate at the top.
        warm_up: Steps over which it rises.
    """

    minutes: float
    largest: float = 2e-3
    warm_up: int = 20

    def rate(self, step: int, seconds: float) -> float | None:
        share = seconds / (self.minutes * 60)
        if share >= 1:
            return None
        return self.largest * min(1.0, (step + 1) / self.warm_up) * 0.5 * (1 + math.cos(math.pi * share))

    def share(self, step: int, seconds: float) -> float:
        del step
        return min(1.0, seconds / (self.minutes * 60))
