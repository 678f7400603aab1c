"""Phantoms against their exact truth: from their own labels, and from those of the shipped weights."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from foramina.reporting import (
    CHEN_R,
    NUMBERS,
    Agreement,
    Row,
    begin,
    markdown,
    number,
    rows_of_all,
    show,
    side_row,
    triple,
    write_picture,
    write_rows,
)
from foramina.synthetic import Person
from livf.lib.foramen import SIDES, Measurement, measure
from livf.lib.images import read_image, read_label
from livf.lib.synthesis.cohort import write_cohort
from livf.lib.synthesis.studies import StudyPaths, study_name

#: Measures a phantom again, for its picture.
Draw = Callable[[int], Measurement]


def paths_of(data: Path, seeds: Sequence[int], workers: int) -> dict[int, StudyPaths]:
    """Files of the phantoms; those that are missing are made."""
    report = write_cohort(data, seeds, workers=workers)
    if report.failed:
        raise SystemExit(f"could not be made: {report.failed}")
    return {seed: StudyPaths.of(data, study_name(seed)) for seed in seeds}


def own_label_rows(seed: int, paths: StudyPaths) -> list[Row]:
    """A phantom's own label measured: one row a side, with the truth beside."""
    start = time.perf_counter()
    measurement = _measured(paths)
    seconds = time.perf_counter() - start
    return [{**row, "seconds": seconds} for row in _with_truth(seed, measurement, paths)]


def _measured(paths: StudyPaths) -> Measurement:
    label = read_label(paths.label)
    return measure(label.array, label.affine)


def _with_truth(seed: int, measurement: Measurement, paths: StudyPaths) -> list[Row]:
    document = json.loads(paths.truth.read_text(encoding="utf-8"))
    rows = []
    for side in SIDES:
        row = side_row(measurement.foramina[side], seed=seed, group=document["group"])
        true = document["foramina"][side]
        row["true_reasons"] = " ".join(true["reasons"])
        rows.append({**row, **{f"true_{name}": true[name] for name, _, _ in NUMBERS}})
    return rows


def phantoms(out: Path, data: Path, seeds: Sequence[int], workers: int) -> list[Row]:
    """The engine alone: labels that are right."""
    out = begin(out)
    paths = paths_of(data, seeds, workers)
    rows = rows_of_all(own_label_rows, list(paths.items()), workers)
    write_rows(out / "rows.csv", rows)

    def drawn(seed: int) -> Measurement:
        return _measured(paths[seed])

    _accuracy(out, rows, drawn)
    _coverage(out, rows)
    _refused(out, rows, drawn)
    print(f"seconds a case, median: {np.median([row['seconds'] for row in rows]):.2f}")
    return rows


def _accuracy(out: Path, rows: list[Row], measurement_of: Draw) -> None:
    lines = []
    for name, short, unit in NUMBERS:
        pairs, both = Agreement.of(rows, name)
        at = int(np.abs(pairs.error).argmax())
        seed, side = both[at]["seed"], both[at]["side"]
        write_picture(out, f"worst_{short}_{seed:05d}", measurement_of(seed), side)
        lines.append((
            f"{short}, {unit}", len(both), number(pairs.r, 4), number(pairs.error.mean(), 2, sign=True),
            number(pairs.mean_percent, 2, sign=True), number(np.abs(pairs.error).mean(), 2),
            number(100 * np.abs(pairs.error).mean() / pairs.true.mean(), 1),
            f"{pairs.error[at]:+.2f} at {pairs.true[at]:.2f} (seed {seed} {side})",
        ))  # fmt: skip
    heads = ("", "n", "R", "mean error", "mean error, %", "mean absolute error", "the same, %", "worst")
    show(out, "Phantoms, their own labels against the exact truth", markdown(heads, lines))


def _coverage(out: Path, rows: list[Row]) -> None:
    lines = []
    for name, short, unit in NUMBERS:
        pairs, _ = Agreement.of(rows, name)
        fifths = (number(share, 0) for share in pairs.fifths())
        lines.append((f"{short}, {unit}", number(np.median(pairs.sd), 2), number(100 * pairs.covered.mean()), *fifths))
    heads = ("", "median SD", "within ±2 SD, %", "smallest fifth", "2", "3", "4", "largest fifth")
    show(out, "How often the truth lies within ±2 SD", markdown(heads, lines))


def _refused(out: Path, rows: list[Row], measurement_of: Draw) -> None:
    """Every foramen that has a truth and no number, or the reverse, with its picture.

    Where the image ends in a pedicle, the same person is measured in an image that shows the whole level: was it the
    image, or the engine?
    """
    measurable = [row for row in rows if row["true_area_mm2"] is not None]
    found = [row for row in measurable if row["area_mm2"] is not None]
    ends = 0
    lines = []
    for row in rows:
        if (row["area_mm2"] is None) == (row["true_area_mm2"] is None):
            continue
        seed, side = row["seed"], row["side"]
        picture = write_picture(out, f"refused_{seed:05d}", measurement_of(seed), side)
        larger = "-"
        if row["reasons"] == "truncated_pedicle":
            ends += 1
            case = Person.of(seed).case()
            larger = triple(side_row(measure(case.label, case.affine).foramina[side]))
        told = triple(row) if row["area_mm2"] is not None else row["reasons"]
        lines.append((f"seed {seed} {side}", told, row["true_reasons"] or triple_true(row), larger, picture.name))
    share = 100 * len(found) / max(len(measurable), 1)
    text = f"{len(found)} of {len(measurable)} foramina measured ({share:.1f} %)"
    if ends:
        rest = 100 * len(found) / max(len(measurable) - ends, 1)
        text += f"; {ends} refused because the image ends in a pedicle ({rest:.1f} % of the others measured)"
    heads = ("", "engine", "truth", "in a larger image", "picture")
    show(out, f"{text}; where engine and truth disagree", markdown(heads, lines) if lines else "nowhere")


def triple_true(row: Row) -> str:
    """True FA / FH / FW."""
    return " / ".join(number(row[f"true_{name}"]) for name, _, _ in NUMBERS)


def network(out: Path, data: Path, seeds: Sequence[int], workers: int, model: Path | None = None) -> list[Row]:
    """The whole way from an image: labels by the shipped weights, with their probabilities."""
    from livf.lib.segmentation import Segmenter

    out = begin(out)
    segmenter = Segmenter.load(model) if model else Segmenter.load()
    rows: list[Row] = []
    measured: dict[int, Measurement] = {}
    for seed, paths in paths_of(data, seeds, workers).items():
        found = segmenter(read_image(paths.image), probabilities=True)
        measured[seed] = measure(
            found.label, found.affine, level_status=found.level_status, probabilities=found.probabilities
        )
        rows += _with_truth(seed, measured[seed], paths)
    write_rows(out / "rows.csv", rows)
    lines = []
    for name, short, unit in NUMBERS:
        pairs, both = Agreement.of(rows, name)
        lines.append((
            f"{short}, {unit}", len(both), number(pairs.r, 3), number(pairs.error.mean(), 2, sign=True),
            number(pairs.mean_percent, 1, sign=True), f"{pairs.wilcoxon():.2g}", number(np.median(pairs.sd), 2),
            number(100 * pairs.covered.mean(), 0), " ".join(number(share, 0) for share in pairs.fifths()), CHEN_R[name],
        ))  # fmt: skip
    heads = ("", "n", "R", "mean difference", "%", "Wilcoxon P", "median SD", "within ±2 SD, %", "by fifths", "Chen: R")
    show(out, "Phantoms, labels of the shipped weights against the exact truth", markdown(heads, lines))
    _refused(out, rows, measured.__getitem__)
    return rows
