"""What a table is, how its numbers are written, and the table as Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

import csv
import html
import io
import math
from dataclasses import dataclass
from typing import Final

from livf.lib.evaluation.intervals import Estimate

#: What stands where a number is not defined.
UNDEFINED: Final = "not defined"
#: Longer cells are broken into lines.
_LONG: Final = 48
_LATEX: Final = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "²": r"\textsuperscript{2}",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "<": r"$<$",
    ">": r"$>$",
    "κ": r"$\kappa$",
    "−": r"$-$",
}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        name: Of its files.
        title: One line.
        columns: Heads.
        rows: Cells, as many as there are heads.
        notes: What a reader has to know of it.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), self.name


def number(value: float, places: int = 3) -> str:
    """A number, or that there is none."""
    return UNDEFINED if math.isnan(value) else _signed(value, places)


def spread(mean_and_sd: tuple[float, float], places: int) -> str:
    """``mean ± SD``."""
    mean, sd = mean_and_sd
    if math.isnan(mean):
        return UNDEFINED
    return number(mean, places) if math.isnan(sd) else f"{number(mean, places)} ± {number(sd, places)}"


def interval(low: float, high: float, places: int = 3) -> str:
    """``low to high``."""
    if math.isnan(low) or math.isnan(high):
        return UNDEFINED
    return f"{_signed(low, places)} to {_signed(high, places)}"


def estimate(found: Estimate, places: int = 3) -> str:
    """``value (low to high)``."""
    if not found.defined:
        return UNDEFINED
    if math.isnan(found.low):
        return _signed(found.value, places)
    return f"{_signed(found.value, places)} ({interval(found.low, found.high, places)})"


def probability(p: float) -> str:
    """A P value: three decimals, or ``< 0.001``."""
    if math.isnan(p):
        return UNDEFINED
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _signed(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def to_markdown(table: Table) -> str:
    """GitHub's Markdown."""

    def line(cells: tuple[str, ...]) -> str:
        plain = (" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
        return f"| {' | '.join(cell.replace('<', '&lt;') for cell in plain)} |"

    lines = [f"### {table.title}", "", line(table.columns), f"|{'---|' * len(table.columns)}"]
    lines += [line(row) for row in table.rows]
    for note in table.notes:
        lines += ["", note]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """Comma-separated values: the cells alone. A head that stands twice takes the one before it along."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = list(table.columns)
    writer.writerow(
        f"{heads[at - 1]}: {head}" if at and heads.count(head) > 1 else head for at, head in enumerate(heads)
    )
    writer.writerows(table.rows)
    return text.getvalue()


def to_latex(table: Table) -> str:
    """A ``table`` environment; it needs ``booktabs``."""
    head = " & ".join(_latex(cell) for cell in table.columns)
    body = "\n".join(f"{' & '.join(_latex(cell) for cell in row)} \\\\" for row in table.rows)
    notes = "".join(f"\\par\\footnotesize {_latex(note)}\n" for note in table.notes)
    return (
        f"\\begin{{table}}\n\\caption{{{_latex(table.title)}}}\n\\label{{tab:{table.name.replace('_', '-')}}}\n"
        f"\\begin{{tabular}}{{{'l' * len(table.columns)}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}\n\\bottomrule\n"
        f"\\end{{tabular}}\n{notes}\\end{{table}}\n"
    )


def to_html(table: Table) -> str:
    """A ``section`` with the table; every text is escaped."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.columns)
    body = "\n".join(f"<tr>{''.join(_td(cell) for cell in row)}</tr>" for row in table.rows)
    notes = "".join(f"<p class='note'>{html.escape(note)}</p>\n" for note in table.notes)
    return (
        f"<section id='{html.escape(table.name)}'><h2>{html.escape(table.title)}</h2>\n<div class='wide'><table>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>\n{notes}</section>\n"
    )


def _td(cell: str) -> str:
    kind = " class='text'" if len(cell) > _LONG else ""
    return f"<td{kind}>{html.escape(cell)}</td>"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
