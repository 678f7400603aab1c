"""Real people's bones: Remus' meshes at several voxel sizes, CT masks and meshes with a disc put between the bodies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from foramina.disc import synthesised_disc
from foramina.meshes import read_stl, voxelised
from foramina.reporting import (
    NUMBERS,
    Case,
    Row,
    begin,
    markdown,
    number,
    show,
    side_row,
    triple,
    write_rows,
    write_sheet,
)
from livf.lib.anatomy import DISC, L4, L5
from livf.lib.foramen import SIDES, measure
from livf.lib.images import read_label

REMUS_MM: Final = (0.3, 0.5, 0.8, 1.0)
_REMUS: Final = {DISC.value: "remus_disc_L4-5.stl", L4.value: "remus_L4.stl", L5.value: "remus_L5.stl"}
#: Voxel size of meshes of CT masks, mm.
_MESH_MM: Final = 0.8
#: Names of the people whose L4 and L5 are whole.
PEOPLE: Final = (
    "verse004", "verse005", "verse006", "verse008", "totalseg_s0327", "totalseg_s0328", "totalseg_x",
    "versep001", "versep002",
)  # fmt: skip
#: Value of a vertebra in a CT mask, and the number in a mesh's name: L1 is 20.
_FIRST: Final = 19
#: FA / FH / FW, left and right, of a rough independent implementation (disc normal, same slab, no correction of voxel
#: steps). None: it found the outline split.
TRIAL: Final[dict[str, tuple[tuple[float, float, float] | None, tuple[float, float, float]]]] = {
    "remus": ((106, 16.6, 7.0), (103, 15.9, 6.9)),
    "verse005": ((129, 17.6, 6.0), (142, 17.4, 7.4)),
    "verse004": ((79, 14.4, 5.2), (70, 14.1, 4.5)),
    "verse008": ((60, 14.1, 3.4), (45, 13.6, 3.0)),
    "verse006": ((57, 10.9, 2.8), (38, 12.2, 1.8)),
    "totalseg_s0327": (None, (68, 15.1, 4.2)),
    "totalseg_s0328": ((93, 16.3, 5.4), (87, 16.0, 5.6)),
    "totalseg_x": ((59, 14.1, 4.6), (66, 14.3, 4.9)),
    "versep001": ((42, 11.5, 3.7), (20, 7.9, 1.5)),
    "versep002": ((57, 14.8, 3.9), (77, 15.0, 5.9)),
}


def remus_case(anatomy: Path, spacing: float) -> Case:
    """The Visible Human's level; the files' x is anterior, y left, z superior."""
    meshes = {value: read_stl(anatomy / name) for value, name in _REMUS.items()}
    turned = {v: np.stack([-m[..., 1], m[..., 0], m[..., 2]], axis=-1) for v, m in meshes.items()}
    return Case(f"remus_{spacing}", *voxelised(turned, spacing))


def person_case(anatomy: Path, name: str, upper: int = 4) -> Case:
    """Two neighbouring lumbar vertebrae (upper: 1 to 4) of a person and the disc between them, as L4, disc and L5.

    Raises:
        FileNotFoundError: The data is not there.
        ValueError: The scan does not hold both vertebrae.
    """
    if name.startswith("versep"):
        meshes = {v: read_stl(anatomy / f"{name}_L{n}.stl") for v, n in ((L4.value, upper), (L5.value, upper + 1))}
        bones, affine = voxelised(meshes, _MESH_MM)
        masks = [bones == L4.value, bones == L5.value]
    else:
        volume = read_label(anatomy / f"{name}_mask.nii.gz")
        found = np.asarray(volume.array)
        masks, affine = [found == _FIRST + upper, found == _FIRST + upper + 1], volume.affine
    if not all(mask.any() for mask in masks):
        raise ValueError(f"{name} does not hold L{upper} and L{upper + 1}")
    box = tuple(slice(max(int(at.min()) - 5, 0), int(at.max()) + 6) for at in np.nonzero(masks[0] | masks[1]))
    masks, start = [mask[box] for mask in masks], np.array([part.start for part in box])
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ start + affine[:3, 3]
    label = np.zeros(masks[0].shape, dtype=np.uint8)
    label[synthesised_disc(*masks, moved)] = DISC.value
    label[masks[0]], label[masks[1]] = L4.value, L5.value
    return Case(f"{name}_L{upper}-{upper + 1}", label, moved)


def rows_of(case: Case, out: Path) -> list[Row]:
    """Measure a case, draw it, and give one row a side."""
    measurement = measure(case.label, case.affine)
    write_sheet(out, case.name, measurement)
    spacing = np.linalg.norm(case.affine[:3, :3], axis=0)
    size = " x ".join(f"{s:.1f}" for s in spacing)
    return [side_row(measurement.foramina[side], case=case.name, voxel_mm=size) for side in SIDES]


def remus(out: Path, anatomy: Path, spacings: Sequence[float] = REMUS_MM) -> list[Row]:
    """One level on several grids."""
    out = begin(out)
    rows = [row for spacing in spacings for row in rows_of(remus_case(anatomy, spacing), out)]
    write_rows(out / "rows.csv", rows)
    lines = []
    for k, side in enumerate(SIDES):
        own = [row for row in rows if row["side"] == side]
        trial = TRIAL["remus"][k]
        for at, (name, short, unit) in enumerate(NUMBERS):
            values = [row[name] for row in own if row[name] is not None]
            spread = max(values) - min(values) if values else float("nan")
            told = f"{100 * spread / np.mean(values):.1f} %" if name == "area_mm2" else f"{spread:.2f} mm"
            lines.append((f"{side} {short}, {unit}", *(number(row[name], 2) for row in own), told,
                          trial[at] if trial else "-"))  # fmt: skip
    heads = ("", *(f"{spacing} mm" for spacing in spacings), "spread", "trial")
    show(out, "Remus on several grids", markdown(heads, lines))
    return rows


def shapes(out: Path, anatomy: Path, names: Sequence[str] = PEOPLE) -> list[Row]:
    """Nine people's L4-L5 beside the trial's values."""
    out = begin(out)
    rows: list[Row] = []
    lines = []
    for name in names:
        found = rows_of(person_case(anatomy, name), out)
        rows += found
        for row, trial in zip(found, TRIAL[name], strict=True):
            differences = ["-"] * 3
            if trial and row["area_mm2"] is not None:
                differences = [
                    "-" if row[key] is None else f"{100 * (row[key] / own - 1):+.0f}"
                    for (key, _, _), own in zip(NUMBERS, trial, strict=True)
                ]
            told = " / ".join(str(x) for x in trial) if trial else "outline split"
            sds = " / ".join(number(row[f"sd_{key}"]) for key, _, _ in NUMBERS)
            notes = row["reasons"] if row["area_mm2"] is not None else ""
            lines.append(
                (f"{name} {row['side']}", row["voxel_mm"], triple(row), sds, told, " / ".join(differences), notes)
            )
    write_rows(out / "rows.csv", rows)
    heads = ("", "voxel, mm", "FA / FH / FW", "SD", "trial", "difference, %", "warnings")
    show(out, "Real bones, L4-L5, disc put between the bodies", markdown(heads, lines))
    return rows


def other_levels(anatomy: Path, names: Sequence[str] = PEOPLE) -> Iterator[tuple[str, int, Case]]:
    """L2-L3 and L3-L4 of each person."""
    for name in names:
        for upper in (2, 3):
            try:
                yield name, upper, person_case(anatomy, name, upper)
            except ValueError:
                continue


def levels(out: Path, anatomy: Path, names: Sequence[str] = PEOPLE) -> list[Row]:
    """Other levels of the same people: the engine knows no level."""
    out = begin(out)
    rows: list[Row] = []
    lines = []
    for name, upper, case in other_levels(anatomy, names):
        found = rows_of(case, out)
        rows += found
        warned = sorted({code for row in found if row["area_mm2"] is not None for code in row["reasons"].split()})
        lines.append((f"{name} L{upper}-{upper + 1}", *(triple(row) for row in found), " ".join(warned)))
    write_rows(out / "rows.csv", rows)
    sides = sum(row["area_mm2"] is not None for row in rows)
    heads = ("", "left FA / FH / FW", "right FA / FH / FW", "warnings")
    show(out, f"Other levels of the same people: {sides} of {len(rows)} sides measured", markdown(heads, lines))
    return rows
