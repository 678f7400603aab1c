"""How well labels agree: overlap and distances of structures, agreement of foramina, the paper's tables and figures.

``evaluate`` takes pairs of label files and writes a folder; ``match`` pairs the files of two folders; ``agree`` tells
the reliability of repeated measurements. Importing this brings neither matplotlib nor statsmodels.
"""

from livf.lib.evaluation.cases import PARTS, Failure, Pair, Part, Reading, Scored, score
from livf.lib.evaluation.cohort import Subject, read_cases, read_dicom_cases, subjects_of
from livf.lib.evaluation.folders import Matched, match
from livf.lib.evaluation.run import Evaluation, Settings, evaluate

__all__ = [
    "PARTS",
    "Evaluation",
    "Failure",
    "Matched",
    "Pair",
    "Part",
    "Reading",
    "Scored",
    "Settings",
    "Subject",
    "evaluate",
    "match",
    "read_cases",
    "read_dicom_cases",
    "score",
    "subjects_of",
]
