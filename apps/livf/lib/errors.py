"""The only errors a user of livf meets.

Every failure that a user can cause or cure is a :class:`LivfError`: what is wrong, where, and what to do about it.
The command line prints it as one line and ends with exit status 1; the server answers it with the HTTP status of its
kind and the same line. Any other exception is a bug, and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
from http import HTTPStatus
from typing import ClassVar


class LivfError(Exception):
    """A failure that the user can act on.

    Args:
        what: What is wrong, in a few words without a full stop ("the image has 2 dimensions, not 3").
        where: The file, parameter or case it concerns; may be empty.
        remedy: What the user can do ("give a 3D volume"); may be empty.
    """

    #: HTTP status the server answers with.
    http_status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST
    #: Exit status of the command line (DESIGN: 1 the work failed, 2 wrong usage).
    exit_status: ClassVar[int] = 1

    def __init__(self, what: str, where: str | os.PathLike[str] = "", remedy: str = "") -> None:
        self.what = what
        self.where = os.fspath(where)
        self.remedy = remedy
        super().__init__(self.line)

    @property
    def line(self) -> str:
        """The whole error as one line: ``where: what; remedy``."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.remedy:
            text = f"{text}; {self.remedy}"
        return " ".join(text.split())

    @property
    def lines(self) -> tuple[str, ...]:
        """What the command line prints, a line each: this one, or every failure it joins."""
        return (self.line,)

    def __reduce__(self) -> tuple[type[LivfError], tuple[str, str, str]]:
        # Exceptions cross process borders (batch workers); the default would call __init__ with the joined line only.
        return type(self), (self.what, self.where, self.remedy)


class UsageError(LivfError):
    """An option or argument that cannot mean anything."""

    exit_status = 2


class InputError(LivfError):
    """An image, label or other input that cannot be used."""

    http_status = HTTPStatus.UNPROCESSABLE_ENTITY


class NotFoundError(LivfError):
    """Something that was asked for by name and does not exist."""

    http_status = HTTPStatus.NOT_FOUND


class ModelError(LivfError):
    """Network weights that are missing, damaged or of another architecture."""

    http_status = HTTPStatus.SERVICE_UNAVAILABLE


class OutputError(LivfError):
    """A result that cannot be written."""

    http_status = HTTPStatus.INSUFFICIENT_STORAGE

    @classmethod
    def from_os_error(cls, error: OSError, where: str | os.PathLike[str]) -> OutputError:
        """Say in a user's words why the system refused to write ``where``."""
        reasons = {
            errno.ENOSPC: ("there is no space left on the disk", "free some space and run it again"),
            errno.EDQUOT: ("your disk quota is used up", "free some space and run it again"),
            errno.EACCES: ("cannot be written: permission denied", "choose a folder you may write to"),
            errno.EPERM: ("cannot be written: permission denied", "choose a folder you may write to"),
            errno.EROFS: ("is on a read-only file system", "choose a folder you may write to"),
            errno.ENOENT: ("its folder does not exist", "make the folder first or choose another"),
            errno.ENOTDIR: ("its folder is a file", "choose another folder"),
            errno.EISDIR: ("is a folder, not a file", "give a file name"),
            errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
        }
        what, remedy = reasons.get(
            error.errno or 0, (f"cannot be written ({error.strerror or error})", "choose another place")
        )
        return cls(what, where, remedy)
