"""From a label file to its measurement: read, measure, and the lines a reader sees. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.errors import InputError
from livf.lib.export.document import Source, document, label_hash, write_document
from livf.lib.foramen import SENTENCES, SIDES, ForamenMeasurement, Measurement, measure
from livf.lib.images import read_label, suffix_of, write_label
from livf.lib.images.probabilities import read_probabilities
from livf.lib.storage import make_folder
from livf.lib.values import LevelStatus, Volume
from livf.version import __version__

_REFUSED: Final = "not measured: "
#: Affines that agree to this come from one image; file formats keep single precision.
_SAME_GRID_MM: Final = 1e-3
#: Rows of the table: name of the number, how it is written, its unit.
_ROWS: Final = (
    ("area_mm2", "area (FA)", "mm²"),
    ("height_mm", "height (FH)", "mm"),
    ("width_mm", "width (FW)", "mm"),
    ("min_width_mm", "narrowest width", "mm"),
    ("section_area_mm2", "smallest section", "mm²"),
    ("channel_diameter_mm", "largest circle", "mm"),
)
_ANSWERS: Final = (
    ("height_le_15_mm", "height at most 15 mm"),
    ("width_le_8_mm", "width at most 8 mm"),
    ("criteria_met", "foraminoplasty criteria"),
)


@dataclass(frozen=True, eq=False)
class Measured:
    """A measured label.

    Attributes:
        label: The label as it was read.
        measurement: What was measured.
        document: The same as the document ``livf.measurement/1``.
    """

    label: Volume
    measurement: Measurement
    document: dict[str, Any]


def measure_file(
    label: Path,
    *,
    image: Path | None = None,
    probabilities: Path | None = None,
    level_status: LevelStatus = "given",
) -> Measured:
    """Measure both foramina of a label file.

    Args:
        label: NIfTI, NRRD or MetaImage with the values of the anatomy table.
        image: The image it belongs to: named in the document, not read.
        probabilities: Class probabilities as ``livf segment --probabilities`` writes them; they widen the ±.
        level_status: How sure it is that this is L4-L5.

    Raises:
        LivfError: A file cannot be read, or the probabilities lie on another grid.
    """
    volume = read_label(label)
    array: npt.NDArray[np.uint8] = np.asarray(volume.array)
    shares = None if probabilities is None else _probabilities(probabilities, volume)
    measured = measure(array, volume.affine, level_status=level_status, probabilities=shares)
    name = (image or label).name
    source = Source(__version__, name, label_hash(array, volume.affine))
    case = name.removesuffix(suffix_of(name))
    return Measured(volume, measured, document(measured, case, source))


def write_results(measured: Measured, folder: Path) -> tuple[Path, ...]:
    """Write all results of a measured label into a folder, which is made if it is missing.

    The document (``CASE.json``); surfaces of the bones, the disc and the measured foramina (``CASE_NAME.stl`` and all
    in ``CASE.glb``); the label with the foramina (``CASE_foramina.nii.gz``); of each side the lateral view, and where
    it was measured the 3D view (PNG); markups for 3D Slicer where a side was measured (``CASE.mrk.json``).

    Returns:
        What was written.

    Raises:
        OutputError: The folder cannot be made or written to.
    """
    from livf.lib.export.display import with_foramina
    from livf.lib.export.lateral import write_lateral
    from livf.lib.export.markups import write_markups
    from livf.lib.export.meshes import level_meshes, write_glb, write_stl
    from livf.lib.export.render import write_solid

    make_folder(folder)
    measurement, label, case = measured.measurement, measured.label, measured.document["case"]
    array: npt.NDArray[np.uint8] = np.asarray(label.array)
    written: list[Path] = []

    def target(suffix: str) -> Path:
        written.append(folder / f"{case}{suffix}")
        return written[-1]

    write_document(target(".json"), measured.document)
    meshes = level_meshes(array, label.affine, measurement)
    for mesh in meshes:
        write_stl(target(f"_{mesh.name}.stl"), mesh)
    if meshes:
        write_glb(target(".glb"), meshes)
    write_label(target("_foramina.nii.gz"), with_foramina(array, label.affine, measurement), label.affine)
    for side in SIDES:
        write_lateral(target(f"_{side}.png"), measurement, side)
        if measurement.foramina[side].measured and measurement.frame is not None:
            write_solid(target(f"_{side}_3d.png"), meshes, measurement.frame, side)
    if measurement.measured:
        write_markups(target(".mrk.json"), measurement)
    return tuple(written)


def table(measurement: Measurement) -> tuple[str, ...]:
    """A measurement as lines: both sides beside each other with ±, then what a reader has to know."""
    lines = [f"{'L4-L5 foramen':<26}{'left':>18}{'right':>18}"]
    sides = [measurement.foramina[side] for side in SIDES]
    for name, title, unit in _ROWS:
        cells = "".join(f"{_cell(side, name):>18}" for side in sides)
        lines.append(f"{f'{title}, {unit}':<26}{cells}")
    for name, title in _ANSWERS:
        cells = "".join(f"{_answer(side, name):>18}" for side in sides)
        lines.append(f"{title:<26}{cells}")
    for side in sides:
        for code in side.reasons:
            lines.append(f"{side.side:<6}{_REFUSED if side.status == 'refused' else ''}{SENTENCES[code]} ({code})")
    lines += [f"level {SENTENCES[code]} ({code})" for code in measurement.warnings if _new(code, sides)]
    return tuple(lines)


def _new(code: str, sides: list[ForamenMeasurement]) -> bool:
    return not any(code in side.reasons for side in sides)


def _cell(side: ForamenMeasurement, name: str) -> str:
    value = getattr(side.numbers, name) if side.numbers else None
    if value is None:
        return "-"
    spread = side.sd.get(name)
    return f"{value:.1f}" + (f" ± {spread:.1f}" if spread is not None else "")


def _answer(side: ForamenMeasurement, name: str) -> str:
    return (getattr(side.foraminoplasty, name) if side.foraminoplasty else None) or "-"


def _probabilities(path: Path, label: Volume) -> npt.NDArray[np.float32]:
    shares, affine = read_probabilities(path)
    if shares.shape[1:] != label.shape or float(np.abs(affine - label.affine).max()) > _SAME_GRID_MM:
        raise InputError(
            "does not lie on the label's grid", path, "give the file that livf segment wrote beside this label"
        )
    return shares
