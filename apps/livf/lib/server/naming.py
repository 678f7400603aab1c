"""Errors that name what a client knows: an image's id, never a path of the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from livf.lib.errors import LivfError, OutputError


@contextmanager
def at(name: str) -> Iterator[None]:
    """Let a :class:`LivfError` from within say ``name`` in place of the path it happened at."""
    try:
        yield
    except LivfError as error:
        raise type(error)(error.what, name, error.remedy) from error


@contextmanager
def storing(name: str) -> Iterator[None]:
    """Do the same, and turn what the system says against a folder or file into an :class:`OutputError`."""
    with at(name):
        try:
            yield
        except OSError as error:
            raise OutputError.from_os_error(error, name) from error
