"""Make the virtual environment that `make` works with: the pinned packages of requirements.lock, and livf itself.

Only the standard library is used. This ends at once when there is nothing to do. The environment is brought up to date
when the lock, pyproject.toml or the Python's release has changed, and made anew when an earlier set-up was interrupted,
the Python is another one, or the other build of torch is asked for.

    python scripts/set_up.py [--torch auto|cpu|cuda] [--venv .venv]
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
import re
import shutil
import subprocess
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
CUDA_LOCK = ROOT / "requirements-cuda.lock"
TORCH = "torch==2.13.0"
#: PyTorch's own index of builds without CUDA; PyPI has only the CUDA build for Linux.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
#: What an install takes, and room for pip's temporary files: without CUDA, and with it.
NEEDED_GB = {"cpu": 4.0, "cuda": 9.0 if sys.platform == "linux" else 4.0}
_UNREACHABLE = re.compile(
    r"connection(?:error| broken| refused| reset| aborted)|newconnection|timed out|timeout|name resolution"
    r"|network is unreachable|proxyerror|sslerror",
    re.IGNORECASE,
)
_FULL = re.compile(r"no space left|quota exceeded", re.IGNORECASE)


def main() -> None:
    """Set up, or say in one line why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", choices=("auto", "cpu", "cuda"), default="auto", help="which build of torch (Linux)")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment is made")
    arguments = parser.parse_args()
    try:
        set_up(arguments.venv, arguments.torch)
    except KeyboardInterrupt:
        print("livf: the set-up was stopped; run it again to redo it", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        what = f"{error.filename or arguments.venv}: {error.strerror or error}"
        sys.exit(f"livf: {what}; free some space, or make that folder writable, and run it again")


def set_up(folder: Path, torch: str) -> None:
    """Bring the environment in ``folder`` to what the lock says.

    Args:
        folder: The virtual environment; need not exist.
        torch: ``cpu``, ``cuda`` (what the package index gives), or ``auto``: as it was made, else by the host.
    """
    stamp, unfinished = folder / "livf-setup", folder / "livf-setup-unfinished"
    made_build, made_from = [*(stamp.read_text().split() if stamp.exists() else ()), "", ""][:2]
    build = (made_build or _build_for_this_host()) if torch == "auto" else torch
    if (made_build, made_from) == (build, fingerprint()):
        return
    started = time.monotonic()
    remake = (
        unfinished.exists() or made_build not in ("", build) or _version(folder) not in (None, sys.version_info[:2])
    )
    if remake:
        print(f"livf: removing {folder}: unfinished, or of another Python or torch ...", flush=True)
        shutil.rmtree(folder)
    _check_room(folder, build)
    print(f"livf: setting up {folder} (some minutes the first time) ...", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    # From here to the end the folder is marked as one not to be trusted.
    unfinished.touch()
    stamp.unlink(missing_ok=True)
    python = _environment(folder)
    build = _install_torch(python, build, may_be_other=torch == "auto")
    _pip(python, "the pinned packages", "--no-deps", "-r", LOCK)
    _pip(python, "livf", "--no-deps", "--no-build-isolation", "-e", ROOT)
    unfinished.unlink()
    stamp.write_text(f"{build}\n{fingerprint()}\n")
    print(f"livf: ready after {time.monotonic() - started:.0f} s", flush=True)


def fingerprint() -> str:
    """Hash of all that an environment is made from."""
    sources = (LOCK, CUDA_LOCK, ROOT / "pyproject.toml")
    parts = [*(source.read_bytes() for source in sources), sys.version.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _build_for_this_host() -> str:
    """``cpu`` on Linux without an NVIDIA driver; elsewhere PyPI's build is the right one."""
    driver = any(Path(sign).exists() for sign in ("/dev/nvidiactl", "/usr/lib/wsl/lib/nvidia-smi"))
    return "cpu" if sys.platform == "linux" and not driver else "cuda"


def _check_room(folder: Path, build: str) -> None:
    parent = next(above for above in folder.resolve().parents if above.exists())
    free = shutil.disk_usage(parent).free / 1e9
    needed = NEEDED_GB[build]
    if free < needed and not folder.exists():
        sys.exit(f"livf: {parent} has {free:.1f} GB free and the set-up needs {needed:.0f}; free some space")


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _version(folder: Path) -> tuple[int, ...] | None:
    """Python of the environment; None where there is no environment, () where its Python no longer runs."""
    if not (folder / "pyvenv.cfg").exists():
        return None
    code = "import sys; print(*sys.version_info[:2])"
    try:
        said = subprocess.run([_python(folder), "-c", code], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ()
    return tuple(int(part) for part in said.split())


def _environment(folder: Path) -> Path:
    if _version(folder) is None:
        try:
            venv.create(folder, with_pip=True)
        except subprocess.CalledProcessError:
            # What ensurepip said is lost with its process; these are the two causes that were met.
            remedy = "on Debian and Ubuntu install python3-venv, else free some space; then run it again"
            sys.exit(f"livf: pip could not be put into {folder}; {remedy}")
    return _python(folder)


def _install_torch(python: Path, build: str, *, may_be_other: bool) -> str:
    """Install torch with its dependencies as the lock pins them; give the build that it is.

    A source of packages that pip is set to (a folder of wheels, a mirror) may hold the CPU build, so it is asked first,
    then PyTorch's own index. Where neither has it, ``may_be_other`` lets pip take the other build, and says so.
    """
    if build == "cpu" and sys.platform == "linux":
        cpu = (f"{TORCH}+cpu", "-c", str(LOCK))
        failure = _try_pip(python, "torch without CUDA", *cpu)
        if failure and "cannot be reached" not in failure:
            failure = _try_pip(python, "torch without CUDA, from PyTorch's index", *cpu, "--extra-index-url", CPU_INDEX)
            if failure and may_be_other:
                print("livf: no build without CUDA can be had here; taking the one with CUDA, 4 GB more", flush=True)
                return _install_torch(python, "cuda", may_be_other=False)
        if failure:
            sys.exit(failure)
        return build
    _pip(python, "torch", TORCH, "-c", LOCK, "-c", CUDA_LOCK)
    return build


def _pip(python: Path, what: str, *arguments: str | Path) -> None:
    if failure := _try_pip(python, what, *arguments):
        sys.exit(failure)


def _try_pip(python: Path, what: str, *arguments: str | Path) -> str:
    """Install with pip; give one line that says why it failed, or nothing."""
    print(f"livf: installing {what} ...", flush=True)
    folder = python.parents[1]
    # pip unpacks beside where it installs, so that one disk is filled, and it is the one that was looked at.
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    shutil.rmtree(temporary, ignore_errors=True)
    if done.returncode == 0:
        return ""
    said = done.stdout + done.stderr
    if _FULL.search(said):
        return f"livf: {what} could not be installed: the disk of {folder} is full; free some space and run it again"
    log = folder / "livf-setup.log"
    log.write_text(said)
    if _UNREACHABLE.search(said):
        index = CPU_INDEX if CPU_INDEX in arguments else "the package index"
        reason = f"{index} cannot be reached; connect to the network (or set PIP_INDEX_URL) and run it again"
    else:
        last = next((line for line in reversed(said.splitlines()) if line.startswith("ERROR")), "pip failed")
        reason = f"{last}; run it again, or report it with the log"
    return f"livf: {what} could not be installed: {reason} (log: {log})"


if __name__ == "__main__":
    main()
