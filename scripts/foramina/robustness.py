"""How far the numbers move when the person lies otherwise on the grid, or the boundary is noisy: ICC(2,1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from foramina.orientation import compared, difference_table
from foramina.reporting import NUMBERS, Row, begin, markdown, number, rows_of_all, show, write_rows
from foramina.synthetic import Boundary, Person, Sampling
from livf.lib.evaluation.reliability import icc
from livf.lib.foramen import measure

LARGEST_TURN_DEG: Final = 2.0
NOISE_MM: Final = 0.3
MOVE_MM: Final = 0.2
BASE: Final = "as it is"


def perturbations(seed: int) -> dict[str, tuple[Sampling, Boundary]]:
    """What is done to a person; the draws depend on the seed alone."""
    rng = np.random.default_rng([seed, 6])

    def three(reach: float) -> tuple[float, float, float]:
        x, y, z = (float(v) for v in rng.uniform(-reach, reach, 3))
        return x, y, z

    still = Boundary()
    return {
        "shift": (Sampling(shift=three(0.4)), still),
        "rotate": (Sampling(angles=three(LARGEST_TURN_DEG), turned_person=True), still),
        "resample": (Sampling((0.9, 0.7, 1.0), three(15.0), three(0.4)), still),
        "noise": (Sampling(), Boundary(noise=NOISE_MM, seed=seed)),
    }


def moves() -> dict[str, tuple[Sampling, Boundary]]:
    """The sensitivity: all boundaries out and in."""
    return {f"boundary {by:+.1f} mm": (Sampling(), Boundary(offset=by)) for by in (MOVE_MM, -MOVE_MM)}


def rows_of(seed: int) -> list[Row]:
    """A person as they are, perturbed, and with the boundaries moved."""
    person = Person.of(seed)
    case = person.case()
    base = measure(case.label, case.affine)
    rows = compared(base, base, seed=seed, change=BASE)
    for name, (sampling, boundary) in {**perturbations(seed), **moves()}.items():
        case = person.case(sampling, boundary)
        rows += compared(base, measure(case.label, case.affine), seed=seed, change=name)
    return rows


def robustness(out: Path, seeds: Sequence[int], workers: int = 1) -> list[Row]:
    """ICC over the perturbations, and beside it the sensitivity to the boundary's place."""
    out = begin(out)
    rows = rows_of_all(rows_of, [(seed,) for seed in seeds], workers)
    write_rows(out / "rows.csv", rows)
    kinds = (BASE, *perturbations(0))
    lines = []
    for name, short, unit in NUMBERS:
        ratings = table_of(rows, name, kinds)
        found = icc(ratings).absolute
        within = float(np.sqrt(ratings.var(axis=1, ddof=1).mean()))
        lines.append((f"{short}, {unit}", len(ratings), number(found.value, 4), f"{found.low:.3f} to {found.high:.3f}",
                      number(within, 2)))  # fmt: skip
    title = f"Robustness to shift, rotation, resampling and boundary noise: ICC(2,1) of {len(kinds)} measurements"
    show(out, title, markdown(("", "foramina", "ICC(2,1)", "95 % interval", "SD within a foramen"), lines))
    apart = [row for row in rows if row["change"] in kinds[1:]]
    show(out, "The same, each perturbation against the label as it is", difference_table(apart, "change"))
    moved = [row for row in rows if row["change"] in moves()]
    show(out, "Sensitivity, not in the ICC: all boundaries moved", difference_table(moved, "change"))
    return rows


def table_of(rows: Sequence[Row], name: str, kinds: Sequence[str]) -> npt.NDArray[np.float64]:
    """``(foramina, kinds)`` of a number, of the foramina that have it each time."""
    found: dict[tuple[int, str], dict[str, float]] = {}
    for row in rows:
        if row["change"] in kinds and row[name] is not None:
            found.setdefault((row["seed"], row["side"]), {})[row["change"]] = row[name]
    whole = [[values[kind] for kind in kinds] for values in found.values() if len(values) == len(kinds)]
    return np.asarray(whole, dtype=np.float64)
