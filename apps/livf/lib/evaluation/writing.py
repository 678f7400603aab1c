"""Tables into files."""

from __future__ import annotations

from pathlib import Path

from livf.lib.evaluation.report import report
from livf.lib.evaluation.tables import Table, to_csv, to_latex, to_markdown
from livf.lib.storage import make_folder, write_text


def write_table(table: Table, folder: Path) -> tuple[Path, ...]:
    """Write a table as Markdown, CSV and LaTeX.

    Raises:
        OutputError: It cannot be written.
    """
    written = []
    for suffix, text in ((".md", to_markdown), (".csv", to_csv), (".tex", to_latex)):
        written.append(folder / f"{table.name}{suffix}")
        write_text(written[-1], text(table))
    return tuple(written)


def write_reliability(table: Table, folder: Path) -> tuple[Path, ...]:
    """Write the table of ``livf agree`` as Markdown, CSV, LaTeX and HTML into a folder, made if it is missing.

    Raises:
        OutputError: It cannot be written.
    """
    make_folder(folder)
    written = write_table(table, folder)
    path = folder / f"{table.name}.html"
    write_text(path, report(table.title, (), (), [table]))
    return *written, path
