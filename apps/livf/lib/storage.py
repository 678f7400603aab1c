"""Writing so that a reader never meets half a file, and what was written is still there after the power failed.

A file is written under a temporary name in its own folder, flushed to the disk, renamed over the target, and the
folder flushed too: at every moment the target is either the old file or the whole new one, also after a kill or on a
full disk. A rename that is not flushed can be undone by a power failure, so whoever acknowledges what was stored waits
for both.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from livf.lib.errors import OutputError

#: How the names of files and folders begin that are being written.
_WRITING: Final = ".writing-"
_LEFT_BEHIND: Final = re.compile(re.escape(_WRITING) + r"[0-9a-f]{8}-.*", re.DOTALL)
#: What file systems answer that cannot flush a folder (network shares, some of FUSE).
_CANNOT_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.ENOSYS})


@contextmanager
def writing(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to; rename it to ``target`` when the block ends well.

    The temporary name ends with the target's own name, so that writers which look at the suffix work. When the block
    raises (Ctrl-C included), the temporary file is removed and the target is untouched.

    Raises:
        OutputError: The folder is missing or may not be written to, or the disk is full.
    """
    target = Path(target)
    if os.path.isdir(target):  # unlike Path.is_dir, it never raises
        raise OutputError("is a folder, not a file", target, "give a file name")
    # The name is chosen before anything is made, so that even an interrupt right after finds what to remove.
    temporary = _temporary(target)
    try:
        with temporary.open("xb"):
            pass
        yield temporary
        sync_file(temporary)
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise OutputError.from_os_error(error, target) from error
    finally:
        # Removing is best effort: where the folder itself is unwritable there is nothing to remove.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def making_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder to fill and to rename; it is removed if the block leaves it where it is.

    Files in it are to be written with :func:`writing`, which flushes them; the block ends with :func:`publish`.

    Args:
        target: What the folder will be called, about: the temporary one is made beside it.

    Raises:
        OutputError: It cannot be made or written to.
    """
    target = Path(target)
    temporary = _temporary(target)
    try:
        temporary.mkdir()
        yield temporary
    except OSError as error:
        raise OutputError.from_os_error(error, target) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def publish(folder: Path, target: Path) -> bool:
    """Rename a filled folder to ``target``, durably; False, and nothing done, where something has that name.

    Of several processes that publish under one name exactly one succeeds: the system renames no folder onto another
    that is not empty.

    Raises:
        OSError: The system refuses for another reason.
    """
    sync_folder(folder)
    if os.path.lexists(target):
        return False
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) or os.path.lexists(target):
            return False
        raise
    sync_folder(target.parent)
    return True


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder and those above it, durably.

    Raises:
        OutputError: It cannot be made, or a file has its name.
    """
    folder = Path(folder)
    try:
        missing = [path for path in (folder, *folder.parents) if not os.path.exists(path)]
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync_folder(made.parent)
    except FileExistsError as error:
        raise OutputError("is a file, not a folder", folder, "choose another folder") from error
    except OSError as error:
        raise OutputError.from_os_error(error, folder) from error


def write_bytes(target: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content`` to ``target`` whole or not at all."""
    with writing(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: str | os.PathLike[str], content: str) -> None:
    """Write UTF-8 ``content`` to ``target`` whole or not at all."""
    write_bytes(target, content.encode())


def sync_file(path: str | os.PathLike[str]) -> None:
    """Have a file's content on the disk before returning.

    Raises:
        OSError: The disk cannot take it.
    """
    with open(path, "rb+") as file:
        _flush(file.fileno())


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Have a folder's list of names on the disk before returning, where the system can.

    Raises:
        OSError: The disk cannot take it.
    """
    if os.name == "nt":
        return  # Windows opens no folders; its file system keeps a journal of names
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # a folder may be written to and not read
    try:
        _flush(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def is_left_behind(name: str) -> bool:
    """Whether a file or folder has the name of one that is being written, or was when its writer was killed."""
    return _LEFT_BEHIND.fullmatch(name) is not None


def remove_left_behind(*folders: Path, inside: bool = False) -> int:
    """Remove what killed writers left behind; only for who knows that nobody writes there now.

    Args:
        folders: Where to look; one that does not exist is empty.
        inside: Also look in the folders within.

    Returns:
        How many files and folders were removed. What cannot be removed stays: it is never taken for the real thing.
    """
    removed = 0
    for folder in folders:
        for where, names, files in os.walk(folder):
            for name in [name for name in (*names, *files) if is_left_behind(name)]:
                path = Path(where) / name
                if name in names:
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        path.unlink()
                removed += not os.path.lexists(path)
            names[:] = [name for name in names if inside and not is_left_behind(name)]
    return removed


def _temporary(target: Path) -> Path:
    return target.with_name(f"{_WRITING}{secrets.token_hex(4)}-{target.name}")


def _flush(descriptor: int) -> None:
    try:
        from fcntl import F_FULLFSYNC, fcntl  # type: ignore[attr-defined,unused-ignore]  # macOS only
    except ImportError:
        os.fsync(descriptor)
        return
    try:
        fcntl(descriptor, F_FULLFSYNC)  # there, fsync leaves it in the drive's cache
    except OSError:
        os.fsync(descriptor)
