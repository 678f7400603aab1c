"""Finding the cases of a data set."""

from __future__ import annotations

import os
from pathlib import Path

from livf.lib.dataset import layouts
from livf.lib.dataset.cases import Case, Dataset, DatasetError, Problem
from livf.lib.dataset.table import TABLE_NAME, Row, read_table
from livf.lib.images import IMAGE_SUFFIXES


def read_dataset(folder: str | os.PathLike[str]) -> Dataset:
    """The cases of a data set, by the names of its files and its ``cases.csv``; no voxel is read.

    See :mod:`livf.lib.dataset.layouts` for the layouts. Without a ``cases.csv`` each case is its own patient.

    Raises:
        DatasetError: There is no such folder, or names and table do not fit; it lists everything that is wrong.
    """
    dataset, problems = find_cases(folder)
    if problems:
        raise DatasetError(folder, problems)
    return dataset


def find_cases(folder: str | os.PathLike[str]) -> tuple[Dataset, list[Problem]]:
    """The cases that are whole, and what is wrong with the rest; never raises for what the folder holds."""
    folder = Path(folder)
    if problem := _unusable(folder):
        return Dataset(folder, ()), [problem]
    layout = layouts.find(folder)
    problems = list(layout.problems)
    rows, wrong = read_table(folder / TABLE_NAME)
    problems += wrong
    cases = []
    unlabelled = []
    for name in sorted(layout.images.keys() | layout.labels.keys()):
        images, labels = layout.images.get(name, []), layout.labels.get(name, [])
        if not labels and layout.partly_labelled:
            unlabelled += images
            continue
        faults = _pairing(folder, name, images, labels)
        if rows is not None and name not in rows:
            faults.append(Problem(str(folder / TABLE_NAME), f"has no line for case {name}", "add it, with the patient"))
        problems += faults
        if not faults:
            row = rows[name] if rows is not None else Row(None, None)
            cases.append(
                Case(name, images[0], labels[0], row.patient or name, row.group, row.columns, layout.numbering)
            )
    known = layout.images.keys() | layout.labels.keys()
    problems += [
        Problem(
            str(folder / TABLE_NAME),
            f"names case {name}, which has no files",
            "add its image and label, or remove the line",
        )
        for name in rows or ()
        if name not in known
    ]
    if not cases and not problems:
        problems.append(_empty(folder, layout, unlabelled))
    return Dataset(folder, tuple(cases), tuple(unlabelled)), problems


def _unusable(folder: Path) -> Problem | None:
    try:
        if folder.is_dir():
            os.listdir(folder)
            return None
        exists = folder.exists()
    except (OSError, ValueError) as error:
        return Problem(str(folder), f"cannot be read ({error})", "check its name and its permissions")
    if exists:
        return Problem(str(folder), "is a file, not a data set's folder", "give the folder of images and labels")
    return Problem(str(folder), "there is no such folder", "check its name")


def _empty(folder: Path, layout: layouts.Layout, unlabelled: list[Path]) -> Problem:
    if unlabelled:
        return Problem(str(folder), f"none of its {len(unlabelled)} images has a final label", "label some first")
    suffixes = ", ".join(IMAGE_SUFFIXES)
    return Problem(
        str(folder),
        "holds no image and no label",
        f"put images ({suffixes}) into {layouts.OWN_IMAGES} and labels of the same names into {layouts.OWN_LABELS}",
    )


def _pairing(folder: Path, name: str, images: list[Path], labels: list[Path]) -> list[Problem]:
    problems = []
    if not images:
        problems.append(
            Problem(str(labels[0]), f"case {name} has a label and no image", "add the image, or remove the label")
        )
    if not labels:
        problems.append(
            Problem(str(images[0]), f"case {name} has an image and no label", "add the label, or remove the image")
        )
    for kind, files in (("image", images), ("label", labels)):
        if len(files) > 1:
            listed = " and ".join(path.relative_to(folder).as_posix() for path in files)
            problems.append(Problem(str(folder), f"case {name} has its {kind} twice ({listed})", "remove one of them"))
    return problems
