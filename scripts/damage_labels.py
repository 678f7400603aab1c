"""A campaign of damaged labels: no crash, and no wrong number where a structure that bounds the foramen is gone.

    python scripts/damage_labels.py [-n 1000] [--seed 0] [--out runs/damage]

Phantoms (exact labels) and, where the data folder is there, real people's bones are damaged in the ways of
``foramina/damages.py``, each as often as every other, and measured. A crash is any exception but a LivfError (a label
that is none is said to be so). Numbers are false, on either side, where a structure that bounds the foramen is gone,
whatever their value, and where FA, FH or FW is another than the undamaged label's (``foramina/judging.py`` says by how
much). Prints what became of each damage, the false numbers one by one, and writes a CSV with one row a side. The same
seed gives the same table.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from foramina.damages import DAMAGES, Target
from foramina.judging import Reference
from foramina.reporting import NUMBERS, Case, Row, begin, markdown, number, show, write_rows
from foramina.shapes import PEOPLE, person_case, remus_case
from foramina.synthetic import Person, Sampling

from livf.lib.errors import LivfError
from livf.lib.foramen import SIDES, ForamenMeasurement, measure
from livf.lib.foramen.level import prepare

ROOT: Final = Path(__file__).resolve().parents[1]
_REMUS_MM: Final = 0.8


@dataclass(frozen=True)
class Task:
    """One undamaged level and the damages it gets.

    Attributes:
        shape: ``phantom SEED``, ``remus`` or a person of :data:`foramina.shapes.PEOPLE`.
        numbers: Numbers of the damaged labels; the damage follows from the number.
        seed: Of the campaign.
        anatomy: Folder of the real shapes.
    """

    shape: str
    numbers: tuple[int, ...]
    seed: int
    anatomy: Path


def case_of(shape: str, anatomy: Path) -> Case:
    """An undamaged level."""
    if shape.startswith("phantom"):
        rng = np.random.default_rng(int(shape.split()[1]))
        spacing = float(rng.choice([0.8, 0.9, 1.0]))
        angles = rng.uniform(-10, 10, 3)
        return Person.of(int(shape.split()[1])).case(
            Sampling((spacing, spacing, spacing), (float(angles[0]), float(angles[1]), float(angles[2])))
        )
    return remus_case(anatomy, _REMUS_MM) if shape == "remus" else person_case(anatomy, shape)


def told(foramen: ForamenMeasurement) -> str:
    """FA / FH / FW, or a dash."""
    if foramen.numbers is None:
        return "-"
    return " / ".join(number(getattr(foramen.numbers, name)) for name, _, _ in NUMBERS)


def run(task: Task) -> list[Row]:
    """Damage and measure; one row a side."""
    case = case_of(task.shape, task.anatomy)
    # Only the structures' surroundings, so that drawing damages is quick; the image's edge stays far from them.
    level = prepare(case.label, case.affine)
    label, affine = np.pad(level.label, 4), level.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, 4.0)
    before = measure(label, affine)
    references = {side: Reference.of(label, affine, before, side) for side in SIDES}
    targets = {}
    for side in SIDES:
        try:
            targets[side] = Target.of(label, affine, side)
        except ValueError:
            continue
    rows: list[Row] = []
    for at in task.numbers:
        rng = np.random.default_rng([task.seed, at])
        side = tuple(targets)[rng.integers(len(targets))]
        damage = DAMAGES[at % len(DAMAGES)]
        damaged, moved = damage(targets[side], rng)
        first: Row = {"number": at, "shape": task.shape, "damage": damage.__name__, "damaged_side": side}
        try:
            measurement = measure(damaged, moved, uncertainty=False)
        except LivfError as error:
            rows.append({**first, "side": "both", "outcome": "not a label", "detail": str(error)})
            continue
        except Exception as error:  # what the campaign is for
            rows.append({**first, "side": "both", "outcome": "CRASH", "detail": repr(error)})
            continue
        for own in SIDES:
            foramen, reference = measurement.foramina[own], references[own]
            gone = reference.gone(damaged, moved) if foramen.measured else ()
            off = reference.off(foramen)
            rows.append({
                **first,
                "side": own,
                "outcome": "FALSE" if gone or off else "right" if foramen.measured else foramen.reasons[0],
                "gone": ", ".join(gone),
                "off": " ".join(off),
                "before": told(reference.foramen),
                "after": told(foramen),
                "warnings": " ".join(foramen.reasons) if foramen.measured else "",
            })  # fmt: skip
    return rows


def campaign(count: int, seed: int, anatomy: Path, workers: int, phantoms: int = 14) -> list[Row]:
    """All rows, in the order of their numbers."""
    shapes = [f"phantom {k}" for k in range(phantoms)]
    if anatomy.is_dir():
        shapes += ["remus", *PEOPLE]
    # A permutation, so that each damage meets every shape.
    order = np.random.default_rng(seed).permutation(count)
    tasks = [
        Task(shape, tuple(int(n) for n in order[k :: len(shapes)]), seed, anatomy) for k, shape in enumerate(shapes)
    ]
    tasks = [task for task in tasks if task.numbers]
    rows: list[Row] = []
    with ProcessPoolExecutor(workers) as pool:
        for done, found in enumerate(pool.map(run, tasks), start=1):
            rows += found
            print(f"{done} of {len(tasks)} shapes", file=sys.stderr, flush=True)
    return sorted(rows, key=lambda row: (row["number"], row["side"]))


def report(rows: list[Row], out: Path) -> None:
    """Print the tables."""
    lines = []
    for damage in (d.__name__ for d in DAMAGES):
        own = [row for row in rows if row["damage"] == damage]
        codes = Counter(row["outcome"] for row in own)
        hit = [row for row in own if row["side"] in (row["damaged_side"], "both")]
        told = [codes.pop("right", 0), codes.pop("FALSE", 0), codes.pop("CRASH", 0)]
        refused = sum(row["outcome"] not in ("right", "FALSE", "CRASH") for row in hit)
        words = ", ".join(f"{code} {n}" for code, n in codes.most_common())
        lines.append(
            (damage.replace("_", " "), len({row["number"] for row in own}), f"{refused}/{len(hit)}", *told, words)
        )
    total = Counter(row["outcome"] for row in rows)
    labels = len({row["number"] for row in rows})
    heads = ("damage", "labels", "damaged side refused", "sides right", "sides false", "crashes", "refusals, sides")
    gone = sum(row["outcome"] == "FALSE" and bool(row["gone"]) for row in rows)
    title = (
        f"{labels} damaged labels: {total['CRASH']} crashes, {gone} sides with numbers where a structure is gone, "
        f"{total['FALSE'] - gone} with other false numbers"
    )
    show(out, title, markdown(heads, lines))
    codes = [(code, n) for code, n in total.most_common() if code not in ("right", "FALSE", "CRASH")]
    show(out, "Refusals by code", markdown(("code", "sides"), codes))
    wrong = [
        (
            row["number"],
            row["damage"],
            row["shape"],
            f"{row['side']} ({row['damaged_side']})",
            row["before"],
            row["after"],
            row["gone"] or row["off"],
            row["warnings"],
        )
        for row in rows
        if row["outcome"] == "FALSE"
    ]
    if wrong:
        heads = ("", "damage", "shape", "side (damaged)", "FA / FH / FW", "given", "gone, or off", "warned")
        show(out, "False numbers", markdown(heads, wrong))
    crashed = [(row["number"], row["damage"], row["shape"], row["detail"]) for row in rows if row["outcome"] == "CRASH"]
    if crashed:
        show(out, "Crashes", markdown(("", "damage", "shape", "error"), crashed))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "damage")
    data = os.environ.get("LIVF_TEST_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    out, start = begin(given.out), time.perf_counter()
    rows = campaign(given.n, given.seed, given.data / "anatomy", given.workers)
    write_rows(out / "rows.csv", rows)
    report(rows, out)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
