"""People as they are drawn: reproducible, varied, and different between the groups where they should be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.synthesis.morphometry import GROUP_COUNTS, GROUPS, Anatomy, Group, sample_anatomy


def people(group: Group, number: int = 120) -> list[Anatomy]:
    return [sample_anatomy(np.random.default_rng(seed), group) for seed in range(number)]


def test_the_same_generator_gives_the_same_person() -> None:
    one, two = (sample_anatomy(np.random.default_rng(4), "both") for _ in range(2))
    assert one == two
    assert json.loads(json.dumps(one.as_json()))["group"] == "both"


@pytest.mark.parametrize("group", GROUPS)
def test_sizes_stay_within_what_people_have(group: Group) -> None:
    for person in people(group):
        for name in (L4.name, L5.name):
            size = person.vertebrae[name]
            assert 34 < size.width < 66
            assert 24 < size.depth < 47
            assert 17 < size.posterior_height < 37
            assert 8 < size.pedicle_width < 25
            assert min(size.pedicle_length) > 3
        disc = person.discs[DISC.name]
        assert 3 <= disc.posterior_height < 14
        assert 0 <= disc.degeneration <= 1


def test_groups_differ_in_the_direction_they_should() -> None:
    def mean(group: Group, value: str) -> float:
        def of(person: Anatomy) -> float:
            lower, disc = person.vertebrae[L5.name], person.discs[DISC.name]
            return {
                "process": float(np.mean(lower.superior_process)),
                "pedicle": float(np.mean(lower.pedicle_length)),
                "canal": lower.canal_depth,
                "flavum": person.ligamentum_flavum,
                "herniation": disc.herniation,
                "height": disc.posterior_height,
            }[value]

        return float(np.mean([of(person) for person in people(group)]))

    assert mean("stenosis", "process") > 1.15 * mean("healthy", "process")
    assert mean("stenosis", "pedicle") < 0.95 * mean("healthy", "pedicle")
    assert mean("stenosis", "canal") < 0.95 * mean("healthy", "canal")
    assert mean("stenosis", "flavum") > mean("healthy", "flavum")
    assert mean("healthy", "herniation") == mean("stenosis", "herniation") == 0
    assert mean("herniation", "herniation") > 3
    assert mean("both", "height") < mean("healthy", "height")


def test_the_groups_are_the_papers_hundred() -> None:
    assert sum(GROUP_COUNTS.values()) == 100
    assert tuple(GROUP_COUNTS) == GROUPS
