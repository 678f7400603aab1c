"""A run's folder: what a training was told, what it ran on, and whether a second call means the same training."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from livf.lib.errors import InputError, UsageError
from livf.lib.storage import write_text
from livf.version import __version__

CONFIG: Final = "config.json"
SPLIT: Final = "split.json"
ENVIRONMENT: Final = "environment.json"
NUMERICS: Final = "numerics.json"
MODEL: Final = "model"
FORMAT: Final = "livf.run/1"

_PACKAGES: Final = ("torch", "monai", "numpy", "scipy", "nibabel", "SimpleITK", "safetensors", "scikit-image")
#: Values that may differ between two calls of one training.
_FREE: Final = ("dataset",)


def read_json(path: Path) -> dict[str, Any]:
    """Read a document of the run.

    Raises:
        InputError: It is missing or damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("cannot be read", path, "use the folder of a training, or start in a new one") from error
    if not isinstance(document, dict):
        raise InputError("is no JSON object", path, "start in a new folder")
    return document


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document of the run, whole or not at all."""
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def settle(path: Path, document: Mapping[str, Any], *, free: tuple[str, ...] = _FREE) -> None:
    """Write a document, or find that it is there already and says the same.

    Raises:
        UsageError: It says something else: this is another training.
    """
    if not path.exists():
        write_json(path, document)
        return
    known = read_json(path)
    for name in dict.fromkeys((*document, *known)):  # the causes come before what follows from them
        if name not in free and known.get(name) != document.get(name):
            where = _difference(known.get(name), document.get(name), name)
            raise UsageError(
                f"was begun with another {where}", path, "repeat the call it was begun with, or give another folder"
            )


def _difference(one: Any, two: Any, name: str) -> str:
    """Which value differs, as short as can be."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted(set(one) | set(two)):
            if one.get(key) != two.get(key):
                return _difference(one.get(key), two.get(key), f"{name}.{key}")
    short = all(len(str(value)) < 40 for value in (one, two))
    return f"{name} ({one}, not {two})" if short else name


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Keep a second training out of the folder while the block runs; a kill lets go of it.

    Raises:
        UsageError: Another one is at work here.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(run / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise UsageError("another training is at work in this folder", run, "wait for it, or give another folder") \
            from error  # fmt: skip
    try:
        yield
    finally:
        lock.release()


def environment(device: str) -> dict[str, Any]:
    """What a training runs on: versions, commit, machine."""
    return {
        "livf": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "processor": _processor(),
        "device": device,
    }


def commit() -> str | None:
    """The commit of the checkout that livf runs from, with ``+`` when it was changed; None outside one."""
    package = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(package), *arguments], capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed livf may lie in somebody else's repository.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    head = git("rev-parse", "HEAD")
    return f"{head}+" if head and git("status", "--porcelain", "--untracked-files=no", "--", ".") else head


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
