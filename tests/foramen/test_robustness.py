"""Numbers hardly move with the person's place on the grid or with a noisy boundary; they do move with its place."""

import numpy as np
import pytest
from foramina.orientation import compared
from foramina.robustness import BASE, perturbations, table_of
from foramina.synthetic import Boundary, Person, correlated_noise

from livf.lib.evaluation.reliability import icc
from livf.lib.foramen import measure

SEEDS = (0, 3, 6, 8)
KINDS = (BASE, "shift", "noise")


@pytest.fixture(scope="module")
def rows():
    found = []
    for seed in SEEDS:
        person = Person.of(seed)
        case = person.case()
        base = measure(case.label, case.affine)
        found += compared(base, base, seed=seed, change=BASE)
        for name in KINDS[1:]:
            case = person.case(*perturbations(seed)[name])
            found += compared(base, measure(case.label, case.affine), seed=seed, change=name)
    return found


def differences(rows, change, name):
    return np.array([row[f"d_{name}"] for row in rows if row["change"] == change and row[f"d_{name}"] is not None])


@pytest.mark.parametrize(("name", "least"), [("area_mm2", 0.98), ("height_mm", 0.98), ("width_mm", 0.95)])
def test_icc_of_the_place_on_the_grid(rows, name, least):
    """With the noise, eight foramina are too few for an ICC: the script's 48 give it."""
    ratings = table_of(rows, name, (BASE, "shift"))
    assert ratings.shape == (2 * len(SEEDS), 2)
    assert icc(ratings).absolute.value >= least


@pytest.mark.parametrize(("name", "most"), [("area_mm2", 5.0), ("height_mm", 0.45), ("width_mm", 0.7)])
def test_a_noisy_boundary(rows, name, most):
    """What 0.3 mm (SD) at each wall do: %, mm, mm, root mean square."""
    found = differences(rows, "noise", name)
    assert len(found) >= 2 * len(SEEDS) - 1
    assert 0 < np.sqrt((found**2).mean()) < most


def test_the_boundary_moved_out_makes_the_foramen_smaller():
    person = Person.of(SEEDS[1])
    small, large = (measure(*_arrays(person.case(boundary=Boundary(offset=by)))) for by in (0.2, -0.2))
    for side in ("left", "right"):
        one, other = small.foramina[side].numbers, large.foramina[side].numbers
        # Each wall moves by 0.4 mm between the two: the area by that times the perimeter, lengths by twice that.
        # A corner that is drawn sharp in one of the two and not in the other is 0.06 mm of it.
        assert other.height_mm - one.height_mm == pytest.approx(0.8, abs=0.35)
        assert 0.06 < (other.area_mm2 - one.area_mm2) / one.area_mm2 < 0.35


def _arrays(case):
    return case.label, case.affine


def test_the_draws_depend_on_the_seed_alone():
    assert perturbations(5) == perturbations(5) != perturbations(6)
    angles = np.abs(perturbations(5)["rotate"][0].angles)
    assert 0 < angles.max() <= 2.0


def test_the_noise_is_as_long_as_it_says():
    noise = correlated_noise((80, 80, 80), (0.5, 0.5, 0.5), 3.0, np.random.default_rng(1))
    assert noise.std() == pytest.approx(1.0, abs=1e-3)
    # 3 mm are 6 voxels.
    assert (noise[6:] * noise[:-6]).mean() == pytest.approx(np.exp(-1), abs=0.06)
