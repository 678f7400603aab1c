"""What clients do, on a server that lets nobody in without a login."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import numpy as np
import pytest

pytest.importorskip("monailabel")

import requests
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

from livf.lib.access.identity import Role
from livf.lib.anatomy import TRAINED
from livf.lib.export.document import label_hash
from livf.lib.images import read_image, read_label, write_image, write_label

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_outside_changes")]

MODEL = "livf_segmentation"
NAMES = [structure.name for structure in TRAINED]
#: Images that are files; the others are links, which are not served.
REAL = ("first", "second", "third")


@pytest.fixture
def client(closed: Any, tmp_path: Path) -> MONAILabelClient:
    """MONAI Label's client, as 3D Slicer's module logs it in."""
    client = MONAILabelClient(closed.url, tmpdir=str(tmp_path), client_id="user-xyz")
    assert client.auth_enabled()
    assert not client.auth_valid_token()
    client.update_auth(client.auth_token("anna", closed.annotator))
    assert client.auth_valid_token()
    return client


def given_out(client: MONAILabelClient) -> dict[str, Any]:
    """A next sample that is a file."""
    while (sample := client.next_sample("random", {}))["id"] not in REAL:
        pass
    return sample


def audited(closed: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(closed.audit.glob("*.jsonl")) for line in path.read_text().splitlines()]


def save(closed: Any, path: Path, image: str, token: str) -> requests.Response:
    return closed.ask("PUT", f"/datastore/label?image={image}&tag=final", token,
                      files={"label": ("l.nii.gz", path.read_bytes())})  # fmt: skip


def test_nobody_gets_anything_without_a_login(closed: Any, tmp_path: Path) -> None:
    client = MONAILabelClient(closed.url, tmpdir=str(tmp_path))
    for ask in (client.info, client.datastore, lambda: client.next_sample("random", {}),
                lambda: client.infer(MODEL, "first", {}), lambda: client.download_label("first", "final")):  # fmt: skip
        with pytest.raises(MONAILabelClientException, match="a login is needed"):
            ask()


def test_the_sequence_of_slicers_module(client: MONAILabelClient, closed: Any, tmp_path: Path) -> None:
    assert client.info()["labels"] == NAMES
    sample = given_out(client)
    assert sample["path"] == ""  # else the module opens a file of that name on the client
    # The module loads the image by a plain download that sends no token.
    address = f"{closed.url}/datastore/image?image={quote_plus(sample['id'])}"
    with urllib.request.urlopen(address) as answer:
        assert answer.read() == (closed.studies / sample["name"]).read_bytes()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(address)
    assert sample["id"] in client.datastore()["objects"]
    path, params = client.infer(MODEL, sample["id"], {"result_extension": ".nrrd", "result_dtype": "uint16"})
    assert params["model"] and read_label(path).shape == read_image(closed.studies / sample["name"]).shape
    label = np.zeros(read_label(path).shape, np.uint8)
    label[5:20, 8:14, 5:20], label[5:20, 14:17, 5:20], label[5:20, 17:24, 5:20] = 1, 2, 3
    write_label(tmp_path / "label.nii.gz", label, read_label(path).affine)
    segments = [{"name": name, "idx": number + 1} for number, name in enumerate(NAMES)]
    client.save_label(sample["id"], str(tmp_path / "label.nii.gz"), params={"label_info": segments})
    stored = read_label(client.download_label(sample["id"], "final"))
    np.testing.assert_array_equal(stored.array, label)
    line = audited(closed)[-1]
    assert (line["who"], line["verified"], line["action"], line["status"]) == ("anna", True, "save", 200)
    assert (line["case"], line["tag"]) == (sample["id"], "final")
    assert line["label_sha256"] == label_hash(stored.array, stored.affine)
    infers = [line for line in audited(closed) if line["route"] == "POST /infer/{model}" and line["status"] == 200]
    assert infers[-1]["who"] == "anna" and infers[-1]["model"] == params["model"]


def test_an_image_that_was_not_given_out_is_not_given_without_a_login(client: MONAILabelClient, closed: Any) -> None:
    for name in REAL:  # what was given out before
        closed.ask("GET", f"/datastore/image?image={name}", "")
    given = given_out(client)["id"]
    other = next(name for name in REAL if name != given)
    assert closed.ask("GET", f"/datastore/image?image={other}", "").status_code == 401
    assert closed.ask("HEAD", f"/datastore/image?image={given}", "").status_code == 401
    assert closed.ask("GET", f"/datastore/image/info?image={given}", "").status_code == 401
    assert closed.ask("GET", f"/datastore/image?image={given}", "").status_code == 200


def test_sessions_of_a_client_are_its_own(client: MONAILabelClient, closed: Any, tmp_path: Path) -> None:
    write_image(tmp_path / "mine.nii.gz", read_image(closed.studies / "first.nii.gz"))
    number = client.create_session(str(tmp_path / "mine.nii.gz"))["session_id"]
    assert client.get_session(number)["image"] == "mine.nii.gz"
    assert client.infer(MODEL, "", {}, session_id=number)[1]["model"]
    for method, path in (("GET", f"/session/{number}"), ("DELETE", f"/session/{number}"),
                         ("POST", f"/infer/{MODEL}?session_id={number}")):  # fmt: skip
        assert closed.ask(method, path, closed.reviewer).status_code == 404
    client.remove_session(number)
    with pytest.raises(MONAILabelClientException, match="404"):
        client.get_session(number)


def test_wrong_logins(closed: Any, tmp_path: Path) -> None:
    client = MONAILabelClient(closed.url, tmpdir=str(tmp_path))
    for name, secret in (("anna", "secret"), ("bert", closed.annotator), ("", ""), ("anna", ""), ("anna", "x" * 4000)):
        with pytest.raises(MONAILabelClientException, match="name and token do not match"):
            client.auth_token(name, secret)
    for header in ("Bearer ", "Bearer x", f"Basic {closed.admin}", closed.admin, f"Bearer {closed.admin}x",
                   f"Bearer {closed.admin} {closed.admin}"):  # fmt: skip
        answer = closed.ask("GET", "/info/", "", headers={"Authorization": header})
        assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer", header
    assert closed.ask("GET", f"/info/?access_token={closed.admin}", "").status_code == 400


def test_tokens_end(closed: Any) -> None:
    text, token = closed.tokens.create("gone", frozenset({Role.ADMIN}), 9)
    assert closed.ask("GET", "/info/", text).status_code == 200
    closed.tokens.revoke(token.id)
    answer = closed.ask("GET", "/info/", text)
    assert answer.status_code == 401 and "token: is revoked" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("who", "method", "path", "status"),
    [
        ("annotator", "GET", "/logs/", 403), ("reviewer", "GET", "/logs/", 403), ("admin", "GET", "/logs/", 200),
        ("annotator", "POST", "/train/none", 403), ("reviewer", "POST", "/train/none", 404),
        ("annotator", "DELETE", "/train/", 403), ("annotator", "GET", "/train/", 404),
        ("annotator", "POST", f"/batch/infer/{MODEL}", 403), ("reviewer", "POST", f"/batch/infer/{MODEL}", 403),
        ("annotator", "DELETE", "/datastore/?id=first", 403), ("reviewer", "DELETE", "/datastore/image?id=first", 403),
        ("annotator", "DELETE", "/datastore/label?id=first&tag=final", 403),
        ("annotator", "GET", "/datastore/dataset", 403), ("annotator", "GET", "/info/", 200),
    ],
)  # fmt: skip
def test_roles(closed: Any, who: str, method: str, path: str, status: int) -> None:
    answer = closed.ask(method, path, getattr(closed, who))
    assert answer.status_code == status, answer.text
    if status == 403:
        assert "may not" in answer.json()["detail"] and "it takes the role" in answer.json()["detail"]
        if method != "GET":
            assert audited(closed)[-1]["status"] == 403


def test_people_of_the_provider(closed: Any) -> None:
    issuer = closed.issuer
    assert closed.ask("GET", "/info/", issuer.token()).status_code == 200
    assert closed.ask("GET", "/auth/token/valid", issuer.token()).json()["roles"] == ["annotator"]
    assert closed.ask("GET", "/logs/", issuer.token()).status_code == 403
    admin = issuer.token(realm_access={"roles": ["livf-admin"]}, preferred_username="olga")
    assert closed.ask("GET", "/logs/", admin).status_code == 200
    assert closed.ask("GET", "/info/", issuer.token(realm_access={"roles": []})).status_code == 403
    for bad in (issuer.token(exp=1), issuer.token(aud="other"), issuer.token(iss="https://other"), issuer.token()[:-4]):
        assert closed.ask("GET", "/info/", bad).status_code == 401


def test_a_browser(closed: Any) -> None:
    browser = requests.Session()
    page = browser.get(closed.url)
    assert "<form" in page.text and "script" not in page.text
    login = {"username": "anna", "password": closed.annotator}
    answer = browser.post(f"{closed.url}/livf/session", data=login, headers={"Origin": closed.url})
    assert answer.status_code == 200, answer.text
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and closed.annotator not in cookie
    assert browser.get(f"{closed.url}/info/").json()["name"] == "livf"
    csrf = browser.get(f"{closed.url}/livf/session").json()["csrf"]
    ask = {"url": f"{closed.url}/activelearning/random", "json": {}}
    refused = browser.post(**ask)
    assert refused.status_code == 403 and "X-CSRF-Token" in refused.json()["detail"]
    assert browser.post(**ask, headers={"X-CSRF-Token": csrf[:-1] + "!"}).status_code == 403
    assert browser.post(**ask, headers={"X-CSRF-Token": csrf, "Origin": "https://evil.example"}).status_code == 403
    assert browser.post(**ask, headers={"X-CSRF-Token": csrf, "Origin": closed.url}).status_code == 200
    assert browser.delete(f"{closed.url}/livf/session").status_code == 403
    assert browser.delete(f"{closed.url}/livf/session", headers={"X-CSRF-Token": csrf}).status_code == 204
    old = {"Cookie": cookie.split(";")[0]}
    assert requests.get(f"{closed.url}/info/", headers=old).status_code == 401
    lines = audited(closed)
    hers = [line["action"] for line in lines if line["who"] == "anna" and line["action"] in ("login", "logout")]
    assert hers[-2:] == ["login", "logout"]


def test_a_form_is_led_back_to_the_page(closed: Any) -> None:
    answer = requests.post(f"{closed.url}/livf/session", data={"username": "anna", "password": closed.annotator},
                           headers={"Accept": "text/html", "Origin": closed.url}, allow_redirects=False)  # fmt: skip
    assert answer.status_code == 303 and answer.headers["location"] == "/"


def test_who_is_acting_reaches_the_datastore(closed: Any, client: MONAILabelClient, tmp_path: Path) -> None:
    image = read_image(closed.studies / "third.nrrd")
    label = np.zeros(image.shape, np.uint8)
    label[5:20, 8:14, 5:20] = 1
    write_label(tmp_path / "label.nii.gz", label, image.affine)
    assert save(closed, tmp_path / "label.nii.gz", "third", closed.reviewer).status_code == 200
    info = closed.ask("GET", "/datastore/label/info?label=third&tag=final").json()
    assert "rita" in json.dumps(info), info
