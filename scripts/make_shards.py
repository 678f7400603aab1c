"""Paint training examples beforehand: boxes around a disc, and the localiser's windows.

    python scripts/make_shards.py COLUMNS FOLDER [--pairs N] [--scenes N] [--windows N] [--phantoms N] [--seed N]
                                  [--workers N] [--held-out]

COLUMNS is what scripts/prepare_columns.py made. FOLDER gets people/, pair/, phantom/ and localiser/. A run
that was broken off goes on where it stopped. With --held-out the people who are kept out of
training are painted, to measure on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from livf.lib.errors import InputError, LivfError
from livf.lib.synthesis.columns.column import Column, Kind
from livf.lib.synthesis.columns.from_phantom import phantom_column
from livf.lib.synthesis.columns.sources import SOURCES
from livf.lib.synthesis.columns.store import load_column, save_column
from livf.lib.synthesis.morphometry import sample_anatomy
from livf.lib.synthesis.painting.shards import Task, complete_people, make_shards, plan_shards
from livf.lib.synthesis.phantom import draw_group
from livf.lib.synthesis.spine import Spine

#: Phantoms with seeds from here on are for training; cohorts and tests use smaller ones.
FIRST_SEED = 900_000


def people(folder: Path, held_out: bool) -> tuple[list[Column], list[Column]]:
    """Columns to paint, and those of training that can lend a sacrum."""
    chosen, donors = [], []
    for source in SOURCES:
        path = folder / f"{source.name}.npz"
        if not path.exists():
            print(f"{source.name}: no column in {folder}, left out", file=sys.stderr)
            continue
        column = load_column(path)
        if source.held_out == held_out:
            chosen.append(column)
        if not source.held_out and any(p.kind is Kind.SACRUM and p.whole for p in column.parts):
            donors.append(column)
    if not chosen:
        raise InputError("holds no column of the people wanted", folder, "run scripts/prepare_columns.py")
    return chosen, donors


def phantoms(folder: Path, count: int, held_out: bool) -> list[Column]:
    """Columns of phantoms, kept beside those of people."""
    columns = []
    for number in range(count):
        seed = FIRST_SEED + number + (50_000 if held_out else 0)
        path = folder / f"phantom_{seed}.npz"
        if not path.exists():
            rng = np.random.default_rng(seed)
            save_column(path, phantom_column(Spine(sample_anatomy(rng, draw_group(rng))), path.stem))
        columns.append(load_column(path))
    return columns


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the shards and say how fast it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("columns", type=Path, help="folder of prepared columns")
    parser.add_argument("folder", type=Path, help="folder of the data set")
    parser.add_argument("--pairs", type=int, default=0, metavar="N", help="boxes around a disc")
    parser.add_argument("--scenes", type=int, default=0, metavar="N", help="such boxes of whole phantoms as they are")
    parser.add_argument("--windows", type=int, default=0, metavar="N", help="windows of the localiser")
    parser.add_argument("--phantoms", type=int, default=8, metavar="N", help="phantoms among the people")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--held-out", action="store_true", help="paint the people kept out of training")
    args = parser.parse_args(arguments)
    try:
        chosen, donors = people(args.columns, args.held_out)
        chosen += phantoms(args.columns, args.phantoms, args.held_out)
        names = complete_people(chosen, donors, args.folder)
        del chosen, donors
        tasks = plan_shards(args.folder, "pair", args.pairs, names, seed=args.seed) if args.pairs else []
        if args.scenes:
            tasks += plan_shards(args.folder, "phantom", args.scenes, names, seed=args.seed)
        if args.windows:
            tasks += plan_shards(args.folder, "localiser", args.windows, names, seed=args.seed)
        begin = time.perf_counter()
        painted = 0

        def done(task: Task, made: bool) -> None:
            nonlocal painted
            painted += task.examples * made
            if made:
                rate = painted / (time.perf_counter() - begin)
                size = task.path.stat().st_size / 2**20 / task.examples
                print(f"{task.purpose} {task.number:05d}: {rate:.2f} examples/s, {size:.2f} MB each", flush=True)

        make_shards(tasks, args.workers, done)
    except LivfError as error:
        print(f"livf: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
