"""Other groups' numbers, against their own documentation."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.anatomy import TRAINED
from livf.lib.errors import UsageError
from livf.lib.numberings import NUMBERINGS, numbering_of, parse_labels, structure_named

#: L4, the disc, L5: as each group documents them.
DOCUMENTED = {
    "livf": (1, 2, 3),
    "nnunet": (1, 2, 3),
    "spider": (2, 202, 1),
    "mrspineseg": (3, 12, 2),
    "totalspineseg": (44, 95, 45),
    "totalspineseg-2024": (19, 203, 18),
    "spineps": (23, 123, 24),
    "totalsegmentator": (28, None, 27),
    "totalsegmentator-mr": (3, None, 2),
}


def test_every_preset_is_listed_here() -> None:
    assert set(DOCUMENTED) == set(NUMBERINGS)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_their_numbers_become_ours(name) -> None:
    numbering = parse_labels(name)
    label = np.arange(300, dtype=np.int32).reshape(3, 100)
    ours = numbering.to_ours(label)
    assert ours.dtype == np.uint8
    assert ours.shape == label.shape
    for number, structure in zip(DOCUMENTED[name], TRAINED, strict=True):
        assert label[ours == structure.value].tolist() == ([] if number is None else [number])
        assert (structure in numbering.structures) == (number is not None)
    assert name in ("livf", "nnunet") or numbering.source.startswith("https://")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64, np.float32])
def test_numbers_of_any_type_and_size(dtype) -> None:
    label = np.array([0, 1, 2, 3, 4, 7, 100], dtype=dtype)
    assert parse_labels("livf").to_ours(label).tolist() == [0, 1, 2, 3, 0, 0, 0]
    assert parse_labels("livf").to_ours(np.array([-1, 70000, 3])).tolist() == [0, 0, 3]
    assert parse_labels("livf").to_ours(np.zeros((0, 2, 2), dtype=dtype)).shape == (0, 2, 2)


@pytest.mark.parametrize(
    "text",
    [
        "L4=23,disc_L4_5=123,L5=24",
        " L5 = 24, vertebrae_L4=23 ,L4/L5=123",
        '{"L4": 23, "disc_L4_L5": 123, "L5": 24}',
        '{"L4": [23], "disc_L4_L5": [123], "L5": [24]}',
    ],
)
def test_numbers_may_be_given(text) -> None:
    assert dict(parse_labels(text).numbers) == dict(NUMBERINGS["spineps"].numbers)


def test_a_structure_may_have_several_numbers_or_none() -> None:
    numbering = parse_labels('{"L4": [4, 14], "L5": 5}')
    assert numbering.to_ours(np.array([4, 14, 5, 2])).tolist() == [1, 1, 3, 0]
    assert [structure.name for structure in numbering.structures] == ["L4", "L5"]
    assert numbering_of({"background": 0, "L4": 2, "kidney": 9}).known == {2, 9}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("verse", "is not a numbering"),
        ("L4=x,L5=2", "no whole number"),
        ("L4=0", "no whole number"),
        ("L4=70000", "no whole number"),
        ("L4=1,L5=1", "gives 1 to two structures"),
        ("L3=1", "is not a structure"),
        ("L4", "is not a numbering"),
        ("{", "is not JSON"),
        ('{"L4": true}', "no whole number"),
        ('{"L4": []}', "no whole number"),
        ("{}", "names none"),
    ],
)
def test_what_is_no_numbering_is_refused_with_a_remedy(text, what) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        parse_labels(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("L4", "L4"),
        ("vertebrae_L4", "L4"),
        ("L4 vertebra", "L4"),
        ("disc_L4_L5", "disc_L4_5"),
        ("IVD L4-L5", "disc_L4_5"),
        ("L4/5", "disc_L4_5"),
        ("vertebrae_L5", "L5"),
        ("disc_L5_S", None),
        ("L5/S", None),
        ("vertebra L4 L5", None),
        ("disc L4", None),
        ("foramen_left", None),
        ("vertebrae_L3", None),
        ("", None),
    ],
)
def test_names_in_use(name, ours) -> None:
    structure = structure_named(name)
    assert (structure.name if structure else None) == ours
