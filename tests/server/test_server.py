"""The protocol against real server processes: what a client gets, and what bad input gets."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("monailabel")

import requests
from monailabel.client import MONAILabelClient

from livf.lib.anatomy import BY_NAME, FORAMEN_LEFT, FORAMEN_RIGHT, STRUCTURES, TRAINED
from livf.lib.images import read_image, read_label, write_image, write_label
from livf.lib.synthesis.phantom import Grid, make_phantom
from livf.lib.values import Volume

pytestmark = pytest.mark.slow

MODEL = "livf_segmentation"
FORAMEN = "livf_foramen"
NAMES = [structure.name for structure in TRAINED]


@pytest.fixture
def client(server: Any, tmp_path: Path) -> MONAILabelClient:
    return MONAILabelClient(server.url, tmpdir=str(tmp_path), client_id="test")


def infer(server: Any, image: str = "first", model: str = MODEL, **params: Any) -> requests.Response:
    return requests.post(f"{server.url}/infer/{model}", params={"image": image}, data={"params": json.dumps(params)})


def save(server: Any, label: Path | bytes, image: str = "first", name: str = "label.nii.gz", tag: str = "final",
         **params: Any) -> requests.Response:  # fmt: skip
    content = label if isinstance(label, bytes) else label.read_bytes()
    return requests.put(
        f"{server.url}/datastore/label",
        params={"image": image, "tag": tag},
        data={"params": json.dumps(params)},
        files={"label": (name, content)},
    )


def stored(server: Any, image: str = "first", tag: str = "final") -> np.ndarray:
    return read_label(server.studies / "labels" / tag / f"{image}.nii.gz").array


def segments(*names: str) -> list[dict[str, Any]]:
    """What 3D Slicer sends: the names in order, and an ``idx`` that counts hidden segments too."""
    return [{"name": name, "idx": 10 * (number + 1)} for number, name in enumerate(names)]


def as_slicer_exports(label: np.ndarray, names: list[str]) -> np.ndarray:
    exported = np.zeros_like(label)
    for value, name in enumerate(names, start=1):
        exported[label == BY_NAME[name].value] = value
    return exported


def refused(response: requests.Response, status: int, said: str, server: Any) -> None:
    """The answer is one line that a client can show, and tells nothing of the server's files."""
    assert response.status_code == status, response.text
    line = response.json()["detail"]
    assert said in line
    assert "\n" not in line and "Traceback" not in line
    assert str(server.studies) not in response.text and str(server.received) not in response.text


def test_info_names_the_three_structures(client: MONAILabelClient) -> None:
    info = client.info()
    assert info["name"] == "livf"
    assert info["labels"] == NAMES
    assert list(info["models"]) == [MODEL, FORAMEN]
    assert info["models"][MODEL]["labels"] == {s.name: s.value for s in TRAINED}
    assert "random" in info["strategies"]


def test_lists_every_format(client: MONAILabelClient) -> None:
    assert {"first", "second", "third"} <= set(client.datastore()["objects"])


def test_whole_cycle_of_a_client(client: MONAILabelClient, server: Any) -> None:
    sample = client.next_sample("random", {})
    assert (server.studies / sample["name"]).exists()
    path, params = client.infer(MODEL, "second", {})
    result, image = read_label(path), read_image(server.studies / "second.mha")
    assert path.endswith(".nii.gz")
    assert result.array.dtype == np.uint8 and result.shape == image.shape
    np.testing.assert_allclose(result.affine, image.affine, atol=1e-4)
    assert set(np.unique(result.array)) <= {0, *(s.value for s in TRAINED)}
    present = {s.name: s.value for s in TRAINED if (result.array == s.value).any()}
    assert params["label_names"] == present
    assert params["level_status"] in ("found", "given", "assumed", "unclear")
    assert params["model"] and isinstance(params["warnings"], list)
    voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    for structure in TRAINED:
        counted = np.count_nonzero(result.array == structure.value) * voxel_ml
        assert params["volumes_ml"][structure.name] == pytest.approx(counted, abs=1e-3)
    client.save_label("second", path, params={"label_info": segments(*NAMES)})
    back = read_label(client.download_label("second", "final"))
    np.testing.assert_array_equal(back.array, result.array)
    np.testing.assert_array_equal(back.affine, result.affine)
    assert client.info()["datastore"]["completed"] >= 1


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii"])
def test_result_in_the_format_the_client_asks_for(client: MONAILabelClient, server: Any, suffix: str) -> None:
    path, _ = client.infer(MODEL, "third", {"result_extension": suffix, "result_dtype": "uint16"})
    assert path.endswith(suffix)
    assert read_label(path).array.dtype == np.uint8


def test_a_received_image_is_segmented(server: Any, tmp_path: Path) -> None:
    image = read_image(server.studies / "first.nii.gz")
    write_image(tmp_path / "T2 1.5mm.nrrd", image)
    client = MONAILabelClient(server.url, tmpdir=str(tmp_path))
    path, _ = client.infer(MODEL, "", {}, file=str(tmp_path / "T2 1.5mm.nrrd"))
    in_store, _ = client.infer(MODEL, "first", {})
    np.testing.assert_array_equal(read_label(path).array, read_label(in_store).array)


def test_an_image_in_a_session_is_segmented(server: Any, tmp_path: Path) -> None:
    write_image(tmp_path / "mine.nii.gz", read_image(server.studies / "first.nii.gz"))
    client = MONAILabelClient(server.url, tmpdir=str(tmp_path))
    session = client.create_session(str(tmp_path / "mine.nii.gz"))["session_id"]
    path, _ = client.infer(MODEL, "", {}, session_id=session)
    assert read_label(path).shape == read_image(tmp_path / "mine.nii.gz").shape


def test_a_given_level_is_taken(client: MONAILabelClient, server: Any) -> None:
    image = read_image(server.studies / "first.nii.gz")
    middle = (image.affine @ [*(np.array(image.shape) / 2), 1])[:3]
    for given in (list(middle), ",".join(str(x) for x in middle)):
        _, params = client.infer(MODEL, "first", {"level_at": given})
        assert params["level_status"] == "given"


def test_foramina_of_a_saved_label_are_measured(client: MONAILabelClient, server: Any, tmp_path: Path) -> None:
    phantom = make_phantom(7, grid=Grid((150, 180, 110)))
    write_image(tmp_path / "phantom.nii.gz", phantom.image)
    write_label(tmp_path / "label.nii.gz", phantom.label, phantom.affine)
    client.upload_image(str(tmp_path / "phantom.nii.gz"), "phantom")
    # The untrained network finds no spine: that is an answer, with reasons.
    path, params = client.infer(FORAMEN, "phantom", {})
    assert {f["status"] for f in params["measurement"]["foramina"].values()} == {"refused"}
    assert all(f["reasons"] for f in params["measurement"]["foramina"].values())
    assert not {FORAMEN_LEFT.value, FORAMEN_RIGHT.value} & set(np.unique(read_label(path).array))
    client.infer(MODEL, "phantom", {"save_label": True, "label_tag": "original"})
    client.save_label("phantom", str(tmp_path / "label.nii.gz"), params={"label_info": segments(*NAMES)})
    path, params = client.infer(FORAMEN, "phantom", {"result": "label", "result_extension": ".nrrd"})
    assert {f["status"] for f in params["measurement"]["foramina"].values()} <= {"ok", "warning"}
    assert params["measurement"]["case"] == "phantom" and params["measurement"]["source"]["model"] is None
    assert params["change_from_model"] == {"left": {}, "right": {}}
    names = list(params["label_names"])
    assert names == [structure.name for structure in STRUCTURES]
    result = read_label(path)
    assert path.endswith(".nrrd") and set(np.unique(result.array)) == {0, *params["label_names"].values()}
    np.testing.assert_allclose(result.affine, phantom.affine, atol=1e-4)
    # Saved with its display segments, as 3D Slicer saves what it shows: they do not reach the stored label.
    client.save_label("phantom", path, params={"label_info": segments(*names)})
    np.testing.assert_array_equal(stored(server, "phantom"), phantom.label)
    path, _ = client.infer(FORAMEN, "phantom", {"result": "markups", "result_extension": ".nrrd"})
    assert path.endswith(".mrk.json") and json.loads(Path(path).read_text())["markups"]


def test_measuring_what_cannot_be_measured(server: Any) -> None:
    for image, said in (("bad-2d", "slice"), ("bad-nan", "NaN"), ("bad-cut", "damaged")):
        refused(infer(server, image, FORAMEN), 422, said, server)
    refused(infer(server, "nobody", FORAMEN), 404, "nobody: there is no such image", server)
    refused(infer(server, "first", FORAMEN, result="picture"), 400, "result: there is no choice 'picture'", server)
    refused(infer(server, "first", FORAMEN, level_at=[1, 2]), 400, "level_at: is not a point", server)
    refused(infer(server, "first", FORAMEN, save_label=True), 400, "is for display", server)
    left = [path.name for path in server.received.iterdir() if path.name.startswith("livf-")]
    assert left == []


def test_keys_a_client_echoes_mean_nothing(server: Any) -> None:
    echoed = {
        "image": "/etc/hostname",
        "model": "other",
        "label": "/etc/hostname",
        "device": "cuda:7",
        "client_id": "x",
        "restore_label_idx": False,
        "result_compress": True,
        "model_filename": "x.pt",
        "use_pretrained_model": True,
    }
    response = requests.post(f"{server.url}/infer/{MODEL}?image=first", data={"params": json.dumps(echoed)})
    assert response.status_code == 200, response.text


def test_json_output_is_the_params_alone(server: Any) -> None:
    response = requests.post(f"{server.url}/infer/{MODEL}", params={"image": "first", "output": "json"})
    assert response.json()["model"]
    response = requests.post(f"{server.url}/infer/{MODEL}", params={"image": "first", "output": "image"})
    assert response.content[:2] == b"\x1f\x8b"


def test_saved_result_outlives_the_next_inference(server: Any) -> None:
    assert infer(server, "first", save_label=True, label_tag="original").status_code == 200
    before = stored(server, tag="original")
    assert infer(server, "first").status_code == 200
    np.testing.assert_array_equal(stored(server, tag="original"), before)


@pytest.mark.parametrize(
    "names",
    [NAMES, NAMES[::-1], NAMES[1:], [NAMES[2], NAMES[0]], [NAMES[1]], ["foramen_left", *NAMES]],
    ids=["as served", "reordered", "L4 deleted", "disc deleted and reordered", "disc alone", "foramen added"],
)
def test_labels_are_stored_by_name(server: Any, tmp_path: Path, names: list[str], a_label: np.ndarray) -> None:
    kept = [BY_NAME[name].value for name in names]
    write_label(
        tmp_path / "label.nrrd", as_slicer_exports(a_label, names), read_image(server.studies / "first.nii.gz").affine
    )
    response = save(server, tmp_path / "label.nrrd", name="x.nrrd", label_info=segments(*names))
    assert response.status_code == 200, response.text
    np.testing.assert_array_equal(stored(server), np.where(np.isin(a_label, kept), a_label, 0))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([*NAMES, "Segment_1"], "no structure 'Segment_1'; the structures are L4, disc_L4_5, L5"),
        (["L4", "L4", "L5"], "the structure 'L4' comes twice"),
        (NAMES[:2], "the value 3, which has no name"),
    ],
)
def test_names_that_cannot_be_stored(
    server: Any, tmp_path: Path, names: list[str], said: str, a_label: np.ndarray
) -> None:
    affine = read_image(server.studies / "first.nii.gz").affine
    write_label(tmp_path / "good.nii.gz", a_label, affine)
    assert save(server, tmp_path / "good.nii.gz", tag="names", label_info=segments(*NAMES)).status_code == 200
    refused(save(server, tmp_path / "good.nii.gz", tag="names", label_info=segments(*names)), 422, said, server)
    np.testing.assert_array_equal(stored(server, tag="names"), a_label)


def test_labels_that_cannot_be_stored(server: Any, tmp_path: Path, a_label: np.ndarray) -> None:
    affine = read_image(server.studies / "first.nii.gz").affine
    path = tmp_path / "label.nii.gz"
    write_label(path, a_label[:-1], affine)
    refused(save(server, path), 422, "first: the label has 29x36x28 voxels, the image 30x36x28", server)
    write_label(path, a_label, np.diag([2, 2, 2, 1.0]))
    refused(save(server, path), 422, "mm away from the image's", server)
    write_label(path, a_label, affine)
    refused(save(server, path, image="nobody"), 404, "nobody: there is no such image", server)
    refused(save(server, path, tag="../../x"), 400, "tag: is not a name", server)
    refused(save(server, b""), 422, "empty", server)
    refused(save(server, b"no label"), 422, "first: ", server)
    refused(save(server, path, name="label.seg.nrrd"), 422, ".seg.nrrd", server)
    refused(save(server, path, name="label.png"), 422, "label.png: is not an image livf reads", server)
    write_label(path, np.zeros_like(a_label), affine)
    refused(save(server, path), 422, "the label is empty", server)
    write_image(path, Volume(np.where(a_label > 2, 4, a_label).astype(np.int16), affine))
    refused(save(server, path), 422, "the value 4, which has no name", server)


@pytest.mark.parametrize(
    ("image", "said"),
    [("bad-2d", "slice"), ("bad-4d", "4"), ("bad-nan", "NaN"), ("bad-constant", "same value"),
     ("bad-text", "not a NIfTI"), ("bad-empty", "empty"), ("bad-cut", "damaged")],
)  # fmt: skip
def test_images_that_are_none(server: Any, image: str, said: str) -> None:
    response = infer(server, image)
    refused(response, 422, said, server)
    assert response.json()["detail"].startswith(f"{image}: ")


def check_bad_requests(server: Any) -> None:
    """What is wrong with a request is said; nothing of it reaches the server's files."""
    url = server.url
    refused(infer(server, "nobody"), 404, "nobody: there is no such image", server)
    refused(infer(server, "/etc/hostname"), 400, "image: is not an image's id", server)
    refused(
        infer(server, str(server.studies / "first.nii.gz").replace("/", "//")),
        400,
        "image: is not an image's id",
        server,
    )
    refused(infer(server, model="spleen"), 404, "spleen: there is no such model; the models are livf_segmen", server)
    refused(infer(server, level_at="here"), 400, "level_at: is not a point", server)
    refused(infer(server, level_at=[1, 2]), 400, "level_at: is not a point", server)
    refused(infer(server, level_at=[1, 2, float("nan")]), 400, "level_at: is not a point", server)
    refused(infer(server, result_extension=".json"), 400, "result_extension", server)
    refused(infer(server, result_extension=7), 400, "result_extension", server)
    refused(infer(server, bundle_path="x"), 400, "bundle_path: is not a parameter; the parameters are ", server)
    for params in ("{", "[1]", "7"):
        refused(requests.post(f"{url}/infer/{MODEL}?image=first", data={"params": params}), 400, "params", server)
    refused(requests.post(f"{url}/infer/{MODEL}"), 400, "names no image", server)
    refused(requests.post(f"{url}/infer/{MODEL}?session_id=../x"), 400, "is not a session's id", server)
    refused(requests.post(f"{url}/infer/{MODEL}?image=first&output=dicom_seg"), 400, "DICOMweb", server)
    refused(requests.post(f"{url}/infer/{MODEL}?image=first&output=pdf"), 400, "output", server)
    refused(requests.post(f"{url}/infer/wsi_v2/{MODEL}?image=first", data={"wsi": "{"}), 404, "whole-slide", server)
    for content, name in ((b"", "a.nii.gz"), (b"text", "a.nii.gz"), (b"text", "../../a.png"), (b"text", "a\\b.mha")):
        response = requests.post(f"{url}/infer/{MODEL}", files={"file": (name, content)})
        refused(response, 422, name.replace("\\", "/").rsplit("/", 1)[-1], server)
    refused(requests.put(f"{url}/datastore/", files={"file": ("a.nii.gz", b"text")}), 422, "a: ", server)
    refused(requests.put(f"{url}/datastore/label?image=first", files={"label": ("a.mha", b"")}), 422, "first", server)
    refused(requests.delete(f"{url}/datastore/?id=nobody"), 404, "nobody", server)
    refused(requests.delete(f"{url}/datastore/label?id=nobody&tag=final"), 404, "nobody", server)
    refused(requests.get(f"{url}/datastore/image?image=nobody"), 404, "", server)
    refused(requests.get(f"{url}/datastore/label?label=first&tag=none"), 404, "", server)
    refused(requests.put(f"{url}/datastore/image/info?image=first", data={"info": "{"}), 400, "info", server)
    refused(requests.put(f"{url}/datastore/image/info?image=nobody", data={"info": "{}"}), 404, "nobody", server)
    refused(requests.post(f"{url}/activelearning/clever"), 404, "clever: there is no such strategy", server)
    refused(requests.post(f"{url}/train/none?run_sync=true"), 404, "none", server)
    refused(
        requests.put(f"{url}/model/{MODEL}", files={"file": ("a.pt", b"x")}), 404, "models are not exchanged", server
    )
    refused(requests.put(f"{url}/session/?uncompress=true", files={"files": ("a.tar", b"x")}), 400, "archives", server)
    refused(requests.put(f"{url}/session/", files={"files": ("a.nii", b"x")}), 422, "a.nii: ", server)
    refused(requests.get(f"{url}/proxy/dicom/studies"), 404, "no DICOMweb store", server)
    assert infer(server, "first").status_code == 200, "the server does not live on"


def test_bad_requests(server: Any) -> None:
    check_bad_requests(server)


def test_nothing_received_is_left_behind(server: Any) -> None:
    infer(server, "first")
    requests.post(f"{server.url}/infer/{MODEL}", files={"file": ("a.nii.gz", b"text")})
    left = [path.name for path in server.received.iterdir() if path.name.startswith("livf-")]
    assert left == []


def test_two_samples_within_a_second(server: Any) -> None:
    for _ in range(5):
        response = requests.post(f"{server.url}/activelearning/random", json={})
        assert response.status_code == 200, response.text


def test_other_requests_are_answered_while_one_infers(server: Any) -> None:
    done: list[float] = []

    def work() -> None:
        for _ in range(3):
            assert infer(server, "first").status_code == 200
        done.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.05)
    waited = []
    while thread.is_alive():
        start = time.monotonic()
        requests.get(f"{server.url}/datastore/")
        waited.append(time.monotonic() - start)
    thread.join()
    one_inference = infer(server, "first").elapsed.total_seconds()
    assert len(waited) > 3 and np.median(waited) < one_inference / 2


def test_an_added_image_can_be_used(server: Any, tmp_path: Path) -> None:
    write_image(tmp_path / "added.mha", read_image(server.studies / "first.nii.gz"))
    client = MONAILabelClient(server.url, tmpdir=str(tmp_path))
    assert client.upload_image(str(tmp_path / "added.mha"), "added")["image"] == "added"
    assert infer(server, "added").status_code == 200
    with requests.get(f"{server.url}/datastore/image?image=added") as response:
        assert response.content == (tmp_path / "added.mha").read_bytes()


def test_batch_inference_in_a_process_of_its_own(server: Any) -> None:
    body = {"device": "cuda", "multi_gpu": True, "gpus": "all", "label_tag": "batch"}
    response = requests.post(f"{server.url}/batch/infer/{MODEL}?images=all", json=body)
    assert response.status_code == 200, response.text
    end = time.monotonic() + 180
    while (status := requests.get(f"{server.url}/batch/infer").json())["status"] in ("SUBMITTED", "RUNNING"):
        assert time.monotonic() < end, status
        time.sleep(0.5)
    assert status["status"] == "DONE", status["details"]
    read_label(server.studies / "labels" / "batch" / "second.nii.gz")
    assert not (server.studies / "labels" / "batch" / "bad-nan.nii.gz").exists()
    while "batch" not in requests.get(f"{server.url}/datastore/").json()["label_tags"]:
        assert time.monotonic() < end, "the server does not see labels that another process stored"
        time.sleep(0.2)


def test_answers_cannot_be_read_from_another_origin(server: Any) -> None:
    for answer in (
        requests.get(f"{server.url}/info/", headers={"Origin": "http://viewer"}),
        requests.post(f"{server.url}/infer/none?image=first", headers={"Origin": "http://viewer"}),
    ):
        refused(answer, 403, "this page: may not use this server", server)
        assert "access-control-allow-origin" not in answer.headers


def test_nothing_of_ours_but_images_and_labels_is_in_the_studies_folder(server: Any) -> None:
    names = {path.name for path in server.studies.iterdir() if path.is_dir()}
    assert names <= {"labels", ".livf"}


def test_the_stock_start_command(stock_server: Any, tmp_path: Path, a_label: np.ndarray) -> None:
    client = MONAILabelClient(stock_server.url, tmpdir=str(tmp_path))
    assert client.info()["labels"] == NAMES
    path, params = client.infer(MODEL, "second", {"result_extension": ".nrrd"})
    assert params["model"] and read_label(path).shape == a_label.shape
    names = NAMES[::-1]
    affine = read_image(stock_server.studies / "first.nii.gz").affine
    write_label(tmp_path / "label.nii.gz", as_slicer_exports(a_label, names), affine)
    client.save_label("first", str(tmp_path / "label.nii.gz"), params={"label_info": segments(*names)})
    np.testing.assert_array_equal(read_label(client.download_label("first", "final")).array, a_label)
    check_bad_requests(stock_server)
