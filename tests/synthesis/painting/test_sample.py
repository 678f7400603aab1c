from dataclasses import replace

import numpy as np
import pytest

from livf.lib.anatomy import ANY_ARCH, ANY_BODY, ANY_DISC, CANAL, DISC, L4, L5, SACRUM, TRAINED
from livf.lib.synthesis.painting.acquisition import Scan
from livf.lib.synthesis.painting.deform import Warp, Window
from livf.lib.synthesis.painting.looks import TISSUE_NAMES, Look, physical_signals
from livf.lib.synthesis.painting.plan import EMPTY_SHARE, LOCALISER, PAIR, draw_plan
from livf.lib.synthesis.painting.pose import JOINTS, Joint
from livf.lib.synthesis.painting.sample import paint
from livf.lib.synthesis.painting.subject import prepare_subject
from livf.lib.synthesis.tissues import Sequence

WIDE = ((-1000.0,) * 3, (1000.0,) * 3)
CLEAN = Scan(blur_mm=0.0, noise=0.0, coil_floor=1.0, drift=0.0)


def look():
    signals = physical_signals(Sequence(repetition_ms=3500, echo_ms=100, restore=0.0), np.random.default_rng(0), 0.0)
    return Look(signals=signals, physical=True, grain=0.0, patches=0.0, roots=0, vein_gain=1.0)


def plan(pair=True, **changes):
    drawn = draw_plan(np.random.default_rng(0), pair=pair)
    window = Window((64, 96, 80), 1.2) if pair else Window((40, 64, 72), 2.0)
    settled = replace(
        drawn, window=window, height=0.5, offset_mm=(0.0, 12.0, 0.0), empty=False, field_low_mm=WIDE[0],
        field_high_mm=WIDE[1], warp=Warp(), joints=(Joint(worn=0.0),) * JOINTS, look=look(), scan=CLEAN,
    )  # fmt: skip
    return replace(settled, **changes)


def painted(subject, plan, seed=1):
    return paint(subject, plan, np.random.default_rng(seed))


def test_the_same_seed_gives_the_same_bytes(subject):
    for pair in (True, False):
        one, two, other = (
            paint(subject, draw_plan(rng, pair=pair), rng) for rng in map(np.random.default_rng, (7, 7, 8))
        )
        assert one.image.array.tobytes() == two.image.array.tobytes()
        assert one.kinds.tobytes() == two.kinds.tobytes()
        assert one.image.array.tobytes() != other.image.array.tobytes()


def test_examples_have_the_shapes_and_types_that_training_wants(subject):
    rng = np.random.default_rng(4)
    image, label = paint(subject, draw_plan(rng, pair=True), rng).pair_example()
    assert image.shape == label.shape == PAIR.shape == (112, 160, 128)
    assert image.dtype == np.int16 and label.dtype == np.uint8
    assert set(np.unique(label)) <= {0, *(s.value for s in TRAINED)} and len(np.unique(label)) == 4
    image, kinds = paint(subject, draw_plan(rng, pair=False), rng).localiser_example()
    assert image.shape == kinds.shape == LOCALISER.shape == (48, 96, 128)


def test_a_pair_is_the_chosen_disc_and_its_neighbours_only(subject):
    sample = painted(subject, plan())
    assert sample.centred == ("L3", "L3-L4", "L4")
    _, label = sample.pair_example()
    heights = {s: np.argwhere(label == s.value)[:, 2].mean() for s in TRAINED}
    assert heights[L4] > heights[DISC] > heights[L5]
    # L2 and L5 are in the window and are background.
    for name in ("L2", "L5"):
        own = sample.instances == 1 + sample.names.index(name)
        assert own.any() and not label[own].any()
    disc = np.argwhere(label == DISC.value).mean(0)
    middle = (np.array(label.shape) - 1) / 2 + np.array([0, 12, 0]) / 1.2
    np.testing.assert_allclose(disc, middle, atol=1.0)


def test_every_level_serves_as_a_pair(subject):
    found = {painted(subject, plan(height=h)).centred[1] for h in (0.0, 0.5, 0.99)}
    assert found == {"L4-L5", "L3-L4", "L2-L3"}


def test_a_localiser_sample_cannot_be_a_pair(subject):
    with pytest.raises(ValueError, match="not centred"):
        painted(subject, plan(pair=False)).pair_example()


def test_kinds_lie_where_anatomy_has_them(subject):
    sample = painted(subject, plan(pair=False, window=Window((60, 80, 110), 1.6), height=0.4))
    kinds = sample.kinds
    assert {int(v) for v in np.unique(kinds)} == {0, 1, 2, 3, 4, 5}
    place = {k: np.argwhere(kinds == k.value).mean(0) for k in (ANY_BODY, ANY_ARCH, ANY_DISC, SACRUM, CANAL)}
    assert place[ANY_BODY][1] > place[CANAL][1] > place[ANY_ARCH][1]
    assert place[SACRUM][2] < place[ANY_DISC][2]
    named = {name: set(np.unique(kinds[sample.instances == 1 + i])) for i, name in enumerate(sample.names)}
    assert named["L4"] == {ANY_BODY.value, ANY_ARCH.value}
    assert named["L4-L5"] == {ANY_DISC.value} and named["sacrum"] == {SACRUM.value}


def test_mirroring_swaps_the_sides(column):
    """A column with one transverse process cut off shows it on the other side when mirrored."""
    parts = []
    for part in column.parts:
        if part.name == "L4":
            index = np.arange(part.distance.shape[0]) + part.start[0]
            right = column.affine[0, 3] + column.spacing * index
            distance = part.distance.copy()
            distance[right > 24] = 8
            part = replace(part, distance=distance)
        parts.append(part)
    lopsided = prepare_subject(replace(column, parts=tuple(parts)))

    def reach(mirror):
        sample = painted(lopsided, plan(warp=Warp(mirror=mirror)))
        own = np.argwhere(sample.instances == 1 + sample.names.index("L4"))[:, 0]
        middle = (sample.image.array.shape[0] - 1) / 2
        return own.max() - middle, middle - own.min()

    right, left = reach(False)
    assert left > right + 5
    assert reach(True) == pytest.approx((left, right), abs=1)


def test_no_voxel_belongs_to_two_structures_and_the_boundary_is_outside_the_cortex(subject):
    """The label counts the dark shell: just inside its edge the image is as dark as cortex, deeper it is marrow."""
    sample = painted(subject, plan(window=Window((90, 110, 90), 0.8)))
    from scipy import ndimage

    body = (sample.instances == 1 + sample.names.index("L4")) & (sample.kinds == ANY_BODY.value)
    depth = ndimage.distance_transform_edt(sample.instances == 1 + sample.names.index("L4"), sampling=0.8)
    image = sample.image.array.astype(float) / 800
    shell = np.median(image[body & (depth > 0.3) & (depth < 0.9)])
    deep = np.median(image[body & (depth > 4)])
    assert deep == pytest.approx(look().signal("marrow"), rel=0.05)
    assert shell < 0.6 * deep


def test_t2_contrast_in_the_image(subject):
    sample = painted(subject, plan(window=Window((90, 110, 90), 0.8)))
    from scipy import ndimage

    image = sample.image.array.astype(float)

    def middle(mask):
        return np.median(image[mask & (ndimage.distance_transform_edt(mask) > 3)])

    disc = sample.instances == 1 + sample.names.index("L3-L4")
    place = np.stack(np.meshgrid(*map(np.arange, disc.shape), indexing="ij"), -1)
    near = np.linalg.norm(place - np.argwhere(disc).mean(0), axis=-1) * 0.8 < 8
    csf, nucleus = middle(sample.kinds == CANAL.value), middle(disc & near)
    marrow = middle(sample.kinds == ANY_BODY.value)
    assert csf > nucleus > marrow > 800 * look().signal("cortex")


def test_the_field_of_view_crops_image_and_labels(subject):
    window = Window((64, 96, 80), 1.2)
    sample = painted(subject, plan(field_low_mm=(-20.0, -1000.0, -15.0), field_high_mm=(1000.0, 30.0, 18.0)))
    inside = np.ones(window.shape, dtype=bool)
    for axis, low, high in ((0, -20, 1000), (1, -1000, 30), (2, -15, 18)):
        place = (np.arange(window.shape[axis]) - (window.shape[axis] - 1) / 2) * 1.2
        inside &= ((place >= low) & (place <= high)).reshape([-1 if a == axis else 1 for a in range(3)])
    assert (sample.image.array[inside] > 0).all()
    for array in (sample.image.array, sample.kinds, sample.instances):
        assert not array[~inside].any()


def test_the_field_of_view_ends_where_the_column_does(subject):
    """Above the topmost vertebra another one would follow: nothing is shown of a spine that ends in the air."""
    sample = painted(subject, plan(pair=False, height=1.0, window=Window((40, 64, 96), 2.0)))
    shown = np.flatnonzero(sample.image.array.any(axis=(0, 1)))
    assert shown[-1] < 95
    top = sample.kinds[:, :, shown[-1]]
    assert (top == ANY_BODY.value).any()  # it is cut in the middle of a body


def test_windows_beside_the_spine_hold_none(subject):
    rng = np.random.default_rng(0)
    plans = [draw_plan(rng, pair=False) for _ in range(300)]
    assert np.mean([p.empty for p in plans]) == pytest.approx(EMPTY_SHARE, abs=0.05)
    empty = [p for p in plans if p.empty][:8]
    for number, one in enumerate(empty):
        sample = painted(subject, one, number)
        assert not sample.kinds.any()
        assert sample.image.array.std() > 0
    shown = [bool(painted(subject, p, 5).kinds.any()) for p in [p for p in plans if not p.empty][:10]]
    assert all(shown)


def test_a_stack_keeps_its_own_grid_beside_the_fine_one(subject):
    scan = replace(CLEAN, thickness_mm=4.2, gap_mm=0.6, in_plane_mm=1.2)
    sample = painted(subject, plan(scan=scan))
    assert sample.native.spacing == pytest.approx((4.8, 1.2, 1.2))
    assert sample.native.shape[0] in (15, 16)
    # Both show the same place: at a slice's centre they agree.
    from livf.lib.values import to_index, to_world

    centre = to_index(sample.image.affine, to_world(sample.native.affine, (5, 0, 0)))
    low = int(np.floor(centre[0]))
    share = centre[0] - low
    fine = sample.image.array.astype(float)
    between = (1 - share) * fine[low] + share * fine[low + 1]
    shown = fine[low] > 0
    assert np.abs(between - sample.native.array[5])[shown].mean() < 0.25 * sample.native.array[5][shown].mean()


def test_signals_are_named(subject):
    assert "marrow" in TISSUE_NAMES
    with pytest.raises(ValueError, match="not in tuple"):
        look().signal("unobtainium")


def test_a_column_without_neighbours_cannot_be_a_pair(column):
    lone = tuple(p for p in column.parts if p.name in ("L4", "L4-L5", "thecal sac"))
    with pytest.raises(ValueError, match="no disc between"):
        painted(prepare_subject(replace(column, parts=lone)), plan())
