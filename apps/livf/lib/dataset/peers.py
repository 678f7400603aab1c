"""Where other groups keep images and labels, after their own documentation.

=============  ==========================================================================================
spider         ``images/N_SEQUENCE.mha`` and ``masks/N_SEQUENCE.mha``, N the patient; ``overview.csv``
mrspineseg     ``MR/CaseN.nii.gz`` and ``Mask/mask_caseN.nii.gz``, anywhere below the folder
totalspineseg  ``step2_output/NAME.nii.gz``; images in ``input_raw``, ``input`` (``NAME_0000.nii.gz``) or ``images``
spineps        BIDS: images anywhere, ``..._mod-SUFFIX_seg-vert_msk.nii.gz`` below a folder ``derivatives...``
nnunet         ``imagesTr``, ``labelsTr``, ``dataset.json``; ``cases.csv`` where livf exported it
=============  ==========================================================================================
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from livf.lib.dataset import layouts
from livf.lib.dataset.cases import DatasetError
from livf.lib.dataset.layouts import stem
from livf.lib.dataset.table import TABLE_NAME, read_table
from livf.lib.errors import NotFoundError
from livf.lib.images import is_readable_name
from livf.lib.numberings import MRSPINESEG, OURS, SPIDER, SPINEPS, TOTALSPINESEG, TOTALSPINESEG_2024, Numbering
from livf.lib.values import Array

_SPIDER_NAME: Final = re.compile(r"(?P<patient>\d+)_(?P<sequence>.+)")
_SPIDER_COLUMNS: Final = ("sex", "subset")
_BIDS_SUBJECT: Final = re.compile(r"sub-(?P<subject>[^_]+)")
_SPINEPS_MASK: Final = "_seg-vert_msk"


@dataclass(frozen=True)
class Found:
    """A case in a peer's folder.

    Attributes:
        name: Of the case.
        images: Where its image may lie; the first on the label's grid is taken. Empty where there is none.
        label: Its label, None where there is none.
        patient: Whose it is.
        group: Diagnosis group, where the peer names one.
        columns: What else is known of it.
        numbering: By the label's own numbers, what they mean.
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None
    patient: str
    numbering: Callable[[Array], Numbering]
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


def find_spider(folder: Path) -> list[Found]:
    """Cases of SPIDER (https://doi.org/10.5281/zenodo.10159290)."""
    images, labels = _by_stem(_need(folder / "images")), _by_stem(_need(folder / "masks"))
    overview = _overview(folder / "overview.csv")
    found = []
    for name in sorted(images.keys() | labels.keys()):
        parts = _SPIDER_NAME.fullmatch(name)
        columns = {"sequence": parts["sequence"]} if parts else {}
        columns |= overview.get(name, {})
        patient = parts["patient"] if parts else name
        found.append(_found(name, images, labels, f"spider-{patient}", lambda _: SPIDER, columns=columns))
    return found


def find_mrspineseg(folder: Path) -> list[Found]:
    """Cases of the MRSpineSeg challenge (https://www.spinesegmentation-challenge.com)."""
    masks = [mask for mask in [folder / "Mask", *sorted(folder.rglob("Mask"))] if (mask.parent / "MR").is_dir()]
    if not masks:
        raise NotFoundError(
            "holds no folders MR and Mask side by side", folder, "give the folder train of the challenge"
        )
    images = _by_stem(masks[0].parent / "MR")
    labels = {
        name.removeprefix("mask_").replace("case", "Case", 1): paths for name, paths in _by_stem(masks[0]).items()
    }
    return [_found(name, images, labels, name, lambda _: MRSPINESEG) for name in sorted(images.keys() | labels.keys())]


def find_totalspineseg(folder: Path) -> list[Found]:
    """Cases of TotalSpineSeg's output (https://github.com/neuropoly/totalspineseg)."""
    labels = _by_stem(_need(folder / "step2_output"))
    places = [_by_stem(folder / place) for place in ("input_raw", "input", "images", ".")]
    return [
        Found(
            name,
            tuple(path for place in places for key in (f"{name}_0000", name) for path in place.get(key, ())),
            paths[0],
            _subject(name),
            _totalspineseg_numbering,
        )
        for name, paths in sorted(labels.items())
    ]


def find_spineps(folder: Path) -> list[Found]:
    """Cases of SPINEPS' output (https://github.com/Hendrik-code/spineps)."""
    images: dict[tuple[str, ...], list[Path]] = {}
    masks = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not is_readable_name(path):
            continue
        derived = any(part.startswith("derivatives") for part in path.relative_to(folder).parts[:-1])
        if stem(path).endswith(_SPINEPS_MASK):
            masks.append(path)
        elif not derived and not stem(path).endswith("_msk"):
            images.setdefault(_bids_key(stem(path)), []).append(path)
    if not masks:
        raise NotFoundError(
            f"holds no vertebra mask (..{_SPINEPS_MASK}.nii.gz)", folder, "give the folder with rawdata and derivatives"
        )
    found = []
    for mask in masks:
        name = stem(mask).removesuffix(_SPINEPS_MASK)
        key = _bids_key(name)
        own = images.get(key, []) or [
            p for k, paths in images.items() if k[1:] == key[1:] and not key[0] for p in paths
        ]
        found.append(Found(name, tuple(own), mask, _subject(name), lambda _: SPINEPS))
    return found


def find_nnunet(folder: Path) -> list[Found]:
    """Cases of an nnU-Net raw data set (documentation/dataset_format.md of nnU-Net); of several channels the first."""
    _need(folder / layouts.NNUNET_IMAGES)
    # Names that do not fit are no reason to refuse the rest: their cases lack an image, and are set aside for it.
    layout = layouts.find(folder)
    numbering = layouts.nnunet_numbering(folder / layouts.NNUNET_DESCRIPTION) or OURS
    rows, problems = read_table(folder / TABLE_NAME)
    if problems:
        raise DatasetError(folder, problems)
    found = []
    for name in sorted(layout.images.keys() | layout.labels.keys()):
        row = (rows or {}).get(name)
        found.append(
            _found(
                name,
                layout.images,
                layout.labels,
                (row.patient if row else None) or _subject(name),
                lambda _: numbering,
                group=row.group if row else None,
                columns=row.columns if row else None,
            )
        )
    return found


#: What finds the cases of each kind of folder.
FINDERS: Final[Mapping[str, Callable[[Path], list[Found]]]] = {
    "spider": find_spider,
    "mrspineseg": find_mrspineseg,
    "totalspineseg": find_totalspineseg,
    "spineps": find_spineps,
    "nnunet": find_nnunet,
}


def _found(
    name: str,
    images: layouts.Files,
    labels: layouts.Files,
    patient: str,
    numbering: Callable[[Array], Numbering],
    *,
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Found:
    label = labels[name][0] if name in labels else None
    return Found(name, tuple(images.get(name, ())), label, patient, numbering, group, dict(columns or {}))


def _totalspineseg_numbering(label: Array) -> Numbering:
    # The first releases numbered from L5 = 18 upwards and discs from 202; later ones have nothing above 100 and use
    # neither 18 to 20 nor 92 for bone.
    old = {number for numbers in TOTALSPINESEG_2024.numbers.values() for number in numbers}
    return TOTALSPINESEG_2024 if np.isin(label, sorted(old)).any() else TOTALSPINESEG


def _need(folder: Path) -> Path:
    if not folder.is_dir():
        raise NotFoundError(
            f"holds no folder {folder.name}", folder.parent, "give the folder as the other group made it"
        )
    return folder


def _by_stem(folder: Path) -> layouts.Files:
    files: layouts.Files = {}
    for path in _files(folder):
        files.setdefault(stem(path), []).append(path)
    return files


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.is_file() and is_readable_name(path))


def _overview(path: Path) -> dict[str, dict[str, str]]:
    """Some columns of SPIDER's ``overview.csv``, by the name of the series."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return {}
    return {
        str(row["new_file_name"]): {name: str(row[name]).strip() for name in _SPIDER_COLUMNS if row.get(name)}
        for row in rows
        if row.get("new_file_name")
    }


def _subject(name: str) -> str:
    subject = _BIDS_SUBJECT.match(name)
    return f"sub-{subject['subject']}" if subject else name


def _bids_key(name: str) -> tuple[str, ...]:
    """What image and mask share: the suffix (of a mask its ``mod``, which may be missing) and the other entities."""
    parts = name.split("_")
    modality = next((part.removeprefix("mod-") for part in parts if part.startswith("mod-")), None)
    if modality is None and "-" not in parts[-1] and len(parts) > 1:
        modality = parts.pop()
    return (modality or "", *sorted(part for part in parts if not part.startswith(("mod-", "seg-"))))
