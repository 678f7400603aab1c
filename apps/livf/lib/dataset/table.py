"""``cases.csv``: what is known of each case besides its files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from livf.lib.dataset.cases import Problem
from livf.lib.storage import write_text

TABLE_NAME: Final = "cases.csv"
CASE: Final = "case"
PATIENT: Final = "patient"
GROUP: Final = "group"
#: Columns of paths within the data set; they mean nothing in a copy of another layout.
FILE_COLUMNS: Final = ("image", "label", "truth")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        patient: Whose the case is; None where the table has no such column.
        group: Diagnosis group; None where there is none.
        columns: Every further column.
    """

    patient: str | None
    group: str | None
    columns: Mapping[str, str] = field(default_factory=dict)


def read_table(path: Path) -> tuple[dict[str, Row] | None, list[Problem]]:
    """Rows by case, None where there is no such file or it cannot be used; and what is wrong with it.

    Columns are told by commas or, as spreadsheets of many countries write them, by semicolons; a byte order mark and
    capitals in the head are passed over.
    """
    if not path.is_file():
        return None, []
    try:
        text = path.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        lines = list(csv.reader(io.StringIO(text), delimiter=";" if head.count(";") > head.count(",") else ","))
    except (OSError, ValueError, csv.Error):
        return None, [Problem(str(path), "cannot be read as a table", "save it as comma separated values in UTF-8")]
    names = [name.strip() for name in lines[0]] if lines else []
    names = [name.lower() if name.lower() in (CASE, PATIENT, GROUP) else name for name in names]
    if CASE not in names:
        return None, [
            Problem(str(path), f"has no column called {CASE}", f"write {CASE},{PATIENT},{GROUP} in its first line")
        ]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        return None, [Problem(str(path), f"has two columns called {twice[0]}", "rename or remove one")]
    rows: dict[str, Row] = {}
    problems: list[Problem] = []
    for number, line in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in line):
            continue
        where = f"{path} line {number}"
        cells = {name: cell.strip() for name, cell in zip(names, line, strict=False) if name}
        if len(line) == len(names):
            _add(rows, problems, cells, where)
            continue
        fault = f"has {len(line)} cells for {len(names)} columns"
        problems.append(Problem(where, fault, "put quotes round cells with commas"))
        # It is listed all the same, so that its case is not told of twice.
        rows.setdefault(cells.get(CASE, ""), Row(None, None))
    return rows, problems


def _add(rows: dict[str, Row], problems: list[Problem], cells: dict[str, str], where: str) -> None:
    case = cells.pop(CASE)
    if not case:
        problems.append(Problem(where, "names no case", "write the case's name, or remove the line"))
        return
    patient = cells.pop(PATIENT, None)
    if patient == "":
        problems.append(
            Problem(where, f"case {case} has no patient", "write whose it is; cases of one patient must not be split")
        )
    row = Row(patient, cells.pop(GROUP, None) or None, cells)
    earlier = rows.setdefault(case, row)
    if earlier is row:
        return
    if earlier.patient != row.patient:
        problems.append(
            Problem(
                where, f"case {case} is of two patients ({earlier.patient} and {row.patient})", "keep the right line"
            )
        )
    else:
        problems.append(Problem(where, f"case {case} is listed twice", "remove one of the lines"))


def write_table(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write a table whose columns are those of all rows, in the order in which they first come.

    Raises:
        OutputError: It cannot be written.
    """
    names = list(dict.fromkeys([CASE, PATIENT, GROUP, *(name for row in rows for name in row)]))
    text = io.StringIO()
    table = csv.DictWriter(text, names, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())
