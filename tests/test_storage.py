"""Files are whole or not there, and every refusal of the system has words."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from livf.lib.errors import LivfError, OutputError
from livf.lib.storage import write_bytes, write_text, writing


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
