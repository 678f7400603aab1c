"""The tissues around a column: where they must be, that they repeat, and that a CT is believed where it sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livf.lib.synthesis.columns import canal, split
from livf.lib.synthesis.columns.build import Bones
from livf.lib.synthesis.columns.column import Surround
from livf.lib.synthesis.columns.surround import SPACING_MM, Trunk, surround, trunk_of
from livf.lib.values import Volume

CODE = {tissue: code for code, tissue in enumerate(Surround)}


@pytest.fixture(scope="module")
def trunk(two: Bones) -> Trunk:
    bones = list(two.fields.values())
    bodies = [split.body_of(bone, np.array([0.0, 0.0, 1.0])) for bone in bones]
    line, _ = canal.centre_line(bodies, bones)
    return trunk_of(line, bodies, bones, 80.0)


def test_the_trunk_is_measured_on_the_bones(trunk: Trunk) -> None:
    # See conftest.py: the canal's centre is 25 mm behind a body's centre, whose half width and depth are 22 and 16.
    assert trunk.front == pytest.approx(25 + 16, abs=2)
    assert trunk.back == pytest.approx(24 + 11, abs=2)
    assert trunk.half_width == pytest.approx(22, abs=2)


def test_the_same_name_gives_the_same_trunk_and_another_another(two: Bones, trunk: Trunk) -> None:
    first, affine = surround("one", two.grid, trunk)
    again, _ = surround("one", two.grid, trunk)
    other, _ = surround("two", two.grid, trunk)
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert np.allclose(np.linalg.norm(affine[:3, :3], axis=0), SPACING_MM)


def test_a_generated_trunk_is_skin_round_fat_round_the_rest(two: Bones, trunk: Trunk) -> None:
    tissue, affine = surround("one", two.grid, trunk)
    assert set(np.unique(tissue)) == set(CODE.values())
    for edge in (tissue[0], tissue[-1], tissue[:, 0], tissue[:, -1]):
        assert (edge == CODE[Surround.AIR]).all()
    for row in tissue[:, :, ::10].transpose(0, 2, 1).reshape(-1, tissue.shape[1]):
        body = row[row != CODE[Surround.AIR]]
        assert len(body) == 0 or body[0] == body[-1] == CODE[Surround.SKIN]
    # The column lies inside it, and its canal in fat.
    centre = np.linalg.inv(affine) @ [*two.grid.to_world(trunk.line[len(trunk.line) // 2][None])[0], 1]
    assert tissue[tuple(np.rint(centre[:3]).astype(int))] == CODE[Surround.FAT]


def test_a_ct_is_believed_away_from_the_column(two: Bones, trunk: Trunk) -> None:
    shape = np.array(two.grid.shape)
    hu = np.full(tuple(shape // 2), -100, dtype=np.int16)
    hu[:12] = 50
    affine = two.grid.affine.copy()
    affine[:3, :3] *= 2
    parts = list(two.fields.values())
    tissue, place = surround("one", two.grid, trunk, Volume(hu, affine), parts)
    drawn, _ = surround("one", two.grid, trunk)

    def at(world: np.ndarray) -> tuple[int, ...]:
        return tuple(np.rint((np.linalg.inv(place) @ [*world, 1])[:3]).astype(int))

    soft = two.grid.to_world(np.array([[9.0, 20.0, 60.0]]))[0]
    fat = two.grid.to_world(np.array([[80.0, 20.0, 60.0]]))[0]
    bone = two.grid.to_world(np.array([[44.0, 66.0, 80.0]]))[0]
    assert tissue[at(soft)] == CODE[Surround.MUSCLE]
    assert tissue[at(fat)] == CODE[Surround.FAT]
    assert tissue[at(bone)] == drawn[at(bone)]
    assert tissue[2, 2, 2] == drawn[2, 2, 2]


def test_hip_bones_are_drawn_only_where_the_source_shows_none(two: Bones, trunk: Trunk) -> None:
    assert (surround("one", two.grid, trunk)[0] == CODE[Surround.BONE]).any()
    assert not (surround("one", two.grid, replace(trunk, hips=True))[0] == CODE[Surround.BONE]).any()


def test_nothing_reaches_through_the_skin_of_a_bent_back(two: Bones, trunk: Trunk) -> None:
    line = trunk.line - np.outer(np.linspace(0, 1, len(trunk.line)) ** 2, [0, 60, 0])
    tissue, _ = surround("one", two.grid, replace(trunk, line=line))
    for row in tissue[:, :, ::10].transpose(0, 2, 1).reshape(-1, tissue.shape[1]):
        body = row[row != CODE[Surround.AIR]]
        assert len(body) == 0 or body[0] == body[-1] == CODE[Surround.SKIN]
