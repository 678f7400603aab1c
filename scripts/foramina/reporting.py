"""What all tables share: the numbers asked about, statistics of pairs, Markdown, CSV and pictures."""

from __future__ import annotations

import csv
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.evaluation.agreement import pearson, wilcoxon_p
from livf.lib.export.lateral import lateral_picture, write_lateral
from livf.lib.foramen import SIDES, ForamenMeasurement, Measurement, Side

#: Name, short name, unit.
NUMBERS: Final = (("area_mm2", "FA", "mm²"), ("height_mm", "FH", "mm"), ("width_mm", "FW", "mm"))
#: Chen et al. 2022, automatic against manual: Pearson's R by number.
CHEN_R: Final = {"area_mm2": 0.978, "height_mm": 0.924, "width_mm": 0.778}

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A label with the values of the anatomy table, and where it lies."""

    name: str
    label: npt.NDArray[np.uint8]
    affine: npt.NDArray[np.float64]


def rows_of_all(make: Callable[..., list[Row]], arguments: Sequence[tuple[Any, ...]], workers: int) -> list[Row]:
    """Rows of many cases, in order; ``make`` is a module's function, since it travels to other processes."""
    if workers <= 1:
        return [row for given in arguments for row in make(*given)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return [row for rows in pool.map(make, *zip(*arguments, strict=True)) for row in rows]


def side_row(foramen: ForamenMeasurement, **first: Any) -> Row:
    """A side as a row: status, reasons, FA, FH and FW with their SD."""
    row: Row = {**first, "side": foramen.side, "status": foramen.status, "reasons": " ".join(foramen.reasons)}
    for name, _, _ in NUMBERS:
        row[name] = getattr(foramen.numbers, name) if foramen.numbers else None
        row[f"sd_{name}"] = foramen.sd.get(name)
    return row


def markdown(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column to the left, numbers to the right."""
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def show(folder: Path, title: str, text: str) -> None:
    """Print a table and keep it as ``table.md``."""
    print(f"\n**{title}**\n\n{text}\n")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "table.md").open("a", encoding="utf-8") as stream:
        stream.write(f"**{title}**\n\n{text}\n\n")


def begin(folder: Path) -> Path:
    """The folder of a table, without the tables of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").unlink(missing_ok=True)
    return folder


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=keys)
        writer.writeheader()
        writer.writerows({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def number(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """A number or a dash."""
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:{'+' if sign else ''}.{digits}f}"


def triple(row: Row) -> str:
    """FA / FH / FW of a row; the reasons where it was refused."""
    if row["area_mm2"] is None:
        return str(row["reasons"])
    return f"{row['area_mm2']:.0f} / {row['height_mm']:.1f} / {number(row['width_mm'])}"


def write_picture(folder: Path, name: str, measurement: Measurement, side: Side) -> Path:
    """The lateral picture of one side."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_{side}.png"
    write_lateral(path, measurement, side)
    return path


def write_sheet(folder: Path, name: str, measurement: Measurement) -> Path:
    """Both sides' lateral pictures beside each other."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    pictures = [lateral_picture(measurement, side) for side in SIDES]
    height = max(picture.shape[0] for picture in pictures)
    padded = [np.pad(p, ((0, height - p.shape[0]), (0, 0), (0, 0))) for p in pictures]
    path = folder / f"{name}.png"
    Image.fromarray(np.hstack(padded)).save(path)
    return path


@dataclass(frozen=True)
class Agreement:
    """Measured against true numbers of the same foramina."""

    ours: npt.NDArray[np.float64]
    true: npt.NDArray[np.float64]
    sd: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[Row], name: str) -> tuple[Agreement, list[Row]]:
        """Pairs of the rows where both are there, and those rows."""
        both = [row for row in rows if row[name] is not None and row[f"true_{name}"] is not None]
        ours, true, sd = (np.array([float(row[k]) for row in both]) for k in (name, f"true_{name}", f"sd_{name}"))
        return cls(ours, true, sd), both

    @property
    def error(self) -> npt.NDArray[np.float64]:
        return self.ours - self.true

    @property
    def r(self) -> float:
        """Pearson's R."""
        return pearson(self.ours, self.true).value

    @property
    def mean_percent(self) -> float:
        """Mean error as a share of the mean truth, %."""
        return float(100 * self.error.mean() / self.true.mean())

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """Which truths lie within 2 SD."""
        return np.asarray(np.abs(self.error) <= 2 * self.sd)

    def fifths(self) -> list[float]:
        """Share within 2 SD in each fifth of the true size, %."""
        fifth = np.digitize(self.true, np.quantile(self.true, [0.2, 0.4, 0.6, 0.8]))
        return [float(100 * self.covered[fifth == k].mean()) if (fifth == k).any() else float("nan") for k in range(5)]

    def wilcoxon(self) -> float:
        """P of Wilcoxon's signed-rank test of no difference."""
        return wilcoxon_p(self.ours, self.true)
