"""A data set as nnU-Net wants its raw data (documentation/dataset_format.md of nnU-Net, version 2)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Final

from livf.lib.anatomy import BACKGROUND, TRAINED
from livf.lib.dataset.cases import Case, Dataset, read_case_image, read_case_label
from livf.lib.dataset.layouts import NNUNET_DESCRIPTION, NNUNET_IMAGES, NNUNET_LABELS
from livf.lib.dataset.staging import staged, writable
from livf.lib.dataset.table import CASE, FILE_COLUMNS, GROUP, PATIENT, TABLE_NAME, write_table
from livf.lib.errors import UsageError
from livf.lib.images import write_image, write_label
from livf.lib.storage import write_text

#: One suffix for images and labels, as nnU-Net wants it.
_SUFFIX: Final = ".nii.gz"
_LARGEST_ID: Final = 999


def export_nnunet(
    dataset: Dataset,
    target: str | os.PathLike[str],
    *,
    number: int = 1,
    name: str = "LIVF",
    progress: bool | None = None,
) -> Path:
    """Write a data set as ``TARGET/Dataset###_NAME``, whole or not at all.

    ``cases.csv`` is written beside, for the way back; nnU-Net does not read it. Its own split goes by cases, so give it
    a ``splits_final.json`` where a patient has several.

    Args:
        dataset: Checked.
        target: Such as the folder that ``nnUNet_raw`` names.
        number: nnU-Net's number of the data set, 1 to 999.
        name: Letters, digits and underscores.
        progress: Whether to show a bar; None: when standard error is a terminal.

    Returns:
        The folder written.

    Raises:
        UsageError: The number or the name cannot be used.
        OutputError: It cannot be written, or the folder holds something.
        LivfError: An image or label cannot be read.
    """
    from tqdm import tqdm

    if not 1 <= number <= _LARGEST_ID:
        raise UsageError(f"is not a number from 1 to {_LARGEST_ID}", f"id {number}", "choose another")
    if not re.fullmatch(r"\w+", name, re.ASCII):
        raise UsageError("has more than letters, digits and underscores", f"name {name!r}", "choose another name")
    folder = Path(target) / f"Dataset{number:03d}_{name}"
    disable = None if progress is None else not progress
    with staged(folder) as temporary:
        for part in (NNUNET_IMAGES, NNUNET_LABELS):
            (temporary / part).mkdir()
        for case in tqdm(dataset.cases, desc="exporting", unit="case", disable=disable, leave=False):
            label = read_case_label(case)
            write_image(temporary / NNUNET_IMAGES / f"{case.name}_0000{_SUFFIX}", writable(read_case_image(case)))
            write_label(temporary / NNUNET_LABELS / f"{case.name}{_SUFFIX}", label.label, label.affine)
        write_table(temporary / TABLE_NAME, [_row(case) for case in dataset.cases])
        write_text(temporary / NNUNET_DESCRIPTION, json.dumps(_description(dataset, name), indent=1) + "\n")
    return folder


def _row(case: Case) -> dict[str, str]:
    rest = {name: value for name, value in case.columns.items() if name not in FILE_COLUMNS}
    return {CASE: case.name, PATIENT: case.patient, GROUP: case.group or "", **rest}


def _description(dataset: Dataset, name: str) -> dict[str, object]:
    return {
        # Any name but CT makes nnU-Net normalise each image by its own mean and deviation.
        "channel_names": {"0": "MRI"},
        "labels": {"background": BACKGROUND, **{s.name: s.value for s in TRAINED}},
        "numTraining": len(dataset),
        "file_ending": _SUFFIX,
        "name": name,
    }
