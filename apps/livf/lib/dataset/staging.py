"""Writing a data set: a folder that appears whole or not at all, images in a voxel type that any reader takes."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from livf.lib.errors import OutputError
from livf.lib.values import Volume


@contextmanager
def staged(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a hidden folder beside ``target`` to write to; it takes the name ``target`` when the block ends well.

    Where the block writes nothing into it, no ``target`` is made.

    Raises:
        OutputError: ``target`` holds something already, or the folder cannot be made; nothing is left then.
    """
    target = Path(os.path.abspath(target))
    if target.is_file():
        raise OutputError("is a file, not a folder", target, "choose another folder")
    if target.is_dir() and any(target.iterdir()):
        raise OutputError("holds files already", target, "choose a new folder, or empty this one")
    temporary = target.with_name(f".writing-{secrets.token_hex(4)}-{target.name}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if any(temporary.iterdir()):
            if target.is_dir():
                target.rmdir()
            temporary.rename(target)
    except OSError as error:
        raise OutputError.from_os_error(error, target) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def writable(image: Volume) -> Volume:
    """The image in a voxel type that any reader takes: what is none becomes single precision."""
    if image.array.dtype.name in ("int64", "uint64", "bool", "float16"):
        return Volume(image.array.astype(np.float32), image.affine, image.source)
    return image
