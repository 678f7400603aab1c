"""Splits: patients never straddle, whatever the data; shares and groups are as the paper's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livf.lib.dataset import Case
from livf.lib.errors import InputError, UsageError
from livf.lib.training.split import PARTS, Split, by_column, by_share, folds


def case(name: str, patient: str, group: str | None = None, part: str | None = None) -> Case:
    columns = {} if part is None else {"part": part}
    return Case(name, Path(f"{name}.nii.gz"), Path(f"{name}.nii.gz"), patient, group, columns)


def cohort(scans: list[int], groups: list[str]) -> list[Case]:
    return [
        case(f"c{patient:03d}_{scan}", f"p{patient:03d}", groups[patient % len(groups)])
        for patient, number in enumerate(scans)
        for scan in range(number)
    ]


def whose(cases: list[Case], names: tuple[str, ...]) -> set[str]:
    patients = {case.name: case.patient for case in cases}
    return {patients[name] for name in names}


def check(cases: list[Case], split: Split) -> None:
    parts = [getattr(split, part) for part in PARTS]
    assert sorted(name for part in parts for name in part) == sorted(case.name for case in cases)
    patients = [whose(cases, part) for part in parts]
    assert sum(map(len, patients)) == len(set().union(*patients))


any_cohort = st.builds(
    cohort,
    st.lists(st.integers(1, 4), min_size=10, max_size=60),
    st.lists(st.sampled_from(["healthy", "stenosis", "herniation", ""]), min_size=1, max_size=7),
)


@given(any_cohort, st.integers(2, 5), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_patients_never_straddle_folds(cases: list[Case], number: int, seed: int) -> None:
    found = folds(cases, number, seed)
    for split in found:
        check(cases, split)
        assert split.training and split.validation and split.test
    tested = [name for split in found for name in split.test]
    assert sorted(tested) == sorted(case.name for case in cases)  # everyone once
    assert folds(list(reversed(cases)), number, seed) == found  # not by the order of files


@given(any_cohort, st.floats(0, 0.5), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_patients_never_straddle_training_and_validation(cases: list[Case], share: float, seed: int) -> None:
    split = by_share(cases, share, seed)
    check(cases, split)
    assert bool(split.validation) == (share > 0)


def test_five_folds_of_a_hundred_are_the_papers() -> None:
    groups = ["healthy"] * 3 + ["stenosis"] * 3 + ["herniation"] * 2 + ["both"] * 2
    cases = cohort([1] * 100, groups)
    group = {case.name: case.group for case in cases}
    for split in folds(cases, 5, seed=1):
        assert [len(getattr(split, part)) for part in PARTS] == [70, 10, 20]
        assert Counter(group[name] for name in split.test) == {
            "healthy": 6, "stenosis": 6, "herniation": 4, "both": 4
        }  # fmt: skip
    assert folds(cases, 5, seed=1) != folds(cases, 5, seed=2)


def test_too_few_patients_are_told() -> None:
    with pytest.raises(UsageError, match="9 patients are too few for 5 folds"):
        folds(cohort([3] * 9, ["a"]), 5, 0)
    with pytest.raises(UsageError):
        folds(cohort([1] * 9, ["a"]), 1, 0)
    with pytest.raises(InputError):
        by_share(cohort([5], ["a"]), 0.1, 0)
    with pytest.raises(UsageError):
        by_share(cohort([1] * 9, ["a"]), 1.0, 0)


def test_the_column_part_is_followed() -> None:
    cases = [case("a", "1", part="training"), case("b", "2", part="Validation"), case("c", "3", part="test")]
    assert by_column(cases) == Split(("a",), ("b",), ("c",))
    with pytest.raises(InputError, match="d: has part 'valid'"):
        by_column([*cases, case("d", "4", part="valid")])
    with pytest.raises(InputError, match="d: has no part"):
        by_column([*cases, case("d", "4")])
    with pytest.raises(InputError, match="patient 3 is in test and in training"):
        by_column([*cases, case("d", "3", part="training")])
    with pytest.raises(InputError, match="no case is in the part training"):
        by_column(cases[1:])
