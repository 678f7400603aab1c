from dataclasses import replace

import numpy as np
import pytest

from livf.lib.synthesis.columns.column import Kind
from livf.lib.synthesis.columns.graft import graft, lay
from livf.lib.synthesis.painting.subject import prepare_subject


def without(column, *names):
    return replace(column, name="lacking", parts=tuple(p for p in column.parts if p.name not in names))


def inside(column, name, points):
    """Whether RAS points lie in a part."""
    part = column.part(name)
    index = np.rint((points - column.affine[:3, 3]) @ np.linalg.inv(column.affine[:3, :3]).T).astype(int) - part.start
    held = np.all((index >= 0) & (index < part.distance.shape), axis=1)
    result = np.zeros(len(points), dtype=bool)
    result[held] = part.distance[tuple(index[held].T)] < 0
    return result


def points_of(column, name):
    part = column.part(name)
    return (np.argwhere(part.distance < 0) + part.start) @ column.affine[:3, :3].T + column.affine[:3, 3]


def dice(one, two, name):
    first, second = points_of(one, name), points_of(two, name)
    return 2 * inside(two, name, first).sum() / (len(first) + len(second) * (two.spacing / one.spacing) ** 3)


@pytest.fixture(scope="module")
def donor(column):
    """The same person a tenth larger, elsewhere in the world."""
    affine = column.affine.copy()
    affine[:3, :3] *= 1.1
    affine[:3, 3] += (200, -30, 55)
    parts = tuple(replace(p, distance=(p.distance * np.float16(1.1))) for p in column.parts)
    canal = (column.canal - column.affine[:3, 3]) * 1.1 + affine[:3, 3]
    surround_affine = column.surround_affine.copy()
    surround_affine[:3, :3] *= 1.1
    surround_affine[:3, 3] = (surround_affine[:3, 3] - column.affine[:3, 3]) * 1.1 + affine[:3, 3]
    return replace(column, name="donor", affine=affine, parts=parts, canal=canal, surround_affine=surround_affine)


def test_a_larger_donor_is_laid_on_the_shared_vertebra(column, donor):
    fit = lay(donor, donor.part("L5"), column, column.part("L5"))
    assert fit.scale == pytest.approx(1 / 1.1, rel=0.01)
    assert fit.residual_mm < 0.6


def test_a_borrowed_sacrum_lies_where_the_own_one_was(column, donor):
    lacking = without(column, "sacrum", "L5-S1")
    full = graft(lacking, donor, "below")
    assert [p.name for p in full.parts if p.kind is Kind.VERTEBRA] == ["L2", "L3", "L4", "L5"]
    assert dice(column, full, "sacrum") > 0.95
    assert dice(column, full, "L4") == 1.0  # the own bones stay as they are
    assert full.pairs() == lacking.pairs()
    assert "donor" in full.source
    np.testing.assert_allclose(full.canal[:, :2], np.tile([0, -9.0], (len(full.canal), 1)), atol=1.0)
    assert prepare_subject(full).sacrum is not None


def test_vertebrae_borrowed_above_are_neighbours_and_never_taught(column, donor):
    lacking = without(column, "L2", "L2-L3")
    full = graft(lacking, donor, "above", 1)
    assert full.parts[0].name == "L2" and not full.part("L2").whole
    assert dice(column, full, "L2") > 0.9
    assert full.pairs() == lacking.pairs()


def test_a_vertebra_that_the_scan_cut_is_replaced(column, donor):
    parts = tuple(
        replace(p, whole=False) if p.name == "L5" else p for p in column.parts if p.name not in ("sacrum", "L5-S1")
    )
    full = graft(replace(column, parts=parts), donor, "below")
    assert [p.name for p in full.parts if p.kind is Kind.VERTEBRA] == ["L2", "L3", "L4", "L5"]
    assert dice(column, full, "L5") > 0.9
    assert full.pairs() == (("L2", "L2-L3", "L3"), ("L3", "L3-L4", "L4"))


def test_nothing_is_borrowed_where_nothing_lacks_or_nothing_is_there(column, donor):
    assert graft(column, donor, "below") is column
    assert graft(column, donor, "above") is column


def test_the_trunk_has_no_step(column, donor):
    full = graft(without(column, "sacrum", "L5-S1"), donor, "below")
    outline = (full.surround > 0)[:, full.surround.shape[1] // 2 :].sum(axis=(0, 1))
    assert np.ptp(outline[5:-5]) <= 0.02 * outline.max()
