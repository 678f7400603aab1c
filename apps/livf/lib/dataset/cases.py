"""What a data set is: cases of an image and a label, and what can be wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from livf.lib.errors import InputError, LivfError
from livf.lib.images import read_image, read_label
from livf.lib.numberings import OURS, Numbering
from livf.lib.values import Segmentation, Volume

#: Between two problems on one line.
_BETWEEN: Final = " | "


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a data set.

    Attributes:
        where: The file, case or row.
        what: What is wrong with it.
        remedy: What the user can do.
    """

    where: str
    what: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """``where: what; remedy``."""
        return LivfError(self.what, self.where, self.remedy).line

    @classmethod
    def of(cls, error: LivfError, where: str | os.PathLike[str] = "") -> Problem:
        """The problem an error tells of."""
        return cls(error.where or os.fspath(where), error.what, error.remedy)


class DatasetError(InputError):
    """A data set that cannot be used, with everything that is wrong with it.

    Args:
        folder: The data set.
        problems: At least one.
    """

    def __init__(self, folder: str | os.PathLike[str], problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
        super().__init__(f"{count} in the data set: {_BETWEEN.join(p.line for p in problems)}", folder)

    @property
    def lines(self) -> tuple[str, ...]:
        """Each problem on a line of its own."""
        return tuple(problem.line for problem in self.problems)

    def __reduce__(self) -> tuple[type[DatasetError], tuple[str, tuple[Problem, ...]]]:  # type: ignore[override]
        return type(self), (self.where, self.problems)


@dataclass(frozen=True)
class Case:
    """An image with its label.

    Attributes:
        name: Of the case, unique in its data set.
        image: Path of the image.
        label: Path of the label. Its numbers are ours only where ``numbering`` is None; read it with
            :func:`read_case_label`.
        patient: Whose it is. Cases of one patient never straddle a split.
        group: Diagnosis group, None where the data set names none.
        columns: Every further column of ``cases.csv``.
        numbering: What the label's numbers mean, where they are not ours.
    """

    name: str
    image: Path
    label: Path
    patient: str
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    numbering: Numbering | None = None


@dataclass(frozen=True)
class Dataset:
    """A folder of cases.

    Attributes:
        folder: Where it lies.
        cases: In the order of their names.
        unlabelled: Images of a studies folder that nobody has labelled yet; they are no fault.
    """

    folder: Path
    cases: tuple[Case, ...]
    unlabelled: tuple[Path, ...] = ()

    @property
    def patients(self) -> tuple[str, ...]:
        """The patients, each once, in the order of their first case."""
        return tuple(dict.fromkeys(case.patient for case in self.cases))

    def __len__(self) -> int:
        return len(self.cases)


def read_case_image(case: Case) -> Volume:
    """The image of a case.

    Raises:
        LivfError: It cannot be used.
    """
    return read_image(case.image)


def read_case_label(case: Case) -> Segmentation:
    """The label of a case in our numbers, on its own grid; what is not trained on is background.

    Raises:
        LivfError: It cannot be used.
    """
    label = read_label(case.label)
    return Segmentation((case.numbering or OURS).to_ours(label.array), label.affine, label.source)
