"""A small campaign of damaged labels; the whole one is scripts/damage_labels.py."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.errors import InputError
from livf.lib.foramen import SENTENCES, measure

SCRIPTS = Path(__file__).parents[2] / "scripts"
NUMBERS = ("area_mm2", "height_mm", "width_mm")


@pytest.fixture(scope="module")
def tools():
    sys.path.insert(0, str(SCRIPTS))
    try:
        import damage_labels
        from foramina import damages, synthetic
    finally:
        sys.path.remove(str(SCRIPTS))
    return damage_labels, damages, synthetic


@pytest.fixture(scope="module")
def shape(tools):
    """A phantom at 1 mm: its label, affine, both sides' targets, and the undamaged numbers."""
    _, damages, synthetic = tools
    case = synthetic.Person.of(3).case(synthetic.Sampling((1.0, 1.0, 1.0), (4.0, -6.0, 5.0)))
    targets = {side: damages.Target.of(case.label, case.affine, side) for side in ("left", "right")}
    before = measure(case.label, case.affine, uncertainty=False)
    assert all(foramen.measured for foramen in before.foramina.values())
    return case, targets, before


def outcome(damaged, affine):
    """The measurement, whose parts must agree with one another; None where it is no label."""
    try:
        measurement = measure(damaged, affine, uncertainty=False)
    except InputError:
        return None
    for foramen in measurement.foramina.values():
        assert foramen.measured == (foramen.status != "refused") == (foramen.numbers is not None)
        assert foramen.measured == (foramen.outline is not None) == (foramen.solid is not None)
        assert all(code in SENTENCES for code in foramen.reasons)
        assert foramen.measured or len(foramen.reasons) == 1
    return measurement


def test_two_of_each_damage(tools, shape):
    """No crash, and no number that is not the undamaged label's."""
    script, damages, _ = tools
    _, targets, before = shape
    wrong = []
    for number in range(2 * len(damages.DAMAGES)):
        damage = damages.DAMAGES[number % len(damages.DAMAGES)]
        side = ("left", "right")[number // len(damages.DAMAGES)]
        measurement = outcome(*damage(targets[side], np.random.default_rng(number)))
        if measurement is None or damage.__name__ in damages.DISPLACED:
            continue
        was, now = script.areas(before), script.areas(measurement)
        wrong += [(number, damage.__name__, side, s, was[s], now[s]) for s in now if script.is_false(was[s], now[s])]
    assert not wrong


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("slope", [(0.0, 0.0), (0.3, -0.2)])
def test_a_cut_process_refuses_its_side_only(tools, shape, side, share, slope):
    _, damages, _ = tools
    _, targets, before = shape
    measurement = outcome(*damages.without_process(targets[side], share, slope))
    other = "right" if side == "left" else "left"
    assert not measurement.foramina[side].measured
    assert measurement.foramina[side].reasons[0] in ("truncated_posterior_elements", "outline_open")
    assert measurement.foramina[other].numbers.area_mm2 == pytest.approx(
        before.foramina[other].numbers.area_mm2, rel=0.02
    )


@pytest.mark.parametrize("name", ["other_type", "four_axes", "islands_added"])
def test_what_is_only_stored_otherwise_gives_the_same_numbers(tools, shape, name):
    _, damages, _ = tools
    _, targets, before = shape
    measurement = outcome(*getattr(damages, name)(targets["left"], np.random.default_rng(1)))
    for side, foramen in before.foramina.items():
        for number in NUMBERS:
            assert getattr(measurement.foramina[side].numbers, number) == pytest.approx(
                getattr(foramen.numbers, number), abs=1e-6
            )


@pytest.mark.parametrize("name", ["pedicle_gone", "upper_arch_gone", "process_gone", "wall_gone"])
def test_what_bounds_the_foramen_is_missed(tools, shape, name):
    _, damages, _ = tools
    _, targets, _ = shape
    for seed in range(2):
        measurement = outcome(*getattr(damages, name)(targets["right"], np.random.default_rng(seed)))
        assert not measurement.right.measured


def test_the_same_seed_gives_the_same_damage(tools, shape):
    _, damages, _ = tools
    _, targets, _ = shape
    for damage in damages.DAMAGES:
        one, other = (damage(targets["left"], np.random.default_rng(5)) for _ in range(2))
        assert np.array_equal(one[0], other[0], equal_nan=one[0].dtype.kind == "f")
        assert np.array_equal(one[1], other[1])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.sampled_from([L4.value, DISC.value, L5.value]), share=st.floats(0.97, 1.0), seed=st.integers(0, 99))
def test_a_structure_of_which_crumbs_are_left_gives_no_number(shape, value, share, seed):
    case = shape[0]
    gone = (case.label == value) & (np.random.default_rng(seed).random(case.label.shape) < share)
    measurement = outcome(np.where(gone, 0, case.label), case.affine)
    assert not any(foramen.measured for foramen in measurement.foramina.values())
