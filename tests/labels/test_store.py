"""Versions are kept whole, numbered, and never changed."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from livf.lib.errors import InputError, NotFoundError, OutputError
from livf.lib.labels import Author, LabelStore, NewLabel, Parent, ReviewState, User, state_of
from livf.lib.labels.store import folder_name, sha256_of
from livf.lib.storage import write_bytes

ANNA, CLIENT = User("anna", verified=True), User("anna", verified=False)
CASE = "patient 7"


def a_label(user: User = ANNA, tag: str = "final", **more: object) -> NewLabel:
    return replace(
        NewLabel(user, Author.ANNOTATOR, tag, state_of(tag, Author.ANNOTATOR), "0" * 64, info={"label_info": [1]}),
        **more,  # type: ignore[arg-type]
    )


def keep(store: LabelStore, content: bytes = b"voxels", label: NewLabel | None = None, case: str = CASE) -> int:
    return store.add(case, label or a_label(), lambda path: write_bytes(path, content)).number


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels")


def test_what_was_kept_is_read_back(store: LabelStore, tmp_path: Path) -> None:
    label = a_label(parent=Parent(model="livf-1"), seconds_since_hand_out=61.5)
    saved = store.add(CASE, label, lambda path: write_bytes(path, b"voxels"))
    [read] = LabelStore(tmp_path / "labels").versions(CASE)
    assert read == saved
    assert (read.label, read.case, read.number, read.state) == (label, CASE, 1, ReviewState.FINAL)
    assert read.path.read_bytes() == b"voxels" and read.file_sha256 == sha256_of(read.path)
    assert read.time.utcoffset() is not None and read.time.utcoffset().total_seconds() == 0
    assert store.cases() == (CASE,)


def test_nothing_is_made_before_the_first(store: LabelStore, tmp_path: Path) -> None:
    assert store.versions(CASE) == () and store.cases() == () and store.faults() == () and store.clean() == 0
    assert not (tmp_path / "labels").exists()


def test_a_login_and_a_client_of_that_name_are_two(store: LabelStore) -> None:
    keep(store, label=a_label(ANNA))
    keep(store, label=a_label(CLIENT))
    assert [version.label.user for version in store.versions(CASE)] == [ANNA, CLIENT]


def test_ids_that_differ_in_case_or_signs_have_histories_of_their_own(store: LabelStore) -> None:
    names = ["Case 1", "case 1", "case_1", "..", "a/../b", "ä", "\udcff", "x" * 300]
    for number, name in enumerate(names):
        keep(store, str(number).encode(), case=name)
    assert len({folder_name(name) for name in names}) == len(names)
    for number, name in enumerate(names):
        [version] = store.versions(name)
        assert version.path.read_bytes() == str(number).encode()


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_version_is_read_only(store: LabelStore) -> None:
    keep(store)
    [version] = store.versions(CASE)
    assert version.path.stat().st_mode & 0o222 == 0


def test_reviews_change_the_state_and_nothing_else(store: LabelStore) -> None:
    number = keep(store, label=a_label(tag="draft"))
    before = store.version(CASE, number)
    assert (before.state, store.newest(CASE, "final")) == (ReviewState.DRAFT, None)
    reviewer = User("rita", verified=True)
    after = store.review(CASE, number, ReviewState.FINAL, reviewer)
    assert after == replace(before, reviews=after.reviews) and after.state is ReviewState.FINAL
    assert after.reviews[0].user == reviewer and after.reviews[0].time > before.time
    assert store.newest(CASE, "final") == after
    store.review(CASE, number, ReviewState.DRAFT, reviewer)
    assert store.newest(CASE, "final") is None
    with pytest.raises(NotFoundError, match="no label version 9"):
        store.review(CASE, 9, ReviewState.FINAL, reviewer)


def test_a_final_label_that_is_sent_back_gives_way_to_the_one_before(store: LabelStore) -> None:
    first, second = keep(store, b"1"), keep(store, b"2")
    assert store.newest(CASE, "final").number == second  # type: ignore[union-attr]
    store.review(CASE, second, ReviewState.DRAFT, ANNA)
    assert store.newest(CASE, "final").number == first  # type: ignore[union-attr]


def test_withdrawn_labels_stay(store: LabelStore) -> None:
    number, draft = keep(store), keep(store, label=a_label(tag="draft"))
    store.withdraw(CASE, "final", ANNA)
    assert store.newest(CASE, "final") is None
    assert store.version(CASE, number).withdrawn and not store.version(CASE, draft).withdrawn
    assert store.version(CASE, number).path.read_bytes() == b"voxels"
    again = keep(store)
    assert store.newest(CASE, "final") == store.version(CASE, again)


def test_a_network_draws_drafts() -> None:
    assert state_of("final", Author.MODEL) is ReviewState.DRAFT
    assert state_of("final", Author.FOUND) is ReviewState.FINAL
    assert state_of("anna's", Author.ANNOTATOR) is ReviewState.DRAFT


def test_a_failed_write_leaves_nothing(store: LabelStore, tmp_path: Path) -> None:
    keep(store)

    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise OutputError("there is no space left on the disk", path, "free some space")

    with pytest.raises(OutputError, match="no space"):
        store.add(CASE, a_label(), fails)
    assert len(store.versions(CASE)) == 1
    assert sorted(path.name for path in (tmp_path / "labels" / folder_name(CASE)).iterdir()) == ["000001"]


def test_what_a_killed_writer_left_is_removed(store: LabelStore, tmp_path: Path) -> None:
    keep(store)
    left = tmp_path / "labels" / folder_name(CASE) / ".writing-0123abcd-entry"
    left.mkdir()
    (left / "label.nii.gz").write_bytes(b"half")
    assert len(store.versions(CASE)) == 1 and store.faults() == ()
    assert store.clean() == 1
    assert not left.exists() and len(store.versions(CASE)) == 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda entry: (entry / "label.nii.gz").write_bytes(b"vox"), "missing or cut"),
        (lambda entry: (entry / "label.nii.gz").unlink(), "missing or cut"),
        (lambda entry: (entry / "entry.json").write_text("{"), "cannot be read"),
        (lambda entry: (entry / "entry.json").unlink(), "cannot be read"),
        (lambda entry: (entry / "entry.json").write_text("[1]"), "is not livf.label-history/1"),
        (lambda entry: change(entry, time="yesterday"), "is damaged"),
        (lambda entry: change(entry, suffix="/../../../secret"), "is damaged"),
        (lambda entry: change(entry, version=7), "not its folder's"),
        (lambda entry: change(entry, kind=None), ""),
    ],
)
def test_damage_is_found_and_the_rest_still_read(store: LabelStore, damage: object, said: str) -> None:
    keep(store, b"first"), keep(store, b"second")
    entry = store.version(CASE, 1).path.parent
    for file in entry.iterdir():
        file.chmod(0o644)
    assert callable(damage)
    damage(entry)
    assert [version.number for version in store.versions(CASE)] == [2]
    if said:
        [fault] = store.faults()
        assert fault.entry == entry and said in fault.what
    assert keep(store) == 3


def test_a_changed_byte_is_found_by_its_hash(store: LabelStore) -> None:
    keep(store, b"voxels")
    path = store.version(CASE, 1).path
    path.chmod(0o644)
    path.write_bytes(b"voxelt")
    assert store.faults() == ()
    assert [fault.what for fault in store.faults(thorough=True)] == ["its label is damaged (SHA-256)"]


def change(entry: Path, **values: object) -> None:
    known = json.loads((entry / "entry.json").read_text())
    (entry / "entry.json").write_text(json.dumps(known | values))


@pytest.mark.parametrize("info", [{"x": float("nan")}, {"x": object()}, {"x": "y" * 300_000}])
def test_what_a_client_sends_along_is_bounded_json(store: LabelStore, info: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="params"):
        keep(store, label=a_label(info=info))
    assert not (tmp_path / "labels").exists()


def test_a_clock_that_is_set_back_does_not_reorder(store: LabelStore) -> None:
    keep(store)
    entry = store.version(CASE, 1).path.parent
    (entry / "entry.json").chmod(0o644)
    change(entry, time="2999-01-01T00:00:00+00:00")
    number = keep(store)
    assert store.version(CASE, number).time > store.version(CASE, 1).time


def test_unverified_names_are_printable_and_bounded() -> None:
    assert User.unverified("a\nb\x1b[31m").name == "ab[31m"
    assert User.unverified(None).name == User.unverified(" \n").name == "unknown"
    assert len(User.unverified("x" * 5000).name) == 200


def _keep_many(folder: Path, writer: int, count: int) -> None:
    store = LabelStore(folder)
    for number in range(count):
        keep(store, f"{writer} {number}".encode())


def test_threads_and_processes_that_save_one_case_lose_nothing(store: LabelStore, tmp_path: Path) -> None:
    folder, each = tmp_path / "labels", 8
    spawn = multiprocessing.get_context("spawn")
    writers: list[threading.Thread | multiprocessing.process.BaseProcess] = [
        threading.Thread(target=_keep_many, args=(folder, writer, each)) for writer in range(3)
    ]
    writers += [spawn.Process(target=_keep_many, args=(folder, writer, each)) for writer in range(3, 5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    kept = store.versions(CASE)
    assert {version.path.read_bytes().decode() for version in kept} == {
        f"{writer} {number}" for writer in range(5) for number in range(each)
    }
    assert [version.number for version in kept] == list(range(1, 5 * each + 1))
    assert store.faults(thorough=True) == () and store.clean() == 0
