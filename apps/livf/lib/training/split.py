"""Dividing cases by patient, as often as possible alike in every diagnosis group. No torch.

A patient's cases always go together. The draw depends on the seed and on the names alone, not on the order of files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from livf.lib.dataset import Case
from livf.lib.errors import InputError, UsageError

#: The parts of a split, as folders and tables name them.
PARTS: Final = ("training", "validation", "test")
#: What stands in the column ``part`` of cases.csv.
_COLUMN: Final = "part"


@dataclass(frozen=True)
class Split:
    """Names of the cases of each part, sorted.

    Attributes:
        training: Seen by the optimiser.
        validation: For choosing between checkpoints.
        test: Seen by nobody.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Lists by part."""
        return {part: list(getattr(self, part)) for part in PARTS}


def by_share(cases: Sequence[Case], share: float, seed: int) -> Split:
    """Put about a share of the patients, at least one, into validation.

    Args:
        cases: All cases.
        share: 0 (no validation) up to, not including, 1.
        seed: Of the draw.

    Raises:
        UsageError: The share is impossible.
        InputError: There are too few patients.
    """
    if not 0 <= share < 1:
        raise UsageError(f"{share:g} is not a share from 0 to 1", "--validation", "give for instance 0.1")
    order = _dealt(cases, seed)
    count = 0 if share == 0 else max(1, round(share * len(order)))
    if not order or count >= len(order):
        raise InputError(
            f"{len(order)} patients cannot be divided into training and validation", "", "give more patients"
        )
    # Every n-th of a list that has the groups evenly mixed.
    chosen = {order[int((index + 0.5) * len(order) / count)] for index in range(count)}
    return _split(cases, dict.fromkeys(chosen, "validation"))


def by_column(cases: Sequence[Case]) -> Split:
    """Take the parts that the column ``part`` of cases.csv names.

    Raises:
        InputError: A part is missing or unknown, one patient has two, or nothing is left to train on.
    """
    parts: dict[str, str] = {}
    for case in cases:
        part = case.columns.get(_COLUMN, "").strip().lower()
        if part not in PARTS:
            raise InputError(
                f"has part {part!r}" if part else "has no part",
                case.name,
                f"write {', '.join(PARTS)} in the column {_COLUMN!r} of cases.csv",
            )
        if parts.setdefault(case.patient, part) != part:
            raise InputError(
                f"patient {case.patient} is in {parts[case.patient]} and in {part}",
                case.name,
                "put all cases of a patient into one part",
            )
    split = _split(cases, parts)
    if not split.training:
        raise InputError("no case is in the part training", "cases.csv", f"fill the column {_COLUMN!r}")
    return split


def folds(cases: Sequence[Case], number: int, seed: int) -> tuple[Split, ...]:
    """Divide the patients for cross-validation: everyone is tested once.

    With five folds a fold has 70 % of the patients in training, 10 % in validation and 20 % in test, as in the paper:
    the patients are dealt into ten hands; two are tested, the next is for validation.

    Args:
        cases: All cases.
        number: How many folds.
        seed: Of the draw.

    Raises:
        UsageError: There are fewer than two folds, or too few patients for so many.
    """
    order = _dealt(cases, seed)
    if number < 2:
        raise UsageError(f"{number} folds cannot be tested against one another", "--folds", "give 2 or more")
    hands = 2 * number
    if len(order) < hands:
        raise UsageError(f"{len(order)} patients are too few for {number} folds", "--folds", "give fewer folds")
    found = []
    for fold in range(number):
        parts = {}
        for place, patient in enumerate(order):
            hand = (place % hands - 2 * fold) % hands
            if hand < 3:
                parts[patient] = "test" if hand < 2 else "validation"
        found.append(_split(cases, parts))
    return tuple(found)


def _dealt(cases: Sequence[Case], seed: int) -> list[str]:
    """All patients, shuffled within their groups, one group after the other: dealt in turn, each hand gets alike."""
    groups: dict[str, str] = {}
    for case in sorted(cases, key=lambda case: case.name):
        groups.setdefault(case.patient, case.group or "")
    rng = np.random.default_rng(seed)
    order: list[str] = []
    for group in sorted(set(groups.values())):
        patients = sorted(patient for patient, its in groups.items() if its == group)
        order += [patients[place] for place in rng.permutation(len(patients))]
    return order


def _split(cases: Sequence[Case], parts: Mapping[str, str]) -> Split:
    """Cases by the part of their patient; those without one are trained on."""
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for case in cases:
        found[parts.get(case.patient, "training")].append(case.name)
    return Split(**{part: tuple(sorted(names)) for part, names in found.items()})
