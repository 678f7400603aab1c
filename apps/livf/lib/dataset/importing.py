"""Other groups' folders made into a data set."""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.anatomy import TRAINED
from livf.lib.dataset.geometry import grid_difference
from livf.lib.dataset.layouts import OWN_IMAGES, OWN_LABELS
from livf.lib.dataset.level import absorb_plates, level_fault, posterior_fault
from livf.lib.dataset.peers import FINDERS, Found
from livf.lib.dataset.staging import staged, writable
from livf.lib.dataset.table import CASE, FILE_COLUMNS, GROUP, PATIENT, TABLE_NAME, write_table
from livf.lib.errors import InputError, LivfError, NotFoundError, UsageError
from livf.lib.images import read_image, read_label, write_image, write_label
from livf.lib.values import Volume, voxel_volume

#: What can be imported.
KINDS: Final = tuple(FINDERS)
#: Column of the table: kind and path of the image.
SOURCE: Final = "source"
#: Share of a structure that may fall off when its label is brought to the image's grid.
_MOST_LOST: Final = 0.02


@dataclass(frozen=True)
class ImportReport:
    """What became of an import.

    Attributes:
        folder: The data set, there only where something was imported.
        imported: Names of the cases in it.
        resampled: Those whose label lay on another grid than the image and was brought to it.
        aside: Case, and why it was not taken.
    """

    folder: Path
    imported: tuple[str, ...]
    resampled: tuple[str, ...]
    aside: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Taken:
    image: Volume
    label: npt.NDArray[np.uint8]
    resampled: bool
    source: Path


def import_dataset(
    kind: str,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    match: str = "*",
    progress: bool | None = None,
) -> ImportReport:
    """Make a data set of another group's folder: its numbers into ours, its level checked, a table of its patients.

    A case is set aside, with the reason, where L4, L5, their disc or their posterior elements are not labelled, where
    the geometry contradicts the numbers, or where a file cannot be used. The data set appears whole at the end.

    Args:
        kind: One of :data:`KINDS`.
        source: The other group's folder.
        target: The new data set's folder.
        match: Names of the cases wanted, with ``*`` and ``?``.
        progress: Whether to show a bar; None: when standard error is a terminal.

    Raises:
        UsageError: There is no such kind.
        NotFoundError: The folder is not there, or not in that layout.
        InputError: No case matches.
        OutputError: The data set cannot be written, or its folder holds something.
    """
    from tqdm import tqdm

    if kind not in FINDERS:
        raise UsageError(f"is not a kind of data set: {', '.join(KINDS)}", kind, "choose one of these")
    source = Path(source)
    if not source.is_dir():
        raise NotFoundError("there is no such folder", source, "check its name")
    found = [case for case in FINDERS[kind](source) if fnmatch.fnmatchcase(case.name, match)]
    if not found:
        raise InputError("holds no case" if match == "*" else f"holds no case like {match}", source, "check its layout")
    rows: list[dict[str, str]] = []
    resampled: list[str] = []
    aside: list[tuple[str, str]] = []
    disable = None if progress is None else not progress
    with staged(target) as folder:
        for case in tqdm(found, desc="importing", unit="case", disable=disable, leave=False):
            try:
                taken = _take(case)
            except LivfError as error:
                aside.append((case.name, _reason(error)))
                continue
            for name in (OWN_IMAGES, OWN_LABELS):
                (folder / name).mkdir(exist_ok=True)
            write_image(folder / OWN_IMAGES / f"{case.name}.nii.gz", writable(taken.image))
            write_label(folder / OWN_LABELS / f"{case.name}.nii.gz", taken.label, taken.image.affine)
            rows.append(_row(kind, case, taken.source.relative_to(source)))
            resampled += [case.name] * taken.resampled
        if rows:
            write_table(folder / TABLE_NAME, rows)
    return ImportReport(Path(target), tuple(row[CASE] for row in rows), tuple(resampled), tuple(aside))


def summary(report: ImportReport) -> list[str]:
    """Lines of a table: each case set aside with its reason, and the counts."""
    width = max((len(case) for case, _ in report.aside), default=0)
    lines = [f"{case:<{width}}  set aside: {reason}" for case, reason in report.aside]
    if report.resampled:
        lines.append(f"labels brought to their image's grid: {', '.join(report.resampled)}")
    lines.append(f"{report.folder}: {len(report.imported)} imported, {len(report.aside)} set aside")
    return lines


def _take(case: Found) -> _Taken:
    """Image and label of a case, on one grid and in our numbers.

    Raises:
        LivfError: It is to be set aside; the reason.
    """
    if case.label is None:
        raise InputError("has no label")
    if not case.images:
        raise InputError("has no image")
    label = read_label(case.label)
    numbering = case.numbering(label.array)
    if fault := level_fault(label.array, label.affine, numbering):
        raise InputError(fault)
    label = Volume(numbering.to_ours(absorb_plates(label.array, label.affine, numbering)), label.affine, label.source)
    source, image, difference = _image_of(case, label)
    ours = _on_grid(label, image) if difference else np.asarray(label.array, dtype=np.uint8)
    if fault := posterior_fault(ours, image.affine):
        raise InputError(fault)
    return _Taken(image, ours, bool(difference), source)


def _image_of(case: Found, label: Volume) -> tuple[Path, Volume, str]:
    """The image: the first that lies on the label's grid, else the first; and how its grid differs."""
    first: tuple[Path, Volume, str] | None = None
    for path in case.images:
        image = read_image(path)
        difference = grid_difference(image, label)
        if not difference:
            return path, image, ""
        first = first or (path, image, difference)
    assert first is not None
    return first


def _on_grid(label: Volume, image: Volume) -> npt.NDArray[np.uint8]:
    """The label at the image's voxels, by nearest neighbours.

    Raises:
        InputError: Part of a structure lies outside the image.
    """
    transform = np.linalg.inv(label.affine) @ image.affine
    ours: npt.NDArray[np.uint8] = ndimage.affine_transform(
        label.array, transform[:3, :3], transform[:3, 3], output_shape=image.shape, order=0, mode="constant", cval=0
    )
    for structure in TRAINED:
        before = np.count_nonzero(label.array == structure.value) * voxel_volume(label.affine)
        after = np.count_nonzero(ours == structure.value) * voxel_volume(image.affine)
        if after < (1 - _MOST_LOST) * before:
            raise InputError(
                f"{structure.title} does not lie within the image ({1 - after / before:.0%} of it is outside)"
            )
    return ours


def _row(kind: str, case: Found, source: Path) -> dict[str, str]:
    known = {CASE: case.name, PATIENT: case.patient, GROUP: case.group or ""}
    rest = {name: value for name, value in case.columns.items() if name not in (*known, SOURCE, *FILE_COLUMNS)}
    return {**known, SOURCE: f"{kind}:{source.as_posix()}", **rest}


def _reason(error: LivfError) -> str:
    return f"{Path(error.where).name}: {error.what}" if error.where else error.what
