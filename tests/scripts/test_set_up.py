"""The set-up of a bare machine: one line for what can go wrong, nothing done twice, nothing half-made kept."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "set_up.py"
UNREACHABLE = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_FIND_LINKS": "",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",  # the discard port: refused at once
    "PIP_NO_CACHE_DIR": "1",
    "PIP_RETRIES": "1",
}


def set_up(folder, *options, **environment):
    """Run the script as make does."""
    return subprocess.run(
        [sys.executable, SCRIPT, "--venv", folder, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("set_up", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 13), (3, 13, 0)])
def test_another_python_is_one_line(version):
    code = f"import sys, runpy; sys.version_info = {version}; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"3.11 or 3.12, and this is {version[0]}.{version[1]}" in done.stderr


@pytest.mark.slow
def test_no_network_is_one_line_and_what_is_half_made_is_made_anew(tmp_path):
    folder = tmp_path / "env"
    done = set_up(folder, **UNREACHABLE)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot be reached; connect to the network" in done.stderr
    assert not (folder / "livf-setup").exists()
    # As an interrupted set-up leaves it: an environment without pip, which pip alone could never mend.
    for program in folder.glob("lib*/python*/site-packages/pip*"):
        program.rename(tmp_path / program.name)
    left = folder / "left"
    left.touch()
    done = set_up(folder, **UNREACHABLE)
    assert "cannot be reached" in done.stderr
    assert not left.exists()
    assert list(folder.glob("lib/python*/site-packages/pip"))


def test_what_is_set_up_already_ends_at_once(script, tmp_path, capsys):
    stamp = tmp_path / "livf-setup"
    stamp.write_text(f"cpu\n{script.fingerprint()}\n")
    for asked in ("cpu", "auto"):  # without a word, the build that was chosen first stays
        script.set_up(tmp_path, asked)
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == [stamp]


def test_an_environment_of_someone_else_is_not_removed(script, tmp_path, monkeypatch):
    venv.create(tmp_path, symlinks=os.name != "nt")
    (tmp_path / "mine").touch()
    monkeypatch.setattr(script, "_try_pip", lambda *_: "livf: stopped here")
    with pytest.raises(SystemExit, match="stopped here"):
        script.set_up(tmp_path, "auto")
    assert (tmp_path / "mine").exists()


def test_too_little_room_is_one_line(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "NEEDED_GB", {"cpu": 1e6, "cuda": 1e6})
    with pytest.raises(SystemExit, match=r"GB free and the set-up needs 1000000; free some space"):
        script.set_up(tmp_path / "env", "auto")
    assert not (tmp_path / "env").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    done = set_up(tmp_path / "env")
    tmp_path.chmod(0o700)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Permission denied" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="PyPI's build is the right one elsewhere")
@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("cuda", ["torch==2.13.0"]),
        ("cpu", ["torch==2.13.0+cpu", "torch==2.13.0+cpu --extra-index-url https://download.pytorch.org/whl/cpu"]),
    ],
)
def test_the_build_that_was_asked_for_is_the_one_that_is_installed(script, tmp_path, monkeypatch, asked, wanted):
    tried = []

    def no_such_build(python, what, *arguments):
        locks = ("-c", str(script.LOCK), str(script.CUDA_LOCK))
        tried.append(" ".join(word for word in map(str, arguments) if word not in locks))
        return "livf: ERROR: No matching distribution"

    venv.create(tmp_path, symlinks=True)
    monkeypatch.setattr(script, "_try_pip", no_such_build)
    with pytest.raises(SystemExit, match="No matching distribution"):
        script.set_up(tmp_path, asked)
    assert tried == wanted
