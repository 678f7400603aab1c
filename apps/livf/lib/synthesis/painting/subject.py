"""A column made ready for painting: distances in single precision, a frame for every disc and body, the canal's course.

All lengths are *grid millimetres* of the column (voxel index times the edge of a voxel): the axes are right, anterior
and superior of the scan it was made from, wherever that lay in the world.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import LUMBAR_UPWARDS
from livf.lib.synthesis.columns.column import Column, Kind
from livf.lib.synthesis.implicit import Pose

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_RIGHT: Final = np.array([1.0, 0.0, 0.0])
_UP: Final = np.array([0.0, 0.0, 1.0])
#: Points that a frame is taken from at most: more changes nothing.
_POINTS: Final = 20000
#: Share of a structure's points that lie within its half sizes, per cent.
_EXTENT: Final = 98.0


@dataclass(frozen=True, eq=False)
class Structure:
    """One part of the column.

    Attributes:
        name: As in the column.
        kind: What it is.
        values: float32 signed distance, mm, on its own box.
        low: Grid mm of the box's first voxel.
        body: Whether a voxel lies on the body's side of the cut behind it; None but for vertebrae.
        whole: Whether the source showed all of it.
        frame: Origin in the middle of a body or disc, axes along it, grid mm.
        half: Half width (left-right), depth and height along the frame's axes, mm.
        spacing: Edge of a voxel, mm.
        tight: Corners of the box that holds what is inside the surface, grid mm.
    """

    name: str
    kind: Kind
    values: Floats
    low: Doubles
    body: npt.NDArray[np.bool_] | None
    whole: bool
    frame: Pose
    half: Doubles
    spacing: float
    tight: tuple[Doubles, Doubles]


@dataclass(frozen=True, eq=False)
class Subject:
    """One person, ready to be painted.

    Attributes:
        name: Of the person.
        spacing: Edge of a voxel of the distances, mm.
        vertebrae: From the top down.
        discs: ``discs[i]`` lies below ``vertebrae[i]``; None where there is none.
        sacrum: The sacrum, if there is one.
        remnant: What is left of the disc between the first two sacral bodies, inside the sacrum.
        hips: Hip bones.
        sac: The thecal sac.
        canal: ``(N, 3)`` centre line of the canal by rising height, grid mm.
        sac_half: ``(N, 2)`` half width and half depth of the sac at the canal's points, mm (0 where there is none).
        surround: uint8 codes of :class:`~livf.lib.synthesis.columns.column.Surround`.
        to_surround: 4x4, grid mm to voxel index of ``surround``.
        pairs: Upper vertebra, disc and lower vertebra of every lumbar level that can be taught, from the top down.
    """

    name: str
    spacing: float
    vertebrae: tuple[Structure, ...]
    discs: tuple[Structure | None, ...]
    sacrum: Structure | None
    remnant: Structure | None
    hips: tuple[Structure, ...]
    sac: Structure
    canal: Doubles
    sac_half: Doubles
    surround: npt.NDArray[np.uint8]
    to_surround: Doubles
    pairs: tuple[tuple[str, str, str], ...]

    @property
    def bones(self) -> tuple[Structure, ...]:
        """Vertebrae from the top down, then the sacrum."""
        return self.vertebrae + ((self.sacrum,) if self.sacrum is not None else ())

    def canal_at(self, height: float | Doubles) -> tuple[Doubles, Doubles]:
        """Right and anterior grid mm of the canal's centre at these heights."""
        line = self.canal
        right, ahead = (np.asarray(np.interp(height, line[:, 2], line[:, k]), dtype=np.float64) for k in (0, 1))
        return right, ahead


def prepare_subject(column: Column) -> Subject:
    """Make a column ready.

    Raises:
        ValueError: It has no vertebra, no thecal sac or no surroundings.
    """
    vertebrae = [p for p in column.parts if p.kind is Kind.VERTEBRA]
    if not vertebrae or not any(p.kind is Kind.SAC for p in column.parts) or column.surround is None:
        raise ValueError(f"{column.name} has no vertebra, no thecal sac or no surroundings")
    assert column.surround_affine is not None
    spacing = column.spacing
    parts = {p.name: _structure(column, p.name) for p in column.parts}
    below = {name.partition("-")[0]: part for name, part in parts.items() if part.kind is Kind.DISC}
    sacrum = next((p for p in parts.values() if p.kind is Kind.SACRUM), None)
    remnant = parts.get("S1-S2")
    to_grid = np.linalg.inv(column.affine)
    scale = np.diag([spacing, spacing, spacing, 1.0])
    line = (np.c_[column.canal, np.ones(len(column.canal))] @ (scale @ to_grid).T)[:, :3]
    line = line[np.argsort(line[:, 2], kind="stable")]
    sac = next(p for p in parts.values() if p.kind is Kind.SAC)
    return Subject(
        name=column.name,
        spacing=spacing,
        vertebrae=tuple(parts[p.name] for p in vertebrae),
        discs=tuple(below.get(p.name) for p in vertebrae),
        sacrum=sacrum,
        remnant=remnant,
        hips=tuple(p for p in parts.values() if p.kind is Kind.HIP),
        sac=sac,
        canal=line,
        sac_half=_sac_half(sac, line, spacing),
        surround=column.surround,
        to_surround=np.linalg.inv(column.surround_affine) @ column.affine @ np.linalg.inv(scale),
        pairs=tuple(pair for pair in column.pairs() if pair[0] in LUMBAR_UPWARDS),
    )


def _structure(column: Column, name: str) -> Structure:
    part, spacing = column.part(name), column.spacing
    values = part.distance.astype(np.float32)
    body = None if part.body is None else part.body < 0
    inside = values < 0 if body is None else (values < 0) & body
    low = np.asarray(part.start, dtype=np.float64) * spacing
    index = np.argwhere(inside)
    if not len(index):
        raise ValueError(f"{name} of {column.name} is empty")
    tight = tight_box(values, low, spacing)
    points = index[:: max(1, len(index) // _POINTS)] * spacing + low
    centre = points.mean(axis=0)
    if part.kind is Kind.DISC:
        # A disc is flat: its normal is the direction of the least spread.
        _, vectors = np.linalg.eigh(np.cov((points - centre).T))
        normal = vectors[:, 0] * np.sign(vectors[2, 0])
        frame = _frame(centre, normal)
    elif part.kind is Kind.VERTEBRA:
        frame = _frame(centre, _axis_of_body(column, name, centre))
    else:
        frame = _upright(centre)
    local = np.abs((points - centre) @ frame.axes.T)
    half = np.percentile(local, _EXTENT, axis=0)
    return Structure(name, part.kind, values, low, body, part.whole, frame, half, spacing, tight)


def tight_box(values: Floats, low: Doubles, spacing: float) -> tuple[Doubles, Doubles]:
    """Corners, grid mm, of the box that holds what is inside a surface."""
    corners = []
    for axis in range(3):
        found = np.flatnonzero((values < 0).any(axis=tuple(a for a in range(3) if a != axis)))
        corners.append((found[0], found[-1]))
    box = np.asarray(corners, dtype=np.float64).T * spacing + low
    return box[0], box[1]


def _axis_of_body(column: Column, name: str, centre: Doubles) -> Doubles:
    """Upwards along a body: from the disc below it to the one above, or through its own middle."""
    ends = []
    for disc in column.parts:
        if disc.kind is Kind.DISC and name in disc.name.split("-"):
            index = np.argwhere(disc.distance < 0)
            if len(index):
                middle = (index.mean(axis=0) + disc.start) * column.spacing
                ends.append((middle - centre) * (1 if middle[2] > centre[2] else -1))
    total = np.sum(ends, axis=0) if ends else _UP
    return np.asarray(total / np.linalg.norm(total))


def _frame(centre: Doubles, superior: Doubles) -> Pose:
    right = _RIGHT - (_RIGHT @ superior) * superior
    right /= np.linalg.norm(right)
    return Pose(centre, -right, np.cross(superior, right), superior)


def _upright(centre: Doubles) -> Pose:
    return _frame(np.asarray(centre, dtype=np.float64), _UP)


def _sac_half(sac: Structure, line: Doubles, spacing: float) -> Doubles:
    """Half width and half depth of the sac around the canal's centre at each of its points."""
    inside = sac.values < 0
    half = np.zeros((len(line), 2))
    for place, height in enumerate(line[:, 2]):
        k = round((height - sac.low[2]) / spacing)
        if 0 <= k < inside.shape[2] and inside[:, :, k].any():
            plane = inside[:, :, k]
            half[place] = [(np.ptp(np.flatnonzero(plane.any(axis=1 - axis))) + 1) * spacing / 2 for axis in (0, 1)]
    return half
