"""The parametric spine: does it have the sizes it was asked for, at the places where they belong?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livf.lib.anatomy import DISC, L4, L5, TRAINED
from livf.lib.synthesis.morphometry import GROUPS, L3, SACRUM, sample_anatomy
from livf.lib.synthesis.spine import COLUMN, Spine


@pytest.fixture(scope="module", params=GROUPS)
def spine(request: pytest.FixtureRequest) -> Spine:
    return Spine(sample_anatomy(np.random.default_rng(5), request.param), (4.0, -9.0, 2.0))


def crossing(spine: Spine, name: str, start: np.ndarray, direction: np.ndarray, reach: float = 60.0) -> float:
    """Distance along a ray from inside a structure to where it ends, mm."""
    steps = np.arange(0, reach, 0.02)
    values = spine.distance(name, start + steps[:, None] * direction)
    assert values[0] < 0
    return float(steps[np.argmax(values > 0)])


def test_a_vertebra_has_the_depth_and_width_it_was_given(spine: Spine) -> None:
    for name in (L4.name, L5.name):
        pose, size = spine.poses[name], spine.anatomy.vertebrae[name]
        low = pose.to_world((0, size.depth / 2, -0.38 * size.posterior_height))
        depth = crossing(spine, name, low, pose.anterior) + crossing(spine, name, low, -pose.anterior)
        assert depth == pytest.approx(size.depth, abs=2.6)  # waist and posterior hollow
        width = crossing(spine, name, low, pose.left) + crossing(spine, name, low, -pose.left)
        assert width == pytest.approx(size.width, abs=2.5)


def test_the_disc_fills_the_gap_between_the_endplates(spine: Spine) -> None:
    frame, disc = spine.frame, spine.anatomy.discs[DISC.name]
    up = crossing(spine, DISC.name, frame.origin, frame.superior, 20)
    down = crossing(spine, DISC.name, frame.origin, -frame.superior, 20)
    hollow = spine.anatomy.vertebrae[L4.name].endplate_hollow[1] + spine.anatomy.vertebrae[L5.name].endplate_hollow[0]
    middle = (disc.anterior_height + disc.posterior_height) / 2
    assert up + down == pytest.approx(middle + hollow, abs=0.8)
    # Right above the disc is L4, right below L5.
    assert spine.distance(L4.name, frame.origin + (up + 0.5) * frame.superior) < 0
    assert spine.distance(L5.name, frame.origin - (down + 0.5) * frame.superior) < 0


def test_structures_do_not_overlap(spine: Spine) -> None:
    points = spine.frame.origin + np.random.default_rng(2).uniform(-50, 50, (40_000, 3))
    inside = np.stack([spine.distance(name, points) < 0 for name in COLUMN])
    assert inside.any(axis=1).all()
    assert inside.sum(axis=0).max() == 1


def test_left_is_the_patients_left_and_the_frame_is_orthogonal(spine: Spine) -> None:
    frame = spine.frame
    axes = np.stack((frame.left, frame.anterior, frame.superior))
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    assert frame.left[0] < -0.9
    assert frame.anterior[1] > 0.8
    assert frame.superior[2] > 0.8


def test_the_neighbours_of_the_level_stand_in_order(spine: Spine) -> None:
    heights = [spine.poses[name].origin[2] for name in (L3, L4.name, L5.name, SACRUM)]
    assert heights == sorted(heights, reverse=True)
    gaps = -np.diff(heights)
    assert (gaps > 24).all()
    assert (gaps < 48).all()


def test_joints_stay_open(spine: Spine) -> None:
    """Nowhere do L4 and L5 come closer than the joint's cartilage."""
    points = spine.frame.origin + np.random.default_rng(3).uniform(-45, 45, (60_000, 3))
    both = np.maximum(spine.distance(L4.name, points), spine.distance(L5.name, points))
    near_disc = spine.distance(DISC.name, points) < 4
    assert both[~near_disc].min() > 0.3 * spine.anatomy.joint_gap


def test_an_asymmetric_process_changes_its_own_side_only() -> None:
    anatomy = sample_anatomy(np.random.default_rng(7), "healthy")
    lower = anatomy.vertebrae[L5.name]
    thick = replace(lower, superior_process=(lower.superior_process[0] + 2.0, lower.superior_process[1]))
    changed = replace(anatomy, vertebrae={**anatomy.vertebrae, L5.name: thick})
    before, after = Spine(anatomy), Spine(changed)
    points = before.frame.origin + np.random.default_rng(4).uniform(-45, 45, (80_000, 3))
    differs = np.zeros(len(points), dtype=bool)
    for structure in TRAINED:
        differs |= (before.distance(structure.name, points) < 0) != (after.distance(structure.name, points) < 0)
    assert differs.any()
    assert ((points[differs] - before.frame.origin) @ before.frame.left > 0).all()
