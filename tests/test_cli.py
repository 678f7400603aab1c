"""The command line as a whole: what it says when it cannot go on, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from livf.cli import main


def without(*barred: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run livf in an interpreter where some packages are not installed."""
    code = f"""
import importlib.abc, sys
class Barred(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {barred!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Barred())
from livf.cli import main
sys.exit(main({arguments!r}))
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)


def test_a_missing_network_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "image.nii.gz").write_bytes(b"x")
    done = without("torch", arguments=["segment", str(tmp_path / "image.nii.gz"), "-o", str(tmp_path / "l.nii.gz")])
    assert done.returncode == 1
    assert done.stderr == (
        'livf: error: torch is not installed; install livf with its network: pip install "livf[segment]"\n'
    )


@pytest.mark.parametrize("missing", ["monailabel", "uvicorn"])
def test_a_missing_server_is_one_line_with_a_remedy(missing: str, tmp_path: Path) -> None:
    done = without(missing, arguments=["serve", str(tmp_path), "--port", "0"])
    assert done.returncode == 1
    assert done.stderr.startswith(f"livf: error: {missing} is not installed; the server needs the pinned environment")
    assert done.stderr.count("\n") == 1


def test_help_and_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "not a medical device" in said
    for command in ("segment", "measure", "serve", "demo", "data"):
        assert command in said
    with pytest.raises(SystemExit) as end:
        main(["nonsense"])
    assert end.value.code == 2
