"""From one person's files to a :class:`Column`."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.errors import InputError
from livf.lib.images.readers import read_image, read_label
from livf.lib.synthesis.columns import canal, discs, distances, split, surround
from livf.lib.synthesis.columns.column import REACH_MM, Column, Kind, Part
from livf.lib.synthesis.columns.fields import Doubles, Field, Floats, Grid, apart
from livf.lib.synthesis.columns.sources import HIPS, LEVELS, S1, SAC, SACRUM, Source, disc_name, kind_of
from livf.lib.synthesis.columns.surfaces import read_stl
from livf.lib.values import Volume

#: Distances are stored in steps of this, mm: fine enough for any share of a voxel, and a third of the file.
_STEP_MM: Final = 1 / 64
_UP: Final = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class Bones:
    """What a source shows, on the column's grid.

    Attributes:
        grid: Of the column.
        fields: Bones by name, vertebrae from the top down, then the sacrum and the hip bones; no two overlap.
        whole: Whether the source shows all of each.
        given: Discs that the source shows itself.
        segments: The first sacral segment and the sacrum below it, where the source parts them.
        ct: The CT, where there is one.
    """

    grid: Grid
    fields: dict[str, Field]
    whole: dict[str, bool]
    given: dict[str, Field] = field(default_factory=dict)
    segments: tuple[Field, Field] | None = None
    ct: Volume | None = None


def read_bones(source: Source, folder: Path) -> Bones:
    """Read a source's files and bring its bones to the column's grid.

    Raises:
        NotFoundError: A file is missing.
        InputError: A file is not what it should be, or shows no two neighbours.
    """
    bones = _from_masks(source, folder) if source.mask else _from_meshes(source, folder)
    levels = [LEVELS.index(name) for name in bones.fields if name in LEVELS]
    if not any(b - a == 1 for a, b in pairwise(levels)):
        raise InputError("shows no two neighbouring vertebrae", folder / source.files[0], "leave this source out")
    return bones


def assemble(source: Source, bones: Bones) -> Column:
    """The column: bones, the discs between them, the canal and the thecal sac.

    Args:
        source: Whose they are.
        bones: From :func:`read_bones`.
    """
    fields, grid = bones.fields, bones.grid
    names = [name for name in fields if kind_of(name) is Kind.VERTEBRA]
    centres = np.array([split.centre_of(fields[name]) for name in names])
    ups = -np.gradient(centres, axis=0)
    bodies = {name: split.body_of(fields[name], up) for name, up in zip(names, ups, strict=True)}
    below: Doubles | None = None
    extra: dict[str, Field] = {}
    if bones.segments is not None:
        first, rest = bones.segments
        bodies[S1] = split.body_of(first, bodies[names[-1]].pose.superior)
        below = canal.sacral_line(fields[SACRUM], bodies[S1])
        if (lens := discs.remnant(first, rest, fields[SACRUM], bodies[S1])) is not None:
            extra[disc_name(S1, "S2")] = lens
    solid = list(fields.values())
    order = list(bodies)
    between: dict[str, Field] = {}
    for upper, lower in pairwise(order):
        name = disc_name(upper, lower)
        if lower != S1 and LEVELS.index(lower) - LEVELS.index(upper) != 1:
            continue
        disc = _without(bones.given[name], solid) if name in bones.given else None
        disc = disc or discs.disc_between(bodies[upper], bodies[lower], solid)
        if disc is not None:
            between[name] = disc
    line, half = canal.centre_line(
        list(bodies.values()), [fields[SACRUM if name == S1 else name] for name in bodies], below
    )
    lowest = bodies[names[-1]]
    sac = canal.thecal_sac(line, half, grid, lowest.pose.origin, lowest.pose.left, [*solid, *between.values()])
    parts: list[Part] = []
    for name in fields:
        body = split.cut(fields[name], bodies[name]) if name in bodies else None
        parts.append(_part(name, kind_of(name), fields[name], body, bones.whole[name]))
        parts += [_part(disc, Kind.DISC, between[disc]) for disc in between if disc.partition("-")[0] == name]
    parts += [_part(name, Kind.DISC, lens) for name, lens in extra.items()]
    if sac is not None:
        parts.append(_part(SAC, Kind.SAC, sac))
    crest = bodies[names[-2]].pose.origin[2] if names[-1] == LEVELS[-1] else -np.inf
    trunk = surround.trunk_of(
        line, [bodies[n] for n in names], [fields[n] for n in names], float(crest), hips=HIPS[0] in fields
    )
    near = [*solid, *between.values(), *([] if sac is None else [sac])]
    tissues, tissues_affine = surround.surround(source.name, grid, trunk, bones.ct, near)
    inside = np.all((line >= 0) & (line <= (np.array(grid.shape) - 1) * grid.spacing), axis=1)
    return Column(
        source.name, source.origin, grid.shape, grid.affine, tuple(parts), grid.to_world(line[inside]), tissues,
        tissues_affine,
    )  # fmt: skip


def _from_masks(source: Source, folder: Path) -> Bones:
    label = read_label(folder / source.mask)
    masks = distances.masks_of(label, source.numbers)
    if not masks:
        raise InputError("holds none of the numbers that its source uses", folder / source.mask, "check the file")
    index = np.argwhere(np.any(list(masks.values()), axis=0))
    world = index @ label.affine[:3, :3].T + label.affine[:3, 3]
    grid = distances.grid_around(world, distances.scan_axes(label.affine))
    whole = {name: distances.is_whole(mask, label.spacing) for name, mask in masks.items()}
    segments: tuple[Field, Field] | None = None
    if S1 in masks and SACRUM in masks:
        first, rest = (distances.smoothed(masks[name], label.affine, grid) for name in (S1, SACRUM))
        segments = first, rest
        masks[SACRUM] = masks[SACRUM] | masks[S1]
    masks.pop(S1, None)
    fields = apart({name: distances.smoothed(mask, label.affine, grid) for name, mask in masks.items()}, rough=True)
    ct = read_image(folder / source.ct) if source.ct else None
    return Bones(grid, fields, whole, segments=segments, ct=ct)


def _from_meshes(source: Source, folder: Path) -> Bones:
    meshes = {name: read_stl(folder / file) for name, file in source.meshes.items()}
    turn = np.zeros((3, 3))
    for axis, (of, sign) in enumerate(source.axes):
        turn[of, axis] = sign
    meshes = {name: mesh @ turn for name, mesh in meshes.items()}
    grid = distances.grid_around(np.concatenate(list(meshes.values())).reshape(-1, 3))
    fields = {name: distances.from_mesh(mesh, grid) for name, mesh in meshes.items()}
    given = {name: f for name, f in fields.items() if name not in LEVELS}
    bones = apart({name: f for name, f in fields.items() if name in LEVELS})
    return Bones(grid, bones, dict.fromkeys(bones, True), given)


def _without(disc: Field, bones: list[Field]) -> Field:
    """A disc without what lies in bone."""
    values = disc.values
    for bone in bones:
        values = np.maximum(values, -bone.on(disc.start, disc.stop))
    return Field(values, disc.start, disc.spacing).largest().exact()


def _part(name: str, kind: Kind, shape: Field, body: Floats | None = None, whole: bool = True) -> Part:
    def stored(values: Floats) -> npt.NDArray[np.float16]:
        return np.asarray(np.round(np.clip(values, -REACH_MM, REACH_MM) / _STEP_MM) * _STEP_MM, dtype=np.float16)

    return Part(name, kind, stored(shape.values), shape.start, None if body is None else stored(body), whole)


def prepare(source: Source, folder: Path) -> Column:
    """Everything in one step: read a source's files and assemble its column.

    Args:
        source: Of :data:`~livf.lib.synthesis.columns.sources.SOURCES`.
        folder: Where its files lie.

    Raises:
        NotFoundError: A file is missing.
        InputError: A file is not what it should be, or shows no two neighbours.
    """
    return assemble(source, read_bones(source, folder))
