"""The measuring task on a real datastore: which label it measures, what it says, what it hands over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("monailabel")

from livf.lib.anatomy import BACKGROUND, DISC, FORAMEN_LEFT, FORAMEN_RIGHT, L4, L5, STRUCTURES, TRAINED
from livf.lib.config import Config
from livf.lib.errors import InputError, UsageError
from livf.lib.export.document import Source, document, label_hash
from livf.lib.foramen import Measurement, measure
from livf.lib.images import read_label, write_image, write_label
from livf.lib.segmentation.weights import WEIGHTS_NAME, default_folder
from livf.lib.server.datastore import FolderDatastore
from livf.lib.server.engine import Engine
from livf.lib.server.tasks import ForamenTask
from livf.lib.server.tasks.foramen import with_foramina
from livf.lib.synthesis.phantom import Grid, Phantom, make_phantom
from livf.lib.values import to_world

SIDES = ("left", "right")
VALUES = {"left": FORAMEN_LEFT.value, "right": FORAMEN_RIGHT.value}
NUMBERS = ("area_mm2", "height_mm", "width_mm", "min_width_mm", "section_area_mm2", "channel_diameter_mm")
CASE = "case.1"


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(7, grid=Grid((150, 180, 110)))


@pytest.fixture(scope="module")
def truth(phantom: Phantom) -> Measurement:
    measured = measure(phantom.label, phantom.affine)
    assert all(measured.foramina[side].measured for side in SIDES)
    return measured


@pytest.fixture
def store(tmp_path: Path, phantom: Phantom) -> FolderDatastore:
    studies = tmp_path / "studies"
    studies.mkdir()
    write_image(studies / f"{CASE}.nii", phantom.image)
    return FolderDatastore(studies, state=studies / ".livf", watch=False)


@pytest.fixture
def task(store: FolderDatastore, model_folder: Path) -> ForamenTask:
    """With an untrained network: what it finds is no spine."""
    return ForamenTask(Engine(Config(model=model_folder, device="cpu")), lambda: store)


def keep(store: FolderDatastore, label: np.ndarray, phantom: Phantom, tag: str = "final", **info: Any) -> None:
    path = Path(store._datastore.image_path()).parent / "submitted.nii.gz"
    write_label(path, label, phantom.affine)
    store.save_label(CASE, str(path), tag, info)


def run(task: ForamenTask, store: FolderDatastore, **params: Any) -> tuple[Path, dict[str, Any]]:
    path, said = task({"image": store.get_image_uri(CASE), "image_name": CASE, **params})
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    return Path(path), said


def read(path: Path) -> np.ndarray:
    label = read_label(path).array
    path.unlink()
    return label


def thicker(label: np.ndarray) -> np.ndarray:
    """L5 a voxel thicker to the front: as an annotator's correction."""
    result = label.copy()
    result[:, 1:][(label[:, 1:] == BACKGROUND) & (label[:, :-1] == L5.value)] = L5.value
    return result


def test_the_final_label_is_measured_as_given(
    task: ForamenTask, store: FolderDatastore, phantom: Phantom, truth: Measurement
) -> None:
    keep(store, phantom.label, phantom)
    path, said = run(task, store)
    source = Source("", f"{CASE}.nii", label_hash(phantom.label, phantom.affine), None)
    expected = document(truth, CASE, source)
    expected["source"]["livf"] = said["measurement"]["source"]["livf"]
    for side in SIDES:
        for name in NUMBERS:
            # The label was stored with the affine in single precision.
            assert said["measurement"]["foramina"][side][name] == pytest.approx(expected["foramina"][side][name], 1e-3)
    assert said["measurement"]["source"] == expected["source"]
    assert said["measurement"]["case"] == CASE and said["measurement"]["level_status"] == "given"
    assert said["label_names"] == {s.name: s.value for s in STRUCTURES}
    assert list(said["label_names"].values()) == sorted(said["label_names"].values())
    assert "change_from_model" not in said
    assert path.name.endswith(".nii.gz")
    shown = read(path)
    assert shown.dtype == np.uint8
    bone = shown * np.isin(shown, [s.value for s in TRAINED])
    np.testing.assert_array_equal(bone, phantom.label)


def test_foramina_lie_between_the_bones_on_their_side(phantom: Phantom, truth: Measurement) -> None:
    shown = with_foramina(phantom.label, phantom.affine, truth)
    middle = to_world(phantom.affine, np.argwhere(phantom.label == DISC.value)).mean(axis=0)
    for side, sign in (("left", -1), ("right", 1)):
        foramen = truth.foramina[side]
        solid = foramen.solid
        assert solid is not None and foramen.outline is not None
        where = shown == VALUES[side]
        assert (phantom.label[where] == BACKGROUND).all()
        places = to_world(phantom.affine, np.argwhere(where))
        assert (sign * (places - middle)[:, 0] > 0).all()
        # The outline goes round the segment's middle, in the middle of the slab.
        assert np.linalg.norm(places.mean(axis=0) - foramen.outline.ras.mean(axis=0)) < 3
        volume = where.sum() * 0.8**3
        assert volume == pytest.approx((solid.values > 0).sum() * np.prod(solid.step), rel=0.1)


@pytest.mark.parametrize(("axes", "flips"), [((2, 0, 1), (0, 2)), ((1, 2, 0), (1,))])
def test_foramina_do_not_depend_on_how_the_label_is_stored(
    phantom: Phantom, truth: Measurement, axes: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    affine = phantom.affine[:, [*axes, 3]].copy()
    label = phantom.label.transpose(axes)
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (label.shape[axis] - 1)
        affine[:3, axis] *= -1
    shown = with_foramina(np.flip(label, flips), affine, measure(np.flip(label, flips), affine))
    expected = np.flip(with_foramina(phantom.label, phantom.affine, truth).transpose(axes), flips)
    # A centre that lies on the surface to the last digit may fall on either side.
    assert np.count_nonzero(shown != expected) <= 2


def test_segments_that_came_with_a_label_are_not_kept(phantom: Phantom, truth: Measurement) -> None:
    drawn = phantom.label.copy()
    drawn[:5] = FORAMEN_RIGHT.value
    np.testing.assert_array_equal(
        with_foramina(drawn, phantom.affine, truth), with_foramina(phantom.label, phantom.affine, truth)
    )


def test_a_refused_side_has_reasons_and_no_segment(task: ForamenTask, store: FolderDatastore, phantom: Phantom) -> None:
    label = phantom.label.copy()
    disc = np.argwhere(label == DISC.value)
    middle, back = disc[:, 0].mean(), disc[:, 1].min()
    label[: int(middle), : int(back)] = BACKGROUND  # the left posterior elements
    keep(store, label, phantom)
    path, said = run(task, store)
    foramina = said["measurement"]["foramina"]
    assert foramina["left"]["status"] == "refused" and foramina["left"]["reasons"]
    assert set(foramina["left"]) == {"status", "reasons"}
    assert FORAMEN_LEFT.name not in said["label_names"]
    assert FORAMEN_LEFT.value not in np.unique(read(path))


def test_how_far_a_correction_moved_each_number(
    task: ForamenTask, store: FolderDatastore, phantom: Phantom, truth: Measurement
) -> None:
    keep(store, phantom.label, phantom, tag="original", model="livf_segmentation", params={"level_status": "unclear"})
    keep(store, thicker(phantom.label), phantom)
    path, said = run(task, store)
    path.unlink()
    after = measure(thicker(phantom.label), phantom.affine)
    for side in SIDES:
        moved = said["change_from_model"][side]
        assert set(moved) == set(NUMBERS)
        for name in NUMBERS:
            expected = getattr(after.foramina[side].numbers, name) - getattr(truth.foramina[side].numbers, name)
            assert moved[name] == pytest.approx(expected, abs=2e-3)
        assert moved["area_mm2"] < -1


def test_no_change_where_there_is_nothing_to_compare(
    task: ForamenTask, store: FolderDatastore, phantom: Phantom
) -> None:
    keep(store, phantom.label, phantom)
    other = np.roll(phantom.label, -18, axis=2)  # the network took another level
    assert not ((other == DISC.value) & (phantom.label == DISC.value)).any()
    assert measure(other, phantom.affine).measured
    keep(store, other, phantom, tag="original")
    path, said = run(task, store)
    path.unlink()
    assert said["change_from_model"] == {"left": {}, "right": {}}
    keep(store, np.where(phantom.label == L4.value, BACKGROUND, phantom.label), phantom, tag="original")
    path, said = run(task, store)
    path.unlink()
    assert said["change_from_model"] == {"left": {}, "right": {}}
    Path(store.get_label_uri(CASE, "original")).write_bytes(b"damaged")
    path, said = run(task, store)
    path.unlink()
    assert "change_from_model" not in said and said["measurement"]["foramina"]["left"]["status"] != "refused"


def test_a_final_label_that_inference_stored_is_no_annotators(
    task: ForamenTask, store: FolderDatastore, phantom: Phantom
) -> None:
    keep(store, phantom.label, phantom, model="livf_segmentation", params={"level_status": "unclear"})
    path, said = run(task, store)
    assert said["measurement"]["source"]["model"] and said["measurement"]["level_status"] == "assumed"
    assert not np.array_equal(read(path), phantom.label)


def test_a_received_file_is_not_taken_for_a_stored_image(
    task: ForamenTask, store: FolderDatastore, phantom: Phantom, tmp_path: Path
) -> None:
    keep(store, phantom.label, phantom)
    (tmp_path / "received").mkdir()
    received = tmp_path / "received" / f"{CASE}.nii"
    write_image(received, phantom.image)
    for name in (CASE, received.name):
        path, said = task({"image": str(received), "image_name": name})
        Path(path).unlink()
        assert said["measurement"]["source"]["model"]
        assert said["measurement"]["case"] == CASE


def test_markups_in_place_of_the_label(task: ForamenTask, store: FolderDatastore, phantom: Phantom) -> None:
    assert task.info()["config"] == {"result": ["label", "markups"]}
    keep(store, phantom.label, phantom)
    path, said = run(task, store, result="markups", result_extension=".nrrd")
    assert path.name.endswith(".mrk.json") and said["label_names"] == {}
    assert {node["type"] for node in json.loads(path.read_text())["markups"]} == {"ClosedCurve", "Line"}
    path.unlink()
    keep(store, np.where(phantom.label == L4.value, BACKGROUND, phantom.label), phantom)
    path, said = run(task, store, result="markups", result_extension=".nrrd")
    assert {f["reasons"][0] for f in said["measurement"]["foramina"].values()} == {"missing_structure"}
    assert path.name.endswith(".nrrd") and said["label_names"] == {s.name: s.value for s in (DISC, L5)}
    assert set(np.unique(read(path))) == {BACKGROUND, DISC.value, L5.value}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"result": "picture"}, "result: there is no choice 'picture'; give one of label, markups"),
        ({"result": ["label"]}, "result: there is no choice"),
        ({"level_at": "here"}, "level_at: is not a point"),
        ({"result_extension": ".json"}, "result_extension"),
        ({"save_label": True}, "its label is for display and is not stored; run livf_segmentation"),
    ],
)
def test_requests_that_mean_nothing(
    task: ForamenTask, store: FolderDatastore, params: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said.replace("[", r"\[")):
        run(task, store, **params)


def test_a_label_put_there_by_hand_is_checked(task: ForamenTask, store: FolderDatastore, phantom: Phantom) -> None:
    keep(store, phantom.label, phantom)
    path = Path(store.get_label_uri(CASE, "final"))
    write_label(path, phantom.label[1:], phantom.affine)
    with pytest.raises(InputError, match=rf"^{CASE}: the label has 149x180x110 voxels"):
        run(task, store)
    path.write_bytes(b"no label")
    with pytest.raises(InputError, match=rf"^{CASE}: ") as caught:
        run(task, store)
    assert str(path.parent) not in caught.value.line


@pytest.fixture(scope="module")
def shipped() -> Engine:
    """The network that livf ships."""
    if not (default_folder() / WEIGHTS_NAME).exists():
        pytest.skip("the shipped weights are not here")
    return Engine(Config(device="cpu"))


@pytest.mark.slow
def test_without_a_final_label_the_networks_is_measured(
    shipped: Engine, store: FolderDatastore, phantom: Phantom
) -> None:
    task = ForamenTask(shipped, lambda: store)
    path, said = run(task, store)
    made = shipped.segment(phantom.image, probabilities=True)
    shown = read(path)
    np.testing.assert_array_equal(shown * np.isin(shown, [s.value for s in TRAINED]), made.label)
    measured = measure(made.label, made.affine, probabilities=made.probabilities)
    assert said["measurement"]["level_status"] == "assumed"
    assert said["measurement"]["source"]["model"] == made.model
    assert said["label_names"] == {s.name: s.value for s in STRUCTURES}
    for side in SIDES:
        got = said["measurement"]["foramina"][side]
        assert got["height_mm"] == pytest.approx(measured.foramina[side].numbers.height_mm, abs=1e-2)
        # How unsure the network is of the boundary is in the standard deviations.
        without = measure(made.label, made.affine).foramina[side].sd["area_mm2"]
        assert got["sd"]["area_mm2"] == pytest.approx(measured.foramina[side].sd["area_mm2"], rel=0.02)
        assert got["sd"]["area_mm2"] > 1.02 * without


@pytest.mark.slow
def test_an_unclear_level_is_refused_until_it_is_given_or_saved(shipped: Engine, store: FolderDatastore) -> None:
    large = make_phantom(7, grid=Grid((150, 180, 150)))
    write_image(Path(store.get_image_uri(CASE)), large.image)
    task = ForamenTask(shipped, lambda: store)
    path, said = run(task, store)
    assert said["measurement"]["level_status"] == "unclear"
    assert said["measurement"]["foramina"] == {
        side: {"status": "refused", "reasons": ["level_unclear"]} for side in SIDES
    }
    assert said["label_names"] == {s.name: s.value for s in TRAINED}
    made = read(path)
    assert set(np.unique(made)) == {BACKGROUND, *(s.value for s in TRAINED)}
    disc = to_world(large.affine, np.argwhere(large.label == DISC.value)).mean(axis=0)
    path, said = run(task, store, level_at=list(disc))
    path.unlink()
    assert said["measurement"]["level_status"] == "given"
    assert {f["status"] for f in said["measurement"]["foramina"].values()} <= {"ok", "warning"}
    keep(store, made, large)  # an annotator looked at it and saved it
    path, said = run(task, store)
    path.unlink()
    assert said["measurement"]["level_status"] == "given" and said["measurement"]["source"]["model"] is None
    assert {f["status"] for f in said["measurement"]["foramina"].values()} <= {"ok", "warning"}
