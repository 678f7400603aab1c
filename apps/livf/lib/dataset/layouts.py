"""The layouts a data set may have, by the names of its files alone.

==================  =======================================================================================
own                 ``images/CASE.EXT`` and ``labels/CASE.EXT``
studies             images in the folder itself and ``labels/final/CASE.EXT``, as MONAI Label keeps them
nnU-Net             ``imagesTr/CASE_0000.EXT``, ``labelsTr/CASE.EXT`` and ``dataset.json``
flat                ``CASE.EXT`` beside ``CASE_label.EXT`` or ``CASE_seg.EXT``
==================  =======================================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from livf.lib.anatomy import TRAINED
from livf.lib.dataset.cases import Problem
from livf.lib.errors import LivfError
from livf.lib.images import IMAGE_SUFFIXES, is_readable_name, suffix_of
from livf.lib.images.formats import DETACHED_SUFFIXES, DICOM_SUFFIXES
from livf.lib.numberings import Numbering, numbering_of

Files = dict[str, list[Path]]

_LABEL_ENDINGS: Final = ("_label", "_seg")
_CHANNEL: Final = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_FIRST_CHANNEL: Final = "0000"
NNUNET_IMAGES: Final = "imagesTr"
NNUNET_LABELS: Final = "labelsTr"
NNUNET_DESCRIPTION: Final = "dataset.json"
OWN_IMAGES: Final = "images"
OWN_LABELS: Final = "labels"


@dataclass
class Layout:
    """What lies in a folder.

    Attributes:
        title: Name of the layout.
        images: Image files of each case; more than one is a fault.
        labels: Label files of each case; more than one is a fault.
        numbering: What the labels' numbers mean, where they are not ours.
        problems: What is wrong with the names already.
        partly_labelled: Whether an image without a label is no fault.
    """

    title: str
    images: Files = field(default_factory=dict)
    labels: Files = field(default_factory=dict)
    numbering: Numbering | None = None
    problems: list[Problem] = field(default_factory=list)
    partly_labelled: bool = False


def find(folder: Path) -> Layout:
    """The layout of a folder and the files in it.

    Args:
        folder: An existing folder.
    """
    if (folder / NNUNET_IMAGES).is_dir() or (folder / NNUNET_LABELS).is_dir():
        return _nnunet(folder)
    if (folder / OWN_IMAGES).is_dir():
        return _own(folder)
    if (folder / OWN_LABELS / "final").is_dir():
        return _studies(folder)
    if (folder / OWN_LABELS).is_dir():
        return _own(folder)
    return _flat(folder)


def stem(path: Path) -> str:
    """A file's name without the suffix of its format."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def _own(folder: Path) -> Layout:
    layout = Layout("images and labels")
    layout.images = _by_stem(_readable(folder / OWN_IMAGES, layout.problems))
    layout.labels = _by_stem(_readable(folder / OWN_LABELS, layout.problems))
    return layout


def _studies(folder: Path) -> Layout:
    layout = Layout("studies folder", partly_labelled=True)
    layout.images = _by_stem(_readable(folder, layout.problems))
    layout.labels = _by_stem(_readable(folder / OWN_LABELS / "final", layout.problems))
    return layout


def _flat(folder: Path) -> Layout:
    layout = Layout("pairs in one folder")
    for path in _readable(folder, layout.problems):
        name = stem(path)
        ending = next((ending for ending in _LABEL_ENDINGS if name.endswith(ending)), None)
        if ending is None:
            layout.images.setdefault(name, []).append(path)
        else:
            layout.labels.setdefault(name.removesuffix(ending), []).append(path)
    return layout


def _nnunet(folder: Path) -> Layout:
    layout = Layout("nnU-Net")
    layout.labels = _by_stem(_readable(folder / NNUNET_LABELS, layout.problems))
    for path in _readable(folder / NNUNET_IMAGES, layout.problems):
        name = _CHANNEL.fullmatch(stem(path))
        if name is None:
            layout.problems.append(
                Problem(
                    str(path), "has no channel in its name", f"call it {stem(path)}_{_FIRST_CHANNEL}{suffix_of(path)}"
                )
            )
        elif name["channel"] != _FIRST_CHANNEL:
            layout.problems.append(
                Problem(
                    str(path), "is a second channel; the network takes one image", "remove it, or choose one sequence"
                )
            )
        else:
            layout.images.setdefault(name["case"], []).append(path)
    try:
        layout.numbering = nnunet_numbering(folder / NNUNET_DESCRIPTION)
    except LivfError as error:
        layout.problems.append(Problem.of(error))
    return layout


def nnunet_numbering(path: Path) -> Numbering | None:
    """What the labels' numbers mean by a ``dataset.json``; None where they are ours or there is no such file.

    Raises:
        LivfError: It is damaged, or does not name every structure.
    """
    if not path.is_file():
        return None
    remedy = "write labels as in nnU-Net's documentation: {" + ", ".join(
        f'"{name}": {value}' for name, value in [("background", 0), *((s.name, s.value) for s in TRAINED)]
    ) + "}"  # fmt: skip
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = _names(content["labels"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LivfError("is not a dataset.json with labels", path, remedy) from error
    numbering = numbering_of(names, name="dataset.json", where=str(path))
    if missing := [s.name for s in TRAINED if not numbering.numbers[s.name]]:
        raise LivfError(f"does not name {', '.join(missing)} among its labels", path, remedy)
    return None if numbering.is_ours else numbering


def _names(labels: Mapping[str, Any]) -> dict[str, Any]:
    """``labels`` as version 2 writes them (name to number); version 1 wrote number to name."""
    if labels and all(str(key).isdigit() for key in labels):
        return {str(name): int(number) for number, name in labels.items()}
    return dict(labels.items())


def _readable(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        if is_readable_name(path):
            yield path
        elif suffix_of(path) in (*DETACHED_SUFFIXES, *DICOM_SUFFIXES):
            problems.append(
                Problem(
                    str(path), "is in a format a data set cannot hold", f"convert it to {', '.join(IMAGE_SUFFIXES)}"
                )
            )


def _by_stem(paths: Iterable[Path]) -> Files:
    files: Files = {}
    for path in paths:
        files.setdefault(stem(path), []).append(path)
    return files
