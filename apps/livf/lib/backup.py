"""Backup of a studies folder and its state as one tar file, and back.

The server may go on while a backup is made: what it writes is renamed into place whole, and versions of labels never
change. What clients see under a tag is read before the versions, so that each of it has its version in the backup. A
list of SHA-256 ends the file; nothing is restored unless every file agrees with it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from livf.lib.errors import InputError, NotFoundError, OutputError, UsageError
from livf.lib.storage import is_left_behind, make_folder, sync_file, sync_folder, writing
from livf.version import __version__

SCHEMA: Final = "livf.backup/1"
#: Name in the studies folder of a restore that has not come to its end.
RESTORING: Final = ".restoring-"
_MANIFEST: Final = "manifest.json"
_MANIFEST_HASH: Final = "manifest.sha256"
_STUDIES: Final = "studies"
_STATE: Final = "state"
#: In the state folder: what is made anew when it is missing, and what belongs to the running server.
_LEFT_OUT: Final = frozenset({"app", "converted", "sessions", "lock"})
#: In the studies folder: locks of running processes.
_LOCKS: Final = frozenset({".lock", ".livf.lock"})
_OWNER_ONLY: Final = 0o600
_LARGEST_MANIFEST: Final = 256 * 2**20


@dataclass(frozen=True)
class Summary:
    """What a backup holds, or a restore has put back.

    Attributes:
        files: How many.
        size: Of all, bytes.
        links: How many links in the folder were left out: what they lead to is not the folder's.
    """

    files: int
    size: int
    links: int = 0


def back_up(studies: Path, state: Path, target: Path) -> Summary:
    """Write a studies folder and its state to a tar file, which only its owner may read.

    Args:
        studies: Folder of the images and labels.
        state: The site's own state; in ``studies`` or elsewhere.
        target: The tar file; not in ``studies`` or ``state``.

    Raises:
        LivfError: There is no such folder, a file cannot be read, or the target not be written.
    """
    if not studies.is_dir():
        raise NotFoundError("there is no such folder", studies, "give the folder that holds the images")
    for folder in (studies, state):
        if folder.resolve() in target.resolve().parents:
            raise UsageError("lies in what is backed up", target, "write the backup to another folder")
    files: dict[str, dict[str, Any]] = {}
    with writing(target) as temporary:
        if os.name == "posix":
            temporary.chmod(_OWNER_ONLY)  # it holds patients' images and the hashes of tokens
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
            for name, path in _members(studies, state):
                if (known := _pack(archive, name, path)) is not None:
                    files[name] = known
            manifest = json.dumps({"schema": SCHEMA, "livf": __version__, "files": files}, indent=0).encode()
            _pack_bytes(archive, _MANIFEST, manifest)
            _pack_bytes(archive, _MANIFEST_HASH, hashlib.sha256(manifest).hexdigest().encode())
    links = sum(1 for folder in {studies, state} for path in _walk(folder, frozenset()) if path.is_symlink())
    return Summary(len(files), sum(known["size"] for known in files.values()), links)


def restore(source: Path, studies: Path, state: Path) -> Summary:
    """Put a backup back into an empty folder; the index of images and labels is made anew when the server starts.

    Args:
        source: The tar file.
        studies: Where the images and labels go; it does not exist yet or is empty.
        state: Where the state goes; ``.livf`` in ``studies``, or a folder that does not exist yet or is empty.

    Raises:
        InputError: The file is no backup, or damaged; nothing is restored then.
        LivfError: A folder is not empty or cannot be written.
    """
    apart = studies not in state.parents
    for folder in (studies, state) if apart else (studies,):
        if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
            raise UsageError("is not empty", folder, "restore into a new folder, and put it in the old one's place")
    with _restoring(studies) as here, _restoring(state) if apart else _within(here, state, studies) as there:
        summary = _unpack(source, {_STUDIES: here, _STATE: there})
        _sync_all(here, there)
        if apart:
            _move(there, state)
        _move(here, studies)
    return summary


def unfinished(studies: Path) -> bool:
    """Whether a restore into this folder was ended before its end."""
    return any(name.startswith(RESTORING) for name in os.listdir(studies))


def _members(studies: Path, state: Path) -> Iterator[tuple[str, Path]]:
    """Names in the archive and files, in an order that keeps them consistent: the state is listed after the rest."""
    inside = {state} if studies in state.parents else set()
    for path in _walk(studies, inside, leave_out=_LOCKS):
        if not path.is_symlink():
            yield _name(_STUDIES, path, studies), path
    for path in _walk(state, frozenset(), leave_out=_LEFT_OUT):
        if not path.is_symlink():
            yield _name(_STATE, path, state), path


def _name(root: str, path: Path, folder: Path) -> str:
    return PurePosixPath(root, *path.relative_to(folder).parts).as_posix()


def _walk(folder: Path, but: frozenset[Path] | set[Path], leave_out: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The files and links of a folder, sorted; ``leave_out`` names what is not looked at in the folder itself."""

    def failed(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise InputError("cannot be read", error.filename or folder, "run the backup as the server's user")

    for where, names, files in os.walk(folder, onerror=failed):
        here = Path(where)
        names.sort()
        links = [name for name in names if (here / name).is_symlink()]
        hidden = leave_out if here == folder else frozenset()
        names[:] = [
            name
            for name in names
            if name not in links and name not in hidden and here / name not in but and not is_left_behind(name)
        ]
        for name in sorted([*files, *links]):
            path = here / name
            ordinary = path.is_symlink() or stat.S_ISREG(path.lstat().st_mode) if os.path.lexists(path) else False
            if ordinary and name not in hidden and not is_left_behind(name):
                yield path


def _pack(archive: tarfile.TarFile, name: str, path: Path) -> dict[str, Any] | None:
    """Add a file as it is now; one that grows (a log) is cut where it ended when it was opened. None if it is gone."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError("cannot be read", path, "run the backup as the server's user") from error
    with file:
        member = archive.gettarinfo(arcname=name, fileobj=file)
        # A second name of one file is packed as a file.
        member.type, member.linkname, member.size = tarfile.REGTYPE, "", os.fstat(file.fileno()).st_size
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        hashing = _Hashing(file)
        archive.addfile(member, hashing)
    return {"size": member.size, "sha256": hashing.hexdigest()}


def _pack_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


class _Hashing:
    """Hashes what is read from a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._digest.update(content)
        return content

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _unpack(source: Path, roots: Mapping[str, Path]) -> Summary:
    """Unpack into the folders and compare with the list."""
    if not source.is_file():
        raise NotFoundError("there is no such file", source, "give the file a backup was written to")
    if not os.access(source, os.R_OK):
        raise InputError("cannot be read", source, "run the restore as the user who made the backup")
    damaged = InputError("is damaged or not a whole backup", source, "take another backup; nothing was restored")
    found: dict[str, dict[str, Any]] = {}
    manifest: dict[str, bytes] = {}
    try:
        with source.open("rb") as file, tarfile.open(fileobj=file, mode="r:", errorlevel=2) as archive:
            for member in archive:
                if member.name in (_MANIFEST, _MANIFEST_HASH):
                    manifest[member.name] = _content(archive, member)
                else:
                    found[member.name] = _unpack_one(archive, member, roots)
    except tarfile.FilterError as error:
        raise InputError("holds what no backup of livf holds", source, "nothing was restored") from error
    except (tarfile.TarError, EOFError, UnicodeError, ValueError) as error:
        raise damaged from error
    try:
        said = json.loads(manifest[_MANIFEST])
        agrees = hashlib.sha256(manifest[_MANIFEST]).hexdigest().encode() == manifest[_MANIFEST_HASH]
        whole = agrees and said["schema"] == SCHEMA and said["files"] == found
    except (KeyError, ValueError, TypeError) as error:
        raise damaged from error
    if not whole:
        raise damaged
    return Summary(len(found), sum(known["size"] for known in found.values()))


def _unpack_one(archive: tarfile.TarFile, member: tarfile.TarInfo, roots: Mapping[str, Path]) -> dict[str, Any]:
    """Unpack one file, which must lie in one of the folders.

    Raises:
        tarfile.FilterError: It is anything else than a file in one of the folders.
    """
    root, _, rest = member.name.partition("/")
    if root not in roots or not rest or not member.isreg() or member.sparse is not None:
        raise tarfile.SpecialFileError(member)
    folder = roots[root]
    safe = tarfile.data_filter(member.replace(name=rest, deep=False), str(folder))
    target = folder / safe.name
    if os.path.lexists(target):
        raise tarfile.SpecialFileError(member)
    target.parent.mkdir(parents=True, exist_ok=True)
    packed = archive.extractfile(member)
    assert packed is not None
    digest, size = hashlib.sha256(), 0
    with packed, target.open("xb") as file:
        while content := packed.read(2**20):
            digest.update(content)
            size += len(content)
            file.write(content)
    os.utime(target, (member.mtime, member.mtime))
    if os.name == "posix":
        target.chmod((member.mode & 0o644) | stat.S_IRUSR)
    return {"size": size, "sha256": digest.hexdigest()}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if not member.isreg() or member.size > _LARGEST_MANIFEST:
        raise tarfile.SpecialFileError(member)
    packed = archive.extractfile(member)
    assert packed is not None
    return packed.read()


@contextmanager
def _restoring(target: Path) -> Iterator[Path]:
    """A folder in the target to unpack to, so that it also works where the target is a mounted disk."""
    made = not target.exists()
    make_folder(target)
    folder = target / f"{RESTORING}{secrets.token_hex(4)}"
    try:
        folder.mkdir()
        yield folder
    except OSError as error:
        raise OutputError.from_os_error(error, target) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if made:
            with suppress(OSError):
                target.rmdir()  # still empty: nothing was restored


@contextmanager
def _within(here: Path, state: Path, studies: Path) -> Iterator[Path]:
    yield here / state.relative_to(studies)


def _move(folder: Path, target: Path) -> None:
    for path in sorted(folder.iterdir()):
        path.rename(target / path.name)
    folder.rmdir()
    sync_folder(target)


def _sync_all(*folders: Path) -> None:
    for folder in folders:
        for where, _, files in os.walk(folder):
            for name in files:
                path = Path(where) / name
                mode = path.stat().st_mode
                path.chmod(mode | stat.S_IWUSR)  # a version of a label is read-only, and a file is flushed by a writer
                sync_file(path)
                path.chmod(mode)
            sync_folder(where)
