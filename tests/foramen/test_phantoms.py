"""Numbers against the exact truth of synthetic spines, from their own labels; the full table is a script's."""

import numpy as np
import pytest

from livf.lib.anatomy import TRAINED
from livf.lib.foramen import measure
from livf.lib.synthesis.morphometry import sample_anatomy
from livf.lib.synthesis.phantom import Grid
from livf.lib.synthesis.spine import Spine
from livf.lib.synthesis.truth import foramen_truth

SEEDS = range(300, 304)
GROUPS = ("healthy", "herniation", "both")


@pytest.fixture(scope="module")
def pairs():
    """(measured, truth) of both sides of a few people."""
    found = []
    for seed in SEEDS:
        spine = Spine(sample_anatomy(np.random.default_rng(seed), GROUPS[seed % 3]))
        grid = Grid((150, 180, 120), 0.8, (0.3, -15.0, -2.0))
        fields = spine.fields(*grid.axes())
        label = np.zeros(grid.shape, dtype=np.uint8)
        for structure in TRAINED:
            label[fields[structure.name] < 0] = structure.value
        measurement = measure(label, grid.affine())
        found += [(measurement.foramina[side], foramen_truth(spine, side)) for side in ("left", "right")]
    return found


def test_all_are_measured(pairs):
    assert all(foramen.measured for foramen, _ in pairs)


@pytest.mark.parametrize(("name", "relative", "absolute"), [("area_mm2", 0.05, 4.0), ("height_mm", 0, 0.7)])
def test_each_number_is_near_its_truth(pairs, name, relative, absolute):
    for foramen, truth in pairs:
        true = getattr(truth, name)
        assert getattr(foramen.numbers, name) == pytest.approx(true, abs=max(relative * true, absolute))


@pytest.mark.parametrize(("name", "least"), [("area_mm2", 0.99), ("height_mm", 0.99), ("width_mm", 0.97)])
def test_they_go_with_the_truth(pairs, name, least):
    ours = [getattr(foramen.numbers, name) for foramen, _ in pairs]
    true = [getattr(truth, name) for _, truth in pairs]
    assert np.corrcoef(ours, true)[0, 1] > least


def test_deviations_cover_the_errors(pairs):
    covered = [
        abs(getattr(foramen.numbers, name) - getattr(truth, name)) < 2 * foramen.sd[name]
        for foramen, truth in pairs
        for name in ("area_mm2", "height_mm", "width_mm")
    ]
    assert np.mean(covered) > 0.8
