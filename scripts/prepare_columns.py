"""Prepare every person's column for painting: signed distances of bones and discs, canal, sac and surroundings.

    python scripts/prepare_columns.py FOLDER [--data DATA] [--only NAME ...] [--again] [--pictures]

FOLDER gets one .npz a person. What is there and was made from the same files is kept. A person whose files are missing
or unusable is named, and the rest goes on; the exit status is then 1. The pictures are of people's scans: look at
them, never share them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from livf.lib.errors import LivfError
from livf.lib.storage import make_folder
from livf.lib.synthesis.columns.build import prepare
from livf.lib.synthesis.columns.column import REACH_MM, Column, Kind, Part
from livf.lib.synthesis.columns.sources import SOURCES, Source
from livf.lib.synthesis.columns.store import fingerprint, load_column, made_from, save_column

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("LIVF_TEST_DATA", ROOT.parent / "shared" / "data")) / "anatomy"


def prepared(source: Source, data: Path, folder: Path, *, again: bool = False) -> tuple[Column, bool]:
    """The person's column, made when it is not there or was made from other files, and whether it was made."""
    target = folder / f"{source.name}.npz"
    wanted = fingerprint([data / name for name in source.files])
    if not again and target.exists() and made_from(target) == wanted:
        return load_column(target), False
    column = prepare(source, data)
    save_column(target, column, wanted)
    return column, True


def picture(column: Column, target: Path) -> None:
    """Sagittal sections through the middle and both rows of foramina, axial ones through each disc and pedicle."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    canal = (column.canal - column.affine[:3, 3]) @ np.linalg.inv(column.affine[:3, :3]).T
    middle = float(np.median(canal[:, 0]))
    discs = [part for part in column.parts if part.kind is Kind.DISC]
    heights = [_centre(part)[2] for part in discs]
    levels = [z for high, low in pairwise(heights) for z in (high, (high + low) / 2)]
    levels += heights[-1:]
    across = [middle - 15 / column.spacing, middle, middle + 15 / column.spacing]
    columns = max(3, (len(levels) + 1) // 2)
    figure = plt.figure(figsize=(4 * (3 + columns), 14))
    spec = figure.add_gridspec(2, 3 + columns)
    for place, x in enumerate(across):
        _section(figure.add_subplot(spec[:, place]), column, 0, round(x), canal)
    for place, z in enumerate(levels):
        _section(figure.add_subplot(spec[place // columns, 3 + place % columns]), column, 2, round(z), canal)
    figure.suptitle(f"{column.name}; middle, then left row first: patient's left is left of the middle one")
    figure.tight_layout()
    figure.savefig(target, dpi=60)
    plt.close(figure)


def _centre(part: Part) -> np.ndarray:
    return np.argwhere(part.distance < 0).mean(axis=0) + np.asarray(part.start)


def _section(axes: object, column: Column, axis: int, at: int, canal: np.ndarray) -> None:
    """Draw the parts' outlines on a plane of the grid over the coarse tissues."""
    keep = [a for a in range(3) if a != axis]
    extent = np.zeros((column.shape[keep[0]], column.shape[keep[1]]))
    if column.surround is not None and column.surround_affine is not None:
        index = np.stack(np.meshgrid(*[np.arange(n) for n in extent.shape], indexing="ij"), -1)
        full = np.insert(index, axis, at, axis=-1).astype(float)
        world = full @ column.affine[:3, :3].T + column.affine[:3, 3]
        coarse = (world - column.surround_affine[:3, 3]) @ np.linalg.inv(column.surround_affine[:3, :3]).T
        coarse = np.clip(np.rint(coarse).astype(int), 0, np.array(column.surround.shape) - 1)
        extent = column.surround[tuple(np.moveaxis(coarse, -1, 0))]
    axes.imshow(extent.T, origin="lower", cmap="gray", alpha=0.5)
    shades = {Kind.VERTEBRA: ("tab:orange", "gold"), Kind.DISC: ("tab:blue", "tab:cyan")}
    for place, part in enumerate(column.parts):
        k = at - part.start[axis]
        if not 0 <= k < part.distance.shape[axis]:
            continue
        full = np.full(extent.shape, REACH_MM)
        block = tuple(slice(max(part.start[a], 0), part.start[a] + part.distance.shape[a]) for a in keep)
        skip = tuple(slice(max(-part.start[a], 0), None) for a in keep)
        taken = np.take(part.distance, k, axis)[skip]
        view = full[block]
        view[...] = taken[: view.shape[0], : view.shape[1]]
        if (view < 0).any():
            shade = shades.get(part.kind, ("tab:green", "tab:red"))[place // 2 % 2]
            axes.contourf(full.T, levels=[-REACH_MM - 1, 0], colors=[shade], alpha=0.6)
            axes.contour(full.T, levels=[0.0], colors=["k"], linewidths=0.6)
        if part.body is not None:
            full[...] = np.nan
            cut = np.take(part.body, k, axis)[skip]
            bone = taken < 0.5
            view[...] = np.where(bone, cut, np.nan)[: view.shape[0], : view.shape[1]]
            if np.nanmin(full, initial=1) < 0 < np.nanmax(full, initial=-1):
                axes.contour(full.T, levels=[0.0], colors=["m"], linewidths=1.2)
    near = np.abs(canal[:, axis] - at) < (3 if axis == 2 else 6)
    axes.plot(canal[near, keep[0]], canal[near, keep[1]], "r.", markersize=2)
    axes.set_aspect("equal")
    axes.set_axis_off()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the columns go, such as runs/columns")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the masks and meshes (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=[s.name for s in SOURCES], metavar="NAME", help="these people")
    parser.add_argument("--again", action="store_true", help="make them anew, for instance after a change of the code")
    parser.add_argument("--pictures", action="store_true", help="also draw sections of each to FOLDER/NAME.png")
    options = parser.parse_args(arguments)
    failed = 0
    try:
        make_folder(options.folder)
    except LivfError as error:
        print(error.line, file=sys.stderr)
        return error.exit_status
    sources = [s for s in SOURCES if not options.only or s.name in options.only]
    for place, source in enumerate(sources, 1):
        begin = time.monotonic(), time.process_time()
        try:
            column, made = prepared(source, options.data, options.folder, again=options.again)
            if options.pictures:
                picture(column, options.folder / f"{source.name}.png")
        except LivfError as error:
            failed += 1
            print(f"{place}/{len(sources)} {source.name}: left out: {error.line}", file=sys.stderr, flush=True)
            continue
        size = (options.folder / f"{source.name}.npz").stat().st_size / 1e6
        took = time.monotonic() - begin[0], time.process_time() - begin[1]
        said = f"{took[0]:.0f} s ({took[1]:.0f} s of CPU)" if made else "was there"
        cut = ", ".join(part.name for part in column.parts if not part.whole)
        taught = ", ".join(disc for _, disc, _ in column.pairs())
        print(
            f"{place}/{len(sources)} {source.name}: {said}, {size:.1f} MB; levels {taught}"
            + (f"; cut {cut}" if cut else "")
            + ("; held out" if source.held_out else ""),
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
