"""One row a case, from what lies in its folder; and the table of all of them."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from livf.lib.export.document import SCHEMA
from livf.lib.foramen import SIDES
from livf.lib.storage import write_text

_LOG: Final = logging.getLogger(__name__)

TABLE_NAME: Final = "measurements.csv"
DOCUMENT_NAME: Final = "measurement.json"
RECORD_NAME: Final = "run.json"
RECORD_SCHEMA: Final = "livf.run/1"
#: Between two codes in one cell.
_BETWEEN: Final = ";"
#: Number, and column of its standard deviation.
_NUMBERS: Final = (("area_mm2", "area_sd_mm2"), ("height_mm", "height_sd_mm"), ("width_mm", "width_sd_mm"))
#: Columns of the table. Later versions may add columns at the end, never rename or move one.
#:
#: ``case``, ``image`` (its path), ``level_status`` and ``model`` (see the measurement document); then of each side
#: ``status`` (ok, warning, refused), ``reasons`` (codes), FA, FH and FW, each followed by its standard deviation;
#: then ``warnings`` of the level (codes). What was not measured is empty.
COLUMNS: Final[tuple[str, ...]] = (
    "case",
    "image",
    "level_status",
    "model",
    *(
        f"{side}_{name}"
        for side in SIDES
        for name in ("status", "reasons", *(column for pair in _NUMBERS for column in pair))
    ),
    "warnings",
)


@dataclass(frozen=True)
class Row:
    """A case in the table.

    Attributes:
        cells: One value a column of :data:`COLUMNS`: text, a number, or None for what was not measured.
    """

    cells: tuple[str | float | None, ...]

    def __getitem__(self, column: str) -> str | float | None:
        """The cell of a column."""
        return self.cells[COLUMNS.index(column)]

    @property
    def case(self) -> str:
        """Name of the case."""
        return str(self["case"])

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why each side that was refused was refused."""
        return tuple(str(self[f"{side}_reasons"]) for side in SIDES if self[f"{side}_status"] == "refused")


def row_of(document: Mapping[str, Any], image: str) -> Row:
    """The row of a measurement document.

    Args:
        document: ``livf.measurement/1``.
        image: Path of the image.
    """
    # A file name may hold bytes that are no text; the table is UTF-8.
    cells: list[str | float | None] = [
        document["case"],
        image.encode("utf-8", "replace").decode(),
        document["level_status"],
        document["source"]["model"],
    ]
    for side in SIDES:
        foramen = document["foramina"][side]
        cells += [foramen["status"], _BETWEEN.join(foramen["reasons"])]
        for name, _ in _NUMBERS:
            cells += [foramen.get(name), foramen.get("sd", {}).get(name)]
    return Row((*cells, _BETWEEN.join(document["warnings"])))


def read_record(folder: Path) -> dict[str, Any] | None:
    """What a case was made from; None where the folder is not that of a case."""
    return _read(folder / RECORD_NAME, RECORD_SCHEMA)


def read_row(folder: Path) -> Row | None:
    """The row of a case's folder; None where it is not a whole case."""
    record, document = read_record(folder), _read(folder / DOCUMENT_NAME, SCHEMA)
    if record is None or document is None:
        return None
    try:
        return row_of(document, record["image"])
    except (KeyError, TypeError, AttributeError):
        _LOG.warning("%s is damaged; it is not in the table", folder / DOCUMENT_NAME)
        return None


def write_table(folder: Path) -> Path:
    """Write the table of all cases that lie in a folder, whichever run made them, in the order of their names.

    Raises:
        OutputError: It cannot be written; an older table stays as it was.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    cases = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    table.writerows(row.cells for case in cases if (row := read_row(case)))
    write_text(folder / TABLE_NAME, text.getvalue())
    return folder / TABLE_NAME


def _read(path: Path, schema: str) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content.get("schema") == schema else None
