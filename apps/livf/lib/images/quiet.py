"""Keep what libraries print about bad files off the user's terminal.

A damaged file makes MetaIO and teem write to the C standard error, pydicom warn (with the patient's name where that is
the odd value) and ITK show warnings. The user gets one line from livf instead; the rest goes to the debug log.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)
# File descriptors, warning filters and log levels belong to the whole process: one reader at a time changes them.
_lock = threading.RLock()


@contextmanager
def native_silence() -> Iterator[None]:
    """Send what C++ code writes to standard error to the debug log while the block runs."""
    with _lock, tempfile.TemporaryFile() as said:
        sys.stderr.flush()
        try:
            terminal = os.dup(2)
        except OSError:  # a service without standard error: there is nothing to keep clean
            yield
            return
        try:
            os.dup2(said.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(terminal, 2)
        finally:
            os.close(terminal)
        said.seek(0)
        if text := said.read(10_000).decode(errors="replace").strip():
            _log.debug("a library said: %s", text)


@contextmanager
def python_silence(*loggers: str) -> Iterator[None]:
    """Silence Python warnings, and everything below an error of the named ``loggers``, while the block runs."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        levels = {name: logging.getLogger(name).level for name in loggers}
        try:
            for name in loggers:
                logging.getLogger(name).setLevel(logging.CRITICAL)
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
