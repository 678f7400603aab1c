"""Bootstrap of patients: both foramina, or several scans, of one patient are drawn together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from livf.lib.evaluation.intervals import CONFIDENCE, Floats

#: Draws whose statistic is not defined (all of one patient, say) that an interval may stand on, as a share.
_MOST_UNDEFINED = 0.05


def clustered_intervals(
    statistic: Callable[[np.ndarray], Sequence[float]],
    clusters: Sequence[str],
    *,
    resamples: int,
    seed: int,
    confidence: float | Sequence[float] = CONFIDENCE,
) -> list[tuple[float, float]]:
    """Percentile intervals of statistics when whole clusters are drawn with replacement.

    Args:
        statistic: From indices into the observations, ``(m,)``, to the statistics; NaN for what is not defined.
        clusters: Cluster (patient) of each observation.
        resamples: How many draws.
        seed: Of the draws: the same seed gives the same intervals.
        confidence: Coverage, one for all statistics or one each.

    Returns:
        Lower and upper end of each statistic; NaN with fewer than three clusters, or where over 5 % of the draws
        left the statistic undefined.
    """
    names = sorted(set(clusters))
    width = len(statistic(np.arange(len(clusters))))
    if len(names) < 3:
        return [(math.nan, math.nan)] * width
    place = {name: index for index, name in enumerate(names)}
    members: list[list[int]] = [[] for _ in names]
    for index, name in enumerate(clusters):
        members[place[name]].append(index)
    groups = [np.asarray(group) for group in members]
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(groups), size=(resamples, len(groups)))
    found = np.array([statistic(np.concatenate([groups[i] for i in draw])) for draw in draws], dtype=np.float64)
    levels = np.broadcast_to(np.asarray(confidence, dtype=np.float64), width)
    return [_interval(found[:, column], float(levels[column])) for column in range(width)]


def _interval(values: Floats, confidence: float) -> tuple[float, float]:
    kept = values[~np.isnan(values)]
    if not kept.size or kept.size < (1 - _MOST_UNDEFINED) * values.size:
        return math.nan, math.nan
    low, high = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
