"""The benchmark of the measurement: what it times, and what it says of it. Never how fast that is."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from livf.lib.images import write_label
from livf.lib.synthesis.phantom import Grid, make_phantom

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("bench", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bench(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=300, check=False
    )


def test_each_step_is_timed_and_set_against_the_engine(tmp_path, script):
    phantom = make_phantom(1, grid=Grid((150, 150, 110), 0.8, (0, -8, 0)))
    write_label(tmp_path / "label.nii.gz", phantom.label, phantom.affine)
    done = bench("foramen", "--label", tmp_path / "label.nii.gz", "--runs", "1", "--json", tmp_path / "bench.json")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "bench.json").read_text())
    assert result["shape"] == [150, 150, 110]
    median = result["median_s"]
    assert set(median) == {"yardstick", *script.STEPS}
    # A process imports, reads and measures; with outputs it does more; and the deviations cost something.
    assert 0 < median["engine"] < median["engine_sd"] < median["process"] < median["outputs"]
    assert result["meshes_and_pictures_s"] == pytest.approx(median["outputs"] - median["process"])
    assert result["yardsticks"]["engine"] == pytest.approx(median["engine"] / median["yardstick"])
    assert all(title in done.stdout for title in script.STEPS.values())
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_a_label_that_cannot_be_measured_is_said_in_one_line(tmp_path):
    write_label(tmp_path / "empty.nii.gz", np.zeros((9, 9, 9), dtype=np.uint8), np.eye(4))
    done = bench("foramen", "--label", tmp_path / "empty.nii.gz", "--runs", "1")
    assert done.returncode == 1
    assert done.stderr.startswith("bench: error: livf measure ended with 1")
    missing = bench("foramen", "--label", tmp_path / "none.nii.gz")
    assert missing.returncode == 1 and "none.nii.gz" in missing.stderr and missing.stderr.count("\n") == 1
