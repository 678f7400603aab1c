"""The same person stored in 48 ways, and drawn on turned grids."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields as fields_of
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from foramina.reporting import NUMBERS, Case, Row, begin, markdown, number, rows_of_all, show, write_rows
from foramina.synthetic import Person, Sampling
from livf.lib.foramen import SIDES, Measurement, measure

#: Grids turned about all axes (degrees), with another voxel size.
OBLIQUE: Final = (
    Sampling((0.8, 0.8, 0.8), (12.0, -10.0, 15.0)),
    Sampling((0.7, 0.8, 0.9), (-18.0, 14.0, 10.0)),
    Sampling((0.75, 0.75, 0.75), (25.0, 20.0, -22.0)),
)


def stored(case: Case) -> Iterator[tuple[str, Case]]:
    """All 48 orders and directions of the axes of one label."""
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turn = np.zeros((4, 4))
            turn[3, 3] = 1
            for new, (old, sign) in enumerate(zip(axes, signs, strict=True)):
                turn[old, new] = sign
                turn[old, 3] = 0 if sign > 0 else case.label.shape[old] - 1
            flip = tuple(slice(None, None, sign) for sign in signs)
            code = "".join("RAS"[old] if sign > 0 else "LPI"[old] for old, sign in zip(axes, signs, strict=True))
            label = np.ascontiguousarray(case.label.transpose(axes)[flip])
            yield code, replace(case, label=label, affine=case.affine @ turn)


def all_numbers(measurement: Measurement) -> dict[str, float]:
    """Every number of a measurement by a path to it: numbers, SDs, outline, landmarks, frame, differences."""
    found: dict[str, float] = {}

    def add(path: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                add(f"{path}.{key}", part)
        elif isinstance(value, (bool, str)) or value is None:
            return
        elif hasattr(value, "__dataclass_fields__"):
            for part in fields_of(value):
                add(f"{path}.{part.name}", getattr(value, part.name))
        else:
            for k, part in enumerate(np.asarray(value, dtype=np.float64).ravel()):
                found[f"{path}[{k}]"] = float(part)

    add("frame", measurement.frame)
    add("disc", measurement.disc_height_mm)
    add("differences", measurement.differences)
    for side in SIDES:
        foramen = measurement.foramina[side]
        for name in ("numbers", "sd", "foraminoplasty", "outline", "landmarks_ras_mm"):
            add(f"{side}.{name}", getattr(foramen, name))
    return found


def largest_difference(one: dict[str, float], other: dict[str, float]) -> tuple[float, str]:
    """The largest absolute difference of two sets of numbers, and where; infinite where one lacks a number."""
    if one.keys() != other.keys():
        return float("inf"), ", ".join(sorted(one.keys() ^ other.keys())[:3])
    return max(((abs(one[key] - other[key]), key) for key in one), default=(0.0, ""))


def orientation(out: Path, seeds: Sequence[int], workers: int = 1) -> list[Row]:
    """48 orientation codes of one person, then oblique grids of several."""
    out = begin(out)
    case = Person.of(seeds[0]).case()
    reference = all_numbers(measure(case.label, case.affine))
    differences = {
        code: largest_difference(reference, all_numbers(measure(turned.label, turned.affine)))
        for code, turned in stored(case)
    }
    worst = max(differences, key=lambda code: differences[code][0])
    text = f"{len(differences)} codes, {len(reference)} numbers each; largest difference {differences[worst][0]:.2g}"
    show(out, "Orientation codes of one label", f"{text} ({worst}, {differences[worst][1]})")
    rows = rows_of_all(oblique_rows, [(seed,) for seed in seeds], workers)
    write_rows(out / "rows.csv", rows)
    show(out, "Oblique grids against the straight one of 0.8 mm", difference_table(rows, "grid"))
    return rows


def oblique_rows(seed: int) -> list[Row]:
    """A person on oblique grids against the straight one."""
    person = Person.of(seed)
    straight = person.case()
    base = measure(straight.label, straight.affine)
    rows = []
    for sampling in OBLIQUE:
        turned = person.case(sampling)
        rows += compared(base, measure(turned.label, turned.affine), seed=seed, grid=told(sampling))
    return rows


def told(sampling: Sampling) -> str:
    """A grid in words."""
    angles = ", ".join(f"{a:.0f}" for a in sampling.angles)
    return f"{' x '.join(f'{s:g}' for s in sampling.spacing)} mm, turned {angles}°"


def compared(base: Measurement, other: Measurement, **first: Any) -> list[Row]:
    """Differences of FA (%), FH and FW (mm) of both sides; None where one is refused."""
    rows = []
    for side in SIDES:
        one, two = base.foramina[side], other.foramina[side]
        row: Row = {**first, "side": side, "reasons": " ".join(two.reasons)}
        for name, _, _ in NUMBERS:
            ours = getattr(two.numbers, name) if two.numbers else None
            own = getattr(one.numbers, name) if one.numbers else None
            row[f"base_{name}"], row[name] = own, ours
            missing = ours is None or own is None
            row[f"d_{name}"] = None if missing else (100 * (ours / own - 1) if name == "area_mm2" else ours - own)
        rows.append(row)
    return rows


def difference_table(rows: Sequence[Row], key: str) -> str:
    """Mean, SD and largest difference by kind."""
    lines = []
    for kind in dict.fromkeys(row[key] for row in rows):
        cells = [kind, sum(row[key] == kind for row in rows), 0]
        for name, _, _ in NUMBERS:
            values = np.array([r[f"d_{name}"] for r in rows if r[key] == kind and r[f"d_{name}"] is not None])
            cells[2] = max(int(cells[2]), int(cells[1]) - len(values)) if name != "width_mm" else cells[2]
            digits = 1 if name == "area_mm2" else 2
            mean, spread, most = values.mean(), values.std(), np.abs(values).max()
            cells.append(f"{number(mean, digits, sign=True)} ± {number(spread, digits)}, {number(most, digits)}")
        lines.append(cells)
    return markdown((key, "sides", "refused", "FA, %: mean ± SD, largest", "FH, mm", "FW, mm"), lines)
