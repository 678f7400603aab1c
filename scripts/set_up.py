"""Make the virtual environment that `make` works with: the pinned packages of requirements.lock, and livf itself.

Only the standard library is used. The environment is made again when the lock, pyproject.toml, the Python or the
choice of torch has changed, or when an earlier set-up was interrupted; otherwise this ends at once.

    python scripts/set_up.py [--torch default|cpu] [--venv .venv]
"""

import sys

# Before anything that an old Python could not parse or import.
if not (3, 11) <= sys.version_info[:2] <= (3, 12):
    sys.exit(
        f"livf: needs Python 3.11 or 3.12, and this is {sys.version_info[0]}.{sys.version_info[1]}; "
        "install one and run: make PYTHON=python3.11"
    )

import argparse
import hashlib
import os
import shutil
import subprocess
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = "torch==2.13.0"
#: PyTorch's own index of builds without CUDA.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
#: What a CPU install takes at most, and some room for pip's temporary files.
NEEDED_GB = 4.0


def main() -> None:
    """Set up, or say in one line why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", choices=("default", "cpu"), default="default", help="which build of torch")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment is made")
    arguments = parser.parse_args()
    folder: Path = arguments.venv
    stamp, wanted = folder / "livf-setup", _fingerprint(arguments.torch)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    _check_room(folder)
    started = time.monotonic()
    print(f"livf: making {folder.name} (some minutes, about 2.5 GB without CUDA) ...", flush=True)
    python = _environment(folder)
    extra = ["--extra-index-url", CPU_INDEX] if arguments.torch == "cpu" else []
    wanted_torch = TORCH + "+cpu" if arguments.torch == "cpu" and sys.platform == "linux" else TORCH
    _pip(python, "torch", [*extra, wanted_torch])
    others = folder / "others.txt"
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    others.write_text("\n".join(line for line in lock if not line.startswith("torch==")))
    _pip(python, "the pinned packages", ["--no-deps", "-r", str(others)])
    _pip(python, "livf", ["--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    stamp.write_text(wanted)
    print(f"livf: ready after {time.monotonic() - started:.0f} s", flush=True)


def _fingerprint(torch: str) -> str:
    parts = [(ROOT / name).read_bytes() for name in ("requirements.lock", "pyproject.toml")]
    return hashlib.sha256(b"\0".join([*parts, sys.version.encode(), torch.encode()])).hexdigest()


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder.parent).free / 1e9
    if free < NEEDED_GB and not folder.exists():
        sys.exit(f"livf: {folder.parent} has {free:.1f} GB free and the set-up needs {NEEDED_GB:.0f}; free some space")


def _environment(folder: Path) -> Path:
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    try:
        if python.exists() and _version(python) != sys.version_info[:2]:
            shutil.rmtree(folder)
        if not python.exists():
            venv.create(folder, with_pip=True, clear=folder.exists())
    except (OSError, subprocess.CalledProcessError) as error:
        remedy = "on Debian and Ubuntu install python3-venv, else free some space"
        sys.exit(f"livf: {folder} could not be made ({error}); {remedy}")
    return python


def _version(python: Path) -> tuple[int, ...]:
    said = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
    )
    return tuple(int(part) for part in said.stdout.split())


def _pip(python: Path, what: str, arguments: list[str]) -> None:
    """Install with pip; an end in failure becomes one line."""
    print(f"livf: installing {what} ...", flush=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    log = python.parents[1] / "livf-setup.log"
    said = done.stdout + done.stderr
    try:
        log.write_text(said)
    except OSError:
        log = Path("nowhere, the disk is full")
    lowered = said.lower()
    if "no space left" in lowered or "quota exceeded" in lowered:
        reason = "the disk is full; free some space and run it again"
    elif any(word in lowered for word in ("connection", "resolve", "timed out", "unreachable", "proxy")):
        reason = "the package index cannot be reached; connect to the network (or set PIP_INDEX_URL) and run it again"
    else:
        last = next((line for line in reversed(said.splitlines()) if line.startswith("ERROR")), "pip failed")
        reason = f"{last}; run it again, or report it with the log"
    sys.exit(f"livf: {what} could not be installed: {reason} (log: {log})")


if __name__ == "__main__":
    main()
