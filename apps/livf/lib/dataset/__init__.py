"""Data sets: folders of images with labels, their checks, and the ways to and from other groups' layouts.

Importing this brings neither torch nor monai.
"""

from livf.lib.dataset.cases import Case, Dataset, DatasetError, Problem, read_case_image, read_case_label
from livf.lib.dataset.checking import check_dataset, open_dataset
from livf.lib.dataset.reading import read_dataset

__all__ = [
    "Case",
    "Dataset",
    "DatasetError",
    "Problem",
    "check_dataset",
    "open_dataset",
    "read_case_image",
    "read_case_label",
    "read_dataset",
]
