"""Repeated measurements of the same foramina: test-retest and inter-observer reliability, as the paper reports them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from livf.lib.errors import InputError, NotFoundError
from livf.lib.evaluation.paper import figure, grade
from livf.lib.evaluation.reliability import Icc, coefficients, icc, mean_squares
from livf.lib.evaluation.resampling import clustered_intervals
from livf.lib.evaluation.summary import MEASURES, Measure
from livf.lib.evaluation.tables import Table, estimate, interval, number
from livf.lib.foramen import SIDES

#: Where no observer or session is named, all measurements are of one.
_ONLY: Final = "1"
_WORDS: Final = {"l": "left", "r": "right", "left": "left", "right": "right"}


@dataclass(frozen=True)
class Reading:
    """One measurement of one side.

    Attributes:
        observer: Who measured.
        session: When.
        case: What.
        side: Which side.
        patient: Whose it is; the case where no patient is named.
        values: Numbers by name; what was not measured is not there.
    """

    observer: str
    session: str
    case: str
    side: str
    patient: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Reliability:
    """How well repeated measurements of one quantity agree.

    Attributes:
        kind: "test-retest" or "inter-observer".
        who: The observer, or the observers.
        measure: Of which number.
        icc: ICC(2,1) and ICC(3,1).
        clustered: 95 % intervals of both from a bootstrap of patients.
        sd_within: Within-subject standard deviation.
        incomplete: Sides that not all of the ratings have, left out of the ICC.
    """

    kind: str
    who: str
    measure: Measure
    icc: Icc
    clustered: tuple[tuple[float, float], tuple[float, float]]
    sd_within: float
    incomplete: int


def read_measurements(path: Path) -> list[Reading]:
    """Read repeated measurements.

    Either one row a side: columns ``observer``, ``session``, ``case``, ``side`` and the numbers (``area_mm2``,
    ``height_mm``, ``width_mm`` or ``FA``, ``FH``, ``FW``); or one row a case as in the ``measurements.csv`` of
    ``livf run`` (``left_area_mm2`` ...). ``observer``, ``session`` and ``patient`` may be left out. Empty cells, and
    sides with the status ``refused``, are not measured.

    Raises:
        NotFoundError: There is no such file.
        InputError: It is not such a table: a column is missing, a number is none, or a side is measured twice by one
            observer in one session.
    """
    readings: list[Reading] = []
    seen: dict[tuple[str, str, str, str], int] = {}
    for line, row in _rows(path):
        for reading in _readings(row, line, path):
            key = (reading.observer, reading.session, reading.case, reading.side)
            if key in seen:
                raise InputError(
                    f"measures {reading.case} {reading.side} twice (lines {seen[key]} and {line}) by observer "
                    f"{reading.observer} in session {reading.session}", path,
                    "tell the rows apart by the columns observer and session",
                )  # fmt: skip
            seen[key] = line
            readings.append(reading)
    if not readings:
        raise InputError("holds no measurement", path, "give one row a side")
    return readings


def reliabilities(readings: Sequence[Reading], *, resamples: int = 2000, seed: int = 20220901) -> list[Reliability]:
    """Test-retest reliability of each observer with two sessions or more, and that between observers.

    Between observers counts the first session of each (in the order of the sessions' names, numbers by their size).
    """
    found: list[Reliability] = []
    observers = sorted({reading.observer for reading in readings}, key=_natural)
    first: list[Reading] = []
    for observer in observers:
        own = [reading for reading in readings if reading.observer == observer]
        sessions = sorted({reading.session for reading in own}, key=_natural)
        first += [reading for reading in own if reading.session == sessions[0]]
        if len(sessions) > 1:
            raters = {session: [one for one in own if one.session == session] for session in sessions}
            found += _compare("test-retest", f"observer {observer}", raters, resamples, seed)
    if len(observers) > 1:
        raters = {observer: [one for one in first if one.observer == observer] for observer in observers}
        found += _compare("inter-observer", ", ".join(observers), raters, resamples, seed)
    return found


def reliability_table(found: Sequence[Reliability]) -> Table:
    """The paper's reliability study, ours beside theirs."""
    low, high = figure("reliability", "icc_low"), figure("reliability", "icc_high")
    rows = []
    for one in found:
        places = one.measure.places
        absolute, consistent = one.icc.absolute, one.icc.consistent
        rows.append((
            one.kind, one.who, f"{one.measure.short}, {one.measure.unit}", str(one.icc.targets), str(one.incomplete),
            str(one.icc.raters), estimate(absolute), interval(*one.clustered[0]), grade(absolute.value),
            estimate(consistent), interval(*one.clustered[1]), grade(consistent.value),
            number(one.sd_within, places), f"{low} to {high}",
        ))  # fmt: skip
    head = ("reliability", "who", "measure", "sides", "incomplete sides", "ratings", "ICC(2,1)",
            "ICC(2,1), patients drawn", "grade of ICC(2,1)", "ICC(3,1)", "ICC(3,1), patients drawn",
            "grade of ICC(3,1)", "SD within", "paper")  # fmt: skip
    notes = (
        "ICC(2,1): absolute agreement, two-way random effects; ICC(3,1): consistency, two-way mixed effects (Shrout & "
        "Fleiss 1979), single ratings; in brackets the plain 95 % confidence interval, beside it the percentile "
        "interval of a bootstrap that draws whole patients. Grade: poor below 0.7, fair from 0.7, good from 0.8, "
        "excellent from 0.9.",
        "Incomplete sides were not measured in every rating and are left out. SD within: within-subject standard "
        "deviation over the ratings. Between observers: the first session of each.",
        "paper: Chen et al. 2022, range of all its ICC.",
    )
    return Table("reliability", "Reliability of repeated measurements", head, tuple(rows), notes)


def _compare(
    kind: str, who: str, raters: Mapping[str, Sequence[Reading]], resamples: int, seed: int
) -> Iterator[Reliability]:
    for measure in MEASURES:
        columns = [
            {(one.case, one.side): one.values[measure.key] for one in readings if measure.key in one.values}
            for readings in raters.values()
        ]
        every = sorted(set().union(*columns))
        targets = [target for target in every if all(target in column for column in columns)]
        table = np.array([[column[target] for column in columns] for target in targets], dtype=np.float64)
        table = table.reshape(len(targets), len(columns))
        patients = {one.case: one.patient for readings in raters.values() for one in readings}

        def statistics(index: np.ndarray, table: np.ndarray = table) -> tuple[float, float]:
            return coefficients(mean_squares(table[index])) if len(index) > 1 else (math.nan, math.nan)

        clusters = [patients[case] for case, _ in targets]
        one, two = clustered_intervals(statistics, clusters, resamples=resamples, seed=seed)
        within = math.sqrt(float(table.var(axis=1, ddof=1).mean())) if len(targets) else math.nan
        yield Reliability(kind, who, measure, icc(table), (one, two), within, len(every) - len(targets))


def _readings(row: Mapping[str, str], line: int, path: Path) -> Iterator[Reading]:
    case = row["case"]
    if not case:
        raise InputError(f"line {line} names no case", path, "fill the column case")
    who = row.get("observer", "") or _ONLY, row.get("session", "") or _ONLY
    patient = row.get("patient", "") or case
    if "side" in row:
        side = _WORDS.get(row["side"].lower())
        if side is None:
            raise InputError(f"line {line} has the side {row['side']!r}", path, "write left or right")
        yield Reading(*who, case, side, patient, _values(row, "", line, path))
        return
    for side in SIDES:
        yield Reading(*who, case, side, patient, _values(row, f"{side}_", line, path))


def _values(row: Mapping[str, str], prefix: str, line: int, path: Path) -> dict[str, float]:
    if row.get(f"{prefix}status", "") == "refused":
        return {}
    values = {}
    for measure in MEASURES:
        text = row.get(f"{prefix}{measure.key}", "") or row.get(f"{prefix}{measure.short.lower()}", "")
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise InputError(
                f"line {line} has {text!r} for {measure.short}", path,
                "write a number above 0, or nothing where it was not measured",
            )  # fmt: skip
        values[measure.key] = value
    return values


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows by column (in lower case), with the line each ends on. Commas, semicolons or tabs are told apart."""
    if not path.exists():
        raise NotFoundError("there is no such file", path, "check its name")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("cannot be read as UTF-8 text", path, "save it as CSV with UTF-8") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        _check_columns(columns, path)
        for cells in reader:
            if len(cells) > len(columns):
                raise InputError(
                    f"line {reader.line_num} has {len(cells)} cells for {len(columns)} columns", path,
                    "write decimals with a point, and quote texts that hold the separator",
                )  # fmt: skip
            if any(cell.strip() for cell in cells):
                # Where a comma does not part columns, it is the decimal point of many countries.
                cells = cells if delimiter == "," else [cell.replace(",", ".") for cell in cells]
                padded = [cell.strip() for cell in cells] + [""] * (len(columns) - len(cells))
                yield reader.line_num, dict(zip(columns, padded, strict=True))
    except csv.Error as error:
        raise InputError(f"is not CSV ({error})", path, "save it as CSV with UTF-8") from error


def _check_columns(columns: Sequence[str], path: Path) -> None:
    if "case" not in columns:
        raise InputError(
            "has no column case", path, "name the columns in its first line: observer,session,case,side,..."
        )
    prefix = "" if "side" in columns else f"{SIDES[0]}_"
    if not any(f"{prefix}{name}" in columns for measure in MEASURES for name in (measure.key, measure.short.lower())):
        raise InputError(
            f"has no column with numbers ({', '.join(prefix + measure.key for measure in MEASURES)})", path,
            "with a column side one row is a side; without, columns begin with left_ and right_",
        )  # fmt: skip
    for one, two in pairwise(sorted(columns)):
        if one == two and one:
            raise InputError(f"has two columns called {one}", path, "rename or remove one")


def _natural(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text
