"""Training cases from images painted beforehand (:mod:`livf.lib.synthesis.painting.shards`).

What is costly (anatomy, deformation, acquisition) was varied when they were painted. Here each showing varies what is
cheap: mirrored or not, another tone curve, gain, noise. Case ``n`` is the same whenever the folder is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.errors import InputError
from livf.lib.segmentation.preprocess import CLIP_BEYOND, CLIP_PERCENTILES
from livf.lib.synthesis.painting.shards import Shard, count_examples, read_shard

#: Shards that are shown alternately, so that neighbouring cases show other people.
_OPEN: Final = 2
#: Knots of the tone curve, and SD of the logarithm of its slopes.
_KNOTS: Final = 7
_CONTRAST: Final = 0.35
#: The network meets images normalised over other regions than the window: spread of gain (logarithm) and offset.
_GAIN: Final = 0.15
_OFFSET: Final = 0.25
#: Most noise added, in SD of the image.
_NOISE: Final = 0.12


class PaintedCases:
    """Cases of some shards by number, without end.

    Args:
        shards: Paths, of boxes of one shape and as many examples each.
        channels: Classes of the target.
        seed: Of order and variation.

    Raises:
        InputError: A shard is damaged, or they hold different numbers of examples.
    """

    def __init__(self, shards: Sequence[Path], channels: int, seed: int) -> None:
        self._shards, self._size = tuple(shards), count_examples(shards[0])
        for path in self._shards:
            if count_examples(path) != self._size:
                raise InputError(f"does not hold {self._size} examples as the others do", path, "make it again")
        self._channels, self._seed = channels, seed

    def __getitem__(self, key: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Image ``(1, S, R, A)`` and one-hot target ``(C, S, R, A)``."""
        shard, place = self._place(key)
        rng = np.random.default_rng((self._seed, 1, key))
        image, label = _network_order(_read(shard), place)
        if rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        return vary(image, rng)[None], one_hot(label, self._channels)

    def _place(self, key: int) -> tuple[Path, int]:
        """Which example a case shows: all once before any twice."""
        count = len(self._shards)
        total = count * self._size
        epoch, at = divmod(key, total)
        order = np.random.default_rng((self._seed, 0, epoch)).permutation(count)
        group, within = divmod(at, _OPEN * self._size)
        together = order[group * _OPEN : (group + 1) * _OPEN]
        shard = int(together[within % len(together)])
        places = np.random.default_rng((self._seed, 2, epoch, shard)).permutation(self._size)
        return self._shards[shard], int(places[within // len(together)])


class PaintedChecks:
    """Validation cases: some examples of a shard as they are."""

    def __init__(self, shard: Path, count: int) -> None:
        held = read_shard(shard)
        chosen = np.linspace(0, len(held.images) - 1, min(count, len(held.images))).astype(int)
        self._cases = [_network_order(held, int(place)) for place in chosen]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._cases)

    def __getitem__(self, number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Image ``(1, S, R, A)`` and label ``(S, R, A)``."""
        image, label = self._cases[number]
        return scored(image.astype(np.float32), image > 0)[None], np.ascontiguousarray(label)


def vary(image: npt.NDArray[np.int16], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Another tone curve, gain, offset and noise.

    Args:
        image: 0 outside the field of view.
        rng: Source of variation.

    Returns:
        Z-scored about, of the same shape; 0 outside the field of view.
    """
    inside = image > 0
    if not inside.any():
        return np.zeros(image.shape, dtype=np.float32)
    some = image[::4, ::4, ::4]
    some = some[some > 0] if (some > 0).any() else image[inside]
    low, high = np.percentile(some, CLIP_PERCENTILES)
    grey = np.arange(int(image.max()) + 1)
    tone = np.clip((grey - low) / max(float(high - low), 1.0), 0, CLIP_BEYOND)
    steps = np.exp(rng.normal(0, _CONTRAST, _KNOTS - 1))
    heights = np.concatenate(([0.0], np.cumsum(steps)))
    table = np.interp(tone, np.linspace(0, CLIP_BEYOND, _KNOTS), heights / heights[-1]).astype(np.float32)
    found: npt.NDArray[np.float32] = scored(table[image], inside)
    found *= np.float32(np.exp(rng.normal(0, _GAIN)))
    found += np.float32(rng.normal(0, _OFFSET))
    noise = float(rng.uniform(-_NOISE, _NOISE))
    if noise > 0:
        found += np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    found[~inside] = 0
    return found


def scored(image: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Mean 0 and standard deviation 1 inside, 0 outside."""
    kept = image[inside]
    if not kept.size:
        return np.zeros(image.shape, dtype=np.float32)
    result = (image - kept.mean(dtype=np.float64)) / max(float(kept.std(dtype=np.float64)), 1e-6)
    return np.asarray(np.where(inside, result, 0), dtype=np.float32)


def one_hot(label: npt.NDArray[np.uint8], channels: int) -> npt.NDArray[np.float32]:
    """``(C, *shape)`` of a label with values 0 to C - 1."""
    return np.stack([label == value for value in range(channels)]).astype(np.float32)


def _network_order(shard: Shard, place: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Image and label as (superior, right, anterior)."""
    return shard.images[place].transpose(2, 0, 1), shard.labels[place].transpose(2, 0, 1)


@lru_cache(maxsize=_OPEN)
def _read(path: Path) -> Shard:
    return read_shard(path)


__all__ = ["PaintedCases", "PaintedChecks", "one_hot", "scored", "vary"]
