"""What the voxels of a data set must be, found out before anything is trained."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import BACKGROUND, DISC, L4, L5, TRAINED
from livf.lib.dataset.cases import Case, Dataset, DatasetError, Problem
from livf.lib.dataset.geometry import centroids, grid_difference
from livf.lib.dataset.reading import find_cases
from livf.lib.errors import LivfError
from livf.lib.images import read_image, read_label
from livf.lib.numberings import OURS, Numbering
from livf.lib.values import Array, Volume

#: An image with so few different values is a label; a label with more than the second number is an image.
_FEW_VALUES: Final = 8
_MANY_VALUES: Final = 150
#: Voxels looked at first when values are counted.
_SAMPLE: Final = 200_000

_SWAPPED: Final = "image and label are swapped"
_RESAMPLE: Final = "resample the label to the image's grid with nearest neighbours, or draw it on that image"


def open_dataset(folder: str | os.PathLike[str], *, progress: bool | None = None) -> Dataset:
    """Read a data set and check every voxel of it.

    Args:
        folder: Of the data set.
        progress: Whether to show a bar; None: when standard error is a terminal.

    Raises:
        DatasetError: Something is wrong with it; all of it is listed, of the files' names and of the voxels.
    """
    dataset, problems = find_cases(folder)
    problems += check_dataset(dataset, progress=progress)
    if problems:
        raise DatasetError(folder, problems)
    return dataset


def check_dataset(dataset: Dataset, *, progress: bool | None = None) -> tuple[Problem, ...]:
    """Everything that is wrong with the voxels of a data set; empty where it can be trained on.

    Every image and label is read once. A case must hold a 3D image of finite, differing values and a label on its grid
    with every trained structure, L4 above the disc above L5. No image may come under two names, and no label under two
    patients.

    Args:
        dataset: From :func:`~livf.lib.dataset.reading.read_dataset`.
        progress: Whether to show a bar; None: when standard error is a terminal.
    """
    from tqdm import tqdm

    problems: list[Problem] = []
    seen = _Seen()
    disable = None if progress is None else not progress
    for case in tqdm(dataset.cases, desc="checking", unit="case", disable=disable, leave=False):
        image, label = _read(read_image, case.image), _read(read_label, case.label)
        problems += _check_case(case, image, label)
        problems += seen.check(case, image, label)
    return tuple(problems)


def _read(reader: Any, path: Any) -> Volume | LivfError:
    try:
        volume: Volume = reader(path)
    except LivfError as error:
        return error
    return volume


def _check_case(case: Case, image: Volume | LivfError, label: Volume | LivfError) -> list[Problem]:
    if isinstance(image, Volume) and _is_label_like(image.array) and _is_image_like(label):
        return [Problem(case.name, f"{_SWAPPED} ({case.image.name}, {case.label.name})", "change their names over")]
    problems = []
    if isinstance(image, LivfError):
        problems.append(Problem.of(image, case.image))
    elif _is_label_like(image.array):
        problems.append(
            Problem(
                str(case.image), f"holds {_count(image.array)} different values only, as a label does", "give the image"
            )
        )
    if isinstance(label, LivfError):
        return [*problems, Problem.of(label, case.label)]
    if _is_image_like(label):
        return [
            *problems,
            Problem(
                str(case.label), f"holds {_count(label.array)} different values, as an image does", "give the label"
            ),
        ]
    if isinstance(image, Volume) and (difference := grid_difference(image, label)):
        problems.append(Problem(str(case.label), f"lies on another grid than its image ({difference})", _RESAMPLE))
    return problems + _check_label(case, label)


def _is_label_like(array: Array) -> bool:
    return _count(array) <= _FEW_VALUES


def _is_image_like(label: Volume | LivfError) -> bool:
    # What the reader refuses as a label for its fractions or its negative values is an image.
    if isinstance(label, LivfError):
        return "so it is not a label" in label.what
    return _count(label.array) > _MANY_VALUES


def _count(array: Array) -> int:
    """Number of different values; more than :data:`_MANY_VALUES` is not counted to the end."""
    flat = array.ravel(order="K")
    sample = len(np.unique(flat[:: max(1, flat.size // _SAMPLE)]))
    return sample if sample > _MANY_VALUES else len(np.unique(flat))


def _check_label(case: Case, label: Volume) -> list[Problem]:
    numbering = case.numbering or OURS
    where = str(case.label)
    values = {int(value) for value in np.unique(label.array)} - {BACKGROUND}
    if not values:
        return [Problem(where, "is empty: every voxel is background", "label the case, or take it out of the data set")]
    problems = []
    if numbering.known and (unknown := sorted(values - numbering.known)):
        listed = ", ".join(str(value) for value in unknown[:5]) + (" and more" if len(unknown) > 5 else "")
        problems.append(Problem(where, f"holds {listed}, which stands for no structure", _numbers(numbering)))
    ours = numbering.to_ours(label.array)
    present = {structure for structure in TRAINED if (ours == structure.value).any()}
    if missing := [structure.title for structure in TRAINED if structure not in present]:
        problems.append(
            Problem(where, f"lacks {' and '.join(missing)}", "label it, or take the case out of the data set")
        )
    return problems or _check_order(where, ours, label)


def _numbers(numbering: Numbering) -> str:
    ours = ", ".join(f"{'/'.join(map(str, numbers))} {name}" for name, numbers in numbering.numbers.items())
    return f"use {BACKGROUND} background, {ours}; `livf data import` turns other numberings into this one"


def _check_order(where: str, ours: npt.NDArray[np.uint8], label: Volume) -> list[Problem]:
    centre = centroids(ours, label.affine)
    up = centre[L4.value] - centre[L5.value]
    if up[2] <= 0:
        return [
            Problem(
                where, f"{L4.name} lies below {L5.name}", "change their numbers over, or mend the file's orientation"
            )
        ]
    share = float((centre[DISC.value] - centre[L5.value]) @ up / (up @ up))
    if not 0 < share < 1:
        return [
            Problem(where, f"the disc does not lie between {L4.name} and {L5.name}", "label the disc of this level")
        ]
    return []


@dataclass
class _Seen:
    """Whose voxels have been met."""

    images: dict[str, Case] = field(default_factory=dict)
    labels: dict[str, Case] = field(default_factory=dict)

    def check(self, case: Case, image: Volume | LivfError, label: Volume | LivfError) -> list[Problem]:
        """What of a case was met under another name."""
        if isinstance(image, Volume):
            earlier = self.images.setdefault(_digest(image.array), case)
            if earlier is not case:
                return [_same_image(case, earlier)]
        # One patient's images may share a label (T1 and T2 of one session).
        if isinstance(label, Volume) and label.array.any():
            earlier = self.labels.setdefault(_digest(label.array), case)
            if earlier.patient != case.patient:
                what = f"is the very label of case {earlier.name}, whose image is another"
                return [Problem(str(case.label), what, "give each case the label that was drawn on it")]
        return []


def _same_image(case: Case, earlier: Case) -> Problem:
    if case.patient == earlier.patient:
        return Problem(str(case.image), f"is the same image as case {earlier.name}", "remove one of the two")
    what = f"is the same image as case {earlier.name}, of patient {earlier.patient}; here it is of {case.patient}"
    return Problem(str(case.image), what, "remove one, or name one patient for both in cases.csv")


def _digest(array: Array) -> str:
    # The values, not the file: the same image may be stored in two types and formats.
    values = np.asarray(array, dtype=np.float32, order="F")
    return hashlib.sha256(repr(array.shape).encode() + values.tobytes(order="F")).hexdigest()
