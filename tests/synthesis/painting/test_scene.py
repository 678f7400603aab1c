from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from livf.lib.synthesis.columns.column import Kind
from livf.lib.synthesis.painting.deform import Warp, Window
from livf.lib.synthesis.painting.pose import JOINTS, Joint, draw_joint, posture
from livf.lib.synthesis.painting.scene import build_scene, meet, within

WINDOW = Window((90, 96, 96), 1.0)


def scene(subject, joints=None, warp=None, seed=0, window=WINDOW):
    joints = joints or (Joint(),) * JOINTS
    warp = warp or Warp()
    pose = posture(subject, joints)
    rng = np.random.default_rng(seed)
    focus = next(d for d in subject.discs if d.name == "L3-L4").frame.origin + np.array([0, -16, 0])
    posed = warp.at_nodes(window, focus, np.zeros(3), rng)
    return build_scene(subject, pose, joints, warp, window, posed, rng)


def placed(scene, name):
    return next(p for p in [*scene.bones, *scene.discs] if p.structure.name == name)


def volume(distance, spacing):
    return float(np.clip(0.5 - distance / spacing, 0, 1).sum() * spacing**3)


def centre(scene, name):
    part = placed(scene, name)
    start = np.array([s.start for s in part.block])
    return (np.argwhere(part.distance < 0) + start).mean(0) * scene.window.spacing


def test_the_frames_of_the_column_point_where_they_should(subject):
    for part in [*subject.vertebrae, *(d for d in subject.discs if d)]:
        np.testing.assert_allclose(part.frame.superior, (0, 0, 1), atol=0.05)
        np.testing.assert_allclose(part.frame.anterior, (0, 1, 0), atol=0.05)
        np.testing.assert_allclose(part.frame.left, (-1, 0, 0), atol=0.05)
    assert subject.pairs == (("L2", "L2-L3", "L3"), ("L3", "L3-L4", "L4"), ("L4", "L4-L5", "L5"))


def test_without_change_a_bone_keeps_its_volume(subject):
    found = placed(scene(subject), "L4")
    own = next(v for v in subject.vertebrae if v.name == "L4")
    assert volume(found.distance, 1.0) == pytest.approx(volume(own.values, subject.spacing), rel=0.02)


@pytest.mark.parametrize("scale", [0.85, 1.2])
def test_volumes_grow_with_the_third_power_of_the_scale(subject, scale):
    plain, scaled = (placed(scene(subject, warp=Warp(scale=s)), "L3-L4").distance for s in (1.0, scale))
    assert volume(scaled, 1.0) / volume(plain, 1.0) == pytest.approx(scale**3, rel=0.05)
    window = Window((100, 110, 120), 1.0)
    plain, scaled = (placed(scene(subject, warp=Warp(scale=s), window=window), "L4").distance for s in (1.0, scale))
    assert volume(scaled, 1.0) / volume(plain, 1.0) == pytest.approx(scale**3, rel=0.04)


def test_a_bend_keeps_volumes_about(subject):
    plain = volume(placed(scene(subject), "L3-L4").distance, 1.0)
    bent = [volume(placed(scene(subject, warp=Warp(bend_mm=2.0), seed=s), "L3-L4").distance, 1.0) for s in range(4)]
    assert np.mean(bent) == pytest.approx(plain, rel=0.15)
    assert np.std(bent) > 0


def test_a_joint_moves_everything_above_it(subject):
    plain = scene(subject)
    # The second joint from below is that of L4-L5; the window stays.
    joints = (Joint(), Joint(shift_mm=(0.0, 0.0, 2.0)), *(Joint(),) * 10)
    pose, still = posture(subject, joints), posture(subject, (Joint(),) * JOINTS)
    for name, rise in (("sacrum", 0.0), ("L5", 0.0), ("L4", 2.0), ("L3", 2.0), ("L2", 2.0)):
        np.testing.assert_allclose((pose.moves[name] - still.moves[name])[:3, 3], (0, 0, rise), atol=0.1)
    found = scene(subject, joints)
    assert centre(found, "L3-L4")[2] - centre(plain, "L3-L4")[2] == pytest.approx(2.0, abs=0.3)


def test_a_disc_follows_both_neighbours(subject):
    plain = scene(subject)
    risen = scene(subject, (Joint(), Joint(), Joint(shift_mm=(0, 0, 2.0)), *(Joint(),) * 9))
    # L3-L4 is 10 mm high in the middle; 2 mm more make it a fifth larger, with no gap at either end plate.
    ratio = volume(placed(risen, "L3-L4").distance, 1.0) / volume(placed(plain, "L3-L4").distance, 1.0)
    assert ratio == pytest.approx(1.2, abs=0.06)
    disc = placed(risen, "L3-L4")
    middle = tuple(n // 2 for n in disc.distance.shape)
    line = disc.distance[middle[0], middle[1]]
    bones = [risen.on(placed(risen, n), disc.block)[middle[0], middle[1]] for n in ("L3", "L4")]
    between = (bones[0] > 0.7) & (bones[1] > 0.7)
    assert between.sum() >= 8
    assert (line[between] < 0.7).all()


@pytest.mark.parametrize("seed", range(6))
def test_no_two_bones_overlap_whatever_the_posture(subject, seed):
    rng = np.random.default_rng(seed)
    joints = tuple(replace(draw_joint(rng), turn_degrees=(6.0, 4.0 * (-1) ** seed, -4.0)) for _ in range(JOINTS))
    found = scene(subject, joints, Warp(bend_mm=1.5, mirror=bool(seed % 2)), seed)
    met = 0
    for upper, lower in pairwise(found.bones):
        common = meet(upper.block, lower.block)
        if common is None:
            continue
        both = np.maximum(upper.distance[within(common, upper.block)], lower.distance[within(common, lower.block)])
        assert both.min() > -0.01  # the issue allows 0.3 mm
        met += both.min() < 1
    assert met  # some facets do meet, or this shows nothing
    for disc in found.discs:
        for bone in found.bones:
            common = meet(disc.block, bone.block)
            if common is not None:
                pair = np.maximum(disc.distance[within(common, disc.block)], bone.distance[within(common, bone.block)])
                assert pair.min() > -0.01


def test_the_nearer_bone_keeps_the_place(subject):
    """Pushed into one another, both bones give way by half."""
    plain = scene(subject)
    tight = (Joint(), Joint(), Joint(turn_degrees=(-6.0, 0, 0)), *(Joint(),) * 9)
    pressed = scene(subject, tight)
    for name in ("L3", "L4"):
        lost = 1 - volume(placed(pressed, name).distance, 1.0) / volume(placed(plain, name).distance, 1.0)
        assert -0.02 < lost < 0.05


def test_a_bulge_and_a_hernia_enlarge_the_disc_and_not_the_bones(subject):
    plain = scene(subject)
    changed = scene(subject, (Joint(bulge_mm=1.5, hernia_mm=4.0),) * JOINTS)
    assert volume(placed(changed, "L3-L4").distance, 1.0) > 1.08 * volume(placed(plain, "L3-L4").distance, 1.0)
    for name in ("L3", "L4"):
        np.testing.assert_allclose(placed(changed, name).distance, placed(plain, name).distance, atol=1e-5)
    disc = placed(changed, "L3-L4")
    _, anterior, _ = disc.local(WINDOW)
    assert anterior[disc.distance < 0].min() < -disc.structure.half[1] - 2.5


def test_the_sac_yields_to_a_hernia(subject):
    changed = scene(subject, (Joint(hernia_mm=5.5),) * JOINTS)
    disc, sac = placed(changed, "L3-L4"), changed.sac
    common = meet(disc.block, sac.block)
    assert np.maximum(disc.distance[within(common, disc.block)], sac.distance[within(common, sac.block)]).min() > 0.2


def test_schmorl_nodes_and_osteophytes_change_bone(subject):
    plain = scene(subject)
    noded = scene(subject, (Joint(schmorl_mm=4.0),) * JOINTS)
    grown = scene(subject, (Joint(osteophyte_mm=3.0),) * JOINTS)

    def total(s):
        return sum(volume(b.distance, 1.0) for b in s.bones if b.structure.kind is Kind.VERTEBRA)

    assert total(noded) < total(plain) - 50
    assert total(grown) > total(plain) + 50
