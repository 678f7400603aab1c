"""Files are whole or not there, and every refusal of the system has words."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from livf.lib.errors import LivfError, OutputError
from livf.lib.storage import (
    is_left_behind,
    make_folder,
    making_folder,
    publish,
    remove_left_behind,
    write_bytes,
    write_text,
    writing,
)


def test_the_target_is_replaced_only_when_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "label.nii.gz"
    target.write_text("old")
    with pytest.raises(RuntimeError), writing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    with writing(target) as temporary:
        assert temporary.name.endswith("label.nii.gz")
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_result_is_as_readable_as_any_new_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "x")
    (tmp_path / "b.txt").write_text("x")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == stat.S_IMODE((tmp_path / "b.txt").stat().st_mode)


def test_refusals_say_why(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder does not exist"):
        write_bytes(tmp_path / "none" / "a.json", b"x")
    with pytest.raises(OutputError, match="is a folder"):
        write_bytes(tmp_path, b"x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="folder is a file"):
        write_bytes(tmp_path / "file" / "a.json", b"x")
    with pytest.raises(OutputError, match="too long"):
        write_bytes(tmp_path / ("a" * 300), b"x")
    full = OutputError.from_os_error(OSError(errno.ENOSPC, "no space"), "a.nii.gz")
    assert full.line == "a.nii.gz: there is no space left on the disk; free some space and run it again"


def test_an_error_survives_the_way_between_processes() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(OutputError("what", "where", "remedy")))
    assert (error.what, error.where, error.remedy) == ("what", "where", "remedy")
    assert isinstance(error, LivfError)
    assert LivfError("two\nlines").line == "two lines"


def flushed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files and folders that are flushed from now on, in their order."""
    real, seen = os.fsync, []

    def fsync(descriptor: int) -> None:
        seen.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells what a descriptor is on Linux")
def test_file_and_folder_are_flushed_before_it_is_said_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = flushed(monkeypatch)
    make_folder(tmp_path / "a" / "b")
    assert set(seen) == {tmp_path, tmp_path / "a"}
    seen.clear()
    write_bytes(tmp_path / "a" / "x", b"1")
    assert is_left_behind(seen[0].name) and seen[1:] == [tmp_path / "a"]
    seen.clear()
    with making_folder(tmp_path / "entry") as folder:
        assert publish(folder, tmp_path / "1")
    assert seen == [folder, tmp_path]


@pytest.mark.skipif(os.name == "nt", reason="Windows flushes no folders")
@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "no space left"), (errno.EIO, "cannot be written")])
def test_what_cannot_be_flushed_is_not_said_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    (tmp_path / "a").write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=said):
        write_text(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="Windows flushes no folders")
def test_a_file_system_that_flushes_no_folders_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not here")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"


def test_a_folder_is_published_once(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with making_folder(tmp_path / "entry") as folder:
            write_text(folder / "a", content)
            assert publish(folder, tmp_path / "1") is (content == "first")
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert (tmp_path / "1" / "a").read_text() == "first"
    with pytest.raises(RuntimeError), making_folder(tmp_path / "entry"):
        raise RuntimeError
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OutputError, match="folder does not exist"), making_folder(tmp_path / "none" / "entry"):
        pass


def test_what_was_left_behind_is_removed_and_nothing_else(tmp_path: Path) -> None:
    names = (".writing-0123abcd-x.nii", ".writing-notes.txt", ".writing-0123abc-x", "a.nii", "deep/.writing-0123abcd-y")
    (tmp_path / "deep").mkdir()
    for name in names:
        (tmp_path / name).write_text("x")
    (tmp_path / ".writing-00000000-entry").mkdir()
    assert remove_left_behind(tmp_path, tmp_path / "none") == 2
    assert (tmp_path / names[-1]).exists()
    assert remove_left_behind(tmp_path, inside=True) == 1
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == [".writing-0123abc-x", ".writing-notes.txt", "a.nii", "deep"]
