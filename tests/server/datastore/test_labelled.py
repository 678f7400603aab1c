"""Nothing that was saved is lost, and everybody's label is kept under their name."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("monailabel")

from livf.lib.access.identity import Principal, Role, acting
from livf.lib.anatomy import DISC, L4, L5
from livf.lib.errors import InputError, LivfError, NotFoundError, OutputError
from livf.lib.images import read_label, write_image, write_label
from livf.lib.labels import Author, Parent, ReviewState, User
from livf.lib.labels.store import sha256_of
from livf.lib.server.claim import claim, release
from livf.lib.server.datastore import FolderDatastore
from livf.lib.values import Volume

AFFINE = np.diag([0.8, 0.8, 1.1, 1.0])
SHAPE = (12, 10, 8)
CASE = "Mueller^Hans"
#: Not spawned: importing MONAI Label takes long.
FORK = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")


def a_label(seed: int = 0) -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[2:5], label[5:7], label[7:10] = L4.value, DISC.value, L5.value
    label[0] = np.random.default_rng(seed).choice([0, L4.value], SHAPE[1:])
    return label


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    array = np.random.default_rng(5).integers(0, 900, SHAPE).astype(np.int16)
    write_image(folder / f"{CASE}.nii.gz", Volume(array, AFFINE))
    write_image(folder / "other.nii.gz", Volume(array, AFFINE))
    return folder


@pytest.fixture
def store(studies: Path) -> FolderDatastore:
    return open_store(studies)


def open_store(studies: Path) -> FolderDatastore:
    return FolderDatastore(studies, state=studies / ".livf", watch=False)


@pytest.fixture
def claimed(store: FolderDatastore, studies: Path) -> Iterator[FolderDatastore]:
    store.claim()
    yield store
    release(studies, studies / ".livf")


def submit(store: FolderDatastore, folder: Path, seed: int = 0, tag: str = "final", **info: Any) -> None:
    path = folder / f"submitted-{threading.get_ident()}.nii"
    write_label(path, a_label(seed), AFFINE)
    store.save_label(CASE, str(path), tag, info)


def shown(store: FolderDatastore, tag: str = "final") -> np.ndarray:
    return read_label(store.get_label_uri(CASE, tag)).array


def test_labels_of_two_users_are_both_kept(store: FolderDatastore, tmp_path: Path) -> None:
    with acting(Principal("anna", frozenset({Role.ANNOTATOR}), verified=True)):
        submit(store, tmp_path, 1, client_id="somebody else")
    submit(store, tmp_path, 2, client_id="anna", user="anna", verified=True)
    submit(store, tmp_path, 3)
    kept = store.versions.versions(CASE)
    assert [v.label.user for v in kept] == [User("anna", True), User("anna", False), User("unknown", False)]
    for version, seed in zip(kept, (1, 2, 3), strict=True):
        np.testing.assert_array_equal(read_label(version.path).array, a_label(seed))
        assert version.file_sha256 == sha256_of(version.path)
    np.testing.assert_array_equal(shown(store), a_label(3))
    told = store.get_label_info(CASE, "final")
    assert (told["version"], told["user"], told["verified"], told["state"]) == (3, "unknown", False, "final")


def test_facts_cannot_be_changed_by_a_client(store: FolderDatastore, tmp_path: Path, studies: Path) -> None:
    submit(store, tmp_path)
    store.update_label_info(CASE, "final", {"user": "rita", "verified": True, "state": "reviewed", "note": "hard"})
    for opened in (store, open_store(studies)):
        told = opened.get_label_info(CASE, "final")
        assert (told["user"], told["verified"], told["state"], told["note"]) == ("unknown", False, "final", "hard")


def test_tags_mean_states_and_final_is_what_was_reviewed_as_final(store: FolderDatastore, tmp_path: Path) -> None:
    submit(store, tmp_path, 1, tag="draft")
    submit(
        store, tmp_path, 2, tag="original", model="livf_segmentation", params={"level_status": "found", "model": "m"}
    )
    draft, network = store.versions.versions(CASE)
    assert (draft.state, draft.label.author) == (ReviewState.DRAFT, Author.ANNOTATOR)
    assert (network.state, network.label.author) == (ReviewState.DRAFT, Author.MODEL)
    assert network.label.parent == Parent(model="m")
    assert store.status()["completed"] == 0
    store.review_label(CASE, draft.number, ReviewState.FINAL, User("rita", True))
    assert store.status() == {"total": 2, "completed": 1, "label_tags": {"draft": 1, "original": 1, "final": 1}}
    np.testing.assert_array_equal(shown(store, "final"), a_label(1))
    store.review_label(CASE, draft.number, ReviewState.DRAFT, User("rita", True))
    assert store.get_label_uri(CASE, "final") == ""
    np.testing.assert_array_equal(shown(store, "draft"), a_label(1))
    with pytest.raises(NotFoundError):
        store.review_label("none", 1, ReviewState.FINAL, User("rita", True))


def test_what_a_label_began_as(store: FolderDatastore, tmp_path: Path) -> None:
    submit(store, tmp_path, client_id="a")
    store.note_answer(CASE, {"client_id": "a"}, "livf-2")
    submit(store, tmp_path, client_id="a")
    submit(store, tmp_path, client_id="b")
    submit(store, tmp_path, client_id="b", parent=2)
    parents = [version.label.parent for version in store.versions.versions(CASE)]
    assert parents == [None, Parent(model="livf-2"), None, Parent(version=2)]
    for bad, kind in ((99, NotFoundError), ("../1", InputError), (True, InputError), (-1, InputError)):
        with pytest.raises(kind):
            submit(store, tmp_path, parent=bad)
    assert len(store.versions.versions(CASE)) == 4


def test_seconds_since_it_was_handed_out(store: FolderDatastore, tmp_path: Path) -> None:
    now = int(time.time())
    strategy = {"random": {"ts": now - 600, "client_id": "a"}, "first": {"ts": now - 60, "client_id": "b"}}
    store.update_image_info(CASE, {"strategy": strategy})
    for client in ("a", "b", "c"):
        submit(store, tmp_path, client_id=client)
    seconds = [version.label.seconds_since_hand_out for version in store.versions.versions(CASE)]
    assert seconds[0] == pytest.approx(600, abs=20) and seconds[1] == pytest.approx(60, abs=20) and seconds[2] is None


def test_no_name_of_a_file_or_user_is_logged(studies: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    (studies / "labels" / "final").mkdir(parents=True)
    (studies / "labels" / "final" / f"{CASE}.nii.gz").write_bytes(b"no label")
    store = open_store(studies)
    store.claim()
    try:
        submit(store, tmp_path, client_id="hans")
        store.remove_label(CASE, "final")
        store.remove_image(CASE)
    finally:
        release(studies, studies / ".livf")
    assert "label kept" in caplog.text
    assert "mueller" not in caplog.text.lower() and "hans" not in caplog.text.lower()


def test_saves_at_once_by_threads_and_processes_are_all_kept(
    store: FolderDatastore, studies: Path, tmp_path: Path
) -> None:
    others = [FORK.Process(target=_open_and_save, args=(studies, tmp_path, seed)) for seed in (10, 20)]
    threads = [threading.Thread(target=_save, args=(store, tmp_path, seed)) for seed in (30, 40, 50)]
    for worker in (*others, *threads):
        worker.start()
    for worker in (*others, *threads):
        worker.join()
    kept = store.versions.versions(CASE)
    expected = {a_label(first + n).tobytes() for first in (10, 20, 30, 40, 50) for n in range(3)}
    assert {read_label(v.path).array.astype(np.uint8).tobytes() for v in kept} == expected and len(kept) == 15
    again = open_store(studies)
    np.testing.assert_array_equal(shown(again), read_label(kept[-1].path).array)
    assert again.get_label_info(CASE, "final")["version"] == 15


def _open_and_save(studies: Path, folder: Path, first: int) -> None:
    _save(open_store(studies), folder, first)


def _save(store: FolderDatastore, folder: Path, first: int) -> None:
    own = folder / f"worker{first}"
    own.mkdir()
    for number in range(3):
        submit(store, own, first + number)


def test_without_an_index_everything_is_found_again(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    submit(store, tmp_path, 1, label_info=[{"name": "L4"}, {"name": "disc_L4_5"}, {"name": "L5"}])
    submit(store, tmp_path, 2, tag="original")
    before = {tag: store.get_label_info(CASE, tag) for tag in ("final", "original")}
    (studies / "datastore_v2.json").unlink()
    again = open_store(studies)
    assert again.index_was == "new"
    for tag, info in before.items():
        told = again.get_label_info(CASE, tag)
        assert {key: told[key] for key in info if key != "ts"} == {key: info[key] for key in info if key != "ts"}


def test_a_start_reports_what_it_found(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    submit(store, tmp_path, 1)
    submit(store, tmp_path, 2)
    first = store.versions.version(CASE, 1).path
    first.chmod(0o644)
    first.write_bytes(b"cut")
    (studies / ".writing-0123abcd-x.nii.gz").write_bytes(b"half")
    (studies / "labels" / "final" / ".writing-89abcdef-y.nii.gz").write_bytes(b"half")
    (first.parents[1] / ".writing-01234567-entry").mkdir()
    by_hand = studies / "labels" / "final" / "other.nrrd"
    write_label(by_hand, a_label(3), AFFINE)
    again = open_store(studies)
    try:
        report = again.claim()
    finally:
        release(studies, studies / ".livf")
    assert (report.index, report.half_written, report.found) == ("read", 3, 1)
    assert [fault.entry for fault in report.faults] == [first.parent]
    assert not list(studies.rglob(".writing-*"))
    [found] = again.versions.versions("other")
    assert (found.label.author, found.state) == (Author.FOUND, ReviewState.FINAL)
    np.testing.assert_array_equal(shown(again), a_label(2))


def test_what_clients_see_is_put_right_after_a_kill_between_label_and_index(
    store: FolderDatastore, studies: Path, tmp_path: Path
) -> None:
    submit(store, tmp_path, 1)
    index = (studies / "datastore_v2.json").read_bytes()
    submit(store, tmp_path, 2)
    (studies / "datastore_v2.json").write_bytes(index)
    again = open_store(studies)
    try:
        report = again.claim()
    finally:
        release(studies, studies / ".livf")
    assert report.found == 0
    assert again.get_label_info(CASE, "final")["version"] == 2


def test_a_file_changed_by_hand_does_not_reach_the_version(
    store: FolderDatastore, studies: Path, tmp_path: Path
) -> None:
    submit(store, tmp_path, 1)
    seen = Path(store.get_label_uri(CASE, "final"))
    write_label(tmp_path / "new.nii.gz", a_label(9), AFFINE)
    seen.write_bytes((tmp_path / "new.nii.gz").read_bytes())  # in place, as some programs do
    submit(store, tmp_path, 2)
    assert [v.label.author for v in store.versions.versions(CASE)] == [Author.ANNOTATOR, Author.FOUND, Author.ANNOTATOR]
    for version, seed in zip(store.versions.versions(CASE), (1, 9, 2), strict=True):
        np.testing.assert_array_equal(read_label(version.path).array, a_label(seed))


def refusal(store: FolderDatastore, folder: Path, seed: int) -> OutputError | None:
    try:
        submit(store, folder, seed)
    except OutputError as error:
        return error
    return None


def test_a_full_disk_is_said_and_nothing_is_half_written(small_disk: Path, tmp_path: Path) -> None:
    studies = small_disk / "studies"
    studies.mkdir()
    array = np.random.default_rng(5).integers(0, 900, SHAPE).astype(np.int16)
    write_image(studies / f"{CASE}.nii.gz", Volume(array, AFFINE))
    store = open_store(studies)
    acknowledged: list[int] = []
    for seed in range(1000):
        if (refused := refusal(store, tmp_path, seed)) is not None:
            break
        acknowledged.append(seed)
    assert refused is not None, "the disk did not fill up"
    assert refused.line == f"{CASE}: there is no space left on the disk; free some space and run it again"
    assert refused.http_status == 507
    assert len(acknowledged) > 3
    assert not list(small_disk.rglob(".writing-*"))
    assert store.versions.faults(thorough=True) == ()
    kept = {read_label(v.path).array.astype(np.uint8).tobytes() for v in store.versions.versions(CASE)}
    assert kept >= {a_label(seed).tobytes() for seed in acknowledged}
    read_label(store.get_label_uri(CASE, "final"))
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    again = open_store(studies)
    submit(again, tmp_path, 5000)
    np.testing.assert_array_equal(shown(again), a_label(5000))


def test_a_disk_that_turns_read_only_is_said(small_disk: Path, tmp_path: Path) -> None:
    studies = small_disk / "studies"
    studies.mkdir()
    array = np.random.default_rng(5).integers(0, 900, SHAPE).astype(np.int16)
    write_image(studies / f"{CASE}.nii.gz", Volume(array, AFFINE))
    store = open_store(studies)
    submit(store, tmp_path, 1)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for change in (
        lambda: submit(store, tmp_path, 2),
        lambda: store.remove_label(CASE, "final"),
        lambda: store.update_label_info(CASE, "final", {"note": 1}),
        lambda: store.update_image_info(CASE, {"note": 1}),
        lambda: store.add_image("new", str(studies / f"{CASE}.nii.gz"), {}),
        lambda: store.remove_image(CASE),
    ):
        with pytest.raises(OutputError, match="read-only file system"):
            change()
    np.testing.assert_array_equal(shown(store), a_label(1))
    with pytest.raises(OutputError, match="read-only file system"):
        store.claim()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    (studies / ".livf").mkdir()
    (studies / ".livf").chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"):
        submit(store, tmp_path)


def _serve(studies: Path, state: Path, claimed: Any) -> None:
    claim(studies, state)
    claimed.set()
    time.sleep(600)


@pytest.mark.parametrize("own_state", [False, True])
def test_two_servers_on_one_folder(store: FolderDatastore, studies: Path, tmp_path: Path, own_state: bool) -> None:
    state, claimed = tmp_path / "other state" if own_state else studies / ".livf", FORK.Event()
    other = FORK.Process(target=_serve, args=(studies, state, claimed))
    other.start()
    try:
        assert claimed.wait(60)
        with pytest.raises(LivfError, match=rf"is served by another livf server \(process {other.pid} on "):
            store.claim()
    finally:
        other.kill()
        other.join()
    # The lock of a process that was killed is free by itself.
    store.claim()
    release(studies, studies / ".livf")


def test_claiming_twice_is_one_claim(claimed: FolderDatastore, studies: Path) -> None:
    claimed.claim()
    assert (studies / ".livf" / "lock").is_file() and (studies / ".livf.lock").is_file()


def test_a_restore_that_did_not_end_is_not_served(store: FolderDatastore, studies: Path) -> None:
    (studies / ".restoring-0123abcd").mkdir()
    with pytest.raises(LivfError, match="a restore into this folder did not end"):
        store.claim()


def test_what_is_the_datastores_own(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    submit(store, tmp_path)
    own = [store.get_label_uri(CASE, "final"), store.get_image_uri(CASE), store.versions.versions(CASE)[0].path]
    assert all(store.holds(path) for path in own)
    assert not store.holds(tmp_path / "submitted.nii") and not store.holds(studies)
