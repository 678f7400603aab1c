"""``livf server backup`` and ``restore`` as a user runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from livf.cli import main


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    (folder / ".livf" / "labels").mkdir(parents=True)
    (folder / "a.nii.gz").write_bytes(b"image")
    (folder / ".livf" / "audit.jsonl").write_text("{}\n")
    return folder


def test_round_trip(studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, target = tmp_path / "backup.tar", tmp_path / "again"
    assert main(["server", "backup", str(studies), "-o", str(file)]) == 0
    assert main(["server", "restore", str(file), "-o", str(target)]) == 0
    assert "2 files" in capsys.readouterr().out
    assert (target / "a.nii.gz").read_bytes() == b"image"
    assert (target / ".livf" / "audit.jsonl").read_text() == "{}\n"


def test_refusals_are_one_line(studies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "backup.tar"
    assert main(["server", "backup", str(studies), "-o", str(file)]) == 0
    assert main(["server", "restore", str(file), "-o", str(studies)]) == 2
    assert "is not empty; restore into a new folder" in capsys.readouterr().err
    whole = bytearray(file.read_bytes())
    whole[whole.index(b"image")] ^= 1
    file.write_bytes(whole)
    assert main(["server", "restore", str(file), "-o", str(tmp_path / "new")]) == 1
    line = capsys.readouterr().err
    assert line.startswith("livf: error: ") and line.count("\n") == 1
    assert "is damaged or not a whole backup; take another backup; nothing was restored" in line
    assert not (tmp_path / "new").exists()


def test_a_state_folder_elsewhere(tmp_path: Path, studies: Path) -> None:
    (studies / ".livf").rename(tmp_path / "state")
    file = tmp_path / "backup.tar"
    assert main(["server", "backup", str(studies), "--state", str(tmp_path / "state"), "-o", str(file)]) == 0
    assert main(["server", "restore", str(file), "-o", str(tmp_path / "s"), "--state", str(tmp_path / "t")]) == 0
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["a.nii.gz"]
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["audit.jsonl"]
