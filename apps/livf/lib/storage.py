"""Writing so that a reader never meets half a file.

A file is written under a temporary name in its own folder, flushed to the disk, then renamed over the target: at every
moment the target is either the old file or the whole new one, also after a kill or on a full disk.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
    if target.is_dir():
        raise OutputError("is a folder, not a file", target, "give a file name")
    try:
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix="-" + target.name, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError.from_os_error(error, target) from error
    temporary = Path(name)
    try:
        try:
            yield temporary
            # mkstemp makes files for their owner alone; a result is readable as any new file is.
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        except OSError as error:
            raise OutputError.from_os_error(error, target) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(target: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content`` to ``target`` whole or not at all."""
    with writing(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: str | os.PathLike[str], content: str) -> None:
    """Write UTF-8 ``content`` to ``target`` whole or not at all."""
    write_bytes(target, content.encode())
