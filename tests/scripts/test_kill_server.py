"""A short run of what `scripts/kill_server.py` does a hundred times."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("monailabel")

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_server.py"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_three_kills_lose_nothing() -> None:
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "3", "--clients", "3"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert ", 0 faults; ready after " in result.stdout.splitlines()[-1]
