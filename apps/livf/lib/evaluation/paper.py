"""The figures of Chen et al. 2022 that tables print beside ours; all of them lie in ``chen2022.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Final

#: What stands where the paper, or this project's copy of its figures, has none.
NOT_GIVEN: Final = "-"

#: The paper's grade words and where they begin, for DSC and for ICC.
GRADES: Final[tuple[tuple[float, str], ...]] = ((0.9, "excellent"), (0.8, "good"), (0.7, "fair"))


@cache
def _figures() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("chen2022.toml").read_text(encoding="utf-8"))


def figure(*path: str) -> float | int | str | None:
    """A figure of the paper by its place in the file, such as ``figure("overlap", "test", "VBS", "dsc")``.

    Returns:
        The figure, or None where there is none.
    """
    here: Any = _figures()
    for key in path:
        if not isinstance(here, dict) or key not in here:
            return None
        here = here[key]
    return here if isinstance(here, float | int | str) else None


def printed(*path: str, places: int = 3) -> str:
    """A figure as a table's cell; ``-`` where there is none."""
    found = figure(*path)
    if found is None:
        return NOT_GIVEN
    return f"{found:.{places}f}" if isinstance(found, float) else str(found)


def grade(value: float) -> str:
    """The paper's word for a DSC or an ICC: poor below 0.7, fair from 0.7, good from 0.8, excellent from 0.9."""
    if value != value:
        return NOT_GIVEN
    return next((word for limit, word in GRADES if value >= limit), "poor")
