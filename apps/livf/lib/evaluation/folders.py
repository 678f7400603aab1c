"""Which prediction belongs to which truth: by the cases' names, in any of the layouts that are met."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from livf.lib.errors import InputError, NotFoundError
from livf.lib.evaluation.cases import PARTS, Pair, Part
from livf.lib.evaluation.cohort import Subject
from livf.lib.images import LABEL_SUFFIXES, suffix_of

#: Where labels lie in a data set's folder: ours, nnU-Net's.
_LABEL_FOLDERS: Final = ("labels", "labelsTr")
#: The label in a case's folder, as ``livf run`` writes it.
_RUN_LABEL: Final = "label.nii.gz"


@dataclass(frozen=True)
class Matched:
    """What two folders hold.

    Attributes:
        pairs: Cases in both, by name.
        without_truth: Predictions whose case has no truth.
        without_prediction: Cases of the truth that nobody predicted.
    """

    pairs: tuple[Pair, ...]
    without_truth: tuple[str, ...]
    without_prediction: tuple[str, ...]


def match(
    predictions: Path, truth: Path, subjects: Mapping[str, Subject] | None = None, *, suffix: str = ""
) -> Matched:
    """Pair the labels of two folders by case.

    A case's name is its file's without the format's suffix. ``predictions`` may also be what ``livf run`` writes (a
    folder a case) or ``livf crossval`` (``fold_K/predictions/PART``); ``truth`` may be a data set (``labels`` or
    ``labelsTr`` below it).

    Args:
        predictions: Folder.
        truth: Folder.
        subjects: What is known of the cases.
        suffix: What follows the case's name in the predictions' file names, before the format's suffix
            (``_seg-vert_msk``); files without it are passed over.

    Raises:
        NotFoundError: A folder does not exist.
        InputError: A folder holds no label, a case twice, or no case is in both.
    """
    for folder in (predictions, truth):
        if not folder.is_dir():
            raise NotFoundError("there is no such folder", folder, "give a folder of labels")
    subjects = subjects or {}
    inner = next((truth / name for name in _LABEL_FOLDERS if (truth / name).is_dir()), truth)
    true = _labels(inner)
    found = list(_predictions(predictions, suffix))
    if not found:
        kinds = f"{', '.join(LABEL_SUFFIXES)}" + (f" with {suffix} before it" if suffix else "")
        raise InputError("holds no label", predictions, f"give a folder of label files ({kinds})")
    pairs, unknown = [], set()
    for case, path, fold, part in found:
        if case not in true:
            unknown.add(case)
            continue
        subject = subjects.get(case, Subject(case))
        pairs.append(Pair(case, path, true[case], subject.patient, subject.group, fold, part))
    if not pairs:
        raise InputError(
            f"has no case of {inner} (here {_some(unknown)}; there {_some(set(true))})", predictions,
            "name both files of a case the same, or give --suffix",
        )  # fmt: skip
    missing = set(true) - {pair.case for pair in pairs}
    return Matched(tuple(pairs), tuple(sorted(unknown)), tuple(sorted(missing)))


def _predictions(folder: Path, suffix: str) -> Iterator[tuple[str, Path, int | None, Part]]:
    folds = {
        int(found[1]): entry
        for entry in folder.iterdir()
        if (found := re.fullmatch(r"fold_(\d+)", entry.name)) and (entry / "predictions").is_dir()
    }
    for fold, entry in sorted(folds.items()):
        for part in PARTS:
            if (entry / "predictions" / part).is_dir():
                for case, path in _labels(entry / "predictions" / part, suffix).items():
                    yield case, path, fold, part
    if not folds:
        for case, path in _labels(folder, suffix).items():
            yield case, path, None, "test"


def _labels(folder: Path, suffix: str = "") -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and (entry / _RUN_LABEL).is_file():
            case, path = entry.name, entry / _RUN_LABEL
        elif entry.is_file() and suffix_of(entry.name) in LABEL_SUFFIXES:
            stem = entry.name[: -len(suffix_of(entry.name))]  # the suffix may be in capitals
            if not stem.endswith(suffix):
                continue
            case, path = stem.removesuffix(suffix), entry
        else:
            continue
        if case in found:
            raise InputError(f"holds the case {case} twice", folder, f"keep {found[case].name} or {path.name}")
        found[case] = path
    if not found and not suffix:
        raise InputError("holds no label", folder, f"give a folder of label files ({', '.join(LABEL_SUFFIXES)})")
    return found


def _some(names: set[str]) -> str:
    chosen = sorted(names)
    return ", ".join(chosen[:3]) + (f" and {len(chosen) - 3} more" if len(chosen) > 3 else "") if chosen else "none"
