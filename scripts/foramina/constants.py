"""The engine's constants as a table, read from where they are defined: the page cannot differ from the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from foramina.reporting import begin, markdown, show
from livf.lib.foramen import constants

_SOURCES: Final = {"DESIGN": "definition", "Chen": "Chen 2022", "own": "chosen here"}


def explained(source: str) -> Iterator[tuple[str, str, str]]:
    """Name, value and explaining comment of each constant of a module's source."""
    comment: list[str] = []
    used = False
    for line in source.splitlines():
        if line.startswith("#:"):
            # A comment stands for all constants that follow it directly.
            comment = [*([] if used else comment), line.removeprefix("#:").strip()]
            used = False
        elif found := re.match(r"([A-Z][A-Z0-9_]+): Final = (.+)", line):
            yield found[1], found[2], " ".join(comment)
            used = True
        elif not line.strip():
            comment = []


def constants_table(out: Path) -> None:
    """Every constant with its value, what it is, and its source."""
    out = begin(out)
    lines = []
    for name, value, comment in explained(Path(constants.__file__).read_text(encoding="utf-8")):
        sources = [_SOURCES[key] for key in _SOURCES if re.search(rf"\[{key}[^\]]*\]", comment)]
        meaning = re.sub(r"\[(DESIGN|Chen|own)[^\]]*\]\s*", "", comment).strip()
        lines.append([f"`{name}`", f"`{value}`", meaning, ", ".join(sources)])
    show(out, "Constants of the engine", markdown(["constant", "value", "what", "source"], lines))
