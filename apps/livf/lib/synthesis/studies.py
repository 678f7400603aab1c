"""A phantom on disk: image, label and truth.

The layout of a data set, one folder for each kind, so that a tool that takes a whole folder finds images only::

    FOLDER/images/phantom_00007.nii.gz
    FOLDER/labels/phantom_00007.nii.gz     values of the anatomy table, on the image's grid
    FOLDER/truth/phantom_00007.json        parameters, group, frame, truth of both foramina; written last
    FOLDER/cases.csv                       one line a case (see :mod:`livf.lib.synthesis.cohort`)

Nothing here holds a date or a path: the same seed gives the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

from livf.lib.images import write_image, write_label
from livf.lib.storage import make_folder, write_text
from livf.lib.synthesis.morphometry import GROUP_COUNTS, Group
from livf.lib.synthesis.phantom import GENERATOR_VERSION, Phantom, make_phantom
from livf.lib.synthesis.slab import Side
from livf.lib.synthesis.truth import PARTS, STEP_MM, ForamenTruth, foramen_truth

SCHEMA: Final = "livf.phantom/1"
#: Digits after the point in the document, for lengths in mm and for directions.
_DIGITS: Final = 4
_DIGITS_OF_DIRECTION: Final = 9


@dataclass(frozen=True)
class StudyPaths:
    """Where the files of one study lie."""

    image: Path
    label: Path
    truth: Path

    @classmethod
    def of(cls, folder: str | os.PathLike[str], name: str) -> StudyPaths:
        """Paths of the case ``name`` in a data set's folder."""
        folder = Path(folder)
        return cls(
            folder / "images" / f"{name}.nii.gz",
            folder / "labels" / f"{name}.nii.gz",
            folder / "truth" / f"{name}.json",
        )

    def exist(self) -> bool:
        """Whether the study was written whole."""
        return self.image.is_file() and self.label.is_file() and self.truth.is_file()


def study_name(seed: int) -> str:
    """Name of the case made from ``seed``."""
    return f"phantom_{seed:05d}"


def group_of(seed: int) -> Group:
    """Diagnosis group of a cohort's case.

    It depends on the seed alone, not on the cohort's size; any 100 seeds in a row hold the groups as often as the 100
    subjects of Chen et al. 2022, and shorter runs nearly so.
    """
    return _ROTA[seed % len(_ROTA)]


def _rota() -> tuple[Group, ...]:
    """Groups spread evenly: each place goes to the group that is furthest behind its share."""
    total = sum(GROUP_COUNTS.values())
    given = dict.fromkeys(GROUP_COUNTS, 0)
    rota = []
    for place in range(1, total + 1):
        group = max(GROUP_COUNTS, key=lambda g: GROUP_COUNTS[g] * place / total - given[g])
        given[group] += 1
        rota.append(group)
    return tuple(rota)


_ROTA: Final = _rota()


def write_study(folder: str | os.PathLike[str], phantom: Phantom) -> StudyPaths:
    """Write image, label and truth of a phantom into a data set's folder, made if missing.

    The truth comes last, so that a study with a truth is whole.

    Raises:
        OutputError: The folder cannot be written to, or the disk is full.
    """
    paths = StudyPaths.of(folder, study_name(phantom.seed))
    for path in (paths.image, paths.label, paths.truth):
        make_folder(path.parent)
    document = truth_document(phantom)
    write_image(paths.image, phantom.image)
    write_label(paths.label, phantom.label, phantom.affine)
    write_text(paths.truth, json.dumps(document, sort_keys=True, indent=1, allow_nan=False) + "\n")
    return paths


def write_studies(folder: str | os.PathLike[str], seeds: Iterable[int]) -> list[Path]:
    """Write only the images of some phantoms, flat, as a MONAI Label studies folder wants them.

    Images that are there already are kept.

    Raises:
        OutputError: The folder cannot be written to, or the disk is full.
    """
    return [write_image_only(folder, seed, group_of(seed)) for seed in seeds]


def write_image_only(folder: str | os.PathLike[str], seed: int, group: Group) -> Path:
    """Write the image of one phantom into ``folder`` itself, unless it is there, and return its path.

    Raises:
        OutputError: The folder cannot be written to, or the disk is full.
    """
    make_folder(folder)
    path = Path(folder) / f"{study_name(seed)}.nii.gz"
    if not path.is_file():
        write_image(path, make_phantom(seed, group=group).image)
    return path


def truth_document(phantom: Phantom) -> dict[str, Any]:
    """The JSON of a study: what it was made from, and what a measurement should find."""
    frame = phantom.spine.frame
    sides: tuple[Side, ...] = get_args(Side)
    return {
        "schema": SCHEMA,
        "generator": GENERATOR_VERSION,
        "case": study_name(phantom.seed),
        "seed": phantom.seed,
        "group": phantom.group,
        "parameters": phantom.parameters,
        "frame": {
            "origin_ras_mm": _rounded(frame.origin),
            "left": _rounded(frame.left, _DIGITS_OF_DIRECTION),
            "anterior": _rounded(frame.anterior, _DIGITS_OF_DIRECTION),
            "superior": _rounded(frame.superior, _DIGITS_OF_DIRECTION),
        },
        "step_mm": STEP_MM,
        "foramina": {side: _foramen(foramen_truth(phantom.spine, side)) for side in sides},
    }


def _foramen(truth: ForamenTruth) -> dict[str, Any]:
    """Numbers of one side, with the outline and the landmarks as (A, S) mm of the frame."""
    return {
        "area_mm2": _rounded(truth.area_mm2),
        "height_mm": _rounded(truth.height_mm),
        "width_mm": _rounded(truth.width_mm),
        "closed_gap_mm": _rounded(truth.closed_gap_mm),
        "slab_mm": _rounded(truth.slab_mm),
        "reasons": list(truth.reasons),
        "outline_as_mm": _rounded(truth.outline),
        "outline_parts": [PARTS[part] for part in truth.parts],
        "landmarks_as_mm": {name: _rounded(point) for name, point in truth.landmarks.items()},
    }


def _rounded(value: Any, digits: int = _DIGITS) -> Any:
    if value is None:
        return None
    # + 0.0 turns -0.0 into 0.0.
    return (np.round(np.asarray(value, dtype=np.float64), digits) + 0.0).tolist()
