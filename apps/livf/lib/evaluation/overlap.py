"""Overlap of two labels, per structure, in the original image space (Chen et al. 2022, Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import DISC, TRAINED, VERTEBRAE, Structure

Label = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Overlap:
    """Overlap of one structure.

    Attributes:
        dice: Dice similarity coefficient, 0 to 1.
        precision: Share of the prediction that is true.
        recall: Share of the truth that was found.
    """

    dice: float
    precision: float
    recall: float


def overlap(predicted: Label, truth: Label, structure: Structure) -> Overlap:
    """Overlap of one structure in two labels of one shape.

    A structure that is in neither counts as agreement (1, 1, 1); one that is in only one of them as none (0, 0, 0).

    Raises:
        ValueError: The labels have different shapes.
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"labels of different shapes: {predicted.shape} and {truth.shape}")
    one, two = predicted == structure.value, truth == structure.value
    both, first, second = (int(np.count_nonzero(mask)) for mask in (one & two, one, two))
    if not first and not second:
        return Overlap(1.0, 1.0, 1.0)
    if not first or not second:
        return Overlap(0.0, 0.0, 0.0)
    return Overlap(2 * both / (first + second), both / first, both / second)


def dice_table(predicted: Label, truth: Label) -> dict[str, float]:
    """Dice of each structure, and the paper's means.

    Returns:
        Dice by structure name, and under ``VBS`` the mean of the two vertebrae, ``IVD`` the disc, ``all`` the mean of
        the three structures.
    """
    scores = {structure.name: overlap(predicted, truth, structure).dice for structure in TRAINED}
    return scores | {
        "VBS": _mean(scores, VERTEBRAE),
        "IVD": scores[DISC.name],
        "all": _mean(scores, TRAINED),
    }


def _mean(scores: dict[str, float], structures: Sequence[Structure]) -> float:
    return fmean(scores[structure.name] for structure in structures)
