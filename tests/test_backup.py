"""A backup comes back byte for byte, or is refused."""

from __future__ import annotations

import io
import json
import os
import random
import tarfile
import threading
from pathlib import Path

import pytest

from livf.lib.backup import back_up, restore, unfinished
from livf.lib.errors import InputError, LivfError, NotFoundError, UsageError
from livf.lib.labels import Author, LabelStore, NewLabel, ReviewState, User
from livf.lib.storage import write_bytes

ANNA = User("anna", verified=True)


def save(state: Path, case: str, content: bytes) -> None:
    label = NewLabel(ANNA, Author.ANNOTATOR, "final", ReviewState.FINAL, "0" * 64)
    LabelStore(state / "labels").add(case, label, lambda path: write_bytes(path, content))


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    fill(folder, folder / ".livf")
    return folder


def fill(studies: Path, state: Path) -> None:
    (studies / "labels" / "final").mkdir(parents=True)
    (studies / "series 1").mkdir()
    (studies / "a.nii.gz").write_bytes(os.urandom(3000))
    (studies / "series 1" / "ä.dcm").write_bytes(b"")
    (studies / "labels" / "final" / "a.nii.gz").write_bytes(b"voxels")
    (studies / "datastore_v2.json").write_text("{}")
    save(state, "a", b"voxels")
    (state / "tokens.json").write_text("hashes")
    (state / "tokens.json").chmod(0o600)
    for name in ("app", "converted", "sessions"):
        (state / name).mkdir()
        (state / name / "x").write_text("made anew")
    (state / "lock").write_text("mine")
    (studies / ".livf.lock").write_text("mine")
    (studies / ".lock").write_text("")
    (studies / ".writing-0123abcd-b.nii.gz").write_bytes(b"half")


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kept(studies: Path) -> dict[str, bytes]:
    """What a restore has to bring back."""
    left_out = (".livf/app/", ".livf/converted/", ".livf/sessions/", ".livf/lock", ".livf.lock", ".lock", ".writing-")
    return {name: data for name, data in content(studies).items() if not name.startswith(left_out)}


def test_round_trip(studies: Path, tmp_path: Path) -> None:
    file, target = tmp_path / "backup.tar", tmp_path / "new" / "studies"
    written = back_up(studies, studies / ".livf", file)
    read = restore(file, target, target / ".livf")
    assert content(target) == kept(studies)
    assert (
        (written.files, written.size)
        == (read.files, read.size)
        == (
            len(kept(studies)),
            sum(map(len, kept(studies).values())),
        )
    )
    assert [version.label.user for version in LabelStore(target / ".livf" / "labels").versions("a")] == [ANNA]
    assert LabelStore(target / ".livf" / "labels").faults(thorough=True) == ()
    assert not unfinished(target)
    if os.name == "posix":
        assert file.stat().st_mode & 0o077 == 0, "a backup has patients' images and the hashes of tokens"
        assert (target / ".livf" / "tokens.json").stat().st_mode & 0o777 == 0o600


def test_a_state_folder_elsewhere(tmp_path: Path) -> None:
    studies, state = tmp_path / "studies", tmp_path / "state"
    fill(studies, state)
    back_up(studies, state, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "s2", tmp_path / "t2")
    assert set(content(tmp_path / "t2")) == {n for n in content(state) if n.startswith(("labels/", "tokens"))}
    assert set(content(tmp_path / "s2")) == set(kept(studies))
    (tmp_path / "inside").mkdir()
    restore(tmp_path / "backup.tar", tmp_path / "inside", tmp_path / "inside" / ".livf")
    assert (tmp_path / "inside" / ".livf" / "tokens.json").read_text() == "hashes"


def refuses(file: Path, target: Path) -> bool:
    try:
        restore(file, target, target / ".livf")
    except InputError:
        return True
    return False


def test_a_damaged_byte_is_never_restored(studies: Path, tmp_path: Path) -> None:
    file, target = tmp_path / "backup.tar", tmp_path / "restored"
    back_up(studies, studies / ".livf", file)
    whole, expected = file.read_bytes(), kept(studies)
    rng, refused = random.Random(4), 0
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        if refuses(file, target):
            refused += 1
            assert not target.exists()
            continue
        # Some bytes of a tar file mean nothing: the padding between files.
        assert content(target) == expected
        tree = sorted(target.rglob("*"), reverse=True)
        for path in tree:
            path.rmdir() if path.is_dir() else path.unlink()
        target.rmdir()
    assert refused > 10


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.9])
def test_a_cut_file_is_refused(studies: Path, tmp_path: Path, share: float) -> None:
    file = tmp_path / "backup.tar"
    back_up(studies, studies / ".livf", file)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(InputError, match="is damaged or not a whole backup"):
        restore(file, tmp_path / "restored", tmp_path / "restored" / ".livf")
    assert not (tmp_path / "restored").exists()


def test_only_into_an_empty_folder(studies: Path, tmp_path: Path) -> None:
    back_up(studies, studies / ".livf", tmp_path / "backup.tar")
    before = content(studies)
    with pytest.raises(UsageError, match="is not empty"):
        restore(tmp_path / "backup.tar", studies, studies / ".livf")
    assert content(studies) == before
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "mine").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        restore(tmp_path / "backup.tar", tmp_path / "new", tmp_path / "state")
    assert not (tmp_path / "new").exists()
    with pytest.raises(NotFoundError):
        restore(tmp_path / "none.tar", tmp_path / "new", tmp_path / "new" / ".livf")


def hostile(file: Path, member: tarfile.TarInfo, data: bytes = b"owned") -> None:
    """A tar file as livf writes it, with one more member that its list knows."""
    import hashlib

    if member.isreg():
        member.size = len(data)
    files = {member.name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    manifest = json.dumps({"schema": "livf.backup/1", "files": files}).encode()
    with tarfile.open(file, "w") as archive:
        archive.addfile(member, io.BytesIO(data) if member.isreg() else None)
        for name, said in (
            ("manifest.json", manifest),
            ("manifest.sha256", hashlib.sha256(manifest).hexdigest().encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(said)
            archive.addfile(entry, io.BytesIO(said))


@pytest.mark.parametrize(
    "name",
    [
        "../out",
        "/tmp/out",
        "studies/../../out",
        "studies/a/../../../out",
        "elsewhere/out",
        "studies",
        "studies/",
        "/studies/x",
    ],
)
def test_members_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    hostile(tmp_path / "bad.tar", tarfile.TarInfo(name))
    with pytest.raises(InputError, match=r"holds what no backup of livf holds|is damaged"):
        restore(tmp_path / "bad.tar", tmp_path / "deep" / "new", tmp_path / "deep" / "new" / ".livf")
    assert not list(tmp_path.rglob("out")) and not (tmp_path / "deep" / "new").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_members_that_are_no_files_are_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("studies/x")
    member.type, member.linkname = kind, "/etc/passwd"
    hostile(tmp_path / "bad.tar", member)
    with pytest.raises(InputError, match="holds what no backup of livf holds"):
        restore(tmp_path / "bad.tar", tmp_path / "new", tmp_path / "new" / ".livf")
    assert not (tmp_path / "new").exists()


def test_the_target_is_elsewhere(studies: Path) -> None:
    with pytest.raises(UsageError, match="lies in what is backed up"):
        back_up(studies, studies / ".livf", studies / "backup.tar")
    with pytest.raises(NotFoundError):
        back_up(studies / "none", studies / "none" / ".livf", studies.parent / "backup.tar")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_left_out_and_counted(studies: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (studies / "link.nii").symlink_to(tmp_path / "secret")
    (studies / "folder").symlink_to(tmp_path)
    os.link(studies / "a.nii.gz", studies / "second-name.nii.gz")
    summary = back_up(studies, studies / ".livf", tmp_path / "backup.tar")
    assert summary.links == 2
    restore(tmp_path / "backup.tar", tmp_path / "new", tmp_path / "new" / ".livf")
    assert (tmp_path / "new" / "second-name.nii.gz").read_bytes() == (studies / "a.nii.gz").read_bytes()
    assert not os.path.lexists(tmp_path / "new" / "link.nii")


def test_while_labels_are_saved(studies: Path, tmp_path: Path) -> None:
    state, stop = studies / ".livf", threading.Event()

    def go_on() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            voxels = f"voxels {number}".encode() * 100
            save(state, "a", voxels)
            write_bytes(studies / "labels" / "final" / "a.nii.gz", voxels)
            with (state / "audit.jsonl").open("ab") as log:
                log.write(voxels + b"\n")

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        for attempt in range(5):
            file, target = tmp_path / f"{attempt}.tar", tmp_path / f"restored{attempt}"
            back_up(studies, state, file)
            restore(file, target, target / ".livf")
            store = LabelStore(target / ".livf" / "labels")
            assert store.faults(thorough=True) == ()
            shown = (target / "labels" / "final" / "a.nii.gz").read_bytes()
            assert shown in {version.path.read_bytes() for version in store.versions("a")}
    finally:
        stop.set()
        thread.join()


def test_a_full_disk_leaves_nothing(studies: Path, small_disk: Path, tmp_path: Path) -> None:
    (studies / "big.nii").write_bytes(os.urandom(600_000))
    with pytest.raises(LivfError, match="no space left"):
        back_up(studies, studies / ".livf", small_disk / "backup.tar")
    assert not list(small_disk.iterdir())
    back_up(studies, studies / ".livf", tmp_path / "backup.tar")
    with pytest.raises(LivfError, match="no space left"):
        restore(tmp_path / "backup.tar", small_disk / "new", small_disk / "new" / ".livf")
    assert not list(small_disk.iterdir())
