"""Writing so that a reader never meets half a file.

A file is written under a temporary name in its own folder, flushed to the disk, then renamed over the target: at every
moment the target is either the old file or the whole new one, also after a kill or on a full disk.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from livf.lib.errors import OutputError


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
    temporary = target.with_name(f".writing-{secrets.token_hex(4)}-{target.name}")
    try:
        with temporary.open("xb"):
            pass
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except OSError as error:
        raise OutputError.from_os_error(error, target) from error
    finally:
        # Removing is best effort: where the folder itself is unwritable there is nothing to remove.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder and those above it.

    Raises:
        OutputError: It cannot be made, or a file has its name.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
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
