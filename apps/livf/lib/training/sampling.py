"""Which cases a step sees, and how they are varied: all by counters, so a training goes on exactly where it stopped.

Nothing here keeps a state. The order of an epoch depends on (seed, epoch), the variation of a case on (seed, epoch, its
number), whatever process prepares it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import CHANNELS
from livf.lib.segmentation.config import Shape
from livf.lib.training.augmentation import augment
from livf.lib.training.cache import PreparedCase
from livf.lib.training.presets import TrainingConfig

Pair = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
#: Epoch, and number of the case.
Key = tuple[int, int]
MicroBatch = tuple[Key, ...]

_ORDER: Final = 1
_VARIATION: Final = 2


class TrainingCases:
    """Cases by epoch and number, varied: image ``(1, S, R, A)`` and target ``(C, S, R, A)``."""

    def __init__(self, cases: Sequence[PreparedCase], config: TrainingConfig, seed: int) -> None:
        self._cases, self._config, self._seed = cases, config, seed

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, key: Key) -> Pair:
        epoch, number = key
        case, config = self._cases[number], self._config
        return augment(
            case.image.astype(np.float32),
            np.array(case.label),  # a copy: torch takes no read-only arrays
            channels=CHANNELS,
            spacing=config.preprocess.spacing_mm,
            shape=config.preprocess.box_shape,
            rng=np.random.default_rng((self._seed, _VARIATION, epoch, number)),
            settings=config.augmentation,
            soft=config.soft_targets,
            covered=case.covered,
        )


class ValidationCases:
    """Cases as the network meets them when it is used: image ``(1, S, R, A)`` and label ``(S, R, A)``."""

    def __init__(self, cases: Sequence[PreparedCase], shape: Shape) -> None:
        self._cases, self._shape = cases, shape

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        image, label = self._cases[number].middle(self._shape)
        return image[None], label


@dataclass(frozen=True)
class Epochs:
    """The steps of a training of so many cases.

    Attributes:
        cases: How many there are.
        seed: Of their order.
        batch: Cases that pass the network together.
        micro_batches: How many of these make a step.
    """

    cases: int
    seed: int
    batch: int
    micro_batches: int

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last one may have fewer cases."""
        return -(-self.cases // (self.batch * self.micro_batches))

    def epoch(self, step: int) -> int:
        """The epoch of a step, both from 0."""
        return step // self.steps

    def __call__(self, step: int) -> tuple[MicroBatch, ...]:
        """The micro-batches of a step, from 0. Each case comes once an epoch.

        In the last step of an epoch they share what is left as evenly as can be; some may be empty.
        """
        epoch, within = divmod(step, self.steps)
        order = np.random.default_rng((self.seed, _ORDER, epoch)).permutation(self.cases)
        size = self.batch * self.micro_batches
        chosen = order[within * size : (within + 1) * size]
        return tuple(
            tuple((epoch, int(number)) for number in part) for part in np.array_split(chosen, self.micro_batches)
        )
