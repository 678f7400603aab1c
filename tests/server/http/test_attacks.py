"""The weaknesses shown against MONAI Label's own server, tried on this one, mostly by somebody who is logged in.

Each test makes the attack and fails if it has any effect: on the answer, or on files beside the studies folder.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

pytest.importorskip("monailabel")

from livf.lib.images import read_image, write_label

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_outside_changes")]

MODEL = "livf_segmentation"
#: Where traversals lead: to files that are there, so that a success would show.
TRAVERSALS = ("../outside/secret-first", "..%2Foutside%2Fsecret-first", "....//outside/secret-first", "..\\outside\\x",
              "first/../../outside/secret-first", "./first", "first.nii.gz/", ".livf/tokens", "..", ".",
              "first\x00.png",
              "labels/../../outside/secret.txt", "\uff0e\uff0e/outside", "~/x", "file:///etc/passwd")  # fmt: skip


@pytest.mark.parametrize("uncompress", ["true", "1", "yes"])
def test_code_by_an_uploaded_bundle(closed: Any, uncompress: str) -> None:
    proof = closed.outside / "executed"
    code = f"import pathlib; pathlib.Path({str(proof)!r}).touch()"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("scripts/__init__.py", code)
        bundle.writestr("monailabel/__init__.py", code)
        bundle.writestr("sitecustomize.py", code)
    answer = closed.ask("PUT", f"/session/?uncompress={uncompress}", files={"files": ("b.zip", archive.getvalue())})
    assert answer.status_code == 400 and "archives are not unpacked" in answer.json()["detail"]
    image = (closed.studies / "first.nii.gz").read_bytes()
    session = closed.ask("PUT", "/session/", files={"files": ("i.nii.gz", image)}).json()["session_id"]
    for key in ("bundle_path", "model_path", "script", "network", "pipeline", "pre_transforms", "loader", "_target_",
                "python", "env", "PYTHONPATH", "model_dir", "checkpoint"):  # fmt: skip
        value = f"/sessions/{session}"
        answer = closed.infer({key: value})
        assert answer.status_code == 400 and f"{key}: is not a parameter" in answer.json()["detail"]
        for path in (f"/batch/infer/{MODEL}", f"/train/{MODEL}", "/train/", "/scoring/", "/scoring/x"):
            answer = closed.ask("POST", path, json={key: value, MODEL: {key: value}})
            assert answer.status_code in (400, 404) or path in ("/train/", "/scoring/"), (path, answer.text)
            closed.clean(answer)
    time.sleep(0.5)
    assert not proof.exists()


def test_unpacking_an_archive_over_the_server(closed: Any) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("../../../outside/slipped", str(closed.outside / "slipped")):
            entry = tarfile.TarInfo(name)
            entry.size = 1
            tar.addfile(entry, io.BytesIO(b"x"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(closed.outside)
        tar.addfile(link)
    for name, uncompress in (("a.tar", True), ("a.nii.gz", True), ("a.nii.gz", False), ("a.tar", False)):
        answer = closed.ask("PUT", f"/session/?uncompress={str(uncompress).lower()}",
                            files={"files": (name, archive.getvalue())})  # fmt: skip
        assert answer.status_code in (400, 422), answer.text
        closed.clean(answer)
    assert not (closed.outside / "slipped").exists()


@pytest.mark.parametrize("name", TRAVERSALS)
def test_image_ids_that_lead_elsewhere(closed: Any, name: str) -> None:
    image = (closed.studies / "first.nii.gz").read_bytes()
    coded = quote(name, safe="%")
    for method, path, rest in (
        ("GET", f"/datastore/image?image={coded}", {}),
        ("GET", f"/datastore/image/info?image={coded}", {}),
        ("PUT", f"/datastore/image/info?image={coded}", {"data": {"info": "{}"}}),
        ("PUT", f"/datastore/?image={coded}", {"files": {"file": ("a.nii.gz", image)}}),
        ("PUT", f"/datastore/image?image={coded}", {"files": {"file": ("a.nii.gz", image)}}),
        ("DELETE", f"/datastore/?id={coded}", {}),
        ("DELETE", f"/datastore/image?id={coded}", {}),
        ("DELETE", f"/datastore/label?id={coded}&tag=final", {}),
        ("GET", f"/datastore/label?label={coded}&tag=final", {}),
        ("GET", f"/datastore/label/info?label={coded}&tag=final", {}),
        ("PUT", f"/datastore/label?image={coded}", {"files": {"label": ("a.nii.gz", image)}}),
        ("POST", f"/infer/{MODEL}?image={coded}", {}),
    ):
        answer = closed.ask(method, path, **rest)
        assert 400 <= answer.status_code < 500, (method, path, answer.text[:300])
        closed.clean(answer)


@pytest.mark.parametrize("tag", [*TRAVERSALS, "/etc", "linked/../../x", "a/b"])
def test_tags_that_lead_elsewhere(closed: Any, tag: str) -> None:
    image = (closed.studies / "first.nii.gz").read_bytes()
    coded = quote(tag, safe="%")
    for method, path, rest in (
        ("PUT", f"/datastore/label?image=first&tag={coded}", {"files": {"label": ("a.nii.gz", image)}}),
        ("GET", f"/datastore/label?label=first&tag={coded}", {}),
        ("GET", f"/datastore/label/info?label=first&tag={coded}", {}),
        ("DELETE", f"/datastore/label?id=first&tag={coded}", {}),
        ("PUT", f"/datastore/label/info?label=first&tag={coded}", {"data": {"info": "{}"}}),
    ):
        answer = closed.ask(method, path, **rest)
        assert 400 <= answer.status_code < 500, (method, path, answer.text[:300])
        closed.clean(answer)
    answer = closed.infer({"save_label": True, "label_tag": tag})
    assert answer.status_code == 400 and "label_tag: is not a name" in answer.json()["detail"]
    answer = closed.ask("POST", f"/batch/infer/{MODEL}", json={"label_tag": tag})
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("image", ["linked", "text", "state"])
def test_links_in_the_studies_folder_lead_nowhere(closed: Any, image: str) -> None:
    for answer in (
        closed.ask("GET", f"/datastore/image?image={image}"),
        closed.infer({}, image),
        closed.ask("HEAD", f"/datastore/image?image={image}"),
    ):
        assert answer.status_code == 404
        closed.clean(answer)


def test_a_tag_whose_folder_is_a_link(closed: Any, tmp_path: Path) -> None:
    image = read_image(closed.studies / "first.nii.gz")
    label = np.zeros(image.shape, np.uint8)
    label[5:20, 8:14, 5:20] = 1
    write_label(tmp_path / "l.nii.gz", label, image.affine)
    content = {"files": {"label": ("l.nii.gz", (tmp_path / "l.nii.gz").read_bytes())}}
    for answer in (
        closed.ask("PUT", "/datastore/label?image=first&tag=linked", **content),
        closed.infer({"save_label": True, "label_tag": "linked"}),
        closed.ask("POST", f"/batch/infer/{MODEL}", json={"label_tag": "linked"}),
        closed.ask("DELETE", "/datastore/label?id=first&tag=linked"),
    ):
        assert answer.status_code == 404, answer.text
        closed.clean(answer)
    assert not (closed.outside / "first.nii.gz").exists()
    closed.clean(closed.ask("GET", "/datastore/label?label=first&tag=linked"))


@pytest.mark.parametrize("name", ["..", "../../outside", "x/../../outside", "1", "%2e%2e", "a" * 36, str(Path("/"))])
def test_session_ids_that_lead_elsewhere(closed: Any, name: str) -> None:
    coded = quote(name, safe="%")
    for method, path in (
        ("GET", f"/session/{coded}"), ("GET", f"/session/{coded}?image=true"), ("DELETE", f"/session/{coded}"),
        ("POST", f"/infer/{MODEL}?session_id={coded}"),
    ):  # fmt: skip
        status, body = closed.raw(method, path)
        assert 400 <= status < 500, (path, body[:300])
        assert str(closed.studies).encode() not in body and b"Traceback" not in body
    assert closed.studies.is_dir() and closed.outside.is_dir()


def test_sessions_are_bounded(closed: Any) -> None:
    image = (closed.studies / "first.nii.gz").read_bytes()
    made = [
        closed.ask("PUT", "/session/?expiry=999999", closed.reviewer, files={"files": ("i.nii.gz", image)}).json()
        for _ in range(6)
    ]
    alive = [closed.ask("GET", f"/session/{entry['session_id']}", closed.reviewer).status_code for entry in made]
    assert alive == [404, 404, 200, 200, 200, 200]
    assert all(entry["session_info"]["expiry"] <= 3600 for entry in made)
    kept = closed.studies / ".livf" / "sessions"
    assert sum(entry["session_id"] in {path.name for path in kept.iterdir()} for entry in made) == 4


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "/var/x", "a\x00", ".hidden", "x" * 100])
def test_names_of_a_training(closed: Any, name: str) -> None:
    for path in ("/train/livf_segmentation", "/train/none"):
        answer = closed.ask("POST", path, json={"name": name})
        assert answer.status_code in (400, 404)
        closed.clean(answer)
    assert closed.raw("POST", f"/train/{quote(name, safe='')}")[0] in (400, 404)


@pytest.mark.parametrize("key", ["image", "label", "image_name", "file", "session", "path", "image_path", "uri"])
def test_files_of_the_server_by_params(closed: Any, key: str) -> None:
    own = read_image(closed.studies / "first.nii.gz")
    for value in (str(closed.outside / "secret-second.mha"), "/etc/passwd", "../outside/secret-second.mha"):
        answer = closed.infer({key: value})
        closed.clean(answer)
        assert answer.status_code in (200, 400)
        if answer.status_code == 200:
            assert answer.content.count(b"\x1f\x8b")  # of the image that was asked for
    assert own.shape == read_image(closed.studies / "first.nii.gz").shape


@pytest.mark.parametrize(
    "params",
    [{"level_at": [1e400, 0, 0]}, {"level_at": ["a", 0, 0]}, {"level_at": {"a": 1}}, {"level_at": [[0, 0, 0]]},
     {"result_extension": "/../../x.nii"}, {"result_extension": ".nii.gz/../x"}, {"result_extension": ".json"},
     {"result": "x" * 10_000}, {"save_label": {"a": 1}}, {"label_tag": ["x"]}, {"eval": "1"}, {"__class__": "x"},
     "[" * 50_000, "{" * 50_000, '{"a":' * 40_000, "NaN", "null", "[]", "1", '"x"', "", '{"level_at": [NaN, 0, 0]}',
     '{"client_id": "' + "x" * 70_000 + '"}', "{'a': 1}", '{"client_id": {"$ne": 1}}'],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_params_that_mean_nothing(closed: Any, params: Any) -> None:
    answer = closed.infer(params)
    assert answer.status_code in (200, 400, 422), answer.text[:300]
    closed.clean(answer)


def test_bodies_that_mean_nothing(closed: Any) -> None:
    for body in ("[" * 50_000, "{", "[]", "1", "null", '{"a": NaN}', "\x00", '{"images": ["/etc/passwd"]}'):
        for path in ("/activelearning/random", f"/batch/infer/{MODEL}", "/train/none", "/scoring/none"):
            if path.startswith("/batch") and body == "null":
                continue  # that starts one
            answer = closed.ask("POST", path, data=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (200, 400, 404, 422), (path, body[:20], answer.text[:300])
            closed.clean(answer)


def test_uploads_that_are_no_images(closed: Any, tmp_path: Path) -> None:
    html, script = b"<html><script>alert(1)</script>", b"#!/bin/sh\nid"
    bomb = _bomb()
    for name, content in (("a.nii.gz", html), ("a.nii", script), ("a.nrrd", b"NRRD0005\ntype: uchar\n"), ("a.mha", b""),
                          ("a.html", html), ("../../outside/a.nii.gz", html), ("a.dcm", b"\0" * 128 + b"DICM"),
                          ("a.nii.gz", bomb), (".nii.gz", b"x"), ("a.nii.gz\x00.sh", script), ("", b"x")):  # fmt: skip
        for method, path, key in (("PUT", "/datastore/?image=up", "file"), ("PUT", "/session/", "files"),
                                  ("PUT", "/datastore/label?image=first", "label"),
                                  ("POST", f"/infer/{MODEL}", "file")):  # fmt: skip
            answer = closed.ask(method, path, files={key: (name, content)}, data={"params": "{}"})
            assert answer.status_code in (400, 422), (name, path, answer.status_code, answer.text[:200])
            closed.clean(answer)
    assert "up" not in closed.ask("GET", "/datastore/?output=all").json()["objects"]
    assert not [path for path in closed.received.iterdir() if path.name.startswith("livf-")]


def test_images_that_name_other_files(closed: Any) -> None:
    detached = {
        "a.nrrd": b"NRRD0004\ntype: short\ndimension: 3\nsizes: 30 36 28\nencoding: raw\ndata file: %s\n\n",
        "a.mha": b"ObjectType = Image\nNDims = 3\nDimSize = 30 36 28\nElementType = MET_SHORT\nElementDataFile = %s\n",
    }
    for name, header in detached.items():
        for target in (closed.outside / "secret.txt", Path("/etc/passwd")):
            content = header % str(target).encode()
            answer = closed.ask("POST", f"/infer/{MODEL}", files={"file": (name, content)})
            assert answer.status_code == 422, answer.text
            closed.clean(answer)


def test_patients_names_are_in_no_log(closed: Any, tmp_path: Path) -> None:
    content = _dicom(tmp_path)
    answer = closed.ask(
        "PUT", "/session/", files=[("files", (f"Mustermann{n}.dcm", data)) for n, data in enumerate(content)]
    )
    assert answer.status_code == 200, answer.text
    number = answer.json()["session_id"]
    closed.ask("POST", f"/infer/{MODEL}?session_id={number}", data={"params": "{}"})
    closed.ask("POST", f"/infer/{MODEL}", files={"file": ("one.dcm", content[0])})
    logs = [*closed.audit.glob("*"), closed.studies / ".livf" / "app" / "logs" / "app.log"]
    said = "".join(path.read_text(errors="replace") for path in logs)
    assert number or said
    assert "Mustermann^Erika" not in said and "PAT-4711" not in said


def test_what_a_client_says_about_an_image_cannot_lead_others_astray(closed: Any) -> None:
    for info in (
        {"path": "/etc/passwd"},
        {"name": "../../x"},
        {"checksum": "x"},
        {"a": [[[[[[[[[[]]]]]]]]]]},
        {"a/b": 1},
    ):
        answer = closed.ask("PUT", "/datastore/image/info?image=first", data={"info": json.dumps(info)})
        assert answer.status_code == 400, answer.text
    assert (
        closed.ask("PUT", "/datastore/image/info?image=first", data={"info": '{"difficult": true}'}).status_code == 200
    )
    said = closed.ask("GET", "/datastore/image/info?image=first").json()
    assert said["difficult"] is True and said["path"] == ""


def test_no_path_in_what_succeeds(closed: Any) -> None:
    closed.infer({"save_label": True, "label_tag": "original"})
    for path in ("/info/", "/datastore/", "/datastore/?output=all", "/datastore/?output=train", "/logs/?lines=9999",
                 "/livf/session",
                 "/datastore/image/info?image=first", "/datastore/label/info?label=first&tag=original",
                 "/auth/"):  # fmt: skip
        answer = closed.ask("GET", path)
        assert answer.status_code == 200, (path, answer.text)
        closed.clean(answer)
    closed.clean(closed.ask("POST", "/activelearning/random", json={}))
    closed.clean(closed.infer({}))


def _bomb() -> bytes:
    """A small file that claims to be, and unpacks to, far more than fits."""
    import gzip

    import nibabel as nib

    header = nib.Nifti1Header()
    header.set_data_shape((4000, 4000, 4000))
    header.set_data_dtype(np.int16)
    return gzip.compress(header.binaryblock + b"\0" * (1 << 24), 1)


def _dicom(folder: Path) -> list[bytes]:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    files = []
    for number in range(12):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        path = folder / f"{number}.dcm"
        data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        data.PatientName, data.PatientID, data.Modality = "Mustermann^Erika", "PAT-4711", "MR"
        data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = series, study, frame
        data.InstanceNumber, data.Rows, data.Columns = number + 1, 32, 32
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 3 * number], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [3, 3], 3
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 15, 0, 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.PixelData = np.random.default_rng(number).integers(0, 900, (32, 32)).astype(np.uint16).tobytes()
        pydicom.dcmwrite(path, data, enforce_file_format=True)
        files.append(path.read_bytes())
    return files
