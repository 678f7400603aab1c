"""Discs between solids: in the gap, within the rims, out of the bone."""

from __future__ import annotations

import numpy as np
import pytest

from livf.lib.synthesis.columns import discs, split
from livf.lib.synthesis.columns.build import Bones

UP = np.array([0.0, 0.0, 1.0])
#: Half width and half depth of the solid bodies, gap between their rims and depth of a hollow, mm (see conftest.py).
A, B, GAP, HOLLOW = 22.0, 16.0, 12.0, 1.5


def test_a_disc_fills_the_gap_between_the_end_plates(two: Bones) -> None:
    bones = list(two.fields.values())
    upper, lower = (split.body_of(bone, UP) for bone in bones)
    disc = discs.disc_between(upper, lower, bones)
    assert disc is not None
    a, b = A - discs.TRIM_MM, B - discs.TRIM_MM
    # A hollow of depth h (1 - r²) holds half of h times its area.
    wanted = np.pi * a * b * (GAP + HOLLOW)
    assert disc.volume == pytest.approx(wanted, rel=0.08)
    middle = disc.points(disc.values < 0).mean(axis=0)
    assert np.allclose(middle, [44, 66, 61], atol=1)


def test_a_disc_meets_no_bone(two: Bones) -> None:
    bones = list(two.fields.values())
    disc = discs.disc_between(*(split.body_of(bone, UP) for bone in bones), bones)
    assert disc is not None
    for bone in bones:
        assert not ((disc.values < -0.1) & (bone.on(disc.start, disc.stop) < -0.1)).any()


def test_bodies_without_room_between_them_have_no_disc(two: Bones) -> None:
    bones = list(two.fields.values())
    upper, lower = (split.body_of(bone, UP) for bone in bones)
    block = type(bones[0])(np.full((120, 120, 120), -8, dtype=np.float32), (0, 0, 0), bones[0].spacing)
    assert discs.disc_between(upper, lower, [*bones, block]) is None
