"""One predicted label beside its truth: how well the structures overlap, and what both measure.

The rule for structures that are not there, the same for every case:

- in both labels (``both``): scored;
- in the truth only (``missing``): DSC, precision and recall are 0; there is no surface, so no distance;
- in the prediction only (``extra``): the same;
- in neither (``neither``), or not among what the predicting tool labels at all (``unlabelled``): not scored.

A mean over structures (VBS, "VBS and IVD") exists where each of them is scored. What is not scored, and each distance
that does not exist, is counted in the tables.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Final, Literal

import numpy as np

from livf.lib.anatomy import DISC, STRUCTURES, TRAINED, VERTEBRAE, Structure
from livf.lib.errors import InputError, LivfError
from livf.lib.evaluation.overlap import overlap
from livf.lib.evaluation.surface import surface_distances
from livf.lib.foramen import SIDES, ForamenMeasurement, Side, measure
from livf.lib.images import read_label
from livf.lib.numberings import OURS, Numbering
from livf.lib.values import Volume

_LOG: Final = logging.getLogger(__name__)

Part = Literal["training", "validation", "test"]
Presence = Literal["both", "missing", "extra", "neither", "unlabelled"]
Metric = Literal["dsc", "precision", "recall", "hd95_mm", "assd_mm"]

PARTS: Final[tuple[Part, ...]] = ("training", "validation", "test")
#: The paper's names for means over structures: title, and which.
REGIONS: Final[dict[str, tuple[str, tuple[Structure, ...]]]] = {
    "all": ("VBS and IVD", TRAINED),
    "VBS": ("VBS", VERTEBRAE),
    "IVD": ("IVD", (DISC,)),
}
#: Affines that agree to this come from one image; file formats keep single precision.
SAME_GRID_MM: Final = 1e-3


@dataclass(frozen=True)
class Pair:
    """A prediction and its truth.

    Attributes:
        case: Name of the case.
        prediction: Label file.
        truth: Label file on the same grid.
        patient: Whose it is; empty: a patient of its own.
        group: Diagnosis group; empty where none is known.
        fold: Of a cross-validation.
        part: What the case was in that fold.
    """

    case: str
    prediction: Path
    truth: Path
    patient: str = ""
    group: str = ""
    fold: int | None = None
    part: Part = "test"

    @property
    def subject(self) -> str:
        """The patient, or the case where no patient is named."""
        return self.patient or self.case


@dataclass(frozen=True)
class StructureScore:
    """Scores of one structure; NaN for what is not defined (see the rule at the module's head)."""

    presence: Presence
    dsc: float = math.nan
    precision: float = math.nan
    recall: float = math.nan
    hd95_mm: float = math.nan
    assd_mm: float = math.nan


@dataclass(frozen=True)
class Foramen:
    """What one label measures on one side.

    Attributes:
        values: Numbers by name (``area_mm2``, ``height_mm``, ``width_mm``); None for a number that does not exist.
            Empty where the side was refused.
        reasons: Why it was refused; empty where it was measured.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForamenPair:
    """One side, measured on both labels."""

    side: Side
    prediction: Foramen
    truth: Foramen


@dataclass(frozen=True)
class Scored:
    """A scored pair.

    Attributes:
        pair: What was scored.
        structures: Scores by structure name.
        foramina: Both sides; empty where they were not asked for.
    """

    pair: Pair
    structures: dict[str, StructureScore]
    foramina: tuple[ForamenPair, ...] = ()

    def score(self, metric: Metric, region: str) -> float:
        """A structure's score by its name, or a region's mean by its name in :data:`REGIONS`; NaN: not defined."""
        members = REGIONS[region][1] if region in REGIONS else ()
        names = [structure.name for structure in members] or [region]
        return fmean(getattr(self.structures[name], metric) for name in names)


@dataclass(frozen=True)
class Failure:
    """A pair that could not be scored, and why in one line."""

    pair: Pair
    reason: str


@dataclass(frozen=True)
class Reading:
    """How pairs are read and scored.

    Attributes:
        prediction: What the numbers in the predictions mean.
        truth: What the numbers in the truth mean.
        foramina: Parts whose foramina are measured.
    """

    prediction: Numbering = OURS
    truth: Numbering = OURS
    foramina: tuple[Part, ...] = ("test",)

    def __reduce__(self) -> tuple[type[Reading], tuple[Numbering, Numbering, tuple[Part, ...]]]:
        # It goes to worker processes, and the numberings' read-only mappings cannot be pickled.
        return type(self), (_plain(self.prediction), _plain(self.truth), self.foramina)


def score(pair: Pair, reading: Reading) -> Scored:
    """Score one pair.

    Raises:
        LivfError: A file cannot be read, holds numbers that mean nothing, or lies on another grid than its truth.
    """
    truth, predicted = read_pair(pair, reading)
    one, two = np.asarray(predicted.array), np.asarray(truth.array)
    structures = {}
    for structure in TRAINED:
        if structure not in reading.prediction.structures or structure not in reading.truth.structures:
            structures[structure.name] = StructureScore("unlabelled")
            continue
        structures[structure.name] = _structure(predicted, truth, structure)
    foramina: tuple[ForamenPair, ...] = ()
    if pair.part in reading.foramina:
        first, second = measure(one, predicted.affine), measure(two, truth.affine)
        foramina = tuple(
            ForamenPair(side, _foramen(first.foramina[side]), _foramen(second.foramina[side])) for side in SIDES
        )
    return Scored(pair, structures, foramina)


def attempt(pair: Pair, reading: Reading) -> Scored | Failure:
    """:func:`score`, with whatever goes wrong as a value: one bad case is no reason to lose the others."""
    try:
        return score(pair, reading)
    except LivfError as error:
        return Failure(pair, error.line)
    except Exception as error:
        _LOG.exception("%s failed", pair.case)
        return Failure(pair, f"{type(error).__name__}: {error}")


def read_pair(pair: Pair, reading: Reading) -> tuple[Volume, Volume]:
    """Truth and prediction in our numbers, on one grid.

    Nothing is resampled: that would change the scores it is to judge.

    Raises:
        LivfError: See :func:`score`.
    """
    truth = _read(pair.truth, reading.truth)
    predicted = _read(pair.prediction, reading.prediction)
    if predicted.shape != truth.shape:
        what = f"has {_by(predicted.shape)} voxels, and its truth {pair.truth.name} {_by(truth.shape)}"
    elif (apart := float(np.abs(predicted.affine - truth.affine).max())) > SAME_GRID_MM:
        what = f"lies elsewhere than its truth {pair.truth.name} (affines differ by {apart:.3g})"
    else:
        return truth, predicted
    raise InputError(
        what, pair.prediction, "bring it to the truth's grid by nearest neighbour, and see that both are of one image"
    )


def _read(path: Path, numbering: Numbering) -> Volume:
    volume = read_label(path)
    array = np.asarray(volume.array)
    if numbering.is_ours:
        known = {structure.value for structure in STRUCTURES}
        strange = sorted(set(np.unique(array).tolist()) - known - {0})
        if strange:
            raise InputError(
                f"holds {', '.join(map(str, strange[:5]))}, which is no structure of livf's", path,
                "say whose numbers these are with --labels or --truth-labels",
            )  # fmt: skip
    return Volume(numbering.to_ours(array), volume.affine, volume.source)


def _structure(predicted: Volume, truth: Volume, structure: Structure) -> StructureScore:
    one, two = np.asarray(predicted.array) == structure.value, np.asarray(truth.array) == structure.value
    here, there = bool(one.any()), bool(two.any())
    if not here and not there:
        return StructureScore("neither")
    if not (here and there):
        return StructureScore("extra" if here else "missing", 0.0, 0.0, 0.0)
    found = overlap(np.asarray(predicted.array), np.asarray(truth.array), structure)
    distances = surface_distances(one, two, truth.affine)
    assert distances is not None
    return StructureScore("both", found.dice, found.precision, found.recall, distances.hd95_mm, distances.assd_mm)


def _foramen(foramen: ForamenMeasurement) -> Foramen:
    numbers = foramen.numbers
    if numbers is None:
        return Foramen(reasons=foramen.reasons)
    return Foramen({name: getattr(numbers, name) for name in ("area_mm2", "height_mm", "width_mm")})


def _plain(numbering: Numbering) -> Numbering:
    return replace(
        numbering,
        numbers=dict(numbering.numbers),
        partial=dict(numbering.partial),
        beyond=dict(numbering.beyond),
    )


def _by(shape: Sequence[int]) -> str:
    return "×".join(str(n) for n in shape)
