"""A number with its confidence interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]

#: Coverage of every confidence interval that is not said to have another.
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number and its confidence interval; NaN for what is not defined.

    Attributes:
        value: The number.
        low: Lower end of the interval.
        high: Upper end.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def defined(self) -> bool:
        """Whether there is a number."""
        return not math.isnan(self.value)


def mean_interval(values: Sequence[float] | Floats, confidence: float = CONFIDENCE) -> Estimate:
    """Mean of independent values with Student's confidence interval.

    Args:
        values: ``(n,)``. NaN are left out: count them beside.
        confidence: Coverage, 0 to 1.

    Returns:
        NaN without a value; an interval from two values on.
    """
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[~np.isnan(kept)]
    if not kept.size:
        return Estimate(math.nan)
    mean = float(kept.mean())
    if kept.size < 2:
        return Estimate(mean)
    half = float(stats.t.ppf((1 + confidence) / 2, kept.size - 1) * kept.std(ddof=1) / math.sqrt(kept.size))
    return Estimate(mean, mean - half, mean + half)
