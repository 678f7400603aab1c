"""Measure the foramina of phantoms and compare them with their exact truth: R, mean error, worst, coverage of the SDs.

    python scripts/measure_foramina.py --phantoms 100 [--first 0] [--spacing 0.8] [--csv FILE]

The phantom's own label is measured, so that the figures are those of the engine alone. Prints one table; with --csv
one row a side.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from livf.lib.anatomy import TRAINED
from livf.lib.foramen import SIDES, measure
from livf.lib.synthesis.morphometry import sample_anatomy
from livf.lib.synthesis.phantom import Grid, draw_group
from livf.lib.synthesis.spine import Spine
from livf.lib.synthesis.truth import foramen_truth

NUMBERS = ("area_mm2", "height_mm", "width_mm")
#: Half of the box round the level that is sampled, mm.
REACH = (60.0, 72.0, 48.0)


def person(seed: int) -> Spine:
    """The anatomy of ``make_phantom(seed)``, without its image."""
    for_person, for_place, _, _ = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    anatomy = sample_anatomy(for_person, draw_group(for_person))
    for_place.integers(44, 65)
    centre = (float(for_place.normal(0, 3)), float(for_place.normal(6, 4)), float(for_place.normal(0, 3)))
    return Spine(anatomy, centre)


def label_of(spine: Spine, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Label and affine of the level's surroundings."""
    centre = spine.frame.origin
    shape = tuple(int(2 * r / spacing) for r in REACH)
    grid = Grid((shape[0], shape[1], shape[2]), spacing, (centre[0], centre[1] - 15.0, centre[2]))
    fields = spine.fields(*grid.axes())
    label = np.zeros(grid.shape, dtype=np.uint8)
    for structure in TRAINED:
        label[fields[structure.name] < 0] = structure.value
    return label, grid.affine()


def rows_of(seed: int, spacing: float) -> list[dict[str, object]]:
    """One row a side."""
    spine = person(seed)
    label, affine = label_of(spine, spacing)
    start = time.perf_counter()
    measurement = measure(label, affine)
    seconds = time.perf_counter() - start
    rows = []
    for side in SIDES:
        foramen, truth = measurement.foramina[side], foramen_truth(spine, side)
        row: dict[str, object] = {"seed": seed, "side": side, "status": foramen.status, "seconds": round(seconds, 3)}
        row["reasons"] = " ".join(foramen.reasons)
        row["truth_reasons"] = " ".join(truth.reasons)
        for name in NUMBERS:
            row[name] = getattr(foramen.numbers, name) if foramen.numbers else None
            row[f"true_{name}"] = getattr(truth, name)
            row[f"sd_{name}"] = foramen.sd.get(name)
        rows.append(row)
    return rows


def report(rows: list[dict[str, object]]) -> None:
    """Print the table."""
    measurable = [r for r in rows if r["true_area_mm2"] is not None]
    measured = [r for r in measurable if r["area_mm2"] is not None]
    print(f"{len(measured)} of {len(measurable)} measurable foramina measured")
    for row in rows:
        if (row["area_mm2"] is None) != (row["true_area_mm2"] is None):
            print(f"  seed {row['seed']} {row['side']}: {row['reasons'] or 'measured'}; truth: {row['truth_reasons']}")
    print(
        f"{'':10} {'n':>4} {'R':>7} {'mean':>8} {'mean %':>7} {'SD':>6}  worst            median sd  in 2 sd, by fifths"
    )
    for name in NUMBERS:
        both = [r for r in measured if r[name] is not None and r[f"true_{name}"] is not None]
        ours, true, sd = (np.array([float(str(r[k])) for r in both]) for k in (name, f"true_{name}", f"sd_{name}"))
        error = ours - true
        worst = both[int(np.abs(error).argmax())]
        fifth = np.digitize(true, np.quantile(true, [0.2, 0.4, 0.6, 0.8]))
        covered = np.abs(error) < 2 * sd
        shares = " ".join(f"{covered[fifth == k].mean():.2f}" for k in range(5))
        print(
            f"{name:10} {len(both):4d} {np.corrcoef(ours, true)[0, 1]:7.4f} {error.mean():8.3f} "
            f"{100 * error.mean() / true.mean():7.2f} {error.std():6.3f}  {error[np.abs(error).argmax()]:+.2f} "
            f"(seed {worst['seed']} {worst['side']})  {np.median(sd):.3f}  {covered.mean():.3f}: {shares}"
        )
    print(f"seconds a case: {np.mean([float(str(r['seconds'])) for r in rows]):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--spacing", type=float, default=0.8)
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.phantoms)
    rows = [row for seed in seeds for row in rows_of(seed, arguments.spacing)]
    if arguments.csv:
        with arguments.csv.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    report(rows)


if __name__ == "__main__":
    main()
