"""A livf server as a child process that never outlives its parent."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from livf.lib.errors import LivfError
from livf.lib.server.serve import READY

#: Longest start: importing and warming take 10 to 30 s on two busy cores.
_START_SECONDS: Final = 300
#: Time to shut down by itself before it is killed, s.
_STOP_SECONDS: Final = 15
_COMMAND: Final = "import sys; from livf.cli import main; sys.exit(main())"


@contextmanager
def running(studies: Path, *options: str) -> Iterator[str]:
    """Start ``livf serve`` on a folder, give its address, and stop it when the block ends, however it ends.

    The server also stops by itself when its standard input closes, which the system sees to if this process is killed.

    Args:
        studies: The folder of images.
        options: Further options of ``livf serve``.

    Raises:
        LivfError: The server does not start; the line is its own.
    """
    command = [sys.executable, "-c", _COMMAND, "serve", str(studies), "--with-parent", *options]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    try:
        yield _address(process, command)
    finally:
        _stop(process)


def _address(process: subprocess.Popen[str], command: Sequence[str]) -> str:
    assert process.stdout is not None
    too_late = threading.Timer(_START_SECONDS, process.kill)
    too_late.daemon = True
    too_late.start()
    said: list[str] = []
    try:
        for line in process.stdout:
            if line.startswith(READY):
                return line.removeprefix(READY).strip()
            said.append(line.strip())
    finally:
        too_late.cancel()
    last = next((line for line in reversed(said) if line), "it said nothing")
    raise LivfError(f"the server did not start: {last.removeprefix('livf: error: ')}")


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
