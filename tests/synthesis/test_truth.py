"""Truth of the foramina: boxes whose openings are known by arithmetic, and the phantoms' own anatomy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.transform import Rotation

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.synthesis.morphometry import sample_anatomy
from livf.lib.synthesis.spine import Spine
from livf.lib.synthesis.truth import PARTS, ForamenTruth, foramen_truth

FAR = 6.0


@dataclass(frozen=True)
class Axes:
    """A frame: what a scene's level and its walls are given as."""

    origin: npt.NDArray[np.float64]
    left: npt.NDArray[np.float64]
    anterior: npt.NDArray[np.float64]
    superior: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """A box in frame coordinates (left, anterior, superior), turned about the left axis through its middle, degrees."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    lean: float = 0.0

    def distance(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        low, high = np.array(self.low), np.array(self.high)
        moved = points - (low + high) / 2
        cos, sin = np.cos(np.radians(self.lean)), np.sin(np.radians(self.lean))
        moved = np.stack((moved[..., 0], cos * moved[..., 1] + sin * moved[..., 2],
                          cos * moved[..., 2] - sin * moved[..., 1]), axis=-1)  # fmt: skip
        outside = np.abs(moved) - (high - low) / 2
        return np.linalg.norm(np.maximum(outside, 0), axis=-1) + np.minimum(outside.max(axis=-1), 0)


def mirrored(box: Box) -> Box:
    return Box((-box.high[0], *box.low[1:]), (-box.low[0], *box.high[1:]), box.lean)


#: Frame: the disc's middle. Posterior walls at A = -17. The left foramen is the rectangle A -27 to -17, S -9 to 11:
#: the pedicle of L5 below, that of L4 above, bodies and disc in front, L5's process and L4's arch behind.
PEDICLES = {L4.name: Box((12, -27, 11), (22, -10, 26)), L5.name: Box((12, -27, -24), (22, -10, -9))}
BODIES = {L4.name: Box((-24, -17, 5), (24, 17, 33)), L5.name: Box((-24, -17, -33), (24, 17, -5))}
DISC_BOX = Box((-24, -17, -5), (24, 17, 5))
PROCESS = Box((12, -35, -24), (22, -27, 3))
ARCH = Box((12, -38, 3), (22, -27, 26))


@dataclass(frozen=True)
class Boxes:
    """A scene of boxes, both sides alike unless more is added."""

    parts: dict[str, tuple[Box, ...]] = field(
        default_factory=lambda: {
            L4.name: (BODIES[L4.name], *sides(PEDICLES[L4.name]), *sides(ARCH)),
            DISC.name: (DISC_BOX,),
            L5.name: (BODIES[L5.name], *sides(PEDICLES[L5.name]), *sides(PROCESS)),
        }
    )
    turn: Rotation = field(default_factory=Rotation.identity)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def frame(self) -> Axes:
        return self._axes((0, 0, 0))

    @property
    def walls(self) -> dict[str, Axes]:
        return {L4.name: self._axes((0, -17, 19)), L5.name: self._axes((0, -17, -19))}

    def _axes(self, at: tuple[float, float, float]) -> Axes:
        left, anterior, superior = self.turn.apply(np.array([[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]]))
        origin = np.asarray(self.shift) + at[0] * left + at[1] * anterior + at[2] * superior
        return Axes(origin, left, anterior, superior)

    def distance(self, structure: str, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        local = self.turn.inv().apply((np.asarray(points, float) - self.shift).reshape(-1, 3)) * (-1, 1, 1)
        value = np.min([box.distance(local) for box in self.parts[structure]], axis=0)
        return np.minimum(value, FAR).reshape(np.shape(points)[:-1])

    def plus(self, structure: str, *boxes: Box) -> Boxes:
        return replace(self, parts={**self.parts, structure: (*self.parts[structure], *boxes)})

    def without(self, structure: str, *boxes: Box) -> Boxes:
        kept = tuple(box for box in self.parts[structure] if box not in boxes)
        return replace(self, parts={**self.parts, structure: kept})


def sides(box: Box) -> tuple[Box, Box]:
    return box, mirrored(box)


def order(truth: ForamenTruth) -> list[str]:
    names = [PARTS[part] for part in truth.parts]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


SCENE = Boxes()


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_rectangle_between_boxes(side: str) -> None:
    truth = foramen_truth(SCENE, side)
    assert truth.reasons == ()
    assert truth.area_mm2 == pytest.approx(10 * 20, rel=0.003)
    assert truth.height_mm == pytest.approx(20, abs=0.05)
    # From the corner of L4 at (-17, 5) straight back to L4's arch or L5's process, 10 mm behind.
    assert truth.landmarks["posteroinferior_corner"] == pytest.approx((-17, 5), abs=0.15)
    assert truth.width_mm == pytest.approx(10, abs=0.05)
    assert truth.slab_mm == pytest.approx((12, 22), abs=0.05)
    assert truth.landmarks["superior"][1] == pytest.approx(11, abs=0.05)
    assert truth.landmarks["inferior"][1] == pytest.approx(-9, abs=0.05)


def test_the_outline_is_closed_even_and_goes_down_the_front() -> None:
    truth = foramen_truth(SCENE, "left")
    steps = np.linalg.norm(np.roll(truth.outline, -1, axis=0) - truth.outline, axis=1)
    assert steps.max() < 0.2
    expected = ["L4 posterior wall", "disc", "L5 posterior wall", "L5 pedicle", "L5 superior articular process",
                "L4 posterior elements", "L4 pedicle"]  # fmt: skip
    names = order(truth)
    start = names.index("disc") - 1
    assert (names[start:] + names[:start])[: len(expected)] == expected


@pytest.mark.parametrize("angles", [(0, 0, 9), (14, 0, 0), (0, 20, 0), (17, -8, 25)])
def test_the_scanner_s_axes_do_not_matter(angles: tuple[float, float, float]) -> None:
    scene = replace(SCENE, turn=Rotation.from_euler("xyz", angles, degrees=True), shift=(11.3, -24.7, 80.1))
    truth = foramen_truth(scene, "left")
    assert truth.area_mm2 == pytest.approx(200, rel=0.003)
    assert truth.height_mm == pytest.approx(20, abs=0.05)
    assert truth.width_mm == pytest.approx(10, abs=0.05)


def test_left_is_the_patients_left() -> None:
    spur = Box((14, -22, -9), (20, -17, -6))
    scene = SCENE.plus(L5.name, spur)
    assert foramen_truth(scene, "left").area_mm2 == pytest.approx(200 - 15, rel=0.003)
    assert foramen_truth(scene, "right").area_mm2 == pytest.approx(200, rel=0.003)


@pytest.mark.parametrize(
    ("low", "high", "counts"),
    [(4.0, 11.5, False), (13.0, 13.6, True), (20.5, 26.0, True), (22.5, 40.0, False)],
)
def test_only_bone_within_the_slab_counts(low: float, high: float, counts: bool) -> None:
    """An osteophyte in the canal and a transverse process outside do not narrow the foramen, a thin spur in it does."""
    scene = SCENE.plus(L5.name, Box((low, -21, -8.9), (high, -16, -2)))
    truth = foramen_truth(scene, "left")
    assert truth.slab_mm == pytest.approx((12, 22), abs=0.05)
    assert truth.area_mm2 == pytest.approx(200 - (4 * 7 if counts else 0), abs=1.0)


def test_a_leaning_process_narrows_the_width() -> None:
    """Tipped forwards by 20 degrees about its middle, the process ends in an edge 5 mm behind the corner of L4."""
    leaning = Box((12, -35, -24), (22, -27, 7), lean=-20)
    scene = SCENE.without(L5.name, *sides(PROCESS)).plus(L5.name, *sides(leaning))
    truth = foramen_truth(scene, "left")
    angle = np.radians(20)
    tip = np.array([-31, -8.5]) + 4 * np.array([np.cos(angle), -np.sin(angle)])
    tip += 15.5 * np.array([np.sin(angle), np.cos(angle)])
    assert truth.width_mm == pytest.approx(np.linalg.norm(tip - (-17, 5)), abs=0.1)
    assert truth.landmarks["facet"] == pytest.approx(tip, abs=0.15)


def test_the_wider_slab_of_both_vertebrae_is_taken() -> None:
    wide = Box((14, -27, -24), (26, -10, -9))
    scene = SCENE.without(L5.name, *sides(PEDICLES[L5.name])).plus(L5.name, *sides(wide))
    assert foramen_truth(scene, "left").slab_mm == pytest.approx((12, 26), abs=0.05)


def test_a_transverse_process_does_not_widen_the_slab_beyond_14_mm() -> None:
    process = Box((12, -27, -22), (50, -18, -10))
    truth = foramen_truth(SCENE.plus(L5.name, *sides(process)), "left")
    assert truth.slab_mm == pytest.approx((12, 26), abs=0.05)


def test_a_low_transverse_process_ends_the_pedicle() -> None:
    process = Box((12, -27, -16), (50, -18, -10))  # 6 of 15 mm: below 60 %
    assert foramen_truth(SCENE.plus(L5.name, *sides(process)), "left").slab_mm == pytest.approx((12, 22), abs=0.05)


def joint(gap: float, depth: float = 8.0) -> Boxes:
    """The scene with a slit between process (below) and arch (above), open behind when deeper than the process."""
    arch = Box((12, -38, 3 + gap), (22, -27, 26))
    scene = SCENE.without(L4.name, *sides(ARCH)).plus(L4.name, *sides(arch))
    return scene.plus(L4.name, *sides(Box((12, -45, 1), (22, -27 - depth, 26))))


@pytest.mark.parametrize("gap", [1.0, 1.8])
@pytest.mark.parametrize("depth", [6.0, 11.0])
def test_the_slit_of_the_joint_is_cut_off(gap: float, depth: float) -> None:
    truth = foramen_truth(joint(gap, depth), "left")
    assert truth.reasons == ()
    assert truth.area_mm2 == pytest.approx(200, rel=0.01)
    assert truth.closed_gap_mm == pytest.approx(gap, abs=0.15)
    assert "joint" in order(truth)


def test_an_outline_open_by_more_than_2_mm_is_refused() -> None:
    # The process ends below the arch's tail: nothing behind closes the gap of 2.6 mm.
    arch = Box((12, -38, 5.6), (22, -27, 26))
    scene = SCENE.without(L4.name, *sides(ARCH)).plus(L4.name, *sides(arch))
    truth = foramen_truth(scene, "left")
    assert truth.reasons == ("outline_open",)
    assert (truth.area_mm2, truth.height_mm, truth.width_mm) == (None, None, None)
    assert truth.slab_mm is not None


def test_an_opening_low_at_the_back_is_not_closed() -> None:
    low = Box((12, -35, -24), (22, -27, -4))
    arch = Box((12, -38, -2.5), (22, -27, 26))
    scene = SCENE.without(L5.name, *sides(PROCESS)).plus(L5.name, *sides(low))
    scene = scene.without(L4.name, *sides(ARCH)).plus(L4.name, *sides(arch))
    assert foramen_truth(scene, "left").reasons == ("outline_open",)


def test_a_process_that_is_missing_is_refused() -> None:
    arch = Box((12, -38, -24), (22, -27, 26))
    scene = SCENE.without(L5.name, *sides(PROCESS)).without(L4.name, *sides(ARCH)).plus(L4.name, *sides(arch))
    scene = scene.without(L5.name, *sides(PEDICLES[L5.name])).plus(
        L5.name, *sides(Box((12, -27.1, -24), (22, -10, -9)))
    )
    assert foramen_truth(scene, "left").reasons == ("truncated_posterior_elements",)


def test_a_bridge_across_the_opening_splits_it() -> None:
    scene = SCENE.plus(DISC.name, Box((13, -28, -1), (20, -17, 1)))
    assert foramen_truth(scene, "left").reasons == ("outline_split",)


def test_without_a_pedicle_there_is_no_truth() -> None:
    scene = SCENE.without(L4.name, PEDICLES[L4.name])
    assert foramen_truth(scene, "left").reasons == ("pedicle_not_found",)
    assert foramen_truth(scene, "right").reasons == ()


@pytest.mark.parametrize("group", ["healthy", "both"])
def test_half_the_step_gives_the_same_numbers(group: str) -> None:
    spine = Spine(sample_anatomy(np.random.default_rng(21), group), (1.0, 2.0, 3.0))
    usual, fine = (foramen_truth(spine, "left", step=step) for step in (0.2, 0.1))
    assert usual.reasons == fine.reasons == ()
    assert usual.area_mm2 == pytest.approx(fine.area_mm2, rel=0.003)
    assert usual.height_mm == pytest.approx(fine.height_mm, abs=0.05)
    assert usual.width_mm == pytest.approx(fine.width_mm, abs=0.05)


def test_the_projection_is_that_of_plain_sampling() -> None:
    """The pruned search along L finds the same area as a full, slow evaluation of every sample."""
    spine = Spine(sample_anatomy(np.random.default_rng(8), "both"))
    truth = foramen_truth(spine, "left")
    frame = spine.frame
    low, high = truth.outline.min(axis=0) - 0.5, truth.outline.max(axis=0) + 0.5
    a, s = np.arange(low[0], high[0], 0.25), np.arange(low[1], high[1], 0.25)
    along = np.arange(truth.slab_mm[0], truth.slab_mm[1], 0.2)
    grid = np.stack(np.meshgrid(along, a, s, indexing="ij"), axis=-1)
    points = frame.origin + grid @ np.stack((frame.left, frame.anterior, frame.superior))
    union = np.min([spine.distance(name, points) for name in (L4.name, DISC.name, L5.name)], axis=(0, 1))
    from skimage.measure import points_in_poly

    where = np.stack(np.meshgrid(a, s, indexing="ij"), axis=-1)
    inside = points_in_poly(where.reshape(-1, 2), truth.outline).reshape(len(a), len(s))
    # Deeper than 0.1 mm, every sample inside the outline is free; each free one just outside belongs to no opening.
    assert (union[inside] > -0.1).all()
    assert np.count_nonzero(inside) * 0.25**2 == pytest.approx(truth.area_mm2, rel=0.02)
    from scipy.ndimage import label

    pieces, _ = label(union > 0)
    own = pieces[np.unravel_index(np.argmax(np.where(inside, union, -1)), union.shape)]
    assert np.count_nonzero((pieces == own) & ~inside) * 0.25**2 < 0.02 * truth.area_mm2
