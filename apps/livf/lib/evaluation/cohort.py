"""What is known of each case besides its label: patient, group, sex, age; from ``cases.csv`` or from DICOM files."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from livf.lib.dataset.table import TABLE_NAME, read_table
from livf.lib.errors import InputError, NotFoundError

_LOG: Final = logging.getLogger(__name__)

#: Columns that name files, not a property of a subject.
_NOT_A_PROPERTY: Final = ("image", "label", "truth", "fold", "part")


@dataclass(frozen=True)
class Subject:
    """What is known of a case.

    Attributes:
        case: Its name.
        patient: Whose it is; empty where the table does not say.
        group: Diagnosis group; empty where the table does not say.
        properties: Any other columns as text, in the table's order.
    """

    case: str
    patient: str = ""
    group: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


def read_cases(path: Path) -> dict[str, Subject]:
    """Read a table of cases: a column ``case``, and if known ``patient``, ``group`` and any other.

    Raises:
        NotFoundError: There is no such file.
        InputError: It is no table with a column ``case``, or one of its lines cannot be right.
    """
    if not path.exists():
        raise NotFoundError("there is no such file", path, "check its name")
    rows, problems = read_table(path)
    for problem in problems:
        raise InputError(problem.what, problem.where, problem.remedy)
    subjects = {}
    for case, row in (rows or {}).items():
        properties = {key: value for key, value in row.columns.items() if key.lower() not in _NOT_A_PROPERTY}
        subjects[case] = Subject(case, row.patient or "", row.group or "", properties)
    return subjects


def subjects_of(truth: Path, table: Path | None = None, dicom: Path | None = None) -> dict[str, Subject]:
    """What is known of the cases of a folder of labels.

    Args:
        truth: The folder: ``cases.csv`` in it or in the folder above is read where no table is given.
        table: A table of cases.
        dicom: Folder of DICOM files, one folder a case: fills in what the table does not say.

    Raises:
        LivfError: A table or folder that was given, or the table found, cannot be used.
    """
    near = (folder / TABLE_NAME for folder in (truth, truth.parent))
    chosen = table or next((path for path in near if path.is_file()), None)
    subjects = read_cases(chosen) if chosen else {}
    for case, found in (read_dicom_cases(dicom) if dicom else {}).items():
        known = subjects.get(case, found)
        properties = {**found.properties, **{key: value for key, value in known.properties.items() if value}}
        subjects[case] = Subject(case, known.patient or found.patient, known.group, properties)
    return subjects


def read_dicom_cases(folder: Path) -> dict[str, Subject]:
    """Sex, age and body mass index from DICOM files: one folder a case below ``folder``, named as the case.

    Raises:
        NotFoundError: There is no such folder.
        InputError: No DICOM file lies in it.
    """
    if not folder.is_dir():
        raise NotFoundError("there is no such folder", folder, "check its name")
    subjects = {}
    for entry in sorted(item for item in folder.iterdir() if item.is_dir()):
        dataset = _first_dicom(entry)
        if dataset is None:
            _LOG.warning("%s holds no DICOM file", entry)
            continue
        properties = {"sex": str(dataset.get("PatientSex", "") or ""), "age": _years(dataset), "bmi": _bmi(dataset)}
        known = {key: value for key, value in properties.items() if value}
        subjects[entry.name] = Subject(entry.name, str(dataset.get("PatientID", "") or ""), "", known)
    if not subjects:
        raise InputError("holds no DICOM series", folder, "give a folder with one folder of DICOM files a case")
    return subjects


def _first_dicom(folder: Path) -> Any:
    import pydicom
    from pydicom.errors import InvalidDicomError

    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        try:
            return pydicom.dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, OSError, EOFError, ValueError):
            continue
    return None


def _years(dataset: Any) -> str:
    """PatientAge (``042Y``) in years."""
    found = re.fullmatch(r"(\d{1,3})([DWMY])", str(dataset.get("PatientAge", "") or ""))
    if not found:
        return ""
    per_year = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}[found[2]]
    return f"{int(found[1]) / per_year:.0f}"


def _bmi(dataset: Any) -> str:
    """Weight (kg) by the square of the size (m)."""
    try:
        weight, size = float(dataset.get("PatientWeight") or 0), float(dataset.get("PatientSize") or 0)
    except (TypeError, ValueError):
        return ""
    return f"{weight / size**2:.1f}" if weight > 0 and size > 0 else ""
