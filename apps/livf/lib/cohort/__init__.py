"""Many cases, from images to numbers, through any executor. Importing this brings no torch."""

from livf.lib.cohort.case import Settings, run_case
from livf.lib.cohort.run import Report, processes, run_cohort, summary
from livf.lib.cohort.sources import Source, find_sources
from livf.lib.cohort.table import COLUMNS, TABLE_NAME, Row

__all__ = [
    "COLUMNS",
    "TABLE_NAME",
    "Report",
    "Row",
    "Settings",
    "Source",
    "find_sources",
    "processes",
    "run_case",
    "run_cohort",
    "summary",
]
