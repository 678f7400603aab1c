"""The table of structures: one value, name and colour each, and codes that DICOM knows."""

from __future__ import annotations

from pydicom.sr._concepts_dict import concepts

from livf.lib.anatomy import BACKGROUND, BY_NAME, BY_VALUE, CHANNELS, STRUCTURES, TRAINED, VERTEBRAE


def test_values_names_and_colours_are_unique() -> None:
    assert len(BY_NAME) == len(BY_VALUE) == len({s.rgb for s in STRUCTURES}) == len(STRUCTURES)
    assert BACKGROUND not in BY_VALUE


def test_trained_structures_are_the_network_channels_in_order() -> None:
    assert [s.value for s in TRAINED] == list(range(1, CHANNELS))
    assert set(VERTEBRAE) < set(TRAINED)


def test_codes_are_those_of_dicoms_own_lists() -> None:
    listed = {(code, meaning) for entry in concepts["SCT"].values() for code, (meaning, cids) in entry.items() if cids}
    for structure in TRAINED:
        assert structure.snomed in listed
