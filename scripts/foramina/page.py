"""Puts the tables and a sheet of pictures into docs/foramen.md, between its markers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

#: Pictures to a row of the sheet, and their size as a share of the originals.
_COLUMNS: Final = 3
_SCALE: Final = 0.4


def fill(page: Path, results: Path, commands: Sequence[str]) -> None:
    """Replace what lies between ``<!-- table NAME -->`` and ``<!-- end -->`` by the command's latest tables."""
    text = page.read_text(encoding="utf-8")
    for command in commands:
        table = results / command / "table.md"
        if not table.exists():
            print(f"{command}: no table yet, the page keeps the old one")
            continue
        whole = re.compile(rf"(<!-- table {command} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        if not whole.search(text):
            raise SystemExit(f"{page} has no place for the table of {command}")
        body = table.read_text(encoding="utf-8").strip()
        text = whole.sub(lambda found, body=body: found[1] + body + found[2], text)  # type: ignore[misc]
    page.write_text(text, encoding="utf-8")


def sheet(folder: Path, path: Path) -> None:
    """All pictures of a folder, reduced, on one sheet."""
    from PIL import Image

    pictures = [Image.open(file).convert("RGB") for file in sorted(folder.glob("*.png"))]
    if not pictures:
        return
    small = [p.resize((round(p.width * _SCALE), round(p.height * _SCALE)), Image.Resampling.LANCZOS) for p in pictures]
    width, height = max(p.width for p in small), max(p.height for p in small)
    rows = -(-len(small) // _COLUMNS)
    whole = Image.new("RGB", (width * _COLUMNS, height * rows), (16, 17, 20))
    for k, picture in enumerate(small):
        whole.paste(picture, (k % _COLUMNS * width, k // _COLUMNS * height))
    whole.save(path, quality=85, optimize=True)
